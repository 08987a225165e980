"""Module and Parameter: what a network is made of, its state, its modes, its errors."""

import copy
import pickle

import numpy as np
import pytest

import microtensor as mt
from microtensor import nn


class Net(nn.Module):
    """Two layers, a parameter and buffers of its own; it does not call super().__init__()."""

    def __init__(self):
        self.first = nn.Linear(3, 4)
        self.scale = nn.Parameter(mt.ones(4))
        self.rest = nn.Sequential(nn.Tanh(), nn.Linear(4, 2))
        self.register_buffer("count", mt.tensor(7))
        self.register_buffer("mean", mt.zeros(2))
        self.register_buffer("scratch", mt.zeros(5), persistent=False)

    def forward(self, x):
        return self.rest(self.first(x) * self.scale) - self.mean


NAMES = ["scale", "first.weight", "first.bias", "rest.1.weight", "rest.1.bias"]


def snapshot(module):
    return {name: tensor.detach().numpy().copy() for name, tensor in module.state_dict().items()}


def assert_unchanged(module, before):
    after = snapshot(module)
    assert after.keys() == before.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)


# -- Parameter


def test_parameter_shares_memory():
    data = mt.zeros(3)
    parameter = nn.Parameter(data)
    data[1] = 5.0
    assert parameter.tolist() == [0.0, 5.0, 0.0]
    assert parameter.requires_grad and parameter.is_leaf and not data.requires_grad


def test_parameter_repr():
    assert repr(nn.Parameter(mt.ones(2))) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_parameter_survives_copying(duplicate):
    parameter = nn.Parameter(mt.tensor([1.0, 2.0], dtype=mt.float64), requires_grad=False)
    other = duplicate(parameter)
    assert type(other) is nn.Parameter
    assert other.dtype == mt.float64 and not other.requires_grad
    other.fill_(0)
    assert parameter.tolist() == [1.0, 2.0]


def test_parameter_operations_give_tensors():
    parameter = nn.Parameter(mt.ones(2))
    for result in (parameter * 2, -parameter, parameter[0], parameter.detach(), parameter.data):
        assert type(result) is mt.Tensor


def test_parameter_has_no_dict():
    with pytest.raises(AttributeError):
        nn.Parameter(mt.ones(2)).note = "lost"


def test_parameter_refuses_what_cannot_be_trained():
    with pytest.raises(TypeError, match=r"not list: use mt\.tensor"):
        nn.Parameter([1.0])
    with pytest.raises(RuntimeError, match="int64"):
        nn.Parameter(mt.tensor([1]))


# -- what a module is made of


def test_names_follow_assignment():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [name for name, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.scale"]
    assert [name for name, _ in net.named_buffers()] == ["count", "mean", "scratch"]
    assert [name for name, _ in net.named_children()] == ["first", "rest"]
    assert [name for name, _ in net.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert list(net.modules()) == [net, net.first, net.rest, net.rest[0], net.rest[1]]
    assert list(net.children()) == [net.first, net.rest]


def test_shared_parts_are_listed_once_and_saved_under_each_name():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    net.append(net[0])
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert len(list(net.named_parameters(remove_duplicate=False))) == 6
    assert list(net.children()) == [net[0], net[1]]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"]


def test_parameters_are_those_that_have_names():
    """Through shared parameters, layers and containers, a cycle, a subclass and values that are no parts."""
    class Weight(nn.Parameter):
        pass

    net = Net()
    net.again, net.shared, net.own = net.rest, net.first.weight, Weight(mt.ones(3))
    net.rest.back, net.flag, net.rate, net.note, net.nothing, net.sizes = net, True, 0.5, "first", None, [1, 2]
    for recurse in (True, False):
        found = list(net.parameters(recurse=recurse))
        named = [parameter for _, parameter in net.named_parameters(recurse=recurse)]
        assert [*map(id, found)] == [*map(id, named)] and len(found) == (6 if recurse else 3)
    del net.rest, net.again
    net.scale = nn.Parameter(mt.ones(1))
    assert [*map(id, net.parameters())] == [id(p) for _, p in net.named_parameters()]


def test_parameters_of_a_deep_nest_end_in_an_error():
    net = nn.Linear(1, 1)
    for _ in range(20_000):
        outer = nn.Module()
        outer.inner = net
        net = outer
    with pytest.raises(RecursionError, match="modules of a module"):
        net.parameters()
    while hasattr(net, "inner"):        # from the outside, as it dies by recursion too
        net = net.__dict__.pop("inner")


@pytest.mark.parametrize("hide", [list, tuple, lambda modules: dict(enumerate(modules))])
@pytest.mark.parametrize("part", [lambda: nn.Linear(2, 2), lambda: nn.Parameter(mt.ones(2))])
def test_parts_hidden_in_containers_are_refused(hide, part):
    net = nn.Module()
    net.inner = nn.Module()
    net.inner.blocks = hide([part()])
    for use in (lambda: list(net.parameters()), net.state_dict, net.double, net.zero_grad):
        with pytest.raises(TypeError, match=r"Module\.blocks is a .* nn\.ModuleList"):
            use()


def test_containers_may_repeat_what_is_an_attribute():
    net = nn.Module()
    net.a = nn.Linear(2, 2)
    net.order = [net.a, net.a]
    net.sizes = [1, 2]
    assert len(list(net.parameters())) == 2


def test_buffers_are_attributes_with_a_place_in_the_state():
    net = Net()
    assert list(net.state_dict()) == ["scale", "count", "mean", "first.weight", "first.bias",
                                      "rest.1.weight", "rest.1.bias"]
    net.mean = mt.ones(2)
    assert net.state_dict()["mean"].tolist() == [1.0, 1.0]
    net.register_buffer("mean", None)
    assert "mean" not in net.state_dict()
    assert nn.Module()._buffers == {}


@pytest.mark.parametrize("register, good", [("register_buffer", mt.ones(1)), ("add_module", nn.Tanh()),
                                            ("register_parameter", nn.Parameter(mt.ones(1)))])
def test_registering_checks_name_and_value(register, good):
    net = Net()
    before = dict(net.__dict__)
    for name, value, error in ((3, good, TypeError), ("", good, KeyError), ("a.b", good, KeyError),
                               ("forward", good, KeyError), ("training", good, KeyError),
                               ("new", "text", TypeError)):
        with pytest.raises(error):
            getattr(net, register)(name, value)
    assert net.__dict__ == before
    getattr(net, register)("new", good)
    assert net.new is good
    getattr(net, register)("none", None)
    assert net.none is None


def test_subclasses_may_call_super():
    class Child(Net):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(2, 1)

    assert [name for name, _ in Child().named_parameters()] == [*NAMES, "last.weight", "last.bias"]


def test_deepcopy_keeps_sharing_and_owns_its_memory():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    twin = copy.deepcopy(net)
    assert twin[1].weight is twin[0].weight and twin[0].weight is not net[0].weight
    before = snapshot(net)
    with mt.no_grad():
        twin[0].weight.zero_()
    assert_unchanged(net, before)


def test_pickle_round_trip(rng):
    net = Net().eval()
    other = pickle.loads(pickle.dumps(net))
    x = mt.from_numpy(rng.standard_normal((5, 3)).astype(np.float32))
    np.testing.assert_array_equal(other(x).detach().numpy(), net(x).detach().numpy())
    assert not other.training and not other.rest[1].training


# -- modes and walks


def test_train_and_eval_reach_every_module():
    net = Net()
    assert net.training
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    net.rest.train()
    assert [module.training for module in net.modules()] == [False, False, True, True, True]
    with pytest.raises(ValueError, match="True or False"):
        net.train("yes")


def test_apply_goes_inside_first():
    net = Net()
    met = []
    assert net.apply(met.append) is net
    assert met == [net.first, net.rest[0], net.rest[1], net.rest, net]


def test_requires_grad_reaches_every_parameter():
    net = Net()
    assert net.requires_grad_(False) is net
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert not net(mt.ones(1, 3)).requires_grad


def test_zero_grad_forgets_or_zeroes(rng):
    net = Net()
    net(mt.from_numpy(rng.standard_normal((5, 3)).astype(np.float32))).sum().backward()
    net.zero_grad(set_to_none=False)
    assert all((parameter.grad == 0).all() for parameter in net.parameters())
    net.zero_grad()
    assert all(parameter.grad is None for parameter in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_dtype_changes_keep_objects_and_integers(rng):
    net = Net()
    parameters = list(net.parameters())
    net(mt.from_numpy(rng.standard_normal((5, 3)).astype(np.float32))).sum().backward()
    grads = [parameter.grad.numpy().copy() for parameter in parameters]
    before = snapshot(net)
    assert net.double() is net
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    assert all(p.dtype == p.grad.dtype == mt.float64 for p in parameters)
    assert net.mean.dtype == net.scratch.dtype == mt.float64 and net.count.dtype == mt.int64
    net.float()
    assert_unchanged(net, before)       # float32 -> float64 -> float32 is exact
    for parameter, grad in zip(parameters, grads, strict=True):
        np.testing.assert_array_equal(parameter.grad.numpy(), grad)
    for dtype in (mt.int64, None, "banana"):
        with pytest.raises(TypeError, match="float32 or float64"):
            net.to(dtype)


# -- state


def test_state_dict_round_trip_is_exact_and_in_place():
    net, other = Net(), Net()
    parameters = list(other.parameters())
    result = other.load_state_dict(net.state_dict())
    assert result.missing_keys == [] and result.unexpected_keys == []
    assert_unchanged(other, snapshot(net))
    assert all(a is b for a, b in zip(other.parameters(), parameters, strict=True))
    assert all(parameter.requires_grad for parameter in parameters)


def test_state_dict_shares_memory_without_the_graph():
    net = nn.Linear(2, 2)
    state = net.state_dict()
    assert not state["weight"].requires_grad
    state["weight"].zero_()
    assert (net.weight == 0).all()


def test_load_state_dict_tells_all_problems_and_changes_nothing():
    net = Net()
    before = snapshot(net)
    state = {name: tensor + 1 for name, tensor in net.state_dict().items()}
    del state["first.bias"]
    state["extra"] = mt.ones(1)
    state["rest.1.weight"] = mt.ones(4, 2)
    state["mean"] = np.ones(2)
    state["count"] = mt.tensor(0.5)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    assert str(caught.value).split("\n\t") == [
        "Error(s) in loading state_dict for Net:",
        'Unexpected key(s) in state_dict: "extra".',
        'Missing key(s) in state_dict: "first.bias".',
        "dtype mismatch for count: float32 of the state_dict does not fit into int64.",
        "type mismatch for mean: expected a Tensor, got ndarray.",
        "size mismatch for rest.1.weight: the state_dict has shape (4, 2), the module (2, 4).",
    ]
    assert_unchanged(net, before)
    with pytest.raises(TypeError, match="dict of tensors"):
        net.load_state_dict([1])


def test_load_state_dict_not_strict_returns_names():
    net = nn.Linear(2, 2)
    bias = net.bias.tolist()
    result = net.load_state_dict({"weight": mt.zeros(2, 2), "other": mt.ones(1)}, strict=False)
    assert result == (["bias"], ["other"])
    assert (net.weight == 0).all() and net.bias.tolist() == bias
    with pytest.raises(RuntimeError, match=r"size mismatch for weight: .*\(3, 2\).*\(2, 2\)"):
        net.load_state_dict({"weight": mt.zeros(3, 2)}, strict=False)


def test_load_state_dict_converts_between_floats():
    net = nn.Linear(2, 2)
    net.load_state_dict(nn.Linear(2, 2, dtype=mt.float64).state_dict())
    assert net.weight.dtype == mt.float32


# -- errors and looks


def test_errors_name_the_layer_once():
    class Outer(nn.Module):
        def __init__(self):
            self.net = nn.Sequential(nn.Identity(), nn.Tanh(), nn.Linear(768, 10))

        def forward(self, x):
            return self.net(x)

    x = mt.zeros(256, 4096)
    with pytest.raises(ValueError, match=r"768") as direct:
        mt.ops.linear(x, mt.zeros(10, 768))
    with pytest.raises(ValueError, match=r"^Linear: ") as alone:
        nn.Linear(768, 10)(x)
    with pytest.raises(ValueError, match=r"^Linear 'net\.2': .*\(256, 4096\)") as inside:
        Outer()(x)
    assert type(direct.value) is type(alone.value) is type(inside.value)
    assert str(inside.value).count("Linear") == 1


def test_errors_of_other_kinds_pass_unchanged():
    class CodedError(ValueError):
        pass

    class Raising(nn.Module):
        def forward(self, error):
            raise error

    net = nn.Sequential(Raising())
    for error in (KeyError("k"), ValueError(), CodedError("text", 3)):
        before = error.args
        with pytest.raises(type(error)) as caught:
            net(error)
        assert caught.value is error and error.args == before
    with pytest.raises(CodedError, match=r"^Raising '0': text$"):
        net(CodedError("text"))
    with pytest.raises(TypeError, match=r"^Linear '0': .*takes 2 positional arguments"):
        class Two(nn.Module):
            def __init__(self):
                self.add_module("0", nn.Linear(2, 2))

            def forward(self, x):
                return getattr(self, "0")(x, x)

        Two()(mt.ones(1, 2))


def test_forward_is_required():
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(1)


def test_repr_is_nested():
    assert repr(Net()) == (
        "Net(\n"
        "  (first): Linear(in_features=3, out_features=4, bias=True)\n"
        "  (rest): Sequential(\n"
        "    (0): Tanh()\n"
        "    (1): Linear(in_features=4, out_features=2, bias=True)\n"
        "  )\n"
        ")"
    )
    assert repr(nn.Sequential()) == "Sequential()"


@pytest.mark.parametrize("use", [lambda m: list(m.parameters()), lambda m: m.eval(), lambda m: m.state_dict(),
                                 lambda m: m.apply(print)], ids=["parameters", "eval", "state_dict", "apply"])
def test_parts_hidden_in_nested_containers_are_refused(use):
    module = nn.Module()
    module.layers = [{"first": [nn.Linear(2, 2)]}]
    with pytest.raises(TypeError, match="ModuleList"):
        use(module)


def test_load_state_dict_into_read_only_memory_changes_nothing():
    layer = nn.Linear(2, 3)
    weight, frozen = layer.weight.detach().numpy().copy(), np.zeros(3, np.float32)
    frozen.flags.writeable = False
    layer.bias.data = mt.from_numpy(frozen)
    with pytest.raises(RuntimeError, match="read-only memory: bias"):
        layer.load_state_dict(nn.Linear(2, 3).state_dict())
    np.testing.assert_array_equal(layer.weight.detach().numpy(), weight)


def test_error_of_the_users_own_keeps_its_words():
    class Gone(nn.Module):
        def forward(self, x):
            raise ValueError("status: 404: gone")

    with pytest.raises(ValueError, match="Gone '0': status: 404: gone"):
        nn.Sequential(Gone())(1)


def test_sequential_calls_a_call_of_the_class_itself():
    class Doubled(nn.Identity):
        def __call__(self, x):
            return 2 * super().__call__(x)

    assert nn.Sequential(nn.Identity(), Doubled(), nn.Identity())(3.0) == 6.0


@pytest.mark.parametrize("error, message", [(None, "while its Leaving was called"), (ValueError, "^Leaving: gone$")])
def test_sequential_that_is_changed_while_it_is_called_raises(error, message):
    class Leaving(nn.Module):
        def forward(self, x):
            delattr(net, "0")
            if error is not None:
                raise error("gone")
            return x

    net = nn.Sequential(Leaving(), nn.Identity())
    with pytest.raises(error or RuntimeError, match=message):
        net(1)
    assert net(1) == 1
