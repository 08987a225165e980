"""`microtensor ...` as tests run it: in their own process, or, where a process is what is tested, in another."""

import contextlib
import io
import os
import subprocess
import sys
from types import SimpleNamespace

from microtensor.cli import main

COMMAND = [sys.executable, "-W", "error", "-m", "microtensor"]


def run(folder, *arguments):
    """What `microtensor ...` in a folder ends with and prints, without the second that a process takes to import it.

    Warnings are errors, as they are in all tests.
    """
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2)]
    before = os.getcwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
            code = main(list(map(str, arguments)))
    except SystemExit as exit:
        code = exit.code or 0
    finally:
        os.chdir(before)
    for stream in streams:
        stream.flush()
    out, err = (stream.buffer.getvalue().decode("utf-8").replace("\r\n", "\n") for stream in streams)
    return SimpleNamespace(returncode=code, stdout=out, stderr=err)


def run_alone(folder, *arguments, **environment):
    """The finished process of `microtensor ...`; warnings are errors."""
    return subprocess.run([*COMMAND, *arguments], cwd=folder, capture_output=True, encoding="utf-8",
                          env={**os.environ, **environment})
