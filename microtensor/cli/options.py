"""What an option may be: each type returns the value, or says in one sentence what is wrong with it."""

import argparse
import math


def _number(text, convert, fits, wanted):
    try:
        value = convert(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and fits(value)):
        raise argparse.ArgumentTypeError(f"must be {wanted}, got {text}")
    return value


def positive_integer(text):
    """1, 2, 3, ..."""
    return _number(text, int, lambda n: n >= 1, "a positive integer")


def not_negative_integer(text):
    """0, 1, 2, ..."""
    return _number(text, int, lambda n: n >= 0, "0 or a positive integer")


def positive(text):
    """A number above 0."""
    return _number(text, float, lambda x: x > 0, "a number above 0")


def not_negative(text):
    """A number of at least 0."""
    return _number(text, float, lambda x: x >= 0, "a number of at least 0")


def share(text):
    """A number in [0, 1)."""
    return _number(text, float, lambda x: 0 <= x < 1, "a number of at least 0 and below 1")
