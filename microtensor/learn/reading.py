"""What graders of reading exercises share: the blanks of a dictionary ANSWERS, the task as given, places in the source.

Their answers are not written down anywhere: the engine or the checker is asked while grading.
"""

import importlib.util
import re
from pathlib import Path

from microtensor.learn.course import find
from microtensor.learn.steps import Wrong

PACKAGE = Path(__file__).parents[1]
BETWEEN_WORDS = re.compile(r"(?:->|[\s,;()\[\]{}'\"])+")


def filled_in(answer, key):
    """What the answer's dictionary ANSWERS says for a key.

    Raises:
        Wrong: if there is no such dictionary or entry.
        NotImplementedError: if the entry is still a blank, such as "".
    """
    answers = answer["ANSWERS"]
    if not isinstance(answers, dict):
        raise Wrong(f"ANSWERS is of type {type(answers).__name__}, and should be a dictionary, as in the task")
    if key not in answers:
        raise Wrong(f"ANSWERS has no entry {key!r}")
    if not words_of(answers[key]):
        raise NotImplementedError
    return answers[key]


def words_of(said):
    """The words of an entry, however it is written, in small letters, and its numbers as floats, in a list."""
    if isinstance(said, (list, tuple, set, frozenset)):
        return [word for part in said for word in words_of(part)]
    return [_number_or_word(word) for word in BETWEEN_WORDS.split(str(said)) if word]


def _number_or_word(text):
    try:
        return float(text)
    except ValueError:
        return text.lower()


def as_given(name):
    """The task of an exercise as a module: not the learner's file, in which it may be changed."""
    spec = importlib.util.spec_from_file_location(name, find(name).folder / "exercise.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def place(file, *texts):
    """Where a line is in microtensor's source, with the line: "core.pyx, line 3: ...".

    Args:
        file: such as "ops/activation.pyx".
        texts: each is looked for behind the line that holds the one before; the last one is in the line that is meant.

    Raises:
        LookupError: if it is not there.
    """
    lines = (PACKAGE / file).read_text(encoding="utf-8").split("\n")
    number = -1
    for text in texts:
        number = next((i for i in range(number + 1, len(lines)) if text in lines[i]), None)
        if number is None:
            raise LookupError(f"{file} has no line with {text!r}")
    return f"{file}, line {number + 1}: {lines[number].strip()}"
