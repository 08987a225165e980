"""Batch normalisation in evaluation.                         about 25 minutes

Batch normalisation subtracts a mean from every column of x and divides by the root of a variance. In training these
are the mean and the variance of the batch. When the network is in use, a batch may be one single row, and the output
of a row should not depend on the other rows. So the layer keeps running averages of both while it trains, and
normalises with these in evaluation.

x has the shape (N, D): N rows of D features. gamma, beta and the running averages have the shape (D,), one number for
each column. `running` is a dictionary of two arrays, running["mean"] and running["var"].

1. Write the forward pass of the layer, for both modes.

    batchnorm_layer(x, gamma, beta, running, training, momentum=0.1, eps=1e-5) -> (y, saved)

    training is True: x is normalised with the mean and the variance of the batch, as the function batchnorm does it.
        Each of the two running averages is replaced, in the dictionary, by

            (1 - momentum) (what it was) + momentum (that of the batch)

        The running variance is an estimate for all data, not only for this batch. Therefore the variance of the batch
        that goes into it is the unbiased one, which divides by N - 1. The one in y divides by N. N is at least 2.

    training is False: no running average changes, N may be 1, and

            y = gamma (x - running["mean"]) / sqrt(running["var"] + eps) + beta

    The function returns a pair: the output y, and `saved`, whatever backward will need; that may be one array, or a
    tuple of anything.

Two functions are given: batchnorm(x, gamma, beta, eps) is the forward pass of training without running averages. It
returns (y, saved). batchnorm_backward(g, saved) is its backward pass, and returns (dx, dgamma, dbeta).

2. Write the backward pass of the layer, for both modes.

    batchnorm_layer_backward(g, saved) -> (dx, dgamma, dbeta)

g is the upstream gradient dL/dy: the derivative of a number L, the loss, with respect to every element of y. The
results are dL/dx, dL/dgamma and dL/dbeta, each of the shape of its input. Between forward and backward the layer may
be called in the other mode, so `saved` must tell the mode. In evaluation: which of the numbers in y depend on x?

3. Predict what a gradient checker says. It compares the gradients that a backward pass returns with differences of
the forward pass, and gives a verdict for each input:

    PASS        they agree, and a wrong gradient would have been noticed
    FAIL        they do not agree
    VACUOUS     they agree, but all that is there is 0, and nothing was tested

If everything is 0, the checker moves the input far away, too. If the output stays the same wherever the input is
moved, then 0 is verified, and the verdict is PASS. If the output changes somewhere, the verdict is VACUOUS.

Put one of the three words in the place of each None in VERDICTS:

    "training"      A linear layer, z = x w + b, and then batch normalisation of z, in training. The backward pass
                    returns the right dx and dw, and always 0 for db. What is the verdict for b?
    "evaluation"    The same with batch normalisation in evaluation, and again 0 for db. What is the verdict for b?
    "dead"          One unit, y = max(0, x w + b). Its b is so negative that x w + b is below 0 for every row of x.
                    The backward pass is right. What is the verdict for w?

Do not change x, gamma, beta or g: make new arrays.
"""

import numpy as np

from microtensor.learn.given import batchnorm, batchnorm_backward


def batchnorm_layer(x, gamma, beta, running, training, momentum=0.1, eps=1e-5):
    raise NotImplementedError


def batchnorm_layer_backward(g, saved):
    raise NotImplementedError


VERDICTS = {"training": None, "evaluation": None, "dead": None}


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
