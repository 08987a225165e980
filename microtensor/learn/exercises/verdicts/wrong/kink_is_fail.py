# expect: step=pair b
"""A kink is taken for a failure; backward's slope is one of those that are allowed."""

ANSWERS = {
    "a": "PASS",
    "b": "FAIL",
    "c": "VACUOUS",
    "d": "FAIL",
    "e": "DISCONTINUOUS",
    "f": "PRECISION",
    "g": "NONFINITE",
    "h": "NOISY",
    "i": "WEAK",
}
