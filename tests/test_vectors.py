"""Parameters as one vector and back, against NumPy."""

import numpy as np
import pytest

import microtensor as mt
from microtensor.nn.utils import parameters_to_vector, vector_to_parameters

SHAPES = [(3, 2), (), (5,), (0, 4), (2, 1, 7)]
N = 26


@pytest.fixture(params=[mt.float32, mt.float64], ids=str)
def parameters(request, rng):
    made = [mt.from_numpy(np.asarray(rng.standard_normal(shape), request.param)) for shape in SHAPES]
    made[0] = made[0].T.clone().T           # not contiguous
    return [mt.nn.Parameter(value) for value in made]


def arrays(parameters):
    return [parameter.detach().numpy().copy() for parameter in parameters]


def test_vector_holds_all_elements_in_order(parameters):
    expected = np.concatenate([array.ravel() for array in arrays(parameters)])
    for given in (parameters, tuple(parameters), iter(parameters)):
        vector = parameters_to_vector(given)
        np.testing.assert_array_equal(vector.detach().numpy(), expected)
        assert vector.shape == (N,) and vector.dtype == parameters[0].dtype and vector.requires_grad
    np.testing.assert_array_equal(parameters_to_vector(parameters[0]).detach().numpy(), expected[:6])


def test_vector_passes_gradients_on(parameters, rng):
    """Of sum c v^3, so that the second order is there: 3 c v^2 and 6 c v."""
    c = rng.standard_normal(N).astype(parameters[0].dtype)
    vector = parameters_to_vector(parameters)
    grads = mt.grad((mt.from_numpy(c) * vector * vector * vector).sum(), parameters, create_graph=True)
    v = vector.detach().numpy()
    # a few roundings of numbers below 3 * 4 * 4^2
    close = {"rtol": 0, "atol": 800 * np.finfo(c.dtype).eps}
    np.testing.assert_allclose(parameters_to_vector(grads).detach().numpy(), 3 * c * v**2, **close)
    for parameter, grad in zip(parameters, grads, strict=True):
        assert grad.shape == parameter.shape
    seconds = mt.grad(parameters_to_vector(grads).sum(), parameters)
    np.testing.assert_allclose(parameters_to_vector(seconds).numpy(), 6 * c * v, **close)


def test_parameters_take_the_vector_over(parameters, rng):
    vector = mt.from_numpy(rng.standard_normal(N).astype(parameters[0].dtype)).requires_grad_()
    memory = [parameter.detach().numpy() for parameter in parameters]
    assert vector_to_parameters(vector, iter(parameters)) is None
    np.testing.assert_array_equal(np.concatenate([array.ravel() for array in memory]), vector.detach().numpy())
    np.testing.assert_array_equal(parameters_to_vector(parameters).detach().numpy(), vector.detach().numpy())
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in parameters)
    vector.detach().zero_()
    assert all((array != 0).all() for array in memory)          # copied


def test_taking_a_vector_over_counts_as_a_write(parameters):
    loss = (parameters[4] * parameters[4]).sum()
    vector_to_parameters(parameters_to_vector(parameters), parameters)
    with pytest.raises(RuntimeError, match="written in place"):
        loss.backward()


def test_what_does_not_fit_changes_nothing(parameters):
    dtype, other = parameters[0].dtype, mt.float32 if parameters[0].dtype == mt.float64 else mt.float64
    ones = mt.ones(N, dtype=dtype)
    spread = mt.ones(1, dtype=dtype).expand(4)
    before = arrays(parameters)
    for vector, given, error, message in (
        (ones[1:], parameters, ValueError, r"must have shape \(26,\), .* got \(25,\)"),
        (mt.ones(N + 1, dtype=dtype), parameters, ValueError, r"got \(27,\)"),
        (ones.reshape(1, N), parameters, ValueError, r"got \(1, 26\)"),
        (ones.to(other), parameters, TypeError, rf"dtype {other}, a parameter of shape \(3, 2\) {dtype}"),
        (ones, [*parameters[:4], mt.ones(2, 1, 7, dtype=other)], TypeError, r"\(2, 1, 7\)"),
        (mt.ones(30, dtype=dtype), [*parameters, spread], ValueError, r"shape \(4,\) has read-only memory"),
        (ones.numpy(), parameters, TypeError, "takes tensors, not ndarray"),
        (ones, [*parameters, None], TypeError, "takes tensors, not NoneType"),
    ):
        with pytest.raises(error, match=message):
            vector_to_parameters(vector, given)
        for array, parameter in zip(before, parameters, strict=True):
            np.testing.assert_array_equal(parameter.detach().numpy(), array)


def test_vector_of_nothing_or_of_two_dtypes_is_refused(parameters):
    used_up = mt.nn.Linear(2, 2).parameters()
    list(used_up)
    with pytest.raises(ValueError, match="no parameters to make a vector of"):
        parameters_to_vector(used_up)
    with pytest.raises(TypeError, match="convert one"):
        parameters_to_vector([mt.ones(2), mt.ones(2, dtype=mt.float64)])
    with pytest.raises(TypeError, match="NoneType"):
        parameters_to_vector([parameters[0], None])
