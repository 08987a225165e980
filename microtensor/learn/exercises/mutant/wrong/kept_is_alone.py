# expect: step=mutant f
"""A gradient is taken to be another one where b needs none."""

ANSWERS = {
    "a": "kernel rule second",
    "b": "rule second",
    "c": "single",
    "d": "second",
    "e": "kinks",
    "f": "alone",
    "g": "kernel rule single second",
    "h": "nothing",
}
