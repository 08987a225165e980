"""What an option may be: each type returns the value, or says in one sentence what is wrong with it."""

import argparse
import math
from pathlib import Path

from microtensor import optim

# What --optimizer may be, and what each name stands for. The parser can afford to name classes: importing any part of
# microtensor has imported optim.
OPTIMIZERS = {"adamw": optim.AdamW, "adam": optim.Adam, "rmsprop": optim.RMSprop, "sgd": optim.SGD}


def _number(text, convert, fits, wanted):
    try:
        value = convert(text)
        right = math.isfinite(value) and fits(value)
    except (ValueError, OverflowError):     # the latter of an int that no float can hold
        right = False
    if not right:
        raise argparse.ArgumentTypeError(f"must be {wanted}, got {text}")
    return value


def positive_integer(text):
    """1, 2, 3, ..."""
    return _number(text, int, lambda n: n >= 1, "a positive integer")


def width(text):
    """1, 2, 3, ...: after --layers, which takes whatever follows, a file too."""
    if not text.isdigit() and Path(text).suffix:
        raise argparse.ArgumentTypeError(f"must be positive integers, got {text}: name DATA before the options")
    return positive_integer(text)


def not_negative_integer(text):
    """0, 1, 2, ..."""
    return _number(text, int, lambda n: n >= 0, "0 or a positive integer")


def seed(text):
    """0, 1, 2, ..., as far as NumPy goes."""
    return _number(text, int, lambda n: 0 <= n < 2**32, "0 or a positive integer below 2**32")


def positive(text):
    """A number above 0."""
    return _number(text, float, lambda x: x > 0, "a number above 0")


def not_negative(text):
    """A number of at least 0."""
    return _number(text, float, lambda x: x >= 0, "a number of at least 0")


def delimiter(text):
    """One character; a tab by its name, too."""
    text = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(text) != 1:
        raise argparse.ArgumentTypeError(f"must be one character or tab, got {text}")
    return text


def share(text):
    """A number in [0, 1)."""
    return _number(text, float, lambda x: 0 <= x < 1, "a number of at least 0 and below 1")
