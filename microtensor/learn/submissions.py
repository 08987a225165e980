"""``microtensor learn grade``: run the files of many learners again, and make a table of what is right.

A submission is a folder; every file in it that has the name of an exercise is graded, wherever it lies. Nothing is
believed but the files: not the progress that a folder holds. Each runs in a process of its own, as many at a time as
there are processors.
"""

import csv
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from microtensor._version import __version__
from microtensor.learn.child import grade_in_child
from microtensor.learn.course import EXERCISES, find

SCHEMA = 1                                      # of the CSV and the JSON
COLUMNS = ("submission", "exercise", "passed", "step", "text", "hint", "seed", "sha256", "seconds", "path")


@dataclass
class Graded:
    """One file of a submission.

    Attributes:
        submission: the folder, as it was given.
        result: the Result; None if the file could not be read.
        exercise: its name.
        path: of the file, in the folder.
        seconds: that grading took.
        error: why it could not be read.
    """

    submission: str
    exercise: str
    path: str
    result: object = None
    seconds: float = 0.0
    error: str = ""

    @property
    def passed(self):
        """Whether the answer is right."""
        return self.result is not None and self.result.passed

    def row(self):
        """The values of COLUMNS."""
        failed = next((step for step in self.result.steps if not step.passed), None) if self.result else None
        return {
            "submission": self.submission, "exercise": self.exercise, "passed": int(self.passed),
            "step": failed.name if failed else "", "text": failed.text if failed else self.error,
            "hint": failed.hint if failed else "", "seed": self.result.seed if self.result else "",
            "sha256": self.result.sha256 if self.result else "", "seconds": round(self.seconds, 2), "path": self.path,
        }


def files_of(folder, names=()):
    """The files of a submission that have the name of an exercise, in the course's order; none in hidden folders.

    Args:
        folder: the submission.
        names: of the exercises that count; by default all that the course lists.

    Raises:
        NotADirectoryError: if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(20, "there is no such folder", str(folder))
    names = names or list(EXERCISES)
    found = [path for path in sorted(folder.rglob("*.py"))
             if path.stem in names and not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    return sorted(found, key=lambda path: names.index(path.stem))


def grade_submissions(folders, names=()):
    """Grade what is in some folders; yields a Graded for each file, in order.

    Args:
        folders: one for each submission.
        names: as of ``files_of``.

    Raises:
        NotADirectoryError: if one of them is none, before anything is graded.
    """
    files = [(str(folder), path) for folder in folders for path in files_of(folder, names)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            yield from pool.map(_grade, files)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _grade(file):
    submission, path = file
    graded = Graded(submission, path.stem, str(path.relative_to(submission)))
    start = time.monotonic()
    try:
        graded.result = grade_in_child(find(path.stem), path)
    except OSError as error:
        graded.error = f"the file cannot be read: {error.strerror}"
    graded.seconds = time.monotonic() - start
    return graded


def write_csv(file, graded):
    """Write a table, a row for each file, into an open file."""
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    writer.writerows(each.row() for each in graded)


def write_json(file, graded):
    """Write all that was found into an open file."""
    rows = [{**each.row(), "passed": each.passed, "result": each.result.to_dict() if each.result else None}
            for each in graded]
    found = {"schema": SCHEMA, "microtensor": __version__, "exercises": list(EXERCISES), "files": rows}
    json.dump(found, file, indent=1)
    file.write("\n")
