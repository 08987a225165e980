# expect: step=mutant d
"""detach() is taken to change the numbers of the rule."""

ANSWERS = {
    "a": "kernel rule second",
    "b": "rule second",
    "c": "single",
    "d": "rule second",
    "e": "kinks",
    "f": "unread",
    "g": "kernel rule single second",
    "h": "nothing",
}
