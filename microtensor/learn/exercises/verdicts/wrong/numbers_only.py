# expect: step=pair d
"""The numbers of backward are right, but it writes into g."""

ANSWERS = {
    "a": "PASS",
    "b": "KINK",
    "c": "VACUOUS",
    "d": "PASS",
    "e": "DISCONTINUOUS",
    "f": "PRECISION",
    "g": "NONFINITE",
    "h": "NOISY",
    "i": "WEAK",
}
