"""The gradient check of a whole net, before it is trained."""

import copy

from microtensor.gradcheck import gradcheck
from microtensor.random import default_generator


def check_gradients(model, loss, x, y, *, elements=50):
    """Compare the gradients of a whole model with finite differences, on one batch, in float64.

    The model is checked as it trains: with the batch's statistics, and with dropout (the same masks in every
    evaluation). All this happens to a copy; model and random stream are left as they were.

    Args:
        model: takes x to outputs.
        loss: a function of outputs and y that returns a 0-d tensor.
        x, y: a batch: inputs (N, ...), targets.
        elements: how many elements of each parameter to check, chosen at random; all of a smaller one.

    Returns:
        The report of gradcheck: true if all gradients agree.
    """
    model = copy.deepcopy(model).double()
    x, y = (part.double() if part.dtype.kind == "f" else part for part in (x, y))
    generator = default_generator()
    state = generator.get_state()

    def loss_of(*parameters):
        generator.set_state(state)
        return loss(model(x), y)

    names, parameters = zip(*model.named_parameters(), strict=True)
    # A step across a kink, such as relu's at 0, measures neither slope: if one did, try a shorter one.
    # Rounding makes a difference uncertain by about 1e-15 / step, and the tolerance leaves room for that.
    try:
        for step in (1e-6, 1e-7):
            report = gradcheck(loss_of, parameters, eps=step, atol=1e-14 / step, rtol=1e-6, names=names,
                               elements=elements, raise_exception=False)
            if report:
                break
        return report
    finally:
        generator.set_state(state)
