# expect: step=mutant b
"""The figure of the loops is taken to run the rule."""

ANSWERS = {
    "a": "kernel rule second",
    "b": "kernel rule second",
    "c": "single",
    "d": "second",
    "e": "kinks",
    "f": "unread",
    "g": "kernel rule single second",
    "h": "nothing",
}
