"""The steps of batchnorm_steps."""


import numpy as np

from microtensor.gradcheck.compare import place_of
from microtensor.learn.steps import Case, Wrong, forward, gradient, step

NAMES = ("x", "gamma", "beta")
USES = {            # from y back: each node, and in which nodes it is used
    "beta": ("y",), "gamma": ("y",), "h": ("y",), "r": ("h",), "v": ("r",), "d": ("h", "v"), "m": ("d",),
    "x": ("d", "m")}
EPS = 0.1           # it matters for variances of about 1
CLOSE = 1e-9        # relative to the largest element
TINY = 1e-30        # the step of differences; it is imaginary, so that nothing cancels


def check(answer, draw):
    gamma, beta = draw.nonzero(3), draw(3)
    x = 2 + draw(7, 3)
    small = 0.01 * draw(5, 3)
    result = forward(
        answer, "batchnorm_steps", reference,
        Case(x, gamma, beta, EPS),
        Case(small, gamma, beta, why="here eps is left to its default, and the variances are as small as it is"),
        Case(draw(2, 5), draw(5), draw(5), why="here x has the shape (2, 5)"),
        Case(np.ones((3, 2)), np.ones(2), np.zeros(2), why="here every column is constant, so that v is 0"),
        Case(1e4 + 0.01 * draw(5, 3), np.ones(3), np.full(3, 4.0),
             why="here the mean is 10000 and the spread 0.01: few digits are left of v if it is not made of d alone"),
    )
    yield result
    if result.passed:           # the nodes are those of the task
        result = nodes(answer, x, gamma, beta, EPS, draw(*x.shape))
        yield result
        if not result.passed:
            return
    yield gradient(of_inputs(answer), "batchnorm_steps", "batchnorm_steps_backward", [small, gamma, beta], NAMES)


def reference(x, gamma, beta, eps=1e-5):
    return graph({"x": x, "gamma": gamma, "beta": beta}, eps)["y"]


def graph(inputs, eps, change=(), by=0):
    """All nodes, by name.

    Args:
        inputs: x, gamma and beta.
        eps: the number.
        change: (node, other): the value of this node that the other is computed from is changed.
        by: what is added to it.
    """
    node = dict(inputs)

    def read(name, user):
        return node[name] + by if (name, user) == change else node[name]

    node["m"] = np.mean(read("x", "m"), 0)
    node["d"] = read("x", "d") - read("m", "d")
    node["v"] = np.mean(read("d", "v") ** 2, 0)
    node["r"] = 1 / np.sqrt(read("v", "r") + eps)
    node["h"] = read("r", "h") * read("d", "h")
    node["y"] = read("gamma", "y") * read("h", "y") + read("beta", "y")
    return node


def differences(inputs, eps, g, name, user):
    """What one use of a node adds to its gradient: differences of L = sum(g y), along the imaginary axis."""
    found = np.zeros(graph(inputs, eps)[name].shape)
    for place in np.ndindex(found.shape):
        by = np.zeros(found.shape, complex)
        by[place] = TINY * 1j
        found[place] = np.sum(g * graph(inputs, eps, (name, user), by)["y"]).imag / TINY
    return found


def nodes(answer, x, gamma, beta, eps, g):
    """A step that compares the gradients of all nodes, from y back, until one is wrong."""

    def run():
        _, saved = answer["batchnorm_steps"](x.copy(), gamma.copy(), beta.copy(), eps)
        ours = answer["batchnorm_steps_backward"](g.copy(), saved)
        if not isinstance(ours, dict):
            raise Wrong(f"backward returns {type(ours).__name__}, and should return a dictionary with the keys "
                        f"{', '.join(USES)}")
        inputs = {"x": x, "gamma": gamma, "beta": beta}
        right = []
        for name, users in USES.items():
            parts = {user: differences(inputs, eps, g, name, user) for user in users}
            compare(name, ours, parts, graph(inputs, eps), right)
            right.append(f"d{name}")
        return ", ".join(right)

    return step(answer, "nodes", run)


def compare(name, ours, parts, values, right):
    """Raise Wrong unless the gradient of a node is the sum of its parts.

    Args:
        name: of the node.
        ours: the learner's gradients, by name.
        parts: what each use adds to the gradient.
        values: of all nodes.
        right: which gradients were right so far, such as ["dbeta"].
    """
    also = f"; {', '.join(right)} ok" if right else ""
    if name not in ours:
        raise Wrong(f"backward's dictionary has no key {name!r}{also}", input=name)
    d, numeric = ours[name], sum(parts.values())
    if isinstance(d, float):
        d = np.asarray(d)
    if not isinstance(d, np.ndarray) or d.dtype.kind != "f":
        kind = f"an array of {d.dtype}" if isinstance(d, np.ndarray) else type(d).__name__
        raise Wrong(f"d{name} is {kind}, and should be an array of floats{also}", input=name)
    if d.shape != numeric.shape:
        repeated = d.shape == np.shape(values["y"]) and is_close(d.sum(0), numeric)
        hint = ["-> all rows use the same number: sum over them"] if repeated else []
        raise Wrong(f"d{name} has shape {d.shape}, should be {numeric.shape}{also}", *hint, input=name,
                    hint="unreduced" if repeated else "")
    if is_close(d, numeric):
        return
    off = ~(np.abs(d - numeric) <= CLOSE * np.max(np.abs(numeric)))
    place = tuple(map(int, np.unravel_index(np.argmax(np.where(off, np.abs(d - numeric), -1)), d.shape)))
    key, hint = explanation(name, d, parts, values)
    raise Wrong(f"d{name} {d.shape}: {np.sum(off)} of {d.size} wrong{also}",
                f"worst {place_of(f'd{name}', place)}: yours {d[place]:.10g}, numeric {numeric[place]:.10g}, "
                f"ratio {d[place] / numeric[place]:.6f}", *([f"-> {hint}"] if hint else []), input=name, hint=key)


def is_close(d, numeric):
    return bool(np.all(np.abs(d - numeric) <= CLOSE * np.max(np.abs(numeric))))


def explanation(name, d, parts, values):
    """A key and a sentence on what is wrong with a gradient; both empty if it is not known."""
    numeric = sum(parts.values())
    if is_close(d, -numeric):
        return "sign", "the sign is wrong"
    for user, part in parts.items() if len(parts) > 1 else ():
        if is_close(d, numeric - part):
            return "path", f"{name} is used in {user} as well: this term is missing"
        if is_close(d, numeric - 2 * part):
            return "sign", f"the term of {user} has the wrong sign"
        for number, what in numbers(values):
            if is_close(d, numeric + (number - 1) * part):
                return "factor", f"the term of {user} is {what} times what it should be"
    for number, what in numbers(values):
        for sign, negative in ((1, ""), (-1, "-")):
            if is_close(d, sign * number * numeric):
                return "factor", f"it is {negative}{what} times what it should be"
    for factor in ("gamma", "r", "v", "d", "h"):
        for power in (-2, -1, 1, 2):
            for sign, also in ((1, ""), (-1, ", and the sign is wrong")):
                if np.shape(values[factor]) in (d.shape, d.shape[1:]) and \
                        is_close(d, sign * numeric * values[factor] ** power):
                    what = factor if abs(power) == 1 else f"{factor}^2"
                    return "power", f"a factor {what} is {'too many' if power > 0 else 'missing'}{also}"
    return "", ""


def numbers(values):
    """Factors that may be forgotten or too many, in words."""
    n = len(values["x"])
    yield from ((2, "2"), (1 / 2, "1/2"), (n, f"N = {n}"), (1 / n, f"1/N = 1/{n}"), (n / 2, f"N/2 = {n}/2"))
    yield from ((2 / n, f"2/N = 2/{n}"), (n / (n - 1), f"N/(N-1) = {n}/{n - 1}"))
    yield (n - 1) / n, f"(N-1)/N = {n - 1}/{n}"


def of_inputs(answer):
    """The answer, with a backward pass that returns the gradients of the inputs alone."""

    def backward(*arguments):
        found = answer["batchnorm_steps_backward"](*arguments)
        if not isinstance(found, dict) or not set(NAMES) <= set(found):
            raise Wrong(f"backward returns no dictionary with the keys {', '.join(USES)}")
        return {name: found[name] for name in NAMES}

    return answer.with_functions(batchnorm_steps=lambda *inputs: answer["batchnorm_steps"](*inputs),
                                 batchnorm_steps_backward=backward)
