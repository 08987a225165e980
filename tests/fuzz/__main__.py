"""Look for programs that crash microtensor, or that make it compute a wrong number.

    python tests/fuzz                               # two minutes, another seed each time
    python tests/fuzz --minutes 60 --seed 7
    python tests/fuzz --programs 100000 --torch     # numbers are compared with PyTorch's
    python tests/fuzz --replay finding.txt          # a program that was found, once more

Random programs of public calls with hostile arguments (see programs.py) run in child processes (judge.py). An
exception is fine. A signal is a finding, and so is what a sanitizer reports, and a wrong number: every second program
leaves alone what a graph has saved, and runs again on contiguous copies on one thread; its numbers may differ by so
much as they do when the last digits of all inputs and operands change. A finding is made as short as it will go, and
printed. The exit status is 1 if there was one.
"""

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import programs
from judge import read_log

HERE = Path(__file__).parent
BATCH = 250         # programs in a process


class Fuzzer:
    """Programs of one seed, in batches; and how they end."""

    def __init__(self, options, folder):
        self.options, self.folder = options, Path(folder)
        self.extra = ["--torch"] if options.torch else []
        if options.before:
            self.extra += ["--before", options.before]
        self.done = self.long = 0

    def child(self, log, *arguments):
        command = [sys.executable, str(HERE / "judge.py"), "--log", str(log), *map(str, arguments), *self.extra]
        return subprocess.run(command, capture_output=True, text=True)

    def batch(self, first):
        """Run the programs from this number on until findings are enough: (number, lines, what was seen) of each."""
        log, findings, end = self.folder / f"{first}.log", [], first + BATCH
        while first < end and (wanted := self.options.findings - len(findings)) > 0:
            log.unlink(missing_ok=True)
            child = self.child(log, "--seed", self.options.seed, "--first", first, "--count", end - first,
                               "--findings", wanted)
            for line in child.stdout.splitlines():
                found = json.loads(line)
                lines = list(map(programs.Line.read, found["lines"]))
                findings.append((found["index"], lines, "\n".join(found["wrong"])))
            if child.returncode == 0:
                self.done += (end if len(findings) < self.options.findings else findings[-1][0] + 1) - first
                break
            if not log.exists():
                raise SystemExit(child.stderr)
            index, lines = read_log(log)
            self.done += index + 1 - first
            if child.returncode == -signal.SIGALRM:
                self.long += 1
                if self.options.slow:
                    report(index, lines, "took too long", "")
            else:
                findings.append((index, lines, ended(child)))
            first = index + 1
        log.unlink(missing_ok=True)
        return findings

    def replay(self, lines, index=0):
        """What is seen when lines run alone, or ''."""
        path = self.folder / "replay.txt"
        save(path, index, lines)
        child = self.child(self.folder / "replay.log", "--replay", path)
        if child.returncode == -signal.SIGALRM:
            return ""
        if child.returncode:
            return ended(child)
        return "\n".join(json.loads(child.stdout)["wrong"]) if child.stdout.strip() else ""

    def shrink(self, lines, before=""):
        """Fewer lines that still show something of the kind, simpler ones if that does, and what they show."""
        seen = self.replay(lines)
        if not seen:
            return lines, f"{before}\n(not seen again when it ran alone)"
        crash = seen.startswith("ended")

        def shows(candidate):
            nonlocal seen
            now = self.replay(candidate)
            if not now or now.startswith("ended") != crash:
                return False
            seen = now
            return True

        def shorter(lines, size):
            while True:
                start = len(lines) - size
                while start > -size:
                    candidate = lines[:max(start, 0)] + lines[start + size:]
                    if len(candidate) < len(lines) and candidate and shows(candidate):
                        lines = candidate
                    start -= size
                if size == 1:
                    return lines
                size //= 2

        lines = shorter(lines, max(len(lines) // 2, 1))
        for i in reversed(range(len(lines))):           # an earlier tensor in place of one that a line computes
            earlier = [line.result for line in lines[:i] if line.result and line.result[0] == "t"]
            if lines[i].result and lines[i].result[0] == "t":
                candidates = (lines[:i] + [line.with_tensor(lines[i].result, name) for line in lines[i + 1:]]
                              for name in reversed(earlier))
                lines = next((candidate for candidate in candidates if shows(candidate)), lines)
        lines = shorter(lines, 1)
        for i, line in enumerate(lines):
            for layout in programs.LAYOUTS[1:]:
                text = line.text.replace(repr(layout), "'plain'")
                if text != line.text:
                    simpler = programs.Line(text, line.tensors, line.result, line.pure, line.calm)
                    if shows([*lines[:i], simpler, *lines[i + 1:]]):
                        lines = [*lines[:i], simpler, *lines[i + 1:]]
        return lines, seen


def ended(child):
    name = signal.Signals(-child.returncode).name if child.returncode < 0 else f"exit code {child.returncode}"
    return "\n".join([f"ended by {name}", *child.stderr.splitlines()[-40:]])


def save(path, index, lines):
    Path(path).write_text("".join(f"{text}\n" for text in (index, *map(repr, lines))))


def report(index, lines, seen, path):
    print(f"\nprogram {index}: {seen}\n")
    for line in lines:
        print(f"    {line.source()}")
    print(f"\nagain: python tests/fuzz --replay {path}", flush=True)


def main():
    """Fuzz for a time or a number of programs."""
    parser = argparse.ArgumentParser(prog="tests/fuzz", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, help="how long (default 2, if --programs is not given)")
    parser.add_argument("--programs", type=int, help="how many programs")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9),
                        help="of all programs (default: another each time)")
    parser.add_argument("--torch", action="store_true", help="compare numbers with PyTorch's, on gentle programs only")
    parser.add_argument("--findings", type=int, default=1, help="end after so many findings (default 1)")
    parser.add_argument("--folder", type=Path, default=Path("runs/fuzz"),
                        help="where findings are saved (default runs/fuzz)")
    parser.add_argument("--replay", type=Path, metavar="FILE",
                        help="run the program of a finding again, and shorten it")
    parser.add_argument("--before", metavar="FILE", help="Python to run in each child first, to plant an error")
    parser.add_argument("--slow", action="store_true", help="show programs that took too long")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(),
                        help="processes at a time (default: all processors)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(options, folder)
        if options.replay:
            index, lines = read_log(options.replay)
            lines, seen = fuzzer.shrink(lines)
            report(index, lines, seen, options.replay)
            return int(bool(fuzzer.replay(lines)))
        return int(not fuzz(fuzzer, options))


def fuzz(fuzzer, options):
    """Batches on all processors until the time, the programs or the patience is over. Returns whether all is well."""
    minutes = options.minutes or (2 if options.programs is None else float("inf"))
    start, count, pending, first = time.monotonic(), 0, [], 0
    print(f"seed {options.seed}", flush=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        while True:
            in_time = time.monotonic() - start < 60 * minutes and (options.programs is None or first < options.programs)
            if in_time and count < options.findings and len(pending) < options.jobs:
                pending.append(pool.submit(fuzzer.batch, first))
                first += BATCH
                continue
            if not pending:
                break
            for index, lines, seen in pending.pop(0).result()[:max(options.findings - count, 0)]:
                count += 1
                lines, seen = fuzzer.shrink(lines, seen)
                options.folder.mkdir(parents=True, exist_ok=True)
                path = options.folder / f"{options.seed}-{index}.txt"
                save(path, index, lines)
                report(index, lines, seen, path)
    minutes = (time.monotonic() - start) / 60
    print(f"seed {options.seed}: {fuzzer.done} programs in {minutes:.1f} min, {count} findings; {fuzzer.long} took too "
          "long and were ended")
    return count == 0


if __name__ == "__main__":
    sys.exit(main())
