"""Entries that are filled in one by one, what was tried out before, and a pair that was changed for that."""

import numpy as np

PAIRS = {"b": (np.abs, lambda g, x: g * np.sign(x), np.array([0.0]))}

ANSWERS = {}
ANSWERS["b"] = "KINK"
ANSWERS["d"] = "FAIL"
ANSWERS["a"] = "PASS"
ANSWERS["c"] = "VACUOUS"
ANSWERS["e"] = "DISCONTINUOUS"
ANSWERS["f"] = "PRECISION"
ANSWERS["g"] = "NONFINITE"
ANSWERS["h"] = "NOISY"
ANSWERS["i"] = "WEAK"
