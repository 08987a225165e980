"""The steps of sgd."""

import re

import numpy as np

from microtensor.gradcheck import check_optimizer
from microtensor.learn import steps
from microtensor.learn.steps import Wrong, output_of

# What each step is called, and the options: momentum, weight_decay, nesterov.
RUNS = (
    ("momentum", 0.9, 0.0, False),
    ("momentum", 0.5, 0.0, False),
    ("momentum", 0.0, 0.0, False),
    ("weight decay", 0.9, 0.1, False),
    ("weight decay", 0.0, 0.1, False),
    ("nesterov", 0.9, 0.0, True),
    ("nesterov", 0.5, 0.1, True),
    ("nesterov", 0.0, 0.1, True),
)


def check(answer, draw):
    yield steps.step(answer, "state", lambda: own_state(answer, draw))
    for name, *options in RUNS:
        yield steps.step(answer, name, lambda options=options: run(answer, *options))


def new_theta(answer, theta, g, state, *options):
    """What the learner's step returns, if it is an array like theta, and theta is unchanged."""
    given = theta.copy()
    found = output_of(answer["step"](given, g, state, *options), "step", saves=False)
    if found.shape != theta.shape:
        raise Wrong(f"step returns shape {found.shape}, should be {theta.shape}, which is that of theta")
    if not np.array_equal(given, theta):
        raise Wrong("step changes theta in place: return a new array")
    return found


def own_state(answer, draw):
    """Steps of one theta do not depend on steps of another one, and what the next step needs is in state."""
    gradients = draw(3, 2, 3, 5)        # of three steps for two thetas
    options = 0.1, 0.9, 0.0, False

    def three_steps(*both):
        """The first theta after three steps, and the states."""
        thetas, states = np.ones((2, 3, 5)), ({}, {})
        for g in gradients:
            for k in both:
                thetas[k] = new_theta(answer, thetas[k], g[k].copy(), states[k], *options)
        return thetas[0], states

    alone, states = three_steps(0)
    if not states[0]:
        raise Wrong("state is still empty after three steps with momentum 0.9",
                    "change the dictionary that the caller passes: what is kept in a variable, or in another "
                    "dictionary that is given the name state, is not in it")
    beside, _ = three_steps(0, 1)
    if not np.array_equal(alone, beside):
        raise Wrong("the steps of one theta change if there are steps of another theta between them",
                    "each theta has a velocity of its own, which must be kept in its state")
    return "each theta has its own"


class Optimizer:
    """The learner's step, as ``check_optimizer`` takes an optimiser."""

    def __init__(self, answer, params, **options):
        self.answer, self.states, self.changed = answer, [{} for _ in params], False
        self.param_groups = [{"params": params, "lr": 0.1, **options}]

    def step(self):
        group = self.param_groups[0]
        options = [group[name] for name in ("lr", "momentum", "weight_decay", "nesterov")]
        for parameter, state in zip(group["params"], self.states, strict=True):
            theta, g = parameter.detach().numpy(), parameter.grad.numpy()
            before = g.copy()
            theta[...] = new_theta(self.answer, theta, g, state, *options)
            self.changed |= not np.array_equal(g, before)


def run(answer, momentum, weight_decay, nesterov):
    """Compare several steps with the recurrence."""
    made = []

    def make(params):
        made.append(Optimizer(answer, params, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov))
        return made[-1]

    report = check_optimizer(make, reference="SGD", raise_exception=False, seed=answer.seed)
    if not report:
        found = next(found for found in report.inputs if not found)
        last, *place = found.index
        first = int(re.search(r"\d+", found.text[0])[0])        # both count from 0
        lines = [f"the first wrong step is step {first + 1}", *(f"-> {hint}" for hint in found.hints),
                 f"momentum is {momentum} here, weight_decay is {weight_decay}, and nesterov is {nesterov}"]
        lines += ["step changes g in place, too: the caller still needs it"] if made[0].changed else []
        raise Wrong(f"theta{place or ''} = {found.analytic:.10g} after step {last + 1}, should be {found.numeric:.10g}",
                    *lines, input="theta", hint=found.hints[0].key if found.hints else "")
    if made[0].changed:
        raise Wrong("the numbers are right, but step changes g in place: the caller still needs it")
    return f"{sum(found.checked for found in report.inputs)} elements in all steps"
