"""SGD with momentum, weight decay and look-ahead.            about 30 minutes

Stochastic gradient descent moves an array of parameters, theta, against the gradient of the loss. Write one step:

    step(theta, g, state, lr, momentum, weight_decay, nesterov) -> the new theta

    theta           an array of floats of any shape, () included
    g               dL/dtheta, an array of that shape: the gradient of the loss L at theta
    state           a dictionary that belongs to this theta. It is empty before the first step; put into it, under any
                    names, what the next step needs. The same dictionary is passed again in the next step of this
                    theta, and every other array of parameters has a dictionary of its own.
    lr              the learning rate, a number above 0, which may be another one in every step
    momentum        a number with 0 <= momentum < 1
    weight_decay    a number that is at least 0
    nesterov        True or False

The step consists of three parts:

1. Weight decay. The loss that is minimised is L + weight_decay / 2 * sum of theta_i^2, over all elements theta_i of
   theta. Let d be the gradient of both terms together. It takes the place of g in all that follows.

2. Momentum. The velocity v is a sum of all d so far, in which older ones count less. It is 0 before the first step,
   and in each step

        v_new = momentum * v_old + d
        theta_new = theta - lr * v_new              this is the step if nesterov is False

   lr is the one of this step. It multiplies all of the velocity, what comes from earlier steps included.

3. Nesterov's look-ahead, if nesterov is True. The idea is to take the gradient not where the parameters are, but
   where the old velocity will carry them: if the parameters are phi, at phi - lr * momentum * v_old. So let theta
   stand for that point at all times. Then a step goes back to phi, makes the step from there, and looks ahead again:

        phi       = theta + lr * momentum * v_old
        phi_new   = phi - lr * v_new
        theta_new = phi_new - lr * momentum * v_new

   This simplifies: write theta_new with theta, d, v_new, lr and momentum alone.

The caller reuses memory: before the next step it writes the next gradient into the same array g. So what you keep in
state must not be that array.

Do not change theta or g: make new arrays.
"""

import numpy as np


def step(theta, g, state, lr, momentum, weight_decay, nesterov):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
