"""The steps of graph: the engine runs the programs of the task as it was given, and is asked what it did."""

import traceback
from functools import cache

import microtensor as mt
from microtensor.learn.reading import as_given, filled_in, place, words_of
from microtensor.learn.steps import Wrong, step
from microtensor.ops.registry import registered_ops


def check(answer, _draw):
    for name in QUESTIONS:
        yield step(answer, name, lambda name=name: _compare(answer, name))


def _compare(answer, name):
    ask, where, why = QUESTIONS[name]
    said = words_of(filled_in(answer, name))
    right = found(name)
    unknown = [word for word in said if not ask.takes(word)]
    if unknown:
        raise Wrong(f"{_shown(unknown)[:40]!r} is no answer here: write {ask.words}")
    if ask.key(said) != ask.key(words_of(right)):
        raise Wrong(f"you say {_shown(said)[:80]}, the engine does not", f"read {place(*where)}")
    return f"{right}: {why}"


def _shown(words):
    names = {name.lower(): name for name in registered_ops()}
    return " ".join(f"{word:g}" if isinstance(word, float) else names.get(word, word) for word in words)


@cache
def found(name):
    """What the engine does in a program."""
    return QUESTIONS[name][0].run(getattr(as_given("graph"), name))


# -- four kinds of questions: how the engine is asked, and how an answer is read -----------------------------------


class Order:
    """Which ops backward runs."""

    words = "names of ops, such as Add Sum Log"
    key = tuple

    @staticmethod
    def takes(word):
        return word in map(str.lower, registered_ops())

    @staticmethod
    def run(program):
        names = []
        outer = mt.core.observe(lambda op, backward: names.append(op.name) if backward else None)
        try:
            program(mt)
        finally:
            mt.core.observe(outer)
        return " ".join(names)


class Value:
    """What a program returns."""

    words = "one number, None, or raises"

    @staticmethod
    def takes(word):
        return isinstance(word, float) or word in ("none", "raises")

    @staticmethod
    def key(words):
        return tuple(round(word, 6) if isinstance(word, float) else word for word in words)

    @staticmethod
    def run(program):
        try:
            value = program(mt)
        except RuntimeError:
            return "raises"
        return "None" if value is None else f"{value.item():g}"


class Kept:
    """Which arrays an op keeps."""

    words = "x, w, y, several of them, or nothing"
    key = frozenset

    @staticmethod
    def takes(word):
        return word in ("x", "w", "y", "nothing")

    @staticmethod
    def run(program):
        op = program(mt).grad_fn
        kept = []
        for name, array in (("x", lambda: op.input(0)), ("w", lambda: op.input(1)), ("y", op.output)):
            try:
                array()
            except IndexError:          # it "keeps no input 0"
                continue
            kept.append(name)
        return " ".join(kept) or "nothing"


class Raiser:
    """Which line raises."""

    words = "write, backward or neither"
    key = tuple

    @staticmethod
    def takes(word):
        return word in ("write", "backward", "neither")

    @staticmethod
    def run(program):
        try:
            program(mt)
        except RuntimeError as error:
            line = traceback.extract_tb(error.__traceback__)[1].line
            return "backward" if ".backward(" in line else "write"
        return "neither"


# -- of each program: what is asked, the place in the source that answers it, and why ------------------------------

QUESTIONS = {
    "constant": (
        Order, ("core.pyx", "cdef Tensor record(Op op", "if recording and"),
        "nothing that w.tanh() computes with requires a gradient, so it is not recorded: that edge of Mul is None"),
    "shared": (
        Order, ("core.pyx", "cdef int run_in_order", "if source.pending == 0:"),
        "Exp is sent three gradients, two by Mul and one by Add. They are added up, and Exp runs once, when all are "
        "there; then x gets the whole of dz/dx in one go"),
    "branches": (
        Order, ("core.pyx", "cdef int run_in_order", "following = source"),
        "the first input that is ready comes next; the others wait on a stack, from which the last one is taken first"),
    "two_graphs": (
        Value, ("core.pyx", "cdef int add_to_leaves", "add_into(gradient.array, arrived.array)"),
        "each pass adds to .grad what arrived in it, 6 here, whichever graph it goes through: .grad = None or "
        "optimizer.zero_grad() begins anew"),
    "product_twice": (
        Value, ("core.pyx", "cdef int check_saved", "if self.freed:"),
        "Mul keeps x, and the first pass frees what ops keep (free_saved) as soon as they have run"),
    "sum_twice": (
        Value, ("core.pyx", "cdef void free_saved", "if self.saved"),
        "Add keeps nothing, so nothing is freed that a second pass could miss; each pass adds 1 + 1"),
    "retained": (
        Value, ("core.pyx", "cdef list count_gradients", "op.check_saved()"),
        "the first pass keeps what the second one needs, and the second frees it. The third raises in its first step, "
        "which looks at all ops before anything is changed: two times 6 stay"),
    "in_between": (
        Value, ("core.pyx", "cdef int deliver(", "return self.deliver_to_leaf"),
        "only leaves are given a .grad; what is sent to the op of y lives in op.g until that op has run"),
    "contributions": (
        Value, ("core.pyx", "cdef int deliver(", "add_into(<ndarray>op.g"),
        "y is used three times, twice in y * y and once in 5 * y: y + y + 5 with y = 9"),
    "keeps_exp": (
        Kept, ("ops/arithmetic.pyx", "cdef UnaryLoops EXP_LOOPS", "OUTPUT"),
        "the derivative of e^x is y itself, so the input is not needed"),
    "keeps_log": (
        Kept, ("ops/arithmetic.pyx", "cdef UnaryLoops LOG_LOOPS", "INPUT"),
        "the derivative is 1 / x; from y it would cost an exponential"),
    "keeps_relu": (
        Kept, ("ops/activation.pyx", "cdef UnaryLoops RELU_LOOPS", "OUTPUT"),
        "y > 0 exactly where x > 0, so the output will do: the layer after it often keeps that anyhow, and x can go"),
    "keeps_add": (
        Kept, ("ops/arithmetic.pyx", "cdef class Add(", "return NOTHING"),
        "both derivatives are 1: g is handed on as it is"),
    "keeps_mul": (
        Kept, ("ops/arithmetic.pyx", "cdef class Mul(", "INPUT if self.needs(1)"),
        "dy/dx is w, and dy/dw is x; w needs no gradient, so x is not kept"),
    "write_leaf": (
        Raiser, ("tensor.pxi", "cdef int before_write", "if recording and self.needs_gradient:"),
        "a write to a tensor that requires a gradient would not be noted down, so it is refused at once; optimisers "
        "write within no_grad"),
    "write_exp": (
        Raiser, ("core.pyx", "cdef int check_saved", "if writes != self.writes:"),
        "no_grad allows the write, which counts; Exp keeps y, and sees that it was written since"),
    "write_log": (
        Raiser, ("ops/arithmetic.pyx", "cdef UnaryLoops LOG_LOOPS", "INPUT"),
        "Log keeps x, and no op keeps y: what nobody reads may be written"),
    "write_detached": (
        Raiser, ("tensor.pxi", "cdef Tensor view_of", "tensor.version = base.get_version()"),
        "detach() is the same memory without the graph. So it may be written, and the write counts for y as well, "
        "which Exp keeps"),
    "write_numpy": (
        Raiser, ("tensor.pxi", "def numpy(self)", "return lent(self.array)"),
        "the array is the same memory, but NumPy counts no writes: nothing raises, and x.grad is 0, which is wrong"),
    "detached": (
        Value, ("tensor.pxi", "def detach(self)", "return view_of(self, self.array)"),
        "x.detach() is a constant for the graph: of the two paths only one is there"),
    "not_recorded": (
        Value, ("core.pyx", "cdef Tensor record(Op op", "if recording and"),
        "within no_grad nothing is recorded: y is a leaf that holds 9, a constant"),
    "pass_in_no_grad": (
        Value, ("core.pyx", "cdef object seed(", "if not output.needs_gradient:"),
        "no_grad is about recording. The graph of y was there before, and a pass through it records nothing anyhow"),
}
