"""Libraries timed in turn, each in a process of its own: the parent asks, the child answers, a JSON line each."""

import json
import os
import subprocess
import sys


class Runner:
    """A child process: the script again, with ``--serve name --threads n``."""

    def __init__(self, script, name, threads=1):
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MICROTENSOR_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            [sys.executable, script, "--serve", name, "--threads", str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )

    def ask(self, do, **arguments):
        """Have the child call one of its functions, and wait for the result."""
        self.process.stdin.write(json.dumps([do, arguments]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a benchmark process died; its error is above")
        return json.loads(line)

    def close(self):
        """Let the process end."""
        self.process.stdin.close()
        self.process.wait()


def serve(functions):
    """The child's side: call the functions by name, as the parent asks, until it closes the pipe."""
    for line in sys.stdin:
        do, arguments = json.loads(line)
        print(json.dumps(functions[do](**arguments)), flush=True)
