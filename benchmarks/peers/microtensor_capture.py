"""microtensor, the step captured: each batch is copied into the tensors that it was captured with."""

from steps import MAX_NORM

from microtensor import capture, nn
from peers.microtensor import parts


def build(case, x, y, weights):
    """The step, and the gradients."""
    model, optimizer, criterion, batch_x, batch_y = parts(case, x, y, weights)
    own_x, own_y = batch_x.clone(), batch_y.clone()

    @capture
    def train():
        optimizer.zero_grad()
        loss = criterion(model(own_x), own_y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        return loss

    def step():
        own_x.copy_(batch_x)
        own_y.copy_(batch_y)
        return train().item()

    def gradients():
        optimizer.zero_grad()
        criterion(model(own_x), own_y).backward()
        return [p.grad.numpy() for p in model.parameters()]

    return step, gradients
