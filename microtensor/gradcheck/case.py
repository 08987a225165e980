"""What a diagnosis is made from and what it says: a Case, one wrong gradient with all it may be made of, and Hints."""

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

PLACES = ("lines", "side", "shifted", "flipped", "transposed")      # hints that name a place


def allowed(tolerances, size):
    """How far two gradients may be apart where a formula is said to fit: ten tolerances, and rounding of their size."""
    return 10 * tolerances + 1e-11 * size


@dataclass
class Hint:
    """What probably is wrong.

    Attributes:
        key: a word for the kind of mistake.
        text: a sentence.
        formula: what the gradient was found to be equal to.
        residual: the largest distance from that formula.
        rank: how special the formula is; the smallest is the likeliest.
        others: the keys of what its text names besides, as in "the size of axis 0; or a constant factor is wrong".
    """

    key: str
    text: str
    formula: str
    residual: float
    rank: float
    others: tuple = field(default=(), kw_only=True)

    def __str__(self):
        return self.text

    def is_like(self, other):
        """Whether another hint says the same: of a place, also that it is the same one."""
        return self.key == other.key and (self.key not in PLACES or self.text == other.text)


class Case:
    """One wrong gradient, and everything it may be made of.

    Args:
        found: the InputReport.
        probe: the number of the upstream gradient.
        a: what backward gives for it.
        arrays: all inputs by name.
        outputs, upstream: y and g, lists of arrays.
        jacobian: backward's gradient of each output (m, *shape), or None.
        faults: the names of hygiene checks that failed for this input.
        others: the numeric gradients of the other inputs, by name.

    Attributes:
        troubles: what went wrong inside families of hints, one sentence each.
    """

    def __init__(self, found, probe, a, arrays, outputs, upstream, jacobian, faults, others):
        self.name, self.a = found.name, np.asarray(a)
        self.n = found.differences[probe]
        self.arrays, self.faults, self.others = arrays, faults, others
        self.x = arrays[found.name]
        self.y, self.g = outputs[0], upstream[0]
        self.outputs, self.upstream = outputs, upstream
        self.tolerances = found.tolerances[probe]
        self.numeric_jacobian, self.jacobian = found.jacobian, jacobian
        self.known = np.isfinite(self.n)
        self.same_shape = self.a.shape == self.n.shape
        self.troubles = []
        if self.same_shape:
            self.wrong = self.known & (np.abs(self.a - self.n) > np.where(self.known, self.tolerances, 0))

    def forget(self, place):
        """Explain nothing of one element, whose numeric gradient is none."""
        self.n = self.n.copy()
        self.n[place] = np.nan
        self.known = np.isfinite(self.n)
        if self.same_shape:
            self.wrong = self.wrong & self.known

    def equals(self, left, right, gain=1.0, where=None):
        """The largest |left - right| if it is within ten tolerances (times gain) everywhere, else None."""
        where = self.known if where is None else where & self.known
        left, right = np.broadcast_to(left, self.n.shape)[where], np.broadcast_to(right, self.n.shape)[where]
        if left.size == 0 or not np.all(np.isfinite(right)):
            return None
        gain = np.fmax(1, np.abs(np.broadcast_to(gain, self.n.shape)[where]))
        room = allowed(self.tolerances[where] * gain, np.max(np.abs(left)))
        distance = np.abs(left - right)
        return float(np.max(distance)) if np.all(distance <= room) else None

    def ratio(self):
        """The constant a/n, or None if it is none."""
        large = self.known & (np.abs(self.n) > 1e-3 * np.max(np.abs(self.n[self.known]), initial=0))
        if not np.any(large):
            return None
        ratio = float(np.sum(self.a[large] * self.n[large]) / np.sum(self.n[large] ** 2))
        return ratio if np.isfinite(ratio) and self.equals(self.a, ratio * self.n, ratio) is not None else None

    def is_tiny(self):
        """Whether the error is nowhere more than a millionth of the gradient's size."""
        n, a = self.n[self.known], self.a[self.known]
        return bool(np.max(np.abs(a - n)) <= 1e-6 * np.sqrt(np.mean(n**2)))

    def is_clear(self):
        """Whether the errors of wrong elements are far above those of right ones, not here and there by a little."""
        error = np.abs(self.a - self.n)
        return bool(np.min(error[self.wrong]) > 10 * np.max(error[self.known & ~self.wrong], initial=0))

    def lines(self, where):
        """If some elements are all there are at some places of an axis, these, such as "2 of axis 0"; else ""."""
        for axis, size in enumerate(where.shape if where.ndim > 1 else ()):
            others = tuple(j for j in range(where.ndim) if j != axis)
            if 1 < size < where.size and np.array_equal(where.any(others), where.all(others)) and not where.all():
                return f"{', '.join(map(str, np.flatnonzero(where.any(others))))} of axis {axis}"
        return ""

    def products(self):
        """(number, name) of the products of the sizes of several axes of an array, such as a batch and its places."""
        for name, array in [*self.arrays.items(), ("the output", self.y)]:
            for count in range(2, array.ndim):
                for axes in combinations(range(array.ndim), count):
                    yield int(np.prod([array.shape[axis] for axis in axes])), \
                        f"the sizes of axes {', '.join(map(str, axes))} of {name}, multiplied"

    def sizes(self):
        """The sizes of axes greater than 1, with names: {size: "axis 0 of x (the batch)"}."""
        named = {}
        for name, array in [*self.arrays.items(), ("the output", self.y)]:
            for axis, size in enumerate(array.shape):
                if size > 1:
                    named.setdefault(size, f"the size of axis {axis} of {name}" + (", the batch" if axis == 0 else ""))
            if array.size > 1:
                named.setdefault(array.size, f"the number of elements of {name}")
        for name, array in self.arrays.items():
            if array.dtype.kind in "bi" and 1 < np.count_nonzero(array) < array.size:
                named.setdefault(int(np.count_nonzero(array)), f"how many elements of {name} are not 0")
        if self.x.ndim == self.y.ndim:
            for axis, (size, left) in enumerate(zip(self.x.shape, self.y.shape, strict=True)):
                if 1 < left < size - 1:
                    named.setdefault(size - left + 1, f"the length of a window that leaves {left} of {size} places of "
                                                      f"axis {axis}")
        return named
