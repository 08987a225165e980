# expect: step=mutant h
"""The gradient that nobody needs is taken to arrive somewhere."""

ANSWERS = {
    "a": "kernel rule second",
    "b": "rule second",
    "c": "single",
    "d": "second",
    "e": "kinks",
    "f": "unread",
    "g": "kernel rule single second",
    "h": "alone",
}
