"""The child process of the fuzzer: runs programs, and says whose numbers are wrong. See __main__.py, which reads it.

A crash needs no judge: it ends this process, and the last lines of the log are the program.
"""

import argparse
import contextlib
import json
import os
import random
import re
import signal
import sys
from functools import reduce
from pathlib import Path

import numpy as np
import programs

import microtensor as mt

SECONDS = 10        # for a program; what takes longer, such as the sum of 2^61 numbers, is ended and not judged
MEMORY = 3 << 30    # bytes of addresses
LENGTH = 25         # statements
DISTURBANCE = 4     # units in the last place of all numbers,
RUNS = 3            # in so many runs: what they change tells how exact a number can be,
MARGIN = 32         # up to this factor
FLOOR = 32          # units in the last place of the largest number of an array


class Log:
    """The lines of the program that runs, in a file that outlives this process."""

    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def begin(self, index):
        os.ftruncate(self.file, 0)
        os.lseek(self.file, 0, os.SEEK_SET)
        os.write(self.file, f"{index}\n".encode())

    def tell(self, line):
        os.write(self.file, f"{line!r}\n".encode())


def read_log(path):
    """The number of the program in a log, and its lines."""
    with open(path) as file:
        index, *lines = file.read().splitlines()
    return int(index), list(map(programs.Line.read, lines))


def state(lines, library, array, copy_of=None, threads=2):
    """The numbers that lines leave, from the same state of the library; pure lines compute with copies, if given."""
    if library is mt:
        mt.set_num_threads(threads)
    library.manual_seed(0)
    names = programs.namespace(library, array, copy_of)
    programs.run(lines, names, copied=copy_of is not None, strict=True)
    return programs.numbers(names)


def without_threads(lines):
    return [line for line in lines if not line.text.startswith("mt.set_num_threads")]


def disturbed(lines, seed):
    """The numbers of a program where all that it computes with differs in the last digits; None if it fails there."""
    noise = programs.Disturbed(DISTURBANCE, seed)
    with contextlib.suppress(Exception):
        return state(without_threads(lines), mt, noise.array, noise.copy_of, threads=1)


def differences(found, expected, others, other_library=False):
    """Names of arrays that differ by more than rounding can explain, with what they hold."""
    wrong = []
    for name, right in expected.items():
        if name not in found or any(other is None or name not in other for other in others):
            continue
        value, near = found[name], [other[name] for other in others]
        if other_library and not value.dtype.kind == right.dtype.kind == "f":
            continue
        if value.shape != right.shape or value.dtype != right.dtype:
            wrong.append(f"{name}: {value.shape} {value.dtype}, not {right.shape} {right.dtype}")
            continue
        if any(other.shape != right.shape for other in near):
            continue
        with np.errstate(all="ignore"):
            if value.dtype.kind != "f":
                certain = reduce(np.logical_and, [other == right for other in near])
                bad = certain & (value != right)
            else:
                finite = reduce(np.logical_and, [np.isfinite(other) for other in (right, *near)])
                certain = reduce(np.logical_and, [np.isnan(other) == np.isnan(right) for other in near])
                largest = np.max(np.abs(right), initial=0, where=np.isfinite(right))
                spread = reduce(np.maximum, [np.abs(other - right) for other in near])
                spread = np.maximum(spread, np.mean(spread, where=finite) if finite.any() else 0)
                allowed = MARGIN * spread + FLOOR * np.finfo(right.dtype).eps * largest
                bad = finite & ~(np.abs(value - right) <= allowed)
                # A number that is uncertain by all of itself may come from a division by what may as well be 0.
                bad &= ~(np.isinf(value) & (np.abs(right) <= allowed))
                bad |= certain & (np.isnan(value) != np.isnan(right))
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            wrong.append(f"{name}{list(where)}: {value[where]!r}, not {right[where]!r}")
    return wrong


def judge(lines, other):
    """What is wrong with the numbers of a program: against its calm form, or against another library."""
    lines = list(lines)
    if other is not None:
        lines = prefix_of(lines, other)
    calm = without_threads(lines)
    try:
        found = state(lines, mt, programs.array)
    except Exception:       # a line that raised had done a part of its work when the program was written
        return []
    try:
        if other is None:
            expected = state(calm, mt, programs.plain_array, programs.copy_of, threads=1)
        else:
            expected = state(calm, other, programs.plain_array)
    except Exception as error:
        return [f"raises only on contiguous copies: {type(error).__name__}: {error}"] if other is None else []
    wrong = differences(found, expected, [disturbed(lines, seed) for seed in range(RUNS)], other is not None)
    # A number that hangs on the last digit of another may escape a few runs.
    return wrong and differences(found, expected, [disturbed(lines, seed) for seed in range(10 * RUNS)],
                                 other is not None)


def prefix_of(lines, other):
    """The lines up to the first that another library refuses."""
    names = programs.namespace(other, programs.plain_array)
    for i, line in enumerate(lines):
        if not all(programs.run([line], names)):
            return lines[:i]
    return lines


def limit():
    """Let no program take the machine's memory; a sanitizer needs all addresses, and has a limit of its own."""
    with contextlib.suppress(ImportError):
        import resource
        if "asan" not in os.environ.get("LD_PRELOAD", "") and "tsan" not in os.environ.get("LD_PRELOAD", ""):
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main():
    """Run one program again, or so many new ones."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", required=True)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--first", type=int)
    parser.add_argument("--count", type=int)
    parser.add_argument("--findings", type=int, default=1)
    parser.add_argument("--torch", action="store_true")
    parser.add_argument("--replay")
    parser.add_argument("--before")
    options = parser.parse_args()
    other = None
    if options.torch:
        import torch as other
        other.set_num_threads(1)
    mt.set_num_threads(3)
    (mt.ones(1000, 300).exp() + 1).sum()            # the threads are there before memory is scarce
    limit()
    if options.before:
        exec(compile(Path(options.before).read_text(), options.before, "exec"), {})
    if options.replay:
        index, lines = read_log(options.replay)
        clock(SECONDS)
        mt.set_num_threads(2)
        mt.manual_seed(0)
        ended_well = programs.run(lines, programs.namespace(mt))
        if all(line.calm for line in lines):
            lines = [line for line, well in zip(lines, ended_well, strict=True) if well]
            print(json.dumps({"index": index, "wrong": judge(lines, other)}))
        return
    log, functions, dtypes = Log(options.log), programs.callables(mt), programs.DTYPES
    if other is not None:
        # Random numbers differ, and torch.<loss> has other defaults than in torch.nn.functional, which is called too.
        functions = [f for f in functions if not re.search(r"rand|dropout|init|seed|mt\.\w+(loss|entropy)", f[0])]
        dtypes = programs.FLOATS        # what is done to integers is in docs/differences.md
    for index in range(options.first, options.first + options.count):
        log.begin(index)
        clock(SECONDS)
        mt.set_num_threads(2)
        mt.manual_seed(0)
        gentle = other is not None or index % 2 == 0
        writer = programs.Writer(mt, functions, f"{options.seed}:{index}", gentle, log.tell, dtypes)
        writer.write(random.Random(index).randint(3, LENGTH))
        if gentle:
            lines = [line for line, well in zip(writer.lines, writer.ended_well, strict=True) if well]
            wrong = judge(lines, other)
            if wrong:
                print(json.dumps({"index": index, "wrong": wrong, "lines": [repr(line) for line in lines]}), flush=True)
                options.findings -= 1
                if not options.findings:
                    break
        del writer
    clock(0)


def clock(seconds):
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    sys.exit(main())
