"""PyTorch with torch.compile: one graph for the model with its loss, one for clipping and SGD."""

import logging

import torch
from steps import MAX_NORM

from peers.pytorch import optimizer_of, parts

logging.getLogger("torch").setLevel(logging.ERROR)


def build(case, x, y, weights):
    """The step, and the gradients."""
    torch.compiler.reset()
    model, criterion, x, y = parts(case, x, y, weights)
    optimizer = optimizer_of(case, model)

    @torch.compile
    def loss_of(x, y):
        return criterion(model(x), y)

    @torch.compile
    def update():
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()

    def step():
        optimizer.zero_grad()
        loss = loss_of(x, y)
        loss.backward()
        update()
        return loss.item()

    def gradients():
        optimizer.zero_grad()
        loss_of(x, y).backward()
        return [p.grad.numpy() for p in model.parameters()]

    return step, gradients
