"""Training a network.                                        about 90 minutes

The earlier exercises were about functions. Here you put them together: layers that remember, a network, an
optimiser, and the loop that trains. The grader then trains your network on two sets of data.

A layer is an object with two dictionaries and two methods:

    params      its parameters, arrays by name, such as {"w": ..., "b": ...}; empty if it has none. The optimiser may
                put new arrays in, and the grader does: forward must use what is in there when it is called.
    grads       dL/d(parameter), arrays by the same names; L is the loss, one number. Each backward pass replaces them.
    forward(x, training) -> y
                computes the output, and keeps what backward will need; training is True or False
    backward(g) -> dx
                g = dL/dy is the gradient of the loss with respect to the output of the last forward pass, dx = dL/dx
                with respect to its input. It fills grads, too.

Arrays have the shape (N, D): N rows, one for each example, of D features. ReLU is written already, to show how it is
done. The functions of earlier exercises are given: import them in the same way as relu, or write your own.

    linear(x, w, b) -> (y, saved)                                   linear_backward(g, saved) -> (dx, dw, db)
    batchnorm_layer(x, gamma, beta, running, training, momentum=0.1, eps=1e-5) -> (y, saved)
                                                batchnorm_layer_backward(g, saved) -> (dx, dgamma, dbeta)
    dropout(x, p, training, rng) -> (y, saved)                      dropout_backward(g, saved) -> dx
    cross_entropy(x, t) -> (y, saved)                               cross_entropy_backward(g, saved) -> dx
    step(theta, g, state, lr, momentum, weight_decay, nesterov) -> the new theta

running is a dictionary {"mean": ..., "var": ...} of two arrays of shape (D,); batchnorm_layer updates it in training.
state is a dictionary in which step keeps the velocity: {} at first, and another one for each array of parameters.

What you must write yourself:

1. The layers.

    Linear(inputs, outputs, rng)
        y = x w' + b, where w' is the transposed w. params holds "w", of shape (outputs, inputs), and "b", of shape
        (outputs,). At first b is 0, and the elements of w are random numbers, independent of each other, of mean 0
        and variance 2 / inputs. All random numbers here are drawn from rng, a random generator of NumPy.
    BatchNorm(size)
        params holds "gamma", which is 1 at first, and "beta", 0 at first, both of shape (size,). In training every
        column is normalised with mean and variance of the batch, and the running averages are updated, with momentum
        0.1: the mean, which is 0 at first, and the unbiased variance, 1 at first. Otherwise the running averages take
        the place of mean and variance. eps is 1e-5.
    Dropout(p, rng)
        In training each element is dropped with probability p, anew in every call, and the others are multiplied by
        1 / (1 - p). Otherwise y = x.

2. CrossEntropy(), the loss, with two methods:

    forward(x, t) -> L          x has the shape (N, C), scores of C classes for each row; t holds N integers, the
                                right classes. L is the mean of -ln(softmax of row n)[t_n], one number.
    backward() -> dx            dL/dx for the last forward pass

3. SGD(layers, lr, momentum=0.0, weight_decay=0.0), the optimiser. step() goes through all parameters theta of all
   layers, using layer.grads[name], and puts the new theta into layer.params[name]: a new array, or the old one,
   changed in place. Each of them has its own velocity v, 0 at first:

        v = momentum * v + (gradient + weight_decay * theta)            theta = theta - lr * v

   The arrays in grads stay as they are. A layer may share its names with others, but not its velocities.

4. train(layers, x, t, optimizer, epochs, batch, rng) -> the losses of all batches, in order: a list of floats

   layers is a list: the output of one layer is the input of the next. x (N, D) and t (N,) are all data; they stay as
   they are. One epoch goes through all rows once, in a new random order, which is drawn from rng. Cut that order into
   batches of so many rows; the last one may have fewer. For each batch: forward through all layers, with training=
   True; the loss; backward through all layers; optimizer.step().

5. predict(layers, x) -> for each row the class of the largest score, N integers. training is False here.

The grader checks one thing after the other, each layer by itself first. If all is right, it trains

    moons       500 points of two classes       Linear, BatchNorm, ReLU, Linear
    digits      1438 images of ten digits       Linear, BatchNorm, ReLU, Dropout, Linear

from five seeds each, and the median of the accuracy on data that was not used for training must reach a bound. What
works reaches it, in a few seconds.

Things to think about:

    - Objects of one class must not share anything: a dictionary that is made in the body of the class, and not in
      __init__, is the same one for all of them.
    - x and t must be shuffled together.
"""

import numpy as np

from microtensor.learn.given import relu, relu_backward


class ReLU:
    def __init__(self):
        self.params, self.grads = {}, {}

    def forward(self, x, training):
        y, self.saved = relu(x)
        return y

    def backward(self, g):
        return relu_backward(g, self.saved)


class Linear:
    def __init__(self, inputs, outputs, rng):
        raise NotImplementedError

    def forward(self, x, training):
        raise NotImplementedError

    def backward(self, g):
        raise NotImplementedError


class BatchNorm:
    def __init__(self, size):
        raise NotImplementedError

    def forward(self, x, training):
        raise NotImplementedError

    def backward(self, g):
        raise NotImplementedError


class Dropout:
    def __init__(self, p, rng):
        raise NotImplementedError

    def forward(self, x, training):
        raise NotImplementedError

    def backward(self, g):
        raise NotImplementedError


class CrossEntropy:
    def forward(self, x, t):
        raise NotImplementedError

    def backward(self):
        raise NotImplementedError


class SGD:
    def __init__(self, layers, lr, momentum=0.0, weight_decay=0.0):
        raise NotImplementedError

    def step(self):
        raise NotImplementedError


def train(layers, x, t, optimizer, epochs, batch, rng):
    raise NotImplementedError


def predict(layers, x):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
