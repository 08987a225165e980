"""Adam and AdamW."""

from microtensor import foreach
from microtensor.optim.optimizer import Optimizer, check_not_negative


class Adam(Optimizer):
    """Adam: a step of about lr for each parameter, whatever the size of its gradient; weight decay is an L2 penalty.

    Args:
        params: tensors, or dicts of parameter groups; see ``Optimizer``.
        lr: the learning rate, at least 0.
        betas: the shares of the running means of g and of g^2 that are kept, each in [0, 1).
        eps: is added to the root of the mean of g^2, at least 0.
        weight_decay: factor of the L2 penalty, at least 0.
        amsgrad: take the largest mean of g^2 that there was.
        maximize: go up the gradient.

    Raises:
        ValueError: if an option is out of range, and as ``Optimizer``.

    Formula, per parameter theta with gradient g (negated for maximize), in its step t = 1, 2, ...:
        g = g + weight_decay theta
        m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  amsgrad: u = max(u, v), in place of v below
        theta = theta - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

    >>> import microtensor as mt
    >>> x = mt.tensor([1.0, 100.0], requires_grad=True)
    >>> optimizer = mt.optim.Adam([x], lr=0.5)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.detach()
    tensor([ 0.5, 99.5])

    Source: Kingma and Ba 2015, arXiv:1412.6980; amsgrad: Reddi et al. 2018, arXiv:1904.09237.
    """

    update = staticmethod(foreach.adam_step)

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, *,
                 maximize=False):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                                  "amsgrad": amsgrad, "maximize": maximize})

    def check_options(self, options):
        """Raise ValueError if the value of an option is wrong."""
        check_not_negative(options, "lr", "eps", "weight_decay")
        betas = options["betas"]
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be two numbers of at least 0 and below 1, got {betas}")


class AdamW(Adam):
    """Adam whose weight decay is taken off the parameter, and so not divided by the root of the mean of g^2.

    Args:
        params, lr, betas, eps, amsgrad, maximize: as of ``Adam``.
        weight_decay: the share of a parameter, times lr, that each step takes off.

    Raises:
        ValueError: if an option is out of range, and as ``Optimizer``.

    Formula: theta = (1 - lr weight_decay) theta, and then a step of Adam from g alone

    >>> import microtensor as mt
    >>> x = mt.tensor([1.0, 100.0], requires_grad=True)
    >>> optimizer = mt.optim.AdamW([x], lr=0.5, weight_decay=0.1)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.detach()
    tensor([ 0.45, 94.5 ])

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101.
    """

    update = staticmethod(foreach.adamw_step)

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False, *,
                 maximize=False):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
