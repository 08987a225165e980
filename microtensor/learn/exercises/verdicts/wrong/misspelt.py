# expect: step=pair a
"""No verdict."""

ANSWERS = {
    "a": "PASSED",
    "b": "KINK",
    "c": "VACUOUS",
    "d": "FAIL",
    "e": "DISCONTINUOUS",
    "f": "PRECISION",
    "g": "NONFINITE",
    "h": "NOISY",
    "i": "WEAK",
}
