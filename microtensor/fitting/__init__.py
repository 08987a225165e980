"""Training: fit runs the loop, evaluate measures, and callbacks are called after every epoch."""

from microtensor.fitting.callbacks import Checkpoint, CSVLogger, EarlyStopping
from microtensor.fitting.history import History
from microtensor.fitting.loop import evaluate, fit
from microtensor.fitting.training import Training

__all__ = ["CSVLogger", "Checkpoint", "EarlyStopping", "History", "Training", "evaluate", "fit"]
