"""The steps of batchnorm_eval."""

import copy
from functools import cache

import numpy as np

from microtensor.gradcheck import check_function
from microtensor.learn.given import batchnorm, batchnorm_backward
from microtensor.learn.steps import Case, Wrong, forward, gradient, step
from microtensor.ops.sample import Draw

LAYER = "batchnorm_layer"
NAMES = ("x", "gamma", "beta")
VERDICTS = ("PASS", "FAIL", "VACUOUS")
EPS, MOMENTUM = 0.5, 0.3        # others than the defaults
CLOSE = 1e-9


def check(answer, draw):
    x, gamma, beta = 2 + draw(7, 3), draw.nonzero(3), draw(3)
    mean, var = 2 + 0.3 * draw(3), draw.positive(3)
    small = 1e-5 * draw.positive(3)
    other = draw(5, 3)
    yield forward(
        in_mode(answer, True, mean, var), LAYER, lambda *inputs: batchnorm(*inputs)[0],
        Case(x, gamma, beta, why="in training the mean is that of the batch, and so is the variance, divided by N"),
        Case(x, gamma, beta, EPS, why=f"here the argument eps is {EPS}"),
        Case(0.01 * other, gamma, beta, why="here the variances are so small that eps, 1e-5, matters"),
        step_name="forward training")
    yield forward(
        in_mode(answer, False, mean, var), LAYER, lambda *inputs: evaluate(mean, var, *inputs),
        Case(x, gamma, beta, why="in evaluation mean and variance are the running averages; eps is in the root"),
        Case(x, gamma, beta, EPS, why=f"here the argument eps is {EPS}"),
        Case(x[:1], gamma, beta, why="here N = 1"),
        step_name="forward evaluation")
    yield forward(
        in_mode(answer, False, mean, small), LAYER, lambda *inputs: evaluate(mean, small, *inputs),
        Case(x, gamma, beta, why="here the running variances are so small that eps, 1e-5, matters"),
        step_name="forward evaluation")
    yield statistics(answer, [x, other, draw(2, 3)], gamma, beta)
    yield gradient(
        in_mode(answer, True, mean, var, between=other), LAYER, f"{LAYER}_backward", [x, gamma, beta], NAMES,
        why="here another call, in evaluation, lies between forward and backward",
        step_name="gradient training")
    yield gradient(
        in_mode(answer, False, mean, var, between=other), LAYER, f"{LAYER}_backward", [x, gamma, beta], NAMES,
        why="here another call, in training, lies between forward and backward, and changes running",
        step_name="gradient evaluation")
    yield verdicts(answer)


def evaluate(mean, var, x, gamma, beta, eps=1e-5):
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


def in_mode(answer, training, mean, var, between=None):
    """The answer as functions of x, gamma and beta, and eps if it is given.

    Args:
        answer: the Answer.
        training: the mode.
        mean, var: the running averages at each call.
        between: what the layer is called with in the other mode after each call, if anything.
    """

    def layer(x, gamma, beta, *eps):
        if training and len(x) < 2:
            raise ValueError("training takes two rows")     # the checker tries a batch of one, too
        numbers = {"eps": eps[0]} if eps else {}
        running = {"mean": mean.copy(), "var": var.copy()}
        found = answer[LAYER](x, gamma, beta, running, training, **numbers)
        if between is not None:
            answer[LAYER](between.copy(), gamma.copy(), beta.copy(), running, not training)
        return found

    return answer.with_functions(**{
        LAYER: layer, f"{LAYER}_backward": lambda *arguments: answer[f"{LAYER}_backward"](*arguments)})


# -- the running averages ------------------------------------------------------------------------------------------


def statistics(answer, batches, gamma, beta):
    """A step that follows the running averages through batches of training, and through one of evaluation."""

    def run():
        for numbers in ({}, {"momentum": MOMENTUM}):
            running = {"mean": np.zeros(3), "var": np.ones(3)}
            for x in batches:
                before = copy.deepcopy(running)
                answer[LAYER](x.copy(), gamma.copy(), beta.copy(), running, True, **numbers)
                compare(running, before, x, numbers.get("momentum", 0.1))
            before = copy.deepcopy(running)
            answer[LAYER](batches[0].copy(), gamma.copy(), beta.copy(), running, False, **numbers)
            for name in ("mean", "var"):
                if not np.array_equal(running.get(name), before[name]):
                    raise Wrong(f'running["{name}"] is changed by a call in evaluation', input=name, hint="evaluation")
        return f"{2 * len(batches)} batches"

    return step(answer, "statistics", run)


def compare(running, before, x, momentum):
    """Raise Wrong unless the running averages are what a batch of training should make of them."""
    for name, of_batch in (("mean", x.mean(0)), ("var", x.var(0, ddof=1))):
        old, found = before[name], running.get(name)
        right = (1 - momentum) * old + momentum * of_batch
        if not isinstance(found, np.ndarray) or found.shape != right.shape or found.dtype.kind != "f":
            array = isinstance(found, np.ndarray)
            kind = f"an array of {found.dtype}, of shape {found.shape}," if array else type(found).__name__
            raise Wrong(f'running["{name}"] is {kind} after a batch, and should be an array of floats, of shape '
                        f"{right.shape}", input=name)
        if is_close(found, right):
            continue
        known = {
            "unchanged": (old, f'it is not changed: assign the new array to running["{name}"]'),
            "momentum": (momentum * old + (1 - momentum) * of_batch, "momentum and 1 - momentum are exchanged"),
            "batch": (of_batch, "it is that of the last batch alone, and no average"),
            "ddof": ((1 - momentum) * old + momentum * x.var(0), "it is made of the variance that divides by N"),
            "twice": ((1 - momentum) * right + momentum * of_batch, "it is updated twice"),
            "root": ((1 - momentum) * old + momentum * x.std(0, ddof=1), "it is made of the standard deviation"),
        }
        key, text = next(((key, text) for key, (other, text) in known.items() if is_close(found, other)), ("", ""))
        j = int(np.argmax(np.where(found == right, 0, np.abs(found - right))))
        raise Wrong(f'running["{name}"][{j}] is {found[j]:.10g} after a batch, should be {right[j]:.10g}',
                    f"before it was {old[j]:.10g}, momentum is {momentum}, and N = {len(x)}",
                    *([f"-> {text}"] if text else []), input=name, hint=key)


def is_close(found, right):
    return bool(np.all(np.abs(found - right) <= CLOSE * np.max(np.abs(right))))


# -- the predictions -----------------------------------------------------------------------------------------------


def verdicts(answer):
    """A step that compares the predicted verdicts with those of the checker."""

    def run():
        said = answer["VERDICTS"]
        if not isinstance(said, dict) or not set(QUESTIONS) <= set(said):
            raise Wrong(f"VERDICTS should be a dictionary with the keys {', '.join(QUESTIONS)}")
        if any(said[question] is None for question in QUESTIONS):
            raise NotImplementedError
        for question in QUESTIONS:
            word = str(said[question]).strip().upper()
            if word not in VERDICTS:
                raise Wrong(f"{question}: {said[question]!r} is none of {', '.join(VERDICTS)}", input=question)
            found = QUESTIONS[question]()
            if word != found.verdict:
                raise Wrong(f"{question}: you said {word}, and the checker says {found.verdict}",
                            f"d{found.place}: backward gives {found.analytic:g}, differences {found.numeric:.6g}",
                            *found.text, input=question)
        return ", ".join(f"{question} {QUESTIONS[question]().verdict}" for question in QUESTIONS)

    return step(answer, "verdicts", run)


@cache
def bias(training):
    """The InputReport of a bias before batch normalisation, in a backward pass that returns 0 for it."""
    draw = Draw(0)
    x, w, b, gamma, beta = draw(5, 2), draw(2, 3), draw(3), draw.nonzero(3), draw(3)
    mean, var = draw(3), draw.positive(3)

    def layer(x, w, b):
        z = x @ w + b
        y, saved = batchnorm(z, gamma, beta) if training else (evaluate(mean, var, z, gamma, beta), None)
        return y, (x, w, b, saved)

    def backward(g, saved):
        x, w, b, saved = saved
        dz = batchnorm_backward(g, saved)[0] if training else g * gamma / np.sqrt(var + 1e-5)
        return dz @ w.T, x.T @ dz, np.zeros_like(b)

    return verdict_for("b", layer, backward, [x, w, b])


@cache
def dead():
    """The InputReport of the weights of a unit that is dead for all of the batch."""
    draw = Draw(0)
    x, w = draw(5, 2), draw(2)
    b = np.array([-1 - np.max(x @ w)])

    def backward(g, x, w, b):
        dz = g * (x @ w + b > 0)
        return np.outer(dz, w), x.T @ dz, dz.sum(keepdims=True)

    return verdict_for("w", lambda x, w, b: np.maximum(x @ w + b, 0), backward, [x, w, b])


def verdict_for(name, layer, backward, inputs):
    report = check_function(layer, backward, inputs, names=("x", "w", "b"), edits=False, raise_exception=False)
    return next(found for found in report.inputs if found.name == name)


QUESTIONS = {"training": lambda: bias(True), "evaluation": lambda: bias(False), "dead": dead}
