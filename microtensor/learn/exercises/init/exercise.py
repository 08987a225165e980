"""Initialisation.                                            about 20 minutes

The weights of a linear layer begin as random numbers. Their size decides whether the signals of a deep network keep
their size from layer to layer, or grow or die. The layer has fan_in = I inputs and fan_out = O outputs, and W has the
shape (O, I):

    z_o = sum over i of  W_oi x_i               x has the shape (I,), and z the shape (O,)

Write

    init(kind, fan_in, fan_out, rng) -> W       an array of floats of shape (fan_out, fan_in)

All elements of W are drawn independently from the same distribution. Its mean is 0, and kind, a string, says which one
it is and what its standard deviation s is:

    kind                    distribution        s
    "small"                 normal              0.01, whatever I and O are
    "xavier_normal"         normal              Xavier's, see below
    "xavier_uniform"        uniform             Xavier's
    "he_normal"             normal              He's, see below
    "he_uniform"            uniform             He's

Uniform means that all numbers from -a to a are equally likely. a is not s: find the a that leads to the standard
deviation s.

The rest is about second moments: that of a random number is the expected value of its square, E[x^2]. Let all elements
of x have the same one, and let x be independent of W.

Xavier's s. Write E[z_o^2] with E[x_i^2], I and s. Forward, the second moment is kept if E[z_o^2] = E[x_i^2]; what is
1/s^2 then? Backward, the layer is given g = dL/dz, of shape (O,), the gradient of a number L, the loss. It passes on
dL/dx_i = sum over o of g_o W_oi. Take g to be independent of W, too: what is 1/s^2 if E[(dL/dx_i)^2] = E[g_o^2]? The
two agree only where I = O. For Xavier's s, 1/s^2 is the mean of the two.

He's s. Let there be a ReLU in front of the layer: x_i = max(0, u_i), where u_i and -u_i are equally likely. He's s
keeps the second moment forward through both together, E[z_o^2] = E[u_i^2]; backward is not asked about.

rng is a random generator of NumPy, such as np.random.default_rng(0). Draw what you need from rng and from nothing
else: for example, rng.standard_normal(shape) has mean 0 and standard deviation 1, and rng.random(shape) is uniform
from 0 to 1. Then equal generators give equal arrays, and every further call with one generator gives other numbers.
fan_in and fan_out are at least 1.

The grader draws many numbers, and compares their mean, their variance and their distribution with what they should
be. A right answer fails by chance at most once in ten thousand times.
"""

import numpy as np


def init(kind, fan_in, fan_out, rng):
    raise NotImplementedError


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
