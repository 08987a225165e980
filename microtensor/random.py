"""Explicit random numbers: everything random draws from a Generator, by default the one ``manual_seed`` seeds."""

import contextlib
import operator
import threading


class Generator:
    """A stream of random numbers with a seed, a state that can be saved, and nothing global.

    Args:
        seed: an int, or None for fresh entropy from the operating system.

    >>> import microtensor as mt
    >>> a, b = mt.Generator(7), mt.Generator(7)
    >>> bool((mt.rand(3, generator=a) == mt.rand(3, generator=b)).all())
    True
    """

    def __init__(self, seed=None):
        self.manual_seed(seed)

    def manual_seed(self, seed):
        """Start the stream of this seed; returns the generator."""
        from numpy.random import PCG64
        from numpy.random import Generator as NumPyGenerator  # on first use: it doubles the time of an import

        self._seed = None if seed is None else checked_seed(seed)
        self._numpy = NumPyGenerator(PCG64(self._seed))
        return self

    def initial_seed(self):
        """The seed that the stream was started with; None if it was fresh entropy."""
        return self._seed

    @property
    def numpy(self):
        """The ``numpy.random.Generator`` that makes the numbers."""
        return self._numpy

    def bits(self):
        """64 random bits as an int: the key of a counter-based mask."""
        return self._numpy.bit_generator.random_raw()

    def get_state(self):
        """The state, for ``set_state`` to come back to."""
        return self._numpy.bit_generator.state

    def set_state(self, state):
        """Go back to a state; returns the generator."""
        self._numpy.bit_generator.state = state
        return self

    def __repr__(self):
        return f"Generator(seed={self._seed})"


def checked_seed(seed):
    """A seed as Python's int of at least 0; whatever else NumPy makes of seeds, a matrix ends it by overflow."""
    try:
        index = operator.index(seed)
    except TypeError:
        index = -1
    if index < 0:
        raise ValueError(f"a seed is an int of at least 0, got {seed!r}")
    return index


def numpy_stream(seed, number):
    """NumPy's generator of a seed's numbered stream: different from ``default_rng(seed)``, which may make inputs.

    >>> bool(numpy_stream(0, 1).random() == numpy_stream(0, 2).random())
    False
    """
    from numpy.random import default_rng

    return default_rng([checked_seed(seed), number])


class _Forked(threading.local):
    """What each thread has of its own: the generator of its innermost ``fork_rng``, or None."""

    generator = None


_forked = _Forked()
_default = None
_lock = threading.Lock()


def default_generator():
    """The generator used where none is given: one for all threads, except inside ``fork_rng``."""
    return _forked.generator or _default or _first_default()


def _first_default():
    """The generator for all threads, made when the first asks for it."""
    global _default
    with _lock:
        if _default is None:
            _default = Generator()
    return _default


@contextlib.contextmanager
def fork_rng(seed):
    """In this thread and a with block, a default generator of its own.

    Other threads go on with theirs, and after the block so does this one: nothing in the block changes the outer
    stream, not even ``manual_seed``. Threads that train at the same time are reproducible if each does so in a block
    with a seed of its own. A block inside a block has a generator of its own, too.

    Args:
        seed: an int of at least 0.

    Yields:
        The generator, started with the seed.

    Raises:
        ValueError: if the seed is no int of at least 0.

    >>> import microtensor as mt
    >>> generator = mt.manual_seed(0)
    >>> with mt.random.fork_rng(7):
    ...     inside = mt.rand(3)
    >>> bool((inside == mt.rand(3, generator=mt.Generator(7))).all())
    True
    >>> bool((mt.rand(3) == mt.rand(3, generator=mt.Generator(0))).all())
    True
    """
    outer, generator = _forked.generator, Generator(checked_seed(seed))
    _forked.generator = generator
    try:
        yield generator
    finally:
        _forked.generator = outer


def manual_seed(seed):
    """Seed the default generator: the same seed gives the same numbers. Returns the generator."""
    return default_generator().manual_seed(seed)
