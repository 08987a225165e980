"""check_module: the gradients of all parameters of a model, as it trains."""

import copy

from microtensor.core import Tensor
from microtensor.gradcheck.check import check
from microtensor.gradcheck.run import FAST
from microtensor.gradcheck.subject import TensorFunction


def check_module(model, loss, batch, *, fast_mode=None, **options):
    """Check the gradient of a loss with respect to every parameter of a model.

    The model is checked as it trains, in the mode that it is in, BatchNorm with the batch's statistics and Dropout
    with the same mask in every evaluation. All this happens to a copy in float64; model and random stream are left as
    they were.

    Args:
        model: an nn.Module.
        loss: called as ``loss(model(x), *others)``, for example ``mt.cross_entropy``; returns a float tensor.
        batch: a tensor x, or a sequence (x, *others), for example inputs and labels.
        fast_mode: as in gradcheck; by default if there are more than 2000 parameters.
        options: as in gradcheck, among them elements, zero_gradient (parameters by name), raise_exception and seed.

    Returns:
        A Report, with the parameters' names.

    Raises:
        GradcheckError, ValueError, TypeError: as gradcheck.

    >>> import microtensor as mt
    >>> model = mt.nn.Sequential(mt.nn.Linear(3, 5), mt.nn.Tanh(), mt.nn.Linear(5, 2))
    >>> x, y = mt.randn(7, 3), mt.randint(0, 2, (7,))
    >>> bool(check_module(model, mt.cross_entropy, (x, y)))
    True
    """
    batch = (batch,) if isinstance(batch, Tensor) else tuple(batch)
    x, *others = [part.double() if isinstance(part, Tensor) and part.dtype.kind == "f" else part for part in batch]
    original, model = model, copy.deepcopy(model).double()
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not named:
        raise ValueError(f"check_module: {type(original).__name__} has no parameter that requires a gradient")
    names, parameters = zip(*named, strict=True)
    if fast_mode is None:
        fast_mode = sum(parameter.numel() for parameter in parameters) > FAST
    buffers = [(buffer.numpy(), buffer.numpy().copy()) for _, buffer in model.named_buffers()]
    generators = [(module.generator, module.generator.get_state()) for module in model.modules()
                  if getattr(module, "generator", None) is not None]

    def restore():
        for array, value in buffers:
            array[...] = value
        for generator, state in generators:
            generator.set_state(state)

    subject = TensorFunction(lambda *_: loss(model(x), *others), parameters, names, restore)
    return check(subject, f"check_module {type(original).__name__}", fast_mode=fast_mode, **options)
