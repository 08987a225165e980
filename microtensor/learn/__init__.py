"""microtensor learn: exercises in which a person writes backward passes by hand, graded by ``microtensor.gradcheck``.

    learn.check("softmax")              in a notebook or a test: the Result, which shows itself
    learn.check("softmax", strict=True) raises AssertionError unless it passed
    learn.main(__file__)                at the end of an exercise's file
    learn.inputs("round4")              what a round of the hunt is checked with, to look at its numbers
    %load_ext microtensor.learn         then a cell that begins with %%learn softmax is written into the file and graded

The rest is the command ``microtensor learn``.
"""

import contextlib

__all__ = ["check", "inputs", "load_ipython_extension", "main"]


def check(name, *, seed=None, strict=False):
    """Grade an exercise, in a process of its own, and write the attempt down if the file is in a workspace.

    Args:
        name: of the exercise, whose file is looked for in the workspace around the current folder; or the path of the
            file.
        seed: grade at this seed alone.
        strict: raise unless the answer is right.

    Returns:
        The Result; ``print`` shows it, and so does a notebook.

    Raises:
        AssertionError: if the answer is wrong and strict is set; the message is what would be shown.
        LookupError: if there is no such exercise.
        OSError: if there is no such file, or no workspace.
    """
    from microtensor.learn.attempt import attempt

    result = attempt(name, seed=seed)
    if strict and not result.passed:
        raise AssertionError(str(result))
    return result


def main(path):
    """Grade the file of an exercise that is run as a program, and exit: with 0 if it is right, with 1 if not."""
    from microtensor.learn.attempt import attempt
    from microtensor.learn.screens import Screen

    try:
        result = attempt(path)
    except (LookupError, OSError) as error:
        raise SystemExit(f"{error}") from None
    with contextlib.suppress(BrokenPipeError):
        print("\n".join(Screen().result(result)), flush=True)
    raise SystemExit(0 if result.passed else 1)


def inputs(name, *, seed=0):
    """The inputs with which a round of the hunt is checked at a seed, a list of arrays.

    Raises:
        LookupError: if there is no such round.
    """
    from microtensor.learn.course import Round, find
    from microtensor.learn.hunt import inputs_of

    exercise = find(name)
    if not isinstance(exercise, Round):
        raise LookupError(f"{name} is no round of the hunt, such as round4")
    return list(inputs_of(exercise.number, seed).values())


def load_ipython_extension(ipython):
    """Register the cell magic ``%%learn``; called by ``%load_ext microtensor.learn``."""
    from microtensor.learn.notebook import write_and_check

    ipython.register_magic_function(write_and_check, "cell", "learn")
