"""Small data sets to train on: digits (inside the package) and moons (computed)."""

from microtensor.datasets.digits import digits
from microtensor.datasets.moons import moons

__all__ = ["digits", "moons"]
