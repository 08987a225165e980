"""microtensor."""

import itertools

from steps import ADAM_RATE, LEARNING_RATE, MAX_NORM, MOMENTUM

from microtensor import nn, optim, tensor


def build(case, x, y, weights):
    """The step, and the gradients."""
    layers = []
    for weight, (inputs, outputs) in zip(weights, itertools.pairwise(case.sizes), strict=True):
        layers.append(nn.Linear(inputs, outputs))
        layers[-1].weight.data = tensor(weight)
        layers[-1].bias.data.zero_()
        if weight is not weights[-1]:
            layers += [nn.BatchNorm1d(outputs)] * case.batch_norm + [nn.ReLU()]
            layers += [nn.Dropout(case.dropout)] * (case.dropout > 0)
    model = nn.Sequential(*layers)
    if case.optimizer == "Adam":
        optimizer = optim.Adam(model.parameters(), lr=ADAM_RATE)
    else:
        optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    criterion = nn.CrossEntropyLoss()
    x, y = tensor(x), tensor(y)

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
