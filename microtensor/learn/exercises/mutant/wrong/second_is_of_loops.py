# expect: step=mutant b
"""The gradient of the gradient is taken to come from the loops."""

ANSWERS = {
    "a": "kernel rule second",
    "b": "rule",
    "c": "single",
    "d": "second",
    "e": "kinks",
    "f": "unread",
    "g": "kernel rule single second",
    "h": "nothing",
}
