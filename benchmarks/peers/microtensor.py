"""microtensor."""

from steps import ADAM_RATE, LEARNING_RATE, MAX_NORM, MOMENTUM

from microtensor import nn, optim, tensor
from peers.layers import sequential


def parts(case, x, y, weights):
    """Model, optimizer, loss function, inputs and labels."""
    model = sequential(case, weights, nn, tensor)
    if case.optimizer == "Adam":
        optimizer = optim.Adam(model.parameters(), lr=ADAM_RATE)
    else:
        optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    criterion = nn.CrossEntropyLoss()
    return model, optimizer, criterion, tensor(x), tensor(y)


def build(case, x, y, weights):
    """The step, and the gradients."""
    model, optimizer, criterion, x, y = parts(case, x, y, weights)

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
