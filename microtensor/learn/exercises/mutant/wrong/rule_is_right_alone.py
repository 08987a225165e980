# expect: step=mutant a
"""Figures that the right rule is part of are taken to stay."""

ANSWERS = {
    "a": "kernel",
    "b": "rule second",
    "c": "single",
    "d": "second",
    "e": "kinks",
    "f": "unread",
    "g": "kernel rule single second",
    "h": "nothing",
}
