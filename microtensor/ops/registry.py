"""Every op there is, found by looking: whatever is derived from Op, is derived from by nothing and has samples."""

from microtensor.core import Op
from microtensor.ops.sample import Draw


def registered_ops():
    """The op classes by name, in alphabetical order; not the nodes of ``autograd.Function``, whose samples are None."""
    found, classes = {}, [Op]
    while classes:
        kind = classes.pop()
        derived = kind.__subclasses__()
        classes += derived
        if not derived and kind.samples is not None:
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


def statements_of(op, draw):
    """What an op's derivation states: by name the first of the samples, made with a Draw, of each Stated.

    The name is the op's; of those behind the first the numbers follow it.
    """
    found = {}
    for sample in op.samples(draw):
        if sample.stated is not None:
            found.setdefault(sample.stated, sample)
    numbers = [" ".join(f"{name}={number}" for name, number in stated.numbers.items()) for stated in found]
    return {f"{op.__name__} {text}" if i else op.__name__: sample
            for i, (text, sample) in enumerate(zip(numbers, found.values(), strict=True))}
