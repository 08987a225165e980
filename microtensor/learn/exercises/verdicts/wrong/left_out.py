# expect: step=pair c
"""An entry is left out."""

ANSWERS = {
    "a": "PASS",
    "b": "KINK",
    "d": "FAIL",
    "e": "DISCONTINUOUS",
    "f": "PRECISION",
    "g": "NONFINITE",
    "h": "NOISY",
    "i": "WEAK",
}
