"""Mutants: every single edit of a right backward pass, as slips.

Nobody states what is right of each, so it follows from the kind of the edit (microtensor/gradcheck/edits.py): what
may be true of any mistake of that kind. That is a wide range, as a factor of one term shows as an error of that term;
what is strict is that an edit which is named must repair the gradients, for other inputs too.
"""

import ast
import random
import zlib
from itertools import islice

import numpy as np

from microtensor.gradcheck.edits import edits
from microtensor.gradcheck.repair import Source
from microtensor.learn.corpus.pair import KEYS, Slip, maker, wrong_lines
from microtensor.ops.sample import Draw

FACTORS = "sign, two, size, ddof, scale, constant, factor, column, power, derivative, upstream, nonlinear, mask, " \
    "zero, sum"
TERMS = "mean, variance, projection, statistics, eval, decay, path, label, offset, diagonal, overwritten"
PLACES = "shifted, flipped, permuted, other upstream, jvp, shape, axis, exchanged, unreduced, unexpanded, transposed"

# By kind: the keys that name such a mistake, and others that may be true of it.
KEYS_OF = {
    "sum": ("size, mean, variance, projection", FACTORS + ", " + TERMS),
    "axis": ("axis, unreduced, shape, unexpanded, sum, size", ", ".join((FACTORS, TERMS, PLACES))),
    "sign": ("sign, path", FACTORS + ", " + TERMS),
    "product": ("product, transposed, shape", FACTORS + ", " + PLACES),
    "transposed": ("transposed, product, shape, permuted", FACTORS + ", " + PLACES),
    "exchanged": ("exchanged, shape", PLACES),
    "overwritten": ("overwritten, path, repeat", ", ".join((FACTORS, TERMS, "shifted"))),
    "left out": ("mask, path, overwritten, zero, repeat", ", ".join((FACTORS, TERMS, "shifted"))),
    "name": (FACTORS, ", ".join((TERMS, PLACES, "product"))),
    "number": (FACTORS + ", axis, shape", TERMS + ", " + PLACES),
    "power": (FACTORS, TERMS),
    "mask": ("mask, nonlinear", FACTORS + ", " + TERMS),
    "places": (PLACES, ", ".join((FACTORS, TERMS, "repeat"))),
    "extra term": (TERMS + ", ddof", ", ".join((FACTORS, "shape, shifted"))),
    "missing term": (TERMS + ", upstream, nonlinear", FACTORS + ", shape"),
    "extra factor": (FACTORS, TERMS + ", shape, exchanged"),
    "missing factor": (FACTORS, TERMS + ", shape"),
    "derivative": ("derivative, mask, nonlinear, column", FACTORS + ", " + TERMS),
    "mean": ("mean, zero", FACTORS + ", " + TERMS),
    "variance": ("variance, mean", FACTORS + ", " + TERMS),
    "projection": ("projection, variance, mean", FACTORS + ", " + TERMS),
}
ANYWHERE = "lines, side, sides, shape, repeat, unchanged"       # facts, true wherever they are printed


def mutants(pair, chosen=None):
    """A Slip for each single edit of a pair's backward, the equivalent ones included.

    Args:
        pair: a Pair.
        chosen: the numbers of those that are made; by default all.
    """
    source = Source(pair.backward)
    right = ast.unparse(source.tree)
    kinds = {}
    for number, edit in enumerate(edits(source.tree, source.names(pair.forward))):
        if chosen is None or number in chosen:
            kinds.setdefault(ast.unparse(source.tree), (edit.kind, f"{edit.before} -> {edit.after}"))
    kinds.pop(right, None)
    found = []
    for text, (kind, what) in kinds.items():
        named, others = (frozenset(keys.split(", ")) & set(KEYS) for keys in KEYS_OF[kind])
        helpful = (others | set(ANYWHERE.split(", "))) - named
        sources = {**pair.sources, "backward": text}
        found.append(Slip(pair, f"mutant {kind}: {what}", maker(pair, sources), named, helpful,
                          wrong_lines(right, text), sources))
    return found


def some_mutants(pair, count):
    """At most so many mutants of a pair, chosen by its name; those that are right, or raise, are passed over."""
    source = Source(pair.backward)
    total = sum(1 for _ in edits(source.tree, source.names(pair.forward)))
    by_name = random.Random(zlib.crc32(pair.name.encode()))
    found = mutants(pair, frozenset(by_name.sample(range(total), min(total, 10 * count))))
    by_name.shuffle(found)
    return list(islice((slip for slip in found if is_wrong(pair, slip)), count))


def is_wrong(pair, slip):
    """Whether a mutant runs and its gradients are others than the right ones, by more than rounding."""
    gradients = []
    for case in (pair, slip):
        forward, backward, inputs, _ = case.make(Draw(0))
        result = forward(*inputs)
        y, saved = result if isinstance(result, tuple) else (result, None)
        g = np.random.default_rng(1).standard_normal(np.shape(y))
        with np.errstate(all="ignore"):
            try:
                found = backward(g, saved) if saved is not None else backward(g, *inputs)
            except Exception:
                return False
        found = found if isinstance(found, (tuple, list)) else [found]
        if not all(isinstance(x, (np.ndarray, float, np.floating, type(None))) for x in found):    # it is refused
            return False
        gradients.append([x for x in found if x is not None])
    if len(gradients[0]) != len(gradients[1]):
        return False
    return not all(np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-6, atol=1e-9 * np.max(np.abs(b)))
                   for a, b in zip(*reversed(gradients), strict=True))
