"""How long a check of each exercise takes, how soon watch reacts to a save, and what it costs while nothing happens.

    python benchmarks/course.py
"""

import argparse
import os
import pty
import resource
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from microtensor.learn.child import grade_in_child
from microtensor.learn.course import EXERCISES
from microtensor.learn.workspace import Workspace


def check_seconds(exercise, repeats):
    """The median seconds of a check of the solution, from the start of its process to its result."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{exercise.name}.py")
        path.write_text(exercise.read("solution.py"), encoding="utf-8")
        for _ in range(repeats):
            start = time.perf_counter()
            assert grade_in_child(exercise, path).passed
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


class Watched:
    """`microtensor learn watch sigmoid` on a terminal of its own."""

    def __init__(self, folder):
        self.handle, end = pty.openpty()
        command = [sys.executable, "-m", "microtensor", "learn", "watch", "sigmoid"]
        self.process = subprocess.Popen(command, cwd=folder, stdin=end, stdout=end, stderr=end, start_new_session=True)
        os.close(end)

    def read_until(self, text):
        """Read until a text is shown."""
        shown = ""
        while text not in shown:
            select.select([self.handle], [], [])
            shown += os.read(self.handle, 65536).decode("utf-8", "replace")

    def cpu_seconds(self):
        """What the process has used, without its children."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="of each check and save (default: 5)")
    parser.add_argument("--idle", type=float, default=20, metavar="SECONDS", help="to watch for (default: 20)")
    options = parser.parse_args()
    print("a check of the solution, from the start of its process, median:")
    for exercise in EXERCISES.values():
        if exercise.patch:
            continue                # it builds microtensor
        print(f"  {exercise.name:16} {check_seconds(exercise, options.repeats):.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        workspace, _ = Workspace.start(folder)
        path = workspace.path(EXERCISES["sigmoid"])
        watched = Watched(folder)
        watched.read_until("q quit")
        answer, seconds = EXERCISES["sigmoid"].read("solution.py"), []
        for number in range(options.repeats):
            start = time.perf_counter()
            path.write_text(f"{answer}\n# {number}\n")
            watched.read_until("q quit")
            seconds.append(time.perf_counter() - start)
        alone = check_seconds(EXERCISES["sigmoid"], options.repeats)
        print(f"watch: {max(seconds):.2f} s at most from a save to the result, of which the check is {alone:.2f} s")
        before = watched.cpu_seconds()
        time.sleep(options.idle)
        print(f"watch, idle: {(watched.cpu_seconds() - before) / options.idle:.2%} of a core")
        watched.process.kill()
        watched.process.wait()
    print(f"largest process: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
