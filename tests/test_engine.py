"""The engine: graphs of every shape, their cost, their memory, their errors; grad() and the grad modes."""

import gc
import operator
import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import psutil
import pytest

import microtensor as mt

DEEP = 1_000_000


def leaf(rng, *shape):
    return mt.tensor(np.asarray(rng.uniform(0.5, 2, shape)), requires_grad=True)


def upstream(rng, *shape):
    return mt.tensor(np.asarray(rng.standard_normal(shape)))


def sums_and_products(tensor):
    """How many additions and multiplications lie behind a tensor."""
    stack, met = [tensor.grad_fn], set()
    while stack:
        op = stack.pop()
        if op in met or op is None or isinstance(op, mt.Tensor):
            continue
        met.add(op)
        stack.extend(op.next_functions)
    return sum(op.name in ("Add", "Mul") for op in met)


def ops_run(output, x):
    """How many additions and multiplications a backward pass runs: for a seed that requires a gradient it records them.

    A pass that ran an op twice would make its gradients twice.
    """
    seed = mt.ones_like(output, requires_grad=True)
    dx, = mt.grad(output, x, seed, create_graph=True)
    return sums_and_products(dx)


# -- depth -----------------------------------------------------------------------------------------------------


def test_chain_of_a_million_nodes():
    x = mt.tensor(0.75, requires_grad=True)
    y = x
    for _ in range(DEEP):
        y = -y
    y.backward(mt.tensor(3.5), retain_graph=True)
    assert y.item() == 0.75 and x.grad.item() == 3.5
    y.backward(mt.tensor(-1.5))
    assert x.grad.item() == 2.0
    alive = weakref.ref(x)
    del x, y                        # frees a million ops, one behind the other
    assert alive() is None


def test_chain_of_a_million_nodes_dies_unused():
    x = mt.tensor(1.0, requires_grad=True)
    alive = weakref.ref(x)
    y = x
    for _ in range(DEEP):
        y = y * 1.0
    del x, y
    assert alive() is None


def test_deep_graph_dies_after_an_error(rng, no_gc):
    x = leaf(rng, 2)
    alive = weakref.ref(x)

    def build():
        y = x
        for _ in range(100_000):
            y = y * 1.0
        y.backward(mt.ones(3, dtype=mt.float64))        # the wrong shape

    with pytest.raises(RuntimeError, match=r"\(2,\).*\(3,\)") as caught:
        build()
    del caught, build
    x = None                        # not del: build refers to it
    assert alive() is None


def test_deep_graph_of_second_order():
    x = mt.tensor(1.0, dtype=mt.float64, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y * x                   # x^20001
    dx, = mt.grad(y, x, create_graph=True)
    ddx, = mt.grad(dx, x)
    assert (dx.item(), ddx.item()) == (20_001, 20_001 * 20_000)
    alive = weakref.ref(x)
    del x, y, dx, ddx
    assert alive() is None


# -- width -----------------------------------------------------------------------------------------------------


def test_doubling_sixty_times_is_right_and_linear():
    x = mt.tensor(1.0, dtype=mt.float64, requires_grad=True)
    y = x
    for _ in range(60):
        y = y + y
    assert y.item() == 2**60
    assert ops_run(y, x) == 60, "one sum of two gradients for each addition"
    y.backward(mt.tensor(-3.0, dtype=mt.float64))
    assert x.grad.item() == -3 * 2**60


def test_ladder_of_diamonds_runs_each_op_once(no_gc):
    """x -> (0.25 x, 0.75 x) -> their sum, 10,000 times: 2^10000 paths, three ops a level."""
    levels = 10_000
    x = mt.tensor([1.0, 2.0], dtype=mt.float64, requires_grad=True)
    y = x
    for _ in range(levels):
        y = y * 0.25 + y * 0.75
    assert y.tolist() == [1, 2]
    assert ops_run(y, x) == 3 * levels, "for each level two products and one sum"
    y.backward(mt.tensor([5.0, -7.0], dtype=mt.float64))
    assert x.grad.tolist() == [5, -7]
    alive = weakref.ref(x)
    del x, y
    assert alive() is None


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x + x, lambda x: 2 + 0 * x),
        (lambda x: x - x, lambda x: 0 * x),
        (lambda x: x * x, lambda x: 2 * x),
        (lambda x: x / x, lambda x: 0 * x),
        (lambda x: x**x, lambda x: x**x * (np.log(x) + 1)),
        (lambda x: mt.where(x.detach() > 1, x, x), lambda x: 1 + 0 * x),
        (lambda x: mt.stack([x, x, x]).sum(0), lambda x: 3 + 0 * x),
        (lambda x: mt.maximum(x, x), lambda x: 1 + 0 * x),
        (lambda x: mt.mse_loss(x, x, reduction="none"), lambda x: 0 * x),
    ],
)
def test_repeated_inputs_add_up(function, expected, rng):
    x = leaf(rng, 4)
    y = function(x)
    g = upstream(rng, *y.shape)
    y.backward(g)
    wanted = g.numpy() * expected(x.detach().numpy())
    np.testing.assert_allclose(x.grad.numpy(), wanted, rtol=16 * 2**-52, atol=16 * 2**-52 * np.abs(g.numpy()).max())


def test_repeated_elements_add_up(rng):
    x, g = leaf(rng, 3), upstream(rng, 5)
    x[[0, 2, 0, 0, 2]].backward(g)
    a = g.numpy()
    np.testing.assert_allclose(x.grad.numpy(), [a[0] + a[2] + a[3], 0, a[1] + a[4]], rtol=0, atol=8 * 2**-52)


def test_repeated_matrix_adds_up(rng):
    x, g = leaf(rng, 3, 3), upstream(rng, 3, 3)
    (x @ x).backward(g)
    a, c = x.detach().numpy(), g.numpy()
    size = np.abs(c) @ a.T + a.T @ np.abs(c)
    assert (np.abs(x.grad.numpy() - (c @ a.T + a.T @ c)) <= 8 * 2**-52 * size).all()


def test_shared_parameters_add_up(rng):
    """The same weight in three layers: the gradient is the sum of three separate weights' gradients."""
    start, x, g = rng.standard_normal((4, 4)), upstream(rng, 5, 4), upstream(rng, 5, 4)

    def network(first, second, third):
        return mt.linear(mt.tanh(mt.linear(mt.tanh(mt.linear(x, first)), second)), third)

    shared = mt.tensor(start, requires_grad=True)
    network(shared, shared, shared).backward(g)
    separate = [mt.tensor(start, requires_grad=True) for _ in range(3)]
    network(*separate).backward(g)
    parts = [weight.grad.numpy() for weight in separate]
    np.testing.assert_allclose(shared.grad.numpy(), sum(parts), rtol=0, atol=4 * 2**-52 * sum(map(np.abs, parts)).max())


def test_gradients_of_different_layouts_add_up(rng):
    """A leaf whose gradients come as views, transposed, broadcast and scattered."""
    x = leaf(rng, 3, 3)
    parts = [
        lambda x: x.T, lambda x: x.sum(0).expand(2, 3), lambda x: x[::-1, 1], lambda x: x.reshape(9), lambda x: x + 1
    ]
    total = np.zeros((3, 3))
    for part in parts:
        y = part(x)
        g = upstream(rng, *y.shape)
        y.backward(g)
        total += mt.grad(part(x), x, g)[0].numpy()
    np.testing.assert_allclose(x.grad.numpy(), total, rtol=0, atol=8 * 2**-52 * 10)
    outputs = [part(x) for part in parts]
    gradients = [upstream(rng, *y.shape) for y in outputs]
    together, = mt.grad(outputs, x, gradients)
    apart = sum(mt.grad(part(x), x, g)[0].numpy() for part, g in zip(parts, gradients, strict=True))
    np.testing.assert_allclose(together.numpy(), apart, rtol=0, atol=8 * 2**-52 * 10)


# -- memory ----------------------------------------------------------------------------------------------------


def test_graph_dies_by_reference_count(rng, no_gc):
    for differentiate in (lambda y, x: None, lambda y, x: y.backward(), lambda y, x: mt.grad(y, x),
                          lambda y, x: mt.grad(mt.grad(y, x, create_graph=True)[0].sum(), x)):
        x, w = leaf(rng, 4, 3), leaf(rng, 3, 2)
        y = mt.cross_entropy(mt.tanh(x @ w) * 2 + x.sum(), mt.tensor([0, 1, 1, 0]))
        alive = [weakref.ref(x), weakref.ref(w), weakref.ref(y)]
        differentiate(y, x)
        del x, w, y
        assert [tensor() for tensor in alive] == [None] * 3


def test_backward_frees_what_ops_saved(rng, no_gc):
    """The output keeps the graph, and the graph no longer keeps the arrays."""
    x = leaf(rng, 4)
    constant = np.ones(4)
    alive = weakref.ref(constant)
    y = (x * mt.from_numpy(constant)).sum()
    del constant
    assert alive() is not None
    y.backward()
    assert alive() is None and y.grad_fn is not None


def test_ten_thousand_training_steps_leave_memory_flat(no_gc, rng):
    """9,000 steps after the first 1,000 take less than 2 MiB more: 233 bytes a step, less than an op and its array."""
    x, labels = mt.tensor(rng.standard_normal((32, 8)).astype(np.float32)), mt.tensor(rng.integers(0, 3, 32))
    shapes = ((16, 8), (16,), (3, 16), (3,))
    parameters = [mt.tensor(rng.normal(0, 0.3, shape).astype(np.float32), requires_grad=True) for shape in shapes]
    w1, b1, w2, b2 = parameters

    def step():
        hidden = mt.tanh(mt.linear(x, w1, b1))
        loss = mt.cross_entropy(mt.linear(hidden * hidden + hidden, w2, b2), labels) + 1e-4 * (w1 * w1).sum()
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        with mt.no_grad():
            for parameter in parameters:
                parameter -= 0.05 * parameter.grad
        return loss.item()

    process = psutil.Process()
    first = step()
    for _ in range(1000):
        step()
    before = process.memory_info().rss
    for _ in range(9000):
        last = step()
    grown = process.memory_info().rss - before
    assert last < first / 2
    assert grown < 2 * 2**20, f"{grown} bytes in 9,000 steps"
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        ours = [thing for thing in gc.garbage if type(thing).__module__.startswith("microtensor")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert ours == []


# -- again -----------------------------------------------------------------------------------------------------


def test_second_backward_names_retain_graph(rng):
    x = leaf(rng, 3)
    y = (x * x).sum()
    y.backward()
    once = x.grad.numpy().copy()
    for again in (y.backward, lambda: mt.grad(y, x), lambda: mt.grad(y, x, create_graph=True)):
        with pytest.raises(RuntimeError, match=r"Mul a second time.*retain_graph=True"):
            again()
    np.testing.assert_array_equal(x.grad.numpy(), once)


def test_second_backward_through_a_shared_part_changes_nothing(rng):
    """The error is found before the first gradient is delivered, also to leaves on the way that is still good."""
    x, w = leaf(rng, 3), leaf(rng, 3)
    shared = x.exp()
    (shared * shared).sum().backward()
    x.zero_grad()
    with pytest.raises(RuntimeError, match="retain_graph"):
        (w * shared).sum().backward()
    assert x.grad is None and w.grad is None


def test_retain_graph_accumulates(rng):
    x, g, h = leaf(rng, 3), upstream(rng, 3), upstream(rng, 3)
    y = x.exp()
    y.backward(g, retain_graph=True)
    y.backward(h, retain_graph=True)
    y.backward(g)
    e = x.detach().exp().numpy()
    np.testing.assert_allclose(x.grad.numpy(), e * (2 * g.numpy() + h.numpy()), rtol=0, atol=16 * 2**-52 * e.max() * 9)
    with pytest.raises(RuntimeError, match="retain_graph"):
        y.backward(g)


def test_failed_backward_can_be_repeated_right(rng):
    x, g = leaf(rng, 3), upstream(rng, 3)
    y = x * x
    for wrong in (None, mt.ones(2, dtype=mt.float64)):
        with pytest.raises(RuntimeError):
            y.backward(wrong)
    y.backward(g)
    np.testing.assert_array_equal(x.grad.numpy(), 2 * x.detach().numpy() * g.numpy())


# -- where it starts -------------------------------------------------------------------------------------------


def test_backward_of_several_elements_needs_a_gradient(rng):
    x, g = leaf(rng, 2, 3), upstream(rng, 2, 3)
    with pytest.raises(RuntimeError, match=r"\(2, 3\).*gradient="):
        (x * 2).backward()
    assert x.grad is None
    (x * 2).backward(g)
    np.testing.assert_array_equal(x.grad.numpy(), 2 * g.numpy())


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_backward_of_one_element_starts_with_one(shape):
    x = mt.full(shape, 3.0, requires_grad=True)
    (x * x).backward()
    assert x.grad.tolist() == mt.full(shape, 6.0).tolist()


@pytest.mark.parametrize(
    "layout", [lambda g: g.T.clone().T, lambda g: g[::-1].clone()[::-1], lambda g: g[:1].expand(2, 3)]
)
def test_upstream_gradient_of_any_layout(layout, rng):
    x, g = leaf(rng, 2, 3), layout(upstream(rng, 2, 3))
    x.exp().backward(g)
    np.testing.assert_allclose(x.grad.numpy(), g.numpy() * np.exp(x.detach().numpy()), rtol=4 * 2**-52)


def test_upstream_gradient_must_fit(rng):
    y = leaf(rng, 2, 3) * 2
    for wrong, error in (
        (mt.ones(3, dtype=mt.float64), RuntimeError), (mt.ones(2, 3), RuntimeError), (np.ones((2, 3)), TypeError),
        (1.0, TypeError),
    ):
        with pytest.raises(error, match="gradient must"):
            y.backward(wrong)


def test_backward_from_a_leaf(rng):
    x, g = leaf(rng, 3), upstream(rng, 3)
    x.backward(g)
    np.testing.assert_array_equal(x.grad.numpy(), g.numpy())
    assert not np.shares_memory(x.grad.numpy(), g.numpy())


def test_backward_without_a_graph_is_refused(rng):
    x = leaf(rng)
    with mt.no_grad():
        unrecorded = x * 2
    for y in (unrecorded, x.detach() * 2, mt.tensor(1.0), (x > 0).float(), x.argmax().float()):
        with pytest.raises(RuntimeError, match="requires no gradient"):
            y.backward()
    assert x.grad is None


def test_backward_under_no_grad_goes_through_what_was_recorded(rng):
    x, g = leaf(rng, 3), upstream(rng, 3)
    y = x * x
    with mt.no_grad():
        y.backward(g, retain_graph=True)
        dx, = mt.grad(y, x, g, create_graph=True)
    np.testing.assert_array_equal(x.grad.numpy(), 2 * x.detach().numpy() * g.numpy())
    assert dx.requires_grad


def test_leaves_that_need_no_gradient_get_none(rng):
    x, constant = leaf(rng, 3), upstream(rng, 3)
    middle = x * constant
    (middle * constant).sum().backward()
    assert constant.grad is None and middle.grad is None
    np.testing.assert_array_equal(x.grad.numpy(), constant.numpy() ** 2)


def test_gradients_of_two_leaves_share_no_memory(rng):
    for create_graph in (False, True):
        x, y, g = leaf(rng, 3), leaf(rng, 3), upstream(rng, 3)
        with pytest.warns(UserWarning, match="cycle") if create_graph else mt.enable_grad():
            (x + y).backward(g, create_graph=create_graph)
        arrays = [x.grad.detach().numpy(), y.grad.detach().numpy(), g.numpy()]
        for i in range(3):
            assert not np.shares_memory(arrays[i], arrays[i - 1])
        x.grad = y.grad = None


def test_a_gradient_can_be_written_whatever_op_it_came_from(rng):
    """Broadcast gradients, such as those of a sum, are stored in full."""
    for create_graph in (False, True):
        x = leaf(rng, 3)
        with pytest.warns(UserWarning, match="cycle") if create_graph else mt.enable_grad():
            x.sum().backward(create_graph=create_graph)
        gradient = x.grad.detach()
        x.grad = None
        gradient *= 2
        assert gradient.tolist() == [2, 2, 2]


# -- in-place writes -------------------------------------------------------------------------------------------

WRITES = {
    "zero_": lambda x: x.zero_(),
    "fill_": lambda x: x.fill_(2.0),
    "copy_": lambda x: x.copy_(mt.ones_like(x)),
    "setitem": lambda x: operator.setitem(x, 0, 5.0),
    "iadd": lambda x: operator.iadd(x, 1.0),
    "imul of a view": lambda x: operator.imul(x[1:], 2.0),
    "view of a view": lambda x: x.reshape(-1)[1:2].zero_(),
    "detached": lambda x: x.detach().zero_(),
    "data": lambda x: x.data.zero_(),
    "transposed": lambda x: x.T.zero_(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("saved", ["input", "second input", "output", "output's input view"])
def test_write_to_a_saved_array_is_an_error_and_changes_no_gradient(write, saved, rng):
    x, other, bystander = leaf(rng, 3), leaf(rng, 3), leaf(rng, 3)
    if saved == "input":
        y, written = x * other, x
    elif saved == "second input":
        y, written = other * x, x
    elif saved == "output":
        y = (x * 1).exp()
        written = y
    else:
        y, written = x[0:3].reshape(3, 1) * other, x
    loss = (y + bystander).sum()
    x.grad = before = upstream(rng, 3)
    kept = before.numpy().copy()
    with mt.no_grad():
        write(written)
    for differentiate in (loss.backward, lambda: mt.grad(loss, x), lambda: mt.grad(loss, x, create_graph=True)):
        with pytest.raises(RuntimeError, match=r"(Mul|Exp).*\(3,.*written in place"):
            differentiate()
    assert x.grad is before and other.grad is None and bystander.grad is None
    np.testing.assert_array_equal(before.numpy(), kept)


def test_write_to_what_nobody_saved_is_fine(rng):
    x, g = leaf(rng, 3), upstream(rng, 3)
    y = (x + 1).sum() + (x - 2).sum()       # additions save nothing
    z = x.exp()                             # saves its output, not x
    z_values = z.detach().numpy().copy()
    with mt.no_grad():
        x.zero_()
        y.zero_()
    y.backward()
    z.backward(g)
    np.testing.assert_allclose(x.grad.numpy(), 2 + z_values * g.numpy(), rtol=8 * 2**-52)


def test_write_to_a_clone_is_fine(rng):
    x = leaf(rng, 3)
    y = (x * x).sum()
    with mt.no_grad():
        x.clone().zero_()
        x.detach().clone().fill_(3)
        (x * 1).zero_()
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * x.detach().numpy())


def test_write_before_forward_is_fine(rng):
    x = leaf(rng, 3)
    with mt.no_grad():
        x.fill_(3.0)
    y = (x * x).sum()
    y.backward()
    assert x.grad.tolist() == [6, 6, 6]
    with mt.no_grad():
        x.zero_()               # after backward nobody reads it any more
    (x * x).sum().backward()
    assert x.grad.tolist() == [6, 6, 6]


def test_accumulating_into_grad_counts_as_a_write(rng):
    """A graph that saved x.grad notices that another backward added to it."""
    x, w = leaf(rng, 3), leaf(rng, 3)
    (x * x).sum().backward()
    y = (x.grad * w).sum()
    (w * w).sum().backward()
    y.backward(retain_graph=True)
    (x * x).sum().backward()
    with pytest.raises(RuntimeError, match="written in place"):
        y.backward()


def test_index_array_may_change_after_forward(rng):
    x, places = leaf(rng, 4), np.array([0, 2, 2])
    indices = mt.from_numpy(places)
    y, z = x[places], x[indices]
    places[:] = 3
    (y + z).sum().backward()
    assert x.grad.tolist() == [2, 0, 4, 0]


def test_labels_may_change_before_backward(rng):
    """Class indices are copied: what their owner does with them afterwards changes no gradient, and no memory."""
    x, labels = leaf(rng, 3, 4), mt.tensor([0, 1, 2])
    expected, = mt.grad(mt.cross_entropy(x, labels), x)
    loss = mt.cross_entropy(x, labels)
    labels.detach().numpy()[:] = 10**10
    loss.backward()
    np.testing.assert_array_equal(x.grad.numpy(), expected.numpy())


# -- grad() ----------------------------------------------------------------------------------------------------


def test_grad_returns_and_stores_nothing(rng):
    x, w, g = leaf(rng, 3), leaf(rng, 3), upstream(rng, 3)
    dx, dw = mt.grad(x * w, [x, w], g)
    np.testing.assert_array_equal(dx.numpy(), (w.detach() * g).numpy())
    np.testing.assert_array_equal(dw.numpy(), (x.detach() * g).numpy())
    assert x.grad is None and w.grad is None and not dx.requires_grad


def test_grad_takes_and_gives_sequences(rng):
    x = leaf(rng)
    y = x * 2
    for inputs in (x, [x], (x,)):
        for outputs in (y, [y], (y,)):
            result = mt.grad(outputs, inputs, retain_graph=True)
            assert type(result) is tuple and result[0].item() == 2


def test_grad_sums_over_outputs(rng):
    x, g = leaf(rng, 3), upstream(rng, 2)
    y, z, w = x.sum(), x[:2], (x * x).sum()
    dx, = mt.grad([y, z, w, y], x, [None, g, mt.tensor(3.0, dtype=mt.float64), None])
    expected = 2 + np.append(g.numpy(), 0) + 6 * x.detach().numpy()
    np.testing.assert_allclose(dx.numpy(), expected, rtol=0, atol=8 * 2**-52 * 20)


def test_grad_with_an_output_behind_another(rng):
    x = leaf(rng)
    y = x * x
    z = y * x
    dx, = mt.grad([y, z], x)
    a = x.item()
    assert dx.item() == pytest.approx(2 * a + 3 * a * a, rel=8 * 2**-52)


def test_grad_of_computed_inputs(rng):
    x = leaf(rng, 3)
    y = x.exp()
    z = (y * y).sum()
    dx, dy, dz = mt.grad(z, [x, y, z], retain_graph=True)
    e = y.detach().numpy()
    assert dz.item() == 1
    np.testing.assert_array_equal(dy.numpy(), 2 * e)
    np.testing.assert_allclose(dx.numpy(), 2 * e * e, rtol=4 * 2**-52)
    # and they are the caller's own
    dy.zero_()
    np.testing.assert_allclose(mt.grad(z, x)[0].numpy(), 2 * e * e, rtol=4 * 2**-52)


def test_grad_of_an_output_by_itself(rng):
    x, g = leaf(rng, 3), upstream(rng, 3)
    dx, = mt.grad(x, x, g)
    np.testing.assert_array_equal(dx.numpy(), g.numpy())
    assert not np.shares_memory(dx.numpy(), g.numpy())


def test_grad_of_the_same_input_twice(rng):
    x, g = leaf(rng, 3), upstream(rng, 3)
    first, second = mt.grad(x * 2, [x, x], g)
    np.testing.assert_array_equal(first.numpy(), second.numpy())
    first.zero_()
    np.testing.assert_array_equal(second.numpy(), 2 * g.numpy())


def test_grad_unused_inputs(rng):
    x, w = leaf(rng, 3), leaf(rng, 4)
    y = x.sum()
    with pytest.raises(RuntimeError, match=r"inputs\[1\] of shape \(4,\).*allow_unused=True"):
        mt.grad(y, [x, w], retain_graph=True)
    dx, dw = mt.grad(y, [x, w], allow_unused=True)
    assert dw is None and dx.tolist() == [1, 1, 1]


def test_grad_refuses(rng):
    x = leaf(rng, 3)
    with pytest.raises(RuntimeError, match=r"inputs\[0\].*does not require"):
        mt.grad((x * 2).sum(), x.detach())
    with pytest.raises(TypeError, match=r"inputs\[0\].*ndarray"):
        mt.grad((x * 2).sum(), [np.ones(3)])
    with pytest.raises(RuntimeError, match="needs a gradient of that shape"):
        mt.grad(x * 2, x)
    with pytest.raises(ValueError, match="2, got 1"):
        mt.grad([x * 2, x * 3], x, [mt.ones(3, dtype=mt.float64)])
    with pytest.raises(RuntimeError, match=r"\(3,\).*\(2,\)"):
        mt.grad(x * 2, x, mt.ones(2, dtype=mt.float64))
    with pytest.raises(RuntimeError, match="requires no gradient"):
        mt.grad(mt.tensor(1.0), x)
    assert x.grad is None


def test_grad_frees_unless_told_to_retain(rng):
    x = leaf(rng)
    y = x * x
    mt.grad(y, x, retain_graph=True)
    mt.grad(y, x, create_graph=True)
    mt.grad(y, x)
    with pytest.raises(RuntimeError, match="retain_graph"):
        mt.grad(y, x)


# -- higher order ----------------------------------------------------------------------------------------------


def fourth_by_mul(x):
    return x * x * x * x


def fourth_by_pow(x):
    return x**4


@pytest.mark.parametrize("fourth", [fourth_by_mul, fourth_by_pow])
def test_derivatives_of_every_order(fourth):
    x = mt.tensor(1.5, dtype=mt.float64, requires_grad=True)
    y = fourth(x)
    for expected in (4 * 1.5**3, 12 * 1.5**2, 24 * 1.5, 24.0):
        y, = mt.grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(expected, rel=16 * 2**-52)
    dx, = mt.grad(y, x, allow_unused=True) if y.requires_grad else (None,)
    assert dx is None or dx.item() == 0


def test_hessian_times_vector(rng):
    """d/dx (v . df/dx) = H v for f = sum (A x)^3 / 6: H = A^T diag(A x) A."""
    x, v, a = leaf(rng, 4), upstream(rng, 4), rng.standard_normal((5, 4))
    dx, = mt.grad(((mt.tensor(a) @ x) ** 3).sum() / 6, x, create_graph=True)
    actual, = mt.grad((dx * v).sum(), x)
    product = a.T @ (a @ x.detach().numpy() * (a @ v.numpy()))
    size = np.abs(a.T) @ (np.abs(a) @ np.abs(x.detach().numpy()) * (np.abs(a) @ np.abs(v.numpy())))
    assert (np.abs(actual.numpy() - product) <= 64 * 2**-52 * size).all()


def test_gradient_penalty_trains_on_the_norm_of_the_gradient(rng):
    """backward through a gradient reaches every leaf, not only the one it was taken for."""
    x, w, u = leaf(rng, 3), leaf(rng, 3), upstream(rng)
    dx, = mt.grad((w * x * x).sum(), x, create_graph=True)         # 2 w x
    (dx * dx).sum().backward(u)                                     # 4 w^2 x^2
    a, b = x.detach().numpy(), w.detach().numpy()
    np.testing.assert_allclose(w.grad.numpy(), u.item() * 8 * b * a * a, rtol=16 * 2**-52)
    np.testing.assert_allclose(x.grad.numpy(), u.item() * 8 * b * b * a, rtol=16 * 2**-52)


def test_backward_with_create_graph_warns_and_gives_a_differentiable_grad(rng):
    x = leaf(rng, 3)
    with pytest.warns(UserWarning, match="cycle"):
        (x**3).sum().backward(create_graph=True)
    gradient, x.grad = x.grad, None
    np.testing.assert_allclose(mt.grad(gradient.sum(), x)[0].numpy(), 6 * x.detach().numpy(), rtol=16 * 2**-52)


def test_create_graph_through_a_broadcast(rng):
    x, w, g = leaf(rng, 3), leaf(rng, 2, 1), upstream(rng, 2, 3)
    dw, = mt.grad(x * x * w, w, g, create_graph=True)               # sum_j g x^2: (2, 1)
    assert dw.shape == (2, 1)
    h = upstream(rng, 2, 1)
    dx, = mt.grad(dw, x, h)
    np.testing.assert_allclose(
        dx.numpy(), (h.numpy() * g.numpy() * 2 * x.detach().numpy()).sum(0), rtol=0, atol=8 * 2**-52 * 60
    )


# -- grad modes ------------------------------------------------------------------------------------------------


def test_modes_nest_and_come_back(rng):
    x = leaf(rng)
    assert mt.is_grad_enabled() is True
    with mt.no_grad():
        assert not (x * 2).requires_grad
        with mt.enable_grad():
            assert (x * 2).requires_grad
            with mt.set_grad_enabled(False):
                assert not mt.is_grad_enabled()
            assert mt.is_grad_enabled()
        assert not mt.is_grad_enabled()
    assert mt.is_grad_enabled() and (x * 2).requires_grad


def test_mode_comes_back_after_an_exception():
    with pytest.raises(KeyError), mt.no_grad():
        raise KeyError
    assert mt.is_grad_enabled()
    with mt.no_grad():
        with pytest.raises(KeyError), mt.enable_grad():
            raise KeyError
        assert not mt.is_grad_enabled()


def test_mode_can_be_entered_again():
    mode = mt.no_grad()
    with mode, mt.enable_grad(), mode:
        assert not mt.is_grad_enabled()
    assert mt.is_grad_enabled()


def test_modes_decorate(rng):
    x = leaf(rng)

    @mt.no_grad()
    def countdown(n):
        """Recursive, so that the mode is entered while it is on."""
        assert not mt.is_grad_enabled()
        return countdown(n - 1) if n else x * 2

    @mt.enable_grad()
    def recorded():
        return x * 2

    assert not countdown(3).requires_grad and mt.is_grad_enabled()
    assert countdown.__name__ == "countdown" and countdown.__doc__.startswith("Recursive")
    with mt.no_grad():
        assert recorded().requires_grad and not mt.is_grad_enabled()

    @mt.no_grad()
    def fails():
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert mt.is_grad_enabled()


def test_set_grad_enabled_works_as_a_function():
    """As PyTorch's: calling it sets the mode, with or without a `with`."""
    try:
        mt.set_grad_enabled(False)
        assert not mt.is_grad_enabled()
        mt.set_grad_enabled(True)
        assert mt.is_grad_enabled()
    finally:
        mt.enable_grad().__enter__()


def run_threads(*functions):
    """Run each in a thread of its own; raise what any of them raised."""
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_mode_belongs_to_its_thread():
    inside, checked = threading.Event(), threading.Event()

    def turn_off():
        with mt.no_grad():
            inside.set()
            assert checked.wait(10) and not mt.is_grad_enabled()

    def look():
        try:
            assert inside.wait(10) and mt.is_grad_enabled()
        finally:
            checked.set()

    run_threads(turn_off, look)
    with mt.no_grad():
        run_threads(lambda: operator.truth(mt.is_grad_enabled()) or pytest.fail("a new thread records"))


def test_decorated_function_in_two_threads_gives_each_its_mode_back():
    """Two threads of different modes inside one decorated function at once; the one that came first leaves first."""
    first_inside, second_inside, first_out = (threading.Event() for _ in range(3))

    @mt.no_grad()
    def both(entered, leave):
        entered.set()
        assert leave.wait(10)

    def first():
        both(first_inside, second_inside)
        recording = mt.is_grad_enabled()
        first_out.set()
        assert recording

    def second():
        assert first_inside.wait(10)
        with mt.no_grad():
            both(second_inside, first_out)
            assert not mt.is_grad_enabled()

    run_threads(first, second)


def test_two_threads_differentiate_their_own_graphs():
    def work(seed):
        def run():
            rng = np.random.default_rng(seed)
            for _ in range(150):
                x = mt.tensor(rng.standard_normal((3, 4)), requires_grad=True)
                c, g = rng.standard_normal((4, 2)), rng.standard_normal((3, 2))
                y = x
                for _ in range(20):
                    y = y * 1.0 + 0.0
                (y @ c).backward(mt.tensor(g))
                np.testing.assert_allclose(x.grad.numpy(), g @ c.T, rtol=0, atol=8 * 2**-52 * (abs(g) @ abs(c.T)).max())

        return run

    run_threads(work(1), work(2))


def test_one_graph_is_for_one_thread_at_a_time(rng):
    """Gradients through a shared graph are right or refused, never lost."""
    w = mt.from_numpy(rng.standard_normal(20_000)).requires_grad_()
    h = w * w                                   # large enough for kernels to let other threads run
    refused, done = [], []

    def work():
        for _ in range(50):
            try:
                gradient, = mt.grad(h.relu().sum(), w, retain_graph=True)
                done.append(gradient)
            except RuntimeError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) + len(refused) == 200 and done
    for gradient in done:
        np.testing.assert_allclose(gradient.numpy(), 2 * w.detach().numpy(), rtol=1e-15)
    assert all("another thread" in message for message in refused)


def test_data_replaced_in_one_leaf_leaves_the_others_without_gradient():
    a, b = mt.ones(3, requires_grad=True), mt.ones(3, requires_grad=True)
    y = (a * 2).sum() + (b * 3).sum()
    b.data = mt.ones(4)
    for _ in range(2):                      # and nothing was freed by the attempt
        with pytest.raises(RuntimeError, match="replaced since forward"):
            y.backward()
    assert a.grad is None and b.grad is None


def test_threads_with_graphs_of_their_own_may_share_a_leaf(rng):
    w = mt.from_numpy(rng.standard_normal(50_000)).requires_grad_()

    def work():
        for _ in range(25):
            (w + 1).backward(mt.ones(50_000, dtype=mt.float64) * 0.5)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(w.grad.numpy(), np.full(50_000, 50.0))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_computes_on_one_thread():
    """The parent's team of threads does not exist in the child, and waiting for it would hang."""
    code = (
        "import os, warnings; warnings.simplefilter('ignore')\n"
        "import microtensor as mt\n"
        "mt.set_num_threads(2); x = mt.ones(600, 600); total = (x @ x).sum().item()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try:\n"
        "        mt.set_num_threads(2)\n"
        "    except RuntimeError as error:\n"
        "        ok = 'spawn' in str(error)\n"
        "    else:\n"
        "        ok = not mt.kernels.threads.has_openmp()\n"
        "    os._exit(0 if ok and (x @ x).sum().item() == total else 1)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_grad_of_an_unused_input_named_twice_is_none_twice():
    x, y = mt.ones(2, requires_grad=True), mt.ones(2, requires_grad=True)
    assert mt.grad((y * 2).sum(), [x, x], allow_unused=True) == (None, None)


# -- what an op holds ---------------------------------------------------------------------------------------------


def test_record_drops_what_backward_does_not_read(rng):
    """Arrays that only forward needed die with the tensors that held them."""
    import gc
    import weakref

    def survivors(make):
        """Which of the arrays that went into a recorded result are alive when only the result is."""
        arrays = [rng.standard_normal((4, 4)) for _ in range(3)]
        tensors = [mt.from_numpy(array).requires_grad_() for array in arrays]      # keep the arrays alive
        y = make(*tensors)
        references = [weakref.ref(array) for array in arrays]
        for x in tensors:
            x.data = mt.zeros(4, 4, dtype=mt.float64)
        del arrays, x, tensors
        gc.collect()
        assert y.grad_fn is not None
        return [reference() is not None for reference in references]

    assert survivors(lambda a, b, c: a + b) == [False, False, False]
    assert survivors(lambda a, b, c: a * b) == [True, True, False]
    assert survivors(lambda a, b, c: a * b.detach()) == [False, True, False]
    assert survivors(lambda a, b, c: a.tanh()) == [False, False, False]
    assert survivors(lambda a, b, c: a.log()) == [True, False, False]
    assert survivors(lambda a, b, c: mt.cat([a, b, c])) == [False, False, False]
    assert survivors(lambda a, b, c: mt.linear(a, b.detach(), c[0])) == [False, True, False]
