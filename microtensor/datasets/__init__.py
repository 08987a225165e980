"""Small data sets to train on: digits (inside the package), and moons, circles, spirals, blobs and xor (computed)."""

from microtensor.datasets.digits import digits
from microtensor.datasets.toy import blobs, circles, moons, spirals, xor

__all__ = ["blobs", "circles", "digits", "moons", "spirals", "xor"]
