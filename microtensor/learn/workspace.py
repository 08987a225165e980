"""A learner's folder: the files of the exercises, and what is known of the learner's progress.

    microtensor-learn/
        02_shapes/linear.py ...     the learner's
        .progress.json              attempts, hints, what passed; names that are not known survive
        .backup/                    what `reset` replaced

Every file is written beside its place and then moved there, so that an interruption or a full disk leaves the old one.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from itertools import count
from pathlib import Path

from microtensor._version import __version__
from microtensor.learn.course import EXERCISES, find, round_of_hunt

DEFAULT = "microtensor-learn"
PROGRESS, BACKUP, LOCK = ".progress.json", ".backup", ".lock"
SCHEMA = 1                  # of .progress.json
SOLUTION_AFTER = 3          # failed attempts

README = """\
# microtensor learn

You write the backward pass of one thing after another by hand, and a checker tells you which term is wrong.

    microtensor learn               go on where you were: watches the file, checks whenever you save
    microtensor learn list          the exercises, and which are done
    microtensor learn hint          a hint: a question, then the mathematics, then a skeleton
    microtensor learn hunt          a backward pass with one wrong statement to be found, and then the next: endless
    microtensor learn --help        the rest

Each file holds its task. `python 01_elementwise/sigmoid.py` checks that one.
"""


class Workspace:
    """The folder of one learner.

    Args:
        folder: where it is.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    # -- where it is -----------------------------------------------------------------------------------------------

    @classmethod
    def find(cls, start="."):
        """The workspace that a folder lies in or holds: the folder itself, one above, or ``microtensor-learn`` in it.

        Raises:
            FileNotFoundError: if there is none.
        """
        start = Path(start).resolve()
        for folder in (start, *start.parents, start / DEFAULT):
            if (folder / PROGRESS).exists():
                return cls(folder)
        raise FileNotFoundError(f"there is no course in {start}: `microtensor learn start` writes one into ./{DEFAULT}")

    @classmethod
    def start(cls, folder=None):
        """Write the course into a folder, but nothing over what is there.

        Args:
            folder: by default the one of the course around the current folder, or ``microtensor-learn`` in it.

        Returns:
            The workspace, and the names of the exercises that were written.
        """
        if folder is None:
            begun = [place for place in (Path(), *Path().resolve().parents)
                     if (place / PROGRESS).exists() or any((place / each.path).exists() for each in EXERCISES.values())]
            folder = begun[0] if begun else DEFAULT
        workspace = cls(folder)
        workspace.folder.mkdir(parents=True, exist_ok=True)
        with workspace.changing() as progress:
            written = [exercise.name for exercise in EXERCISES.values() if workspace._write_task(exercise, progress)]
            progress.data.setdefault("microtensor", __version__)
        if not (workspace.folder / "README.md").exists():
            write(workspace.folder / "README.md", README)
        return workspace, written

    def begin(self, exercise):
        """Write the task of an exercise, unless its file is there; whether it was written."""
        if self.path(exercise).exists():
            return False
        with self.changing() as progress:
            return self._write_task(exercise, progress)

    def _write_task(self, exercise, progress):
        path = self.path(exercise)
        if path.exists():
            return False
        write(path, exercise.task)
        progress.of(exercise)["task"] = sha256_of(exercise.task)
        return True

    def path(self, exercise):
        """Where the file of an exercise is."""
        return self.folder / exercise.path

    def exercise(self, name=None):
        """An exercise by its name; "hunt" is the round that comes next, and without a name it is the current one.

        Raises:
            LookupError: if there is none of that name.
        """
        if name is None:
            return self.current()
        return self.next_round() if name == "hunt" else find(name)

    def next_round(self):
        """The first round of the hunt that is not done."""
        progress = self.progress
        return next(each for each in map(round_of_hunt, count(1)) if self.state(each, progress) != "done")

    # -- progress --------------------------------------------------------------------------------------------------

    @property
    def progress(self):
        """The Progress as it is on the disk now."""
        return Progress.read(self.folder / PROGRESS)

    @contextlib.contextmanager
    def changing(self):
        """The Progress, to be changed: it is read, and written again at the end, while no other process does so."""
        with _locked(self.folder / LOCK):
            progress = self.progress
            yield progress
            write(self.folder / PROGRESS, json.dumps(progress.data, indent=1) + "\n")

    def record(self, exercise, result):
        """Write down an attempt.

        Returns:
            Its number; 0 for a file in which nothing is written yet, or nothing is changed.
        """
        with self.changing() as progress:
            entry = progress.of(exercise)
            tried = result.written and result.sha256 != entry.get("task")
            # The same file again is no attempt, but where the answer is elsewhere, in microtensor's source.
            if tried and (result.sha256 != entry.get("last") or exercise.patch):
                entry["attempts"] = entry.get("attempts", 0) + 1
                entry["last"] = result.sha256
            if result.passed:
                entry["passed"] = result.sha256
                entry.setdefault("when", time.strftime("%Y-%m-%dT%H:%M:%S"))
            progress.data["current"] = exercise.name
            return entry.get("attempts", 0) if tried else 0

    def next_hint(self, exercise, level=None):
        """The level of the hint that comes next, or the one asked for; it is written down as seen."""
        with self.changing() as progress:
            entry = progress.of(exercise)
            level = level or min(entry.get("hints", 0) + 1, len(exercise.hints))
            entry["hints"] = max(level, entry.get("hints", 0))
        return level

    def may_see_solution(self, exercise):
        """Whether a solution may be shown: it passed, or was tried often enough."""
        entry = self.progress.data["exercises"].get(exercise.name, {})
        return "passed" in entry or entry.get("attempts", 0) >= SOLUTION_AFTER

    def state(self, exercise, progress=None):
        """ "done", "changed" since it passed, "begun", "missing", or "" if nothing has been written."""
        entry = (progress or self.progress).data["exercises"].get(exercise.name, {})
        try:
            sha256 = hashlib.sha256(self.path(exercise).read_bytes()).hexdigest()
        except OSError:
            return "missing"
        if "passed" in entry:
            return "done" if entry["passed"] == sha256 else "changed"
        return "begun" if sha256 != (entry.get("task") or sha256_of(exercise.task)) else ""

    def is_outdated(self, exercise, progress=None):
        """Whether the task is another one now than when the file was written."""
        entry = (progress or self.progress).data["exercises"].get(exercise.name, {})
        return "task" in entry and entry["task"] != sha256_of(exercise.task)

    def current(self):
        """The exercise to go on with: the last one that was checked if it is not done, or else the next that is not."""
        progress = self.progress
        names = list(EXERCISES)
        last = progress.data.get("current")
        with contextlib.suppress(LookupError):
            if last not in EXERCISES and self.state(find(last or ""), progress) in ("", "begun", "changed"):
                return find(last)           # a round beyond those of the course
        first = names.index(last) if last in EXERCISES else 0
        for name in names[first:] + names[:first]:
            if self.state(EXERCISES[name], progress) != "done":
                return EXERCISES[name]
        return EXERCISES[last] if last in EXERCISES else EXERCISES[names[0]]

    def replace(self, exercise, text):
        """Write a text into the file of an exercise; what was there is kept in ``.backup/`` unless it is the task.

        Returns:
            Where it is kept, or None.
        """
        path, kept = self.path(exercise), None
        if path.exists() and path.read_bytes() not in (exercise.task.encode(), text.encode()):
            stamp, number = time.strftime("%Y-%m-%d-%H%M%S"), 0
            while kept is None or kept.exists():
                number += 1
                kept = self.folder / BACKUP / f"{exercise.name}-{stamp}-{number}.py"
            write(kept, path.read_bytes())
        write(path, text)
        return kept

    def reset(self, exercise):
        """Write the task again; the learner's file is kept in ``.backup/``.

        Returns:
            Where it is kept; None if there was none.
        """
        kept = self.replace(exercise, exercise.task)
        with self.changing() as progress:
            entry = progress.of(exercise)
            entry["task"] = sha256_of(exercise.task)
            entry.pop("passed", None)
        return kept


class Progress:
    """What ``.progress.json`` holds."""

    def __init__(self, data):
        self.data = data

    @classmethod
    def read(cls, path):
        """The progress in a file; none if there is no file.

        Raises:
            ValueError: if the file is not one of these.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls({"schema": SCHEMA, "exercises": {}})
        try:
            data = json.loads(text)
            if not all(isinstance(entry, dict) for entry in data["exercises"].values()):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path} cannot be read: remove it, and run `microtensor learn start` in the same folder, "
                             "then `check --all`; your answers are in their own files") from None
        if data.get("schema", SCHEMA) > SCHEMA:
            raise ValueError(f"{path} was written by a later microtensor than this one, {__version__}")
        return cls(data)

    def of(self, exercise):
        """The entry of one exercise, a dict that may be changed."""
        return self.data["exercises"].setdefault(exercise.name, {})


def sha256_of(text):
    """The SHA-256 of a text, as hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def write(path, content):
    """Write a file in one move; folders above it are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(handle, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


@contextlib.contextmanager
def _locked(path):
    """Hold a lock, which the system takes back if the process is killed; where there are none, go on without."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
