"""What is checked: a function of named points, with its values and its vector-Jacobian products, on plain arrays.

A Subject hides where the function comes from. The numeric side moves the points in place and calls ``evaluate``; the
analytic side calls ``pull_back``. Everything is float64, outputs are flattened into one vector y (m,), and an upstream
gradient is a row c (m,), so that L = c y.
"""

import contextlib

import numpy as np

from microtensor.core import Tensor, enable_grad, from_numpy, grad, no_grad
from microtensor.random import default_generator


class Subject:
    """A function to check; TensorFunction and NumpyFunction derive from it.

    Attributes:
        names: of the points, for the report.
        points: float64 arrays that are moved in place; a gradient is checked for each.
        others: arrays that the function also gets, for the diagnosis.
        shapes: of the outputs, once ``evaluate`` was called.
        precision: the machine epsilon of the least exact output.
        notes: what the reader should know of how it was checked.
    """

    names: list
    points: list
    others: dict
    shapes: list
    precision: float
    notes: list

    def evaluate(self):
        """The outputs at the points, flattened into one float64 vector (m,)."""
        raise NotImplementedError

    def pull_back(self, upstreams):
        """The gradients c J for upstream gradients c, the rows of (P, m): for each point an array (P, *shape)."""
        raise NotImplementedError

    def leave_out(self, gradients):
        """Of the first gradients those that are checked; points that have none are points no longer."""
        return gradients

    @contextlib.contextmanager
    def unchanged(self):
        """A context that leaves points and state as they were, whatever happens inside."""
        before = [(point, point.copy()) for point in self.points]
        try:
            yield
        finally:
            for point, value in before:
                point[...] = value

    def flat(self, outputs):
        """Outputs as one vector; their shapes and dtypes must not change from call to call."""
        shapes = [y.shape for y in outputs]
        if getattr(self, "shapes", None) is None:
            self.shapes = shapes
            self.precision = max([float(np.finfo(y.dtype).eps) for y in outputs])
        elif shapes != self.shapes:
            raise ValueError(f"gradcheck: func returned shapes {self.shapes} first and {shapes} later for inputs of "
                             "the same shapes: the shape of an output must not depend on values")
        return np.concatenate([np.ravel(y).astype(np.float64) for y in outputs])

    def split(self, row):
        """A vector (m,) as arrays of the outputs' shapes."""
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        parts = np.split(row, np.cumsum(sizes)[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]


class LegacyStream:
    """NumPy's global random stream, put back before every evaluation of a function that draws from it.

    Attributes:
        draws: whether the function does; putting the stream back is slow.
    """

    def __init__(self):
        self.state, self.draws = np.random.get_state(), False

    def reset(self):
        """Put the stream back, if that was found to be needed."""
        if self.draws:
            np.random.set_state(self.state)

    def look(self):
        """Find out whether the stream has moved."""
        state = np.random.get_state()
        self.draws = self.draws or state[2] != self.state[2] or not np.array_equal(state[1], self.state[1])


class TensorFunction(Subject):
    """A callable of Tensors, with backward from the graph.

    Args:
        func: takes the inputs as tensors and returns a float tensor or a tuple of them.
        inputs: a tensor or a sequence of tensors; those that require a gradient become points. float64 leaves are
            moved in place, so that func may as well read them from elsewhere, as a model reads its parameters.
        names: what to call the inputs.
        restore: called before every evaluation: puts back whatever state func changes.
    """

    def __init__(self, func, inputs, names=None, restore=None):
        self.func = func
        given = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        self.tensors, self.notes = _in_double(given)
        names = list(names) if names is not None else [f"input{i}" for i in range(len(self.tensors))]
        if len(names) != len(self.tensors):
            raise ValueError(f"gradcheck: {len(self.tensors)} inputs need as many names, got {len(names)}")
        checked = [i for i, x in enumerate(self.tensors) if x.requires_grad]
        if not checked:
            raise ValueError("gradcheck: no input requires a gradient: set requires_grad=True on those to check")
        self.names = [names[i] for i in checked]
        self.leaves = [self.tensors[i] for i in checked]
        self.points = [x.detach().numpy() for x in self.leaves]
        self.others = {names[i]: x.numpy() for i, x in enumerate(self.tensors) if i not in checked}
        self.shapes = None
        self.random_state = default_generator().get_state()
        self.legacy = LegacyStream()
        self.restore = restore
        self.runs = 0

    def reset(self):
        """Put back the random stream and other state, so that every evaluation sees the same."""
        default_generator().set_state(self.random_state)
        self.legacy.reset()
        if self.restore is not None:
            self.restore()

    @contextlib.contextmanager
    def unchanged(self):
        """As Subject.unchanged; also the inputs that are not checked, and the random stream."""
        before = [(x.numpy(), x.numpy().copy()) for x in self.tensors if not x.requires_grad]
        with super().unchanged():
            try:
                yield
            finally:
                self.legacy.look()
                self.reset()
                for array, value in before:
                    if not np.array_equal(array, value):
                        array[...] = value

    def outputs(self):
        """What func returns, as a list of float tensors."""
        self.reset()
        watched = self.tensors if self.runs < 3 else []         # what func does to its inputs shows at once
        self.runs += 1
        before = [x.detach().numpy().tobytes() for x in watched]
        result = self.func(*self.tensors)
        if watched:
            self.legacy.look()
        for i, (x, bytes_before) in enumerate(zip(watched, before, strict=False)):
            if x.detach().numpy().tobytes() != bytes_before:
                raise ValueError(f"gradcheck: func changes its input {i} in place: it must leave what it is given as "
                                 "it was, for example by working on a clone()")
        outputs = list(result) if isinstance(result, (tuple, list)) else [result]
        if not outputs:
            raise TypeError("gradcheck: func returned no output at all")
        for y in outputs:
            if not isinstance(y, Tensor):
                raise TypeError(f"gradcheck: func must return a Tensor or a tuple of them, not {type(y).__name__}")
            if y.dtype.kind != "f":
                raise TypeError(f"gradcheck: func must return float tensors, got one of dtype {y.dtype}")
        return outputs

    def evaluate(self):
        """As Subject.evaluate."""
        with no_grad():
            return self.flat([y.detach().numpy() for y in self.outputs()])

    def pull_back(self, upstreams):
        """As Subject.pull_back; the graph is recorded once, with a pass back for each upstream gradient."""
        with enable_grad():
            outputs = self.outputs()
        self.flat([y.detach().numpy() for y in outputs])
        found = [np.zeros((len(upstreams), *x.shape)) for x in self.leaves]
        recorded = [y.requires_grad for y in outputs]
        if not any(recorded):
            raise ValueError(NOTHING_TO_CHECK)
        for p, row in enumerate(upstreams):
            rows = [from_numpy(np.array(c, y.dtype)) for c, y in zip(self.split(row), outputs, strict=True)]
            pairs = [(y, c) for y, c, is_recorded in zip(outputs, rows, recorded, strict=True) if is_recorded]
            gradients = grad([y for y, _ in pairs], self.leaves, [c for _, c in pairs],
                             retain_graph=True, allow_unused=True)
            if all(d is None for d in gradients):
                raise ValueError(NOTHING_TO_CHECK)
            for k, d in enumerate(gradients):
                if d is not None:
                    found[k][p] = d.detach().numpy()
        return found


NOTHING_TO_CHECK = (
    "gradcheck: no output depends on any of the inputs, so there is nothing to check: func must use the tensors it is "
    "given (float32 inputs are replaced by copies: convert a model with .double() first)"
)


def _in_double(inputs):
    """The inputs as float64 leaves that may be moved in place, and notes about those that had to be converted."""
    tensors, notes = [], []
    for i, x in enumerate(inputs):
        if not isinstance(x, Tensor):
            raise TypeError(f"gradcheck: input {i} must be a Tensor, not {type(x).__name__}")
        if x.dtype == np.float32:
            notes.append(f"input {i} was float32: checked in float64 at the same values")
            x = x.detach().double().requires_grad_(x.requires_grad)
        elif x.requires_grad and not (x.is_leaf and _steppable(x.detach().numpy())):
            x = x.detach().clone().requires_grad_()
        tensors.append(x)
    return tensors, notes


def _steppable(array):
    """Whether each element has memory of its own that may be written."""
    repeated = any(stride == 0 and size > 1 for stride, size in zip(array.strides, array.shape, strict=True))
    return array.flags.writeable and not repeated
