"""Indexing and views: PyTorch's rules where NumPy's differ, versions, read-only memory."""

import numpy as np
import pytest

import microtensor as mt


def test_index_applies_integers_before_arrays():
    x = mt.arange(24).reshape(2, 3, 4)
    picked = x[0, :, mt.tensor([0, 1, 1, 0, 1])]
    assert picked.shape == (3, 5)
    np.testing.assert_array_equal(picked.numpy(), x.numpy()[0][:, [0, 1, 1, 0, 1]])
    np.testing.assert_array_equal(x[1, ..., None, [3, 0]].numpy(), x.numpy()[1][..., None, [3, 0]])


def test_index_by_a_bool_goes_along_no_dimension():
    x = mt.arange(12).reshape(3, 4)
    for bool_ in (True, np.True_, np.array(True)):
        assert x[bool_, 2].tolist() == [[8, 9, 10, 11]]
        assert x[2, bool_].tolist() == [[8, 9, 10, 11]]
        assert x[bool_, :, 2].tolist() == [[2, 6, 10]]
    assert x[False, 2].shape == (0, 4)


def test_index_by_an_empty_list_is_empty():
    assert mt.ones(3, 2)[[]].shape == (0, 2)


@pytest.mark.parametrize("key", [0, np.int64(0), -3, (0,), (np.int32(0), Ellipsis), slice(0, 1)], ids=repr)
def test_index_view_shares_the_version(key, rng):
    base = mt.from_numpy(rng.standard_normal((3, 2)))
    w = mt.ones(2, dtype=mt.float64, requires_grad=True)
    y = (base[key] * w).sum()
    base.fill_(7.0)
    with pytest.raises(RuntimeError, match="written in place"):
        y.backward()
    assert w.grad is None


def test_index_of_one_element_is_a_view():
    x = mt.zeros(3)
    x[1].fill_(9.0)
    assert x.tolist() == [0, 9, 0]


def test_max_indices_are_the_users_own(rng):
    x = mt.from_numpy(rng.standard_normal((3, 4))).requires_grad_()
    values, indices = x.max(1)
    where = indices.numpy().copy()
    indices.zero_()
    values.backward(mt.ones(3, dtype=mt.float64) * 2)
    np.testing.assert_array_equal(x.grad.numpy(), 2.0 * (np.arange(4) == where[:, None]))


def test_expand_refuses_writes():
    x = mt.zeros(1, 3)
    with pytest.raises(ValueError, match="read-only"):
        x.expand(2, 3).fill_(1.0)
    assert x.tolist() == [[0, 0, 0]]


def test_read_only_memory_is_never_written():
    array = np.ones(4, np.float32)
    array.flags.writeable = False
    parameter = mt.from_numpy(array).requires_grad_()
    (parameter * 2).sum().backward()
    with pytest.raises(ValueError, match="read-only"):
        mt.optim.SGD([parameter], lr=0.1).step()
    with mt.no_grad(), pytest.raises(ValueError, match="read-only"):
        parameter.zero_()
    statistics = mt.from_numpy(array)
    with pytest.raises(ValueError, match="read-only"):
        mt.batch_norm(mt.randn(3, 4), mt.zeros(4), statistics, training=True)
    assert array.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("other", [mt.zeros(2), mt.zeros(4, dtype=mt.float64)], ids=["shape", "dtype"])
def test_data_replaced_by_another_kind_is_noticed_by_backward(other):
    x = mt.zeros(4, requires_grad=True)
    (x * 1).sum().backward()
    before = x.grad.numpy().copy()
    x.data = other
    with pytest.raises(RuntimeError, match="replaced"):
        (x * 1).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), before)


def test_data_replaced_is_noticed_by_second_order():
    x = mt.tensor([2.0, 3.0], requires_grad=True)
    y = (x * x * x).sum()
    x.data = mt.tensor([5.0, 5.0])
    with pytest.raises(RuntimeError, match="replaced since forward"):
        mt.grad(y, x, create_graph=True)


def test_cat_names_both_shapes():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)"):
        mt.cat([mt.ones(2, 3), mt.ones(2, 4)])


def test_matmul_names_both_shapes():
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(4, 5\)"):
        mt.ones(2, 3) @ mt.ones(4, 5)
