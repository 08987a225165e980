# expect: step=pair g
"""Only forward was looked at, which is finite."""

ANSWERS = {
    "a": "PASS",
    "b": "KINK",
    "c": "VACUOUS",
    "d": "FAIL",
    "e": "DISCONTINUOUS",
    "f": "PRECISION",
    "g": "KINK",
    "h": "NOISY",
    "i": "WEAK",
}
