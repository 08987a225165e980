"""Optimizer: parameter groups with their options, and state per parameter."""

import numbers
import warnings

from microtensor import foreach
from microtensor.core import Tensor, enable_grad


class Optimizer:
    """Base class of optimisers: a subclass gives ``update`` and, if options can be wrong, ``check_options``.

    Args:
        params: an iterable of tensors, or of dicts, each a group: {"params": tensors, option: value, ...}.
        defaults: the options and what they are in groups that do not say.

    Attributes:
        param_groups: a list of dicts: "params" and every option. Options may be changed between steps.
        state: a dict of dicts: what the optimiser remembers, by parameter and name; tensors of the parameter's shape,
            and numbers.
        has_stepped: whether a step has found a gradient, or warned that there was none.

    Raises:
        TypeError: if something to optimise is not a tensor.
        ValueError: if there is nothing to optimise, a parameter comes twice or was computed, or an option is
            wrong or unknown.
    """

    def __init__(self, params, defaults):
        if isinstance(params, Tensor):
            raise TypeError("params must be an iterable of tensors or dicts, not a Tensor: put it in a list")
        if callable(getattr(params, "parameters", None)):
            raise TypeError(f"params must be an iterable of tensors or dicts, not a {type(params).__name__}: pass its "
                            ".parameters()")
        if callable(params):
            raise TypeError("params must be an iterable of tensors or dicts, not a function: call it, as in "
                            "net.parameters()")
        groups = list(params)
        if not groups:
            raise ValueError("no parameters: a generator such as net.parameters() gives them only once")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        self.defaults = defaults
        self.param_groups = []
        self.state = {}
        self.has_stepped = False
        for group in groups:
            self.add_param_group(group)

    def check_options(self, options):
        """Raise ValueError if the value of an option is wrong."""

    def add_param_group(self, param_group):
        """Add parameters with options of their own, for example those of a layer that was frozen.

        Args:
            param_group: {"params": a tensor or an iterable of tensors, option: value, ...}.

        Raises:
            TypeError, ValueError: as the class; nothing is added.
        """
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError('a parameter group must be a dict with the key "params"')
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        seen = {param for group in self.param_groups for param in group["params"]}
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(f"an optimiser takes tensors, not {type(param).__name__}")
            if not param.is_leaf:
                raise ValueError(f"a computed tensor, here of shape {param.shape}, cannot be optimised: pass "
                                 "the leaf it is computed from")
            if param in seen:
                raise ValueError(f"a parameter of shape {param.shape} is given twice")
            seen.add(param)
        unknown = [option for option in param_group if option != "params" and option not in self.defaults]
        if unknown:
            options = ", ".join(self.defaults)
            raise ValueError(f"{type(self).__name__} has no option {unknown[0]!r}: its options are {options}")
        group = {**self.defaults, **param_group, "params": params}
        self.check_options(group)
        self.param_groups.append(group)

    @staticmethod
    def update(groups, state):
        """Update the parameters of the groups that have a gradient, and the state; whether there is any."""
        raise NotImplementedError("this optimiser has no update")

    def step(self, closure=None):
        """Update the parameters from their gradients; warn once if the first step finds none.

        Args:
            closure: a function that computes the loss and its gradients anew; called once, before the update.

        Returns:
            What the closure returned, None without one.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        found = self.update(self.param_groups, self.state)
        if not found and not self.has_stepped:
            warnings.warn(f"{type(self).__name__}.step() changed nothing, as no parameter has a gradient: call "
                          "loss.backward() before it, and zero_grad() before that", stacklevel=2)
        self.has_stepped = True
        return loss

    def zero_grad(self, set_to_none=True):
        """Forget the gradients, or set them to 0."""
        for group in self.param_groups:
            foreach.zero_grad(group["params"], set_to_none)

    def state_dict(self):
        """Options and state, with parameters replaced by their numbers 0, 1, 2, ... through all groups."""
        params = [param for group in self.param_groups for param in group["params"]]
        number = {param: i for i, param in enumerate(params)}
        return {
            "state": {number[param]: dict(state) for param, state in self.state.items()},
            "param_groups": [{**group, "params": [number[param] for param in group["params"]]}
                             for group in self.param_groups],
        }

    def load_state_dict(self, state_dict):
        """Take over options and state, copied in the parameters' dtypes, once everything is checked.

        Args:
            state_dict: as ``state_dict()`` of an optimiser of the same class and groups gives it.

        Raises:
            ValueError: if groups, options or shapes do not fit; nothing is changed. Options that the state_dict does
                not have, as one of an older version, are those of the defaults.
        """
        saved_groups = state_dict["param_groups"]
        saved_sizes = [len(saved["params"]) for saved in saved_groups]
        sizes = [len(group["params"]) for group in self.param_groups]
        if saved_sizes != sizes:
            raise ValueError(f"the state_dict has groups of {saved_sizes} parameters, not {sizes}")
        params = {}
        for saved, group in zip(saved_groups, self.param_groups, strict=True):
            unknown = sorted(saved.keys() - group.keys())
            if unknown:
                raise ValueError(f"the state_dict has an option {unknown[0]!r}, {type(self).__name__} has "
                                 f"{', '.join(self.defaults)}")
            self.check_options({**self.defaults, **saved})
            params.update(zip(saved["params"], group["params"], strict=True))

        state = {}
        for number, values in state_dict["state"].items():
            if number not in params:
                raise ValueError(f"the state_dict has a state {number}, but no such parameter in its groups")
            param = params[number]
            state[param] = {name: _fitting(value, f"{name} {number}", param) for name, value in values.items()}

        for saved, group in zip(saved_groups, self.param_groups, strict=True):
            group.update({**self.defaults, **saved, "params": group["params"]})
        self.state.clear()                      # and not another dict, as a captured step computes with this one
        self.state.update(state)

    def __repr__(self):
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {option}: {group[option]}" for option in sorted(group) if option != "params"]
        return "\n".join([*lines, ")"])


def _fitting(value, name, param):
    """A value of a state_dict as it is kept for a parameter: a number, or a tensor copied in the parameter's dtype."""
    if isinstance(value, Tensor):
        if value.shape != param.shape:
            raise ValueError(f"{name} has shape {value.shape}, its parameter {param.shape}")
        return value.detach().to(param.dtype).clone()
    if not isinstance(value, numbers.Number):
        raise TypeError(f"{name} must be a tensor or a number, got {type(value).__name__}")
    return value


def check_not_negative(options, *names):
    """Raise TypeError or ValueError unless these options are numbers of at least 0."""
    for name in names:
        if isinstance(options[name], str):
            raise TypeError(f"{name} must be a number, not the string {options[name]!r}")
        if not options[name] >= 0:
            raise ValueError(f"{name} must be at least 0, got {options[name]}")
