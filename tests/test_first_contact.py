"""The first hour: installing, README's lines, and what somebody new to microtensor writes."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from microtensor._cpu import supported_levels

import microtensor as mt
from microtensor import _isa_path, nn

ROOT = Path(__file__).parents[1]
NEEDS_SETUP = pytest.mark.skipif(
    os.name == "nt" or importlib.util.find_spec("setuptools") is None,
    reason="setup.py needs setuptools, which looks for Microsoft's compiler itself",
)


def run(*command, **options):
    """The finished process."""
    return subprocess.run(command, capture_output=True, text=True, **options)


# -- installing


@pytest.mark.parametrize("place", ["beside the clone", "in the clone", "elsewhere"])
def test_import_finds_the_package_from_every_place(place, tmp_path):
    """A folder of the package's name, as a clone is seen from the folder above it, does not stand for the package."""
    if place == "beside the clone":
        (tmp_path / "microtensor").mkdir()
    folder = ROOT if place == "in the clone" else tmp_path
    process = run(sys.executable, "-c", "import microtensor as mt; print(mt.tensor([1.0]))", cwd=folder)
    assert process.stdout == "tensor([1.])\n", process.stderr


@NEEDS_SETUP
@pytest.mark.parametrize("environment", [{"CC": "nonexistent"}, {"PATH": ""}], ids=["CC", "PATH"])
def test_missing_compiler_is_one_sentence_before_anything_else(environment, tmp_path):
    """egg_info is the first thing that pip asks setup.py for."""
    inherited = {name: value for name, value in os.environ.items() if name != "CC"}
    process = run(sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path), cwd=ROOT,
                  env={**inherited, **environment})
    assert process.returncode == 1 and not process.stdout and not any(tmp_path.iterdir())
    (line,) = process.stderr.splitlines()
    for system in ("Debian: apt install", "Fedora: dnf install", "macOS: xcode-select", "Windows: Visual Studio"):
        assert system in line


@NEEDS_SETUP
def test_source_archive_needs_no_compiler():
    environment = {**os.environ, "CC": "nonexistent"}
    process = run(sys.executable, "setup.py", "-q", "sdist", "--help", cwd=ROOT, env=environment)
    assert "nonexistent" not in process.stderr


TRANSLATE = """
import sys
import setuptools
setuptools.setup = lambda **options: None
sys.argv = ["setup.py", "sdist"]
import setup
(module,) = setup.translate(nthreads=0)
print(setup.Path(module.sources[0]).stat().st_mtime_ns)
"""


@NEEDS_SETUP
def test_source_is_translated_again_only_where_it_has_changed(tmp_path):
    """Not where only its date is new: all of Cython's and NumPy's own are, in each environment that pip builds in."""
    pytest.importorskip("Cython")
    (tmp_path / "setup.py").write_bytes((ROOT / "setup.py").read_bytes())
    source = tmp_path / "microtensor" / "one.pyx"
    source.parent.mkdir()

    def translated():
        process = run(sys.executable, "-c", TRANSLATE, cwd=tmp_path)
        assert process.returncode == 0, process.stderr
        return int(process.stdout.split()[-1])

    source.write_text("cpdef int one():\n    return 1\n")
    first = translated()
    later = first + 10**10
    os.utime(source, ns=(later, later))
    assert translated() == first
    source.write_text("cpdef int one():\n    return 2\n")
    os.utime(source, ns=(later, later))
    again = translated()
    assert again > first
    (tmp_path / "build" / "cython" / "microtensor" / "one.c").unlink()
    assert translated() > again


# -- README


LEVELS = [level for level in _isa_path.built_levels() if level in supported_levels()] or [None]


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("level", LEVELS)
def test_readme_example_prints_what_readme_says(level, threads, tmp_path):
    readme = (ROOT / "README.md").read_text()
    ((example, output),) = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", readme, re.DOTALL)
    settings = {"MICROTENSOR_NUM_THREADS": threads, **({"MICROTENSOR_ISA": level} if level else {})}
    process = run(sys.executable, "-W", "error", "-c", example, cwd=tmp_path, env={**os.environ, **settings})
    assert process.stdout == output, process.stderr


# -- NumPy arrays and NumPy's names

ARRAY = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
CLASSES = np.array([0, 2, 1, 1])
LAYERS = [
    nn.Linear(3, 2), nn.ReLU(), nn.LeakyReLU(), nn.ELU(), nn.SELU(), nn.Sigmoid(), nn.SiLU(), nn.Tanh(), nn.GELU(),
    nn.Softplus(), nn.Softmax(1), nn.LogSoftmax(1), nn.Dropout(0.0), nn.Dropout(0.5).eval(), nn.AlphaDropout(0.0),
    nn.BatchNorm1d(3), nn.BatchNorm1d(3).eval(), nn.LayerNorm(3), nn.LayerNorm((4, 3)), nn.Flatten(),
    nn.Sequential(nn.Flatten(), nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)),
]
FUNCTIONS = [
    mt.exp, mt.log, mt.sqrt, mt.neg, mt.abs, mt.sign, mt.square, mt.sum, mt.mean, mt.var, mt.std, mt.amax, mt.amin,
    mt.max, mt.min, mt.argmax, mt.argmin, mt.t, mt.clone, mt.squeeze, lambda x: mt.clamp(x, 0),
    lambda x: mt.logsumexp(x, 1),
    lambda x: mt.matmul(x, mt.reshape(x, (3, 4))), lambda x: mt.where(x > 0, mt.ones(1), x),
    lambda x: mt.cat([x, mt.ones(1, 3)]),
    lambda x: mt.stack([x, x]), lambda x: mt.reshape(x, (3, 4)), lambda x: mt.transpose(x, 0, 1),
    lambda x: mt.permute(x, (1, 0)), lambda x: mt.unsqueeze(x, 0), lambda x: mt.expand(x, (2, 4, 3)),
    lambda x: mt.to(x, mt.float64), lambda x: mt.index(x, 1),
]


@pytest.mark.parametrize("function", [*LAYERS, *FUNCTIONS], ids=lambda f: getattr(f, "__name__", None) or repr(f))
def test_functions_and_layers_take_arrays(function):
    given = np.abs(ARRAY) + 1 if function in (mt.log, mt.sqrt) else ARRAY.copy()
    results = [function(given), function(mt.tensor(given))]
    for ours, expected in zip(*[x if isinstance(x, tuple) else (x,) for x in results], strict=True):
        assert type(ours) is mt.Tensor and ours.dtype == expected.dtype
        np.testing.assert_array_equal(ours.detach().numpy(), expected.detach().numpy())


@pytest.mark.parametrize(("loss", "target"), [
    (nn.MSELoss(), ARRAY ** 2), (nn.L1Loss(), ARRAY ** 2), (nn.HuberLoss(), ARRAY ** 2),
    (nn.SmoothL1Loss(), ARRAY ** 2), (nn.BCEWithLogitsLoss(), ARRAY ** 2),
    (nn.CrossEntropyLoss(), CLASSES), (nn.CrossEntropyLoss(label_smoothing=0.1), CLASSES), (nn.NLLLoss(), CLASSES),
    (nn.CrossEntropyLoss(), np.full((4, 3), 1 / 3, np.float32)), (mt.cross_entropy, CLASSES), (mt.mse_loss, ARRAY ** 2),
    (lambda x, t: mt.binary_cross_entropy(mt.sigmoid(x), t), ARRAY ** 2),
])
def test_losses_take_arrays(loss, target):
    x = mt.tensor(ARRAY, requires_grad=True)
    expected = loss(x, mt.tensor(target))
    for input in (x, ARRAY):
        assert loss(input, target).item() == expected.item()
    (gradient,), (expected_gradient,) = mt.grad(loss(x, target), x), mt.grad(expected, x)
    np.testing.assert_array_equal(gradient.numpy(), expected_gradient.numpy())


def test_embedding_takes_an_array():
    layer = nn.Embedding(3, 2)
    np.testing.assert_array_equal(layer(CLASSES).detach().numpy(), layer(mt.tensor(CLASSES)).detach().numpy())


def test_one_hot_takes_an_array():
    assert nn.functional.one_hot(CLASSES, 3).tolist() == nn.functional.one_hot(mt.tensor(CLASSES), 3).tolist()
    with pytest.raises(TypeError, match="integer Tensor or NumPy array, not float32"):
        nn.functional.one_hot(ARRAY)


def test_array_is_copied_for_the_graph():
    x, weight = ARRAY.copy(), mt.ones(2, 3, requires_grad=True)
    y = mt.linear(x, weight)
    x[:] = 0
    y.sum().backward()
    np.testing.assert_allclose(weight.grad.numpy(), [ARRAY.sum(0)] * 2, rtol=1e-6)


@pytest.mark.parametrize("layer", [nn.Linear(3, 2), nn.BatchNorm1d(3), nn.LayerNorm(3)])
def test_array_of_another_dtype_names_the_way_out(layer):
    """np.random gives float64, and a new layer is float32: a layer converts neither, as with tensors."""
    with pytest.raises(TypeError, match=r"float64.*float32.*\.astype\(dtype\)"):
        layer(ARRAY.astype(np.float64))
    assert layer(ARRAY.astype(np.float64).astype(np.float32)).dtype == mt.float32


@pytest.mark.parametrize("wrong", [[1.0, 2.0], 2.0, None, "text"], ids=lambda x: type(x).__name__)
def test_what_is_no_tensor_and_no_array_names_the_way_out(wrong):
    for function in (mt.relu, nn.Linear(2, 1), mt.sum, lambda x: mt.mse_loss(mt.ones(2), x)):
        with pytest.raises(TypeError, match=rf"(input|target) must be .* not {type(wrong).__name__}: .* mt\.tensor\("):
            function(wrong)


REDUCING = ["sum", "mean", "var", "std", "max", "min", "amax", "amin", "argmax", "argmin", "logsumexp"]


@pytest.mark.parametrize("name", [*REDUCING, "softmax", "log_softmax"])
@pytest.mark.parametrize("way", ["function", "method"])
def test_axis_and_keepdims_are_dim_and_keepdim(name, way):
    x = mt.tensor(ARRAY)
    call = (lambda **k: getattr(mt, name)(x, **k)) if way == "function" else getattr(x, name)
    spellings = [{"dim": 1}, {"axis": 1}]
    if name in REDUCING:
        spellings = [{**a, b: True} for a, b in zip(spellings, ("keepdim", "keepdims"), strict=True)]
    expected, *found = [y if isinstance(y, tuple) else (y,) for y in (call(**k) for k in spellings)]
    for ys in found:
        for y, wanted in zip(ys, expected, strict=True):
            assert y.shape == wanted.shape and y.numpy().tolist() == wanted.numpy().tolist()
    for dim in (0, 1):
        with pytest.raises(TypeError, match="dim and axis are two names of one argument"):
            call(dim=dim, axis=1)


@pytest.mark.parametrize("function", [mt.cat, mt.stack])
def test_axis_of_cat_and_stack(function):
    parts = [mt.tensor(ARRAY), mt.tensor(ARRAY)]
    assert function(parts, axis=1).tolist() == function(parts, dim=1).tolist() == function(parts, 1).tolist()
    assert function(parts, axis=0).tolist() == function(parts).tolist()
    with pytest.raises(TypeError, match="two names"):
        function(parts, 0, axis=1)


@pytest.mark.parametrize("function", [mt.softmax, mt.log_softmax, mt.Tensor.softmax])
def test_softmax_without_a_dim_names_the_way_out(function):
    with pytest.raises(TypeError, match="dim=-1"):
        function(mt.ones(2))


# -- targets


@pytest.mark.parametrize("target", [
    mt.tensor([0.0, 2.0, 1.0, 1.0]), mt.tensor([[0], [2], [1], [1]]), mt.tensor([[0.0], [2.0], [1.0], [1.0]]),
    mt.tensor([[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 0]]),
], ids=["floats", "a column", "a column of floats", "one-hot rows"])
@pytest.mark.parametrize("loss", [mt.cross_entropy, mt.nll_loss])
def test_way_out_of_class_labels_that_do_not_fit(loss, target):
    """Doing what the messages say gives the loss of the labels as they were meant."""
    x = mt.tensor(ARRAY)
    while target.shape != (4,) or target.dtype != mt.int64:
        with pytest.raises((ValueError, TypeError)) as error:
            loss(x, target)
        target = eval(re.search(r"use (target\..*)$", str(error.value))[1], {"target": target})
    assert loss(x, target).item() == loss(x, mt.tensor(CLASSES)).item()


@pytest.mark.parametrize("loss", [
    mt.mse_loss, mt.l1_loss, mt.huber_loss, mt.smooth_l1_loss, mt.binary_cross_entropy_with_logits])
def test_way_out_of_a_column_against_a_vector(loss):
    x, target = mt.tensor([[0.5], [0.25]]), mt.tensor([1.0, 0.0])
    with pytest.raises(ValueError, match=r"\.reshape\(\(2, 1\)\)"):
        loss(x, target)
    assert loss(x, target.reshape((2, 1))).shape == ()
    with pytest.raises(TypeError, match=r"\.to\(dtype\)"):
        loss(x, mt.tensor([[1], [0]]))


# -- a step without a gradient


def test_first_step_without_a_gradient_warns_once():
    model = nn.Linear(3, 2)
    optimizer = mt.optim.SGD(model.parameters(), lr=0.1)
    before = model.weight.tolist()
    with pytest.warns(UserWarning, match=r"no parameter has a gradient: call loss\.backward\(\)") as caught:
        optimizer.step()
        optimizer.step()
    assert len(caught) == 1 and caught[0].filename == __file__
    assert model.weight.tolist() == before


@pytest.mark.parametrize("momentum", [0, 0.9])
def test_step_without_a_gradient_after_one_with_is_silent(momentum):
    model = nn.Linear(3, 2)
    optimizer = mt.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)
    model(mt.ones(1, 3)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.step()                                # warnings are errors


def test_first_step_with_one_gradient_of_two_is_silent():
    used, unused = mt.ones(2, requires_grad=True), mt.ones(2, requires_grad=True)
    optimizer = mt.optim.SGD([unused, used], lr=0.5)
    used.sum().backward()
    optimizer.step()
    assert used.tolist() == [0.5, 0.5] and unused.tolist() == [1, 1]
