# expect: step=mutant e
"""One point in a line is taken for nothing."""

ANSWERS = {
    "a": "kernel rule second",
    "b": "rule second",
    "c": "single",
    "d": "second",
    "e": "nothing",
    "f": "unread",
    "g": "kernel rule single second",
    "h": "nothing",
}
