"""What the corpus is made of: a forward and a backward pass in plain NumPy, and the hint that names the fault."""

from dataclasses import dataclass

from microtensor.gradcheck import check_clipping, check_function, check_optimizer
from microtensor.ops.sample import Draw

CORPUS = []     # every wrong gradient
RIGHT = []      # every correct variant that must pass


@dataclass(frozen=True)
class Entry:
    """One implementation.

    Attributes:
        name: of the layer and the fault, or of the variant.
        make: takes a Draw and returns forward, backward, inputs and names, as check_function takes them; or is an
            optimiser's class or a clipping function.
        hints: keys of hints that name this fault rightly; empty where no hint is possible, and for right variants.
        options: for check_function.
        kind: "function", "optimizer" or "clipping".
    """

    name: str
    make: object
    hints: tuple = ()
    options: tuple = ()
    kind: str = "function"

    def check(self, seed):
        """The Report for inputs drawn from a seed."""
        if self.kind == "optimizer":
            return check_optimizer(self.make, reference="SGD", seed=seed, raise_exception=False)
        if self.kind == "clipping":
            return check_clipping(self.make, seed=seed, raise_exception=False)
        forward, backward, inputs, names = self.make(Draw(seed))
        return check_function(forward, backward, inputs, names=names, seed=seed, raise_exception=False, edits=False,
                              **dict(self.options))


def wrong(name, *hints, kind="function"):
    """Add a wrong gradient to the corpus; any of the hints names it."""

    def add(make):
        CORPUS.append(Entry(name, make, hints, kind=kind))
        return make

    return add


def right(name, kind="function", **options):
    """Add a correct variant."""

    def add(make):
        RIGHT.append(Entry(name, make, options=tuple(options.items()), kind=kind))
        return make

    return add
