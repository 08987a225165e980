"""The fuzzer (tests/fuzz) finds what is planted, and makes it short."""

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent / "fuzz"
PLANTED = {
    "a crash": ("""
import os
import microtensor as mt
tanh = mt.tanh
def crash(input):
    if input.ndim > 1:
        os.abort()
    return tanh(input)
mt.tanh = crash
""", "mt.tanh", "ended by SIGABRT"),
    "a wrong number": ("""
import microtensor as mt
exp = mt.exp
def wrong(input):
    return exp(input) if input.is_contiguous() else exp(input.T).T * 1.001
mt.exp = wrong
""", "mt.exp", ", not "),
    "a wrong gradient": ("""
import microtensor as mt
def spoil(function):
    def wrong(input):
        y = function(input)
        return y if input.is_contiguous() or not y.requires_grad else y * 1.001 - y.detach() * 0.001
    return wrong
for name in ("tanh", "exp", "square", "neg", "softplus", "relu", "sigmoid"):
    setattr(mt, name, spoil(getattr(mt, name)))
""", "mt.", ".grad"),
}


def fuzz(*arguments):
    return subprocess.run([sys.executable, str(FUZZ), *map(str, arguments)], capture_output=True, text=True)


# A wrong number, and one in a gradient, are found by the same judge, and shortened as a crash is.
@pytest.mark.parametrize("name", ["a crash", *(pytest.param(name, marks=pytest.mark.thorough)
                                               for name in ("a wrong number", "a wrong gradient"))])
def test_fuzzer_finds_and_shortens(name, tmp_path):
    code, call, seen = PLANTED[name]
    plant = tmp_path / "plant.py"
    plant.write_text(code)
    run = fuzz("--programs", 20_000, "--seed", 1, "--before", plant, "--folder", tmp_path)
    assert run.returncode == 1, run.stdout + run.stderr
    program = [line for line in run.stdout.splitlines() if line.startswith("    ")]
    assert any(call in line for line in program) and len(program) <= 6, run.stdout
    assert seen in run.stdout, run.stdout
    finding, = tmp_path.glob("1-*.txt")
    assert fuzz("--replay", finding, "--before", plant).returncode == 1
    assert fuzz("--replay", finding).returncode == 0


def test_fuzzer_finds_nothing_in_what_is_not_planted(tmp_path):
    run = fuzz("--programs", 500, "--seed", 2, "--folder", tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "500 programs" in run.stdout
