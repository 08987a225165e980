"""Optimisers and learning-rate schedules."""

from microtensor.optim import lr_scheduler
from microtensor.optim.adam import Adam, AdamW
from microtensor.optim.optimizer import Optimizer
from microtensor.optim.rmsprop import RMSprop
from microtensor.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler"]
