"""Every op there is, found by looking: whatever is derived from Op and is derived from by nothing."""

from microtensor.core import Op
from microtensor.ops.sample import Draw


def registered_ops():
    """The op classes by name, in alphabetical order."""
    found, classes = {}, [Op]
    while classes:
        kind = classes.pop()
        derived = kind.__subclasses__()
        classes += derived
        if not derived:
            found[kind.__name__] = kind
    return dict(sorted(found.items()))


def samples_of(op, seed=0):
    """The samples of an op class, with inputs drawn from a seeded stream.

    Raises:
        NotImplementedError: if the op has none.
    """
    samples = list(op.samples(Draw(seed)))
    if not samples:
        raise NotImplementedError(f"{op.__name__}.samples yields nothing to verify it on")
    return samples
