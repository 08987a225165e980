import re
import subprocess
import sys
from pathlib import Path

import pytest

import microtensor as mt

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, folder, *arguments):
    """What the example prints; warnings are errors."""
    result = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        cwd=folder, capture_output=True, text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_example_is_tested():
    tested = {"autograd_by_hand.py", "moons.py", "digits.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested


def test_autograd_by_hand_fits_the_sine(tmp_path):
    printed = run("autograd_by_hand.py", tmp_path)
    assert float(re.search(r"largest error of the fit: (\S+)", printed)[1]) < 0.1


@pytest.mark.parametrize("arguments", [[], ["elsewhere/boundary.png"]])
def test_moons_draws_its_boundary(tmp_path, arguments):
    printed = run("moons.py", tmp_path, *arguments)
    picture = tmp_path / (arguments[0] if arguments else "runs/moons.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert float(re.findall(r"loss (\S+)", printed)[-1]) < 0.05


def test_digits_learns_and_saves(tmp_path):
    printed = run("digits.py", tmp_path, "digits.npz")
    assert float(re.findall(r"test accuracy (\S+)%", printed)[-1]) >= 97.5
    assert mt.load(tmp_path / "digits.npz")["0.weight"].shape == (128, 64)
