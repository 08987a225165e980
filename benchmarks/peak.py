"""The processor's limits, timed in a small C program compiled on the spot: multiply-adds on registers, and passes over
memory."""

import ctypes
import functools
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_name("peak.c")
REALS = {"float32": ctypes.c_float, "float64": ctypes.c_double}


class NoCompilerError(RuntimeError):
    """The limits cannot be measured here."""


@functools.cache
def compiled(dtype):
    """The functions of peak.c for "float32" or "float64".

    Raises NoCompilerError where no C compiler understands GCC's vector types.
    """
    real = REALS[dtype]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / f"peak_{dtype}.so"
        compiler = (os.environ.get("CC") or "cc").split()[0]
        flags = ["-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC", f"-DREAL={real.__name__[2:]}"]
        try:
            subprocess.run([compiler, *flags, SOURCE, "-o", library], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as failure:
            raise NoCompilerError(f"{compiler} does not compile {SOURCE.name}: no limit is measured") from failure
        functions = ctypes.CDLL(str(library))
    pointer = ctypes.POINTER(real)
    functions.fma_rounds.argtypes = (ctypes.c_long, real, real, pointer)
    functions.triad_rounds.argtypes = (ctypes.c_long, ctypes.c_long, real, pointer, pointer, pointer)
    return functions


def seconds_per_round(run, threads, seconds):
    """The least time of a round when so many threads call run(number, rounds) at once, in turns of so many seconds."""
    def turn(rounds):
        team = [threading.Thread(target=run, args=(number, rounds)) for number in range(threads)]
        start = time.perf_counter()
        for thread in team:
            thread.start()
        for thread in team:
            thread.join()
        return time.perf_counter() - start

    rounds = 1
    while (elapsed := turn(rounds)) < seconds:
        rounds *= 2
    return min(elapsed, *(turn(rounds) for _ in range(4))) / rounds


def fma_peak(dtype, threads=1, seconds=0.05):
    """The peak of so many threads in GFLOP/s, for "float32" or "float64"; errors as of ``compiled``."""
    run, real = compiled(dtype).fma_rounds, REALS[dtype]
    sink = [real() for _ in range(threads)]
    operations = run(1, 0.5, 1.0, ctypes.byref(sink[0]))
    best = seconds_per_round(lambda number, rounds: run(rounds, 0.5, 1.0, ctypes.byref(sink[number])), threads, seconds)
    return operations * threads / best / 1e9


def bandwidth(size, threads=1, seconds=0.05):
    """GB/s of passes over so many bytes by so many threads: a = b + s c, of three arrays; errors as of ``compiled``."""
    run, n = compiled("float32").triad_rounds, max(size // threads // 3 // 4, 1)
    arrays = [[np.ones(n, np.float32) for _ in range(3)] for _ in range(threads)]
    pointers = [[array.ctypes.data_as(ctypes.POINTER(ctypes.c_float)) for array in three] for three in arrays]
    best = seconds_per_round(lambda number, rounds: run(rounds, n, 0.5, *pointers[number]), threads, seconds)
    return 3 * 4 * n * threads / best / 1e9
