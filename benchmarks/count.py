"""What a training step costs, counted and not timed, so that a regression shows on any machine, however busy.

    python benchmarks/count.py                  # compare with what is recorded in count.json; fails if there is more
    python benchmarks/count.py --update         # record what is counted now
    python benchmarks/count.py --no-instructions

For each case, per step in the steady state: Python and C calls made from Python; the bytes that a step takes on top
of what it found (the peak that tracemalloc sees, arrays and Python objects); page faults; and, with valgrind,
instructions, as the difference between two runs, so that starting cancels. Instructions depend on compiler, Python and
NumPy, so they are recorded for a combination of these, and one that has no record is only printed.
"""

import argparse
import gc
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

RECORD = Path(__file__).with_name("count.json")
CASES = ("moons", "digits", "digits+", "moons captured")
WARM_UP, STEPS, VALGRIND_STEPS = 20, 200, 20
LEVEL = "v3"  # valgrind knows no AVX-512
ALLOWANCE = {"calls": 1.0, "bytes": 1.02, "instructions": 1.03}  # times what is recorded
FAULTS = 0.1  # page faults per step above what is recorded: other things happen in a process


def step_of(case):
    """The step of a case, warmed up."""
    from peers import microtensor, microtensor_capture
    from steps import CASES as ALL_CASES
    from steps import data

    name, _, captured = case.partition(" ")
    peer = microtensor_capture if captured else microtensor
    step, _ = peer.build(ALL_CASES[name], *data(ALL_CASES[name]))
    for _ in range(WARM_UP):
        step()
    return step


def calls(step):
    """Python functions entered and C functions called from Python, in one step."""
    events = {"call": 0, "c_call": 0, "return": 0, "c_return": 0, "c_exception": 0}

    def count(frame, event, argument):
        events[event] += 1

    sys.setprofile(count)
    step()
    sys.setprofile(None)
    return events["call"] + events["c_call"] - 1  # the last is the call that ends the counting


def transient_bytes(step):
    """How far memory rises above its level within a step: the most of a few, as caches inside Python differ.

    Without Python's collector, which empties its lists of free objects: the next ones would count.
    """
    gc.collect()
    gc.disable()
    tracemalloc.start()
    for _ in range(WARM_UP):
        step()
    rises = []
    for _ in range(6):
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        step()
        _, peak = tracemalloc.get_traced_memory()
        rises.append(peak - before)
    tracemalloc.stop()
    gc.enable()
    return max(rises[1:])       # the first time there are new objects of the measurement itself


def page_faults(step):
    """Page faults per step; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(STEPS):
        step()
    return round((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / STEPS, 2)


def instructions(case):
    """Instructions per step: a run of so many steps and one of twice as many, subtracted."""
    def run(steps):
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, __file__]
        done = subprocess.run([*command, "--run", case, str(steps)], capture_output=True, text=True)
        collected = re.search(r"Collected : (\d+)", done.stderr)
        if done.returncode or not collected:
            raise SystemExit(f"valgrind could not run the step of {case}:\n{done.stderr}")
        return int(collected[1])

    return (run(2 * VALGRIND_STEPS) - run(VALGRIND_STEPS)) // VALGRIND_STEPS


def combination():
    """What a count of instructions depends on."""
    import numpy

    from microtensor.kernels import threads

    python = ".".join(platform.python_version_tuple()[:2])
    return f"Python {python}, NumPy {numpy.__version__}, {threads.compiler_version()}"


def counted(case, with_instructions):
    """All counts of a case."""
    step = step_of(case)
    found = {"page faults": page_faults(step), "calls": calls(step), "bytes": transient_bytes(step)}
    if with_instructions:
        found["instructions"] = instructions(case)
    return found


def excess(name, found, recorded):
    """Whether more was counted than is allowed."""
    if found is None or recorded is None:
        return False
    return found > (recorded + FAULTS if name == "page faults" else recorded * ALLOWANCE[name])


def main():
    """Count, print, and compare or record."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--case", choices=CASES, action="append", help="only this case (may be repeated)")
    arguments.add_argument("--update", action="store_true", help="record the counts")
    arguments.add_argument("--no-instructions", action="store_true", help="leave valgrind out")
    arguments.add_argument("--run", nargs=2, metavar=("CASE", "STEPS"), help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.run:
        step = step_of(options.run[0])
        for _ in range(int(options.run[1])):
            step()
        return 0
    fixed = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "MICROTENSOR_NUM_THREADS": "1"}
    if not options.no_instructions:
        fixed["MICROTENSOR_ISA"] = LEVEL
    if any(os.environ.get(name) != value for name, value in fixed.items()):  # Python reads the first when it starts
        return subprocess.run([sys.executable, *sys.argv], env={**os.environ, **fixed}).returncode
    if not options.no_instructions and not shutil.which("valgrind"):
        print("no instructions are counted: valgrind is not installed")
        options.no_instructions = True

    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    key, regressions = combination(), []
    for case in options.case or CASES:
        known = record.setdefault(case, {})
        for name, found in counted(case, not options.no_instructions).items():
            place, where = (known.setdefault(name, {}), key) if name == "instructions" else (known, name)
            recorded = place.get(where)
            print(f"{case:14} {name:13} {found:>12}   recorded {recorded if recorded is not None else 'nothing yet'}")
            if options.update:
                place[where] = found
            elif excess(name, found, recorded):
                regressions.append(f"{case}: {found} {name} per step, where {recorded} are recorded in {RECORD.name}")
    if options.update:
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
        print(f"wrote {RECORD}")
    for regression in regressions:
        print(f"REGRESSION: {regression}; if it is meant, run benchmarks/count.py --update", file=sys.stderr)
    return 1 if regressions else 0


if __name__ == "__main__":
    sys.exit(main())
