"""The processor's peak: fused multiply-adds on registers, timed, in a small C program compiled on the spot."""

import ctypes
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

SOURCE = Path(__file__).with_name("fma.c")


class NoCompilerError(RuntimeError):
    """The peak cannot be measured here."""


def fma_peak(dtype, threads=1, seconds=0.05):
    """The peak of so many threads in GFLOP/s, for "float32" or "float64".

    Raises NoCompilerError where no C compiler understands GCC's vector types.
    """
    real = {"float32": ctypes.c_float, "float64": ctypes.c_double}[dtype]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / f"fma_{dtype}.so"
        compiler = (os.environ.get("CC") or "cc").split()[0]
        flags = ["-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC", f"-DREAL={real.__name__[2:]}"]
        try:
            subprocess.run([compiler, *flags, SOURCE, "-o", library], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as failure:
            raise NoCompilerError(f"{compiler} does not compile {SOURCE.name}: no peak is measured") from failure
        run = ctypes.CDLL(str(library)).fma_rounds
    run.argtypes = (ctypes.c_long, real, real, ctypes.POINTER(real))
    sink = [real() for _ in range(threads)]

    def seconds_for(rounds):
        team = [threading.Thread(target=run, args=(rounds, 0.5, 1.0, ctypes.byref(own))) for own in sink]
        start = time.perf_counter()
        for thread in team:
            thread.start()
        for thread in team:
            thread.join()
        return time.perf_counter() - start

    operations, rounds = run(1, 0.5, 1.0, ctypes.byref(sink[0])), 10_000
    while (elapsed := seconds_for(rounds)) < seconds:
        rounds *= 2
    best = min(elapsed, *(seconds_for(rounds) for _ in range(4)))
    return operations * rounds * threads / best / 1e9
