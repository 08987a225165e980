"""Ops of your own in Python: Function, whose forward and backward you write, on tensors or on NumPy arrays."""

import functools

import numpy as np

from microtensor.core import Tensor, check_unmasked, enable_grad, from_numpy, is_grad_enabled, no_grad
from microtensor.ops.function import call

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx:
    """What forward leaves for backward: ``ctx``, the first argument of both. Attributes of your own may be set.

    Attributes:
        needs_input_grad: for each argument of apply, whether it is a tensor that requires a gradient.
    """

    def __init__(self, arguments, on_arrays):
        self.needs_input_grad = tuple(isinstance(x, Tensor) and x.requires_grad for x in arguments)
        self._dtypes = [x.dtype if isinstance(x, Tensor) else None for x in arguments]
        self._on_arrays = on_arrays
        self._to_save = self._non_differentiable = ()
        self._materialize_grads = True
        self._saved = None          # what saved_tensors gives, in backward only: it may lead to the node that holds ctx

    def save_for_backward(self, *values):
        """Keep tensors, or None, for backward, which finds them in ``saved_tensors``; a second call replaces the first.

        They are freed when backward has run, and a write to one of them before it is an error. A function on arrays
        saves arrays, and whatever else it needs.
        """
        for value in values:
            if not (self._on_arrays or value is None or isinstance(value, Tensor)):
                raise TypeError(f"save_for_backward takes tensors or None, not {type(value).__name__}: make it an "
                                "attribute of ctx")
        self._to_save = values

    @property
    def saved_tensors(self):
        """What forward saved, a tuple: inputs are in their places in the graph, and outputs under create_graph.

        Raises:
            RuntimeError: outside backward.
        """
        if self._saved is None:
            raise RuntimeError("saved_tensors can be read in backward only")
        return self._saved

    def mark_non_differentiable(self, *outputs):
        """Say which outputs have no gradient; backward is given zeros for them. Integers and bools have none anyway."""
        for y in outputs:
            if not isinstance(y, (Tensor, np.ndarray, np.generic)):
                raise TypeError(f"mark_non_differentiable takes outputs of forward, not {type(y).__name__}")
        self._non_differentiable = outputs

    def set_materialize_grads(self, value):
        """Say whether backward is given zeros for outputs that were not used (the default), or None."""
        self._materialize_grads = bool(value)

    def mark_dirty(self, *inputs):
        """Refused: raises NotImplementedError."""
        raise NotImplementedError("mark_dirty: in-place writes are not recorded, so forward must not write into an "
                                  "input: return a new tensor")


class Function:
    """An op that you write: derive from it, and call the derived class's ``apply``.

    ``forward`` runs unrecorded; ``backward`` runs recorded only under create_graph, and if it is made of differentiable
    operations its result can be differentiated again. With ``class F(Function, numpy=True)`` both are given arrays in
    place of tensors, those of inputs read-only, and return arrays; such a backward can be gone through once.

    >>> import microtensor as mt
    >>> class Exp(mt.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         y = x.exp()
    ...         ctx.save_for_backward(y)
    ...         return y
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         y, = ctx.saved_tensors
    ...         return g * y
    >>> x = mt.tensor([0.0, 1.0], dtype=mt.float64, requires_grad=True)
    >>> bool(mt.gradcheck(Exp.apply, x)), bool(mt.gradgradcheck(Exp.apply, x))
    (True, True)
    """

    _on_arrays = False

    def __init_subclass__(cls, *, numpy=None):
        super().__init_subclass__()
        if numpy is not None:
            cls._on_arrays = bool(numpy)

    def __init__(self, *arguments, **options):
        name = type(self).__name__
        raise TypeError(f"{name} is not instantiated: call {name}.apply(...)")

    @staticmethod
    def forward(ctx, *arguments):
        """Compute the output, a Tensor, or a tuple of outputs; what is no Tensor among them is passed on as it is.

        Args:
            ctx: keeps what backward will need: see FunctionCtx.
            arguments: those of apply.
        """
        raise NotImplementedError

    @staticmethod
    def backward(ctx, *gradients):
        """Return dL/d(argument) for each argument of forward, in a tuple; None for what has none, or is no tensor.

        Args:
            ctx: as forward left it.
            gradients: dL/d(output) for each output; zeros for one that was not used, None for one that is no Tensor.
        """
        raise NotImplementedError

    @classmethod
    def apply(cls, *arguments, **options):
        """Call forward, so that a later backward through the outputs calls backward.

        Args:
            arguments: what forward takes after ctx: tensors, which may get gradients, and anything else.

        Returns:
            What forward returned, as new tensors, which may share memory with the inputs.

        Raises:
            TypeError: for keyword arguments, or if forward does not return tensors.
            RuntimeError: if forward wrote into an input that requires a gradient; on the way back, if backward
                does not return a gradient of the right shape and dtype for each argument.
        """
        if options:
            raise TypeError(f"{cls.__name__}.apply takes no keyword arguments, got {next(iter(options))}=: give all "
                            "arguments by position, as backward returns a gradient for each")
        ctx = FunctionCtx(arguments, cls._on_arrays)
        outputs = call(cls, ctx, arguments)
        ctx._to_save = ctx._non_differentiable = ()         # the node has what is needed of them, and frees it
        return tuple(outputs) if ctx._gives_tuple else outputs[0]

    @staticmethod
    def from_numpy(forward, backward):
        """A Function of a pair in plain NumPy: the very pair that ``check_function`` takes.

        Args:
            forward: called as ``forward(*inputs)``; returns the output, or ``(output, saved)``.
            backward: called as ``backward(upstream, saved)``, or as ``backward(upstream, *inputs)`` if forward returns
                the output alone; returns the gradient for each input, or for each float input.

        Returns:
            A subclass of Function, of forward's name. Its apply takes tensors, arrays and numbers; the output and the
            gradients get the dtype of the tensors, whatever dtype the pair computes in.

        Raises:
            TypeError: if they are no functions; when used, as apply.

        >>> import microtensor as mt
        >>> cube = mt.autograd.Function.from_numpy(lambda x: x**3, lambda g, x: 3 * g * x**2)
        >>> x = mt.tensor([1.0, 2.0], requires_grad=True)
        >>> cube.apply(x).sum().backward()
        >>> x.grad
        tensor([ 3., 12.])
        """
        for function in (forward, backward):
            if not callable(function):
                raise TypeError(f"from_numpy takes two functions, forward and backward, not {type(function).__name__}")
        name = getattr(forward, "__name__", "<lambda>")
        return type("from_numpy" if name == "<lambda>" else name, (_Pair,), {"_pair": (forward, backward)})

    # -- what microtensor/ops/function.pyx calls

    @classmethod
    def _run_forward(cls, ctx, arguments):
        """The outputs as forward returns them, and as tensors; each a tuple."""
        if cls.forward is Function.forward:
            raise NotImplementedError(f"{cls.__name__} has no forward(ctx, ...): write it as a static method")
        if hasattr(cls, "setup_context"):
            raise TypeError(f"{cls.__name__}.setup_context would not be called: write forward(ctx, ...), which itself "
                            "saves what backward needs")
        if cls._on_arrays:
            arguments = [_as_array(x) if isinstance(x, Tensor) else x for x in arguments]
        with no_grad():
            result = cls.forward(ctx, *arguments)
        ctx._gives_tuple = isinstance(result, tuple)
        raw = tuple(result) if ctx._gives_tuple else (result,)
        outputs, stray = raw, np.ndarray
        if cls._on_arrays:
            outputs = tuple(_as_tensor(y, [*arguments, *raw[:i]]) if isinstance(y, (np.ndarray, np.generic)) else y
                            for i, y in enumerate(raw))
            stray = Tensor
        strays = [y for y in raw if isinstance(y, stray)]
        if strays or not any(isinstance(y, Tensor) for y in outputs):
            kind = "NumPy array" if cls._on_arrays else "Tensor"
            raise TypeError(f"{cls.__name__}.forward must return a {kind}, or a tuple with one in it, not "
                            f"{type(strays[0] if strays else result).__name__}")
        return raw, outputs

    @classmethod
    def _run_backward(cls, ctx, gradients, saved, recorded):
        """What backward returns."""
        if cls.backward is Function.backward:
            raise NotImplementedError(f"{cls.__name__} has no backward(ctx, ...): write it as a static method")
        if cls._on_arrays:
            gradients = [None if g is None else g.numpy() for g in gradients]
        ctx._saved = saved
        try:
            with enable_grad() if recorded else no_grad():
                return cls.backward(ctx, *gradients)
        finally:
            ctx._saved = None

    @classmethod
    def _is_differentiable(cls):
        """Whether backward under create_graph makes a graph."""
        return not (cls._on_arrays or getattr(cls.backward, "_is_once_differentiable", False))


def once_differentiable(backward):
    """Decorate a backward that is not made of differentiable operations: to differentiate its result is an error.

    It runs unrecorded, and is an error where it would not: in a recorded backward that calls it.

    >>> import microtensor as mt
    >>> class Double(mt.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     @mt.autograd.once_differentiable
    ...     def backward(ctx, g):
    ...         return mt.from_numpy(g.numpy() * 2)
    >>> x = mt.ones(2, requires_grad=True)
    >>> mt.grad(Double.apply(x).sum(), x)
    (tensor([2., 2.]),)
    """
    if isinstance(backward, (staticmethod, classmethod)):
        return type(backward)(once_differentiable(backward.__func__))

    @functools.wraps(backward)
    def once(*arguments, **options):
        if is_grad_enabled():
            name = getattr(backward, "__qualname__", "backward")
            raise RuntimeError(f"{name} is once_differentiable, and was called where gradients are recorded, as by "
                               "another backward under create_graph: make the caller once_differentiable too")
        return backward(*arguments, **options)

    once._is_once_differentiable = True
    return once


# -- on arrays


def _as_array(x):
    """A read-only array over a tensor's memory."""
    array = x.detach().numpy()
    array.flags.writeable = False
    return array


def _constant(x):
    """A read-only copy of an argument that is no tensor: the graph keeps it, and the caller may write into his."""
    check_unmasked(x)
    array = np.array(x)
    array.flags.writeable = False
    return array


def _as_tensor(y, others):
    """A tensor around an array that forward returned, or a copy if it shares memory with an argument or output."""
    y = np.asanyarray(y)            # a masked array is refused by from_numpy
    shared = any(isinstance(x, np.ndarray) and np.may_share_memory(x, y) for x in others)
    return from_numpy(y.copy() if shared else y)


class _Pair(Function, numpy=True):
    """A pair in plain NumPy: see ``Function.from_numpy``."""

    _pair = None

    @classmethod
    def forward(cls, ctx, *arguments):
        """The output of the pair's forward, in the dtype of the float tensors."""
        inputs = [_constant(x) if dtype is None else x for x, dtype in zip(arguments, ctx._dtypes, strict=True)]
        result = cls._pair[0](*inputs)
        has_saved = isinstance(result, tuple) and len(result) == 2
        y, saved = (result[0], result[1:]) if has_saved else (result, inputs)
        if isinstance(y, (float, np.floating)):
            y = np.asarray(y)
        if not isinstance(y, np.ndarray) or y.dtype.kind != "f":
            kind = f"one of dtype {y.dtype}" if isinstance(y, np.ndarray) else type(y).__name__
            raise TypeError(f"{cls.__name__}.forward must return a float array, or (output, saved), not {kind}")
        dtypes = [dtype for dtype in ctx._dtypes if dtype is not None and dtype.kind == "f"]
        y = y.astype(np.result_type(*dtypes), copy=False) if dtypes else y
        # Saved may hold views of inputs and y, in whatever it is made of: a write to one of them is noticed here alone.
        ctx.save_for_backward(saved, *inputs, y)
        return y

    @classmethod
    def backward(cls, ctx, g):
        """The gradients of the pair's backward, each in the dtype of its tensor."""
        saved, *inputs, _ = ctx.saved_tensors
        result = cls._pair[1](g, *saved)
        result = list(result) if isinstance(result, (tuple, list)) else [result]
        is_float = [x.dtype.kind == "f" for x in inputs]
        if len(result) == sum(is_float) != len(inputs):
            gradients = iter(result)
            result = [next(gradients) if among else None for among in is_float]
        if len(result) == len(inputs):          # otherwise an error says so
            result = [None if dtype is None or dtype.kind != "f" else _in_dtype(dx, dtype)
                      for dx, dtype in zip(result, ctx._dtypes, strict=True)]
        return tuple(result)


def _in_dtype(dx, dtype):
    """A gradient in the dtype of its tensor; what is none stays what it is."""
    check_unmasked(dx)
    is_number = isinstance(dx, (np.ndarray, float, np.floating)) and np.asarray(dx).dtype.kind in "biuf"
    return np.asarray(dx, dtype) if is_number else dx
