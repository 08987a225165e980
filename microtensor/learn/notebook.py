"""The cell magic ``%%learn NAME``: write the cell into the exercise's file, and grade it.

    %load_ext microtensor.learn

    %%learn sigmoid
    import numpy as np
    ...
"""

from microtensor.learn.attempt import attempt
from microtensor.learn.course import find
from microtensor.learn.workspace import DEFAULT, Workspace


def write_and_check(line, cell):
    """Write a cell into the file of an exercise, in the workspace around the current folder or a new one, and grade it.

    Args:
        line: what stands after ``%%learn``: the name of the exercise.
        cell: the text.

    Returns:
        The Result, which a notebook shows; None for a line that is wrong, which is said.
    """
    try:
        exercise = find(line.strip())
    except LookupError as error:
        print(error.args[0] if line.strip() else "%%learn takes the name of an exercise, such as %%learn sigmoid")
        return None
    try:
        workspace = Workspace.find()
    except FileNotFoundError:
        workspace, _ = Workspace.start(DEFAULT)
        print(f"wrote the course into ./{DEFAULT}")
    workspace.replace(exercise, cell)
    return attempt(exercise.name, workspace=workspace)
