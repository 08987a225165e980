"""The steps of op: what the checkout's own tools say, with the Python that grades."""

import importlib.util
import json
import numbers
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from microtensor.learn.steps import Wrong, once

JUMP = -4.0             # y'' = -2 sign(x) / (1 + |x|)^3: -2 on the right, 2 on the left
ROOM = 1e-6             # of JUMP, for those who compute it
NEEDED = {"Cython": "cython", "setuptools": "setuptools", "pytest": "pytest", "sympy": "sympy", "mpmath": "mpmath"}
FILES = "setup.py", "CONTRIBUTING.md", "microtensor/ops/activation.pyx", "tests/test_ops.py"
TESTS = "test_ops", "test_symbolic", "test_kernels_sweep", "test_docs", "test_gradcheck_report"
CONCERNS = "softsign or help_has or ledger_page or (docstring and (activation or functional or microtensor.ops]))"
POINTS = 0.0, 0.5, -0.5, 3.0, -3.0, 1000.0, -1000.0, 1e30, -1e30        # the square of the last overflows in float32

# Run in the checkout: where microtensor is, what it exports, the values and gradients of softsign at some points, and
# what its samples say.
PROGRAM = f"""
import json, numpy, microtensor as mt
from microtensor import nn
from microtensor.ops.registry import registered_ops
from microtensor.ops.sample import Draw
ways = {{"mt.softsign": lambda: mt.softsign, "nn.functional.softsign": lambda: nn.functional.softsign,
        "nn.Softsign()": lambda: nn.Softsign()}}
found = {{"file": mt.__file__, "lacks": [], "numbers": []}}
for name, way in ways.items():
    try:
        function = way()
    except (AttributeError, TypeError):
        found["lacks"].append(name)
        continue
    for dtype in (mt.float64, mt.float32):
        x = mt.tensor({list(POINTS)}, dtype=dtype, requires_grad=True)
        y = function(x)
        y.backward(mt.ones(*x.shape, dtype=dtype) * 3)
        found["numbers"].append([name, str(x.dtype), y.detach().numpy().tolist(), x.grad.numpy().tolist()])
samples = [sample for seed in range(5) for sample in registered_ops()["Softsign"].samples(Draw(seed))]
found["nearest"] = min(float(numpy.min(numpy.abs(x), initial=1)) for sample in samples for x in sample.inputs)
found["kinks"] = sorted({{sample.kinks for sample in samples}})
found["example"] = ">>>" in (mt.softsign.__doc__ or "")
print(json.dumps(found))
"""
NEAREST = 0.05          # samples come no nearer to 0; draw.nonzero leaves 0.1


def check(answer, draw):
    yield once(answer, "JUMP", lambda: jump(answer))
    for name, run in (("checkout", look), ("build", build), ("gradcheck", gradcheck), ("values", values),
                      ("tests", tests)):
        found = once(answer, name, lambda run=run: run(folder_of(answer)))
        yield found
        if not found.passed:
            return


def jump(answer):
    """Compare the answer to the question."""
    said = answer["JUMP"]
    if said is None:
        raise NotImplementedError
    if isinstance(said, bool) or not isinstance(said, numbers.Real):
        raise Wrong(f"JUMP is {type(said).__name__}, and should be a number")
    if abs(said + JUMP) < ROOM:
        raise Wrong("JUMP has the wrong sign: it is the limit of y'' from the right minus the one from the left")
    if not abs(said - JUMP) < ROOM:
        raise Wrong(f"JUMP is {said}: differentiate y' once more, for x > 0 and for x < 0, and let x go to 0",
                    "on the left y is minus what it is on the right: is y'' also?")
    return f"y'' jumps by {JUMP:g} at 0"


# -- in the checkout -----------------------------------------------------------------------------------------------


def folder_of(answer):
    """The folder of the checkout."""
    said = answer["CHECKOUT"]
    if said is None:
        raise NotImplementedError
    if not isinstance(said, (str, Path)):
        raise Wrong(f"CHECKOUT is {type(said).__name__}, and should be the path of a folder, a string")
    return (Path(answer.path).resolve().parent / Path(said).expanduser()).resolve()


def look(folder):
    """Whether there is a checkout, and what building and testing it needs."""
    if not folder.is_dir():
        raise Wrong(f"there is no folder {folder}")
    missing = next((name for name in FILES if not (folder / name).exists()), None)
    if missing:
        raise Wrong(f"{folder} is no checkout of microtensor: it has no {missing}")
    lacking = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if lacking:
        raise Wrong(f"{sys.executable} has no {', '.join(lacking)}: make the environment that the task tells of, and "
                    "run the course in it")
    return str(folder)


def run(folder, *arguments):
    """A program of the checkout that has ended, run by this Python; what it printed is text."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    environment.pop("PYTHONSAFEPATH", None)
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")


def last(text, count=5):
    """The last lines of a text that are not empty."""
    return [line.strip() for line in text.splitlines() if line.strip()][-count:]


def build(folder):
    """Compile what has changed."""
    done = run(folder, "setup.py", "-q", "build_ext", "--inplace")
    if done.returncode:
        places = re.findall(r"^\S+\.p(?:yx|xd|xi):\d+:\d+: .*", done.stdout, re.MULTILINE)
        raise Wrong("python setup.py build_ext --inplace fails", *([*dict.fromkeys(places)][:5] or last(done.stdout)))
    return "up to date"


def gradcheck(folder):
    """Let the checkout's own checker judge."""
    done = run(folder, "-m", "microtensor", "gradcheck", "--op", "Softsign")
    if "nothing is called" in done.stdout:
        raise Wrong("microtensor has nothing that is called Softsign yet")
    if done.returncode:
        raise Wrong("microtensor gradcheck --op Softsign fails", *last(done.stdout, 6))
    if sum(line.startswith("Softsign") for line in done.stdout.splitlines()) < 2:
        raise Wrong("microtensor gradcheck --op Softsign finds one thing of that name, and should find two: the op in "
                    "ops/activation.pyx, and the layer in nn/activation.py", *last(done.stdout, 3))
    return last(done.stdout, 1)[0]


def values(folder):
    """Compare values and gradients with the formula, under each name; and look into the changelog."""
    done = run(folder, "-c", PROGRAM)
    if done.returncode:
        raise Wrong("softsign cannot be called", *last(done.stdout, 2))
    found = json.loads(last(done.stdout, 1)[0])
    if folder not in Path(found["file"]).resolve().parents:
        raise Wrong(f"Python imports microtensor from {found['file']}, and not from {folder}")
    if found["lacks"]:
        raise Wrong(f"there is no {' and no '.join(found['lacks'])}: see step 3 of CONTRIBUTING.md")
    x = np.array(POINTS)
    for name, dtype, *both in found["numbers"]:
        room, least = (1e-14, 0) if "64" in dtype else (1e-6, np.finfo(np.float32).tiny)
        for what, found_there, right in zip(("y", "dx"), both, (x / (1 + abs(x)), 3 / (1 + abs(x)) ** 2), strict=True):
            off = ~(np.abs(np.array(found_there, float) - right) <= room * np.abs(right) + least)
            if np.any(off):
                k = int(np.argmax(off))
                raise Wrong(f"{what} of {name} is {found_there[k]:.15g} at x = {x[k]:g} in {dtype}, should be "
                            f"{right[k]:.15g}", *(["g is 3 here"] if what == "dx" else []),
                            *(["y is so near to 1 there that 1 - |y| has few digits"] if abs(x[k]) == 1000 else []),
                            *(["the square of x is too large for float32"] if abs(x[k]) > 1000 else []))
    if found["nearest"] < NEAREST or found["kinks"] != ["0"]:
        raise Wrong(f"samples come as near to 0 as {found['nearest']:.2g}, and say kinks={found['kinks'][0]!r}: "
                    "y'' jumps at 0, so they should stay away from there, and say so")
    if not found["example"]:
        raise Wrong("the docstring of softsign has no example, a line that begins with >>>")
    if "softsign" not in (folder / "CHANGELOG.md").read_text(encoding="utf-8").lower():
        raise Wrong("CHANGELOG.md does not mention softsign")
    return f"{len(found['numbers'])} calls at {len(x)} points"


def tests(folder):
    """Run the tests that concern an activation; without the options of pyproject.toml, which need pytest-xdist."""
    files = [f"tests/{name}.py" for name in TESTS]
    done = run(folder, "-m", "pytest", "-q", "--tb=line", "-o", "addopts=--import-mode=importlib", "-p",
               "no:cacheprovider", *files, "-k", CONCERNS)
    if done.returncode:
        failed = [line for line in done.stdout.splitlines() if line.startswith((str(folder), "FAILED", "ERROR"))]
        if "ledger_page" in str(failed):
            failed.insert(0, "microtensor gradcheck --write docs/ledger.md writes the page that is not up to date")
        raise Wrong(f"pytest fails: {last(done.stdout, 1)[0].strip('= ')}", *(failed[:5] or last(done.stdout)))
    return last(done.stdout, 1)[0].strip("= ")
