# expect: step=pair c
"""Zeros agree with zeros, but nothing was tested."""

ANSWERS = {
    "a": "PASS",
    "b": "KINK",
    "c": "PASS",
    "d": "FAIL",
    "e": "DISCONTINUOUS",
    "f": "PRECISION",
    "g": "NONFINITE",
    "h": "NOISY",
    "i": "WEAK",
}
