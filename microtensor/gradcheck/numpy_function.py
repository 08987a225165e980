"""NumpyFunction: a forward and a backward pass written in plain NumPy, by somebody without autograd."""

import contextlib

import numpy as np

from microtensor.gradcheck.subject import Subject


class NumpyFunction(Subject):
    """A pair (forward, backward) of plain NumPy functions; see ``check_function`` for what they take and return."""

    def __init__(self, forward, backward, inputs, names=None):
        self.forward, self.backward = forward, backward
        given = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
        names = list(names) if names is not None else [f"input{i}" for i in range(len(given))]
        if len(names) != len(given):
            raise ValueError(f"check_function: {len(given)} inputs need as many names, got {len(names)}")
        self.notes = []
        self.inputs = []
        for x, name in zip(given, names, strict=True):
            array = np.asarray(x)
            if array.dtype == np.float32:
                self.notes.append(f"{name} was float32: checked in float64 at the same values")
            self.inputs.append(np.array(array, np.float64) if array.dtype.kind == "f" else array)
        self.checked = [i for i, x in enumerate(self.inputs) if x.dtype.kind == "f"]
        if not self.checked:
            raise ValueError("check_function: no input is a float array, so there is no gradient to check")
        self.names = [names[i] for i in self.checked]
        self.points = [self.inputs[i] for i in self.checked]
        self.others = {names[i]: x for i, x in enumerate(self.inputs) if i not in self.checked}
        self.random_state = np.random.get_state()  # the legacy stream is what np.random.rand draws from
        self.draws = False      # whether forward draws from that stream: setting it back is slow
        self.runs = 0
        self.shapes = None

    def run(self):
        """The output, and what backward is called with after the upstream gradient."""
        if self.draws:
            np.random.set_state(self.random_state)
        watched = self.runs < 3                         # what a function does to its inputs shows at once
        self.runs += 1
        before = [x.copy() for x in self.inputs] if watched else []
        result = self.forward(*self.inputs)
        for x, kept in zip(self.inputs, before, strict=False):
            if not np.array_equal(x, kept, equal_nan=x.dtype.kind == "f"):
                x[...] = kept
                raise ValueError("check_function: forward changes its input in place: it must leave what it is given "
                                 "as it was, for example by working on a copy")
        if watched and not self.draws:
            state = np.random.get_state()
            self.draws = state[2] != self.random_state[2] or not np.array_equal(state[1], self.random_state[1])
        has_saved = isinstance(result, tuple) and len(result) == 2
        y, saved = (result[0], result[1:]) if has_saved else (result, self.inputs)
        if isinstance(y, (float, np.floating)):
            y = np.asarray(y)
        if not isinstance(y, np.ndarray) or y.dtype.kind != "f":
            kind = f"one of dtype {y.dtype}" if isinstance(y, np.ndarray) else type(y).__name__
            raise TypeError(f"check_function: forward must return a float array, or (output, saved), not {kind}")
        return y, saved

    def evaluate(self):
        """As Subject.evaluate."""
        return self.flat([self.run()[0]])

    def gradients(self, upstream, saved):
        """What backward returns, as one array per point, of whatever shape it has."""
        result = self.backward(upstream, *saved)
        result = list(result) if isinstance(result, (tuple, list)) else [result]
        if len(result) == len(self.inputs) != len(self.checked):
            result = [result[i] for i in self.checked]
        if len(result) != len(self.checked):
            raise ValueError(f"check_function: backward must return a gradient for each of {', '.join(self.names)}, "
                             f"got {len(result)}")
        for d, name in zip(result, self.names, strict=True):
            if not isinstance(d, (np.ndarray, float, np.floating)):
                raise TypeError(f"check_function: the gradient of {name} must be an array, not {type(d).__name__}")
        return [np.asarray(d) for d in result]

    def pull_back(self, upstreams):
        """As Subject.pull_back, with a new forward pass for each upstream gradient; a wrong shape is kept."""
        rows = []
        for row in upstreams:
            y, saved = self.run()
            self.flat([y])
            rows.append([np.array(d, np.float64) for d in self.gradients(row.reshape(y.shape).copy(), saved)])
        return [np.stack(column) for column in zip(*rows, strict=True)]

    @contextlib.contextmanager
    def unchanged(self):
        """As Subject.unchanged; also NumPy's random stream."""
        with super().unchanged():
            try:
                yield
            finally:
                np.random.set_state(self.random_state)
