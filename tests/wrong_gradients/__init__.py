"""Wrong gradients that people really write, each to be caught and named; and correct ones that must pass."""

from wrong_gradients import activations, layers, losses, must_pass, normalisation, optimizers
from wrong_gradients.entry import CORPUS, RIGHT
