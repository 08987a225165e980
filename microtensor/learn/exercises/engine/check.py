"""The steps of engine."""

import gc
import itertools
import sys
import weakref

import numpy as np

from microtensor.gradcheck.compare import place_of
from microtensor.learn.steps import Case, Wrong, explained, forward, gradient, once, step

OPERATIONS = {      # by name: in words, and with Tensors
    "add": ("{} + {}", lambda a, b: a + b),
    "mul": ("{} * {}", lambda a, b: a * b),
    "matmul": ("{} @ {}", lambda a, b: a @ b),
    "sum": ("{}.sum()", lambda t: t.sum()),
    "sum keep": ("{}.sum(keepdims=True)", lambda t: t.sum(keepdims=True)),
    "sum 0": ("{}.sum(0)", lambda t: t.sum(0)),
    "sum 1": ("{}.sum(axis=1)", lambda t: t.sum(axis=1)),
    "sum 1 keep": ("{}.sum(1, keepdims=True)", lambda t: t.sum(1, keepdims=True)),
    "sum last": ("{}.sum(-1)", lambda t: t.sum(-1)),
    "relu": ("{}.relu()", lambda t: t.relu()),
    "exp": ("{}.exp()", lambda t: t.exp()),
    "log": ("{}.log()", lambda t: t.log()),
}
CHAIN = 10_000      # tensors, one after the other
DEPTH = 1000        # calls inside of one another, as many as Python allows by default
DOUBLINGS = 40      # of x = x + x: there are 2^40 paths then
CALLS = 1000        # for each tensor: far more than a pass makes that goes to each one once
ALONE = 1000        # tensors that have nothing to do with y
GRAPHS = 10         # which have ALONE tensors together; the last graph may be kept
GOES_ON = "backward has made {calls:,} calls, and goes on"
ROOM = 1e-9         # relative, for sums that may be added up in any order


def check(answer, draw):
    inputs = list(inputs_of(draw))
    yield values(answer, inputs)
    right = True
    for found in itertools.chain(operations(answer, inputs), uses(answer, draw)):
        yield found
        right &= found.passed
    if right:                       # what fails now is about the order
        yield from order(answer, draw)
        yield at_random(answer, draw)
    found = step(answer, "passes", lambda: passes(answer, draw, inputs if right else ()))
    if found.lines and not right:
        found.lines.append("a gradient above is wrong by itself: put that right first")
    yield found
    yield step(answer, "memory", lambda: memory(answer, draw))
    yield once(answer, "work", lambda: work(answer))
    yield once(answer, "chain", lambda: chain(answer))


def inputs_of(draw):
    """The names of operations, and what they are applied to."""
    yield "add", draw(2, 3), draw(3)
    yield "mul", draw(3, 1), draw(2, 1, 5)
    yield "matmul", draw(2, 3), draw(3, 5)
    yield from ((name, draw(2, 3)) for name in ("sum", "sum keep", "sum last", "exp"))
    yield from ((name, draw(2, 3, 5)) for name in ("sum 1", "sum 1 keep"))
    yield "relu", draw.nonzero(3, 5)
    yield "log", draw.positive(2, 3)


def in_words(name, operands):
    return OPERATIONS[name][0].format(*operands)


def names_of(xs):
    return ("a", "b", "c", "d")[: len(xs)] if len(xs) > 1 else ("t",)


def of_shapes(xs):
    return f"here {' and '.join(f'{name} has the shape {x.shape}' for name, x in zip(names_of(xs), xs, strict=True))}"


# -- formulas ------------------------------------------------------------------------------------------------------


class Plain:
    """A Tensor without gradients, which the learner's is compared with."""

    def __init__(self, data):
        self.data = np.asarray(data)

    def __add__(self, other):
        return Plain(self.data + other.data)

    def __mul__(self, other):
        return Plain(self.data * other.data)

    def __matmul__(self, other):
        return Plain(self.data @ other.data)

    def sum(self, axis=None, keepdims=False):
        return Plain(self.data.sum(axis, keepdims=keepdims))

    def relu(self):
        return Plain(np.maximum(self.data, 0))

    def exp(self):
        return Plain(np.exp(self.data))

    def log(self):
        return Plain(np.log(self.data))


def plain(formula, xs):
    return formula(*map(Plain, xs)).data


def of_formula(answer, text, formula):
    """An Answer of two functions: a formula, computed with the learner's Tensors, and backward from its result."""

    def computed(*xs):
        tensors = [answer["Tensor"](x) for x in xs]
        return formula(*tensors), tensors

    def backward(g, *xs):
        return pulled_back(*computed(*xs), g)           # each pass has a graph of its own

    return answer.with_functions(**{text: lambda *xs: data_of(computed(*xs)[0], text), "backward": backward})


def data_of(y, text):
    """What a Tensor holds, an array of floats."""
    if isinstance(y, (np.ndarray, np.generic)) or not hasattr(y, "data"):
        raise Wrong(f"{text} is {kind(y)}, and should be a Tensor")
    if not isinstance(y.data, (np.ndarray, float)) or np.asarray(y.data).dtype.kind != "f":
        raise Wrong(f"the data of {text} is {kind(y.data)}, and should be an array of floats")
    return np.asarray(y.data)


def grad_of(tensor, name, after="y.backward(g)"):
    """The .grad of a Tensor, an array of floats."""
    if tensor.grad is None:
        raise Wrong(f"{name}.grad is None after {after}, though y was computed from {name}", input=name)
    if not isinstance(tensor.grad, (np.ndarray, float)) or np.asarray(tensor.grad).dtype.kind != "f":
        raise Wrong(f"{name}.grad is {kind(tensor.grad)} after {after}, and should be an array of floats", input=name)
    return np.asarray(tensor.grad)


def pulled_back(y, tensors, g, after="y.backward(g)"):
    """The .grad of some Tensors after a pass from y, which changes no data: of those that can be seen here."""
    named = dict(zip(names_of(tensors), tensors, strict=True))
    before = [(name, tensor, data_of(tensor, name).copy()) for name, tensor in {**named, "y": y}.items()]
    y.backward(g)
    for name, tensor, data in before:
        if not np.array_equal(tensor.data, data):
            raise Wrong(f"{name}.data is changed by {after}: make a new array", input=name, hint="unchanged")
    return tuple(grad_of(tensor, name, after) for name, tensor in named.items())


def kind(value):
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


def compare(answer, text, formula, xs, why, step_name):
    """The step that compares the gradients of a formula with differences."""
    return gradient(of_formula(answer, text, formula), text, "backward", xs, names_of(xs), why=why,
                    step_name=step_name)


# -- steps ---------------------------------------------------------------------------------------------------------


def values(answer, inputs):
    """A step that compares what each operation computes."""
    for name, *xs in inputs:
        text, formula = in_words(name, names_of(xs)), OPERATIONS[name][1]
        found = forward(of_formula(answer, text, formula), text, lambda *xs, formula=formula: plain(formula, xs),
                        Case(*xs, why=of_shapes(xs)), saves=False)
        if not found.passed:
            return found
    found.text = f"{len(inputs)} checks"
    return found


def operations(answer, inputs):
    """The gradients of each operation."""
    for name, *xs in inputs:
        yield compare(answer, in_words(name, names_of(xs)), OPERATIONS[name][1], xs, of_shapes(xs),
                      f"gradient {name.split()[0]}")


def uses(answer, draw):
    """A Tensor that is used more than once."""
    first, last = np.eye(2)[:, :1], np.eye(2)[:, 1:]

    def rows(a, b):
        return answer["Tensor"](first) @ (a * b) + answer["Tensor"](last) @ a.exp()

    yield compare(answer, "y", rows, [draw(1, 3), draw(1, 3)], "here the first row of y is a * b, the second a.exp()",
                  "gradient uses")
    yield compare(answer, "y", lambda a, b: a * a + b + answer["Tensor"](-3.0) * b, [draw(2, 3), draw(2, 3)],
                  "here y = a * a + b + Tensor(-3.0) * b", "gradient uses")


def order(answer, draw):
    """A Tensor in between whose uses are at different distances from y, on either side."""

    def near(a, b):
        h = a * b
        return h + h.exp().exp()

    def far(a, b):
        h = a * b
        return h.exp().exp() + h

    for text, formula in (("h + h.exp().exp()", near), ("h.exp().exp() + h", far)):
        found = compare(answer, "y", formula, [0.5 * draw(3, 5), 0.5 * draw(3, 5)],
                        f"here h = a * b and y = {text}: is the gradient of h complete when it is passed on to a and "
                        "b?", "gradient order")
        if not found.passed:
            found.hint = found.hint or "order"
        yield found


def at_random(answer, draw):
    """A graph that was made at random."""
    graph = RandomGraph(draw)
    found = compare(answer, "y", graph, graph.inputs, f"here {graph}", "gradient graphs")
    found.lines = [line for line in found.lines if not line.startswith("->")]       # they suit simple formulas
    return found


class RandomGraph:
    """A formula of four inputs, made at random: the numbers that it goes through are small, and far from kinks.

    Args:
        draw: the Draw.
    """

    CHOICE = "add", "mul", "matmul", "sum 0", "sum 1 keep", "relu", "exp", "log"
    LENGTH, LARGEST, SIZE = 10, 4, 30       # operations; a bound on numbers, and on the elements of an array

    def __init__(self, draw):
        self.inputs = [draw(2, 3), draw(3), draw(2, 1), draw(3, 5)]
        self.names, self.program = list(names_of(self.inputs)), []
        values = list(map(Plain, self.inputs))
        while len(self.program) < self.LENGTH:
            name = self.CHOICE[draw.integers(len(self.CHOICE))]
            places = [int(len(values) * draw.stream.random() ** 0.5) for _ in range(OPERATIONS[name][0].count("{}"))]
            try:
                y = self.tame(name, *(values[place] for place in places))
            except ValueError:              # the shapes do not fit
                continue
            if y is not None:
                values.append(y)
                self.program.append((name, places))
                self.names.append(f"t{len(self.program)}")
        used = {place for _, places in self.program for place in places}
        self.ends = [place for place in range(len(values)) if place not in used]

    def tame(self, name, x, *others):
        """The value of an operation, or None if differences could not check it."""
        least = {"relu": np.min(np.abs(x.data)) - 0.05, "log": np.min(x.data) - 0.2}.get(name, 0)
        if least < 0:
            return None
        axes = {"matmul": 2, "sum 0": 1, "sum 1 keep": 2}.get(name, 0)
        if min(z.data.ndim for z in (x, *others)) < axes:       # no value has more than two
            return None
        y = OPERATIONS[name][1](x, *others)
        return y if 0.1 < np.max(np.abs(y.data)) < self.LARGEST and y.data.size <= self.SIZE else None

    def __call__(self, *inputs):
        """The sum of all that nothing is computed from."""
        values = list(inputs)
        for name, places in self.program:
            values.append(OPERATIONS[name][1](*(values[place] for place in places)))
        total = values[self.ends[0]].sum()
        for place in self.ends[1:]:
            total = total + values[place].sum()
        return total

    def __str__(self):
        lines = [f"{result} = {in_words(name, [self.names[place] for place in places])}"
                 for result, (name, places) in zip(self.names[len(self.inputs):], self.program, strict=True)]
        return "; ".join([*lines, f"y = {' + '.join(f'{self.names[place]}.sum()' for place in self.ends)}"])


# -- what else an engine does --------------------------------------------------------------------------------------


def passes(answer, draw, inputs):
    """Several backward passes add up, whatever the first one left in the tensors in between."""
    x, w, g, k = (draw(2, 3) for _ in range(4))
    a, b = answer["Tensor"](x), answer["Tensor"](w)
    h = a * b
    y, z = h.exp(), h * b
    why = "here h = a * b, y = h.exp() and z = h * b, so that both passes go through h"
    y.backward(g.copy())
    expect(a, "a", g * np.exp(x * w) * w, "y.backward(g)", why)
    z.backward(k.copy())
    for tensor, name, first, second in ((a, "a", g * np.exp(x * w) * w, k * w * w),
                                        (b, "b", g * np.exp(x * w) * x, 2 * k * x * w)):
        expect(tensor, name, first + second, "y.backward(g) and z.backward(k)", why, hint="accumulation", known=(
            (second, "that is the gradient of the last pass alone: it replaces the one of the first pass, and should "
                     "be added to it"),
            (2 * first + second, "what the first pass left in h is passed on again by the second one")))
    a.grad = None
    with explained("here a.grad = None was written before this pass, to begin anew"):
        z.backward(k.copy())
    expect(a, "a", k * w * w, "a.grad = None and another z.backward(k)", why, hint="accumulation")
    a.grad = None
    why = "here y = (a * a).sum() is a single number and g is left out, so that it is 1"
    with explained(why):
        (a * a).sum().backward()
    expect(a, "a", 2 * x, "y.backward()", why)
    a.backward(g.copy())
    expect(a, "a", 2 * x + g, "y.backward() and a.backward(g)", "the gradient of a with respect to a is g")
    t = answer["Tensor"](2.0)
    t.backward()
    expect(t, "t", 1.0, "t = Tensor(2.0) and t.backward()", hint="shape")
    for name, *xs in inputs:
        with explained(f"here y = {in_words(name, names_of(xs))}"):
            twice(answer, OPERATIONS[name][1], xs, draw)
    return "gradients of several passes add up"


def twice(answer, formula, xs, draw):
    """Another pass from the same y gives the same gradients."""
    tensors = [answer["Tensor"](x) for x in xs]
    y = formula(*tensors)
    g = draw(*np.shape(y.data))
    first = [d.copy() for d in pulled_back(y, tensors, g.copy())]
    for tensor in tensors:
        tensor.grad = None
    pulled_back(y, tensors, g.copy(), "another y.backward(g)")
    for tensor, name, d in zip(tensors, names_of(xs), first, strict=True):
        expect(tensor, name, d, "another y.backward(g)",
               f"that is what the first pass gave, and {name}.grad = None was written in between: does backward change "
               "what the forward pass saved?", hint="twice")


def expect(tensor, name, right, after, *why, hint="", known=()):
    """Raise Wrong unless the .grad of a Tensor is right; known are pairs: another value, and what it tells."""
    found, right = grad_of(tensor, name, after), np.asarray(right)
    if found.shape != right.shape:
        raise Wrong(f"{name}.grad has shape {found.shape} after {after}, should be {right.shape}", *why, input=name,
                    hint=hint)

    def off(value):
        return ~(np.abs(found - value) <= ROOM * np.max(np.abs(value)))

    if np.any(off(right)):
        why = [*(text for value, text in known if not np.any(off(value))), *why]
        place = tuple(map(int, np.argwhere(off(right))[0]))
        raise Wrong(f"{place_of(f'{name}.grad', place)} = {found[place]:.10g} after {after}, should be "
                    f"{right[place]:.10g}", *why, input=name, hint=hint)


def memory(answer, draw):
    """Every .grad has memory of its own."""
    for text, formula in (("a + b", lambda a, b: a + b), ("(a + b).sum()", lambda a, b: (a + b).sum()),
                          ("a * b + a", lambda a, b: a * b + a), ("a", lambda a, b: a)):
        arrays = {"a.data": draw(2, 3), "b.data": draw(2, 3)}
        a, b = map(answer["Tensor"], arrays.values())
        y = formula(a, b)
        arrays["g"] = draw(*np.shape(y.data))
        y.backward(arrays["g"])
        for name, tensor in (("a", a), ("b", b)):
            if name not in text:
                continue
            d = grad_of(tensor, name)
            if not d.flags.writeable:
                raise Wrong(f"{name}.grad cannot be written to after y = {text} and y.backward(g): it is a view, such "
                            "as np.broadcast_to makes; copy it", input=name, hint="memory")
            for other, array in arrays.items():
                if np.shares_memory(d, array):
                    raise Wrong(f"{name}.grad shares memory with {other} after y = {text} and y.backward(g): who "
                                "changes one of them in place changes both", input=name, hint="memory")
            arrays[f"{name}.grad"] = d
    return "each .grad is an array of its own"


def work(answer):
    """Backward goes to each Tensor that y was computed from once, and to no other: its calls are counted."""
    first = answer["Tensor"](np.array(1.0))
    before = calls_of((first + first).backward, np.inf, "")
    line_up(first, ALONE)
    calls_of((first + first).backward, before + ALONE // 2, f"for y = a + a, {GOES_ON}",
             f"{ALONE:,} other Tensors were made before from a, and before them {before} calls were enough: go through "
             "those alone that y was computed from", hint="tape")
    x = y = answer["Tensor"](np.array(1.0))
    for _ in range(DOUBLINGS):
        y = y + y
    after = f"after x = x + x, {DOUBLINGS} times,"
    calls_of(y.backward, CALLS * (DOUBLINGS + 1), f"{after} {GOES_ON}",
             f"there are {DOUBLINGS + 1} Tensors and 2^{DOUBLINGS} paths: pass the gradient of a Tensor on once, when "
             "all of its uses have added their part", hint="paths")
    expect(x, "x", 2.0**DOUBLINGS, f"x = x + x, {DOUBLINGS} times, and backward")
    freed(answer)
    return f"{DOUBLINGS + 1} tensors with 2^{DOUBLINGS} paths"


def freed(answer):
    """Tensors that nobody uses any more are freed, but perhaps those of the last graph."""
    references = []
    for _ in range(GRAPHS):
        x = y = answer["Tensor"](np.ones(3))
        for _ in range(ALONE // GRAPHS):
            y = y + x
            references.append(reference_to(y))
        y.backward(np.ones(3))
    gc.collect()
    left = sum(reference() is not None for reference in references)
    if left > ALONE // 2:
        raise Wrong(f"of {ALONE:,} Tensors that were computed and are used no more, {left:,} are still there",
                    "is there a list, or a dictionary, of all that were ever made? Then none of them can be freed",
                    hint="freed")


def reference_to(tensor):
    """A weak reference to a Tensor; to its data if it has slots, and allows none."""
    try:
        return weakref.ref(tensor)
    except TypeError:
        return weakref.ref(tensor.data)


def calls_of(backward, most, what, *why, hint=""):
    """How many calls a backward pass makes; Wrong if they are more than some number."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")
        if calls > most:
            raise Wrong(what.format(calls=calls), *why, hint=hint)

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        backward(np.array(1.0))
    finally:
        sys.setprofile(before)
    return calls


def line_up(x, count):
    """The end of a chain of Tensors."""
    y = x
    for _ in range(count):
        y = y + x
    return y


def chain(answer):
    """A long chain does not overflow the stack."""
    x = answer["Tensor"](np.array(0.5))
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(DEPTH)
    try:
        line_up(x, CHAIN).backward(np.array(1.0))
        raised = sys.getrecursionlimit() > DEPTH
    except RecursionError:
        raise Wrong(f"y = y + x, {CHAIN:,} times, and y.backward(g) end in a RecursionError",
                    f"a function that calls itself for each Tensor is {CHAIN:,} calls deep there: keep a list of what "
                    "is still to be done", hint="recursion") from None
    finally:
        sys.setrecursionlimit(before)
    if raised:
        raise Wrong("backward raises Python's limit of recursion: keep a list of what is still to be done",
                    hint="recursion")
    expect(x, "x", CHAIN + 1.0, f"y = y + x, {CHAIN:,} times, and y.backward(g)")
    return f"{CHAIN:,} tensors in a row"
