# expect: step=mutant g
"""single is taken to look at float32 alone."""

ANSWERS = {
    "a": "kernel rule second",
    "b": "rule second",
    "c": "single",
    "d": "second",
    "e": "kinks",
    "f": "unread",
    "g": "kernel rule second",
    "h": "nothing",
}
