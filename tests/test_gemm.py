"""The matrix product: against its definition, over shapes, layouts, threads and instruction sets."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from microtensor._cpu import supported_levels

import microtensor as mt
from microtensor import _isa_path
from microtensor.kernels import gemm

# Around every edge: of tiles (rows 6, 12, columns 4 to 32), of four, five, eight and 32 tiles (24, 30, 48, 60, 96, 192,
# 384 rows), of blocks (192 or 384 deep), of steps that are far (64 or 128 elements).
EDGES = (4, 6, 8, 12, 16, 24, 30, 32, 48, 60, 64, 96, 128, 192, 256, 384)
SIZES = sorted({0, 1, 2, 3, 5, 7, 31, 97, 131, 193, 300} | {edge + shift for edge in EDGES for shift in (-1, 0, 1)})


def contiguous(x):
    return x


def transposed(x):
    return np.asfortranarray(x)


def sliced(x):
    """Gaps of nan between the elements, in both directions."""
    padded = np.full((3 * x.shape[0] + 1, 2 * x.shape[1] + 1), np.nan, x.dtype)
    view = padded[1 : 3 * x.shape[0] + 1 : 3, 1 : 2 * x.shape[1] + 1 : 2]
    view[...] = x
    return view


def reversed_(x):
    """Negative strides in both directions."""
    return np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]


def padded_rows(x):
    """Contiguous rows, nan between them."""
    wide = np.full((x.shape[0], x.shape[1] + 3), np.nan, x.dtype)
    wide[:, : x.shape[1]] = x
    return wide[:, : x.shape[1]]


def split_vectors(x):
    """Contiguous, and 16 bytes beside a cache line, as NumPy's memory often is: vectors lie across two of them."""
    memory = np.empty(x.nbytes + 128, np.uint8)
    begin = -memory.ctypes.data % 64 + 16
    beside = memory[begin : begin + x.nbytes].view(x.dtype).reshape(x.shape)
    beside[...] = x
    return beside


def broadcast_rows(x):
    """Row 0 everywhere, with a stride of 0."""
    return np.broadcast_to(x[:1], x.shape)


LAYOUTS = (contiguous, transposed, sliced, reversed_, padded_rows, split_vectors)


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = mt.get_num_threads()
    mt.set_num_threads(request.param)
    yield request.param
    mt.set_num_threads(before)


def assert_product(actual, a, b, start=None):
    """Within (k + 2) eps |A||B|: k products and k - 1 sums, in whatever order, and one more for the sum's start.

    Against float64, whose own error is of another order where a is float32 and of the same where it is float64.
    """
    exact = a.astype(np.float64) @ b.astype(np.float64)
    size = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    if start is not None:
        exact, size = exact + start, size + np.abs(start)
    eps, k = np.finfo(a.dtype).eps, a.shape[1]
    assert actual.shape == exact.shape and actual.dtype == a.dtype
    assert (np.abs(actual - exact) <= (k + 2) * eps * size).all(), (a.shape, b.shape)


def random_matrices(rng, m, k, n, dtype):
    return rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)


# -- the product -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_product_over_random_shapes_and_layouts(dtype, threads, rng):
    for _ in range(400):
        m, k, n = rng.choice(SIZES, 3)
        a, b = random_matrices(rng, m, k, n, dtype)
        layout_a, layout_b = rng.choice(LAYOUTS, 2)
        start = rng.standard_normal((m, n)).astype(dtype) if rng.random() < 0.5 else None
        out = None if start is None else start.copy()
        result = gemm.product(layout_a(a), layout_b(b), out)
        assert out is None or result is out
        assert_product(result, a, b, start)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout_a", LAYOUTS)
@pytest.mark.parametrize("layout_b", LAYOUTS)
@pytest.mark.parametrize("shape", [(5, 7, 3), (13, 257, 17), (145, 31, 49), (1, 300, 70), (70, 300, 1), (2, 1, 3000),
                                   (101, 397, 1100)])
def test_product_of_every_pair_of_layouts(dtype, layout_a, layout_b, shape, rng):
    """Few tiles and many, one row or one column, and more columns than a block of B, also where all is packed."""
    a, b = random_matrices(rng, *shape, dtype)
    assert_product(gemm.product(layout_a(a), layout_b(b)), a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("layout_b", [contiguous, padded_rows, transposed])
def test_product_of_few_rows(m, layout_b, dtype, threads, rng):
    """As of a small batch: all ends of vectors, of the columns that are summed at once, and of the rows added at once.

    And its transpose, of few columns, where C's rows are not the row that a single column is turned into.
    """
    for n in (1, 3, 4, 7, 8, 9, 16, 19, 33, 1030):
        for k in (1, 2, 5, 8, 15, 16, 17, 64, 300):
            a, b = random_matrices(rng, m, k, n, dtype)
            start = rng.standard_normal((m, n)).astype(dtype)
            assert_product(gemm.product(padded_rows(a), layout_b(b)), a, b)
            assert_product(gemm.product(a, layout_b(b), start.copy()), a, b, start)
            assert_product(gemm.product(layout_b(b).T, padded_rows(a).T), b.T, a.T)
            assert_product(gemm.product(layout_b(b).T, a.T, start.T.copy()), b.T, a.T, start.T)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_product_of_vectors_is_the_same_however_they_lie(dtype, threads, rng):
    """Sums of many float32 products in two orders differ in their fifth digit."""
    x, y, rows = (rng.standard_normal(shape).astype(dtype) for shape in (70_001, 70_001, (3, 70_001)))
    apart = [mt.tensor(np.repeat(v, 2))[::2] for v in (x, y)]
    assert not any(v.is_contiguous() for v in apart)
    assert (apart[0] @ apart[1]).item() == (mt.tensor(x) @ mt.tensor(y)).item()
    assert (mt.tensor(rows) @ apart[0]).tolist() == (mt.tensor(rows) @ mt.tensor(x)).tolist()
    assert (apart[0] @ mt.tensor(rows.T)).tolist() == (mt.tensor(x) @ mt.tensor(rows.T)).tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_product_across_blocks(dtype, threads, rng):
    """Wider than a block of B (256 or 512 columns, by L2), deeper than one, with rows a page apart (1024 or more).

    The last has more rows than are kept packed, for more than two blocks.
    """
    for shape in ((3, 300, 2100), (150, 10, 2049), (2100, 17, 3), (290, 520, 40), (100, 300, 1100), (1030, 270, 140),
                  (1600, 200, 2200)):
        a, b = random_matrices(rng, *shape, dtype)
        assert_product(gemm.product(a, b), a, b)
        assert_product(gemm.product(a, transposed(b)), a, b)
        assert_product(gemm.product(transposed(a), b), a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_product_around_the_work_that_pays_for_a_thread(dtype, threads, rng):
    """2^21 multiplications are worth two threads, 3 * 2^20 three: one row less and one more, in each direction."""
    for edge in (2**21, 3 * 2**20):
        for shape in ((128, edge // 128 // 64, 64), (64, edge // 64 // 128, 128), (7, edge // 7 // 11, 11)):
            for axis in range(3):
                for shift in (-1, 0, 1):
                    m, k, n = (size + shift * (d == axis) for d, size in enumerate(shape))
                    a, b = random_matrices(rng, m, k, n, dtype)
                    start = rng.standard_normal((m, n)).astype(dtype)
                    assert_product(gemm.product(a, b, start.copy()), a, b, start)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_product_of_broadcast_matrices(dtype, threads, rng):
    for m, k, n in ((5, 7, 3), (100, 90, 80), (130, 300, 140)):
        a, b = random_matrices(rng, m, k, n, dtype)
        rows, columns = broadcast_rows(a), broadcast_rows(b.T).T
        assert_product(gemm.product(rows, b), rows, b)
        assert_product(gemm.product(rows.T, transposed(b[:1].repeat(m, 0))), rows.T, b[:1].repeat(m, 0))
        assert_product(gemm.product(a, columns), a, columns)
        assert_product(gemm.product(rows, columns), rows, columns)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_product_over_many_shapes(dtype, threads, rng):
    """Every number of rows and columns of a few tiles, at depths around none, one and two blocks."""
    for m in range(1, 27):
        for n in range(1, 67):
            k = int(rng.choice([1, 2, 17, 255, 256, 257, 511, 513]))
            a, b = random_matrices(rng, m, k, n, dtype)
            layout_a, layout_b = rng.choice(LAYOUTS, 2)
            assert_product(gemm.product(layout_a(a), layout_b(b)), a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_product_is_the_definition(dtype, threads, rng):
    """Of small integers every sum is exact, so both must give the same bits."""
    for _ in range(150):
        m, k, n = rng.choice(SIZES[:24], 3)
        a, b = (rng.integers(-8, 9, shape).astype(dtype) for shape in ((m, k), (k, n)))
        layout_a, layout_b = rng.choice(LAYOUTS, 2)
        fast = gemm.product(layout_a(a), layout_b(b))
        naive = gemm.product(layout_a(a), layout_b(b), naive=True)
        np.testing.assert_array_equal(naive, a @ b)
        np.testing.assert_array_equal(fast, naive)
        start = rng.integers(-8, 9, (m, n)).astype(dtype)
        fast, naive = gemm.product(a, b, start.copy()), gemm.product(a, b, start.copy(), naive=True)
        np.testing.assert_array_equal(naive, start + a @ b)
        np.testing.assert_array_equal(fast, naive)


@pytest.mark.parametrize("naive", [False, True])
@pytest.mark.parametrize("shape", [(0, 5, 3), (4, 0, 3), (4, 5, 0), (0, 0, 0), (300, 0, 300), (0, 300, 300)])
def test_product_of_empty_matrices(shape, naive):
    m, k, n = shape
    a, b = np.ones((m, k)), np.ones((k, n))
    np.testing.assert_array_equal(gemm.product(a, b, naive=naive), np.zeros((m, n)))
    np.testing.assert_array_equal(gemm.product(a, b, np.full((m, n), 3.0), naive=naive), np.full((m, n), 3.0))


@pytest.mark.parametrize("shape", [(5, 7, 3), (50, 60, 70)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_product_spreads_nan_and_inf_along_their_row_and_column(value, shape, rng):
    a, b = random_matrices(rng, *shape, np.float32)
    a[2, 3] = value
    b[3, 1] = 0                     # 0 times either is nan
    y = gemm.product(a, b)
    assert not np.isfinite(y[2]).any() and np.isnan(y[2, 1])
    assert np.isfinite(np.delete(y, 2, axis=0)).all()


@pytest.mark.parametrize("shape", [(5, 7, 3), (50, 60, 70), (300, 300, 300)])
def test_product_writes_only_into_its_output(shape, threads, rng):
    m, _, n = shape
    a, b = random_matrices(rng, *shape, np.float32)
    before_a, before_b = a.copy(), b.copy()
    fence = np.full(m * n + 64, 5.0, np.float32)
    out = fence[32 : 32 + m * n].reshape(m, n)
    gemm.product(a, b, out)
    assert (fence[:32] == 5).all() and (fence[32 + m * n :] == 5).all()
    np.testing.assert_array_equal(a, before_a)
    np.testing.assert_array_equal(b, before_b)


def test_product_is_reproducible(threads, rng):
    a, b = random_matrices(rng, 200, 300, 100, np.float32)
    np.testing.assert_array_equal(gemm.product(a, b), gemm.product(a, b))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.ones((2, 3)), np.ones((2, 3))),
        (np.ones(3), np.ones((3, 2))),
        (np.ones((2, 3)), np.ones((3, 2), np.float32)),
        (np.ones((1, 2, 3)), np.ones((3, 2))),
        (np.ones((2, 3), int), np.ones((3, 2), int)),
        (np.ones((2, 3), complex), np.ones((3, 2), complex)),
    ],
)
def test_product_refuses_matrices(a, b):
    with pytest.raises(ValueError, match=rf"product needs.*{a.dtype}"):
        gemm.product(a, b)


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((3, 2)),
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2), order="F"),
        np.zeros((2, 4))[:, ::2],
        np.zeros(4),
    ],
)
def test_product_refuses_outputs(out):
    with pytest.raises(ValueError, match="out must be C-contiguous"):
        gemm.product(np.ones((2, 3)), np.ones((3, 2)), out)
    assert not out.any()


@pytest.mark.parametrize("number", [0, -1])
def test_number_of_threads_is_checked(number):
    before = mt.get_num_threads()
    with pytest.raises(ValueError, match="at least 1"):
        mt.set_num_threads(number)
    assert mt.get_num_threads() == before


# -- as an op --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shapes",
    [
        ((5, 7), (7, 3)),
        ((70, 300), (300, 40)),
        ((4, 30, 20), (20, 30)),
        ((2, 1, 9, 40), (3, 40, 30)),
        ((30, 40, 50), (30, 50, 41)),       # large enough together to be shared out among threads
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matmul_and_its_gradients_against_numpy(shapes, dtype, threads, rng):
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    x, y = (mt.tensor(array, requires_grad=True) for array in (a, b))
    z = x @ y
    g = rng.standard_normal(z.shape).astype(dtype)
    z.backward(mt.tensor(g))
    eps = np.finfo(dtype).eps
    a, b, g = (array.astype(np.float64) for array in (a, b, g))

    def assert_near(actual, left, right, terms):
        def summed(array):
            added = tuple(range(array.ndim - actual.ndim))
            array = array.sum(added)
            kept = tuple(d for d in range(actual.ndim) if actual.shape[d] == 1 != array.shape[d])
            return array.sum(kept, keepdims=True)

        bound = (terms + 2) * eps * summed(np.abs(left) @ np.abs(right))
        assert (np.abs(actual - summed(left @ right)) <= bound).all()

    batch = max(1, int(np.prod(z.shape[:-2])))
    assert_near(z.detach().numpy(), a, b, a.shape[-1])
    assert_near(x.grad.numpy(), g, b.swapaxes(-1, -2), batch * b.shape[-1])
    assert_near(y.grad.numpy(), a.swapaxes(-1, -2), g, batch * a.shape[-2])


@pytest.mark.parametrize("create_graph", [False, True])
def test_product_of_more_rows_than_can_be_counted_is_nothing(create_graph):
    """Without columns they take no memory, and must take no time."""
    rows = mt.zeros(1, 1, 0).expand(2**40, 2**20, 0)
    weight, bias = (mt.zeros(*shape, requires_grad=True) for shape in ((0, 0), (0,)))
    for function, shape in (
        (lambda x: mt.linear(x, weight, bias), (2**40, 2**20, 0)),
        (lambda x: x @ weight, (2**40, 2**20, 0)),
        (lambda x: weight @ x.transpose(-1, -2), (2**40, 0, 2**20)),
        (lambda x: x.transpose(-1, -2) @ x, (2**40, 0, 0)),
    ):
        x = rows.detach().requires_grad_()
        y = function(x)
        assert y.shape == shape
        for dx in mt.grad(y, [x, weight, bias], mt.zeros(*shape), create_graph=create_graph, allow_unused=True):
            assert dx is None or dx.numel() == 0


@pytest.mark.parametrize("dims", [31, 32, 33, 34, 35, 63, 64])
def test_matmul_in_many_dimensions(dims, rng):
    a, b, g = (rng.integers(-8, 9, shape).astype(float) for shape in ((4, 2, 3), (3, 5), (4, 2, 5)))      # exact
    x = mt.tensor(a.reshape((4,) + (1,) * (dims - 3) + (2, 3)), requires_grad=True)
    y = mt.tensor(b.reshape((1,) * (dims - 2) + (3, 5)), requires_grad=True)
    z = x @ y
    assert z.shape == (4,) + (1,) * (dims - 3) + (2, 5)
    z.backward(mt.tensor(g.reshape(z.shape)))
    np.testing.assert_array_equal(z.detach().numpy().reshape(g.shape), a @ b)
    np.testing.assert_array_equal(x.grad.numpy().reshape(a.shape), g @ b.T)
    np.testing.assert_array_equal(y.grad.numpy().reshape(b.shape), (a.swapaxes(1, 2) @ g).sum(0))
    with pytest.raises(ValueError, match=r"leading dimensions of shapes .* do not broadcast"):
        x @ mt.ones((3,) + (1,) * (dims - 3) + (3, 5), dtype=mt.float64)


def test_matmul_of_unaligned_and_packed_record_arrays(rng):
    """Elements that do not begin at a multiple of their size, or lie no whole number of elements apart."""
    a, b = rng.standard_normal((4, 5)), rng.standard_normal((5, 3))
    raw = np.zeros(a.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(np.float64).reshape(a.shape)
    unaligned[...] = a
    records = np.zeros(a.shape, [("flag", "i1"), ("value", "f8")])
    records["value"] = a
    for array in (unaligned, records["value"]):
        x = mt.from_numpy(array)
        assert_product((x @ mt.from_numpy(b)).numpy(), a, b)
        assert_product((mt.from_numpy(b.T.copy()) @ x.T).numpy(), b.T, a.T)
        assert_product(mt.linear(x, mt.from_numpy(b.T)).numpy(), a, b)


# -- instruction sets ------------------------------------------------------------------------------------------

TRAINING = """
import json
import numpy as np
import microtensor as mt
from microtensor import _isa_path

rng = np.random.default_rng(0)
x, labels = mt.tensor(rng.standard_normal((96, 40))), mt.tensor(rng.integers(0, 5, 96))
shapes = ((50, 40), (50,), (5, 50), (5,))
parameters = [mt.tensor(rng.standard_normal(shape) / 7, requires_grad=True) for shape in shapes]
losses = []
for _ in range(5):
    w1, b1, w2, b2 = parameters
    loss = mt.cross_entropy(mt.linear(mt.tanh(mt.linear(x, w1, b1)), w2, b2), labels)
    loss.backward()
    losses.append(loss.item())
    with mt.no_grad():
        for parameter in parameters:
            parameter -= 0.1 * parameter.grad
            parameter.grad = None
print(json.dumps([_isa_path.LEVEL, mt.core.__file__, losses, [p.detach().numpy().tolist() for p in parameters]]))
"""


def run_at(level, folder, script=TRAINING):
    environment = {**os.environ, "MICROTENSOR_ISA": level, "MICROTENSOR_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_instruction_sets_agree(tmp_path):
    levels = [level for level in _isa_path.built_levels() if level in supported_levels()]
    if not levels:
        pytest.skip("this build has no levels")
    results = []
    for level in levels:
        process = run_at(level, tmp_path)
        assert process.returncode == 0, process.stderr
        chosen, file, losses, parameters = json.loads(process.stdout)
        assert chosen == level and os.path.join("_isa", level) in file
        results.append((losses, parameters))
    # Levels differ in fused multiply-adds and in the order of sums. Five steps with 96 terms in the longest sums
    # round less than 5 * 2 * 96 times, each by eps/2 of numbers of size 1.
    bound = 5 * 96 * np.finfo(np.float64).eps
    for losses, parameters in results[1:]:
        np.testing.assert_allclose(losses, results[0][0], rtol=0, atol=bound)
        for ours, first in zip(parameters, results[0][1], strict=True):
            np.testing.assert_allclose(ours, first, rtol=0, atol=bound)


def test_unset_level_is_the_highest_usable(tmp_path):
    levels = [level for level in _isa_path.built_levels() if level in supported_levels()]
    process = run_at("", tmp_path, "from microtensor import _isa_path; print(_isa_path.LEVEL)")
    assert process.stdout.strip() == str(levels[-1] if levels else None)


@pytest.mark.skipif(not _isa_path.built_levels(), reason="this build has no levels")
def test_unknown_level_is_an_import_error_that_names_the_levels(tmp_path):
    process = run_at("nonsense", tmp_path, "import microtensor")
    assert process.returncode == 1
    last = process.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: MICROTENSOR_ISA=nonsense")
    assert all(repr(level) in last for level in (*_isa_path.built_levels(), *supported_levels()))
