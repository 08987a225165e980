"""One training step: the cases, their data, what the right answer is, and a process that times one program.

A step is zero_grad, forward, softmax cross-entropy, backward, clip_grad_norm_(1.0), SGD (rate 0.01, momentum 0.9) or
Adam (rate 0.001), and the loss read as a Python float. ``peers/`` holds it as an expert in each library would write it.
"""

import functools
import importlib
import itertools
import math
from typing import NamedTuple

import numpy as np
from harness import kernels, seconds_per_call

LEARNING_RATE, MOMENTUM, MAX_NORM = 0.01, 0.9, 1.0
ADAM_RATE, BETAS, EPSILON = 0.001, (0.9, 0.999), 1e-8
CHECKED_SCALE = 8  # of the inputs that programs are checked on: gradients so large that clipping does something


class Case(NamedTuple):
    """A net of Linear layers with ReLU between them, and its batch."""

    sizes: tuple
    batch: int
    batch_norm: bool = False  # after each hidden Linear
    dropout: float = 0.0  # after each ReLU
    optimizer: str = "SGD"  # or "Adam"

    @property
    def operations(self):
        """Floating-point operations in the matrix products of a step: y, dW, and dx but for the first layer."""
        return 2 * self.batch * (3 * sum(self.weights) - self.weights[0])

    @property
    def weights(self):
        """The number of weights of each layer."""
        return [inputs * outputs for inputs, outputs in itertools.pairwise(self.sizes)]

    @property
    def traffic(self):
        """Bytes that a step must move for its weights, in float32, and bytes in which they lie.

        Forward and dx read them, but for dx of the first layer; dW is written, and read for its norm; the optimizer
        reads weight, gradient and moments, and writes all but the gradient.
        """
        count, moments = sum(self.weights), {"SGD": 1, "Adam": 2}[self.optimizer]
        return 4 * ((2 + 2 + 3 + 2 * moments) * count - self.weights[0]), 4 * (2 + moments) * count


CASES = {
    "moons": Case((2, 16, 16, 2), 32),
    "digits": Case((64, 128, 64, 10), 64),
    "digits+": Case((64, 128, 64, 10), 64, True, 0.2),
    "digits-adam": Case((64, 128, 64, 10), 64, optimizer="Adam"),
    "deep": Case((64,) * 31 + (10,), 64),
    "mnist": Case((784, 256, 128, 10), 128),
    "mnist+": Case((784, 256, 128, 10), 128, True, 0.2),
    "bigbatch": Case((64, 128, 64, 10), 2048),
    "wide": Case((784, 1024, 1024, 10), 128),
    "wide-adam": Case((784, 1024, 1024, 10), 128, optimizer="Adam"),
    "huge": Case((2048, 2048, 2048, 2048), 256),
}


class Unsupported(Exception):  # noqa: N818 - not an error: the peer has no such layer, or would take hours
    """Raised by a peer for a case that it cannot do, with the reason."""


def data(case, scale=1):
    """Inputs (batch, sizes[0]), labels, and a weight (outputs, inputs) per Linear: the same for every program."""
    random = np.random.default_rng(0)
    x = scale * random.standard_normal((case.batch, case.sizes[0])).astype(np.float32)
    y = random.integers(0, case.sizes[-1], case.batch)
    weights = [
        (random.uniform(-1, 1, (outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)
        for inputs, outputs in itertools.pairwise(case.sizes)
    ]
    return x, y, weights


# -- the right answer -------------------------------------------------------------------------------------------------


def reference(case, steps=4):
    """The first gradients, the losses of a few steps, and the tolerance for float32, by plain NumPy in float64.

    Parameters and gradients are in the order weight, bias, and batch-norm's weight and bias, layer by layer. There is
    no dropout, as every library draws other masks.

    The rounding errors of a sum of n terms grow like u sqrt(n), u = 2^-24, and a gradient is a sum over every layer's
    inputs and outputs and over the batch, so rounding alone explains a relative error of a few u sqrt(n). A ReLU
    whose input is that near to zero may also fall to the other side: k of K that do change a gradient by sqrt(k/K).
    """
    x, y, weights = data(case, CHECKED_SCALE)
    layers = []
    for weight in weights:
        outputs = len(weight)
        layers.append([weight.astype(float), np.zeros(outputs)])
        if case.batch_norm and weight is not weights[-1]:
            layers[-1] += [np.ones(outputs), np.zeros(outputs)]
    terms = 2 * sum(case.sizes) + case.batch * (3 if case.batch_norm else 1)
    rounding = 4 * 2.0**-24 * math.sqrt(terms)

    losses, moments = [], None
    for step in range(1, steps + 1):
        loss, gradients, inputs_of_relu = loss_and_gradients(layers, x, y)
        losses.append(loss)
        if moments is None:
            first = gradients
            undecided = sum(np.count_nonzero(np.abs(z) < rounding * z.std()) for z in inputs_of_relu)
            tolerance = rounding + math.sqrt(undecided / sum(z.size for z in inputs_of_relu))
            moments = [(np.zeros_like(g), np.zeros_like(g)) for g in gradients]
        clip = min(1.0, MAX_NORM / (math.sqrt(sum((g * g).sum() for g in gradients)) + 1e-6))
        for parameter, g, (m, v) in zip(itertools.chain(*layers), gradients, moments, strict=True):
            parameter -= change(case.optimizer, clip * g, m, v, step)
    return first, losses, tolerance


def change(optimizer, g, m, v, step):
    """What the optimizer subtracts from a parameter; updates its moments, of which SGD needs the first only."""
    if optimizer == "SGD":
        m[...] = MOMENTUM * m + g
        return LEARNING_RATE * m
    m[...] = BETAS[0] * m + (1 - BETAS[0]) * g
    v[...] = BETAS[1] * v + (1 - BETAS[1]) * g * g
    unbiased_m, unbiased_v = m / (1 - BETAS[0] ** step), v / (1 - BETAS[1] ** step)
    return ADAM_RATE * unbiased_m / (np.sqrt(unbiased_v) + EPSILON)


def loss_and_gradients(layers, x, y):
    """Softmax cross-entropy of a net, its gradients, and what went into each ReLU."""
    h, cache, inputs_of_relu = x.astype(float), [], []
    for weight, bias, *norm in layers:
        z, deviation = h @ weight.T + bias, None
        if norm:
            deviation = np.sqrt(z.var(0) + 1e-5)
            z = (z - z.mean(0)) / deviation
        cache.append((h, z, deviation))
        if norm:
            z = z * norm[0] + norm[1]
        inputs_of_relu.append(z)
        h = np.maximum(z, 0)
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    rows = np.arange(len(y))
    loss = -np.log(p[rows, y]).mean()

    p[rows, y] -= 1
    g, gradients = p / len(y), []
    for (weight, _, *norm), (h, z, deviation) in zip(reversed(layers), reversed(cache), strict=True):
        norm_gradients = []
        if norm:
            norm_gradients = [(g * z).sum(0), g.sum(0)]
            g = g * norm[0]
            g = (g - g.mean(0) - z * (g * z).mean(0)) / deviation
        gradients = [g.T @ h, g.sum(0), *norm_gradients, *gradients]
        g = (g @ weight) * (h > 0)  # h is what the ReLU below gave; nobody asks for the gradient of x
    return loss, gradients, inputs_of_relu[:-1]


def disagreement(step, gradients, right):
    """The largest error of the gradients, and of the losses of a few steps, as a multiple of the tolerance."""
    largest = max(np.linalg.norm(right[f"gradient{number}"]) for number in range(len(gradients)))
    errors = [
        np.linalg.norm(np.asarray(g, float) - right[f"gradient{number}"]) / largest
        for number, g in enumerate(gradients)
    ]
    losses = itertools.chain.from_iterable(np.atleast_1d(step()) for _ in itertools.count())
    errors += [abs(loss - expected) / expected for expected, loss in zip(right["losses"], losses, strict=False)]
    return float(max(errors) / right["tolerance"])


# -- the child's side -------------------------------------------------------------------------------------------------


def answers(peer):
    """What the process of a peer does for each request."""
    step, blas = None, functools.cache(kernels)

    def prepare(case, right):
        """Build the step; first, given a file of the right answers, build one without dropout and check it."""
        nonlocal step
        case, reply = Case(*case), {}
        try:
            build = importlib.import_module(f"peers.{peer}").build
            if right:
                still = case._replace(dropout=0.0)
                with np.load(right) as answer:
                    step, gradients = build(still, *data(still, CHECKED_SCALE))
                    reply["disagreement"] = disagreement(step, gradients(), answer)
            step, _ = build(case, *data(case))
            reply["kernels"] = blas()
            for _ in range(5):
                step()
        except Unsupported as reason:
            reply["unsupported"] = str(reason)
        except Exception as failure:  # a peer that is broken here (no compiler, say) must not end the others
            reply["unsupported"] = f"{type(failure).__name__}: {failure}".splitlines()[0]
        return reply

    return {"prepare": prepare, "time": lambda seconds: seconds_per_call(step, seconds) / np.size(step())}
