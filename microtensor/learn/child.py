"""Grade a file in a process of its own, which may print, hang, exit or crash: what it found comes back through a file.

The child writes an event per line, as soon as it is known, so that a process that ends in the middle of a step leaves
all that it found before; what the learner's code prints goes another way. Where a file does not come to its end, the
child writes down after most of its time which line it is at.
"""

import contextlib
import faulthandler
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path

from microtensor.learn.course import find
from microtensor.learn.grading import Result, grade
from microtensor.learn.steps import Step

PRINTED = 2000              # characters of what a file prints are kept
MEMORY = 4 << 30            # bytes of addresses that a child may use
WRITTEN = 16 << 20          # bytes of a file that it may write
START = 5                   # seconds that Python and NumPy may take to start, besides the exercise's own
NO_ROOM = 74                # the exit code if the report could not be written

# The first entry of the path is the folder that Python was started in, where a learner may have a numpy.py.
PROGRAM = "import sys; sys.path[0] = sys.argv[1]; from microtensor.learn.child import main; main(*sys.argv[2:])"


# -- in the process that asks --------------------------------------------------------------------------------------


def grade_in_child(exercise, path, seeds=None, seconds=None):
    """The Result for a file, graded in another process.

    Args:
        exercise: the Exercise.
        path: of the file.
        seeds: as in ``grade``.
        seconds: how long it may take; by default as long as the exercise says.

    Raises:
        OSError: if the file cannot be read, or no folder for the report can be made.
    """
    path = Path(path).resolve()
    with open(path, "rb"):          # what cannot be read is no wrong answer
        pass
    seconds = exercise.seconds if seconds is None else seconds
    with tempfile.TemporaryDirectory(prefix="microtensor-learn-", ignore_cleanup_errors=True) as folder:
        report, stack = Path(folder, "report"), Path(folder, "stack")
        arguments = [str(Path(__file__).parents[2]), exercise.name, str(path), str(report), str(stack), str(seconds),
                     *map(str, seeds or ())]
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments], cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        printed = _Reader(process.stdout)
        try:
            code = process.wait(seconds + START)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
        result, unfinished = _read(exercise, path, report)
        result.printed = printed.text()
        if unfinished:
            result.add(_explain(unfinished, code, seconds, _lines_of(stack, path)))
        return result


class _Reader(threading.Thread):
    """Reads all that a process prints, so that it never waits, and keeps the beginning."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.stream, self.kept, self.total = stream, b"", 0
        self.start()

    def run(self):
        with self.stream:
            while chunk := self.stream.read1(1 << 16):
                self.total += len(chunk)
                self.kept += chunk[: max(0, 4 * PRINTED - len(self.kept))]

    def text(self):
        """What was printed, shortened."""
        self.join(1)                # a grandchild may hold the pipe open
        text = self.kept.decode("utf-8", "replace")
        if len(text) <= PRINTED and len(self.kept) == self.total:
            return text
        return f"{text[:PRINTED]}\n... ({self.total:,} bytes in all)"


def _end(process):
    """Kill a process, and whatever it started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _read(exercise, path, report):
    """The Result from the events of a report, as far as they go, and the name of the step that did not end, or ""."""
    result, unfinished = Result(exercise.name, str(path)), "import"
    lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    for line in lines:
        try:
            event, value = json.loads(line)
        except ValueError:          # the disk was full
            break
        if event == "sha256":
            result.sha256 = value
        elif event == "seed":
            result.seed, result.steps = value, []
        elif event == "begin":
            unfinished = value
        elif event == "step":
            result.add(Step(**value))
        elif event == "end":
            unfinished = ""
    return result, unfinished


def _explain(name, code, seconds, where):
    """The Step that did not end."""
    if code is None or where:
        return Step(name, False, f"stopped after {seconds:g} s: is there a loop that does not end?", where)
    if code == NO_ROOM:
        return Step(name, False, f"the grader could not write its report: is there room in {tempfile.gettempdir()}?")
    if code < 0:
        return Step(name, False, f"the process was killed by signal {-code}, {signal.Signals(-code).name}")
    return Step(name, False, f"the file ended the process with exit code {code}: leave out os._exit() and the like")


def _lines_of(stack, path):
    """The line of the learner's file that a stack was written at, in a list."""
    text = stack.read_text(encoding="utf-8", errors="replace") if stack.exists() else ""
    for line in text.splitlines():
        if f'File "{path}", line ' in line:
            number = int(line.split(", line ")[1].split()[0])
            source = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
            return [f"line {number}: {source[number - 1].strip()}"] if number <= len(source) else []
    return []


# -- in the child --------------------------------------------------------------------------------------------------


def main(name, path, report, stack, seconds, *seeds):
    """Grade a file and write the events of it into a report."""
    _limit()
    with open(report, "w", encoding="utf-8") as file, open(stack, "w") as stack_file:
        faulthandler.dump_traceback_later(float(seconds), file=stack_file, exit=True)

        def tell(event, value):
            try:
                file.write(json.dumps([event, asdict(value) if isinstance(value, Step) else value]) + "\n")
                file.flush()
            except OSError:
                os._exit(NO_ROOM)

        grade(find(name), path, list(map(int, seeds)) or None, tell)
        tell("end", None)
        faulthandler.cancel_dump_traceback_later()
    sys.stdout.flush()
    os._exit(0)                     # whatever the file has started


def _limit():
    """Bound memory and the size of files where the system can."""
    try:
        import resource
    except ImportError:
        return
    for limit, size in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, WRITTEN), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(limit)[1]
        size = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(limit, (size, hard))
