# expect: step=mutant c
"""A check is called by another name."""

ANSWERS = {
    "a": "kernel rule second",
    "b": "rule second",
    "c": "float32",
    "d": "second",
    "e": "kinks",
    "f": "unread",
    "g": "kernel rule single second",
    "h": "nothing",
}
