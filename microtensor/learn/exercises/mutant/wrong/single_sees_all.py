# expect: step=mutant a
"""float32 is taken to be compared with what is right."""

ANSWERS = {
    "a": "kernel rule single second",
    "b": "rule second",
    "c": "single",
    "d": "second",
    "e": "kinks",
    "f": "unread",
    "g": "kernel rule single second",
    "h": "nothing",
}
