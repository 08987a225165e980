"""What it costs to start: importing a library in a new process, the memory it then holds, and its size on disk.

    python benchmarks/start.py

The processes take turns; the time is that of the whole process, Python's own start included, and the resident memory is
read right after the import (on Linux). The size is that of the library's own folder, without what it depends on.
Writes start.json.
"""

import importlib.util
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import harness

LIBRARIES = ("microtensor", "numpy", "torch", "jax")
ALSO = {"jax": ("jaxlib",)}  # what is part of a library under another name
PROGRAM = """
import {name}
import os
try:
    print(int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
except OSError:
    print(0)
"""
MEGABYTE = 1e6


def start(program, environment=None):
    """Seconds of a process, with more in its environment, and the bytes that it says it holds."""
    # A process that may not keep bytecode would compile the sources of a checkout each time; pip keeps it for a wheel.
    environment = {**os.environ, **(environment or {}), "PYTHONDONTWRITEBYTECODE": ""}
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, int(done.stdout.split()[-1])


def size(name):
    """Bytes of a library's files as installed, without bytecode."""
    total = 0
    for module in (name, *ALSO.get(name, ())):
        folder = Path(importlib.util.find_spec(module).origin).parent
        for part in (folder, folder.with_name(f"{module}.libs")):  # wheels keep shared libraries there
            total += sum(path.stat().st_size for path in part.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return total


def main():
    """Measure, print and write."""
    options = harness.parser(__doc__, rounds=9).parse_args()
    programs = {name: PROGRAM.format(name=name) for name in harness.installed(LIBRARIES)}
    for program in programs.values():
        start(program)  # the files' first reading is the disk's time
    measured = {name: {"seconds": [], "resident": [], "size": size(name)} for name in programs}
    for _ in range(options.rounds):
        for name, program in programs.items():
            seconds, resident = start(program)
            measured[name]["seconds"].append(seconds)
            measured[name]["resident"].append(resident)
    for found in measured.values():
        found["ratio_to_numpy"] = harness.paired(found["seconds"], measured["numpy"]["seconds"])
    print(harness.table(
        ["library", "seconds", "times NumPy's", "resident MB", "installed MB"],
        [[name, f"{statistics.median(found['seconds']):.3f}", f"{found['ratio_to_numpy']['median']:.2f}",
          f"{statistics.median(found['resident']) / MEGABYTE:.0f}", f"{found['size'] / MEGABYTE:.0f}"]
         for name, found in measured.items()],
    ))
    harness.write(options, "start", {"libraries": measured})


if __name__ == "__main__":
    main()
