import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import microtensor as mt

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def start(path, folder, *arguments):
    """The finished process of an example; warnings are errors."""
    return subprocess.run([sys.executable, "-W", "error", str(path), *arguments], cwd=folder, capture_output=True,
                          text=True)


def run(name, folder, *arguments):
    """What the example prints."""
    result = start(EXAMPLES / name, folder, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def load(path):
    """A script as a module of its own."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested():
    tested = {"autograd_by_hand.py", "moons.py", "digits.py", "step_in_numpy.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested


def test_autograd_by_hand_fits_the_sine(tmp_path):
    printed = run("autograd_by_hand.py", tmp_path)
    assert float(re.search(r"largest error of the fit: (\S+)", printed)[1]) < 0.1


@pytest.mark.parametrize("arguments", [[], ["elsewhere/boundary.png"]])
def test_moons_draws_its_boundary(tmp_path, arguments):
    printed = run("moons.py", tmp_path, *arguments)
    picture = tmp_path / (arguments[0] if arguments else "runs/moons.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert float(re.search(r"(\S+) in the last", printed)[1]) < 0.05


def test_digits_learns_and_saves(tmp_path):
    printed = run("digits.py", tmp_path, "digits.npz")
    assert float(re.findall(r"test accuracy (\S+)%", printed)[-1]) >= 97.5
    assert mt.load(tmp_path / "digits.npz")["0.weight"].shape == (128, 64)


# -- step_in_numpy.py -------------------------------------------------------------------------------------------------

DIFFERENCE = re.compile(r"largest difference of losses and weights (\S+), bound (\S+)")


def test_numpy_and_microtensor_take_the_same_step(tmp_path):
    printed = run("step_in_numpy.py", tmp_path)
    difference, bound = map(float, DIFFERENCE.search(printed).groups())
    assert difference <= bound < 1e-9
    losses = re.findall(r"loss in NumPy (\S+)   in microtensor (\S+)", printed)
    assert len(losses) == 5
    assert all(abs(float(a) - float(b)) <= bound for a, b in losses)


@pytest.mark.parametrize(("right", "wrong"), [
    ("np.where(y > 0, dy, 0)", "dy"),
    ("dz.T @ y", "dz.T @ (y + 1e-6)"),
    ("norm + 1e-6", "norm"),
    ("is None else MOMENTUM", "is None else (1 + 1e-6) * MOMENTUM"),
])
def test_a_wrong_formula_fails(tmp_path, right, wrong):
    """Clipping and momentum too: the bound is far below what small mistakes change."""
    text = (EXAMPLES / "step_in_numpy.py").read_text()
    assert text.count(right) == 1
    changed = tmp_path / "changed.py"
    changed.write_text(text.replace(right, wrong))
    result = start(changed, tmp_path)
    assert result.returncode == 1
    assert "more than rounding" in result.stderr


def test_the_bound_holds_for_other_points():
    example = load(EXAMPLES / "step_in_numpy.py")
    rng = np.random.default_rng(1)
    for _ in range(20):
        example.x = 3 * rng.standard_normal((example.N, example.I))
        example.t = rng.integers(example.C, size=example.N)
        ours = [w.copy() for w in example.weights]
        losses = example.train_in_numpy(ours)
        their_losses, theirs = example.train_in_microtensor(example.weights)
        for a, b in zip([losses, *ours], [their_losses, *theirs], strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=example.BOUND)


def test_what_the_bound_counts_on():
    """Sums below SIZE, and a difference that grows by less than 3 a step."""
    example = load(EXAMPLES / "step_in_numpy.py")
    w1, b1, w2, b2 = map(abs, example.weights)
    hidden = abs(example.x) @ w1.T + b1
    assert hidden.max() < example.SIZE and (hidden @ w2.T + b2).max() < example.SIZE
    base = [w.copy() for w in example.weights]
    example.train_in_numpy(base)
    rng = np.random.default_rng(0)
    for _ in range(100):
        moves = [1e-7 * rng.standard_normal(w.shape) for w in base]
        moved = [w + move for w, move in zip(example.weights, moves, strict=True)]
        example.train_in_numpy(moved)
        before = sum((move**2).sum() for move in moves)
        after = sum(((a - b) ** 2).sum() for a, b in zip(moved, base, strict=True))
        assert after < 3.0 ** (2 * example.STEPS) * before


def test_the_map_names_what_there_is():
    """`core.pyx, Engine.deliver_to_leaf` in a comment: the file has it."""
    quote = load(ROOT / "docs" / "quote.py")
    text = (EXAMPLES / "step_in_numpy.py").read_text().replace("; ", "\n# ")
    found = 0
    for path, names in re.findall(r"#.*?\b([\w/]+\.pyx?), ([\w.]+(?:(?:, | and )[\w.]+)*)", text):
        path = ROOT / "microtensor" / path
        for name in re.split(", | and ", names):
            found += bool(quote.find(path.read_text(), name.rstrip("."), path.suffix))
    assert found >= 15
