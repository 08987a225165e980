"""Parameter: a tensor that a Module trains."""

from microtensor.core import Tensor


class Parameter(Tensor):
    """A tensor that a Module finds among its attributes and an optimiser updates.

    Args:
        data: a tensor; its memory is shared, its graph is not.
        requires_grad: whether gradients are recorded for it.

    Raises:
        TypeError: if data is not a tensor.
        RuntimeError: if it is to require a gradient and is not float32 or float64.

    >>> import microtensor as mt
    >>> mt.nn.Parameter(mt.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data, requires_grad=True):
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter takes a Tensor, not {type(data).__name__}: use mt.tensor(data)")
        super().__init__()
        self.data = data
        self.requires_grad_(requires_grad)

    def __repr__(self):
        return f"Parameter containing:\n{super().__repr__()}"
