# expect: step=mutant a
"""Only the first figure that fails is named."""

ANSWERS = {
    "a": "kernel",
    "b": "rule",
    "c": "single",
    "d": "second",
    "e": "kinks",
    "f": "unread",
    "g": "kernel",
    "h": "nothing",
}
