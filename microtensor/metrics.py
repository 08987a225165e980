"""Metrics for fit and evaluate: functions of all outputs and targets that return a number."""

import numpy as np

from microtensor.core import Tensor


def accuracy(outputs, targets):
    """The share of right classes.

    Args:
        outputs: logits (N, C), C > 1, of which the largest counts; or (N,), (N, 1), ... of the targets' shape, of two
            classes, where above 0 is class 1. Probabilities, as of a Sigmoid, are all above 0: for
            these pass ``lambda outputs, targets: accuracy(outputs - 0.5, targets)``.
        targets: class numbers (N,), or numbers 0 and 1 of the outputs' shape.

    Raises:
        ValueError: if the shapes are neither, or targets of the outputs' shape are not 0 and 1.

    >>> import microtensor as mt
    >>> mt.metrics.accuracy(mt.tensor([[2.0, 1.0], [0.0, 3.0]]), mt.tensor([0, 0]))
    0.5
    """
    outputs, targets = _arrays(outputs, targets)
    if outputs.shape == targets.shape:
        if not np.isin(targets, (0, 1)).all():
            raise ValueError(f"accuracy of outputs and targets of one shape, {outputs.shape}, needs targets 0 and 1, "
                             f"got numbers from {targets.min()} to {targets.max()}")
        right = (outputs > 0) == targets
    elif outputs.ndim == 2 and outputs.shape[1] > 1 and targets.shape == outputs.shape[:1]:
        right = outputs.argmax(axis=1) == targets
    else:
        raise ValueError("accuracy needs outputs (N, C), C > 1, and targets (N,), or both of one shape, got "
                         f"{outputs.shape} and {targets.shape}")
    return float(right.mean())


def r2(outputs, targets):
    """The coefficient of determination, R^2: 1 for exact outputs, 0 for the mean of the targets everywhere.

    Args:
        outputs, targets: of one shape, (N,) or (N, D); the columns count alike.

    Raises:
        ValueError: if the shapes differ.

    Formula: 1 - sum (t - y)^2 / sum (t - mean(t))^2 of each column, then the mean of the columns; for targets that are
        all equal, 1 if the outputs are exact and 0 if not

    >>> import microtensor as mt
    >>> mt.metrics.r2(mt.tensor([1.0, 2.0, 4.0]), mt.tensor([1.0, 2.0, 3.0]))
    0.5

    Source: scikit-learn's r2_score.
    """
    outputs, targets = _arrays(outputs, targets)
    if outputs.shape != targets.shape:
        raise ValueError(f"r2 needs outputs and targets of one shape, got {outputs.shape} and {targets.shape}")
    residual = np.square(targets - outputs, dtype=np.float64).sum(axis=0)
    total = np.square(targets - targets.mean(axis=0, dtype=np.float64)).sum(axis=0)
    share = np.divide(residual, total, out=np.asarray(residual > 0, np.float64), where=total > 0)
    return float(np.mean(1 - share))


def _arrays(*tensors):
    return (tensor.detach().numpy() if isinstance(tensor, Tensor) else np.asarray(tensor) for tensor in tensors)
