# expect: step=pair h
"""The derivative is 1 whatever the noise is, but differences of two calls are not."""

ANSWERS = {
    "a": "PASS",
    "b": "KINK",
    "c": "VACUOUS",
    "d": "FAIL",
    "e": "DISCONTINUOUS",
    "f": "PRECISION",
    "g": "NONFINITE",
    "h": "PASS",
    "i": "WEAK",
}
