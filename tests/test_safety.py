"""No call corrupts memory: arguments that lie, and what others change later. See "Who may change what" in
docs/architecture.md.
"""

import array as array_module
import contextlib
import copy
import gc
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

import microtensor as mt


def leaf(*shape):
    return mt.from_numpy(np.random.default_rng(0).standard_normal(shape).astype(np.float32)).requires_grad_()


# -- the border between tensors and NumPy


@pytest.mark.parametrize("change", ["dtype", "shape"])
@pytest.mark.parametrize("way", ["numpy", "__array__", "from_numpy", "base"])
def test_array_outside_has_its_own_shape_and_dtype(way, change):
    if way == "from_numpy":
        outside = np.ones((2, 4), np.float32)
        t = mt.from_numpy(outside)
    else:
        t = mt.ones(2, 4)
        outside = np.asarray(t) if way == "__array__" else t.numpy()
        if way == "base":
            assert not isinstance(outside.base, np.ndarray)  # the tensor's own array cannot be reached
            outside = outside[:]
    if change == "dtype":
        outside.dtype = np.int16
    else:
        outside.shape = (8,)
    assert t.shape == (2, 4) and t.dtype == mt.float32
    assert float((t + 1).sum()) == 16


def test_array_whose_memory_a_tensor_uses_cannot_be_resized():
    a = np.ones(1000, np.float32)
    t = mt.from_numpy(a[10:]).requires_grad_()
    y = (t * t).sum()
    with pytest.raises(ValueError, match="resize"):
        a.resize(3, refcheck=False)
    y.backward()
    assert (t.grad.numpy() == 2).all()
    del t, y
    a.resize(3, refcheck=False)


def test_memory_of_an_array_lives_as_long_as_the_tensor():
    a = np.arange(5.0)
    seen = weakref.ref(a)
    t = mt.from_numpy(a)
    del a
    assert seen() is not None and t.tolist() == [0, 1, 2, 3, 4]
    outside = t.numpy()
    del t
    assert seen() is not None and outside.tolist() == [0, 1, 2, 3, 4]
    del outside
    assert seen() is None


def test_writes_on_one_side_show_on_the_other():
    a = np.zeros(3)
    t = mt.from_numpy(a)
    a[0] = 1
    t.numpy()[1] = 2
    assert a.tolist() == t.tolist() == [1, 2, 0]
    frozen = np.zeros(3)
    frozen.flags.writeable = False
    assert not mt.from_numpy(frozen).numpy().flags.writeable


def test_array_of_a_subclass_enters_as_a_plain_one():
    matrix = np.array([[1.0, 2.0]]).view(np.matrix)
    for t in (mt.from_numpy(matrix), mt.tensor(matrix), mt.ones(1, dtype=mt.float64) * matrix):
        assert t.shape == (1, 2) and t[0].shape == (2,)
        assert type(t.numpy()) is np.ndarray


def test_masked_array_is_refused():
    masked = np.ma.masked_array([1.0, 2.0], [True, False])
    for use in (mt.from_numpy, mt.tensor, lambda a: mt.ones(2) + a):
        with pytest.raises(TypeError, match="filled"):
            use(masked)


# -- what a graph relies on


def test_data_of_a_computed_tensor_keeps_shape_and_dtype():
    for value in (mt.zeros(5000), mt.zeros(2, 3, dtype=mt.float64)):
        x = leaf(2, 3)
        y = x.exp()
        with pytest.raises(RuntimeError, match="keeps its shape and dtype"):
            y.data = value
        y.data = mt.zeros(2, 3)
        y.sum().backward()
        assert x.grad.shape == (2, 3)


def test_tensor_is_initialised_once():
    y = leaf(2, 3) * 2
    for t in (y, leaf(3), mt.zeros(0)):
        with pytest.raises(RuntimeError, match="once"):
            t.__init__([1.0] * 5000)
    y.sum().backward()


def test_grad_names_the_argument_that_is_no_tensor():
    x = leaf(2)
    y = (x * x).sum()
    for outputs in ([None], (y, None), [1.0]):
        with pytest.raises(TypeError, match="outputs"):
            mt.grad(outputs, [x])
    with pytest.raises(TypeError, match="inputs"):
        mt.grad([y], [None])
    with pytest.raises(TypeError, match="gradient"):
        mt.grad([y], [x], [np.ones(())])


@pytest.mark.parametrize("shape", [
    (), (1,), (1000,), (1,) * 64, (1000,) + (1,) * 62, (1000,) + (1,) * 63, (1,) * 63 + (1000,),
], ids=lambda shape: f"{len(shape)} dimensions, {max(shape, default=1)}")
def test_gradient_of_a_number_in_many_dimensions(shape):
    p, n = mt.tensor(1.5, requires_grad=True), max(shape, default=1)
    (p.expand(shape) * 2 + p * mt.ones(shape)).sum().backward()
    assert p.grad.shape == () and p.grad.item() == 3 * n
    row = leaf(*shape[-1:])
    (row * mt.ones(shape)).sum().backward()
    np.testing.assert_array_equal(row.grad.numpy(), np.full(shape[-1:], n / max(shape[-1:], default=1)))


@pytest.mark.parametrize("dims", [31, 32, 33, 63, 64])
def test_gradient_of_an_index_in_many_dimensions(dims):
    x = leaf(*[1] * (dims - 2), 500, 1)
    y = x[..., [3, 3, 7], [0, 0, 0]]
    y.backward(weights := mt.randn(*y.shape))
    expected = np.zeros(500)
    np.add.at(expected, [3, 3, 7], weights.numpy().reshape(3))
    np.testing.assert_allclose(x.grad.numpy().reshape(500), expected, rtol=1e-6)


def test_size_beyond_memory_is_a_memory_error():
    huge = mt.zeros(1, dtype=mt.int8).expand(2**61)
    for use in (huge.argmax, huge.clone, lambda: huge + 1):
        with pytest.raises(MemoryError):
            use()


@pytest.mark.parametrize("rows", [True, False])
def test_argmax_is_in_range_while_another_thread_writes(rows):
    x = mt.rand(64, 1000) if rows else mt.rand(1000, 64)
    array, stop = x.numpy(), threading.Event()

    def write():
        while not stop.is_set():
            array.fill(np.nan)
            array.fill(-1)
            array[:] = np.arange(array.size, 0, -1).reshape(array.shape)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            index = x.argmax(1 if rows else 0).numpy()
            assert (index >= 0).all() and (index < 1000).all()
    finally:
        stop.set()
        writer.join()


# -- a backward pass that an exception ends


class InterruptionError(Exception):
    pass


@contextlib.contextmanager
def interrupted_at(number, of_backward=True):
    """Raise InterruptionError when so many forward or backward runs have ended, before their results are passed on."""
    runs = 0

    def count(op, backward):
        nonlocal runs
        runs += backward == of_backward
        if runs == number:
            raise InterruptionError

    before = mt.core.observe(count)
    try:
        yield
    finally:
        mt.core.observe(before)


def odd_gradient(kind):
    """A .grad of shape (6, 6) that backward cannot add to in its own memory, or can (plain)."""
    numbers = mt.from_numpy(np.random.default_rng(1).standard_normal((6, 6), np.float32))
    return {"plain": numbers, "transposed": numbers.T, "expanded": numbers[0].expand(6, 6),
            "of a graph": leaf(6, 6) * numbers, "none": None}[kind]


@pytest.mark.parametrize("kind", ["none", "plain", "transposed", "expanded", "of a graph"])
def test_interrupted_backward_changes_no_gradient(kind):
    x, w, b = leaves = [leaf(6, 6), leaf(6, 6), leaf(6)]

    def loss():
        hidden = (x @ w + b).relu()
        return ((hidden + x) @ w).square().mean() + (b * b).sum()

    loss().backward()
    dx, dw, db = [t.grad.numpy() for t in leaves]
    x.grad, w.grad, b.grad = None, odd_gradient(kind), mt.ones(6)
    given = [t.grad for t in leaves]
    before = 0 if kind == "none" else w.grad.detach().numpy().copy()
    interruptions = 0
    while True:
        y = loss()
        try:
            with interrupted_at(interruptions + 1):
                y.backward()
            break
        except InterruptionError:
            interruptions += 1
        assert all(t.grad is g for t, g in zip(leaves, given, strict=True))
        assert (b.grad.numpy() == 1).all() and (kind == "none" or (w.grad.detach().numpy() == before).all())
        for _ in range(2 if interruptions > 3 else 0):          # the first ops of this graph save nothing
            with pytest.raises(RuntimeError, match=r"interrupted .* compute the forward again"):
                y.backward()
    assert interruptions > 5
    np.testing.assert_array_equal(x.grad.numpy(), dx)
    np.testing.assert_array_equal(w.grad.numpy(), before + dw)
    np.testing.assert_array_equal(b.grad.numpy(), 1 + db)
    assert b.grad is given[2] and (w.grad is given[1]) == (kind == "plain")


def test_interrupted_backward_that_keeps_its_graph_can_be_repeated():
    x = leaf(5)
    y = (x.exp() * x).sum()
    with interrupted_at(2), pytest.raises(InterruptionError):
        y.backward(retain_graph=True)
    assert x.grad is None
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), (x.exp() * (1 + x)).tolist(), rtol=1e-6)


def test_interrupted_backward_of_second_order_changes_no_gradient():
    x = leaf(3)
    x.grad = given = mt.ones(3)
    for number in (1, 2, 3):
        y = (x.square() * x).sum()
        with interrupted_at(number, of_backward=False), pytest.warns(UserWarning, match="cycle"), \
                pytest.raises(InterruptionError):
            y.backward(create_graph=True)
        assert x.grad is given and given.tolist() == [1, 1, 1]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")
def test_signal_ends_a_long_backward():
    def ring(*_):
        raise InterruptionError

    before = signal.signal(signal.SIGALRM, ring)
    try:
        for _ in range(20):                 # until the signal comes while backward runs, and not before
            x = y = leaf(1)
            for _ in range(300_000):
                y = y * 1.0
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.003)
                y.backward()
                pytest.fail("the timer rang after backward: the chain is too short for this machine")
            except InterruptionError:
                assert x.grad is None, "the signal was seen after backward only"
            try:
                y.backward()
            except RuntimeError as error:
                assert "interrupted" in str(error)
                return
        pytest.fail("backward was never interrupted")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_backward_within_a_backward_of_the_same_leaf():
    x = leaf(4)
    inner = [(x * 2).sum()]

    def nest(op, backward):
        if backward and inner:
            inner.pop().backward()

    before = mt.core.observe(nest)
    try:
        (x * 3 + x).sum().backward()
    finally:
        mt.core.observe(before)
    assert not inner and x.grad.tolist() == [6, 6, 6, 6]
    (x * 1).sum().backward()
    assert x.grad.tolist() == [7, 7, 7, 7]


# -- nodes


def nodes(x):
    yield x.exp().grad_fn
    yield (x * x).grad_fn
    yield (x * mt.ones(2, 1)).grad_fn
    yield x.sum(0).grad_fn
    yield x.max(1)[0].grad_fn
    yield mt.where(x.detach() > 0, x, 0.0).grad_fn
    yield mt.softmax(x, 1).grad_fn
    yield mt.cross_entropy(x, mt.tensor([0, 1])).grad_fn
    yield (x @ x.T).grad_fn
    yield mt.linear(x, x).grad_fn
    yield mt.batch_norm(x, None, None, training=True).grad_fn
    yield mt.layer_norm(x, 3).grad_fn
    yield mt.cat([x, x]).grad_fn
    yield x[0].grad_fn
    yield x.reshape(6).grad_fn
    yield mt.dropout(x, 0.5, True).grad_fn


def test_node_methods_raise_on_what_they_cannot_use():
    for node in nodes(leaf(2, 3)):
        with pytest.raises(TypeError):
            node.rule(None)
        for i in (-(10**9), -1, 2, 10**9):
            with pytest.raises(IndexError):
                node.input(i)
        for backward in (False, True):
            with pytest.raises(RuntimeError, match="observer"):
                node.run_again(backward)


def test_node_methods_survive_a_backward_that_freed_what_they_read():
    x = leaf(2, 3)
    for node in nodes(x):
        node.rule(mt.ones(*node_shape(node, x)))
    for make in (lambda: mt.where(x.detach() > 0, x, 0.0), lambda: x.max(1)[0], lambda: x.exp(), lambda: x * x):
        y = make()
        node = y.grad_fn
        y.sum().backward()
        with pytest.raises(IndexError, match="keeps no"):
            node.rule(mt.ones(*y.shape))


def node_shape(node, x):
    shapes = {
        "Sum": (3,),
        "Max": (2,),
        "CrossEntropy": (),
        "MatMul": (2, 2),
        "Linear": (2, 2),
        "Cat": (4, 3),
        "Index": (3,),
        "Reshape": (6,),
    }
    return shapes.get(node.name, x.shape)


def test_empty_node_raises():
    for node in nodes(leaf(2, 3)):
        empty = type(node).__new__(type(node))
        with contextlib.suppress(IndexError, TypeError, ValueError, AttributeError):  # Neg's rule, say, needs nothing
            empty.rule(mt.ones(2, 3))
        for use in (lambda e=empty: e.input(0), empty.output):
            with pytest.raises((IndexError, TypeError)):
                use()
        with pytest.raises(RuntimeError, match="observer"):
            empty.run_again()


# -- subclasses whose properties lie


class Liar(mt.Tensor):
    shape = property(lambda self: (5000, 5000))
    ndim = property(lambda self: 63)
    dtype = property(lambda self: np.dtype(np.float64))


def test_subclass_with_another_shape_gets_the_memorys():
    liar = Liar([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    honest = mt.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    uses = [
        lambda x: (x * x).sum(), lambda x: x.sum(1).sum(), lambda x: mt.softmax(x, 1).sum(),
        lambda x: x.max(1)[0].sum(), lambda x: x.reshape(6).sum(), lambda x: x[0].sum(), lambda x: x.T.sum(),
        lambda x: (x + mt.ones(3)).sum(), lambda x: mt.cross_entropy(x, mt.tensor([0, 2])),
        lambda x: mt.where(mt.tensor([True, False, True]), x, x).sum(), lambda x: (x @ mt.ones(3, 2)).sum(),
        lambda x: mt.log_softmax(x, -1).sum(), lambda x: x.argmax(1).float().sum(),
    ]  # fmt: skip
    for use in uses:
        liar.grad = honest.grad = None
        wanted, found = use(honest), use(liar)
        assert found.item() == wanted.item()
        if wanted.requires_grad:
            wanted.backward()
            found.backward()
            assert mt.Tensor.numpy(liar.grad).tolist() == honest.grad.tolist()


def test_argument_that_changes_its_tensor_while_it_is_read():
    class Changes:
        def __index__(self):
            x.data = mt.ones(2, 1, 1, 1)
            return 1

    for use in (lambda x, d: x.sum(d), lambda x, d: mt.softmax(x, d), lambda x, d: x.max(d), lambda x, d: x.argmax(d)):
        x = leaf(500, 700)
        with mt.no_grad(), contextlib.suppress(IndexError, ValueError, RuntimeError):
            use(x, Changes())


# -- data that is replaced while an op runs


class Index:
    """A number that calls a function when it is asked for its value."""

    def __init__(self, value, function):
        self.value, self.function = value, function

    def __index__(self):
        self.function()
        return self.value


@contextlib.contextmanager
def observed(function):
    before = mt.core.observe(function)
    try:
        yield
    finally:
        mt.core.observe(before)


def replacing(x, *shape, dtype=mt.float32):
    """A function that replaces a tensor's data by other numbers, of this shape."""
    def replace(*_):
        x.data = mt.ones(*shape, dtype=dtype)
    return replace


@pytest.mark.parametrize("way", ["backward", "captured", "create_graph"])
@pytest.mark.parametrize("order", [1, -1])
def test_gradients_of_data_before_and_after_do_not_meet(way, order):
    x = leaf(300_000)
    sums = [x.sum(Index(0, replacing(x, 4))), x.sum()][::order]
    y = sums[0] + sums[1]
    with pytest.raises(RuntimeError, match="replaced"):
        if way == "backward":
            y.backward()
        else:
            mt.grad(y, x, create_graph=way == "create_graph")
    assert x.grad is None


def test_tensor_initialised_late_does_not_meet_its_graphs():
    x = mt.Tensor.__new__(mt.Tensor).requires_grad_()
    before = x.sum()
    x.__init__([1.0] * 300_000, requires_grad=True)
    for y in (before + x.sum(), x.sum() + before):
        with pytest.raises(RuntimeError, match="replaced"):
            mt.grad(y, x)


def test_assignment_writes_into_the_memory_that_was_there():
    x = mt.zeros(300_000)
    array = x.numpy()
    x[Index(3, replacing(x, 8))] = 1.0
    assert array[3] == 1 and array.sum() == 1 and x.tolist() == [1] * 8


def test_reduction_is_read_once():
    class Reduction:
        asked = 0

        def __eq__(self, other):
            self.asked += 1
            if self.asked > 1:
                x.data = mt.zeros(1, 4)
            return other == "mean"

        __hash__ = None

    x = mt.from_numpy(np.random.default_rng(0).standard_normal((200_000, 4)))
    expected = mt.cross_entropy(x, mt.zeros(200_000).long())
    assert mt.cross_entropy(x, mt.zeros(200_000).long(), reduction=Reduction()).item() == expected.item()


def test_batch_norm_reads_each_array_once():
    x, mean, variance = mt.ones(5, 4) * 2, mt.zeros(4), mt.ones(4)
    kept = mean.numpy()
    with observed(replacing(mean, 1_000_000, dtype=mt.int8)):
        mt.batch_norm(x, mean, variance, training=True)
    np.testing.assert_allclose(kept, [0.2] * 4, rtol=1e-6)

    def hook(frame, event, argument):
        if event == "call" and frame.f_code.co_name == "ones":
            sys.setprofile(None)
            x.data = mt.ones(5, 300_000)

    sys.setprofile(hook)
    try:
        y = mt.batch_norm(x, None, None, training=True)
    finally:
        sys.setprofile(None)
    assert x.shape == (5, 300_000) and y.shape == (5, 4)


def test_cat_and_data_ask_arrays_for_their_dtypes():
    class Liar(mt.Tensor):
        dtype = property(lambda self: np.dtype("f4"))

    double, integer = Liar(), Liar()
    double.data, integer.data = mt.zeros(3, dtype=mt.float64), mt.zeros(3, dtype=mt.int8)
    with pytest.raises(TypeError, match="float64"):
        mt.cat([mt.ones(3), double])
    with pytest.raises(RuntimeError, match="must be float, not int8"):
        leaf(3).data = integer


def test_rebuilt_tensor_is_new_and_float_if_it_requires_a_gradient():
    rebuild = mt.ones(1).__reduce__()[0]
    with pytest.raises(RuntimeError, match="int8"):
        rebuild(mt.Tensor, np.zeros(3, np.int8), True)
    y = leaf(4).exp()

    class Same(mt.Tensor):
        def __new__(cls):
            return y

    other = rebuild(Same, np.ones(300_000, np.float32), True)
    assert other is not y and y.shape == (4,)


def test_memory_that_goes_to_and_fro_is_held_once():
    array = np.ones(2)
    x = mt.from_numpy(array)
    for _ in range(200_000):
        x = mt.from_numpy(x.numpy())
    seen = weakref.ref(array)
    del array
    assert x.tolist() == [1, 1] and seen() is not None
    del x
    assert seen() is None


def test_chain_of_gradients_is_limited():
    x = mt.ones(1)
    with pytest.raises(RuntimeError, match="chain of more than 1000"):
        for _ in range(2000):
            above = mt.ones(1)
            above.grad = x
            x = above
    x = first = mt.ones(1)
    with pytest.raises(RuntimeError, match="chain of more than 1000"):
        for _ in range(2000):
            x.grad = mt.ones(1)
            x = x.grad
    x = leaf(1)
    with pytest.raises(RuntimeError, match="chain of more than 1000"):
        for _ in range(2000):
            (x * 2).backward()
            x = x.grad.requires_grad_()
    assert first.grad is not None


def test_graph_that_failed_passes_left_dies_without_recursion():
    s = mt.ones(1).requires_grad_()
    for _ in range(100_000):
        w = mt.ones(1).requires_grad_()
        y = w * w
        w.data = mt.ones(1)
        with pytest.raises(RuntimeError, match="replaced"):
            mt.grad(y, w, s, create_graph=True)
        s = y
    del s, y


def test_deep_copy_keeps_to_the_limit_of_gradients():
    x, top = mt.ones(1), None
    x.grad = mt.ones(1)
    with pytest.raises(RuntimeError, match="chain of more than 1000"):
        for _ in range(2000):
            top = copy.deepcopy(x, {id(x.grad): top} if top is not None else {})


@pytest.mark.parametrize("function", [mt.add, mt.matmul], ids=["add", "matmul"])
def test_collector_that_replaces_data_between_two_reads(function):
    """On Python 3.11 and before the collector runs, and calls __del__, wherever a tuple is made."""
    x, y, big = (mt.ones(4, 3, 1), mt.ones(4, 1, 2), mt.ones(4, 3, 1000)) if function is mt.matmul else (
        mt.ones(4), mt.ones(1), mt.ones(1_000_000))

    class Cycle:
        def __del__(self):
            x.data = big

    hold = [(i,) * n for i in range(5000) for n in (1, 2, 3)]        # no tuple is left to be used again
    gc.collect()
    gc.disable()
    threshold = gc.get_threshold()
    try:
        cycle = Cycle()
        cycle.itself = cycle
        del cycle
        hold.append([[] for _ in range(100)])
        gc.set_threshold(1)
        gc.enable()
        z = function(x, y)
    finally:
        gc.set_threshold(*threshold)
        gc.enable()
    assert z.shape in {(4,), (1_000_000,), (4, 3, 2)} and np.isfinite(z.numpy()).all()


def test_mixed_dtypes_while_another_thread_replaces_data():
    integers, single = mt.ones(1, 3_000_000).long(), mt.ones(3_000_000)
    for function in (mt.add, lambda a, b: mt.where(mt.tensor([True]), a, b)):
        for delay in range(5):
            x = mt.ones(3_000_000, dtype=mt.float64)
            thread = threading.Thread(target=lambda x=x, d=delay: (time.sleep(d / 1000), setattr(x, "data", single)))
            thread.start()
            try:
                z = function(x, integers)
                assert z[0, 0].item() == z[0, -1].item() == (2 if function is mt.add else 1)
            except RuntimeError as error:
                assert "replaced" in str(error)
            thread.join()


@pytest.mark.filterwarnings("ignore:SGD.step:UserWarning")      # where the other thread was the first
def test_sgd_while_another_thread_forgets_the_gradients():
    net = mt.nn.Linear(1500, 1500)
    net.weight.data = net.weight.detach().t()
    optimizer = mt.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for i in range(16):
        net.weight.grad, net.bias.grad = mt.ones(1500, 1500), mt.ones(1500)
        thread = threading.Thread(target=lambda i=i: (time.sleep(i % 8 / 2000), net.zero_grad()))
        thread.start()
        optimizer.step()
        thread.join()


def test_where_reads_its_condition_once():
    class Number(int):
        def __float__(self):
            condition.data = condition.float()
            return float(int(self))

    condition = mt.tensor([True, False])
    assert mt.where(condition, mt.zeros(2), Number(7)).tolist() == [0, 7]


def test_write_when_data_is_replaced_counts():
    array = np.ones(4)
    x, w = mt.from_numpy(array), mt.ones(4, dtype=mt.float64, requires_grad=True)
    seen = weakref.ref(array, lambda _: x.zero_())
    del array
    new = mt.full((4,), 3.0, dtype=mt.float64)
    with contextlib.suppress(RuntimeError):
        x.data = new
        y = (w * x).sum()
        y.backward()
        assert w.grad.tolist() == x.tolist()
    assert seen() is None


def test_recursion_in_c_ends():
    nested = []
    nested.append(nested)
    deep = ()
    for _ in range(100_000):
        deep = (deep,)
    for key in (nested, deep):
        with pytest.raises(RecursionError):
            mt.ones(3)[key]
        with pytest.raises(RecursionError):
            mt.ones(3)[key] = 1
    net = mt.nn.Sequential(mt.nn.Linear(2, 2))
    net[0].parent = net
    assert len(list(net.parameters())) == 2
    with pytest.raises(RecursionError):
        net.state_dict()


def test_number_of_another_kind_is_no_operand():
    for number in (np.longdouble(1), np.clongdouble(1), np.datetime64(1, "s")):
        for use in (lambda n: mt.ones(3) + n, lambda n: n + mt.ones(3), lambda n: mt.maximum(mt.ones(3), n)):
            with pytest.raises(TypeError):
                use(number)


# -- indices


def test_index_is_settled_when_it_is_used():
    i, j, numbers = mt.tensor(0), mt.tensor(1), array_module.array("q", [0, 1])
    x, y = leaf(6), 0
    for k in (1, 2, 3):
        y = y + (x[i:j] * k).sum() + (x[numbers] * 10).sum()
        i += 1
        j += 1
        numbers[0] = 5
    y.backward()
    assert x.grad.tolist() == [1 + 10, 2 + 30, 3, 0, 0, 20]


def test_index_by_a_number_is_that_of_an_integer():
    x, places = mt.arange(24).reshape(2, 3, 4), [0, 2, 1]
    expected = x.numpy()[1][:, places]
    for number in (1, np.int8(1), mt.tensor(1), np.array(1), Index(1, lambda: None)):
        np.testing.assert_array_equal(x[number, :, places].numpy(), expected)
        written = mt.zeros(2, 3, 4, dtype=mt.int64)
        written[number, :, places] = expected
        np.testing.assert_array_equal(written[1][:, places].numpy(), expected)
    x[1, 2, True, 3] = 100
    assert x[1, 2, 3].item() == 100


# -- labels


def test_rows_that_are_all_ignored_have_no_gradient():
    for options, shape in (({}, (2, 3)), ({"label_smoothing": 0.1}, (2, 3)), ({}, (2, 3, 4))):
        for create_graph in (False, True):
            x = leaf(*shape)
            y = mt.cross_entropy(x, mt.full((2, *shape[2:]), -100, dtype=mt.int64), **options)
            assert np.isnan(y.item())
            dx, = mt.grad(y, x, create_graph=create_graph)
            assert (dx == 0).all()



def test_labels_may_be_written_after_forward():
    for loss in (mt.cross_entropy, lambda x, t: mt.nll_loss(mt.log_softmax(x, 1), t)):
        x, labels = leaf(64, 10), np.zeros(64, np.int64)
        y = loss(x, mt.from_numpy(labels))
        labels[:] = 10**10
        y.backward()
        assert np.allclose(x.grad.numpy().sum(1), 0, atol=1e-6)


def test_label_beyond_int64_is_out_of_range():
    labels = mt.from_numpy(np.array([2**64 - 100, 0], np.uint64))
    with pytest.raises(IndexError, match="18446744073709551516"):
        mt.cross_entropy(mt.ones(2, 3), labels)


# -- numbers at nan, as PyTorch has them, but relu's


@pytest.mark.parametrize("dtype", [mt.float32, mt.float64], ids=str)
@pytest.mark.parametrize("create_graph", [False, True], ids=["kernel", "rule"])
@pytest.mark.parametrize(("function", "gradient"), [
    (mt.relu, 0), (mt.nn.functional.elu, 1), (mt.nn.functional.selu, 1.0507009873554805), (mt.abs, 0),
    (lambda x: mt.maximum(x, 1.0), 1), (lambda x: mt.maximum(0 * x.detach(), x), 1),
    (lambda x: mt.minimum(x, 1.0), 1), (lambda x: mt.clamp(x, -1, 1), 0),
], ids=["relu", "elu", "selu", "abs", "maximum", "maximum of two nans", "minimum", "clamp"])
def test_gradient_at_nan(function, gradient, create_graph, dtype):
    x = mt.tensor([float("nan")] * 19, dtype=dtype, requires_grad=True)
    y = function(x)
    assert np.isnan(y.tolist()).all()
    dx, = mt.grad(y.sum(), x, create_graph=create_graph)
    np.testing.assert_allclose(dx.tolist(), np.full(19, gradient), rtol=1e-7)


# -- numbers that would be lost


def test_number_out_of_an_integers_range_is_refused():
    for dtype, number in (
        (mt.uint8, 300),
        (mt.uint8, -1),
        (mt.int8, 200.0),
        (mt.int64, float("nan")),
        (mt.int32, 2**31),
    ):
        t = mt.zeros(3, dtype=dtype)
        with pytest.raises(OverflowError, match="does not fit"):
            t.fill_(number)
        with pytest.raises(OverflowError, match="does not fit"):
            t[0] = number
        assert t.tolist() == [0, 0, 0]
    assert mt.zeros(1, dtype=mt.uint8).fill_(255).item() == 255
    assert mt.zeros(1, dtype=mt.int8).fill_(2.7).item() == 2
    assert mt.zeros(1, dtype=mt.bool).fill_(300).item() is True


def test_leaf_frozen_after_forward_gets_no_gradient():
    w, b = leaf(3), leaf(3)
    loss = (w * w + b).sum()
    w.requires_grad_(False)
    loss.backward()
    assert w.grad is None and b.grad is not None
    optimizer = mt.optim.SGD([w, b], lr=1.0)
    before = w.tolist()
    optimizer.step()
    assert w.tolist() == before


# -- files


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
def test_save_keeps_permissions_and_links(tmp_path):
    file, link = tmp_path / "weights.npz", tmp_path / "link.npz"
    file.write_bytes(b"")
    file.chmod(0o600)
    link.symlink_to(file)
    mt.save(mt.ones(3), link)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert link.is_symlink() and mt.load(file).tolist() == [1, 1, 1]
    umask = os.umask(0o027)
    try:
        mt.save(mt.ones(3), tmp_path / "new.npz")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "new.npz").stat().st_mode) == 0o640


def test_save_under_a_long_name(tmp_path):
    path = tmp_path / ("w" * 251 + ".npz")
    mt.save(mt.ones(3), path)
    assert mt.load(path).tolist() == [1, 1, 1]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_save_without_unnamed_files(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    test_save_under_a_long_name(tmp_path)


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="unnamed files are Linux's")
def test_save_that_is_killed_leaves_no_file(tmp_path):
    code = (
        "import os, signal, sys, microtensor as mt, numpy.lib.format as npy\n"
        "write = npy.write_array\n"
        "def killed(*arguments, **options):\n"
        "    write(*arguments, **options)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "npy.write_array = killed\n"
        "mt.save(mt.ones(3), sys.argv[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "w.npz")])
    assert done.returncode == -9 and list(tmp_path.iterdir()) == []


def test_compressed_archive_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros(10**7))
    with pytest.raises(ValueError, match="compressed"):
        mt.load(path)

# -- found by the third hostile reading ----------------------------------------------------------------------------


def test_sgd_refuses_a_momentum_buffer_it_may_not_write():
    p = mt.nn.Parameter(mt.ones(4))
    p.grad = mt.ones(4)
    optimizer = mt.optim.SGD([p], lr=0.1, momentum=0.9)
    kept = np.ones(4, np.float32)
    kept.flags.writeable = False
    optimizer.state[p] = {"momentum_buffer": mt.from_numpy(kept)}
    with pytest.raises(ValueError, match="SGD writes in place"):
        optimizer.step()
    assert p.tolist() == [1, 1, 1, 1] and kept.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("second", [lambda w: w.t(), lambda w: w[::2], lambda w: w[:, 0]], ids=["t", "rows", "column"])
def test_steps_of_parameters_that_share_memory_add_up(second):
    """Tied weights: none is copied before the other's step and back after it."""
    w = mt.zeros(4, 4)
    first, other = mt.nn.Parameter(w), mt.nn.Parameter(second(w))
    for parameter in (first, other):
        parameter.grad = mt.ones(*parameter.shape)
    expected = np.zeros((4, 4))
    expected -= 1
    view = np.asarray(second(mt.from_numpy(expected)).numpy())
    view -= 1
    mt.optim.SGD([first, other], lr=1.0).step()
    assert w.tolist() == expected.tolist()
    mt.optim.SGD([other, first], lr=1.0).step()
    assert w.tolist() == (2 * expected).tolist()


def test_clipping_scales_a_shared_gradient_for_each_that_has_it():
    norms = {}
    for name, turn in (("straight", lambda g: g), ("turned", lambda g: g.t())):
        shared = mt.ones(3, 3)
        p, q = mt.nn.Parameter(mt.ones(3, 3)), mt.nn.Parameter(mt.ones(3, 3))
        p.grad = q.grad = turn(shared)
        mt.nn.utils.clip_grad_norm_([p, q], 1.0)
        norms[name] = np.linalg.norm(shared.numpy())
    assert norms["straight"] == pytest.approx(norms["turned"], rel=1e-6)


def test_array_ufunc_without_inputs_is_refused():
    with pytest.raises(TypeError, match="takes arrays"):
        mt.ones(3).__array_ufunc__(np.add, "__call__")


def test_computed_tensor_is_not_initialised_again():
    y = mt.zeros(0, requires_grad=True).exp()
    y.data = mt.Tensor.__new__(mt.Tensor)
    with pytest.raises(RuntimeError, match="initialised once"):
        y.__init__([0.0] * 1000, requires_grad=True)

    class Initialises:
        def __array__(self, dtype=None, copy=None):
            late.__init__([1.0, 2.0])
            return np.ones(3, np.float32)

    late = mt.Tensor.__new__(mt.Tensor)
    with pytest.raises(RuntimeError, match="initialised once"):
        late.__init__(Initialises())
    assert late.tolist() == [1, 2]


@pytest.mark.parametrize("dtype", [np.longdouble, np.float16, np.complex64, "O", ">f4"], ids=str)
def test_where_takes_no_dtype_that_tensors_do_not_hold(dtype):
    with pytest.raises(TypeError):
        mt.where(np.ones(3, bool), np.ones(3, dtype), 1)


def test_where_refuses_a_mask():
    with pytest.raises(TypeError, match="mask"):
        mt.where(np.array([True] * 3), np.ma.masked_array([1.0, 99.0, 3.0], [0, 1, 0]), 0)


def test_dtype_of_a_subclass_is_not_believed():
    class Single(np.ndarray):
        dtype = property(lambda self: np.dtype("f4"))

    with pytest.raises(TypeError, match="not object"):
        mt.from_numpy(np.array([object(), object()]).view(Single)[::-1])


def test_tensor_made_of_somebodys_array_keeps_its_memory():
    a = np.ones(1000, np.float32)

    class Lends:
        def __array__(self, dtype=None, copy=None):
            return a

    t, w = mt.Tensor(Lends()), mt.ones(1000, requires_grad=True)
    y = t * w
    with contextlib.suppress(ValueError):
        a.resize((1,), refcheck=False)
    y.sum().backward()
    assert t.shape == (1000,) and w.grad.shape == (1000,)


def arrays_in_frames(call):
    """The arrays that functions of NumPy written in Python are called with, as a profile hook sees them."""
    found = []

    def hook(frame, event, argument):
        if event == "call":
            found.extend(value for value in frame.f_locals.values() if type(value) is np.ndarray)
            for value in frame.f_locals.values():
                if isinstance(value, (tuple, list)):
                    found.extend(item for item in value if type(item) is np.ndarray)

    sys.setprofile(hook)
    try:
        with contextlib.suppress(Exception):
            call()
    finally:
        sys.setprofile(None)
    return found


SEEN = {
    "expand": lambda x: x.expand(3, 4), "expand that fails": lambda x: x.expand(3, 2), "repr": repr,
    "any": lambda x: x.any(), "all": lambda x: x.all(), "copy_": lambda x: x.copy_(mt.ones(4)),
    "copy_ that fails": lambda x: x.copy_(mt.ones(3)), "cat": lambda x: mt.cat([x, x]),
    "stack": lambda x: mt.stack([x, x]), "matmul": lambda x: x.reshape(1, 2, 2) @ x.reshape(1, 2, 2),
    "labels": lambda x: mt.cross_entropy(x.reshape(1, 4), mt.tensor([1]), label_smoothing=0.1),
    "labels out of range": lambda x: mt.cross_entropy(x.reshape(1, 4), mt.tensor([7])),
    "argmax": lambda x: x.long().argmax(0), "sum": lambda x: x.long().sum(), "max": lambda x: x.long().max(),
    "clamp": lambda x: x.long().clamp(0, 1), "where": lambda x: mt.where(x > 0, x.long(), x.long()),
    "pos_weight": lambda x: mt.binary_cross_entropy_with_logits(x, x.sigmoid(), pos_weight=mt.ones(4)),
    "scale_": lambda x: mt.nn.utils.clip_grad_norm_(x, 0.1), "index": lambda x: x[[0, 1]], "to": lambda x: x.double(),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN)
def test_numpy_never_shows_a_tensors_own_array(name):
    """It must be another object, over memory that cannot be resized."""
    made = []
    mt.core.observe(lambda op, backward: made.extend(op.results(backward)))
    try:
        x = mt.ones(4).clone()
        for array in arrays_in_frames(lambda: SEEN[name](x)):
            before = x.tolist()
            with contextlib.suppress(ValueError, AttributeError, TypeError):
                array.dtype = np.int8
            with contextlib.suppress(ValueError):
                array.resize((1,), refcheck=False)
            assert x.dtype == mt.float32 and x.shape == (4,) and x.tolist() == before
    finally:
        mt.core.observe(None)


def test_write_that_ends_in_an_exception_is_counted():
    x, w = mt.ones(3, requires_grad=True), mt.tensor([2.0, 3.0, 4.0])
    for write in (lambda: w.copy_(mt.tensor(np.array([1e300, 0, 0]))),
                  lambda: w.__setitem__(slice(2), mt.tensor(np.array([1e300, 0.0])))):
        y = (x * w).sum()
        with np.errstate(over="raise"), contextlib.suppress(FloatingPointError):
            write()
        with pytest.raises(RuntimeError, match="in place"):
            y.backward()


@pytest.mark.parametrize("use", [lambda x, w: x * w, lambda x, w: w.log(), lambda x, w: w.reshape(3, 1) * 1,
                                 lambda x, w: w[1:] * 2], ids=["mul", "log", "reshape", "index"])  # fmt: skip
def test_data_replaced_while_an_op_runs_is_noticed(use):
    x, w = mt.ones(3, requires_grad=True), mt.ones(3, requires_grad=True)
    mt.core.observe(lambda op, backward: setattr(w, "data", mt.zeros(3)))
    try:
        with pytest.raises(RuntimeError, match="was replaced while it ran"):
            use(x, w)
    finally:
        mt.core.observe(None)


def test_statistics_replaced_while_batch_norm_runs_are_not_counted_for_the_new():
    mean, variance = mt.zeros(2), mt.ones(2)
    old = mean.detach()
    x = mt.ones(2, requires_grad=True)
    y = (x * old).sum()
    mt.core.observe(lambda op, backward: op.name == "BatchNorm" and setattr(mean, "data", mt.zeros(2)))
    try:
        mt.batch_norm(mt.randn(5, 2), mean, variance, training=True)
    finally:
        mt.core.observe(None)
    with pytest.raises(RuntimeError, match="in place"):
        y.backward()            # the old memory was written into


def test_output_of_an_op_that_is_not_recorded_is_not_handed_out():
    seen = []

    def look(op, backward):
        with pytest.raises(IndexError, match="keeps no output"):
            op.output()
        seen.append(op.results()[0].tolist())

    mt.core.observe(look)
    try:
        mt.ones(3, requires_grad=True).exp()
    finally:
        mt.core.observe(None)
    assert np.allclose(seen, np.e)


def test_functions_of_ops_that_were_replaced_give_no_other_type(monkeypatch):
    x = mt.ones(3, requires_grad=True)
    y = (x * mt.ones(2, 3)).sum()
    monkeypatch.setattr(mt.ops, "sum_to", lambda *arguments: 5)
    with pytest.raises(TypeError, match="gradient of type int"):
        mt.grad(y, x, create_graph=True)
    monkeypatch.setattr(mt.ops, "to", lambda x, dtype: x)
    with pytest.raises(TypeError, match="float tensor"):
        mt.zeros(5, dtype=mt.int8).relu()


# -- import


def run(code, folder=None, **environment):
    path = str(folder or Path(mt.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.run([sys.executable, "-c", code], env=environment, text=True, capture_output=True, cwd=path)


@pytest.mark.parametrize("value", ["3000000000", "2147483648", "99999999999999999999", "\u00b2", "-1", "1,2", ""])
@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "MICROTENSOR_NUM_THREADS"])
def test_import_with_any_number_of_threads(variable, value):
    done = run(
        "import microtensor as mt; print(mt.ones(100000).sum().item(), mt.get_num_threads())", **{variable: value}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("100000.0 ")


@pytest.mark.parametrize("state", ["missing", "foreign"])
def test_import_without_compiled_modules_says_how_to_build(tmp_path, state):
    package = Path(mt.__file__).parent
    shutil.copytree(package, tmp_path / "microtensor", ignore=shutil.ignore_patterns("__pycache__"))
    for module in (tmp_path / "microtensor").rglob("core.*.so"):
        if state == "missing":
            module.unlink()
        else:
            module.write_bytes(b"not a library")
    done = run("import microtensor", tmp_path)
    assert done.returncode == 1 and "pip install -e ." in done.stderr.splitlines()[-1]


def test_import_without_a_gil_is_refused():
    done = run("import sys; sys._is_gil_enabled = lambda: False; import microtensor")
    assert done.returncode == 1 and "free-threaded" in done.stderr.splitlines()[-1]


# -- what beginners write


@pytest.mark.parametrize(
    ("use", "error", "advice"),
    [
        (lambda: mt.optim.SGD(mt.nn.Linear(2, 2)), TypeError, r"pass its .parameters\(\)"),
        (lambda: mt.optim.SGD(mt.nn.Linear(2, 2).parameters), TypeError, "call it"),
        (lambda: mt.optim.SGD(mt.nn.Linear(2, 2).parameters(), lr="0.1"), TypeError, "lr must be a number"),
        (lambda: mt.nn.Sequential([mt.nn.ReLU()]), TypeError, r"put a \* before it"),
        (lambda: mt.nn.Sequential(mt.nn.Linear(2, 2), mt.nn.ReLU), TypeError, r"ReLU\(\)"),
        (lambda: mt.nn.CrossEntropyLoss(mt.ones(2, 3), mt.tensor([0, 1])), TypeError, r"loss = CrossEntropyLoss\(\)"),
        (lambda: mt.nn.MSELoss(mt.ones(2), mt.ones(2)), TypeError, r"loss = MSELoss\(\)"),
        (lambda: mt.nn.Linear(2, 2).load_state_dict("weights.npz"), TypeError, r"mt.load\(path\)"),
    ],
)
def test_message_says_the_way_out(use, error, advice):
    with pytest.raises(error, match=advice):
        use()
