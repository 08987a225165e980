"""PyTorch with the whole step in one compiled graph, gradients by torch.func, and its guards not looked at."""

import logging

import torch
from steps import ADAM_RATE, BETAS, EPSILON, LEARNING_RATE, MAX_NORM, MOMENTUM

from peers.pytorch import parts

logging.getLogger("torch").setLevel(logging.ERROR)

OPTIONS = {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}        # nothing that a guard watches will change


def sgd(parameters):
    """A function of the gradients that does a step of SGD with momentum."""
    velocities = [torch.zeros_like(p) for p in parameters]

    def update(gradients):
        for p, v, g in zip(parameters, velocities, gradients, strict=True):
            v.mul_(MOMENTUM).add_(g)
            p.sub_(v, alpha=LEARNING_RATE)

    return update


def adam(parameters):
    """A function of the gradients that does a step of Adam."""
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
    steps = torch.zeros(())

    def update(gradients):
        steps.add_(1)
        root = (1 - BETAS[1] ** steps).sqrt()
        rate = ADAM_RATE * root / (1 - BETAS[0] ** steps)
        for p, (m, v), g in zip(parameters, moments, gradients, strict=True):
            m.lerp_(g, 1 - BETAS[0])
            v.mul_(BETAS[1]).addcmul_(g, g, value=1 - BETAS[1])
            p.sub_(rate * m / (v.sqrt() + EPSILON * root))

    return update


def build(case, x, y, weights):
    """The step, and the gradients."""
    torch.compiler.reset()
    model, criterion, x, y = parts(case, x, y, weights)
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    buffers = dict(model.named_buffers())
    update = {"SGD": sgd, "Adam": adam}[case.optimizer](list(parameters.values()))

    def loss_of(parameters):
        changed = {name: buffer.clone() for name, buffer in buffers.items()}       # a gradient may not write to others
        return criterion(torch.func.functional_call(model, (parameters, changed), (x,)), y), changed

    @torch.compile(fullgraph=True, options=OPTIONS)
    def train():
        gradients, (loss, changed) = torch.func.grad_and_value(loss_of, has_aux=True)(parameters)
        for name, buffer in changed.items():
            buffers[name].copy_(buffer)
        norm = torch.nn.utils.get_total_norm(gradients.values())
        clip = (MAX_NORM / (norm + 1e-6)).clamp(max=1.0)
        update([clip * g for g in gradients.values()])
        return loss

    def step():
        return train().item()

    def gradients():
        found, _ = torch.func.grad(loss_of, has_aux=True)(parameters)
        return [g.numpy() for g in found.values()]

    return step, gradients
