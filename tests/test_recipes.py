"""Recipes: every block of docs/recipes.md runs as it stands, and does what a formula says that is written here."""

import copy
import re
import struct
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import microtensor as mt
from microtensor import nn
from microtensor.gradcheck import check_optimizer

PAGE = (Path(__file__).parents[1] / "docs" / "recipes.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
HEAD, *SECTIONS = re.split(r"^###? ", PAGE, flags=re.MULTILINE)
SETUP, = BLOCK.findall(HEAD)
RECIPES = {title: text for title, _, text in (section.partition("\n") for section in SECTIONS) if "```" in text}
TESTED = []
EPS = np.finfo(np.float32).eps


def of(title):
    """Marks the test of a recipe, to which ``recipe`` gives the names that its block defines."""
    TESTED.append(title)
    return pytest.mark.parametrize("recipe", [title], indirect=True, ids=[title])


@pytest.fixture
def recipe(request, tmp_path, monkeypatch):
    """What there is after a recipe's block."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "recipes"}
    for part, code in (("setup", SETUP), (request.param, *BLOCK.findall(RECIPES[request.param]))):
        exec(compile(code, f"docs/recipes.md, {part}", "exec"), names)
    return SimpleNamespace(**names)


def test_every_recipe_is_tested():
    assert sorted(TESTED) == sorted(RECIPES)


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_is_a_sentence_ten_lines_and_a_sentence(title):
    before, block, after = BLOCK.split(RECIPES[title])
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    for text in (before, after):
        text = re.sub(r"`[^`]*`|\$[^$]*\$", "code", text).strip()
        assert text.endswith(".") and not re.search(r"[.!?]\s+[A-Z]", text)


def tensors(rng, *shapes):
    return [mt.from_numpy(rng.standard_normal(shape).astype(np.float32)).requires_grad_() for shape in shapes]


def arrays(module):
    return [parameter.detach().numpy().copy() for parameter in module.parameters()]


# -- layers


@of("Bilinear")
def test_bilinear_is_a_form_of_each_output(recipe, rng):
    layer = recipe.Bilinear(4, 3, 5)
    assert all(np.abs(array).max() <= 0.5 for array in arrays(layer))
    x1, x2, g = tensors(rng, (6, 4), (6, 3), (6, 5))
    output = layer(x1, x2)
    weight, bias = arrays(layer)
    a, b, c = (value.detach().numpy() for value in (x1, x2, g))
    close = {"rtol": 0, "atol": 200 * EPS}            # sums of up to 30 products of at most some 10
    np.testing.assert_allclose(output.detach().numpy(), np.einsum("ni,kij,nj->nk", a, weight, b) + bias, **close)
    (output * g.detach()).sum().backward()
    np.testing.assert_allclose(layer.weight.grad.numpy(), np.einsum("nk,ni,nj->kij", c, a, b), **close)
    np.testing.assert_allclose(x2.grad.numpy(), np.einsum("nk,ni,kij->nj", c, a, weight), **close)


@of("RMSNorm")
def test_rmsnorm_divides_a_row_by_its_root_mean_square(recipe, rng):
    layer = recipe.RMSNorm(7, eps=0.1)
    x, scale = tensors(rng, (2, 3, 7), (7,))
    with mt.no_grad():
        layer.weight.copy_(scale)
    a = x.detach().numpy()
    expected = a / np.sqrt((a**2).sum(-1, keepdims=True) / 7 + 0.1) * scale.detach().numpy()
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=16 * EPS)      # a root and 7 sums
    zeros = mt.zeros(1, 7, requires_grad=True)
    layer(zeros).sum().backward()
    assert np.isfinite(zeros.grad.numpy()).all()


@of("PReLU")
@pytest.mark.parametrize("slopes", [1, 3])
def test_prelu_learns_its_slope(recipe, rng, slopes):
    layer = recipe.PReLU(slopes, init=0.3)
    x, g = tensors(rng, (5, 3), (5, 3))
    output = layer(x)
    (output * g.detach()).sum().backward()
    a, c = x.detach().numpy(), g.detach().numpy()
    np.testing.assert_allclose(output.detach().numpy(), np.where(a > 0, a, np.float32(0.3) * a), rtol=2 * EPS)
    np.testing.assert_allclose(x.grad.numpy(), np.where(a > 0, c, np.float32(0.3) * c), rtol=2 * EPS)
    slope = (np.minimum(a, 0) * c).sum(0) if slopes == 3 else (np.minimum(a, 0) * c).sum(keepdims=True)[0]
    np.testing.assert_allclose(layer.weight.grad.numpy(), slope, rtol=0, atol=100 * EPS)     # 15 products of some 5


@of("ModuleDict")
def test_module_dict_is_part_of_its_owner(recipe, rng):
    layers = recipe.ModuleDict({"up": nn.Linear(2, 3), "down": nn.Linear(2, 1)})
    assert [name for name, _ in layers.named_parameters()] == ["up.weight", "up.bias", "down.weight", "down.bias"]
    x, = tensors(rng, (4, 2))
    for name, size in (("up", 3), ("down", 1)):
        assert layers[name](x).shape == (4, size)
    layers["up"](x).sum().backward()
    assert layers["up"].weight.grad is not None and layers["down"].weight.grad is None
    with pytest.raises(KeyError, match="'train'"):
        recipe.ModuleDict({"train": nn.Linear(2, 3)})


# -- optimisers


@of("Adagrad")
def test_adagrad_follows_its_recurrence(recipe, rng):
    report = check_optimizer(lambda params: recipe.Adagrad(params, lr=0.1, eps=1e-3))
    assert report.notes == ["compared with the recurrence of Adagrad"]
    p, = tensors(rng, (3, 2))
    optimizer = recipe.Adagrad([{"params": [p], "lr": 0.5}, {"params": tensors(rng, (2,))}])
    theta, total = p.detach().numpy().astype(float), 0
    for _ in range(4):
        p.grad, = (value.detach() for value in tensors(rng, (3, 2)))
        g = p.grad.numpy().astype(float)
        total = total + g**2
        theta -= 0.5 * g / (np.sqrt(total) + 1e-10)
        optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), theta, rtol=0, atol=64 * EPS)    # 4 steps of 4 roundings, below 4
    assert list(optimizer.state) == [p] and optimizer.state_dict()["state"][0]["sum"].shape == (3, 2)
    with pytest.warns(UserWarning, match="changed nothing"):
        recipe.Adagrad(tensors(rng, (2,))).step()


@of("Weight averaging")
@pytest.mark.parametrize("kind", ["EMA", "SWA"])
def test_average_of_weights(recipe, rng, kind):
    expected, seen = arrays(recipe.average), []
    for n in range(5):
        with mt.no_grad():
            for parameter in recipe.net.parameters():
                parameter += mt.from_numpy(rng.standard_normal(parameter.shape).astype(np.float32))
        recipe.net(recipe.x[:9])            # other statistics
        seen.append(arrays(recipe.net))
        decay = 0.9 if kind == "EMA" else n / (n + 1)
        recipe.update_average(decay)
        expected = [decay * mean + (1 - decay) * now for mean, now in zip(expected, seen[-1], strict=True)]
    if kind == "SWA":
        expected = [np.mean(values, axis=0) for values in zip(*seen, strict=True)]
    for found, mean in zip(arrays(recipe.average), expected, strict=True):
        np.testing.assert_allclose(found, mean, rtol=0, atol=128 * EPS)     # 5 steps of 3 roundings, below 8
    for found, buffer in zip(recipe.average.buffers(), recipe.net.buffers(), strict=True):
        np.testing.assert_array_equal(found.numpy(), buffer.numpy())
    assert recipe.net.training and not any(module.training for module in recipe.average.modules())


@of("No weight decay for biases and norms")
def test_only_matrices_decay(recipe):
    """By a step of gradients of 0: what remains is (1 - lr weight_decay) of what decays."""
    before = arrays(recipe.net)
    for parameter in recipe.net.parameters():
        parameter.grad = mt.zeros_like(parameter)
    recipe.optimizer.step()
    assert sorted(array.ndim for array in before) == [1, 1, 1, 1, 2, 2]
    for old, new in zip(before, arrays(recipe.net), strict=True):
        np.testing.assert_allclose(new, old * (1 - 1e-3 * 0.01 if old.ndim == 2 else 1), rtol=2 * EPS)
    assert sum(len(group["params"]) for group in recipe.optimizer.param_groups) == len(before)


@of("Gradient accumulation")
def test_accumulated_gradients_are_those_of_the_batch(recipe, rng):
    """Of a softmax regression, whose gradients are (p - one_hot)^T x / n and the sum of (p - one_hot) / n."""
    weight = recipe.net[-1]
    step = recipe.step_over
    step.__globals__.update(net=weight, optimizer=mt.optim.SGD(weight.parameters(), lr=0.5))
    x, = tensors(rng, (12, 32))
    labels = rng.integers(10, size=12)
    old, bias = arrays(weight)
    a = x.detach().numpy()
    scores = np.exp(a @ old.T + bias)
    error = (scores / scores.sum(1, keepdims=True) - np.eye(10)[labels]) / 12
    weight.weight.grad = mt.ones(10, 32)            # what was there before does not count
    step([(x[i : i + 4].detach(), mt.tensor(labels[i : i + 4])) for i in (0, 4, 8)])
    new, new_bias = arrays(weight)
    close = {"rtol": 0, "atol": 100 * EPS}             # 12 products of numbers of about 1
    np.testing.assert_allclose(new, old - 0.5 * error.T @ a, **close)
    np.testing.assert_allclose(new_bias, bias - 0.5 * error.sum(0), **close)


@of("Freezing layers")
def test_frozen_layers_stay_and_the_last_is_trained(recipe):
    net = recipe.net
    frozen, statistics = arrays(net[:-1]), [buffer.numpy().copy() for buffer in net.buffers()]
    weight, bias = arrays(net[-1])
    nn.functional.cross_entropy(net(recipe.x[:8]), recipe.y[:8]).backward()
    recipe.optimizer.step()
    for old, new in zip([*frozen, *statistics], [*arrays(net[:-1]), *[b.numpy() for b in net.buffers()]], strict=True):
        np.testing.assert_array_equal(old, new)
    for old, parameter in ((weight, net[-1].weight), (bias, net[-1].bias)):
        expected = old - np.float32(0.1) * parameter.grad.numpy()
        assert (expected != old).any()
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=4 * EPS, atol=EPS)
    net[:-1].requires_grad_()
    recipe.optimizer.add_param_group({"params": net[:-1].parameters()})


# -- around the loop


@of("Summary table")
def test_summary_counts_parameters(recipe, capsys):
    recipe.summary(recipe.net, recipe.x[:5])
    rows = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows[:-1]] == [["0", "Linear"], ["1", "BatchNorm1d"], ["2", "ReLU"], ["3", "Linear"]]
    assert [row[2].rsplit(maxsplit=1) for row in rows[:-1]] == [
        ["(5, 32)", "2,080"], ["(5, 32)", "64"], ["(5, 32)", "0"], ["(5, 10)", "330"]]       # 65 * 32, 2 * 32, 33 * 10
    assert rows[-1] == ["2,474"]


@of("A step without Python")
def test_captured_step_trains_as_the_function(recipe):
    eager = copy.deepcopy((recipe.net, recipe.optimizer))
    batches = [(recipe.x[64 * i:64 * (i + 1)], recipe.y[64 * i:64 * (i + 1)]) for i in range(4)]
    losses = []
    for x, y in batches:
        recipe.own_x.copy_(x)
        recipe.own_y.copy_(y)
        losses.append(recipe.step().item())
    trained = arrays(recipe.net)
    net, optimizer = eager
    for (x, y), loss in zip(batches, losses, strict=True):
        optimizer.zero_grad()
        found = nn.functional.cross_entropy(net(x), y)
        found.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        assert found.item() == loss
    for found, expected in zip(arrays(net), trained, strict=True):
        np.testing.assert_array_equal(found, expected)


@of("Prefetching")
def test_prefetched_batches_are_the_same_one_ahead(recipe):
    plain = mt.data.DataLoader(recipe.loader.dataset, batch_size=100)
    for (a, b), (c, d) in zip(recipe.prefetched(plain), plain, strict=True):
        assert (a == c).all() and (b == d).all()

    made, threads = [], set()

    def numbers(n):
        for i in range(n):
            made.append(i)
            threads.add(threading.current_thread())
            yield i
        raise OSError("the file has ended")

    batches = recipe.prefetched(numbers(5))
    assert next(batches) == 0
    batches.close()                     # as break does; it waits for the batch that is under way
    assert made == [0, 1] and threading.current_thread() not in threads
    assert not any(thread.is_alive() for thread in threads)
    with pytest.raises(OSError, match="the file has ended"):
        list(recipe.prefetched(numbers(2)))


@pytest.fixture
def tensorboard():
    """The package, or the test is skipped: before its recipe runs."""
    return pytest.importorskip("tensorboardX")


def events(path, tensorboard):
    """The records of a file: a length of 8 bytes, its checksum of 4, an event, and the checksum of that."""
    data, start = path.read_bytes(), 0
    while start < len(data):
        length, = struct.unpack_from("<Q", data, start)
        yield tensorboard.proto.event_pb2.Event.FromString(data[start + 12 : start + 12 + length])
        start += 12 + length + 4


@of("Logging to TensorBoard")
def test_tensorboard_is_given_the_history(tensorboard, recipe, tmp_path):
    path, = (tmp_path / "runs/digits").iterdir()
    logged = [(event.step, value.tag, value.simple_value) for event in events(path, tensorboard)
              for value in event.summary.value]
    history = recipe.history
    assert logged == [(epoch, name, np.float32(history[name][epoch - 1])) for epoch in (1, 2, 3) for name in history]
