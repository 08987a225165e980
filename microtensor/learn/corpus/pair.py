"""What the corpus is made of: a right pair of forward and backward, and slips, each an edit of its source.

A slip says in advance which hints are right for it, which are at least helpful, and so which would mislead: all others.
Pairs are split by their names into a half on which hints are developed and a half that is only measured.
"""

import functools
import inspect
import linecache
import textwrap
import zlib
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from microtensor.gradcheck import check_function
from microtensor.ops.sample import Draw

PAIRS = []          # every Pair
OTHER = 1000        # the seed of the inputs on which a repair is tried again

# What hints there are, by key, fixed before those that the second corpus asks for were written.
KEYS = {
    # a ratio
    "sign": "the gradient, all of it or some elements, has the wrong sign",
    "zero": "the gradient is 0: a path is cut off",
    "two": "a factor 2 or 1/2 everywhere: counted twice, or a half forgotten",
    "size": "a factor that is a size, or 1 over it: a mean for a sum, divided twice, not divided",
    "ddof": "N for N - 1",
    "scale": "the factor that forward multiplies with",
    "constant": "a factor with a name: a root of a size, ln 2, pi/180, 1.702, a share kept",
    "factor": "a factor that is constant everywhere, without a name",
    "column": "a factor that is constant along an axis and differs from row, column or channel to the next",
    "power": "a factor that is another input, the output, or a power of it",
    "derivative": "elementwise: g times the derivative of another function, or taken at the wrong place",
    # a shape, or a place
    "shape": "its shape is not the input's",
    "unreduced": "not summed over what was broadcast",
    "unexpanded": "not repeated over what was reduced",
    "axis": "a reduction over the wrong axis, or over all",
    "transposed": "right numbers, transposed or with two axes exchanged",
    "flipped": "right numbers in reversed order along an axis, or those of a factor",
    "shifted": "right numbers moved along an axis by some places",
    "permuted": "right numbers in another order",
    "lines": "wrong only at some rows, columns or channels, which are named",
    "side": "wrong only where a condition on an input holds, which is named",
    "sides": "one ratio where x < 0 and another where x > 0",
    "mask": "0 where there should be a gradient, or a gradient where there should be 0",
    "offset": "off by one number at some elements, and right elsewhere",
    "label": "wrong only at the labels",
    "ties": "tied elements have more or less than one share together",
    # a term
    "mean": "the error is constant along an axis: a term like - mean(g) is lost or wrong",
    "variance": "the error is a multiple of the (centred) input along an axis: a term like x-hat mean(g x-hat)",
    "projection": "the error, or that of a part, is a multiple of its output along an axis: a term like - y sum(g y)",
    "statistics": "mean and variance were treated as constants",
    "eval": "the formula of training where the statistics are constants",
    "decay": "the error is a multiple of the input: a penalty, forgotten or not wanted",
    "diagonal": "only the diagonal of the Jacobian is there",
    "overwritten": "one of several contributions is there: = for +=",
    "path": "a path from input to output is missing, or is there twice: the error is the gradient through a part",
    # other factors
    "upstream": "the gradient, or a term of it, is not multiplied by the upstream gradient",
    "other upstream": "the gradient for another upstream: transposed, summed, one row of it, another output's",
    "product": "a matrix product with a factor transposed, or in the wrong order",
    "sum": "a vector's gradient is another sum than it should be",
    "exchanged": "the gradient of another input",
    "jvp": "J g where J' g is asked for",
    "nonlinear": "not linear in the upstream gradient: a condition looks at it",
    # what is done besides
    "repeat": "a second backward gives another gradient",
    "unchanged": "what backward is given is not unchanged: it writes into it",
    "precision": "right to a few digits only: float32, rounding, a tolerance, differences",
}


@dataclass
class Slip:
    """One wrong gradient.

    Attributes:
        pair: whose.
        text: what is wrong, in a few words.
        make: takes a Draw and returns forward, backward, inputs and names, as check_function takes them.
        right: keys of hints that name it.
        helpful: keys of hints that are true of it and lead near it.
        lines: of the wrong backward that differ from the right one, counted from 1; none where forward is edited.
        sources: the texts of backward and forward as they are with it, by these names.
    """

    pair: object
    text: str
    make: object
    right: frozenset
    helpful: frozenset
    lines: frozenset
    sources: dict

    @property
    def name(self):
        """That of its pair, and what is wrong."""
        return f"{self.pair.name}: {self.text}"

    def worth(self, hint):
        """What one of its hints is worth: "right", "helpful" or "misleading".

        A hint that names two causes, "the size of axis 0; or a constant factor", is helpful if it is the second.
        A repair misleads if the gradients are wrong with it for other inputs; it is right if it edits a line that is
        wrong, and helpful elsewhere.
        """
        if hint.key == "edit":
            forward, backward, inputs, names = self.make(Draw(OTHER))
            repaired = compiled(backward, hint.source)
            if not check_function(forward, repaired, inputs, names=names, raise_exception=False, edits=False):
                return "misleading"
            return "right" if hint.line in self.lines else "helpful"
        if hint.key in self.right:
            return "right"
        return "helpful" if {hint.key, *hint.others} & (self.right | self.helpful) else "misleading"


@dataclass
class Pair:
    """A forward pass and its right backward pass, as functions of a module, without a closure.

    Attributes:
        name: of the layer or function.
        family: of the pair, one of those in ``families``.
        forward: called as ``forward(*inputs)``; returns the output, or (output, saved).
        backward: called as ``backward(g, *inputs)``, or as ``backward(g, saved)``.
        inputs: takes a Draw and returns the inputs; the sizes of their axes are different primes wherever they can be.
        names: of the inputs.
        slips: the wrong variants.
        sources: the texts of backward and forward, by these names.
    """

    name: str
    family: str
    forward: object
    backward: object
    inputs: object
    names: tuple
    slips: list = field(default_factory=list)

    def __post_init__(self):
        self.sources = {name: textwrap.dedent(inspect.getsource(function))
                        for name, function in (("backward", self.backward), ("forward", self.forward))}
        PAIRS.append(self)

    @property
    def is_measured(self):
        """Whether hints are only measured on it; otherwise they are developed on it."""
        return zlib.crc32(self.name.encode()) % 2 == 1

    def make(self, draw):
        """Forward, backward, inputs and names, all right."""
        return self.forward, self.backward, list(self.inputs(draw)), self.names

    def slip(self, text, *edits, right, helpful=""):
        """Add a wrong variant: (old, new) edits of the source of backward, or of forward where that does not hold old.

        Args:
            text: what is wrong, in a few words.
            edits: pairs of texts; the first must occur exactly once.
            right, helpful: keys of hints, parted by commas.
        """
        keys = [frozenset(key.strip() for key in text.split(",") if key.strip()) for text in (right, helpful)]
        unknown = (keys[0] | keys[1]) - set(KEYS)
        if unknown or not keys[0] or keys[0] & keys[1]:
            raise ValueError(f"{self.name}: {text}: keys {sorted(unknown)} are unknown, or none is right, or one "
                             "is both")
        sources = dict(self.sources)
        for old, new in edits:
            name = "backward" if old in sources["backward"] else "forward"
            if sources[name].count(old) != 1:
                raise ValueError(f"{self.name}: {text}: {old!r} does not occur exactly once in {name}")
            sources[name] = sources[name].replace(old, new)
        wrong = wrong_lines(self.sources["backward"], sources["backward"])
        self.slips.append(Slip(self, text, maker(self, sources), *keys, wrong, sources))


def maker(pair, sources):
    """What a Slip's ``make`` is, for other sources of forward and backward, which are compiled when it is called."""
    @functools.cache
    def functions():
        return [compiled(getattr(pair, name), sources[name]) for name in ("forward", "backward")]

    return lambda draw: (*functions(), list(pair.inputs(draw)), pair.names)


def wrong_lines(right, wrong):
    """The numbers, from 1, of lines of a wrong source that differ from the right one, or stand beside a lost one."""
    blocks = SequenceMatcher(None, right.splitlines(), wrong.splitlines(), autojunk=False).get_opcodes()
    return frozenset(line for kind, *_, first, last in blocks if kind != "equal"
                     for line in range(first + (first < last), last + 1))


def compiled(function, source):
    """A function like one of a module, from another source."""
    names = dict(function.__globals__)
    file = f"<slip {zlib.crc32(source.encode())} of {function.__module__}.{function.__name__}>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file      # a student's is in a file
    exec(compile(source, file, "exec"), names)
    return names[function.__name__]
