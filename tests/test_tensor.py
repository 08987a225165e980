"""Tensor: how it is made, read, shown, copied, combined and written."""

import copy
import operator
import pickle
import re
from fractions import Fraction

import numpy as np
import pytest

import microtensor as mt
from microtensor.ops.registry import registered_ops

ADD_TO = (operator.iadd, operator.isub, operator.imul, operator.itruediv)


def random_tensor(rng, *shape, dtype=np.float64, requires_grad=False):
    return mt.tensor(np.asarray(rng.uniform(0.5, 2, shape), dtype), requires_grad=requires_grad)


# -- made from data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (1.5, mt.float32, ()),
        (3, mt.int64, ()),
        (True, mt.bool, ()),
        ([1.0, 2.0], mt.float32, (2,)),
        ([[1, 2], [3, 4]], mt.int64, (2, 2)),
        (((1, 2.0), (3, 4)), mt.float32, (2, 2)),
        ([True, False], mt.bool, (2,)),
        ([True, 2], mt.int64, (2,)),
        ([], mt.float32, (0,)),
        ([[], []], mt.float32, (2, 0)),
        (np.float64(1), mt.float64, ()),
        (np.int32(1), mt.int32, ()),
        ([np.int32(1), np.int32(2)], mt.int32, (2,)),
        ([np.bool_(True)], mt.bool, (1,)),
    ],
)
def test_tensor_infers_dtype_and_shape(data, dtype, shape):
    x = mt.tensor(data)
    assert (x.dtype, x.shape) == (dtype, shape)
    assert x.is_leaf and not x.requires_grad and x.grad is None


@pytest.mark.parametrize("name", ["bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64"])
def test_tensor_keeps_the_dtype_of_arrays_and_tensors(name):
    array = np.ones((2, 3), name)
    for data in (array, mt.from_numpy(array), [array, array], [mt.from_numpy(array)], [array[0, 0]]):
        assert mt.tensor(data).dtype == array.dtype


def test_tensor_takes_a_dtype():
    assert mt.tensor([1, 0], dtype=mt.bool).tolist() == [True, False]
    assert mt.tensor([1.9], dtype=mt.int64).tolist() == [1]
    assert mt.tensor(0.1, dtype=mt.float64).item() == 0.1
    assert mt.tensor(np.ones(2), dtype=mt.float32).dtype == mt.float32


@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, lambda x: x[::2, ::-1]])
def test_tensor_copies(layout, rng):
    array = layout(rng.standard_normal((4, 4)))
    expected = array.copy()
    for x in (mt.tensor(array), mt.tensor(mt.from_numpy(array))):
        assert x.is_contiguous() and not np.shares_memory(x.numpy(), array)
        array += 1
        np.testing.assert_array_equal(x.numpy(), expected)
        array -= 1
        array[...] = expected


def test_tensor_of_tensors_stacks_their_numbers():
    x = mt.tensor([1.0, 2.0], requires_grad=True)
    y = mt.tensor([x, x * 2, [5, 6]])
    assert y.tolist() == [[1, 2], [2, 4], [5, 6]]
    assert y.is_leaf and not y.requires_grad


@pytest.mark.parametrize(
    "data", [1j, "text", None, [None], b"bytes", np.float16(1), np.zeros(2, ">f4"), np.zeros(2, np.longdouble), {1: 2}]
)
def test_tensor_refuses_what_it_cannot_hold(data):
    with pytest.raises(TypeError, match="convert it first"):
        mt.tensor(data)


def test_tensor_refuses_ragged_lists():
    with pytest.raises(ValueError, match="regular"):
        mt.tensor([[1, 2], [3]])


@pytest.mark.parametrize("data", [2**63, [2**63], [2**63, -1], [[1], [-(2**63) - 1]], (2**70, True)])
def test_tensor_refuses_ints_beyond_int64(data):
    for use in (lambda: mt.tensor(data), lambda: mt.tensor(data, dtype=mt.int64)):
        with pytest.raises(OverflowError):
            use()
    numbers = np.array(data, np.float64)
    assert mt.tensor(data, dtype=mt.float64).tolist() == numbers.tolist()


def test_tensor_takes_the_largest_ints():
    assert mt.tensor([2**63 - 1, -(2**63)]).tolist() == [2**63 - 1, -(2**63)]
    assert mt.tensor(np.uint64(2**63)).item() == 2**63 == mt.tensor([2**63], dtype=np.uint64).item()
    assert mt.tensor([1.5, 2**63]).dtype == mt.float32


@pytest.mark.parametrize("dtype", [mt.int64, mt.int32, mt.uint8, mt.bool])
def test_integers_cannot_require_gradients(dtype):
    for make in (
        lambda: mt.tensor([1], dtype=dtype, requires_grad=True),
        lambda: mt.zeros(2, dtype=dtype, requires_grad=True),
        lambda: mt.zeros(2, dtype=dtype).requires_grad_(),
        lambda: setattr(mt.zeros(2, dtype=dtype), "requires_grad", True),
    ):
        with pytest.raises(RuntimeError, match=f"require a gradient, not {dtype}"):
            make()
    assert not mt.zeros(2, dtype=dtype).requires_grad_(False).requires_grad


def test_from_numpy_shares_memory(rng):
    array = rng.standard_normal((3, 4))[:, ::2]
    x = mt.from_numpy(array)
    assert np.shares_memory(x.numpy(), array) and x.numpy().strides == array.strides
    array[0, 0] = 7
    assert x[0, 0].item() == 7
    x.zero_()
    assert not array.any()
    with pytest.raises(TypeError, match="complex128"):
        mt.from_numpy(np.zeros(2, complex))
    with pytest.raises(TypeError, match="list"):
        mt.from_numpy([1.0])


# -- made from a shape -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(), (3,), (2, 0), (2, 3)])
@pytest.mark.parametrize("name", ["empty", "zeros", "ones", "rand", "randn"])
def test_creation_takes_sizes_either_way(name, size):
    function = getattr(mt, name)
    for x in (function(size), function(list(size)), *([function(*size)] if size else [])):
        assert (x.shape, x.dtype, x.requires_grad) == (size, mt.float32, False)
        assert x.is_contiguous()
    assert function(size, dtype=mt.float64).dtype == mt.float64
    assert function(size, requires_grad=True).requires_grad


@pytest.mark.parametrize("name", ["empty", "zeros", "ones", "rand", "randn", "full"])
@pytest.mark.parametrize("like", [mt.float32, mt.float64])
def test_like_takes_shape_and_dtype(name, like):
    function, rest = getattr(mt, f"{name}_like"), (7,) if name == "full" else ()
    x = function(mt.zeros(2, 3, dtype=like), *rest)
    assert (x.shape, x.dtype) == ((2, 3), like)
    assert function(x, *rest, dtype=mt.float32).dtype == mt.float32
    assert function(x, *rest, requires_grad=True).requires_grad


@pytest.mark.parametrize("function", [mt.empty, mt.zeros, mt.ones, mt.rand, mt.randn])
def test_creation_refuses_bad_sizes(function):
    with pytest.raises(ValueError, match="-1"):
        function(2, -1)
    with pytest.raises(TypeError):
        function(2.5)
    with pytest.raises(TypeError):
        function(2, dtype=complex)


def test_filled_tensors_hold_their_number():
    assert mt.zeros(2, dtype=mt.int64).tolist() == [0, 0]
    assert mt.ones(2, dtype=mt.bool).tolist() == [True, True]
    assert mt.full((2,), 0.5).tolist() == [0.5, 0.5]
    assert mt.full((), 3).item() == 3
    assert [mt.full((1,), value).dtype for value in (1.0, 1, True)] == [mt.float32, mt.int64, mt.bool]
    assert mt.full_like(mt.zeros(2, dtype=mt.int64), 4).tolist() == [4, 4]
    np.testing.assert_array_equal(mt.eye(2, 3).numpy(), np.eye(2, 3))
    np.testing.assert_array_equal(mt.eye(3).numpy(), np.eye(3))


@pytest.mark.parametrize(
    ("arguments", "expected", "dtype"),
    [
        ((3,), [0, 1, 2], mt.int64),
        ((3.0,), [0, 1, 2], mt.float32),
        ((1, 4), [1, 2, 3], mt.int64),
        ((5, 0, -2), [5, 3, 1], mt.int64),
        ((0, 1, 0.25), [0, 0.25, 0.5, 0.75], mt.float32),
        ((0,), [], mt.int64),
        ((True,), [0], mt.int64),
        ((0, 2, np.float32(0.5)), [0, 0.5, 1, 1.5], mt.float32),
        ((0, 2, np.array(0.5)), [0, 0.5, 1, 1.5], mt.float32),
        ((0, 2, mt.tensor(0.5)), [0, 0.5, 1, 1.5], mt.float32),
        ((np.float16(2.5),), [0, 1, 2], mt.float32),
        ((np.float64(2.5),), [0, 1, 2], mt.float32),
        ((mt.tensor(1), np.uint8(3)), [1, 2], mt.int64),
    ],
)
def test_arange_counts(arguments, expected, dtype):
    x = mt.arange(*arguments)
    assert (x.tolist(), x.dtype) == (expected, dtype)


def test_arange_refuses_a_step_of_zero():
    with pytest.raises(ValueError, match="step"):
        mt.arange(0, 3, 0)


def test_creation_refuses_to_lose_a_gradient():
    x = mt.tensor(1.0, requires_grad=True)
    for use in (lambda: mt.arange(0, 3, x), lambda: mt.full((2,), x)):
        with pytest.raises(RuntimeError, match="detach"):
            use()


def test_creation_refuses_numbers_out_of_an_integers_range():
    for use in (
        lambda: mt.arange(250, 260, dtype=mt.uint8),
        lambda: mt.arange(5, -5, -1, dtype=mt.uint8),
        lambda: mt.arange(0.0, 300.0, dtype=mt.uint8),
        lambda: mt.arange(2**63 - 2, 2**63 + 1),
        lambda: mt.randint(0, 1000, (5,), dtype=mt.uint8),
        lambda: mt.randint(-1, 5, (5,), dtype=mt.uint8),
        lambda: mt.full((2,), float("nan"), dtype=mt.int64),
        lambda: mt.full((2,), 300, dtype=mt.uint8),
        lambda: mt.full((2,), mt.tensor(300.5), dtype=mt.uint8),
        lambda: mt.full_like(mt.ones(2, dtype=mt.int8), np.float32(128)),
    ):
        with pytest.raises(OverflowError, match=r"does not fit into u?int"):
            use()
    assert mt.arange(250, 256, dtype=mt.uint8).tolist() == [250, 251, 252, 253, 254, 255]
    assert mt.arange(5, -1, -5, dtype=mt.uint8).tolist() == [5, 0]
    assert mt.arange(2**63 - 2, 2**63).tolist() == [2**63 - 2, 2**63 - 1]
    assert mt.arange(255, 255, dtype=mt.int8).tolist() == []
    assert mt.arange(0, 2, 0.5, dtype=mt.uint8).tolist() == [0, 0, 1, 1]
    assert mt.arange(2**64, 2**65, 2**64, dtype=mt.float32).tolist() == [2.0**64]
    assert mt.randint(255, 256, (2,), dtype=mt.uint8).tolist() == [255, 255]
    assert mt.full((1,), 126.9, dtype=mt.int8).tolist() == [126]
    assert mt.full((1,), 300, dtype=mt.bool).tolist() == [True]


def test_full_takes_one_number():
    for value in ([1, 2], np.ones(1), "3"):
        with pytest.raises(TypeError, match="full takes ints and floats"):
            mt.full((2,), value, dtype=mt.float32)
    assert mt.full((2,), mt.tensor(3)).tolist() == [3, 3]
    assert mt.full((2,), np.float64(0.5)).dtype == mt.float64


@pytest.mark.parametrize("number", [Fraction(1, 4), 0.25j, "1", np.longdouble(1), np.ones(1), mt.ones(2), [1]])
def test_arange_refuses_what_is_no_number(number):
    for use in (lambda: mt.arange(number), lambda: mt.arange(0, 3, number)):
        with pytest.raises(TypeError, match=f"arange takes ints and floats, not a {type(number).__name__}"):
            use()


@pytest.mark.parametrize("function", [mt.rand, mt.randn, lambda n, **k: mt.randint(0, 1000, (n,), **k), mt.randperm])
def test_random_tensors_follow_the_seed_and_the_generator(function):
    mt.manual_seed(3)
    first, second = function(50).tolist(), function(50).tolist()
    assert first != second
    mt.manual_seed(3)
    assert function(50).tolist() == first
    assert function(50, generator=mt.Generator(3)).tolist() == first
    assert function(50).tolist() == second, "a generator of one's own must leave the default one alone"


# NumPy asks a matrix for its rows, and each row, a matrix, for its rows, until the stack overflows.
@pytest.mark.parametrize("seed", [-1, 0.5, "1", [1], np.ones((2, 2), int).view(np.matrix)], ids=repr)
@pytest.mark.parametrize("use", [
    mt.Generator, mt.manual_seed,
    lambda seed: mt.gradcheck(mt.tanh, [mt.ones(2, dtype=mt.float64, requires_grad=True)], seed=seed),
    lambda seed: mt.check_function(np.copy, lambda g, *_: g, [np.ones(2)], seed=seed),
    lambda seed: mt.check_optimizer(lambda params: mt.optim.SGD(params, lr=0.1), seed=seed),
    lambda seed: mt.gradcheck.check_clipping(mt.nn.utils.clip_grad_norm_, seed=seed),
    lambda seed: mt.gradcheck.check_op(registered_ops()["Tanh"], seed),
], ids=["Generator", "manual_seed", "gradcheck", "check_function", "check_optimizer", "check_clipping", "check_op"])
def test_seed_is_an_int(use, seed):
    with pytest.raises(ValueError, match="a seed is an int of at least 0, got "):
        use(seed)


def test_seed_may_be_an_int_of_numpy():
    assert mt.rand(5, generator=mt.Generator(np.uint8(3))).tolist() == mt.rand(5, generator=mt.Generator(3)).tolist()


@pytest.mark.parametrize("number", [2.5, np.float64(2), mt.tensor(2.0), np.arange(3), "2", None])
def test_random_integers_refuse_what_is_no_int(number):
    with pytest.raises(TypeError, match=f"randperm: n must be an int, not a {type(number).__name__}"):
        mt.randperm(number)
    with pytest.raises(TypeError, match=f"randint: low must be an int, not a {type(number).__name__}"):
        mt.randint(number, 3)
    if number is not None:
        with pytest.raises(TypeError, match=f"randint: high must be an int, not a {type(number).__name__}"):
            mt.randint(0, number, (3,))


def test_random_integers_refuse_empty_ranges():
    with pytest.raises(ValueError, match="n must be at least 0, got -1"):
        mt.randperm(-1)
    for low, high in ((3, 3), (0, -1)):
        with pytest.raises(ValueError, match=f"low below high, got {low} and {high}"):
            mt.randint(low, high, (2,))
    assert mt.randperm(0).shape == (0,) and mt.randperm(np.int8(1)).tolist() == [0]
    assert mt.randint(mt.tensor(2), np.array(3), (2,)).tolist() == [2, 2]


def test_random_tensors_have_their_distribution():
    # Uniform: mean 1/2, deviation 1/sqrt(12). Standard errors of n draws are below 1/sqrt(n); five of them are allowed.
    n = 40_000
    uniform, normal = mt.rand(n).numpy(), mt.randn(n).numpy()
    assert uniform.min() >= 0 and uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 5 / np.sqrt(n) and abs(uniform.std() - 12**-0.5) < 5 / np.sqrt(n)
    assert abs(normal.mean()) < 5 / np.sqrt(n) and abs(normal.std() - 1) < 5 / np.sqrt(n)
    integers = mt.randint(-2, 3, (500,)).numpy()
    assert set(integers.tolist()) == {-2, -1, 0, 1, 2}
    assert sorted(mt.randperm(20).tolist()) == list(range(20))


# -- read and shown --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: mt.tensor(18.0), "tensor(18.)"),
        (lambda: mt.tensor([1.0, 2.5]), "tensor([1. , 2.5])"),
        (lambda: mt.tensor([1, 2]), "tensor([1, 2])"),
        (lambda: mt.tensor([True]), "tensor([ True])"),
        (lambda: mt.tensor([1.0], dtype=mt.float64), "tensor([1.], dtype=float64)"),
        (lambda: mt.tensor([1], dtype=mt.uint8), "tensor([1], dtype=uint8)"),
        (lambda: mt.zeros(0, 3), "tensor([], shape=(0, 3))"),
        (lambda: mt.ones(1, requires_grad=True), "tensor([1.], requires_grad=True)"),
        (lambda: mt.ones(1, requires_grad=True).exp(), "tensor([2.7183], grad_fn=<Exp>)"),
        (lambda: mt.tensor([[1, 2], [3, 4]]), "tensor([[1, 2],\n        [3, 4]])"),
    ],
)
def test_repr(make, expected):
    assert repr(make()) == str(make()) == f"{make()}" == expected


def test_repr_of_many_elements_is_short():
    assert len(repr(mt.zeros(1000, 1000))) < 500


def test_format_of_one_element():
    assert f"{mt.tensor(1.5):.3f}" == "1.500"
    assert f"{mt.tensor([7]):04d}" == "0007"


def test_attributes(rng):
    x = random_tensor(rng, 2, 3, dtype=np.float32)
    assert (x.shape, x.size(), x.size(1), x.size(-1)) == ((2, 3), (2, 3), 3, 3)
    assert (x.ndim, x.dim(), x.numel(), len(x), x.dtype) == (2, 2, 6, 2, mt.float32)
    assert x.is_contiguous() and not x.T.is_contiguous() and x.T.contiguous().is_contiguous()
    assert x.contiguous() is x
    assert x.T.shape == (3, 2)


@pytest.mark.parametrize("value", [2.5, 3, True])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_item_is_a_python_number(value, shape):
    x = mt.full(shape, value)
    assert type(x.item()) is type(value) and x.item() == value
    assert (float(x), int(x), bool(x)) == (float(value), int(value), bool(value))
    assert x.reshape(()).tolist() == value


@pytest.mark.parametrize("read", [lambda x: x.item(), float, int, bool])
@pytest.mark.parametrize("shape", [(2,), (0,), (2, 3)])
def test_numbers_need_one_element(read, shape):
    with pytest.raises(ValueError, match=str(shape).replace("(", r"\(").replace(")", r"\)")):
        read(mt.zeros(shape))


def test_index_protocol():
    letters = "abc"
    assert letters[mt.tensor(2)] == letters[mt.tensor([2], dtype=mt.uint8)] == "c"
    assert list(range(mt.tensor(3))) == [0, 1, 2]
    with pytest.raises(TypeError, match="float32"):
        letters[mt.tensor(1.0)]


def test_len_iter_and_in(rng):
    x = random_tensor(rng, 3, 2, requires_grad=True)
    rows = list(x)
    assert len(rows) == len(x) == 3
    for row, expected in zip(rows, x.detach().numpy(), strict=True):
        np.testing.assert_array_equal(row.detach().numpy(), expected)
    rows[1].backward(mt.tensor([3.0, 4.0], dtype=mt.float64))
    assert x.grad.tolist() == [[0, 0], [3, 4], [0, 0]]
    assert x[0, 0].item() in x and 9.0 not in x
    for read in (len, list):
        with pytest.raises(TypeError, match="0-d"):
            read(mt.tensor(1.0))


def test_any_and_all():
    assert mt.tensor([0, 2]).any().item() is True and mt.tensor([0, 2]).all().item() is False
    assert mt.tensor([1.0, float("nan")]).all().item() is True
    assert mt.zeros(0).any().item() is False and mt.zeros(0).all().item() is True


def test_numpy_shares_memory_and_refuses_where_a_gradient_is_required(rng):
    x = random_tensor(rng, 2, 3)
    x.numpy()[0, 0] = 5
    assert x[0, 0].item() == 5
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert not np.shares_memory(np.array(x), x.numpy()) and np.asarray(x, np.float32).dtype == np.float32
    x.requires_grad_()
    for read in (lambda: x.numpy(), lambda: np.asarray(x), lambda: (x * 2).numpy()):
        with pytest.raises(RuntimeError, match=r"detach\(\)"):
            read()
    assert np.shares_memory(x.detach().numpy(), x.data.numpy())
    with mt.no_grad():
        assert (x * 2).numpy().shape == (2, 3)


def test_detach_shares_memory_and_versions(rng):
    x = random_tensor(rng, 3, requires_grad=True)
    y = (x * x).sum()
    d = x.detach()
    assert d.is_leaf and not d.requires_grad and np.shares_memory(d.numpy(), x.data.numpy())
    d.zero_()
    assert not x.any()
    with pytest.raises(RuntimeError, match="written in place"):
        y.backward()


def test_assigning_data_replaces_the_numbers(rng):
    x, new = random_tensor(rng, 3, requires_grad=True), random_tensor(rng, 2)
    x.data = new
    assert x.shape == (2,) and x.requires_grad and x.is_leaf and np.shares_memory(x.detach().numpy(), new.numpy())
    with pytest.raises(RuntimeError, match="int64"):
        x.data = mt.zeros(2, dtype=mt.int64)
    assert x.dtype == mt.float64


def test_clone_copies_and_passes_the_gradient(rng):
    x, g = random_tensor(rng, 2, 3, requires_grad=True), random_tensor(rng, 2, 3)
    y = x.clone()
    assert not np.shares_memory(y.detach().numpy(), x.detach().numpy())
    y.backward(g)
    np.testing.assert_array_equal(x.grad.numpy(), g.numpy())
    assert not np.shares_memory(x.grad.numpy(), g.numpy())


@pytest.mark.parametrize(
    ("method", "dtype"), [("float", mt.float32), ("double", mt.float64), ("long", mt.int64), ("bool", mt.bool)]
)
def test_conversions(method, dtype):
    for x in (mt.tensor([0.0, 2.7]), mt.tensor([0, 2]), mt.tensor([False, True])):
        y = getattr(x, method)()
        assert y.dtype == dtype and y.tolist() == x.numpy().astype(dtype).tolist()
        assert (y is x) == (x.dtype == dtype)


def test_conversion_refuses_other_dtypes():
    with pytest.raises(TypeError, match="complex128"):
        mt.ones(2).to(complex)
    with pytest.raises(TypeError, match="dtype"):
        mt.ones(2).to("no dtype")


# -- copied as an object ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("dtype", [mt.float32, mt.int64, mt.bool])
def test_deep_copies_and_pickles_keep_everything_but_memory(copied, dtype, rng):
    x = mt.tensor(rng.integers(0, 2, (3, 2))).to(dtype)
    x.requires_grad_(dtype == mt.float32)
    y = copied(x)
    assert type(y) is mt.Tensor and (y.dtype, y.requires_grad, y.is_leaf) == (x.dtype, x.requires_grad, True)
    np.testing.assert_array_equal(y.detach().numpy(), x.detach().numpy())
    assert not np.shares_memory(y.detach().numpy(), x.detach().numpy())
    view = copied(mt.from_numpy(np.arange(12.0).reshape(3, 4)[::-1, ::2]))
    assert view.tolist() == [[8, 10], [4, 6], [0, 2]]


def test_deepcopy_copies_the_gradient_too(rng):
    x = random_tensor(rng, 3, requires_grad=True)
    x.grad = random_tensor(rng, 3)
    y = copy.deepcopy(x)
    assert y.grad.tolist() == x.grad.tolist() and not np.shares_memory(y.grad.numpy(), x.grad.numpy())


def test_only_leaves_are_copied_as_objects(rng):
    y = random_tensor(rng, 3, requires_grad=True) * 2
    for copied in (copy.deepcopy, pickle.dumps):
        with pytest.raises(RuntimeError, match=r"detach\(\)"):
            copied(y)


def test_shared_tensors_stay_shared_in_a_deep_copy():
    x = mt.ones(2)
    first, second = copy.deepcopy([x, x])
    assert first is second


# -- combined --------------------------------------------------------------------------------------------------

ARITHMETIC = (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow)


@pytest.mark.parametrize("function", ARITHMETIC)
@pytest.mark.parametrize(
    "other", [2, 2.5, np.float64(1.5), np.int64(3), np.array([1.0, 2.0, 3.0]), np.array(2.0)], ids=repr
)
def test_operators_take_numbers_and_arrays_on_either_side(function, other, rng):
    x = random_tensor(rng, 2, 3, requires_grad=True)
    array = x.detach().numpy()
    for y, expected in ((function(x, other), function(array, other)), (function(other, x), function(other, array))):
        assert type(y) is mt.Tensor and y.dtype == mt.float64 and y.requires_grad
        # pow is libm's, so its last digit may differ from NumPy's; the others are correctly rounded
        np.testing.assert_allclose(y.detach().numpy(), expected, rtol=4 * 2**-52 if function is operator.pow else 0)


def test_matmul_takes_arrays_on_either_side(rng):
    x, array = random_tensor(rng, 2, 3), rng.standard_normal((3, 3))
    for y, expected in ((x @ array, x.numpy() @ array), (array @ x.T, array @ x.numpy().T)):
        assert type(y) is mt.Tensor
        np.testing.assert_allclose(y.numpy(), expected, rtol=0, atol=5 * 2**-52 * 3 * 2 * np.abs(array).max())


def test_unary_operators(rng):
    x = mt.tensor(rng.standard_normal(5))
    assert (+x) is x
    np.testing.assert_array_equal((-x).numpy(), -x.numpy())
    np.testing.assert_array_equal(abs(x).numpy(), np.abs(x.numpy()))
    np.testing.assert_array_equal((~(x > 0)).numpy(), x.numpy() <= 0)
    np.testing.assert_array_equal((~mt.tensor([0, 5])).numpy(), [-1, -6])


def test_array_operands_are_copied(rng):
    """The graph keeps what the array held when the operator ran."""
    x, array = random_tensor(rng, 3, requires_grad=True), rng.standard_normal(3)
    expected = array.copy()
    y = x * array
    array[:] = 0
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_in_place_operator_of_an_array_is_refused(rng):
    """NumPy would write into the array, where nothing can be recorded."""
    array, x = rng.standard_normal(3), random_tensor(rng, 3, requires_grad=True)
    before = array.copy()
    with pytest.raises(TypeError, match=re.escape("array + x")):
        array += x
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("function", ARITHMETIC + (operator.matmul,) + ADD_TO)
@pytest.mark.parametrize("other", ["text", None, [1.0, 2.0], object()], ids=lambda x: type(x).__name__)
def test_operators_refuse_other_things(function, other):
    for operands in ((mt.ones(2), other), (other, mt.ones(2))):
        if function is operator.iadd and isinstance(operands[0], list):
            continue        # list += anything iterable is the list's own affair
        with pytest.raises(TypeError):
            function(*operands)


@pytest.mark.parametrize(("function", "ours"), [
    (np.sin, None), (np.isnan, None), (np.exp, "mt.exp"), (np.abs, "mt.abs"), (np.negative, "mt.neg"),
    (np.add.reduce, None), (lambda x: np.maximum(np.ones(2), x), "mt.maximum"),
    (lambda x: np.subtract(x, np.ones(2)), "mt.sub"),
])
def test_numpy_functions_name_the_way_out(function, ours):
    for x in (mt.ones(2), mt.ones(2, requires_grad=True)):
        with pytest.raises(TypeError, match=re.escape("x.detach().numpy()")) as error:
            function(x)
        assert (ours is None) == ("mt." not in str(error.value)) and (ours or "") in str(error.value)


@pytest.mark.parametrize(
    "function", [operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge], ids=lambda f: f.__name__
)
def test_comparisons_give_bool_tensors(function, rng):
    a, b = rng.integers(0, 3, (2, 4, 3)).astype(np.float32)
    a[0, 0] = np.nan
    x = mt.tensor(a, requires_grad=True)
    for other in (mt.tensor(b), b, 1, 1.0, b[0], np.float32(1)):
        array = other.numpy() if isinstance(other, mt.Tensor) else other
        for y, expected in ((function(x, other), function(a, array)), (function(other, x), function(array, a))):
            assert type(y) is mt.Tensor and y.dtype == mt.bool and not y.requires_grad
            np.testing.assert_array_equal(y.numpy(), expected)


def test_comparison_with_other_things():
    x = mt.ones(2)
    assert (x == None) is False and (x != None) is True and (x == "text") is False  # noqa: E711
    with pytest.raises(TypeError):
        x < "text"  # noqa: B015


def test_comparison_of_a_python_float_is_in_the_tensors_dtype():
    assert (mt.tensor([0.1]) == 0.1).item() and not (mt.tensor([0.1]) == mt.tensor([0.1], dtype=mt.float64)).item()


def test_hash_is_identity():
    x, y = mt.ones(2), mt.ones(2)
    assert len({x, y, x}) == 2 and {x: 1}[x] == 1


@pytest.mark.parametrize("function", [operator.and_, operator.or_, operator.xor], ids=lambda f: f.__name__)
def test_logic(function):
    a, b = np.array([True, True, False, False]), np.array([True, False, True, False])
    for other in (mt.tensor(b), b, True):
        expected = function(a, b if other is not True else True)
        np.testing.assert_array_equal(function(mt.tensor(a), other).numpy(), expected)
        np.testing.assert_array_equal(function(other, mt.tensor(a)).numpy(), expected)
    assert function(mt.tensor([6]), mt.tensor([3])).item() == function(6, 3)
    for operands in ((mt.tensor([1.0]), mt.tensor([1.0])), (mt.tensor(a), None), (mt.tensor(a), "text")):
        with pytest.raises(TypeError):
            function(*operands)


# -- dtypes combined -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        # within a kind, the larger type
        ((mt.float32, (2,)), (mt.float64, (2,)), mt.float64),
        ((mt.int32, (2,)), (mt.int64, (2,)), mt.int64),
        ((mt.uint8, (2,)), (mt.int8, (2,)), mt.int16),
        # across kinds, the higher kind alone decides
        ((mt.float32, (2,)), (mt.int64, (2,)), mt.float32),
        ((mt.bool, (2,)), (mt.int8, (2,)), mt.int8),
        ((mt.float32, (2,)), (mt.bool, (2,)), mt.float32),
        # a 0-d tensor counts only if it is of a higher kind
        ((mt.float32, (2,)), (mt.float64, ()), mt.float32),
        ((mt.float64, ()), (mt.float32, (2,)), mt.float32),
        ((mt.int8, (2,)), (mt.int64, ()), mt.int8),
        ((mt.int64, (2,)), (mt.float64, ()), mt.float64),
        ((mt.bool, (2,)), (mt.int32, ()), mt.int32),
        ((mt.float32, ()), (mt.float64, ()), mt.float64),
        ((mt.float32, (0,)), (mt.float64, ()), mt.float32),
    ],
)
def test_promotion_of_two_tensors(a, b, expected):
    x, y = (mt.ones(shape, dtype=dtype) for dtype, shape in (a, b))
    for function in (operator.add, operator.mul):
        assert function(x, y).dtype == function(y, x).dtype == expected
    quotient = expected if expected.kind == "f" else mt.float32
    assert (x / y).dtype == quotient
    assert mt.where(mt.tensor(True), x, y).dtype == expected


@pytest.mark.parametrize(
    ("dtype", "number", "expected"),
    [
        (mt.float32, 1.5, mt.float32),
        (mt.float64, 1.5, mt.float64),
        (mt.float64, 1, mt.float64),
        (mt.float32, np.float64(1.5), mt.float32),
        (mt.int32, 2, mt.int32),
        (mt.int64, 1.5, mt.float32),
        (mt.bool, 1, mt.int64),
        (mt.bool, 1.5, mt.float32),
        (mt.int8, True, mt.int8),
    ],
)
def test_promotion_of_a_python_number(dtype, number, expected):
    for shape in ((2,), ()):
        x = mt.ones(shape, dtype=dtype)
        assert (x + number).dtype == (number + x).dtype == expected


def test_promotion_converts_gradients_back(rng):
    single = random_tensor(rng, 3, dtype=np.float32, requires_grad=True)
    double = random_tensor(rng, 3, requires_grad=True)
    y, g = single * double, random_tensor(rng, 3)
    assert y.dtype == mt.float64
    y.backward(g)
    assert (single.grad.dtype, double.grad.dtype) == (mt.float32, mt.float64)
    np.testing.assert_array_equal(single.grad.numpy(), (g.numpy() * double.detach().numpy()).astype(np.float32))


def test_integer_arithmetic_is_exact():
    x = mt.tensor([2**62, 7, -7])
    assert (x + 1).tolist() == [2**62 + 1, 8, -6] and (x - x).tolist() == [0, 0, 0]
    assert (mt.tensor([7, -7]) / 2).tolist() == [3.5, -3.5]
    assert (mt.tensor([3]) ** 4).tolist() == [81]
    assert (2 ** mt.tensor([3, 4])).tolist() == [8, 16]


# -- written in place ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ADD_TO, ids=lambda f: f.__name__)
def test_in_place_operators_write_where_nothing_is_recorded(function, rng):
    x, other = random_tensor(rng, 2, 3), random_tensor(rng, 3)
    view, expected = x[0], function(x.numpy().copy(), other.numpy())
    kept, memory = x, x.numpy()
    x = function(x, other)
    assert x is kept and np.shares_memory(x.numpy(), memory)
    np.testing.assert_array_equal(memory, expected)
    np.testing.assert_array_equal(view.numpy(), expected[0])


@pytest.mark.parametrize("function", ADD_TO, ids=lambda f: f.__name__)
def test_in_place_operators_refuse_leaves_that_require_gradients(function, rng):
    x = random_tensor(rng, 3, requires_grad=True)
    before = x.detach().numpy().copy()
    for other in (1.0, random_tensor(rng, 3), random_tensor(rng, 3, requires_grad=True)):
        with pytest.raises(RuntimeError, match="leaf"):
            function(x, other)
    np.testing.assert_array_equal(x.detach().numpy(), before)
    with mt.no_grad():
        kept = x
        x = function(x, 2.0)
    assert x is kept and x.is_leaf
    np.testing.assert_array_equal(x.detach().numpy(), function(before, 2.0))


@pytest.mark.parametrize("function", ADD_TO, ids=lambda f: f.__name__)
def test_in_place_operators_record_under_the_same_name(function, rng):
    """x += y on a computed x is x = x + y: the gradient is right whatever else saved x."""
    leaf, g = random_tensor(rng, 3, requires_grad=True), random_tensor(rng, 3)
    x = leaf.exp()
    old = x
    x = function(x, leaf)
    assert x is not old and x.requires_grad
    actual = mt.grad(x, leaf, g)[0]
    e, a = leaf.detach().exp(), leaf.detach()
    expected = {
        operator.iadd: e + 1, operator.isub: e - 1, operator.imul: e * a + e, operator.itruediv: e / a - e / (a * a)
    }[function]
    np.testing.assert_allclose(actual.numpy(), (g * expected).numpy(), rtol=16 * 2**-52, atol=16 * 2**-52 * 8)


def test_in_place_operator_on_a_plain_tensor_takes_up_a_gradient(rng):
    x, w = random_tensor(rng, 3), random_tensor(rng, 3, requires_grad=True)
    before, old = x.numpy().copy(), x
    x += w
    assert x.requires_grad and not old.requires_grad
    np.testing.assert_array_equal(old.numpy(), before)


def test_in_place_operator_keeps_shape_and_dtype(rng):
    x = mt.ones(3)
    with pytest.raises(RuntimeError, match=r"\(2, 3\).*\(3,\)"):
        x += mt.ones(2, 3)
    assert x.tolist() == [1, 1, 1]
    kept = x
    x += mt.ones(3, dtype=mt.float64)
    assert x is kept and x.dtype == mt.float32 and x.tolist() == [2, 2, 2]
    x += 1
    assert x.tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("x", "other"),
    [
        (mt.tensor([1, 2]), 1.5),
        (mt.tensor([1, 2]), mt.tensor([0.5, 0.5])),
        (mt.tensor([1, 2], dtype=mt.uint8), 1.5),
        (mt.tensor([True, False]), 1),
        (mt.tensor([True, False]), 0.5),
    ],
)
def test_in_place_operator_refuses_a_higher_kind(x, other):
    before = x.tolist()
    with pytest.raises(RuntimeError, match=str(x.dtype)):
        x += other
    assert x.tolist() == before


def test_in_place_division_of_integers_is_refused():
    x = mt.tensor([1, 2])
    with pytest.raises(RuntimeError, match="int64"):
        x /= 2
    assert x.tolist() == [1, 2]


def test_copy_broadcasts_and_converts(rng):
    x = mt.zeros(2, 3, dtype=mt.float32)
    assert x.copy_(mt.tensor([1.0, 2.0, 3.0], dtype=mt.float64)) is x
    assert x.tolist() == [[1, 2, 3]] * 2
    assert x.copy_(np.array([[5], [6]])).tolist() == [[5] * 3, [6] * 3]
    assert x.copy_(7).tolist() == [[7] * 3] * 2
    assert x.fill_(0.5).tolist() == [[0.5] * 3] * 2 and x.zero_().tolist() == [[0] * 3] * 2
    assert mt.zeros(2, dtype=mt.int64).copy_(mt.tensor([1.9, -1.9])).tolist() == [1, -1]
    assert mt.zeros(2, dtype=mt.int64).fill_(2**62 + 1).tolist() == [2**62 + 1] * 2


def test_copy_of_overlapping_memory():
    x = mt.arange(6.0)
    x[1:].copy_(x[:-1])
    assert x.tolist() == [0, 0, 1, 2, 3, 4]


def test_copy_refuses_and_changes_nothing(rng):
    x = random_tensor(rng, 2, 3)
    before = x.numpy().copy()
    with pytest.raises(ValueError, match=r"\(2,\).*\(2, 3\)"):
        x.copy_(mt.ones(2))
    with pytest.raises(TypeError, match="list"):
        x.copy_([1.0, 2.0, 3.0])
    with pytest.raises(RuntimeError, match="detach"):
        x.copy_(mt.ones(3, requires_grad=True))
    for write in (lambda: x.copy_(0), lambda: x.fill_(0), lambda: x.zero_(), lambda: operator.setitem(x, 0, 0)):
        x.requires_grad_()
        with pytest.raises(RuntimeError, match="leaf"):
            write()
        x.requires_grad_(False)
    np.testing.assert_array_equal(x.numpy(), before)


@pytest.mark.parametrize(
    "key",
    [0, -1, slice(None, None, 2), (slice(None), 1), Ellipsis, (0, 1), [0, 2], np.array([2, 0]), mt.tensor([0, 0, 1])],
    ids=str,
)
def test_setitem_is_numpys(key, rng):
    x, value = random_tensor(rng, 3, 4), 9.0
    expected = x.numpy().copy()
    expected[key.numpy() if isinstance(key, mt.Tensor) else key] = value
    x[key] = value
    np.testing.assert_array_equal(x.numpy(), expected)


def test_setitem_takes_masks_tensors_and_arrays(rng):
    x = random_tensor(rng, 3, 4)
    array = x.numpy().copy()
    mask = x > 1
    x[mask] = 0
    array[array > 1] = 0
    np.testing.assert_array_equal(x.numpy(), array)
    x[1] = mt.tensor([1, 2, 3, 4])
    x[:, 0] = np.array([7.0, 8.0, 9.0])
    assert x[1].tolist() == [8, 2, 3, 4]
    x[0] += 1
    assert x[0, 0].item() == 8


def test_setitem_refuses_and_changes_nothing(rng):
    x = random_tensor(rng, 3, requires_grad=True)
    y = (x * x).sum()
    before = x.detach().numpy().copy()
    for key, value, error in (
        (0, [1.0], TypeError), (0, "text", TypeError), (9, 1.0, IndexError), (slice(2), mt.ones(3), ValueError),
    ):
        with mt.no_grad(), pytest.raises(error):
            x[key] = value
    with pytest.raises(RuntimeError, match="leaf"):
        x[0] = 1.0
    with pytest.raises(RuntimeError, match="would not be recorded"):
        mt.zeros(3)[0] = x[0]
    np.testing.assert_array_equal(x.detach().numpy(), before)
    y.backward()        # a write that did not happen does not count as one
    np.testing.assert_array_equal(x.grad.numpy(), 2 * before)


# -- gradients as attributes -----------------------------------------------------------------------------------


def test_grad_setter_checks(rng):
    x = random_tensor(rng, 2, 3, requires_grad=True)
    g = random_tensor(rng, 2, 3)
    x.grad = g
    assert x.grad is g
    for wrong, error in (
        (mt.ones(3, dtype=mt.float64), RuntimeError), (mt.ones(2, 3), RuntimeError), (np.ones((2, 3)), TypeError),
        (1.0, TypeError),
    ):
        with pytest.raises(error, match="grad must"):
            x.grad = wrong
    assert x.grad is g
    x.zero_grad()
    assert x.grad is None
    x.grad = g
    x.grad = None
    assert x.grad is None


def test_requires_grad_setter(rng):
    x = random_tensor(rng, 2)
    x.requires_grad = True
    assert x.requires_grad and (x * 2).requires_grad
    x.requires_grad = False
    assert not (x * 2).requires_grad
    y = x.requires_grad_() * 2
    assert y.requires_grad_() is y
    with pytest.raises(RuntimeError, match=r"detach\(\)"):
        y.requires_grad = False
    assert y.requires_grad


def test_graph_attributes(rng):
    x, y = random_tensor(rng, 2, requires_grad=True), random_tensor(rng, 2)
    z = x * y
    assert (x.is_leaf, z.is_leaf, x.grad_fn) == (True, False, None)
    assert z.grad_fn.name == "Mul" and repr(z.grad_fn) == "<Mul>"
    assert z.grad_fn.next_functions[0] is x and z.grad_fn.next_functions[1] is None
    assert (z + x).grad_fn.next_functions[0] is z.grad_fn


def test_subclasses_keep_their_class():
    class Named(mt.Tensor):
        pass

    x = Named([1.0, 2.0], requires_grad=True)
    assert isinstance(copy.deepcopy(x), Named)
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]
