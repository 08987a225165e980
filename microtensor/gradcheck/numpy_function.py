"""NumpyFunction: a forward and a backward pass written in plain NumPy, by somebody without autograd."""

import contextlib
import inspect

import numpy as np

from microtensor.gradcheck.subject import LegacyStream, Subject


class NumpyFunction(Subject):
    """A pair (forward, backward) of plain NumPy functions; see ``check_function`` for what they take and return."""

    def __init__(self, forward, backward, inputs, names=None, outputs=1, stages=()):
        self.forward, self.backward, self.count = forward, backward, outputs
        self.stages, self.by_stage = list(stages), {}
        given = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
        names = list(names) if names is not None else [f"input{i}" for i in range(len(given))]
        if len(names) != len(given):
            raise ValueError(f"check_function: {len(given)} inputs need as many names, got {len(names)}")
        self.all_names, self.notes = names, []
        self.inputs, self.dtypes = [], []       # what is checked, and the dtypes that were given
        for x, name in zip(given, names, strict=True):
            array = np.asarray(x)
            if array.dtype.kind == "f" and array.dtype != np.float64:
                self.notes.append(f"{name} was {array.dtype}: checked in float64 at the same values")
            self.inputs.append(np.array(array, np.float64) if array.dtype.kind == "f" else array)
            self.dtypes.append(array.dtype)
        self.checked = [i for i, x in enumerate(self.inputs) if x.dtype.kind == "f"]
        if not self.checked:
            raise ValueError("check_function: no input is a float array, so there is no gradient to check")
        self.names = [names[i] for i in self.checked]
        self.points = [self.inputs[i] for i in self.checked]
        self.others = {names[i]: x for i, x in enumerate(self.inputs) if i not in self.checked}
        self.legacy = LegacyStream()
        self.runs, self.takes_saved = 0, True
        self.shapes, self.undifferentiated = None, set()
        self.integers = set()       # names of inputs whose gradient came as integers
        self.narrow = set()         # and in float32 or less, where they are float64

    def run(self):
        """The outputs, a list, and what backward is called with after the upstream gradients."""
        self.legacy.reset()
        watched = self.runs < 3                         # what a function does to its inputs shows at once
        self.runs += 1
        before = [x.copy() for x in self.inputs] if watched else []
        result = self.forward(*self.inputs)
        for x, kept in zip(self.inputs, before, strict=False):
            if not np.array_equal(x, kept, equal_nan=x.dtype.kind == "f"):
                x[...] = kept
                raise ValueError("check_function: forward changes its input in place: it must leave what it is given "
                                 "as it was, for example by working on a copy")
        if watched:
            self.legacy.look()
        if self.count == 1:
            has_saved = isinstance(result, tuple) and len(result) == 2
            outputs, saved = ([result[0]], result[1:]) if has_saved else ([result], self.inputs)
        elif not isinstance(result, tuple) or len(result) < self.count:
            raise TypeError(f"check_function: with outputs={self.count} forward must return a tuple of {self.count} "
                            f"outputs and what it saved, not {type(result).__name__}")
        else:
            outputs, saved = list(result[: self.count]), result[self.count :] or self.inputs
        outputs = [np.asarray(y) if isinstance(y, (float, np.floating)) else y for y in outputs]
        for y in outputs:
            if not isinstance(y, np.ndarray) or y.dtype.kind != "f":
                kind = f"one of dtype {y.dtype}" if isinstance(y, np.ndarray) else type(y).__name__
                raise TypeError(f"check_function: forward must return a float array, or (output, saved), not {kind}")
        if self.runs == 1:
            self.check_call(saved)
        return outputs, saved

    def check_call(self, saved):
        """Raise TypeError if backward cannot be called with upstream gradients and what was saved."""
        try:
            signature = inspect.signature(self.backward)
        except (TypeError, ValueError):         # a function that does not tell
            return
        upstreams = [None] * self.count
        try:
            signature.bind(*upstreams, *saved)
        except TypeError:
            with contextlib.suppress(TypeError):            # a method that finds what it needs in self
                signature.bind(*upstreams)
                self.takes_saved = False
                return
            given = "the inputs" if saved is self.inputs else f"the {len(saved)} saved"
            raise TypeError(
                f"check_function: backward{signature} is called with {self.count} upstream gradient"
                f"{'s' * (self.count > 1)} and {given}, which does not fit: forward returns the output alone, or "
                "(output, saved); with several outputs say outputs=2, for (first, second, saved)") from None

    def leave_out(self, gradients):
        """As Subject.leave_out: the inputs for which backward returned None, such as labels that are floats."""
        if not self.undifferentiated:
            return gradients
        kept = [k for k, i in enumerate(self.checked) if i not in self.undifferentiated]
        for i in sorted(self.undifferentiated & set(self.checked)):
            name = self.names[self.checked.index(i)]
            self.notes.append(f"backward returns None for {name}, so its gradient was not checked")
            self.others[name] = self.inputs[i]
        self.names, self.points = [self.names[k] for k in kept], [self.points[k] for k in kept]
        self.checked = [self.checked[k] for k in kept]
        return [gradients[k] for k in kept]

    def evaluate(self):
        """As Subject.evaluate."""
        return self.flat(self.run()[0])

    def gradients(self, upstreams, saved):
        """What backward returns for a list of upstream gradients: one array per point, of whatever shape it has."""
        result = self.backward(*upstreams, *saved) if self.takes_saved else self.backward(*upstreams)
        if self.stages:
            if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
                raise TypeError("check_function: with stages= backward returns (gradients, by_stage), by_stage being a "
                                "dictionary of the gradients of the stages' outputs by name")
            result, self.by_stage = result
        if isinstance(result, dict):
            wrong = [*(name for name in self.names if name not in result),
                     *(name for name in result if name not in self.names and name not in self.others)]
            if wrong:
                raise ValueError(f"check_function: backward returns gradients of {', '.join(map(str, result))}, and "
                                 f"the inputs are {', '.join(self.names)}: give them the same names with names=")
            result = [result[name] for name in self.names]
        result = list(result) if isinstance(result, (tuple, list)) else [result]
        if len(result) == len(self.checked):
            indices = self.checked
        elif len(result) == len(self.checked) + len(self.undifferentiated):
            indices = sorted([*self.checked, *self.undifferentiated])
        elif len(result) == len(self.inputs):
            indices = range(len(self.inputs))
        else:
            raise ValueError(f"check_function: backward must return a gradient for each of {', '.join(self.names)}, "
                             f"got {len(result)}; None for an input that has none")
        found = dict(zip(indices, result, strict=True))
        if all(found[i] is None for i in self.checked):
            raise TypeError(f"check_function: the gradient of {self.names[0]} must be an array, not NoneType: does "
                            "backward return what it computed?")
        self.undifferentiated |= {i for i in self.checked if found[i] is None}
        for i, name in zip(self.checked, self.names, strict=True):
            d = found[i]
            if not isinstance(d, (np.ndarray, float, np.floating, type(None))):
                raise TypeError(f"check_function: the gradient of {name} must be an array, not {type(d).__name__}")
            if isinstance(d, np.ndarray) and d.dtype.kind in "biu" and np.any(d):
                self.integers.add(name)
            if isinstance(d, np.ndarray) and d.dtype.kind == "f" and d.dtype.itemsize < self.inputs[i].dtype.itemsize:
                self.narrow.add(name)
        return [np.zeros(self.inputs[i].shape) if found[i] is None else np.asarray(found[i]) for i in self.checked]

    def pull_back(self, upstreams):
        """As Subject.pull_back, with a new forward pass for each upstream gradient; a wrong shape is kept."""
        rows = []
        for row in upstreams:
            outputs, saved = self.run()
            self.flat(outputs)
            rows.append([np.array(d, np.float64) for d in self.gradients(self.upstreams(row), saved)])
        return [np.stack(column) for column in zip(*rows, strict=True)]

    def upstreams(self, row):
        """An upstream gradient (m,) as arrays of the outputs' shapes, which backward may write into."""
        return [part.copy() for part in self.split(row)]

    @contextlib.contextmanager
    def unchanged(self):
        """As Subject.unchanged; also NumPy's random stream."""
        with super().unchanged():
            try:
                yield
            finally:
                np.random.set_state(self.legacy.state)
