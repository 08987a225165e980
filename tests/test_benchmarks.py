"""The benchmarks run, and a step costs no more than is recorded. No time is asserted."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

SCRIPTS = sorted(path.name for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text())


def run(script, *arguments):
    """The finished process of a benchmark."""
    return subprocess.run([sys.executable, str(BENCHMARKS / script), *arguments], capture_output=True, text=True)


def test_step_costs_no_more_than_recorded():
    done = run("count.py", "--no-instructions")
    assert done.returncode == 0, done.stdout + done.stderr


def test_compare_checks_times_and_writes(tmp_path):
    done = run("compare.py", "--rounds", "1", "--seconds", "0.001", "--case", "moons", "--case", "digits+",
               "--case", "digits-adam", "--peer", "numpy", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "compare.json").read_text())
    for case in ("moons", "digits+", "digits-adam"):
        assert set(written["cases"][case]["programs"]) == {"microtensor", "numpy"}
        assert not written["cases"][case]["not_timed"]
    assert written["machine"]["versions"]["numpy"] == np.__version__
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_inference_checks_times_and_writes(tmp_path):
    done = run("inference.py", "--rounds", "1", "--seconds", "0.001", "--batch", "64", "--peer", "numpy", "--output",
               str(tmp_path))
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "inference.json").read_text())
    assert set(written["batches"]["64"]) == {"microtensor", "numpy"}
    assert written["batches"]["64"]["numpy"]["ratio"]["median"] > 0 and "| microtensor | **" in done.stdout


def test_disturbed_turn_is_measured_again(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import harness

    class Program:
        def __init__(self, *times):
            self.times = list(times)

        def ask(self, do):
            return self.times.pop(0)

    monkeypatch.setattr(harness, "PAUSE", 0)
    once, often = Program(1.0, 1.2, 1.09, 0.9), Program(1.0, 4.0, 2.0, 3.0, 2.5, 2.2, 1.1)
    assert harness.in_turn([once, often], 3, "time") == {once: [1.0, 1.09, 0.9], often: [1.0, 2.0, 1.1]}
    assert harness.in_turn([Program({"seconds": 2})], 1, "measure")        # not a time


def test_inference_refuses_a_wrong_program(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import inference
    from steps import Case, data

    x, _, weights = data(Case(inference.SIZES, 64))
    forward, array_of = inference.numpy(x, weights)
    y = array_of(forward())
    assert inference.error(y, x, weights) < 1
    assert inference.error(y * (1 + 1e-4), x, weights) > 1


def test_check_refuses_a_wrong_program(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import steps

    case = steps.CASES["digits"]
    gradients, losses, tolerance = steps.reference(case)
    right = {"losses": losses, "tolerance": tolerance, **{f"gradient{i}": g for i, g in enumerate(gradients)}}

    def disagreement(factor):
        remaining = iter(losses)
        return steps.disagreement(lambda: next(remaining), [gradients[0] * factor, *gradients[1:]], right)

    assert disagreement(1) == 0
    assert disagreement(1 + 1e-4) > 1
    several = iter([losses[:3], [*losses[3:], 0.0]])         # of a program that does several steps in a call
    assert steps.disagreement(lambda: next(several), gradients, right) == 0


def test_operations_of_a_step_are_those_of_its_products(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import steps

    # 2-16-16-2 at batch 32: y and dW of all three layers, dx of the last two.
    assert steps.CASES["moons"].operations == 2 * 32 * ((2 * 16 + 16 * 16 + 16 * 2) * 2 + 16 * 16 + 16 * 2)


@pytest.mark.parametrize("option", ["--case", "--peer"])
def test_unknown_names_are_refused_with_the_known_ones(option):
    done = run("compare.py", option, "nonsense")
    assert done.returncode == 2
    assert "invalid choice: 'nonsense'" in done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_prints_its_help(script):
    done = run(script, "--help")
    assert done.returncode == 0 and "usage:" in done.stdout


PYTHON = '''"""A module."""
import os  # used

@decorator(
    1)
def outer(x="# no comment",
          y=0):
    """One line."""
    # a comment

    def inner():
        return (x,
                # a comment

                y)
    return """no

docstring"""

class C:
    """Two

    lines."""
    def one_line(self): return 1
'''

CYTHON = '''cdef extern from *:
    """
    /* a comment */
    static int shut(int x) { return x; }   // a comment
    #define TWO(x) \\
        { x }
    static int NAME(wide)(
        int x) {

        if (x) { return 1; }   /* a comment
           of two lines */
        return '}';
    }
    struct s { int x; };
    """
    int shut(int x)

cdef dict table = f({1: (2)})

cdef class Op(Base):
    """A class."""
    cdef int field
    cdef int run(self, const real* x) except? -1      # a declaration

    cdef inline const real* at(self, real* x,
                               int i=f(1)) noexcept nogil:
        """A function."""
        return x + i    # a comment
'''

HEADER = "#if X\nstatic int f(void) {\n    return 1;\n}\n#endif\n"


@pytest.mark.parametrize(("text", "is_c", "expected", "code"), [
    (PYTHON, False, {"outer": {4, 5, 6, 7, 11, 12, 15, 16, 18}, "outer.inner": {11, 12, 15}, "C.one_line": {24}},
     {2, 20}),
    (CYTHON, False, {"shut": {4}, "wide": {7, 8, 10, 12, 13}, "Op.at": {25, 26, 28}},
     {1, 5, 6, 14, 16, 18, 20, 22, 23}),
    (HEADER, True, {"f": {2, 3, 4}}, {1, 5}),
])
def test_lines_of_functions_leave_out_blank_lines_comments_and_docstrings(monkeypatch, text, is_c, expected, code):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import anatomy

    source = anatomy.Source(text, is_c)
    assert {function.name: source.lines_of(function) for function in source.functions} == expected
    assert set(source.code) == code.union(*expected.values())


def test_section_of_an_op_ends_at_the_next_banner(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import anatomy

    text = '# -- tanh ---\n# y\n\ndef tanh(x):\n    """y."""\n    return 1\n\n\n# -- tanhshrink ---\n1\n'
    source = anatomy.Source(text)
    assert anatomy.section(source, "tanh") == (4, 5)
    assert anatomy.section(source, "tan") is None
