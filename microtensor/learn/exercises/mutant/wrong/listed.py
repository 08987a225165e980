# expect: step=mutant a
"""A list in place of the dictionary."""

ANSWERS = [
    "kernel rule second",
    "rule second",
    "single",
    "second",
    "kinks",
    "unread",
    "kernel rule single second",
    "nothing",
]
