# expect: step=pair i
"""All is computed in float64; it is a large number that takes the digits."""

ANSWERS = {
    "a": "PASS",
    "b": "KINK",
    "c": "VACUOUS",
    "d": "FAIL",
    "e": "DISCONTINUOUS",
    "f": "PRECISION",
    "g": "NONFINITE",
    "h": "NOISY",
    "i": "PRECISION",
}
