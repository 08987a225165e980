"""Small letters, and spaces around them."""

ANSWERS = {"a": "pass", "b": "kink ", "c": "Vacuous", "d": "fail", "e": " discontinuous", "f": "precision",
           "g": "nonfinite", "h": "noisy", "i": "weak"}
