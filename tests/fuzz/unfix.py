"""Prove that the fuzzer finds errors: take out the repair of one that was there, build, and let it look.

    python tests/fuzz/unfix.py [case ...]           # all; ten minutes each at most

Each works on a copy of the checkout. The end is 1 if an error was not found.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]

REPAIRS = {     # name: (file, what the repair says, what was there before)
    "labels shared with NumPy": (
        "ops/softmax.pyx",
        "    cdef ndarray copy = empty(",
        """    if cnp.PyArray_ISCARRAY_RO(target) and cnp.PyArray_TYPE(target) == cnp.NPY_INT64:
        return target
    cdef ndarray copy = empty(""",
    ),
    "data of a computed tensor": ("tensor.pxi", "if self.op is not None and not same:", "if False:"),
    "a tensor initialised twice": ("tensor.pxi", "if self.array is not NO_NUMBERS:", "if False:"),
    "64 dimensions": (
        "ops/reduce.pyx",
        "cdef Dims dims = ~<Dims>0 >> (MAX_DIMS - added) if added > 0 else 0",
        "cdef Dims dims = (<Dims>1 << added) - 1",
    ),
    "outputs of grad": ("core.pyx", "        if not isinstance(y, Tensor):\n", "        if False:\n"),
    "a size that overflows": ("kernels/memory.pyx", "    if size > MAX_BYTES:\n", "    if False:\n"),
    "input of a node": (
        "core.pyx",
        "self.b if i == 1 else None\n        if array is None or i >= len(self.edges):",
        "self.b\n        if array is None:",
    ),
    "rule of None": ("ops/shape.pyx", "    def rule(self, Tensor g not None):\n", "    def rule(self, Tensor g):\n"),
    "run_again": ("core.pyx", "if self is not observed or backward != observed_backward:", "if False:"),
    "the caller's array": (
        "tensor.pxi",
        "    cdef Loan loan = Loan.__new__(Loan)\n",
        "    return array\n    cdef Loan loan = Loan.__new__(Loan)\n",
    ),
}


def main():
    """Look for each error that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="case", help="; ".join(REPAIRS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    unknown = set(options.cases) - set(REPAIRS)
    if unknown:
        parser.error(f"no case {sorted(unknown)[0]!r}: choose from {', '.join(REPAIRS)}")
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "microtensor"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "runs", "__pycache__"))
        for name in options.cases or REPAIRS:
            path, repair, before = REPAIRS[name]
            source = copy / "microtensor" / path
            text = source.read_text()
            if repair not in text:
                raise SystemExit(f"{path} no longer has what repaired {name!r}: {repair!r}")
            source.write_text(text.replace(repair, before))
            subprocess.run([sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"], cwd=copy, check=True,
                           capture_output=True)
            start = time.monotonic()
            fuzz = subprocess.run(
                [sys.executable, "tests/fuzz", "--seed", str(options.seed), "--minutes", str(options.minutes)],
                cwd=copy, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(copy)},
            )
            found = fuzz.returncode == 1 and "\nprogram " in fuzz.stdout
            missed += not found
            print(f"{name}: {'found' if found else 'NOT found'} after {time.monotonic() - start:.0f} s")
            print(fuzz.stdout if found else fuzz.stdout + fuzz.stderr, flush=True)
            source.write_text(text)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
