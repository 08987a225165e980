"""docs/evening.md: the answers to its seven questions, asked of the engine itself."""

import gc
import re
import weakref
from pathlib import Path

import numpy as np
import pytest

import microtensor as mt
from microtensor import core, nn, optim

PAGE = (Path(__file__).parents[1] / "docs" / "evening.md").read_text()
N = 32


class Net:
    """The page's net: its layers, its data, and its forward pass step by step."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.layer1, self.layer2 = nn.Linear(2, 16, dtype=mt.float64), nn.Linear(16, 2, dtype=mt.float64)
        self.x = mt.from_numpy(rng.standard_normal((N, 2)))
        self.t = mt.from_numpy(rng.integers(2, size=N))

    def loss(self):
        return nn.functional.cross_entropy(self.layer2(self.layer1(self.x).relu()), self.t)

    def parameters(self):
        return [*self.layer1.parameters(), *self.layer2.parameters()]


def backward_runs(output):
    """(name of the op, the gradients it computed) of each op, in the order in which their backwards run."""
    runs = []
    before = core.observe(lambda op, backward: runs.append((op.name, op.results(True))) if backward else None)
    try:
        output.backward()
    finally:
        core.observe(before)
    return runs


def test_the_page_has_as_many_answers_as_questions():
    answers = PAGE.partition("<summary>Answers</summary>")[2]
    assert re.findall(r"^\*\*Question (\d)\.\*\*", PAGE, re.MULTILINE) == list("1234567")
    assert re.findall(r"^(\d)\. ", answers, re.MULTILINE) == list("1234567")


def test_answer_1_edges_lead_past_tensors():
    net = Net()
    net.loss().backward()
    expected = net.layer1.weight.grad.numpy().copy()
    net.layer1.weight.grad = None
    gc.disable()
    try:
        h = net.layer1(net.x)
        y = h.relu()
        loss = nn.functional.cross_entropy(net.layer2(y), net.t)
        linear1, relu = h.grad_fn, y.grad_fn
        linear2 = loss.grad_fn.next_functions[0]
        watched = [weakref.ref(h), weakref.ref(y)]
        del h, y
        assert [tensor() for tensor in watched] == [None, None]
    finally:
        gc.enable()
    assert linear2.next_functions == (relu, net.layer2.weight, net.layer2.bias)
    assert relu.next_functions == (linear1,)
    assert linear1.next_functions == (None, net.layer1.weight, net.layer1.bias)
    assert np.shares_memory(relu.output().detach().numpy(), linear2.input(0).detach().numpy())
    loss.backward()
    assert (net.layer1.weight.grad.numpy() == expected).all()


def test_answer_2_the_weight_is_kept_for_dx_only():
    for layer, refused in (("layer2", True), ("layer1", False)):
        net = Net()
        loss = net.loss()
        with mt.no_grad():
            getattr(net, layer).weight *= 0.9
        if refused:
            with pytest.raises(RuntimeError, match="written in place"):
                loss.backward()
        else:
            loss.backward()
    op = net.layer1(net.x).grad_fn
    assert op.input(0).shape == (N, 2)
    with pytest.raises(IndexError, match="keeps no input 1"):
        op.input(1)


def test_answer_3_relu_keeps_what_the_next_layer_keeps_anyway():
    net = Net()
    linear2 = net.loss().grad_fn.next_functions[0]
    relu = linear2.next_functions[0]
    linear1 = relu.next_functions[0]
    with pytest.raises(IndexError, match="keeps no input 0"):
        relu.input(0)
    for op in (linear1, linear2):
        with pytest.raises(IndexError, match="keeps no output"):
            op.output()
    kept = [relu.output(), linear2.input(0)]
    assert {array.shape for array in kept} == {(N, 16)}
    assert len({array.detach().numpy().ctypes.data for array in kept}) == 1
    hidden = net.layer1(net.x)
    y = nn.functional.leaky_relu(hidden)             # an op that begins with INPUT: its x and its y are two arrays
    kept = [y.grad_fn.input(0), net.layer2(y).grad_fn.input(0)]
    assert not np.shares_memory(*(array.detach().numpy() for array in kept))


def test_answer_4_three_products():
    runs = backward_runs(Net().loss())
    products = [[g.shape for g in gradients if g.ndim == 2] for name, gradients in runs if name == "Linear"]
    assert products == [[(N, 16), (2, 16)], [(16, 2)]]             # dx and dW of layer 2, dW of layer 1


def test_answer_5_an_ignored_row_adds_nothing():
    net, without = Net(), Net()
    without.layer1, without.layer2 = net.layer1, net.layer2
    net.t[3] = -100
    rest = np.arange(N) != 3
    without.x, without.t = net.x[rest], net.t[rest]
    losses, gradients = [], []
    for each in (net, without):
        losses.append(each.loss().item())
        for parameter in net.parameters():
            parameter.grad = None
        each.loss().backward()
        gradients.append([parameter.grad.numpy() for parameter in net.parameters()])
    eps = np.finfo(np.float64).eps
    assert abs(losses[0] - losses[1]) <= N * eps * losses[0]
    for a, b in zip(*gradients, strict=True):               # the same terms, whose sizes are below 1, in another order
        np.testing.assert_allclose(a, b, rtol=0, atol=N * eps)
    (_, (dx,)), *_ = backward_runs(net.loss())
    assert (dx[3] == 0).all() and (dx[rest] != 0).all()


def test_answer_6_tanh_runs_last_and_once():
    x = mt.tensor([0.5, -1.0], dtype=mt.float64, requires_grad=True)
    u = x.tanh()
    runs = backward_runs((u.exp() + u).sum())
    assert [name for name, _ in runs] == ["Sum", "Add", "Exp", "Tanh"]
    u = u.detach().numpy()
    np.testing.assert_allclose(runs[-1][1][0], (np.exp(u) + 1) * (1 - u * u), rtol=8 * np.finfo(np.float64).eps)


def test_answer_7_the_first_step_is_lr_g():
    lr = 0.1
    p = mt.tensor([1.0, -2.0, 0.25], dtype=mt.float64, requires_grad=True)
    before, g = p.detach().numpy().copy(), np.array([0.3, -0.4, 0.0])
    p.grad = mt.tensor(g, dtype=mt.float64)
    optimizer = optim.SGD([p], lr=lr, momentum=0.9, dampening=0.5)
    assert abs(nn.utils.clip_grad_norm_([p], 1.0).item() - 0.5) < 1e-15
    assert (p.grad.numpy() == g).all()
    optimizer.step()
    velocity = optimizer.state[p]["momentum_buffer"].numpy()
    assert (velocity == g).all() and not np.shares_memory(velocity, p.grad.numpy())
    np.testing.assert_allclose(p.detach().numpy(), before - lr * g, rtol=4 * np.finfo(np.float64).eps)
