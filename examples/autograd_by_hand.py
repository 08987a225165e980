"""Fit a sine with a two-layer network made of tensors alone: no layers, no optimiser.

python examples/autograd_by_hand.py
"""

import numpy as np

import microtensor as mt

mt.manual_seed(0)
x = mt.tensor(np.linspace(-np.pi, np.pi, 200).reshape(-1, 1), dtype=mt.float32)     # (200, 1)
y = mt.tensor(np.sin(x.numpy()))                                                    # (200, 1)

w1 = mt.randn(1, 32, requires_grad=True)
b1 = mt.randn(32, requires_grad=True)
w2 = (mt.randn(32, 1) / 32**0.5).requires_grad_()
b2 = mt.zeros(1, requires_grad=True)

learning_rate = 0.05
for step in range(4001):
    hidden = (x @ w1 + b1).tanh()               # (200, 32)
    prediction = hidden @ w2 + b2               # (200, 1)
    loss = ((prediction - y) ** 2).mean()

    loss.backward()                             # fills w1.grad, b1.grad, w2.grad, b2.grad
    with mt.no_grad():                          # the update itself is not to be differentiated
        for parameter in (w1, b1, w2, b2):
            parameter -= learning_rate * parameter.grad
            parameter.grad = None               # or the next backward would add to it

    if step % 800 == 0:
        print(f"step {step:4}   loss {loss.item():.5f}")

print(f"largest error of the fit: {(prediction - y).abs().max().item():.3f}")
