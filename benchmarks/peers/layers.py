"""The net of a case in the layers of PyTorch or microtensor, which have the same names."""

import itertools


def sequential(case, weights, nn, tensor):
    """``nn.Sequential`` with copies of the weights, which ``tensor`` makes, and biases of zero."""
    layers = []
    for weight, (inputs, outputs) in zip(weights, itertools.pairwise(case.sizes), strict=True):
        layers.append(nn.Linear(inputs, outputs))
        layers[-1].weight.data = tensor(weight)
        layers[-1].bias.data.zero_()
        if weight is not weights[-1]:
            layers += [nn.BatchNorm1d(outputs)] * case.batch_norm + [nn.ReLU()]
            layers += [nn.Dropout(case.dropout)] * (case.dropout > 0)
    return nn.Sequential(*layers)
