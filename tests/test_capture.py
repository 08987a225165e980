"""Captured functions: run again they give the bits that the function gives, and refuse what would not happen again."""

import copy
import threading

import numpy as np
import pytest

import microtensor as mt
from microtensor import nn, optim
from microtensor.gradcheck.op import leaves
from microtensor.ops.registry import registered_ops, samples_of

OPS = registered_ops()
CASES = [(name, number) for name, op in OPS.items() for number in range(len(samples_of(op)))
         if name != "Dropout"]          # whose samples make their generator inside; see below
REFUSED = ("Cat", "CrossEntropy", "Index", "Scatter", "Where")      # ops of which some samples are refused


def step_of(sample, inputs):
    """A function of the inputs with several ways to each, their gradients forgotten before."""
    def step():
        for x in inputs:
            x.grad = None
        y = sample.function(*inputs)
        loss = (y * y + y).sum() + y.mean()
        loss.backward()
        return y, loss, *(x.grad for x in inputs)

    return step


def bits(results):
    return [x.detach().numpy().tobytes() for x in results]


@pytest.mark.parametrize(("name", "number"), CASES, ids=[f"{name}-{number}" for name, number in CASES])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_captured_op_gives_the_bits_of_the_op(name, number, dtype, seed):
    drawn = [samples_of(OPS[name], seed + i)[number] for i in range(3)]
    inputs, own = leaves(drawn[0], dtype), leaves(drawn[0], dtype)
    again = mt.capture(step_of(drawn[0], own))
    for sample in drawn:
        with mt.no_grad():
            for x, mine, values in zip(inputs, own, sample.inputs, strict=True):
                x.copy_(values.astype(dtype))
                mine.copy_(values.astype(dtype))
        try:
            mine = bits(again())
        except RuntimeError as error:
            assert "inside a captured function" in str(error) and name in REFUSED
            return
        assert mine == bits(step_of(drawn[0], inputs)())


# -- training ---------------------------------------------------------------------------------------------------------

NETS = {
    "plain": lambda: nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4)),
    "norms": lambda: nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.Tanh(), nn.LayerNorm(9), nn.Linear(9, 4)),
    "dropout": lambda: nn.Sequential(nn.Linear(6, 9), nn.GELU(), nn.Dropout(0.4), nn.Linear(9, 4)),
}
OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1), "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=0.01, amsgrad=True), "adamw": lambda p: optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
}


class Training:
    """A net, its optimiser and a batch, and a step over them."""

    def __init__(self, net, optimizer, clip=None, set_to_none=True):
        mt.manual_seed(0)
        self.net = NETS[net]()
        self.optimizer = OPTIMIZERS[optimizer](self.net.parameters())
        self.clip, self.set_to_none = clip, set_to_none
        if not set_to_none:
            for p in self.net.parameters():
                p.grad = mt.zeros_like(p)
        self.x, self.y = mt.zeros(8, 6), mt.zeros(8, dtype=mt.int64)
        self.loss = nn.CrossEntropyLoss(weight=mt.tensor([1.0, 2.0, 0.5, 1.5]))

    def step(self):
        self.optimizer.zero_grad(self.set_to_none)
        scores = self.net(self.x)
        loss = self.loss(scores, self.y)
        loss.backward()
        norm = self.clip(self.net.parameters()) if self.clip else None
        self.optimizer.step()
        return {"loss": loss, "scores": scores, "norm": norm}

    def train(self, step, seed, steps=5):
        """Some steps on other batches with falling learning rates: all that can be seen of them, as bits."""
        random, seen = np.random.default_rng(seed), []
        mt.manual_seed(seed)
        for number in range(steps):
            self.x.copy_(random.standard_normal((8, 6)))
            self.y.copy_(random.integers(0, 4, 8))
            self.optimizer.param_groups[0]["lr"] *= 1 - 0.1 * number
            seen.append(bits(x for x in step().values() if x is not None))
        return seen + [bits(self.net.state_dict().values()), bits(p.grad for p in self.net.parameters())]


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("set_to_none", [True, False])
def test_captured_training_gives_the_bits_of_the_step(net, optimizer, set_to_none, seed):
    clips = {"sgd": lambda p: nn.utils.clip_grad_norm_(p, 0.5),
             "momentum": lambda p: nn.utils.clip_grad_norm_(p, 0.5, float("inf")),
             "adam": lambda p: nn.utils.clip_grad_value_(p, 0.01)}
    eager, captured = (Training(net, optimizer, clips.get(optimizer), set_to_none) for _ in range(2))
    assert captured.train(mt.capture(captured.step), seed) == eager.train(eager.step, seed)


def test_captured_forward_gives_the_bits_of_the_net(rng):
    net, x = NETS["norms"]().eval(), mt.zeros(3, 6)
    forward = mt.capture(mt.no_grad()(lambda: net(x)))
    for _ in range(3):
        x.copy_(rng.standard_normal((3, 6)))
        y = forward()
        with mt.no_grad():
            assert bits([y]) == bits([net(x)])
        assert not y.requires_grad


def test_captured_gradients_add_up(rng):
    """Into those that are there, in their own memory."""
    x, w = mt.tensor(rng.standard_normal(4)), mt.zeros(4, requires_grad=True)
    w.grad = mt.ones(4)
    gradient = w.grad
    again = mt.capture(lambda: (w * x * x).sum().backward())
    for number in range(1, 4):
        again()
        assert w.grad is gradient
        np.testing.assert_allclose(w.grad.numpy(), 1 + number * x.numpy() ** 2, rtol=1e-6)


def test_captured_function_knows_its_gradients():
    w = mt.ones(3, requires_grad=True)
    again = mt.capture(lambda: (w * w).sum().backward())
    again()
    with pytest.raises(RuntimeError, match=r"leaf of shape \(3,\) without a gradient, and now it has one: call zero_"):
        again()
    w.grad = None
    again()
    assert w.grad.tolist() == [2.0, 2.0, 2.0]
    again = mt.capture(lambda: (w * w).sum().backward())
    again()
    w.grad = mt.zeros(3)
    with pytest.raises(RuntimeError, match=r"with a gradient, and now it has another or none: zero_grad\(set_to_none"):
        again()


# -- what is refused ---------------------------------------------------------------------------------------------------

X = mt.tensor([1.0, -2.0, 3.0])
W = mt.tensor([1.0, 2.0, 3.0], requires_grad=True)


class Double(mt.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


@pytest.mark.parametrize(("function", "said"), [
    (lambda: X.sum().item(), "item()"),
    (lambda: float(X.sum()), "item()"),
    (lambda: X.sum() if X.sum() > 0 else X, "item()"),
    (lambda: X.numpy(), "numpy()"),
    (lambda: np.asarray(X), "numpy()"),
    (lambda: X.tolist(), "tolist()"),
    (lambda: X.copy_(0.0), "an in-place write"),
    (lambda: X.fill_(0.0), "an in-place write"),
    (lambda: X.__setitem__(0, 1.0), "an in-place write"),
    (lambda: setattr(X, "data", X), "an assignment to .data"),
    (lambda: setattr(W, "grad", X), "an assignment to .grad"),
    (lambda: X[X > 0], "an index by an array"),
    (lambda: X[mt.tensor([0, 1])], "an index by an array"),
    (lambda: mt.where(X > 0, X, 0.0), "where computes with a tensor of shape (3,) that was made inside"),
    (lambda: X * (X > 0).float(), "To computes with a tensor of shape (3,) that was made inside"),
    (lambda: X * mt.tensor([1.0, 2.0, 3.0]), "Mul computes with"),
    (lambda: X * np.ones(3, np.float32), "Mul computes with"),
    (lambda: X * mt.randn(3), "Mul computes with"),
    (lambda: X * X.max(0)[1], "computes with"),
    (lambda: X * mt.Tensor([1.0, 2.0, 3.0]), "Mul computes with"),
    (lambda: X * copy.deepcopy(X), "Mul computes with"),
    (lambda: mt.cross_entropy(X, X.argmax()), "cross_entropy computes with"),
    (lambda: (W * 2).backward(mt.randn(3)), "backward computes with"),
    (lambda: optim.lr_scheduler.StepLR(optim.SGD([W]), 1), "a step of a schedule"),
    (lambda: X.argmax(), "returns a tensor of shape () that no op made"),
    (lambda: {"right": [X > 0]}, "returns a tensor of shape (3,) that no op made"),
    (lambda: (x * 2 for x in (X,)), "returns a generator"),
    (lambda: Double.apply(X), "Double"),
    (lambda: mt.grad((W * W).sum(), W), "grad, or backward with create_graph=True,"),
    (lambda: mt.capture(lambda: X * X)(), "captured while another one is"),
])
def test_what_would_not_happen_again_is_refused(function, said):
    before = X.tolist()
    with pytest.raises(RuntimeError) as refused:
        mt.capture(function)()
    assert said in str(refused.value) and X.tolist() == before
    assert (X * 2).sum().item() == 4.0          # outside everything is as it was


def test_numbers_and_views_are_no_results():
    """A number that Python knows is the same each time, and a view has the memory of what it is of."""
    again = mt.capture(lambda: (2 * X.detach() + 1.0 - np.float32(0.5)).reshape((3, 1)).t()[:, 1:])
    with mt.no_grad():
        X.copy_(mt.tensor([1.0, -2.0, 3.0]))
    assert again().tolist() == again().tolist() == [[-3.5, 6.5]]


def test_captured_function_that_raises_is_captured_at_the_next_call():
    x, good = mt.ones(2), []

    def function():
        y = x * 2
        if not good:
            raise ValueError("not yet")
        return y + 1

    again = mt.capture(function)
    with pytest.raises(ValueError, match="not yet"):
        again()
    good.append(True)
    assert again().tolist() == again().tolist() == [3.0, 3.0]


def test_replaced_data_is_refused_before_anything_changes():
    x, w = mt.ones(2), mt.ones(2, requires_grad=True)

    def step():
        w.grad = None
        (w * x).sum().backward()

    again = mt.capture(step)
    again()
    gradient = w.grad
    x.data = mt.zeros(2)
    with pytest.raises(RuntimeError, match=r"data of a tensor of shape \(2,\) was replaced since the function was"):
        again()
    assert w.grad is gradient and gradient.tolist() == [1.0, 1.0]


def test_target_out_of_range_is_noticed_at_each_call():
    x, y = mt.zeros(2, 3), mt.tensor([0, 1])
    again = mt.capture(lambda: mt.cross_entropy(x, y))
    again()
    y.copy_(mt.tensor([0, 7]))
    with pytest.raises(IndexError, match="class index 7 at row 1"):
        again()
    y.copy_(mt.tensor([0, 2]))
    assert again().item() == pytest.approx(np.log(3))


def test_backward_through_a_captured_function_runs_inside_it():
    w = mt.ones(2, requires_grad=True)
    again = mt.capture(lambda: (w * w).sum())
    loss = again()
    with pytest.raises(RuntimeError, match="backward through Sum, which belongs to a captured function"):
        loss.backward()
    assert again().item() == 2.0


def test_backward_twice_through_a_captured_op_is_refused():
    w = mt.ones(2, requires_grad=True)

    def twice():
        loss = (w * w).sum()
        loss.backward(retain_graph=True)
        loss.backward()

    with pytest.raises(RuntimeError, match="once for each forward"):
        mt.capture(twice)()


def test_writes_of_a_captured_function_are_noticed():
    """By a graph that computes on with what it returned."""
    x, v = mt.ones(2), mt.ones(2, requires_grad=True)
    again = mt.capture(lambda: x * 3)
    loss = (again() * v).sum()
    again()
    with pytest.raises(RuntimeError, match="written in place since"):
        loss.backward()


def test_capture_leaves_other_threads_alone():
    x, found = mt.ones(3), []

    def other():
        found.append((x * 2).sum().item())          # would be refused here

    def function():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return x + 1

    again = mt.capture(function)
    assert again().tolist() == again().tolist() == [2.0, 2.0, 2.0] and found == [6.0]


def test_captured_function_is_not_observed():
    x = mt.ones(2)
    again = mt.capture(lambda: x * 2)
    again()
    outer = mt.core.observe(lambda op, backward: None)
    try:
        for function in (again, mt.capture(lambda: x * 3)):
            with pytest.raises(RuntimeError, match="while runs of ops are observed"):
                function()
    finally:
        mt.core.observe(outer)


def test_capture_takes_a_function():
    with pytest.raises(TypeError, match="capture takes a function without arguments, not a Tensor"):
        mt.capture(mt.ones(2))


# -- what has changed between two calls --------------------------------------------------------------------------------

def weighted(*tensors):
    """A step that forgets the gradients and takes those of the sum of the product."""
    def step():
        for x in tensors:
            x.grad = None
        product = tensors[0]
        for x in tensors[1:]:
            product = product * x
        product.sum().backward()

    return step


@pytest.mark.parametrize("before", [False, True])
def test_changed_requires_grad_is_refused(before):
    w, v = mt.ones(2, requires_grad=before), mt.ones(2, requires_grad=True)
    again = mt.capture(weighted(w, v))
    again()
    w.requires_grad_(not before)
    with pytest.raises(RuntimeError, match=r"requires_grad of a tensor of shape \(2,\) was changed .* set it back"):
        again()
    w.requires_grad_(before)
    again()


def test_changed_training_mode_is_refused():
    net, x = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)), mt.ones(4, 2)
    again = mt.capture(lambda: net(x))
    again()
    net[1].eval()
    with pytest.raises(RuntimeError, match=r"a Dropout was captured with training=True.*call train\(\) or eval\(\)"):
        again()
    net.train()
    again()


def test_changed_grad_mode_is_refused():
    w = mt.ones(2, requires_grad=True)
    again = mt.capture(lambda: w * w)
    with mt.no_grad():
        again()
    with pytest.raises(RuntimeError, match=r"captured with gradients off, .* call it in the same grad mode"):
        again()


def test_replaced_data_is_refused_wherever_it_is_read():
    x, chosen = mt.tensor([[1.0, 2.0], [3.0, 5.0]]), mt.tensor([True, False])
    target, weight = mt.tensor([0, 1]), mt.ones(2)
    norm, w, seed = nn.BatchNorm1d(2), mt.ones(2, requires_grad=True), mt.ones(2)

    def backward():
        w.grad = None
        (w * 2).backward(seed)

    functions = {
        (x,): lambda: x.detach() * 2, (chosen,): lambda: mt.where(chosen, x, 0.0), (seed,): backward,
        (target, weight): lambda: mt.cross_entropy(x, target, weight),
        (norm.running_mean, norm.running_var): lambda: norm(x),
    }
    for tensors, function in functions.items():
        for tensor in tensors:
            again = mt.capture(function)
            again()
            before = tensor.data
            tensor.data = tensor.clone()
            with pytest.raises(RuntimeError, match=r"data of a tensor of shape .* was replaced since the function was"):
                again()
            tensor.data = before
    again = mt.capture(lambda: x * 2)
    y = again()
    y.data = mt.zeros(2, 2)
    with pytest.raises(RuntimeError, match="was replaced since the function was"):
        again()
    again = mt.capture(backward)
    again()
    w.grad.data = mt.zeros(2)
    with pytest.raises(RuntimeError, match="was replaced since the function was"):
        again()


def test_result_of_another_captured_function_is_an_input():
    x = mt.ones(2)
    first = mt.capture(lambda: x * 2)
    y = first()
    second = mt.capture(lambda: y + 1)
    second()
    x.fill_(4.0)
    first()
    assert second().tolist() == [9.0, 9.0]
    y.data = mt.zeros(2)
    with pytest.raises(RuntimeError, match="was replaced since the function was"):
        second()
    w = mt.ones(2, requires_grad=True)
    y = mt.capture(lambda: w * w)()
    with pytest.raises(RuntimeError, match=r"belongs to another captured function.*detach"):
        mt.capture(lambda: y.sum().backward())()


def test_captured_function_in_another_is_refused():
    x = mt.ones(2)
    inner = mt.capture(lambda: x * 2)
    inner()
    with pytest.raises(RuntimeError, match=r"called inside another one.*capture one function that calls both"):
        mt.capture(lambda: inner() + 1)()
    assert inner().tolist() == [2.0, 2.0]


def test_backward_through_what_was_computed_outside_is_refused():
    w = mt.ones(2, requires_grad=True)
    h = w * w
    with pytest.raises(RuntimeError, match=r"through Mul, which was computed outside: compute it inside, or .* detach"):
        mt.capture(lambda: (h * 3).sum().backward(retain_graph=True))()
    assert w.grad is None


def test_gradient_of_backward_is_read_at_each_call():
    """Also where it is not contiguous."""
    w, g = mt.ones(2, requires_grad=True), mt.zeros(2, 3)

    def step():
        w.grad = None
        (w * 2).backward(g[:, 1])

    again = mt.capture(step)
    for value in (1.0, 5.0):
        g.fill_(value)
        again()
        assert w.grad.tolist() == [2 * value, 2 * value]


def test_gradient_that_was_read_has_to_be_there():
    w = mt.ones(2, requires_grad=True)
    w.grad = mt.ones(2)
    again = mt.capture(lambda: w.grad * 2)
    again()
    w.grad.fill_(3.0)
    assert again().tolist() == [6.0, 6.0]
    w.grad = mt.ones(2)
    with pytest.raises(RuntimeError, match="with a gradient, and now it has another or none"):
        again()
    assert w.grad.tolist() == [1.0, 1.0]


def test_captured_clipping_takes_the_gradients_of_each_call():
    """As a captured step of an optimiser does."""
    w, b = mt.ones(2, requires_grad=True), mt.ones(1, requires_grad=True)
    again = mt.capture(lambda: nn.utils.clip_grad_norm_([w, b], 0.5))
    assert again().item() == 0.0
    w.grad = mt.tensor([3.0, 4.0])
    assert again().item() == 5.0
    assert w.grad.tolist() == pytest.approx([0.3, 0.4])
    w.grad, b.grad = None, mt.tensor([2.0])
    assert again().item() == 2.0
    assert w.grad is None and b.grad.item() == pytest.approx(0.5)


def test_refused_gradient_is_unchanged():
    w = mt.ones(2, requires_grad=True)
    again = mt.capture(lambda: (w * w).sum().backward())
    again()
    w.grad.fill_(9.0)
    with pytest.raises(RuntimeError, match="without a gradient, and now it has one"):
        again()
    assert w.grad.tolist() == [9.0, 9.0]


def test_loaded_state_of_an_optimizer_is_that_of_the_captured_step(seed):
    eager, captured = (Training("plain", "momentum") for _ in range(2))
    again = mt.capture(captured.step)
    for training, step in ((eager, eager.step), (captured, again)):
        training.train(step, seed)
        state = training.optimizer.state_dict()
        training.optimizer.load_state_dict({**state, "state": {
            number: {name: x * 2 for name, x in kept.items()} for number, kept in state["state"].items()}})
    assert captured.train(again, seed) == eager.train(eager.step, seed)


def test_dropout_draws_from_the_default_generator_of_the_call():
    x = mt.ones(64)
    again = mt.capture(lambda: mt.dropout(x, 0.5))
    with mt.random.fork_rng(3):
        again()
    mt.manual_seed(1)
    mine = again().tolist()
    mt.manual_seed(1)
    assert mine == mt.dropout(x, 0.5).tolist()


# -- what only looks as if it would not be made again ------------------------------------------------------------------

def test_norms_without_parameters_are_captured(rng):
    x, positive = mt.zeros(5, 3), mt.tensor(3.0)
    norm = nn.BatchNorm1d(3, affine=False)
    again = mt.capture(lambda: (norm(x), mt.layer_norm(x, 3), mt.nn.functional.binary_cross_entropy_with_logits(
        x, x.sigmoid(), pos_weight=positive)))
    own = nn.BatchNorm1d(3, affine=False)
    for _ in range(3):
        x.copy_(rng.standard_normal((5, 3)))
        wanted = own(x), mt.layer_norm(x, 3), mt.nn.functional.binary_cross_entropy_with_logits(
            x, x.sigmoid(), pos_weight=positive)
        assert bits(again()) == bits(wanted)


def test_tensor_of_an_earlier_attempt_was_made_before():
    x, kept = mt.ones(2), {}

    def function():
        if not kept:
            kept["factor"] = mt.ones(2)
        return x * kept["factor"]

    again = mt.capture(function)
    with pytest.raises(RuntimeError, match="make it before"):
        again()
    assert again().tolist() == [1.0, 1.0]


def test_copy_of_a_captured_function_is_captured_anew():
    x = mt.ones(2)
    again = mt.capture(lambda: x * 2)
    again()
    for other in (copy.copy(again), copy.deepcopy(again)):
        assert other().tolist() == [2.0, 2.0] and other.tape is not again.tape


def test_result_that_holds_itself_is_an_error():
    """And no overflow of the stack."""
    result = []
    result.append(result)
    with pytest.raises(RecursionError, match="in what a captured function returns"):
        mt.capture(lambda: result)()
    assert (X * 2).sum().item() == 4.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_captured_op_reads_inputs_that_are_not_contiguous(dtype, seed):
    """At each call, and not a copy of them."""
    for name, number in CASES:
        drawn = [samples_of(OPS[name], seed + i)[number] for i in range(2)]
        if name in REFUSED or not drawn[0].inputs:
            continue
        own = []
        for values in drawn[0].inputs:
            wide = np.zeros((*np.shape(values), 2), dtype)
            wide[..., 0] = values
            own.append(mt.from_numpy(wide[..., 0]).requires_grad_())
        again = mt.capture(step_of(drawn[0], own))
        for sample in drawn:
            with mt.no_grad():
                for mine, values in zip(own, sample.inputs, strict=True):
                    mine.copy_(values.astype(dtype))
            mine = bits(again())
            assert mine == bits(step_of(drawn[0], own)()), (name, number)
            for x in own:
                x.grad = None
