"""RMSprop."""

from microtensor import foreach
from microtensor.optim.optimizer import Optimizer, check_not_negative


class RMSprop(Optimizer):
    """RMSprop: the gradient divided by the root of the running mean of its square.

    Args:
        params: tensors, or dicts of parameter groups; see ``Optimizer``.
        lr: the learning rate, at least 0.
        alpha: the share of the running mean that is kept, at least 0.
        eps: is added to the root, at least 0.
        weight_decay: factor of the L2 penalty, at least 0.
        momentum: the share of the velocity that is kept, at least 0.
        centered: divide by the root of the variance: the square of the running mean of g is taken off.
        maximize: go up the gradient.

    Raises:
        ValueError: if an option is out of range, and as ``Optimizer``.

    Formula, per parameter theta with gradient g (negated for maximize):
        g = g + weight_decay theta
        v = alpha v + (1 - alpha) g^2
        r = sqrt(v) + eps;  centered: a = alpha a + (1 - alpha) g,  r = sqrt(v - a^2) + eps
        theta = theta - lr g / r;  with momentum b = momentum b + g / r,  theta = theta - lr b

    >>> import microtensor as mt
    >>> x = mt.tensor([1.0, 100.0], requires_grad=True)
    >>> optimizer = mt.optim.RMSprop([x], lr=0.25, alpha=0.75)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.detach()
    tensor([ 0.5, 99.5])

    Source: Hinton 2012, lecture 6e; the centred form: Graves 2013, arXiv:1308.0850.
    """

    update = staticmethod(foreach.rmsprop_step)

    def __init__(self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False, *,
                 maximize=False):
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay,
                                  "momentum": momentum, "centered": centered, "maximize": maximize})

    def check_options(self, options):
        """Raise ValueError if the value of an option is wrong."""
        check_not_negative(options, "lr", "alpha", "eps", "weight_decay", "momentum")
