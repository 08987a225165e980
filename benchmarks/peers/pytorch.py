"""PyTorch, eager: its fused optimizers, gradients set to None (the default)."""

import torch
from steps import ADAM_RATE, LEARNING_RATE, MAX_NORM, MOMENTUM
from torch import nn

from peers.layers import sequential


def parts(case, x, y, weights):
    """Model, loss function, inputs and labels."""
    model = sequential(case, weights, nn, torch.tensor)
    return model, nn.CrossEntropyLoss(), torch.tensor(x), torch.tensor(y)


def optimizer_of(case, model, **options):
    """The optimizer of the case."""
    if case.optimizer == "Adam":
        return torch.optim.Adam(model.parameters(), lr=ADAM_RATE, **options)
    return torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, **options)


def build(case, x, y, weights):
    """The step, and the gradients."""
    model, criterion, x, y = parts(case, x, y, weights)
    optimizer = optimizer_of(case, model, fused=True)

    def step():
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        return loss.item()

    def gradients():
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        return [p.grad.numpy() for p in model.parameters()]

    return step, gradients
