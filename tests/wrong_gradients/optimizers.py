"""SGD and clipping, written by hand over arrays."""

import numpy as np

import microtensor as mt
from wrong_gradients.entry import right, wrong


class Student:
    """SGD as a student writes it: velocity v = mu v + g, step lr v, or with Nesterov lr (g + mu v)."""

    options = {"momentum": 0.9, "weight_decay": 0.01, "nesterov": False}      # noqa: RUF012

    def __init__(self, params):
        self.param_groups = [{"params": params, "lr": 0.1, **self.options}]
        self.velocity = [None] * len(params)

    def decayed(self, g, theta, group):
        return g + group["weight_decay"] * theta

    def first(self, g):
        return g.copy()

    def share(self, group):
        return 1.0

    def ahead(self, g, v, group):
        return g + group["momentum"] * v if group["nesterov"] else v

    def step(self):
        group = self.param_groups[0]
        for i, p in enumerate(group["params"]):
            theta = p.detach().numpy()
            g = self.decayed(p.grad.numpy(), theta, group)
            if group["momentum"]:
                if self.velocity[i] is None:
                    self.velocity[i] = self.share(group) * self.first(g)
                else:
                    self.velocity[i] = group["momentum"] * self.velocity[i] + self.share(group) * g
                g = self.ahead(g, self.velocity[i], group)
            theta -= group["lr"] * g


right("SGD with momentum and decay", kind="optimizer")(Student)
right("SGD of microtensor", kind="optimizer")(lambda params: mt.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True))
right("clip_grad_norm_", kind="clipping")(mt.nn.utils.clip_grad_norm_)


@wrong("SGD: decay skipped where momentum is 0", "decay", kind="optimizer")
class DecayWithMomentum(Student):
    options = {"momentum": 0.0, "weight_decay": 0.1, "nesterov": False}       # noqa: RUF012

    def decayed(self, g, theta, group):
        return g + group["weight_decay"] * theta if group["momentum"] else g


@wrong("SGD: the buffer aliases the gradient", "alias", kind="optimizer")
class Aliased(Student):
    options = {"momentum": 0.9, "weight_decay": 0.0, "nesterov": False}       # noqa: RUF012

    def step(self):
        group = self.param_groups[0]
        for i, p in enumerate(group["params"]):
            if self.velocity[i] is None:
                self.velocity[i] = p.grad.numpy()
            else:
                self.velocity[i] *= group["momentum"]
                self.velocity[i] += p.grad.numpy()
            theta = p.detach().numpy()
            theta -= group["lr"] * self.velocity[i]


@wrong("SGD: (1-mu) g in the velocity", "dampened", kind="optimizer")
class Dampened(Student):
    def share(self, group):
        return 1 - group["momentum"]


@wrong("Nesterov: sign", "nesterov sign", kind="optimizer")
class NesterovSign(Student):
    options = {"momentum": 0.9, "weight_decay": 0.0, "nesterov": True}        # noqa: RUF012

    def ahead(self, g, v, group):
        return g - group["momentum"] * v


@wrong("Clip: the norm of each tensor", "each", kind="clipping")
def clip_each(params, max_norm):
    for p in params:
        g = p.grad.numpy()
        g *= min(1.0, max_norm / (np.linalg.norm(g) + 1e-6))


@wrong("Clip: always rescales", "always", kind="clipping")
def clip_always(params, max_norm):
    norm = np.sqrt(sum(np.sum(p.grad.numpy() ** 2) for p in params))
    for p in params:
        g = p.grad.numpy()
        g *= max_norm / (norm + 1e-6)
