"""The verdicts in the order of the pairs."""

VERDICTS = ["PASS", "KINK", "VACUOUS", "FAIL", "DISCONTINUOUS", "PRECISION", "NONFINITE", "NOISY", "WEAK"]
ANSWERS = dict(zip("abcdefghi", VERDICTS, strict=True))
