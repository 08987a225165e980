"""scikit-learn: MLPClassifier's own loss and gradients (``_backprop``) and optimiser.

``partial_fit`` would validate, shuffle and binarise the data again at every step, and cannot clip.
"""

import math

import numpy as np
from sklearn.neural_network import MLPClassifier
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer
from steps import LEARNING_RATE, MAX_NORM, MOMENTUM, Unsupported


def build(case, x, y, weights):
    """The step, and the gradients."""
    if case.optimizer != "SGD":
        raise Unsupported("scikit-learn's Adam adds epsilon before it corrects the bias, so it computes something else")
    if case.batch_norm or case.dropout:
        raise Unsupported("scikit-learn has neither batch-norm nor dropout")
    classes = np.arange(case.sizes[-1])
    model = MLPClassifier(case.sizes[1:-1], solver="sgd", alpha=0, batch_size=case.batch)
    model.partial_fit(x, y, classes=classes)
    model.out_activation_ = "softmax"  # also for two classes
    model.coefs_ = [weight.T.copy() for weight in weights]
    model.intercepts_ = [np.zeros(len(weight), np.float32) for weight in weights]
    parameters = model.coefs_ + model.intercepts_
    optimizer = SGDOptimizer(parameters, LEARNING_RATE, momentum=MOMENTUM, nesterov=False)
    one_hot = (y[:, None] == classes).astype(np.float32)
    layers = len(weights)
    activations = [x] + [np.empty((case.batch, size), np.float32) for size in case.sizes[1:]]
    deltas, weight_gradients, bias_gradients = ([None] * layers for _ in range(3))

    def backprop():
        return model._backprop(x, one_hot, None, activations, deltas, weight_gradients, bias_gradients)

    def step():
        loss, weight_gradients, bias_gradients = backprop()
        gradients = weight_gradients + bias_gradients
        norm = math.sqrt(sum(np.vdot(g, g) for g in gradients))
        if norm > MAX_NORM:
            for g in gradients:
                g *= MAX_NORM / (norm + 1e-6)
        optimizer.update_params(parameters, gradients)
        return float(loss)

    def gradients():
        _, weight_gradients, bias_gradients = backprop()
        return [g for w, b in zip(weight_gradients, bias_gradients, strict=True) for g in (w.T, b)]

    return step, gradients
