"""Optimisers against recurrences of single numbers; groups, state, and learning-rate schedules."""

import itertools
import math
import pickle

import numpy as np
import pytest

import microtensor as mt
from microtensor.gradcheck import check_optimizer
from microtensor.gradcheck.optimizer import RECURRENCES
from microtensor.optim import SGD, Adam, AdamW, Optimizer, RMSprop, lr_scheduler
from microtensor.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

SHAPES = [(3, 2), (4,), ()]


def make(rng, dtype=mt.float64):
    return [mt.from_numpy(np.asarray(rng.standard_normal(shape), dtype)).requires_grad_() for shape in SHAPES]


def set_grads(rng, params):
    for param in params:
        param.grad = mt.from_numpy(np.asarray(rng.standard_normal(param.shape), param.dtype))


def reference(theta, g, v, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, maximize=False):
    """One step of SGD as PyTorch defines it: the new theta and the new v."""
    g = (-g if maximize else g) + weight_decay * theta
    if momentum:
        v = g if v is None else momentum * v + (1 - dampening) * g
        g = g + momentum * v if nesterov else v
    return theta - lr * g, v


OPTIONS = [
    dict(zip(("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize"), values, strict=True))
    for values in itertools.product([0.1], [0, 0.9], [0, 0.5], [0, 0.01], [False, True], [False, True])
    if not values[4] or (values[1] and not values[2])
]


@pytest.mark.parametrize("dtype", [mt.float32, mt.float64], ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_sgd_follows_the_recurrence(rng, options, dtype):
    params = make(rng, dtype)
    optimizer = SGD(params, **options)
    thetas = [param.detach().numpy().astype(np.float64) for param in params]
    velocities = [None] * len(params)
    for _ in range(4):
        set_grads(rng, params)
        grads = [param.grad.numpy().copy() for param in params]
        optimizer.step()
        for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
            np.testing.assert_array_equal(param.grad.numpy(), grad)     # step only reads them
            thetas[i], velocities[i] = reference(thetas[i], grad.astype(np.float64), velocities[i], **options)
    for param, theta in zip(params, thetas, strict=True):
        # at most 8 roundings in each of the 4 steps, of numbers below 16
        np.testing.assert_allclose(param.detach().numpy(), theta, rtol=0, atol=512 * np.finfo(dtype).eps)
        assert param.requires_grad and param.dtype == dtype


def test_sgd_updates_non_contiguous_parameters(rng):
    base = mt.from_numpy(rng.standard_normal((4, 3)))
    param = mt.nn.Parameter(base.T)
    grad = rng.standard_normal((3, 4))
    expected = param.detach().numpy() - 0.5 * grad
    param.grad = mt.from_numpy(np.asfortranarray(grad))
    SGD([param], lr=0.5).step()
    np.testing.assert_allclose(param.detach().numpy(), expected, rtol=0, atol=8 * np.finfo(np.float64).eps)
    np.testing.assert_array_equal(base.numpy().T, param.detach().numpy())


def test_sgd_skips_parameters_without_gradients(rng):
    params = make(rng)
    set_grads(rng, params[:2])
    optimizer = SGD(params, lr=0.1, momentum=0.9)
    before = params[2].item()
    optimizer.step()
    assert params[2].item() == before and params[2] not in optimizer.state
    set_grads(rng, params[2:])
    gradient = params[2].grad.item()
    optimizer.step()                    # its first step: undampened, though the others are at their second
    assert optimizer.state[params[2]]["momentum_buffer"].item() == gradient


def test_sgd_step_counts_as_a_write(rng):
    params = make(rng)
    loss = (params[0] * params[0]).sum()
    set_grads(rng, params)
    SGD(params, lr=0.1).step()
    with pytest.raises(RuntimeError, match="written in place"):
        loss.backward()


def test_closure_is_called_once_with_gradients_on(rng):
    param, = make(rng)[:1]
    optimizer = SGD([param], lr=0.1)
    calls = []

    def closure():
        calls.append(mt.is_grad_enabled())
        optimizer.zero_grad()
        loss = (param * param).sum()
        loss.backward()
        return loss

    before = param.detach().numpy().copy()
    with mt.no_grad():
        loss = optimizer.step(closure)
    assert calls == [True]
    np.testing.assert_allclose(loss.item(), (before**2).sum(), rtol=1e-14)
    np.testing.assert_allclose(param.detach().numpy(), before - 0.2 * before, rtol=1e-14)
    optimizer.zero_grad()
    assert optimizer.step() is None


def test_zero_grad_zeroes_gradients_that_are_not_contiguous():
    """And nothing beside them."""
    numbers, backwards = np.ones(9, np.float32), np.ones(5, np.float32)
    x, y = mt.ones(3, requires_grad=True), mt.ones(2, requires_grad=True)
    x.grad, y.grad = mt.from_numpy(numbers[::4]), mt.from_numpy(backwards[2:0:-1])
    mt.optim.SGD([x, y]).zero_grad(set_to_none=False)
    assert numbers.tolist() == [0, 1, 1, 1, 0, 1, 1, 1, 0] and backwards.tolist() == [1, 0, 0, 1, 1]


def test_zero_grad_forgets_or_zeroes(rng):
    params = make(rng)
    optimizer = SGD(params)
    set_grads(rng, params[:2])
    optimizer.zero_grad(set_to_none=False)
    assert (params[0].grad == 0).all() and (params[1].grad == 0).all() and params[2].grad is None
    optimizer.zero_grad()
    assert all(param.grad is None for param in params)


def test_groups_have_their_own_options(rng):
    params = make(rng)
    optimizer = SGD([{"params": params[:1], "lr": 0.5}, {"params": params[1], "momentum": 0.9}], lr=0.1)
    optimizer.add_param_group({"params": (param for param in params[2:]), "weight_decay": 0.1})
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.1, 0.1]
    assert [group["momentum"] for group in optimizer.param_groups] == [0, 0.9, 0]
    set_grads(rng, params)
    expected = [
        reference(param.detach().numpy(), param.grad.numpy(), None, **options)[0]
        for param, options in zip(params, ({"lr": 0.5}, {"lr": 0.1, "momentum": 0.9},
                                           {"lr": 0.1, "weight_decay": 0.1}), strict=True)
    ]
    optimizer.step()
    for param, theta in zip(params, expected, strict=True):
        np.testing.assert_allclose(param.detach().numpy(), theta, rtol=0, atol=16 * np.finfo(np.float64).eps)
    optimizer.param_groups[0]["lr"] = 0.0
    before = params[0].detach().numpy().copy()
    optimizer.step()
    np.testing.assert_array_equal(params[0].detach().numpy(), before)


@pytest.mark.parametrize("options, message", [
    ({"lr": -0.1}, "lr must be at least 0, got -0.1"),
    ({"lr": float("nan")}, "lr"),
    ({"momentum": -1}, "momentum"),
    ({"weight_decay": -1}, "weight_decay"),
    ({"nesterov": True}, "nesterov"),
    ({"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov"),
])
def test_bad_options_are_refused(rng, options, message):
    params = make(rng)
    with pytest.raises(ValueError, match=message):
        SGD(params, **options)
    optimizer = SGD(params[:1])
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": params[1:], **options})
    assert len(optimizer.param_groups) == 1


def test_bad_parameters_are_refused(rng):
    params = make(rng)
    for bad, error, message in (
        ([], ValueError, "no parameters"),
        (params[0], TypeError, "in a list"),
        ([params[0], 3.0], TypeError, "float"),
        ([params[0] * 2], ValueError, r"computed tensor, here of shape \(3, 2\)"),
        ([params[0], params[0]], ValueError, "twice"),
        ([{"params": params[:1]}, {"params": params[:1]}], ValueError, "twice"),
        ([{"params": params, "momentun": 0.9}], ValueError, "no option 'momentun'.*momentum"),
        ([{"lr": 0.1}], TypeError, "params"),
    ):
        with pytest.raises(error, match=message):
            SGD(bad, lr=0.1)
    optimizer = SGD(params[:1])
    with pytest.raises(ValueError, match="twice"):
        optimizer.add_param_group({"params": params})
    assert len(optimizer.param_groups) == 1


def test_resuming_from_a_state_dict_is_exact(rng):
    params = make(rng)
    optimizer = SGD([{"params": params[:1]}, {"params": params[1:], "lr": 0.3}], lr=0.1, momentum=0.9)
    set_grads(rng, params)
    optimizer.step()
    twins = [mt.nn.Parameter(param.detach().clone()) for param in params]
    other = SGD([{"params": twins[:1]}, {"params": twins[1:]}], momentum=0.1)
    other.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    assert [group["lr"] for group in other.param_groups] == [0.1, 0.3]
    for _ in range(3):
        set_grads(rng, params)
        for twin, param in zip(twins, params, strict=True):
            twin.grad = param.grad.clone()
        optimizer.step()
        other.step()
    for twin, param in zip(twins, params, strict=True):
        np.testing.assert_array_equal(twin.detach().numpy(), param.detach().numpy())


def test_state_dict_numbers_parameters_and_load_copies(rng):
    params = make(rng)
    optimizer = SGD([{"params": params[:1]}, {"params": params[1:]}], momentum=0.9)
    set_grads(rng, params)
    optimizer.step()
    state = optimizer.state_dict()
    assert [group["params"] for group in state["param_groups"]] == [[0], [1, 2]]
    assert list(state["state"]) == [0, 1, 2]
    other = SGD([{"params": params[:1]}, {"params": params[1:]}], momentum=0.9)
    other.load_state_dict(state)
    state["state"][0]["momentum_buffer"].zero_()
    assert (other.state[params[0]]["momentum_buffer"] == params[0].grad).all()


def test_load_state_dict_changes_nothing_if_it_does_not_fit(rng):
    params = make(rng)
    optimizer = SGD(params, lr=0.1, momentum=0.9)
    set_grads(rng, params)
    optimizer.step()

    def spoilt(change):
        state = optimizer.state_dict()
        state["param_groups"][0]["lr"] = 0.7
        change(state)
        return state

    for change, message in (
        (lambda state: state["param_groups"].append(state["param_groups"][0]), r"\[3, 3\] .* not \[3\]"),
        (lambda state: state["param_groups"][0]["params"].pop(), r"\[2\] parameters, not \[3\]"),
        (lambda state: state["param_groups"][0].update(betas=1), "betas"),
        (lambda state: state["param_groups"][0].update(momentum=-1), "momentum"),
        (lambda state: state["state"].update({9: {}}), "state 9"),
        (lambda state: state["state"][2].update(momentum_buffer=mt.zeros(2)), r"\(2,\), .*parameter \(\)"),
    ):
        buffers = [optimizer.state[param]["momentum_buffer"].numpy().copy() for param in params]
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict(spoilt(change))
        assert optimizer.param_groups[0]["lr"] == 0.1
        for param, buffer in zip(params, buffers, strict=True):
            np.testing.assert_array_equal(optimizer.state[param]["momentum_buffer"].numpy(), buffer)


def test_repr_lists_options(rng):
    text = repr(SGD(make(rng), lr=0.1))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.1\n")
    assert text.endswith("\n)")


# -- Adam, AdamW and RMSprop


SETS = {
    Adam: [{}, {"betas": (0.8, 0.95), "eps": 1e-3}, {"weight_decay": 0.1}, {"amsgrad": True}, {"maximize": True},
           {"betas": (0.0, 0.0)}, {"amsgrad": True, "maximize": True, "weight_decay": 0.1}],
    RMSprop: [{}, {"alpha": 0.9, "eps": 1e-3}, {"weight_decay": 0.1}, {"momentum": 0.9}, {"centered": True},
              {"maximize": True}, {"alpha": 0.9, "momentum": 0.5, "centered": True, "weight_decay": 0.1}],
}
SETS[AdamW] = [*SETS[Adam], {"weight_decay": 0}]
CASES = [(kind, options) for kind, sets in SETS.items() for options in sets]
each_case = pytest.mark.parametrize("kind, options", CASES, ids=lambda value: getattr(value, "__name__", str(value)))


@each_case
def test_optimiser_follows_its_recurrence(kind, options):
    for seed in range(3):
        report = check_optimizer(lambda params: kind(params, lr=0.1, **options), seed=seed)
        assert report.notes == [f"compared with the recurrence of {kind.__name__}"]


@each_case
def test_optimiser_in_float32_follows_its_recurrence(rng, kind, options):
    """To what float32 shows: a step of these is at most some lr, and its relative error some roundings of its root.

    Where a variance is all but 0, the root cancels; such steps are kept small by eps.
    """
    params, rates = make(rng, mt.float32), [0.1, 0.2, 0.05, 0.1]
    optimizer = kind(params, lr=0.1, **{"eps": 0.1, **options})
    thetas, grads = [[param.detach().numpy().astype(float)] for param in params], [[] for _ in params]
    for lr in rates:
        set_grads(rng, params)
        for grad, param in zip(grads, params, strict=True):
            grad.append(param.grad.numpy().astype(float))
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
    group = optimizer.param_groups[0]
    for param, (start,), grad in zip(params, thetas, grads, strict=True):
        expected = [RECURRENCES[kind.__name__](x, list(g), rates, group)[-1]
                    for x, g in zip(start.ravel(), np.array(grad).reshape(len(rates), -1).T, strict=True)]
        found = param.detach().numpy()
        assert found.dtype == mt.float32
        np.testing.assert_allclose(found.ravel(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", SETS, ids=lambda kind: kind.__name__)
def test_parameter_whose_first_gradient_comes_late_takes_its_own_first_step(rng, kind):
    params = make(rng)
    optimizer = kind(params, lr=0.1)
    set_grads(rng, params)
    params[1].grad = None
    before = params[1].detach().numpy().copy()
    optimizer.step()
    assert params[1] not in optimizer.state
    np.testing.assert_array_equal(params[1].detach().numpy(), before)
    set_grads(rng, params)
    grad = params[1].grad.numpy().copy()
    optimizer.step()
    twin = mt.nn.Parameter(mt.from_numpy(before))
    twin.grad = mt.from_numpy(grad)
    kind([twin], lr=0.1).step()
    np.testing.assert_array_equal(params[1].detach().numpy(), twin.detach().numpy())
    if kind is not RMSprop:
        assert [optimizer.state[param]["step"] for param in params] == [2, 1, 2]


@pytest.mark.parametrize("kind", SETS, ids=lambda kind: kind.__name__)
def test_resuming_is_exact_with_all_that_is_kept(rng, kind):
    options = SETS[kind][-1] if kind is RMSprop else {"amsgrad": True}
    params = make(rng)
    optimizer = kind(params, lr=0.1, **options)
    twins = [mt.nn.Parameter(param.detach().clone()) for param in params]
    other = kind(twins)
    for number in range(6):
        if number == 3:
            other.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
            for twin, param in zip(twins, params, strict=True):
                with mt.no_grad():
                    twin.copy_(param)
        set_grads(rng, params)
        for twin, param in zip(twins, params, strict=True):
            twin.grad = param.grad.clone()
        optimizer.step()
        if number >= 3:
            other.step()
    for twin, param in zip(twins, params, strict=True):
        np.testing.assert_array_equal(twin.detach().numpy(), param.detach().numpy())


def test_options_that_an_older_version_did_not_have_are_the_defaults(rng):
    params = make(rng)
    state = Adam(params, lr=0.3).state_dict()
    del state["param_groups"][0]["amsgrad"]
    optimizer = Adam(params, amsgrad=False)
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["amsgrad"] is False and optimizer.param_groups[0]["lr"] == 0.3


def test_state_that_is_neither_tensor_nor_number_is_refused(rng):
    optimizer = Adam(make(rng))
    state = optimizer.state_dict()
    state["state"] = {0: {"step": "3"}}
    with pytest.raises(TypeError, match="step 0 must be a tensor or a number, got str"):
        optimizer.load_state_dict(state)
    assert not optimizer.state


@pytest.mark.parametrize("kind, options, message", [
    (Adam, {"lr": -1}, "lr must be at least 0"), (Adam, {"eps": -1}, "eps must be"),
    (Adam, {"betas": (0.9, 1)}, "betas"), (AdamW, {"betas": (-0.1, 0.9)}, "betas"),
    (AdamW, {"betas": (0.9,)}, "betas must be two numbers"),
    (RMSprop, {"alpha": -1}, "alpha must be"), (RMSprop, {"momentum": float("nan")}, "momentum must be"),
])
def test_options_out_of_range_are_refused(rng, kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(make(rng), **options)


@pytest.mark.parametrize("kind", SETS, ids=lambda kind: kind.__name__)
def test_step_changes_nothing_if_one_parameter_does_not_fit(rng, kind):
    params = make(rng)
    optimizer = kind(params, lr=0.1)
    set_grads(rng, params)
    optimizer.step()
    before = [param.detach().numpy().copy() for param in params]
    kept = {name: value.numpy().copy() if isinstance(value, mt.Tensor) else value
            for name, value in optimizer.state[params[0]].items()}
    set_grads(rng, params)
    name = "square_avg" if kind is RMSprop else "exp_avg_sq"
    optimizer.state[params[2]][name] = mt.zeros(2)
    with pytest.raises(ValueError, match=rf"{kind.__name__}: a parameter is \(\) float64, its .* \(2,\) float32"):
        optimizer.step()
    for param, numbers in zip(params, before, strict=True):
        np.testing.assert_array_equal(param.detach().numpy(), numbers)
    for name, value in optimizer.state[params[0]].items():
        np.testing.assert_array_equal(np.asarray(value.numpy() if isinstance(value, mt.Tensor) else value), kept[name])


# -- schedules


@pytest.mark.parametrize("schedule, factor", [
    (lambda optimizer: StepLR(optimizer, 3, gamma=0.5), lambda t: 0.5 ** (t // 3)),
    (lambda optimizer: CosineAnnealingLR(optimizer, 8), lambda t: (1 + math.cos(math.pi * t / 8)) / 2),
    (lambda optimizer: LinearLR(optimizer, 0.25, 1.0, 4), lambda t: min(0.25 + 0.75 * t / 4, 1.0)),
    (lambda optimizer: MultiStepLR(optimizer, [2, 3, 3, 7], gamma=0.5),
     lambda t: 0.5 ** sum(t >= milestone for milestone in (2, 3, 3, 7))),
    (lambda optimizer: ExponentialLR(optimizer, 0.9), lambda t: 0.9**t),
    (lambda optimizer: LambdaLR(optimizer, lambda t: 1 / (1 + t)), lambda t: 1 / (1 + t)),
], ids=["step", "cosine", "linear", "multistep", "exponential", "lambda"])
def test_schedule_formula(rng, schedule, factor):
    params = make(rng)
    optimizer = SGD([{"params": params[:1], "lr": 0.8}, {"params": params[1:]}], lr=0.1)
    scheduler = schedule(optimizer)
    for epoch in range(12):
        expected = [0.8 * factor(epoch), 0.1 * factor(epoch)]
        assert scheduler.get_last_lr() == pytest.approx(expected, rel=1e-12, abs=1e-17)
        assert [group["lr"] for group in optimizer.param_groups] == scheduler.get_last_lr()
        scheduler.step()


def test_cosine_ends_at_its_minimum(rng):
    scheduler = CosineAnnealingLR(SGD(make(rng), lr=1.0), T_max=5, eta_min=0.1)
    for _ in range(5):
        scheduler.step()
    assert scheduler.get_last_lr() == pytest.approx([0.1], rel=1e-15)


def test_schedule_resumes_from_its_state(rng):
    params = make(rng)
    scheduler = StepLR(SGD(params, lr=1.0), 2)
    for _ in range(5):
        scheduler.step()
    other = StepLR(SGD(params, lr=0.3), 7)
    other.load_state_dict(pickle.loads(pickle.dumps(scheduler.state_dict())))
    assert other.get_last_lr() == scheduler.get_last_lr() and other.last_epoch == 5
    for state in ({}, CosineAnnealingLR(SGD(params), 3).state_dict(),
                  {**scheduler.state_dict(), "base_lrs": [0.1, 0.2]}):
        with pytest.raises(ValueError, match="state_dict"):
            other.load_state_dict(state)
    assert other.last_epoch == 5


def test_functions_of_a_schedule_are_not_in_its_state(rng):
    params = make(rng)
    groups = [{"params": params[:1]}, {"params": params[1:]}]
    scheduler = LambdaLR(SGD(groups, lr=1.0), [lambda t: 1 / (1 + t), lambda t: 0.5**t])
    for _ in range(3):
        scheduler.step()
    assert scheduler.get_last_lr() == [0.25, 0.125]
    other = LambdaLR(SGD(groups, lr=0.3), [lambda t: 1 / (1 + t), lambda t: 0.5**t])
    other.load_state_dict(pickle.loads(pickle.dumps(scheduler.state_dict())))
    assert other.get_last_lr() == [0.25, 0.125]


def test_schedule_whose_function_raises_changes_nothing(rng):
    optimizer = SGD([{"params": params} for params in make(rng)], lr=1.0)
    scheduler = LambdaLR(optimizer, [lambda t: 1 - t, lambda t: 1 / (1 - t), lambda t: 1])
    with pytest.raises(ZeroDivisionError):
        scheduler.step()
    assert scheduler.last_epoch == 0 and scheduler.get_last_lr() == [1, 1, 1]


@pytest.mark.parametrize("schedule, error, message", [
    (lambda optimizer: MultiStepLR(optimizer, [3, 2]), ValueError, r"increasing order, got \[3, 2\]"),
    (lambda optimizer: MultiStepLR(optimizer, [-1, 2]), ValueError, r"at least 0 and .*, got \[-1, 2\]"),
    (lambda optimizer: LambdaLR(optimizer, [abs, abs]), ValueError, "2 functions, the optimiser has 1 groups"),
    (lambda optimizer: LambdaLR(optimizer, 0.5), TypeError, "function of the epoch, got a float"),
])
def test_schedule_refuses_what_does_not_fit(rng, schedule, error, message):
    with pytest.raises(error, match=message):
        schedule(SGD(make(rng), lr=1.0))


def test_schedule_changes_nothing_if_a_group_was_added(rng):
    params = make(rng)
    optimizer = SGD(params[:1], lr=1.0)
    schedulers = [OneCycleLR(optimizer, 0.5, 9), ExponentialLR(optimizer, 0.5),
                  ReduceLROnPlateau(optimizer, min_lr=[0.1])]
    optimizer.add_param_group({"params": params[1:]})
    before = [scheduler.state_dict() for scheduler in schedulers], optimizer.state_dict()
    for scheduler, message in zip(schedulers, ("OneCycleLR is for 1 groups, the optimiser has 2", "make a new schedule",
                                               "min_lr has 1 numbers, the optimiser has 2"), strict=True):
        with pytest.raises(ValueError, match=message):
            go_on(scheduler)
    assert ([scheduler.state_dict() for scheduler in schedulers], optimizer.state_dict()) == before


def in_two_groups(rng, kind=SGD, **options):
    params = make(rng)
    return kind([{"params": params[:1], "lr": 0.8}, {"params": params[1:]}], lr=0.1, **options)


SCHEDULES = {
    StepLR: lambda optimizer: StepLR(optimizer, 3),
    MultiStepLR: lambda optimizer: MultiStepLR(optimizer, [2, 7]),
    ExponentialLR: lambda optimizer: ExponentialLR(optimizer, 0.9),
    LambdaLR: lambda optimizer: LambdaLR(optimizer, lambda t: 1 / (1 + t)),
    CosineAnnealingLR: lambda optimizer: CosineAnnealingLR(optimizer, 8, eta_min=0.01),
    LinearLR: lambda optimizer: LinearLR(optimizer, 0.25, total_iters=6),
    OneCycleLR: lambda optimizer: OneCycleLR(optimizer, [0.5, 0.3], total_steps=11, three_phase=True),
    ReduceLROnPlateau: lambda optimizer: ReduceLROnPlateau(optimizer, patience=1, min_lr=[0.01, 0.02]),
    SequentialLR: lambda optimizer: SequentialLR(
        optimizer, [LinearLR(optimizer), ExponentialLR(optimizer, 0.9), OneCycleLR(optimizer, 0.5, 9)], [2, 4]),
}
each_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=[kind.__name__ for kind in SCHEDULES])


def test_every_schedule_is_tested():
    kinds = [value for value in vars(lr_scheduler).values() if isinstance(value, type)]
    assert set(kinds) - {LRScheduler} == SCHEDULES.keys()


def go_on(scheduler, epochs=1):
    for _ in range(epochs):
        scheduler.step(*[1.0] if isinstance(scheduler, ReduceLROnPlateau) else [])


@pytest.mark.parametrize("kind", [SGD, Adam])
@pytest.mark.parametrize("epochs", [0, 1, 5, 9])
@each_schedule
def test_schedule_goes_on_from_a_file(rng, tmp_path, schedule, epochs, kind):
    """All options of the groups, so the momentum as well; inf, the best metric before there is any, included."""
    path, optimizer, other = tmp_path / "run.npz", in_two_groups(rng, kind), in_two_groups(rng, kind)
    scheduler, loaded = schedule(optimizer), schedule(other)
    go_on(scheduler, epochs)
    state = scheduler.state_dict()
    mt.save(state, path)
    assert mt.load(path) == state
    loaded.load_state_dict(mt.load(path))
    for _ in range(2):
        assert loaded.state_dict() == scheduler.state_dict()
        for group, twin in zip(optimizer.param_groups, other.param_groups, strict=True):
            assert {**group, "params": None} == {**twin, "params": None}
        go_on(scheduler)
        go_on(loaded)


@each_schedule
def test_state_that_does_not_fit_changes_nothing(rng, schedule):
    optimizer = in_two_groups(rng)
    scheduler = schedule(optimizer)
    good, one_group = scheduler.state_dict(), SGD(make(rng))
    bad = [{}, {**good, "unknown": 1}, {**good, "base_lrs": [0.1]}]
    if isinstance(scheduler, OneCycleLR):
        bad += [{**good, "last_epoch": 12}, {**good, "max_lrs": [0.1]}]
    if isinstance(scheduler, SequentialLR):
        *first, last = good["schedulers"]
        bad += [{**good, "schedulers": states} for states in
                (first, [*first, {}], [*first, StepLR(one_group, 3).state_dict()])]
        bad.append({**good, "schedulers": [*first, {**last, "total_steps": 2}], "last_epoch": 7})
    go_on(scheduler, 4)
    before = scheduler.state_dict(), [dict(group) for group in optimizer.param_groups]
    for state in bad:
        with pytest.raises(ValueError):
            scheduler.load_state_dict(state)
        assert (scheduler.state_dict(), optimizer.param_groups) == before


@pytest.mark.parametrize("kind", [SGD, Adam, RMSprop])
@pytest.mark.parametrize("strategy, bend", [("linear", lambda p: p), ("cos", lambda p: math.sin(math.pi * p / 2) ** 2)])
@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("cycle_momentum", [False, True])
def test_one_cycle_formula(rng, kind, strategy, bend, three_phase, cycle_momentum):
    optimizer = in_two_groups(rng, kind)
    scheduler = OneCycleLR(optimizer, [0.5, 2.0], epochs=4, steps_per_epoch=5, pct_start=0.35, anneal_strategy=strategy,
                           cycle_momentum=cycle_momentum, base_momentum=[0.7, 0.8], max_momentum=0.9, div_factor=10,
                           final_div_factor=50, three_phase=three_phase)
    ends = [6, 12, 19] if three_phase else [6, 19]          # 0.35 of 20 steps, and as many again
    starts = [0, *ends[:-1]]
    for step in range(20):
        phase = sum(step > end for end in ends)
        done = bend((step - starts[phase]) / (ends[phase] - starts[phase]))
        for group, peak, low in zip(optimizer.param_groups, [0.5, 2.0], [0.7, 0.8], strict=True):
            lrs = [peak / 10, peak, peak / 10, peak / 500] if three_phase else [peak / 10, peak, peak / 500]
            momentums = [0.9, low, 0.9, 0.9]
            lr, momentum = ((1 - done) * levels[phase] + done * levels[phase + 1] for levels in (lrs, momentums))
            if not cycle_momentum:
                momentum = optimizer.defaults.get("momentum", 0.9)
            # a few roundings of levels of at most 2
            assert group["lr"] == pytest.approx(lr, rel=0, abs=1e-15)
            first, *rest = group["betas"] if kind is Adam else [group["momentum"]]
            assert first == pytest.approx(momentum, rel=0, abs=1e-15) and rest == ([0.999] if kind is Adam else [])
        scheduler.step()


def test_one_cycle_ends(rng):
    scheduler = OneCycleLR(in_two_groups(rng), 0.5, total_steps=6)
    go_on(scheduler, 6)                 # PyTorch's allows a step after the last batch, too
    before = scheduler.get_last_lr()
    with pytest.raises(ValueError, match="step 7 of OneCycleLR, whose total_steps are 6"):
        scheduler.step()
    assert scheduler.last_epoch == 6 and scheduler.get_last_lr() == before


@pytest.mark.parametrize("total_steps, pct_start, expected", [
    (10, 0.1, [1.0]),                   # the way up ends at the step at which it starts
    (4, 1.0, [0.04, 0.36, 0.68, 1.0]),
    (1, 1.0, [1.0]), (1, 0.0, [4e-6]),
])
def test_one_cycle_may_have_a_phase_without_steps(rng, total_steps, pct_start, expected):
    scheduler = OneCycleLR(SGD(make(rng)), 1.0, total_steps, pct_start=pct_start, anneal_strategy="linear")
    for lr in expected:
        assert scheduler.get_last_lr() == pytest.approx([lr], rel=1e-15)
        scheduler.step()


class Plain(Optimizer):
    """An optimiser without momentum."""

    def __init__(self, params):
        super().__init__(params, {"lr": 0.5})


@pytest.mark.parametrize("options, error, message", [
    ({}, ValueError, "needs total_steps, or both"), ({"epochs": 3}, ValueError, "needs total_steps, or both"),
    ({"total_steps": 0}, ValueError, "total_steps .* at least 1, got 0"),
    ({"total_steps": 2.5}, TypeError, "total_steps must be an int of at least 1, got 2.5"),
    ({"epochs": 2, "steps_per_epoch": -1}, ValueError, "steps_per_epoch .* got -1"),
    ({"total_steps": 9, "pct_start": 1.5}, ValueError, "pct_start .* got 1.5"),
    ({"total_steps": 9, "anneal_strategy": "exp"}, ValueError, "'cos' or 'linear', got 'exp'"),
    ({"total_steps": 9, "div_factor": 0}, ValueError, "above 0, got 0"),
    ({"total_steps": 9, "max_lr": [0.1, 0.2]}, ValueError, "max_lr has 2 numbers, the optimiser has 1 groups"),
    ({"total_steps": 9, "max_lr": -1.0}, ValueError, r"max_lr must be at least 0 .* got \[-1.0\]"),
    ({"total_steps": 9, "max_momentum": 1.0}, ValueError, r"max_momentum .* below 1, got \[1.0\]"),
    ({"total_steps": 9, "base_momentum": float("nan")}, ValueError, r"base_momentum .* got \[nan\]"),
])
def test_one_cycle_refuses_arguments_without_meaning(rng, options, error, message):
    optimizer = SGD(make(rng), lr=0.5)
    with pytest.raises(error, match=message):
        OneCycleLR(optimizer, **{"max_lr": 0.1, **options})
    assert optimizer.param_groups[0]["lr"] == 0.5 and optimizer.param_groups[0]["momentum"] == 0


def test_one_cycle_without_a_momentum_to_cycle(rng):
    optimizer = Plain(make(rng))
    with pytest.raises(ValueError, match="Plain has neither momentum nor betas: pass cycle_momentum=False"):
        OneCycleLR(optimizer, 0.1, 9)
    OneCycleLR(optimizer, 0.1, 9, cycle_momentum=False)
    assert set(optimizer.param_groups[0]) == {"params", "lr"}


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("options, metrics, drops", [
    ({"patience": 0}, [3, 2, 2, 1, 1.5, 1.5], [0, 0, 1, 1, 2, 3]),
    ({"patience": 2}, [3, 3, 3, 3, 3, 3, 3], [0, 0, 0, 1, 1, 1, 2]),
    ({"patience": 1}, [3, 3, 2, 2, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1]),        # each improvement begins anew
    ({"patience": 0, "mode": "max"}, [1, 2, 2, 3, 1], [0, 0, 1, 1, 2]),
    ({"patience": 0, "threshold": 0.1}, [10, 9.1, 8.9, 8.5], [0, 1, 1, 2]),
    ({"patience": 0, "threshold": 0.1, "mode": "max"}, [10, 10.9, 11.1, 11.5], [0, 1, 1, 2]),
    ({"patience": 0, "threshold": 0.5, "threshold_mode": "abs"}, [10, 9.6, 9.4, 9], [0, 1, 1, 2]),
    ({"patience": 0, "threshold": 0.5, "threshold_mode": "abs", "mode": "max"}, [10, 10.4, 10.6, 11], [0, 1, 1, 2]),
    ({"patience": 0, "cooldown": 2}, [1, 1, 1, 1, 1, 0.5, 1], [0, 1, 1, 1, 2, 2, 2]),
    ({"patience": 0}, [NAN, 3, NAN, 2, INF], [1, 1, 2, 2, 3]),
    ({"patience": 0, "mode": "max"}, [-INF, NAN, 2, INF, INF], [1, 2, 2, 2, 3]),
])
def test_plateau_drops_where_nothing_improves(rng, options, metrics, drops):
    """drops: how many there were after each metric; a factor of a power of 2 makes no rounding."""
    scheduler = ReduceLROnPlateau(in_two_groups(rng), factor=0.25, **options)
    for metric, drop in zip(metrics, drops, strict=True):
        scheduler.step(metric)
        assert scheduler.get_last_lr() == [0.8 * 0.25**drop, 0.1 * 0.25**drop] == scheduler.base_lrs


def test_plateau_keeps_to_min_lr_and_leaves_small_drops_out(rng):
    scheduler = ReduceLROnPlateau(in_two_groups(rng), factor=0.5, patience=0, min_lr=[0.3, 0.0], eps=0.03)
    seen = []
    for _ in range(5):
        scheduler.step(1.0)
        seen.append(scheduler.get_last_lr())
    assert seen == [[0.8, 0.1], [0.4, 0.05], [0.3, 0.05], [0.3, 0.05], [0.3, 0.05]]     # 0.05 would lose only 0.025


def test_plateau_starts_from_what_others_set(rng):
    """Another lr, and a group that is new, as min_lr is one number."""
    optimizer = SGD(make(rng)[:1], lr=0.8)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    scheduler.step(mt.tensor(1.0, requires_grad=True))
    optimizer.param_groups[0]["lr"] = 0.2
    optimizer.add_param_group({"params": make(rng)[1:], "lr": 0.6})
    scheduler.step(np.float32(1.0))
    assert scheduler.get_last_lr() == [0.1, 0.3] and scheduler.best == 1.0 and type(scheduler.best) is float


@pytest.mark.parametrize("options, message", [
    ({"mode": "least"}, "'min' or 'max', got 'least'"), ({"threshold_mode": "log"}, "'rel' or 'abs', got 'log'"),
    ({"factor": 1.0}, "factor must be .* got 1.0"), ({"factor": -0.5}, "factor must be .* got -0.5"),
    ({"min_lr": -0.1}, "min_lr must be at least 0"),
    ({"min_lr": [0.1]}, "min_lr has 1 numbers, the optimiser has 2 groups"),
])
def test_plateau_refuses_arguments_without_meaning(rng, options, message):
    with pytest.raises(ValueError, match=message):
        ReduceLROnPlateau(in_two_groups(rng), **options)


def factors(optimizer):
    """Three schedules, made in this order, and the factors that they stand for."""
    return ([LinearLR(optimizer, 0.25, total_iters=4), CosineAnnealingLR(optimizer, 6), ExponentialLR(optimizer, 0.5)],
            [lambda t: min(0.25 + 0.75 * t / 4, 1.0), lambda t: (1 + math.cos(math.pi * t / 6)) / 2, lambda t: 0.5**t])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("milestones", [[4, 9], [0, 3], [3, 3]])
def test_sequential_formula(rng, order, milestones):
    """Each schedule from the optimiser's own rates, in whatever order they were made."""
    optimizer = in_two_groups(rng)
    made, formulas = factors(optimizer)
    scheduler = SequentialLR(optimizer, [made[i] for i in order], milestones)
    assert scheduler.base_lrs == [0.8, 0.1]
    for epoch in range(14):
        number = sum(epoch >= milestone for milestone in milestones)
        factor = formulas[order[number]](epoch - [0, *milestones][number])
        assert scheduler.get_last_lr() == pytest.approx([0.8 * factor, 0.1 * factor], rel=1e-12, abs=1e-17)
        scheduler.step()


def test_sequential_of_sequentials(rng):
    optimizer = in_two_groups(rng)
    (linear, cosine, exponential), formulas = factors(optimizer)
    scheduler = SequentialLR(optimizer, [SequentialLR(optimizer, [linear, cosine], [4]), exponential], [7])
    starts = [0] * 4 + [4] * 3 + [7] * 4
    for epoch, start in enumerate(starts):
        factor = formulas[(0, 4, 7).index(start)](epoch - start)
        assert scheduler.get_last_lr() == pytest.approx([0.8 * factor, 0.1 * factor], rel=1e-12)
        scheduler.step()


def test_sequential_refuses_what_does_not_fit(rng):
    optimizer = in_two_groups(rng)
    schedules, _ = factors(optimizer)
    before = optimizer.param_groups[0]["lr"]
    for schedulers, milestones, error, message in (
        ([], [], ValueError, "got 0 schedules"),
        (schedules, [3], ValueError, r"a milestone between each two .* 3 schedules and the milestones \[3\]"),
        (schedules, [3, 2], ValueError, r"increasing order, got \[3, 2\]"),
        ([*schedules[:2], optimizer], [2, 3], TypeError, "takes schedules, got a SGD"),
        ([*schedules[:2], StepLR(SGD(make(rng)), 2)], [2, 3], ValueError, "its StepLR is for another one"),
        ([*schedules[:2], ReduceLROnPlateau(optimizer)], [2, 3], ValueError, "metric, which ReduceLROnPlateau needs"),
    ):
        with pytest.raises(error, match=message):
            SequentialLR(optimizer, schedulers, milestones)
        assert optimizer.param_groups[0]["lr"] == before
    optimizer.param_groups[0]["lr"] = 0.7
    with pytest.raises(ValueError, match="make all schedules of a SequentialLR just before it"):
        SequentialLR(optimizer, schedules, [2, 3])
    assert optimizer.param_groups[0]["lr"] == 0.7


def test_step_changes_no_group_if_one_cannot_be_stepped():
    a, b = mt.ones(3, requires_grad=True), mt.ones(3, requires_grad=True)
    optimizer = SGD([{"params": [a]}, {"params": [b]}], lr=1.0)
    (a * 2 + b).sum().backward()
    b.data = mt.ones(4)
    with pytest.raises(ValueError, match=r"\(4,\).*\(3,\)"):
        optimizer.step()
    assert a.tolist() == [1, 1, 1]


def test_step_does_not_depend_on_the_number_of_threads(rng):
    start, g = rng.standard_normal((2, 300, 501)).astype(np.float32)
    results = []
    before = mt.get_num_threads()
    try:
        for threads in (1, 2, 3):
            mt.set_num_threads(threads)
            p = mt.tensor(start, requires_grad=True)
            optimizer = SGD([p], lr=0.1, momentum=0.9, weight_decay=0.01)
            for _ in range(3):
                p.grad = mt.tensor(g)
                mt.nn.utils.clip_grad_norm_(p, float("inf"))
                optimizer.step()
            results.append(p.detach().numpy())
    finally:
        mt.set_num_threads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_what_is_not_a_tensor_is_refused_before_anything_changes():
    p = mt.ones(3, requires_grad=True)
    p.grad = mt.ones(3)
    optimizer = SGD([p], lr=1.0)
    optimizer.param_groups[0]["params"].append(None)
    for call in (optimizer.step, lambda: mt.nn.utils.clip_grad_norm_([p, None], 0.1)):
        with pytest.raises(TypeError, match="NoneType"):
            call()
    assert p.tolist() == [1, 1, 1] and p.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "make_schedule",
    [lambda o: StepLR(o, 0), lambda o: StepLR(o, -2), lambda o: CosineAnnealingLR(o, 0),
     lambda o: LinearLR(o, total_iters=0), lambda o: LinearLR(o, start_factor=0.0), lambda o: LinearLR(o, 2.0)],
)
def test_schedule_refuses_arguments_without_meaning(make_schedule):
    optimizer = SGD([mt.ones(1, requires_grad=True)], lr=0.5)
    with pytest.raises(ValueError, match=r"must be|at least"):
        make_schedule(optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.5
