# expect: step=mutant d
"""An entry is left out."""

ANSWERS = {
    "a": "kernel rule second",
    "b": "rule second",
    "c": "single",
    "e": "kinks",
    "f": "unread",
    "g": "kernel rule single second",
    "h": "nothing",
}
