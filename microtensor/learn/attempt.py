"""One attempt: find the file, grade it, and write down that it was tried."""

import contextlib
from pathlib import Path

from microtensor.learn.child import grade_in_child
from microtensor.learn.course import find
from microtensor.learn.workspace import Workspace


def attempt(name, seed=None, workspace=None):
    """Grade the file of an exercise.

    Args:
        name: of the exercise, whose file is in the workspace, or "hunt"; or the path of a file.
        seed: grade at this seed alone; such an attempt is not counted.
        workspace: by default the one around the file or, for a name, around the current folder, if there is one.

    Returns:
        The Result.

    Raises:
        LookupError: if there is no such exercise.
        OSError: if there is no such file, or no workspace.
    """
    path = Path(name)
    if path.suffix != ".py":
        workspace = workspace or Workspace.find()
        exercise = workspace.exercise(name)
        path = workspace.path(exercise)
    else:
        exercise = find(name)
        if workspace is None:
            with contextlib.suppress(FileNotFoundError):
                workspace = Workspace.find(path.resolve().parent)
    result = grade_in_child(exercise, path, None if seed is None else [seed])
    if workspace is not None and seed is None and workspace.path(exercise).resolve() == path.resolve():
        try:
            result.attempt = workspace.record(exercise, result)
        except (OSError, ValueError) as error:
            result.notes.append(f"this attempt could not be written down: {error}")
    return result
