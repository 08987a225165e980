# expect: step=mutant f
"""What is kept for nothing is taken to do nothing."""

ANSWERS = {
    "a": "kernel rule second",
    "b": "rule second",
    "c": "single",
    "d": "second",
    "e": "kinks",
    "f": "nothing",
    "g": "kernel rule single second",
    "h": "nothing",
}
