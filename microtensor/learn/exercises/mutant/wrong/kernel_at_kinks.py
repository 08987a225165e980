# expect: step=mutant e
"""The inputs are taken to hit 0."""

ANSWERS = {
    "a": "kernel rule second",
    "b": "rule second",
    "c": "single",
    "d": "second",
    "e": "kernel",
    "f": "unread",
    "g": "kernel rule single second",
    "h": "nothing",
}
