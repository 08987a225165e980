"""A training step in plain NumPy, and which file and function of microtensor does each part: the map of the house.

Linear(2, 16), ReLU, Linear(16, 2), cross-entropy, backward, clipping, SGD with momentum. At the end microtensor takes
the same steps from the same initial weights, and the two are compared.

python examples/step_in_numpy.py
"""

import sys

import numpy as np

import microtensor as mt
from microtensor import nn, optim

STEPS, LEARNING_RATE, MOMENTUM, MAX_NORM = 5, 0.1, 0.9, 1.0

# -- data and initial weights in float64, for N points of I coordinates, H hidden units and C classes

rng = np.random.default_rng(0)
N, I, H, C = 64, 2, 16, 2      # noqa: E741
x = 3 * rng.standard_normal((N, I))
t = (x[:, 0] * x[:, 1] > 0).astype(np.int64)                    # (N,) the class of each point

weights = [                                                     # nn/linear.py, Linear.reset_parameters
    rng.uniform(-1, 1, (H, I)) / np.sqrt(I),                    # w1 (H, I), one row for each output
    rng.uniform(-1, 1, H) / np.sqrt(I),                         # b1 (H,)
    rng.uniform(-1, 1, (C, H)) / np.sqrt(H),                    # w2 (C, H)
    rng.uniform(-1, 1, C) / np.sqrt(H),                         # b2 (C,)
]


def train_in_numpy(parameters):
    """The loss before each step; the parameters are changed in place."""
    w1, b1, w2, b2 = parameters
    velocities = [None, None, None, None]
    losses = []
    for _ in range(STEPS):
        # Forward. Each line makes a tensor and an Op that keeps what its backward will read: core.pyx, record.
        # The comments name the function that does each part; a line without one belongs to the comment above it.

        h = x @ w1.T + b1                                       # (N, H)    ops/linear.pyx, Linear.run_forward
        y = np.maximum(h, 0)                                    # (N, H)    ops/activation.pyx, relu_forward
        z = y @ w2.T + b2                                       # (N, C)    ops/linear.pyx, Linear.run_forward

        # Cross-entropy: L = mean of ln s - z_t. ops/softmax.pyx, exponentials and cross_entropy_forward.

        m = z.max(1, keepdims=True)                             # (N, 1)    so that no exponential overflows
        e = np.exp(z - m)                                       # (N, C)
        s = e.sum(1, keepdims=True)                             # (N, 1)
        rows = np.log(s[:, 0]) + m[:, 0] - z[np.arange(N), t]   # (N,)
        losses.append(rows.sum() / N)

        # Backward, outputs before inputs: core.pyx, Engine.run_in_order. It starts with dL/dL = 1: core.pyx, _seed.

        dz = e / s / N                                          # (N, C)    ops/softmax.pyx, cross_entropy_backward
        dz[np.arange(N), t] -= 1 / N                            #           (p - q) / N, p = e / s the softmax
        dy = dz @ w2                                            # (N, H)    ops/linear.pyx, Linear.run_backward
        dw2 = dz.T @ y                                          # (C, H)
        db2 = dz.sum(0)                                         # (C,)
        dh = np.where(y > 0, dy, 0)                             # (N, H)    ops/activation.pyx, relu_backward
        dw1 = dh.T @ x                                          # (H, I)    ops/linear.pyx, Linear.run_backward
        db1 = dh.sum(0)                                         # (H,)      x is data: nobody asks for dx
        gradients = [dw1, db1, dw2, db2]                        #           core.pyx, Engine.deliver_to_leaf

        # Clipping: one factor for all gradients. nn/utils.py, clip_grad_norm_; foreach.pyx, clip_grad_norm_.

        norm = np.sqrt(sum((g * g).sum() for g in gradients))
        factor = MAX_NORM / (norm + 1e-6)
        if factor < 1:
            for g in gradients:
                g *= factor

        # SGD with momentum, in place: optim/optimizer.py, Optimizer.step; foreach.pyx, sgd_step and sgd_loop.

        for i, (parameter, g) in enumerate(zip(parameters, gradients, strict=True)):
            velocities[i] = g if velocities[i] is None else MOMENTUM * velocities[i] + g
            parameter -= LEARNING_RATE * velocities[i]
    return losses


def train_in_microtensor(parameters):
    """The same with microtensor."""
    model = nn.Sequential(nn.Linear(I, H), nn.ReLU(), nn.Linear(H, C)).double()
    model.load_state_dict(dict(zip(model.state_dict(), map(mt.from_numpy, parameters), strict=True)))
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    points, classes = mt.from_numpy(x), mt.from_numpy(t)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(points), classes)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        losses.append(loss.item())
    return losses, [parameter.detach().numpy() for parameter in model.parameters()]


# -- how far the two may differ: a bound for the worst case (you may skip this)
#
# Both compute the same formulas, with sums in another order, so they differ by rounding alone. In one step a number
# goes through at most R roundings, one after the other: in sums of I, H, C, C, H and N products, and in at most 32
# other operations (exp and log, which are right to one unit in the last place, count twice). Each is at most eps / 2 of
# what is added up, which stays below SIZE here. As both round, a step adds at most R SIZE eps to the difference.
#
# Let d be the larger of two differences: that of a weight, and lr times that of its velocity. A step makes at most
# (1 + momentum + lr |L''|) d of it: the weight's own, the velocity's, and the gradient's, where |L''|, the norm of the
# matrix of second derivatives, is taken to be below 8 here. That is less than 3 d. Clipping brings no two gradients
# further apart: it multiplies by M / (|g| + 1e-6), at most 1, and the result's norm grows no faster than |g|.

R, SIZE = I + 2 * H + 2 * C + N + 32, 16
BOUND = 3.0**STEPS * R * SIZE * np.finfo(np.float64).eps


def main():
    """Run both and compare; the exit code is 1 if they differ by more than rounding."""
    in_numpy = [w.copy() for w in weights]
    losses = train_in_numpy(in_numpy)
    their_losses, in_microtensor = train_in_microtensor(weights)
    for step, (a, b) in enumerate(zip(losses, their_losses, strict=True), 1):
        print(f"step {step}   loss in NumPy {a:.15f}   in microtensor {b:.15f}")
    pairs = [(losses, their_losses), *zip(in_numpy, in_microtensor, strict=True)]
    difference = max(np.abs(np.subtract(a, b)).max() for a, b in pairs)
    print(f"largest difference of losses and weights {difference:.1e}, bound {BOUND:.1e}")
    return 0 if difference <= BOUND else "the two differ by more than rounding explains"


if __name__ == "__main__":
    sys.exit(main())
