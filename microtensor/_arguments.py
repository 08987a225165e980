"""Checks of arguments that many functions take."""

import operator

import numpy as np


def checked_bool(name, value):
    """True or False; another value is refused, as it is probably an argument in the wrong position."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def checked_count(name, value):
    """Python's int of a number of at least 1."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an int of at least 1, got {value!r}")
    count = operator.index(value)
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}")
    return count


def checked_number(name, value, least):
    """A number that is not below another one; NaN is."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} must be a number of at least {least}, got {value!r}")
    if not value >= least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return value
