# expect: step=mutant d
"""detach() is taken to change nothing."""

ANSWERS = {
    "a": "kernel rule second",
    "b": "rule second",
    "c": "single",
    "d": "nothing",
    "e": "kinks",
    "f": "unread",
    "g": "kernel rule single second",
    "h": "nothing",
}
