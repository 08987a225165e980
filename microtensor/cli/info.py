"""``microtensor info`` prints version, instruction set, threads and compiler."""

import platform

import numpy as np

import microtensor as mt
from microtensor import _isa_path
from microtensor.kernels import threads


def run(options):
    """Print what a bug report should hold."""
    level, built = _isa_path.LEVEL, ", ".join(_isa_path.built_levels())
    openmp = "OpenMP" if threads.has_openmp() else "built without OpenMP"
    for name, value in (
        ("microtensor", mt.__version__),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("numpy", np.__version__),
        ("instructions", f"{level}, out of {built}" if level else "the compiler's default"),
        ("threads", f"{threads.get_num_threads()} ({openmp})"),
        ("compiler", threads.compiler_version()),
    ):
        print(f"{name:<14}{value}")
    return 0
