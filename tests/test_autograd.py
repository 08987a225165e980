"""mt.autograd.Function: ops written in Python, on tensors or on arrays; their order, their memory, their errors."""

import contextlib
import copy
import functools
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

import microtensor as mt
from microtensor import nn, optim
from microtensor.autograd import Function, once_differentiable
from microtensor.gradcheck import check_function


def leaf(rng, *shape, dtype=mt.float64):
    return mt.tensor(np.asarray(rng.uniform(0.5, 2, shape)), dtype=dtype, requires_grad=True)


def upstream(rng, *shape):
    return mt.tensor(np.asarray(rng.standard_normal(shape)))


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        x, = ctx.saved_tensors
        return 3 * g * x * x


class Exp(Function):
    """Saves its output."""

    @staticmethod
    def forward(ctx, x):
        y = mt.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        y, = ctx.saved_tensors
        return g * y


class Linear(Function):
    """Arguments of all kinds: tensors, a number, a text, None."""

    @staticmethod
    def forward(ctx, x, scale, w, text="+", nothing=None):
        ctx.save_for_backward(x, w)
        ctx.scale = scale if text == "+" else -scale
        return x @ w * ctx.scale

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        dx = g @ w.T * ctx.scale if ctx.needs_input_grad[0] else None
        dw = x.T @ g * ctx.scale if ctx.needs_input_grad[2] else None
        return (dx, None, dw, None, None)[: len(ctx.needs_input_grad)]


class Split(Function):
    """Two outputs, of other shapes than the input."""

    seen = None

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sum(0), x[0] * x[1]

    @staticmethod
    def backward(ctx, g, h):
        x, = ctx.saved_tensors
        Split.seen = g.tolist(), h.tolist(), g.dtype, h.dtype
        return mt.stack([g + h * x[1], g + h * x[0]])


class Passing(Function):
    """x -> x, with the gradient that it was told to return."""

    @staticmethod
    def forward(ctx, result, *inputs):
        ctx.result = result
        return inputs[0] * 1

    @staticmethod
    def backward(ctx, g):
        return ctx.result(g) if callable(ctx.result) else ctx.result


class OnArrays(Function, numpy=True):
    """y = x w, and how many numbers w has that are above 1."""

    @staticmethod
    def forward(ctx, x, w, offset):
        assert type(x) is np.ndarray is type(w) and not x.flags.writeable
        ctx.save_for_backward(x, w)
        return x * w + offset, np.sum(w > 1)

    @staticmethod
    def backward(ctx, g, count):
        x, w = ctx.saved_tensors
        assert type(g) is np.ndarray is type(x) and count == 0 and count.dtype.kind == "i"
        g *= 2                      # what backward is given is its own
        return g * w / 2, g * x / 2, None


def on_arrays(x, w):
    return OnArrays.apply(x, w, 0.5)[0]


# -- gradients


@pytest.mark.parametrize("function", [Cube, Exp, Split])
def test_gradients_of_first_and_second_order(function, rng):
    x = leaf(rng, 2, 3)
    assert mt.gradcheck(function.apply, x) and mt.gradgradcheck(function.apply, x)


def test_gradients_of_several_arguments(rng):
    x, w = leaf(rng, 5, 3), leaf(rng, 3, 2)
    for function in (lambda x, w: Linear.apply(x, 3.0, w), lambda x, w: Linear.apply(x, 0.5, w, "-", None)):
        assert mt.gradcheck(function, [x, w]) and mt.gradgradcheck(function, [x, w])
    assert mt.gradcheck(on_arrays, [x, leaf(rng, 5, 3)])


def test_wrong_backward_is_found(rng):
    class Wrong(Cube):
        @staticmethod
        def backward(ctx, g):
            return Cube.backward(ctx, g) * 2

    assert mt.gradcheck(Wrong.apply, leaf(rng, 3), raise_exception=False).verdict == "FAIL"


def test_function_among_ops(rng):
    x, g = leaf(rng, 3), upstream(rng, 3)
    y = Cube.apply(x * 2) + x
    y.backward(g)
    np.testing.assert_allclose(x.grad.numpy(), g.numpy() * (24 * x.detach().numpy() ** 2 + 1), rtol=8 * 2**-52)


def test_derivatives_of_every_order():
    for function, expected in ((Cube.apply, (6.75, 9.0, 6.0)), (Exp.apply, (np.exp(1.5),) * 3)):
        x = mt.tensor(1.5, dtype=mt.float64, requires_grad=True)
        y = function(x)
        for value in expected:
            y, = mt.grad(y, x, create_graph=True)
            assert y.item() == pytest.approx(value, rel=16 * 2**-52)


def test_saved_output_is_the_output_in_the_graph(rng):
    """d(g y)/dy = g: the saved output has its place, as an op's has, also when the tensor itself is gone."""
    x, g = leaf(rng, 3), upstream(rng, 3)
    y = Exp.apply(x)
    dx, = mt.grad(y, x, g, create_graph=True)
    np.testing.assert_array_equal(mt.grad(dx.sum(), y, retain_graph=True)[0].numpy(), g.numpy())
    z = y * 1
    dx, = mt.grad(z, x, g, create_graph=True)
    del y, z
    ddx, = mt.grad(dx.sum(), x)
    np.testing.assert_allclose(ddx.numpy(), g.numpy() * np.exp(x.detach().numpy()), rtol=8 * 2**-52)


def test_training_a_net_with_a_function(rng):
    x = mt.tensor(rng.standard_normal((64, 2)).astype(np.float32))
    t = (x[:, 0] * x[:, 1] > 0).long()

    def losses(activation):
        mt.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 16), nn.Linear(16, 2))
        optimizer = optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
        for _ in range(200):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model[1](activation(model[0](x))), t)
            loss.backward()
            optimizer.step()
            yield loss.item()

    class Tanh(Function):
        @staticmethod
        def forward(ctx, x):
            y = mt.tanh(x)
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            y, = ctx.saved_tensors
            return g * (1 - y * y)

    pair = Function.from_numpy(lambda x: (np.tanh(x), np.tanh(x)), lambda g, y: g * (np.float64(1) - y * y))
    expected = list(losses(mt.tanh))
    for activation in (Tanh.apply, pair.apply):
        found = list(losses(activation))
        np.testing.assert_allclose(found[:20], expected[:20], rtol=1e-3)        # rounding grows with the steps
        assert found[-1] < 0.1 < 0.6 < found[0]


# -- how forward and backward run


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("outside", [mt.no_grad, mt.enable_grad])
def test_recording_inside(create_graph, outside, rng):
    modes = []

    class Watched(Cube):
        @staticmethod
        def forward(ctx, x):
            modes.append(mt.is_grad_enabled())
            return Cube.forward(ctx, x)

        @staticmethod
        def backward(ctx, g):
            modes.append(mt.is_grad_enabled())
            return Cube.backward(ctx, g)

    x = leaf(rng)
    y = Watched.apply(x)
    with outside():
        dx, = mt.grad(y, x, create_graph=create_graph)
        assert mt.is_grad_enabled() == (outside is mt.enable_grad)
    assert modes == [False, create_graph] and dx.requires_grad == create_graph


def test_recording_is_as_before_after_an_exception(rng):
    def fail(*_):
        raise KeyError("mine")

    class Failing(Function):
        forward = staticmethod(fail)

    x = leaf(rng)
    with pytest.raises(KeyError, match="mine"):
        Failing.apply(x)
    assert mt.is_grad_enabled()
    w = leaf(rng)
    for differentiate in (lambda y: y.backward(), lambda y: mt.grad(y, x, create_graph=True)):
        with pytest.raises(KeyError, match="mine"):
            differentiate(Passing.apply(fail, x) + w)
        assert mt.is_grad_enabled() and x.grad is None and w.grad is None


def test_nothing_is_recorded_where_no_gradient_is(rng):
    x = leaf(rng, 3)
    with mt.no_grad():
        y = Cube.apply(x)
    for result in (y, Cube.apply(x.detach())):
        assert result.is_leaf and not result.requires_grad
    assert Cube.apply(x).requires_grad and not Cube.apply(x).is_leaf


def test_needs_input_grad_says_for_each_argument(rng):
    class Needs(Function):
        @staticmethod
        def forward(ctx, *inputs):
            assert ctx.needs_input_grad == (True, False, False, False)
            return inputs[0] * 2

        @staticmethod
        def backward(ctx, g):
            assert ctx.needs_input_grad == (True, False, False, False)
            return g * 2, None, None, None

    x = leaf(rng, 3)
    Needs.apply(x, x.detach(), 1.0, None).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_attributes_and_arguments_that_are_no_tensors(rng):
    x, w = leaf(rng, 2, 3), leaf(rng, 3, 2)
    y = Linear.apply(x, 2.0, w.detach(), "-")
    y.sum().backward()
    np.testing.assert_array_equal(y.detach().numpy(), -2 * (x.detach() @ w.detach()).numpy())
    np.testing.assert_allclose(x.grad.numpy(), [-2 * w.detach().numpy().sum(1)] * 2, rtol=8 * 2**-52)
    assert w.grad is None


def test_keywords_are_refused(rng):
    with pytest.raises(TypeError, match=r"Linear\.apply takes no keyword arguments, got scale=.*by position"):
        Linear.apply(leaf(rng, 2, 3), scale=2.0)


def test_function_is_not_instantiated():
    with pytest.raises(TypeError, match=r"Cube is not instantiated: call Cube\.apply"):
        Cube()


def test_what_is_not_written_is_named(rng):
    class Half(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

    with pytest.raises(NotImplementedError, match=r"Function has no forward\(ctx"):
        Function.apply(leaf(rng))
    with pytest.raises(NotImplementedError, match=r"Half has no backward\(ctx"):
        Half.apply(leaf(rng)).backward()


def test_setup_context_is_refused(rng):
    class Apart(Function):
        @staticmethod
        def forward(x):
            return x * 1

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

    with pytest.raises(TypeError, match=r"Apart\.setup_context would not be called: write forward\(ctx, "):
        Apart.apply(leaf(rng))


def test_repeated_arguments_add_up(rng):
    class Mul(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            return g * b, g * a

    x = leaf(rng, 3)
    assert mt.gradcheck(lambda x: Mul.apply(x, x), x) and mt.gradgradcheck(lambda x: Mul.apply(x, x), x)
    y = x * 1
    Mul.apply(y, y).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * x.detach().numpy())


def test_node_has_the_functions_name(rng):
    y = Cube.apply(leaf(rng))
    assert y.grad_fn.name == "Cube" and repr(y.grad_fn) == "<Cube>" and "grad_fn=<Cube>" in repr(y)
    assert [node.name for node in y.grad_fn.next_functions] == ["Cube"]


# -- outputs


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("used", [(0,), (1,), (0, 1), (1, 0, 0)])
def test_unused_outputs_get_zeros(used, create_graph, rng):
    x = leaf(rng, 2, 3)
    outputs = Split.apply(x)
    assert type(outputs) is tuple and outputs[0].grad_fn is not outputs[1].grad_fn
    gs = [upstream(rng, 3) for _ in used]
    dx, = mt.grad([outputs[i] for i in used], x, gs, create_graph=create_graph)
    g, h = (sum(g.numpy() for i, g in zip(used, gs, strict=True) if i == k) + np.zeros(3) for k in (0, 1))
    a = x.detach().numpy()
    np.testing.assert_allclose(dx.detach().numpy(), [g + h * a[1], g + h * a[0]], rtol=8 * 2**-52)
    assert Split.seen[2:] == (mt.float64, mt.float64)
    for k in (0, 1):
        if k not in used:
            assert Split.seen[k] == [0, 0, 0]


def test_output_that_died_gets_zeros(rng, no_gc):
    x = leaf(rng, 2, 3)
    y = Split.apply(x)[1]
    y.sum().backward()
    assert Split.seen[:2] == ([0, 0, 0], [1, 1, 1])
    np.testing.assert_array_equal(x.grad.numpy(), x.detach().numpy()[::-1])


def test_zeros_may_be_left_out(rng):
    class Two(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, g, h):
            assert h is None
            return g

    x = leaf(rng, 2)
    Two.apply(x)[0].sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_outputs_that_are_not_differentiable(rng):
    class Sorted(Function):
        @staticmethod
        def forward(ctx, x):
            order = mt.tensor(np.argsort(x.detach().numpy()))
            rank = mt.tensor(np.argsort(order.numpy()) * 1.0)
            y = x[order]
            ctx.mark_non_differentiable(rank)
            ctx.save_for_backward(order, None, rank)
            return y, order, rank, "text"

        @staticmethod
        def backward(ctx, g, *others):
            assert [(z.tolist(), z.dtype) for z in others[:2]] == [([0, 0, 0], mt.int64), ([0, 0, 0], mt.float64)]
            assert others[2] is None
            order, none, rank = ctx.saved_tensors
            assert none is None and not order.requires_grad and not rank.requires_grad
            return mt.index(g, rank.long())

    x = mt.tensor([2.0, 5.0, 3.0], requires_grad=True)
    y, order, rank, text = Sorted.apply(x)
    assert y.requires_grad and not order.requires_grad and not rank.requires_grad and text == "text"
    (y * mt.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [1, 3, 2] and (y.tolist(), order.tolist()) == ([2, 3, 5], [0, 2, 1])


def test_number_of_numpy_is_marked_as_not_differentiable(rng):
    class Mean(Function, numpy=True):
        @staticmethod
        def forward(ctx, x):
            mean = x.mean()
            ctx.mark_non_differentiable(mean)
            return x * 2, mean

        @staticmethod
        def backward(ctx, g, h):
            assert h == 0
            return g * 2

    x, g = leaf(rng, 3), upstream(rng, 3)
    y, mean = Mean.apply(x)
    assert not mean.requires_grad and mean.item() == x.detach().numpy().mean()
    y.backward(g)
    np.testing.assert_array_equal(x.grad.numpy(), 2 * g.numpy())


def test_no_output_is_differentiable(rng):
    class Sign(Function):
        @staticmethod
        def forward(ctx, x):
            y = mt.sign(x)
            ctx.mark_non_differentiable(y)
            return y

    y = Sign.apply(leaf(rng, 3))
    assert not y.requires_grad and y.is_leaf


def test_marks_are_for_outputs(rng):
    class Marked(Cube):
        mark = None

        @staticmethod
        def forward(ctx, x):
            ctx.mark_non_differentiable(*Marked.mark)
            return Cube.forward(ctx, x)

    Marked.mark = [1.5]
    with pytest.raises(TypeError, match="mark_non_differentiable takes outputs of forward, not float"):
        Marked.apply(leaf(rng, 3))
    Marked.mark = [mt.ones(2)]
    with pytest.raises(RuntimeError, match=r"Marked\.forward .*mark_non_differentiable.* shape \(2,\).* no output"):
        Marked.apply(leaf(rng, 3))


@pytest.mark.parametrize("result", [None, 1.5, [mt.ones(1)], (), (None, "x"), np.ones(2), (mt.ones(1), np.ones(2))])
def test_forward_must_return_tensors(result, rng):
    class Returning(Function):
        @staticmethod
        def forward(ctx, x):
            return result

    name = {type(None): "NoneType", tuple: "tuple"}.get(type(result), type(result).__name__)
    for x in (leaf(rng), mt.ones(1)):
        with pytest.raises(TypeError, match=rf"Returning\.forward must return .*({name}|ndarray)"):
            Returning.apply(x)


def test_output_that_is_the_input_or_a_view_of_it(rng):
    class Views(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x, x.T, x

        @staticmethod
        def backward(ctx, a, b, c):
            return a + b.T + c

    x = leaf(rng, 2, 3)
    y, t, again = Views.apply(x)
    assert y is not x and again is not y and x.is_leaf and not y.is_leaf
    assert np.shares_memory(y.detach().numpy(), x.detach().numpy())
    (y.sum() + t.sum() * 3 + again.sum() * 2).backward(retain_graph=True)
    assert (x.grad.numpy() == 6).all()
    with mt.no_grad():
        t.zero_()                               # counts as a write to x
    assert (x.detach().numpy() == 0).all()
    with pytest.raises(RuntimeError, match=r"Views.*saved.*\(2, 3\).*written in place"):
        y.sum().backward()
    x = leaf(rng, 2, 3)
    assert mt.gradcheck(Views.apply, x) and mt.gradgradcheck(Views.apply, x, zero_gradient=["input0"])


def test_output_that_others_hold_is_left_as_it_is(rng):
    kept = mt.ones(3, dtype=mt.float64)

    class Kept(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.y = kept
            return kept

        @staticmethod
        def backward(ctx, g):
            return g

    y = Kept.apply(leaf(rng, 3))
    assert y.requires_grad and not kept.requires_grad and kept.is_leaf and kept.grad_fn is None


# -- gradients that are none, and wrong ones


def test_none_is_no_gradient(rng):
    x, w = leaf(rng, 3), leaf(rng, 3)
    y = Passing.apply((None, None, None), x, w)
    assert mt.grad(y.sum(), [x, w], allow_unused=True, retain_graph=True) == (None, None)
    (y + x).sum().backward()
    assert x.grad.tolist() == [1, 1, 1] and w.grad is None
    Passing.apply(lambda g: (None, g, None, None, None), x).sum().backward()        # None behind the last argument
    assert x.grad.tolist() == [2, 2, 2]


def test_gradient_of_what_needs_none_is_left_out(rng):
    x, w = leaf(rng, 3), upstream(rng, 2)
    Passing.apply(lambda g: (None, g, mt.ones(7)), x, w).sum().backward()
    assert x.grad.tolist() == [1, 1, 1] and w.grad is None


WRONG = {
    "too few": (lambda g: g, RuntimeError, r"Passing\.backward .* 2 arguments.* got 1"),
    "too many": (lambda g: (None, g, g), RuntimeError, r"Passing\.backward .* 2 arguments.* got 3"),
    "shape": (lambda g: (None, g[:2]), RuntimeError, r"Passing\.backward .*argument 1.*\(3,\) float64.*\(2,\) float64"),
    "broadcast": (lambda g: (None, mt.ones(2, 3, dtype=mt.float64)), RuntimeError, r"\(3,\).*\(2, 3\)"),
    "0-d": (lambda g: (None, g.sum()), RuntimeError, r"\(3,\).*\(\)"),
    "dtype": (lambda g: (None, g.float()), RuntimeError, r"\(3,\) float64.*\(3,\) float32"),
    "integers": (lambda g: (None, g.long()), RuntimeError, r"\(3,\) float64.*\(3,\) int64"),
    "number": (lambda g: (None, 1.0), TypeError, r"Passing\.backward .*argument 1.*Tensor.*not float"),
    "array": (lambda g: (None, np.ones(3)), TypeError, r"argument 1.*Tensor.*not ndarray"),
    "list": (lambda g: [None, g], TypeError, r"Passing\.backward .*tuple.*not list"),
    "of no tensor": (lambda g: (g, g), RuntimeError, r"argument 0, which is no tensor.*None"),
    "empty": (lambda g: (), RuntimeError, r"2 arguments.* got 0"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_gradients_are_errors_that_change_nothing(kind, rng):
    result, error, match = WRONG[kind]
    x, w = leaf(rng, 3), leaf(rng, 3)
    x.grad = given = mt.ones_like(x)
    for differentiate in (lambda y: y.backward(), lambda y: mt.grad(y, x), lambda y: mt.grad(y, x, create_graph=True)):
        with pytest.raises(error, match=match):
            differentiate((Passing.apply(result, x) + w).sum())
        assert x.grad is given and given.tolist() == [1, 1, 1] and w.grad is None


def test_gradient_of_a_subclass_that_lies_about_its_shape(rng):
    class Liar(mt.Tensor):
        shape = property(lambda self: (3,))
        dtype = property(lambda self: mt.float64)

    for create_graph in (False, True):
        x = leaf(rng, 3)
        with pytest.raises(RuntimeError, match=r"\(3,\) float64.*\(5000,\) float32"):
            mt.grad(Passing.apply(lambda g: (None, Liar(np.ones(5000))), x).sum(), x, create_graph=create_graph)


def test_gradients_in_a_graph_are_nobody_elses(rng):
    """Of two nodes that are sent one gradient, one writes into it; and it writes into what the other returned."""
    kept = []

    def write(g):
        with mt.no_grad():
            g.fill_(100)
            for dx in kept:
                dx.fill_(100)
        return None, g * 0

    def keep(g):
        kept.append(g * w)
        return None, kept[0]

    for result in (write, keep):
        kept.clear()
        x, w, g = leaf(rng, 3), leaf(rng, 3), upstream(rng, 3)
        y = Passing.apply(result, x * 1) + Passing.apply(lambda g: (None, g * 1), x * 1)
        z = Passing.apply(write, x * 1) if result is keep else 0
        dx, = mt.grad((y * w) + z, x, g, create_graph=True)
        expected = g * w * (1 + w) if result is keep else g * w
        np.testing.assert_allclose(dx.detach().numpy(), expected.detach().numpy(), rtol=8 * 2**-52)


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_are_nobody_elses(create_graph, rng):
    """backward may write into what it is given, and return the same memory twice, or what it keeps."""
    kept = mt.ones(3, dtype=mt.float64)

    def result(g):
        g = g.detach()
        with mt.no_grad():
            g *= 2
            kept.fill_(5)
        return None, g, g, kept

    x, y, z, w, g = leaf(rng, 3), leaf(rng, 3), leaf(rng, 3), leaf(rng, 3), mt.ones(3, dtype=mt.float64)
    (a, b, c, d) = mt.grad(Passing.apply(result, x, y, z) + w, [x, y, z, w], g, create_graph=create_graph)
    kept.zero_()
    assert [t.tolist() for t in (a, b, c, d, g)] == [[2] * 3, [2] * 3, [5] * 3, [1] * 3, [1] * 3]
    a.detach().zero_()
    assert b.tolist() == [2, 2, 2]


class Claiming:
    """An object that claims a class, and gives NumPy an array that it keeps."""

    def __init__(self, claimed):
        self.claimed, self.array = claimed, np.ones(3)

    __class__ = property(lambda self: self.claimed)

    def __array__(self, dtype=None, copy=None):
        return self.array


@pytest.mark.parametrize("claimed", [mt.Tensor, np.ndarray, np.float64])
def test_gradient_that_claims_a_type_is_refused(claimed, rng):
    class OfArrays(Passing, numpy=claimed is not mt.Tensor):
        pass

    x = leaf(rng, 3)
    with pytest.raises(TypeError, match=r"argument 1 a (Tensor|NumPy array) or None, not Claiming"):
        OfArrays.apply(lambda g: (None, Claiming(claimed)), x).sum().backward()
    assert x.grad is None


def test_gradients_of_any_layout(rng):
    x, w = leaf(rng, 2, 3), leaf(rng, 2, 3)
    layouts = (lambda g: g.T.clone().T, lambda g: g[0, 0].expand(2, 3), lambda g: g[::-1, ::-1])
    for create_graph in (False, True):
        for layout in layouts:
            g = upstream(rng, 2, 3)
            y = Passing.apply(lambda g, layout=layout: (None, layout(g)), x.exp() * w)
            dw, = mt.grad(y, w, g, create_graph=create_graph)
            np.testing.assert_array_equal(dw.detach().numpy(), (layout(g) * x.detach().exp()).numpy())


# -- what is saved


WRITES = {
    "input": lambda x, w, y: x.zero_(),
    "view of the input": lambda x, w, y: x[:1].zero_(),
    "detached": lambda x, w, y: w.detach().zero_(),
    "output": lambda x, w, y: y.zero_(),
}


class SavesAll(Function):
    @staticmethod
    def forward(ctx, x, w):
        y = x * w
        ctx.save_for_backward(x, w[1:], y)
        return y

    @staticmethod
    def backward(ctx, g):
        x, _, y = ctx.saved_tensors
        return g * y / x, g * x


class SavesAllArrays(Function, numpy=True):
    @staticmethod
    def forward(ctx, x, w):
        y = x * w
        ctx.save_for_backward(x, w[1:], y)
        return y

    backward = SavesAll.backward


PAIR = Function.from_numpy(lambda x, w: (x * w, {"x": x, "w": w}), lambda g, saved: (g * saved["w"], g * saved["x"]))


@pytest.mark.parametrize("function", [SavesAll, SavesAllArrays, PAIR])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_write_to_what_was_saved_is_an_error(function, write, rng):
    x, w, b = leaf(rng, 3), leaf(rng, 3), leaf(rng, 3)
    y = function.apply(x, w)
    loss = (y + b).sum()
    with mt.no_grad():
        write(x, w, y)
    for differentiate in (loss.backward, lambda: mt.grad(loss, x), lambda: mt.grad(loss, x, create_graph=True)):
        with pytest.raises(RuntimeError, match=rf"{function.__name__}.*saved.*\([23],\).*written in place"):
            differentiate()
    assert x.grad is None and w.grad is None and b.grad is None


def test_write_to_any_tensor_that_shares_memory_with_a_saved_array_is_an_error(rng):
    """Two columns of one array lie between each other, and share nothing."""
    class Mul(Function, numpy=True):
        @staticmethod
        def forward(ctx, x, w, v):
            ctx.save_for_backward(w)
            return x * w

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0], None, None

    for written in range(4):
        columns = rng.standard_normal((3, 2))
        x, w = mt.from_numpy(columns[:, 0]).requires_grad_(), mt.from_numpy(columns[:, 1])
        v, g = mt.from_numpy(columns), upstream(rng, 3)
        y = Mul.apply(x, w, v)
        with mt.no_grad():
            (x, w, v, mt.from_numpy(np.ones(3)))[written].fill_(50)
        if written in (1, 2):
            with pytest.raises(RuntimeError, match=r"Mul.*saved.*written in place"):
                y.backward(g)
        else:
            y.backward(g)
            np.testing.assert_array_equal(x.grad.numpy(), (g * w).numpy())


def test_write_to_what_was_not_saved_is_fine(rng):
    x = leaf(rng, 3)
    for function, expected in ((Exp.apply, x.detach().exp()), (lambda x: on_arrays(x.detach() * 0, x), x.detach() * 0)):
        y = function(x)
        with mt.no_grad():
            if function is Exp.apply:
                x.zero_()
        np.testing.assert_array_equal(mt.grad(y.sum(), x)[0].numpy(), expected.numpy())


def test_write_by_forward_to_an_input_that_needs_a_gradient_is_refused(rng):
    class Writing(Function):
        @staticmethod
        def forward(ctx, x, count):
            count += 1                  # as a running statistic: needs no gradient
            if count.item() > 1:
                x.zero_()
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g, None

    x, count = leaf(rng, 3), mt.zeros(())
    Writing.apply(x, count).sum().backward()
    with pytest.raises(RuntimeError, match=r"Writing\.forward wrote .*argument 0.*\(3,\).*clone\(\)"):
        Writing.apply(x, count)

    class WritingArrays(Function, numpy=True):
        @staticmethod
        def forward(ctx, x):
            x *= 2
            return x

    with pytest.raises(ValueError, match="read-only"):
        WritingArrays.apply(x)


@pytest.mark.parametrize("size", [3, 5])
def test_data_of_an_input_that_forward_replaced_is_refused(size, rng):
    class Replacing(Cube):
        @staticmethod
        def forward(ctx, x):
            y = Cube.forward(ctx, x)
            x.data = mt.ones(size, dtype=mt.float64)
            return y

    with pytest.raises(RuntimeError, match=r"Replacing: the data of an input .*was replaced"):
        Replacing.apply(leaf(rng, 3))


# -- what runs in a pass, and writes


def write_in_backward(write, y):
    return Passing.apply(lambda g: (write(), (None, g))[1], y)


def write_in_backward_on_arrays(write, y):
    class OnArrays(Passing, numpy=True):
        pass

    return OnArrays.apply(lambda g: (write(), (None, g))[1], y)


READERS = {
    "input": lambda w: w * w, "output": lambda w: w.exp(), "product": lambda w: w @ w, "function": Cube.apply,
    "function on arrays": lambda w: on_arrays(w, w), "pair": lambda w: PAIR.apply(w, w),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("passing", [write_in_backward, write_in_backward_on_arrays])
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_write_during_a_pass_is_noticed(read, passing, create_graph, rng):
    """An optimiser's step inside backward, say: what runs afterwards would compute with the new numbers."""
    w, b, g = leaf(rng, 3), leaf(rng, 3), upstream(rng, 3)
    optimizer = optim.SGD([w], lr=1.0)
    w.grad = before = upstream(rng, 3)
    given = before.tolist()
    y = read(w)

    def write():
        optimizer.step()
        with mt.no_grad():
            y.fill_(7)

    z = passing(write, y) + b
    warned = pytest.warns(UserWarning) if create_graph else contextlib.nullcontext()
    with warned, pytest.raises(RuntimeError, match="in place"):
        z.backward(g, create_graph=create_graph)
    assert w.grad is before and w.grad.tolist() == given and b.grad is None


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_write_of_an_observer_during_a_pass_is_noticed(read, rng):
    w, g = leaf(rng, 3), upstream(rng, 3)
    y = read(w)

    def write(op, backward):
        if op.name == "Neg":
            with mt.no_grad():
                w.fill_(3)
                y.fill_(3)

    z = -(y + mt.zeros(3, dtype=mt.float64))
    before = mt.core.observe(write)
    try:
        with pytest.raises(RuntimeError, match="in place"):
            z.backward(g)
    finally:
        mt.core.observe(before)
    assert w.grad is None


def test_write_of_an_observer_to_an_input_is_refused(rng):
    """The op would save what it did not compute with."""
    def write(op, backward):
        with mt.no_grad():
            w.fill_(3)

    w = leaf(rng, 3)
    before = mt.core.observe(write)
    try:
        for use in (lambda: w.log(), lambda: w * w, lambda: Cube.apply(w), lambda: mt.cat([w, w])):
            with pytest.raises(RuntimeError, match=r"in place"):
                use()
    finally:
        mt.core.observe(before)


def test_observer_that_writes_cannot_run_again(rng):
    def write(op, backward):
        if backward:
            with mt.no_grad():
                w.fill_(3)
            op.run_again(True)

    w = leaf(rng, 3)
    y = w * w
    before = mt.core.observe(write)
    try:
        with pytest.raises(RuntimeError, match=r"Mul.*in place"):
            y.backward(upstream(rng, 3))
    finally:
        mt.core.observe(before)
    assert w.grad is None


def test_write_by_an_operator_during_a_rule_is_noticed(rng):
    class Writing(mt.Tensor):
        def __mul__(self, other):
            with mt.no_grad():
                x.fill_(100)
            return mt.mul(self.detach(), other)

        __rmul__ = __mul__

    w, x = Writing(rng.uniform(1, 2, 3), requires_grad=True), leaf(rng, 3, dtype=mt.float32)
    for y in (mt.mul(w, x), mt.mul(x, w)):          # the rule of one of them multiplies by w first
        with pytest.raises(RuntimeError, match=r"Mul.*in place"):
            mt.grad(y, [w, x], upstream(rng, 3).float(), create_graph=True)
        with mt.no_grad():
            x.fill_(2)


def test_write_to_the_gradient_that_a_pass_began_with_is_noticed(rng):
    for create_graph in (False, True):
        x, w, g = leaf(rng, 3), leaf(rng, 3), upstream(rng, 3)
        write = functools.partial(g.fill_, 100)
        y = write_in_backward(write, x.exp()) + write_in_backward(write, w.exp())
        with pytest.raises(RuntimeError, match="gradient that backward was given was written in place"):
            mt.grad(y, [x, w], g, create_graph=create_graph)


def test_write_during_a_pass_that_harms_nothing_is_fine(rng):
    x, w, g = leaf(rng, 3), leaf(rng, 3), upstream(rng, 3)
    count = mt.zeros(())

    def write():
        with mt.no_grad():
            count.fill_(1)
            w.fill_(5)                      # whose op has run

    y = w * 2 + write_in_backward(write, x * x)
    y.backward(g)
    np.testing.assert_allclose(x.grad.numpy(), 2 * (x.detach() * g).numpy(), rtol=4 * 2**-52)
    np.testing.assert_array_equal(w.grad.numpy(), 2 * g.numpy())
    assert count.item() == 1


def test_data_replaced_during_a_pass_leaves_the_gradient_right(rng):
    """Ops keep the array that they computed with; and a rule, which computes with the leaf, is refused."""
    for read, derivative in ((lambda w: w * w, lambda w: 2 * w), (Cube.apply, lambda w: 3 * w * w)):
        w, g = leaf(rng, 3), upstream(rng, 3)
        expected = (derivative(w.detach()) * g).numpy()

        def replace(w=w):
            w.data = mt.ones(3, dtype=mt.float64)

        y = write_in_backward(replace, read(w))
        np.testing.assert_allclose(mt.grad(y, w, g)[0].numpy(), expected, rtol=4 * 2**-52)
        y = write_in_backward(replace, read(w))
        with pytest.raises(RuntimeError, match="was replaced since"):
            mt.grad(y, w, g, create_graph=True)


def test_mark_dirty_is_refused(rng):
    class Dirty(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)

    with pytest.raises(NotImplementedError, match=r"mark_dirty.*in-place.*new tensor"):
        Dirty.apply(leaf(rng, 3))


def test_save_for_backward_takes_tensors(rng):
    class Saving(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 1.5)
            return x * 1

    with pytest.raises(TypeError, match=r"save_for_backward takes tensors or None, not float.*attribute of ctx"):
        Saving.apply(leaf(rng, 3))


def test_saved_tensors_are_for_backward(rng):
    kept = []

    class Early(Cube):
        @staticmethod
        def forward(ctx, x):
            kept.append(ctx)
            with pytest.raises(RuntimeError, match="in backward"):
                ctx.saved_tensors  # noqa: B018
            return Cube.forward(ctx, x)

    Early.apply(leaf(rng)).backward()
    with pytest.raises(RuntimeError, match="in backward"):
        kept[0].saved_tensors  # noqa: B018


def test_saved_leaf_whose_data_was_replaced(rng):
    """As with ops: the first order has the old numbers, the second is refused."""
    x = leaf(rng, 3)
    before = x.detach().clone()
    y = Cube.apply(x).sum()
    x.data = mt.ones(3, dtype=mt.float64)
    np.testing.assert_array_equal(mt.grad(y, x, retain_graph=True)[0].numpy(), (3 * before * before).numpy())
    with pytest.raises(RuntimeError, match=r"Cube.*was replaced"):
        mt.grad(y, x, create_graph=True)
    x.data = mt.ones(2)
    with pytest.raises(RuntimeError, match=r"Cube.*replaced.*\(2,\) float32"):
        y.backward()


@pytest.mark.parametrize("function", [Cube.apply, Exp.apply, lambda x: on_arrays(x, x), lambda x: PAIR.apply(x, x)])
def test_second_backward_names_retain_graph(function, rng):
    x = leaf(rng, 3)
    y = function(x).sum()
    y.backward(retain_graph=True)
    once = x.grad.numpy().copy()
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * once)
    for again in (y.backward, lambda: mt.grad(y, x, create_graph=True)):
        with pytest.raises(RuntimeError, match=r"second time.*retain_graph=True"):
            again()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * once)


def test_second_backward_of_what_saved_nothing(rng):
    x = leaf(rng, 3)
    y = Passing.apply(lambda g: (None, g), x)
    for _ in range(2):
        y.backward(mt.ones(3, dtype=mt.float64))
    assert x.grad.tolist() == [2, 2, 2]


def test_tensor_from_elsewhere_may_be_saved(rng):
    """It keeps its place in the graph, as in PyTorch."""
    w = leaf(rng, 3)
    u = w.exp()

    class Scaled(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(u)
            return x * u.detach()

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    x = leaf(rng, 3)
    dx, = mt.grad(Scaled.apply(x).sum(), x, create_graph=True)
    np.testing.assert_allclose(mt.grad(dx.sum(), w)[0].numpy(), np.exp(w.detach().numpy()), rtol=4 * 2**-52)


# -- once


class Once(Cube):
    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        assert not mt.is_grad_enabled()
        return Cube.backward(ctx, g)


class OnceOutside(Cube):
    @once_differentiable
    @staticmethod
    def backward(ctx, g):
        assert not mt.is_grad_enabled()
        return Cube.backward(ctx, g)


CUBE = Function.from_numpy(lambda x: x**3, lambda g, x: 3 * g * x**2)


@pytest.mark.parametrize("function", [Once, OnceOutside, CUBE])
def test_once_differentiable(function, rng):
    x, w = leaf(rng, 3), leaf(rng, 3)
    assert mt.gradcheck(function.apply, x)
    dx, dw = mt.grad((function.apply(x) * w).sum(), [x, w], create_graph=True)
    np.testing.assert_allclose(dx.detach().numpy(), (3 * x * x * w).detach().numpy(), rtol=8 * 2**-52)
    for again in (dx.sum().backward, lambda: mt.grad((dx * dw).sum(), w), lambda: mt.grad((dx + w).sum(), w)):
        with pytest.raises(RuntimeError, match=rf"gradient of {function.__name__}.*once"):
            again()
    assert x.grad is None and w.grad is None


def test_once_differentiable_backward_that_another_calls(rng):
    """In a plain pass it runs; where the caller is recorded, its numbers would count as constants."""
    class Calling(Once):
        @staticmethod
        def backward(ctx, g):
            return Once.backward(ctx, g) * 2

    x, g = leaf(rng, 3), upstream(rng, 3)
    y = Calling.apply(x)
    np.testing.assert_allclose(mt.grad(y, x, g, retain_graph=True)[0].numpy(), (6 * x.detach() ** 2 * g).numpy(),
                               rtol=8 * 2**-52)
    with pytest.raises(RuntimeError, match=r"Once\.backward is once_differentiable.*where gradients are recorded"):
        mt.grad(y, x, g, create_graph=True)


def test_once_differentiable_leaves_what_it_decorates_as_it_is(rng):
    class Decorated(Cube):
        backward = staticmethod(once_differentiable(Cube.backward))

    class Partial(Cube):
        backward = staticmethod(once_differentiable(functools.partial(Cube.backward)))

    class OfClass(Cube):
        @once_differentiable
        @classmethod
        def backward(cls, ctx, g):
            assert cls is OfClass
            return Cube.backward(ctx, g)

    x, g = leaf(rng, 3), upstream(rng, 3)
    dx, = mt.grad(Cube.apply(x), x, g, create_graph=True)
    np.testing.assert_allclose(mt.grad(dx.sum(), x)[0].numpy(), (6 * x * g).detach().numpy(), rtol=8 * 2**-52)
    assert Decorated.backward.__name__ == "backward"
    for function in (Decorated, Partial, OfClass):
        dx, = mt.grad(function.apply(x), x, g, create_graph=True)
        with pytest.raises(RuntimeError, match=f"gradient of {function.__name__}.*once"):
            dx.sum().backward()


def test_once_differentiable_computes_with_saved_data_that_was_replaced(rng):
    x, g = leaf(rng, 3), upstream(rng, 3)
    y, expected = Once.apply(x), (3 * g * x.detach() * x.detach()).numpy()
    x.data = mt.ones(3, dtype=mt.float64)
    np.testing.assert_allclose(mt.grad(y, x, g, create_graph=True)[0].detach().numpy(), expected, rtol=4 * 2**-52)


# -- on arrays


def test_function_on_arrays(rng):
    x, w = leaf(rng, 3), leaf(rng, 3)
    y, count = OnArrays.apply(x, w, 0.5)
    assert type(y) is mt.Tensor and type(count) is mt.Tensor and not count.requires_grad
    assert count.item() == (w.detach().numpy() > 1).sum()
    g = upstream(rng, 3)
    before = g.tolist()
    y.backward(g)
    np.testing.assert_array_equal(x.grad.numpy(), (g * w.detach()).numpy())
    np.testing.assert_array_equal(w.grad.numpy(), (g * x.detach()).numpy())
    assert g.tolist() == before


def test_outputs_on_arrays_are_nobody_elses(rng):
    class Kept(Function, numpy=True):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_non_differentiable(x)
            twice = x * 2
            return x.mean(), x.T, x, twice, twice[0]

        @staticmethod
        def backward(ctx, g, h, zero, twice, row):
            assert g.shape == () and not zero.any()
            return h.T + g / h.size + 2 * twice + [2 * row, 0 * row]

    x = leaf(rng, 2, 3)
    mean, t, same, twice, row = Kept.apply(x)
    assert mean.shape == () and not same.requires_grad
    with mt.no_grad():
        t.zero_()
        same.zero_()
        row.zero_()
    assert (x.detach().numpy() > 0).all() and (twice.detach().numpy() > 0).all()
    assert mt.gradcheck(lambda x: [y for i, y in enumerate(Kept.apply(x)) if i != 2], x)


@pytest.mark.parametrize(("result", "error", "match"), [
    (np.ones(2), RuntimeError, r"argument 0.*\(3,\) float64.*\(2,\) float64"),
    (np.ones(3, np.float32), RuntimeError, r"argument 0.*\(3,\) float64.*\(3,\) float32"),
    (np.ones(3, np.float16), RuntimeError, r"Wrong\.backward .*argument 0.*\(3,\) float64.*\(3,\) float16"),
    (np.ones(3, np.complex128), RuntimeError, r"argument 0.*\(3,\) float64.*\(3,\) complex128"),
    (np.array([None] * 3), RuntimeError, r"argument 0.*\(3,\) float64.*\(3,\) object"),
    (np.ones(3, ">f8"), RuntimeError, r"argument 0.*\(3,\) float64.*\(3,\) >f8"),
    (mt.ones(3), TypeError, r"argument 0.*NumPy array.*not Tensor"),
    (1.0, TypeError, r"argument 0.*NumPy array.*not float"),
    ([np.ones(3)], TypeError, "tuple.*not list"),
])
def test_wrong_gradients_on_arrays(result, error, match, rng):
    class Wrong(Function, numpy=True):
        @staticmethod
        def forward(ctx, x):
            return x + 1

        @staticmethod
        def backward(ctx, g):
            return result

    x = leaf(rng, 3)
    with pytest.raises(error, match=match):
        Wrong.apply(x).sum().backward()
    assert x.grad is None


def test_option_of_a_function_is_known_and_inherited():
    class Derived(OnArrays):
        pass

    x = mt.ones(2)
    assert Derived.apply(x, x, 1.0)[0].tolist() == [2, 2]
    with pytest.raises(TypeError, match="nunpy"):
        class Misspelt(Function, nunpy=True):
            pass


# -- from_numpy


def affine(x, w, b):
    return x @ w + b


def affine_backward(g, x, w, b):
    return g @ w.T, x.T @ g, g.sum(0)


def softmax_loss(z, labels):
    e = np.exp(z - z.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    return -np.log(p[np.arange(len(z)), labels]).mean(), (p, labels)


def softmax_loss_backward(g, saved):
    p, labels = saved
    d = p.copy()
    d[np.arange(len(p)), labels] -= 1
    return d * (g / np.float64(len(p))), None


@pytest.mark.parametrize("both", [False, True])
def test_the_pair_that_check_function_took(both, rng):
    x, w, b = rng.standard_normal((5, 3)), rng.standard_normal((3, 2)), rng.standard_normal(2)
    labels = np.array([0, 1, 1, 0, 1])
    backward = softmax_loss_backward if both else lambda g, saved: softmax_loss_backward(g, saved)[0]
    assert check_function(affine, affine_backward, [x, w, b])
    assert check_function(softmax_loss, backward, [x @ w, labels])
    linear, loss = Function.from_numpy(affine, affine_backward), Function.from_numpy(softmax_loss, backward)
    assert linear.__name__ == "affine" and loss.__name__ == "softmax_loss"
    tensors = [mt.tensor(a, requires_grad=True) for a in (x, w, b)]
    assert mt.gradcheck(lambda *t: loss.apply(linear.apply(*t), labels), tensors)
    assert mt.gradcheck(lambda *t: loss.apply(linear.apply(*t), mt.tensor(labels)), tensors)

    model = nn.Linear(3, 2)                     # and in float32, whatever dtype the pair computes in
    found = loss.apply(linear.apply(mt.tensor(x).float(), model.weight.T, model.bias), mt.tensor(labels))
    expected = mt.cross_entropy(model(mt.tensor(x).float()), mt.tensor(labels))
    assert found.dtype == mt.float32 and found.item() == pytest.approx(expected.item(), rel=1e-5)
    gradients = [mt.grad(y, list(model.parameters())) for y in (found, expected)]
    for ours, theirs in zip(*gradients, strict=True):
        assert ours.dtype == mt.float32
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-6)


def test_pair_of_one_input_and_numbers(rng):
    x = leaf(rng, 3)
    scale = Function.from_numpy(lambda x, k: np.sum(x) * k, lambda g, x, k: (np.full(x.shape, g * k), g * x.sum()))
    assert mt.gradcheck(lambda x: scale.apply(x, 3.0), x)
    mean = Function.from_numpy(lambda x: (float(x.mean()), len(x)), lambda g, n: np.ones(n) * g / n)
    assert mt.gradcheck(mean.apply, x) and mean.__name__ == "from_numpy"
    mean.apply(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), [1 / 3] * 3)


def test_array_arguments_of_a_pair_are_copied(rng):
    """As those of an op: the graph keeps them, and forward may not write into them."""
    def write(x, m):
        m *= 2
        return x * m

    mul = Function.from_numpy(lambda x, m: x * m, lambda g, x, m: (g * m, g * x))
    x, m, g = leaf(rng, 3), rng.standard_normal(3), upstream(rng, 3)
    expected = g.numpy() * m
    y = mul.apply(x, m)
    m[:] = 100
    y.backward(g)
    np.testing.assert_array_equal(x.grad.numpy(), expected)
    with pytest.raises(ValueError, match="read-only"):
        Function.from_numpy(write, write).apply(x, m)
    assert (m == 100).all()


def test_masks_in_a_pair_are_refused(rng):
    """Of an argument, of the output and of a gradient."""
    def masked(array):
        return np.ma.masked_array(array, [True, False, False])

    x, m, g = leaf(rng, 3), masked(np.ones(3)), upstream(rng, 3)
    for forward, backward, arguments in (
        (lambda x, m: x * m, lambda g, x, m: (g * m, g * x), (x, m)),
        (masked, lambda g, x: g, (x,)),
        (lambda x: x * 7, lambda g, x: masked(g * 7), (x,)),
    ):
        with pytest.raises(TypeError, match="mask"):
            Function.from_numpy(forward, backward).apply(*arguments).backward(g)
    assert x.grad is None


def test_pair_that_is_wrong(rng):
    x = leaf(rng, 3)
    for forward, backward, error, match in (
        (lambda x: "text", np.tanh, TypeError, "from_numpy.forward must return .* not str"),
        (lambda x: np.arange(3), np.tanh, TypeError, "from_numpy.forward must return .* int64"),
        (lambda x: x, lambda g, x: (g, g), RuntimeError, "from_numpy.backward .* 1 arguments.* got 2"),
        (lambda x: x, lambda g, x: g[:2], RuntimeError, r"\(3,\) float64.*\(2,\) float64"),
        (lambda x: x, lambda g, x: "text", TypeError, "not str"),
        (lambda x: x, lambda g, x: g * 1j, RuntimeError, "complex128"),
    ):
        with pytest.raises(error, match=match):
            Function.from_numpy(forward, backward).apply(x).sum().backward()
    with pytest.raises(TypeError, match="from_numpy takes two functions, forward and backward, not int"):
        Function.from_numpy(np.tanh, 1)
    assert x.grad is None


# -- depth, memory, threads


class SavesAnother(Function):
    """Saves a tensor that is no argument."""

    @staticmethod
    def forward(ctx, box, w):
        ctx.save_for_backward(*box)
        return w * 1

    @staticmethod
    def backward(ctx, g):
        return None, g


class Attribute(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.x = x
        return x * 1

    @staticmethod
    def backward(ctx, g):
        return g


@pytest.mark.parametrize("function", [Cube, Exp, Attribute])
def test_chain_of_a_hundred_thousand_functions(function, no_gc):
    start = {Cube: 1.0, Exp: -1.0, Attribute: 2.0}[function]
    x = mt.tensor(start, dtype=mt.float64, requires_grad=True)
    alive = weakref.ref(x)
    y = x
    for _ in range(100_000):
        y = function.apply(y)
        if function is Exp:
            y = y - 1.0 - np.exp(-1.0)      # stays where it is: exp(-1) - 1 - exp(-1)
    for _ in range(2):
        y.backward(retain_graph=True)
    expected = {Cube: np.inf, Exp: 0.0, Attribute: 2.0}[function]
    assert x.grad.item() == expected
    del x, y
    assert alive() is None


def test_chain_through_what_was_saved_alone(no_gc):
    x, w = mt.tensor(1.0, requires_grad=True), mt.tensor(1.0, requires_grad=True)
    alive = weakref.ref(x)
    y = x * 1
    for _ in range(100_000):
        y = SavesAnother.apply([y], w)
    del x, y
    assert alive() is None


def test_second_order_through_a_long_chain(no_gc):
    x = mt.tensor(1.0, dtype=mt.float64, requires_grad=True)
    alive = weakref.ref(x)
    y = x
    for _ in range(5000):
        y = Attribute.apply(Cube.apply(y) ** (1 / 3))
    dx, = mt.grad(y, x, create_graph=True)
    ddx, = mt.grad(dx, x)
    assert dx.item() == pytest.approx(1, abs=1e-9) and ddx.item() == pytest.approx(0, abs=1e-8)
    del x, y, dx, ddx
    assert alive() is None


class KeepsEverything(Function):
    """Attributes for all there is: what forward computes is no cycle."""

    @staticmethod
    def forward(ctx, x):
        ctx.x, ctx.y = x, x * x
        ctx.z = ctx.y * 1
        ctx.save_for_backward(x, ctx.y, ctx.z)
        return ctx.y, ctx.z

    @staticmethod
    def backward(ctx, g, h):
        if not mt.is_grad_enabled():        # where it is part of a graph that leads back to ctx
            ctx.g = g
        x, y, _ = ctx.saved_tensors
        return 2 * (g + h) * (x + y * 0)


def test_graph_dies_by_reference_count(rng, no_gc):
    def fail(g):
        raise KeyError

    def use(x):
        a, b = KeepsEverything.apply(x)
        return (a + Exp.apply(b) + on_arrays(x, a) + PAIR.apply(a, b) + Split.apply(x)[0]).sum()

    def interrupted(y, x):
        with contextlib.suppress(KeyError):
            (y + Passing.apply(fail, Cube.apply(x)).sum()).backward()

    for differentiate in (
        lambda y, x: None, lambda y, x: y.backward(), lambda y, x: y.backward(retain_graph=True),
        lambda y, x: mt.grad(y, x), lambda y, x: mt.grad(y, x, create_graph=True), interrupted,
    ):
        x = leaf(rng, 2, 3)
        y = use(x)
        alive = [weakref.ref(x), weakref.ref(y)]
        differentiate(y, x)
        del x, y
        assert [thing() for thing in alive] == [None] * 2
    x = leaf(rng, 2, 3)
    a, b = KeepsEverything.apply(x)
    dx, = mt.grad((a * Exp.apply(b)).sum(), x, create_graph=True)
    mt.grad((dx * dx).sum(), x, retain_graph=True)
    alive = [weakref.ref(thing) for thing in (x, a, b, dx)]
    del x, a, b, dx
    assert [thing() for thing in alive] == [None] * 4


def test_backward_frees_what_was_saved(rng, no_gc):
    class Saving(Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(w)
            return x * w

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0], None

    x, box = leaf(rng, 3), [np.ones(3)]
    pair = Function.from_numpy(lambda x: (x * 2, {"array": box.pop()}), lambda g, saved: 2 * g)
    constant = np.ones(3)
    alive = [weakref.ref(constant), weakref.ref(box[0])]
    y, z = Saving.apply(x, mt.from_numpy(constant)).sum(), pair.apply(x).sum()
    del constant
    assert all(reference() is not None for reference in alive)
    (y + z).backward()
    assert all(reference() is None for reference in alive) and y.grad_fn is not None is not z.grad_fn


def test_thousand_steps_hold_no_memory(rng, no_gc):
    x, w = leaf(rng, 8, 4), leaf(rng, 8, 4)

    def step():
        y, z = KeepsEverything.apply(x)
        loss = (on_arrays(y, w) + PAIR.apply(Exp.apply(z), w)).sum()
        mt.grad(loss, x, retain_graph=True)
        x.grad = w.grad = None
        loss.backward()
        with contextlib.suppress(RuntimeError):
            Passing.apply((None, w.sum()), y.sum() * 1).backward()

    for _ in range(2500):                   # until Python's free lists of tuples are full: 2,000 of each length
        step()
    tracemalloc.start()
    try:
        step()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            step()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 16_000, f"{grown} bytes in 1,000 steps: more than an object each"


def test_functions_on_many_threads(rng):
    w = leaf(rng, 50)
    errors, gradients = [], []

    def work():
        try:
            for _ in range(50):
                a, b = KeepsEverything.apply(w)
                gradients.append(mt.grad((a + on_arrays(b, w)).sum(), w)[0].tolist())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and all(g == gradients[0] for g in gradients)


def test_one_graph_on_two_threads_is_refused(rng):
    """While one thread is inside backward, another comes the same way; and so does backward itself."""
    x = leaf(rng, 3)
    errors = []
    inside, done = threading.Event(), threading.Event()

    def wait(g):
        inside.set()
        assert done.wait(60)
        return None, g

    y = Passing.apply(wait, Cube.apply(x)).sum()

    def other():
        inside.wait(60)
        try:
            y.backward()
        except RuntimeError as error:
            errors.append(str(error))
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    y.backward()
    thread.join()
    assert len(errors) == 1 and "another pass goes through it, of another thread or" in errors[0]
    np.testing.assert_array_equal(x.grad.numpy(), 3 * x.detach().numpy() ** 2)

    def again(g):
        z.backward()
        return None, g

    z = Passing.apply(again, x).sum()
    with pytest.raises(RuntimeError, match=r"another pass goes through it, .*the code around this call.*detach\(\)"):
        z.backward()


def test_backward_within_backward(rng):
    """A graph of backward's own, as in checkpointing."""
    class Checkpoint(Function):
        @staticmethod
        def forward(ctx, function, x):
            ctx.function = function
            ctx.save_for_backward(x)
            return function(x)

        @staticmethod
        def backward(ctx, g):
            x = ctx.saved_tensors[0].detach().requires_grad_()
            with mt.enable_grad():
                y = ctx.function(x)
            y.backward(g)
            return None, x.grad

    x = leaf(rng, 3)
    assert mt.gradcheck(lambda x: Checkpoint.apply(lambda x: Cube.apply(x).exp() * x, x), x)
    w = leaf(rng, 3)                # a leaf that the inner pass reaches as well
    Checkpoint.apply(lambda x: x * w, x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), w.detach().numpy())
    np.testing.assert_array_equal(w.grad.numpy(), x.detach().numpy())


# -- nodes, for what hostile code may do with them


def nodes(rng):
    for y in (Cube.apply(leaf(rng, 3)), Split.apply(leaf(rng, 2, 3))[1], on_arrays(leaf(rng, 3), leaf(rng, 3))):
        yield y.grad_fn
        yield y.grad_fn.next_functions[0]
    dx, = mt.grad(Once.apply(x := leaf(rng, 3)).sum(), x, create_graph=True)
    yield dx.grad_fn.next_functions[0]          # behind the clone that grad returns


def test_node_methods_raise_on_what_they_cannot_use(rng):
    for node in nodes(rng):
        for wrong in (None, 1, [], [None] * 9, [1], ["x"] * 2):
            with pytest.raises((TypeError, ValueError, NotImplementedError)):
                node.rule(wrong)
        for i in (-(10**9), -1, 2, 10**9):
            with pytest.raises(IndexError):
                node.input(i)
        for backward in (False, True):
            with pytest.raises(RuntimeError, match="observer"):
                node.run_again(backward)
        with pytest.raises(IndexError):
            node.output()
        assert node.results() == [] == node.results(True)


def test_empty_nodes_raise(rng):
    for node in nodes(rng):
        empty = type(node).__new__(type(node))
        for argument in (mt.ones(3), [], [mt.ones(3)]):
            with pytest.raises((TypeError, IndexError, NotImplementedError, RuntimeError)):
                empty.rule(argument)
        assert isinstance(empty.name, str) and repr(empty) and empty.results() == []
        with pytest.raises((IndexError, TypeError)):
            empty.input(0)


def test_rule_called_by_hand_is_no_gradient(rng, no_gc):
    """Amid a pass it would be added to the gradient, and before one be kept in a cycle."""
    x, g = leaf(rng, 2, 3), upstream(rng, 3)
    a, b = Split.apply(x)

    def meddle(g):
        with pytest.raises(NotImplementedError, match="Split has no rule"):
            b.grad_fn.rule(mt.ones(3, dtype=mt.float64))
        return None, g

    dx, = mt.grad(Passing.apply(meddle, a), x, g, create_graph=True)
    np.testing.assert_array_equal(dx.detach().numpy(), [g.numpy()] * 2)
    c, d = Split.apply(x)
    alive = weakref.ref(c)
    with pytest.raises(NotImplementedError, match="Split has no rule"):
        c.grad_fn.rule(c)
    with pytest.raises(TypeError):
        c.grad_fn.next_functions[0].rule([c, d])
    del c, d
    assert alive() is None


def test_observer_sees_runs_and_may_repeat_them(rng):
    seen = []

    def observer(op, backward):
        if op.name == "Cube":
            seen.append((type(op).__name__, backward, [r.tolist() for r in op.results(backward)]))
            if backward:
                op.run_again(True)
                seen.append((type(op).__name__, backward, [r.tolist() for r in op.results(backward)]))

    x = mt.tensor([2.0], requires_grad=True)
    before = mt.core.observe(observer)
    try:
        Cube.apply(x).backward()
    finally:
        mt.core.observe(before)
    assert x.grad.tolist() == [12]
    calls = [s for s in seen if s[2]]
    assert calls == [("FunctionNode", False, [[8]]), ("FunctionNode", True, [[12]]), ("FunctionNode", True, [[12]])]


def test_copy_of_an_output(rng):
    y = Cube.apply(leaf(rng, 2))
    assert copy.copy(y).grad_fn is y.grad_fn
    with pytest.raises(RuntimeError, match="leaf"):
        copy.deepcopy(y)


def test_hostile_subclasses_of_function(rng):
    """What microtensor calls of a Function may be overridden, and then gives anything."""
    x = leaf(rng, 3)
    for given in (((), ()), ((x,), ()), ((), (x,)), ((1,), (1,)), (x, x), None, ((x, x), [x, x])):
        class Hostile(Function):
            _run_forward = classmethod(lambda cls, ctx, arguments, given=given: given)

        with pytest.raises((TypeError, ValueError)):
            Hostile.apply(x)
    for given in (x, [x], (x, x), None, 1, (1,)):
        class Hostile(Cube):
            _run_backward = classmethod(lambda cls, *arguments, given=given: given)

        with contextlib.suppress(TypeError, RuntimeError):
            Hostile.apply(x).sum().backward()
    for name in ("_to_save", "_non_differentiable", "_materialize_grads"):
        class Hostile(Cube):
            @staticmethod
            def forward(ctx, x, name=name):
                y = Cube.forward(ctx, x)
                setattr(ctx, name, 5)
                return y

        with contextlib.suppress(TypeError):
            Hostile.apply(x).sum().backward()


def test_arrays_inside_are_not_shown(rng):
    """An array whose class runs code when NumPy compares its memory, and one with a mask."""
    seen = []

    class Spy(np.ndarray):
        def __array_function__(self, function, types, args, kwargs):
            seen.extend(args)
            return False

    class Saving(Function, numpy=True):
        result = None

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(np.ones(3).view(Spy))
            return x + 1

        @staticmethod
        def backward(ctx, g):
            return Saving.result

    x = leaf(rng, 3)
    y = Saving.apply(x)
    assert not seen
    Saving.result = np.ones(3).view(Spy)
    y.sum().backward()
    assert x.grad.tolist() == [1, 1, 1] and not seen
    Saving.result = np.ma.masked_array(np.ones(3), [True, False, False])
    with pytest.raises(TypeError, match="mask"):
        Saving.apply(x).sum().backward()


def test_arrays_inside_are_not_shown_to_a_profile(rng):
    """NumPy's functions that are written in Python get other arrays, whose shape may be changed."""
    class Saving(Function, numpy=True):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(w)
            return x * 2

    def profile(frame, event, argument):
        if event == "call" and [frame.f_code.co_name, frame.f_back.f_code.co_name] == ["may_share_memory", "apply"]:
            for array in frame.f_locals.values():
                if isinstance(array, np.ndarray) and array.shape == (4,):
                    array.shape = (2, 2)
                    shown.append(array)

    shown, x, w = [], leaf(rng, 4), leaf(rng, 3)
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        y = Saving.apply(x, w)
    finally:
        sys.setprofile(before)
    assert shown and x.shape == y.shape == (4,)


def test_saved_output_that_backward_keeps_is_no_cycle(rng, no_gc):
    class Keeping(Exp):
        @staticmethod
        def backward(ctx, g):
            ctx.y, = ctx.saved_tensors
            assert not ctx.y.requires_grad
            return g * ctx.y

    x, g = leaf(rng, 3), upstream(rng, 3)
    alive = weakref.ref(x)
    y = Keeping.apply(x)
    y.backward(g, retain_graph=True)
    y.backward(g)
    np.testing.assert_array_equal(x.grad.numpy(), 2 * (g * y.detach()).numpy())
    del x, y
    assert alive() is None


def test_exception_under_create_graph_leaves_no_cycle(rng, no_gc):
    """Gradients that wait, of the function and of ops, are made of the outputs that led to them."""
    def fail(g):
        raise KeyError

    for function in (lambda x: Passing.apply(fail, x), lambda x: mt.exp(Passing.apply(fail, x)), Exp.apply):
        x = leaf(rng, 3)
        alive = weakref.ref(x)
        f, a = Passing.apply(fail, x), function(x)
        with contextlib.suppress(KeyError):
            mt.grad((f * f + a * a).sum(), x, create_graph=True)
        with contextlib.suppress(KeyError):
            mt.grad((a * a + f * f * a).sum(), x, create_graph=True)
        del x, f, a
        assert alive() is None
