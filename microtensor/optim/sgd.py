"""Stochastic gradient descent."""

from microtensor import foreach
from microtensor.optim.optimizer import Optimizer, check_not_negative


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum, Nesterov's variant and weight decay.

    Args:
        params: tensors, or dicts of parameter groups; see ``Optimizer``.
        lr: the learning rate, at least 0.
        momentum: the share of the velocity that is kept, at least 0.
        dampening: the share of the gradient that does not enter the velocity.
        weight_decay: factor of the L2 penalty, at least 0.
        nesterov: look ahead along the velocity; needs a momentum and no dampening.
        maximize: go up the gradient.

    Raises:
        ValueError: if an option is out of range, and as ``Optimizer``.

    Formula, per parameter theta with gradient g (negated for maximize):
        g = g + weight_decay theta
        v = momentum v + (1 - dampening) g;  the first v is g itself
        theta = theta - lr v;  with nesterov theta - lr (g + momentum v);  without momentum theta - lr g

    >>> import microtensor as mt
    >>> x = mt.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = mt.optim.SGD([x], lr=0.5)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.detach()
    tensor([0., 0.])

    Source: Sutskever et al. 2013 for momentum, with PyTorch's convention that lr multiplies the velocity.
    """

    update = staticmethod(foreach.sgd_step)

    def __init__(self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, *,
                 maximize=False):
        super().__init__(params, {"lr": lr, "momentum": momentum, "dampening": dampening,
                                  "weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize})

    def check_options(self, options):
        """Raise ValueError if the value of an option is wrong."""
        check_not_negative(options, "lr", "momentum", "weight_decay")
        if options["nesterov"] and (options["momentum"] == 0 or options["dampening"] != 0):
            raise ValueError("nesterov needs a momentum above 0 and no dampening, "
                             f"got momentum={options['momentum']} and dampening={options['dampening']}")
