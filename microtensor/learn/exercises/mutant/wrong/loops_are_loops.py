# expect: step=mutant c
"""It is overlooked that the line is for float32 alone."""

ANSWERS = {
    "a": "kernel rule second",
    "b": "rule second",
    "c": "kernel rule single second",
    "d": "second",
    "e": "kinks",
    "f": "unread",
    "g": "kernel rule single second",
    "h": "nothing",
}
