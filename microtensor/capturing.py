"""Captured functions: a step that is recorded once, and run again without Python."""

from microtensor.core import Tape


class capture:    # noqa: N801  (a function to its users)
    """A function of fixed tensors that runs once as it is written, and then as the same loops on the same memory.

    Args:
        function: takes no arguments. Forward, backward, clipping, ``zero_grad`` and the optimisers of ``mt.optim``
            happen again at each call; what else Python does, happens at the first call only.

    Call it as the function. Each call returns what the first one returned, with new numbers in the same tensors. Write
    new inputs into the tensors that the function computes with: ``x.copy_(batch)``. The learning rate and the other
    options of an optimiser are read, and dropout draws, at each call.

    Raises:
        RuntimeError: at the first call, for what would not happen again and whose result would be used: item(), a
            comparison, an index by an array, a Function written in Python, create_graph; at a later one, if the data
            or requires_grad of a tensor, the training mode of a module or the grad mode was changed, or a gradient is
            there or gone where it was not at the first.

    >>> import microtensor as mt
    >>> x = mt.tensor([1.0, 2.0])
    >>> square = mt.capture(lambda: (x * x).sum())
    >>> square()
    tensor(5.)
    >>> y = x.copy_(mt.tensor([3.0, 4.0]))
    >>> square()
    tensor(25.)

    Source: the idea of CUDA graphs, as ``torch.cuda.graph`` has them.
    """

    def __init__(self, function):
        if not callable(function):
            raise TypeError(f"capture takes a function without arguments, not a {type(function).__name__}")
        self.function, self.tape = function, None

    def __getstate__(self):
        """Of a copy or a pickle: the function, which is captured again at its first call."""
        return {"function": self.function, "tape": None}

    def __call__(self):
        """What the function returns."""
        if self.tape is None:
            self.tape = Tape(self.function)
        else:
            self.tape.again()
        return self.tape.result
