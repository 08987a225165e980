"""PyTorch, eager: its fused optimizers, gradients set to None (the default)."""

import itertools

import torch
from steps import ADAM_RATE, LEARNING_RATE, MAX_NORM, MOMENTUM
from torch import nn


def parts(case, x, y, weights):
    """Model, loss function, inputs and labels."""
    layers = []
    for weight, (inputs, outputs) in zip(weights, itertools.pairwise(case.sizes), strict=True):
        layers.append(nn.Linear(inputs, outputs))
        layers[-1].weight.data = torch.tensor(weight)
        layers[-1].bias.data.zero_()
        if weight is not weights[-1]:
            layers += [nn.BatchNorm1d(outputs)] * case.batch_norm + [nn.ReLU()]
            layers += [nn.Dropout(case.dropout)] * (case.dropout > 0)
    model = nn.Sequential(*layers)
    return model, nn.CrossEntropyLoss(), torch.tensor(x), torch.tensor(y)


def build(case, x, y, weights):
    """The step, and the gradients."""
    model, criterion, x, y = parts(case, x, y, weights)
    if case.optimizer == "Adam":
        optimizer = torch.optim.Adam(model.parameters(), lr=ADAM_RATE, fused=True)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)

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
