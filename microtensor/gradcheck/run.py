"""Run: one check under way, what it measured so far and how it measures the rest."""

import numpy as np

from microtensor.gradcheck.difference import Ladder, output_noise, rms
from microtensor.random import numpy_stream

UNIT = 2.0**-53
GUARD = 1e-7        # a PASS resolves this share of a gradient
FULL = 4096         # up to this number of entries the whole Jacobian is compared
FAST = 2000         # with more elements, check_function and check_module take fast mode by default
SINGLES = 8         # elements of each input that fast mode compares one by one
GRAINY = 30         # times the noise of fine moves: outputs of float32, rounded to decimals, of a solver that stops
COARSE = 4e-9       # and at least so large, beside the outputs: less may be lost where large numbers cancel
ROUGH = 1e-6        # outputs that change so irregularly under moves of 1e-12 cannot be differentiated by differences,
CHAOTIC = 1e-2      # nor can those that do so under moves of 4e-6
STEADY = 1e-3       # the share of itself that rounding may move a gradient by: more is a jump, and is not granted


def two_probes(random, outputs):
    """Two Gaussian upstream gradients (2, m), of so few digits that float32 holds them, and sums of two, exactly."""
    return np.round(random.standard_normal((2, outputs)) * 2**16) / 2**16


def at_other_places(random, x):
    """An array with its numbers at other places; a sorted vector, such as times or knots, as it is."""
    if x.ndim == 1 and np.all(np.diff(x) >= 0):
        return x.copy()
    return random.permuted(x.ravel()).reshape(x.shape)


class Run:
    """One check of one subject.

    Args:
        subject: the function.
        centre: its outputs (m,) at the points.
        eps, atol, rtol, fast_mode, elements, zero_gradient, seed, precision: gradcheck's.

    Attributes:
        derived: whether steps and tolerances are derived: no eps, atol or rtol was given.
        probes: upstream gradients (P, m).
        full: whether probes[2:] is the identity, so that the whole Jacobian is compared.
        analytic: the gradients (P, *shape) of every point.
        noise: of every output (m,); finest: of the finest moves alone.
        rough: whether the outputs change so much under the finest moves that no difference can be trusted.
        grain: the relative noise of outputs that are rounded more coarsely than in float64, or 0.
        unsteady: for each point, whether its gradient moves by all of itself under one rounding, as a sum that cancels.
        alpha: how far each element of analytic moves when all inputs move by one rounding, as far as it is granted.
        kinks: a Kink for every element that lies on one, and fits it; bent: (k, index) of those that do not, as well.
    """

    def __init__(self, subject, centre, eps, atol, rtol, fast_mode, elements, zero_gradient, seed, precision=None):
        self.subject, self.centre, self.eps = subject, centre, eps
        self.derived = eps is None and atol is None and rtol is None
        self.atol, self.rtol = 1e-5 if atol is None else atol, 1e-3 if rtol is None else rtol
        self.precision = 0.0 if precision is None else precision
        self.fast_mode, self.elements, self.zero_gradient = fast_mode, elements, set(zero_gradient)
        self.random = numpy_stream(seed, 1)
        unknowns = sum(point.size for point in subject.points)
        self.full = self.derived and not fast_mode and unknowns * centre.size <= FULL and 1 <= centre.size <= 256
        self.probes = self.draw_probes()
        self.analytic = subject.leave_out(subject.pull_back(self.probes))
        self.finest, self.noise = np.zeros((2, *centre.shape))
        if self.derived:
            self.finest, self.noise = output_noise(subject, centre, self.random)
        largest = max(float(np.max(np.abs(centre), initial=0)), np.finfo(float).tiny)
        finest = float(np.max(self.finest, initial=0))
        self.rough = finest > ROUGH * largest or float(np.max(self.noise, initial=0)) > CHAOTIC * largest
        noise = float(np.max(self.noise, initial=0))
        self.grain = noise / largest if noise > max(GRAINY * max(finest, largest * 2.0**-50), COARSE * largest) else 0.0
        # Few moves may leave one output on its grain by chance: all are rounded alike.
        self.noise = np.fmax(self.noise, self.grain * np.abs(centre))
        self.alpha = self.measure_alpha()
        self.kinks, self.bent = [], set()

    def draw_probes(self):
        """Upstream gradients (P, m): two Gaussian ones, and where that is affordable one for each output."""
        outputs = self.centre.size
        gaussian = two_probes(self.random, outputs)
        if outputs == 1:
            gaussian[0] = 1     # of a loss the first gradient, which the report shows, is its own
        return np.vstack([gaussian, np.eye(outputs)]) if self.full else gaussian

    def measure_alpha(self):
        """alpha: how far each gradient moves when all inputs move by one rounding; a jump counts as STEADY / 16.

        Where backward jumps, at this very point or from one call to the next, its movement says nothing of its
        rounding, and must not excuse a gradient that is wrong: 16 alpha is at most STEADY of the element, or of a
        hundredth of the gradient's size for elements that are smaller than that, being sums that cancel.
        """
        alpha = [np.zeros(d.shape) for d in self.analytic]
        self.unsteady = [True] * len(alpha)
        if not self.derived:
            return alpha
        before = [point.copy() for point in self.subject.points]
        largest = [np.abs(d) for d in self.analytic]
        for _ in range(3):
            for point, x in zip(self.subject.points, before, strict=True):
                point[...] = x * (1 + self.random.choice([-2, 2], x.shape) * UNIT)
            for k, (moved, d) in enumerate(zip(self.subject.pull_back(self.probes), self.analytic, strict=True)):
                if moved.shape == d.shape:
                    alpha[k] = np.fmax(alpha[k], np.abs(moved - d))
                    largest[k] = np.fmax(largest[k], np.abs(moved))
        for point, x in zip(self.subject.points, before, strict=True):
            point[...] = x
        for k, size in enumerate(largest):
            if not size.size:
                continue
            typical = rms(np.where(np.isfinite(size), size, 0), axis=None)
            self.unsteady[k] = bool(np.max(alpha[k]) >= 0.01 * typical)
            limit = STEADY / 16 * np.fmax(size, 0.01 * typical)
            rounded = alpha[k] <= limit
            # Three moves may leave one element as it was by chance: half of the elements move at least as far as this.
            usual = np.median(alpha[k][rounded]) if np.any(rounded) else 0.0
            alpha[k] = np.where(rounded, np.fmax(alpha[k], usual), limit)
        return alpha

    def choose_places(self, point):
        """The indices to compare: all, or a random choice."""
        wanted = self.elements if self.elements is not None else SINGLES if self.fast_mode else point.size
        chosen = np.arange(point.size) if wanted >= point.size else \
            np.sort(self.random.choice(point.size, wanted, replace=False))
        return [tuple(int(j) for j in np.unravel_index(place, point.shape)) for place in chosen]

    def ladder(self, directions):
        """A Ladder for all probes."""
        return Ladder(self.subject, directions, self.probes, self.centre, self.noise)

    def differences(self, ladders):
        """n and E, each (P, elements)."""
        if self.eps is not None:
            values = np.array([ladder.central(self.eps)[0] for ladder in ladders]).T
            return values, np.zeros(values.shape)
        pairs = [ladder.first() for ladder in ladders]
        numeric = np.array([value for value, _ in pairs]).T
        error = np.array([e for _, e in pairs]).T
        size = self.size_of(numeric)
        for j, ladder in enumerate(ladders):
            if np.any(8 * error[:, j] > 0.01 * GUARD * np.fmax(np.abs(numeric[:, j]), size[:, 0])):
                numeric[:, j], error[:, j] = ladder.refine(0.001 * GUARD * np.fmax(np.abs(numeric[:, j]), size[:, 0]))
        return numeric, error

    def size_of(self, numeric):
        """The gradient's root mean square for each probe (P, 1); for a row of the Jacobian that of all rows."""
        finite = np.where(np.isfinite(numeric), numeric, 0)
        size = rms(finite, axis=1, keepdims=True)
        if self.full:
            size[2:] = rms(finite[2:], axis=None)
        return size

    def rounding(self, numeric, k):
        """What is granted for the rounding of the analytic gradient itself: 64 u max|n|, in any row of the Jacobian."""
        largest = np.max(np.abs(np.where(np.isfinite(numeric), numeric, 0)), axis=1, keepdims=True, initial=0)
        if self.full:
            largest[2:] = np.max(largest[2:])
        # A sum that cancels to 0, as for a bias before BatchNorm, is rounded like its terms: like other gradients.
        others = max(np.max(np.abs(d[:2]), initial=0) for d in self.analytic)
        if (self.unsteady[k] or not np.any(largest)) and np.max(largest) <= 1e-9 * others:
            largest = np.full(largest.shape, others)
        return 64 * UNIT * largest
