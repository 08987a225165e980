# expect: step=pair f
"""float32 is seen, but taken for the rounding of large numbers."""

ANSWERS = {
    "a": "PASS",
    "b": "KINK",
    "c": "VACUOUS",
    "d": "FAIL",
    "e": "DISCONTINUOUS",
    "f": "WEAK",
    "g": "NONFINITE",
    "h": "NOISY",
    "i": "WEAK",
}
