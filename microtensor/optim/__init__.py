"""Optimisers and learning-rate schedules."""

from microtensor.optim import lr_scheduler
from microtensor.optim.optimizer import Optimizer
from microtensor.optim.sgd import SGD

__all__ = ["SGD", "Optimizer", "lr_scheduler"]
