"""The numeric side: derivatives from differences, each with an estimate of its own error.

For one coordinate x of a function y(x) and an upstream gradient c, with steps h_k = s 4^(-k) / 16, s = max(1, |x|):

    D_k  = c (y(x + h_k) - y(x - h_k)) / (x_+ - x_-)      x_+, x_- as stored; outputs subtracted, then weighted
    T1_k = D_{k+1} + (D_{k+1} - D_k) / 15                 without the error of order h^2
    T2_k = T1_{k+1} + (T1_{k+1} - T1_k) / 255             without that of order h^4 (Richardson, Neville)

    E_k  = max(|T2_k - T1_{k+1}| + 1.2 sigma / h_{k+2}    the curve that remains, and rounding;
               |T2_k - T2_{k+1}| - noise of T2_{k+1})     and what the next window says

sigma is the uncertainty of c (y - y'), from the noise of every output that the step changes. A window of three steps
that is too wide, because a kink, a pole or a fast oscillation lies inside, shows by a large E; then the ladder goes
down, and the window with the least E is kept.
"""

from math import comb

import numpy as np

NEAR = 8                # the level at which kinks are looked for
FIRST = 1               # the windows that are tried first: h = 2^-6, 2^-8, 2^-10, and from 2^-8 on
LOWEST = 22             # h = 2^-48


def output_noise(subject, centre, random):
    """How uncertain each output is (m,): by rounding, at least one; and by what shows over wider moves only.

    Moves all points at once and takes differences of an order that leaves nothing of a smooth function: what remains is
    noise (Hamming's difference table; More and Wild 2011). Moves of 2^-40 of the points' size see rounding, those of
    2^-28 also numbers that were rounded beside much larger ones. Those of 2^-18 are wider than the steps of float32, so
    that what is computed in it shows. Noise is as large over moves of a quarter, of a kink a quarter is left. The moves
    are no round numbers, so that every sum inside the function is rounded anew, and lie on one side of the
    points, where no kink that goes through them is crossed.

    Returns:
        (noise over the finest moves, noise over all).
    """
    finest = np.full(centre.shape, subject.precision / 2) * np.abs(centre)
    for _ in range(2):
        finest = np.fmax(finest, noise_over(subject, directions(subject, random), 2.0**-40, 3))
    noise = finest
    for scale in (2.0**-28, 2.0**-18):
        moves = directions(subject, random)
        wide, narrower = noise_over(subject, moves, scale, 5), noise_over(subject, moves, scale / 4, 5)
        noise = np.fmax(noise, np.where(narrower >= 0.4 * wide, np.fmin(wide, narrower), 0))
    return finest, noise


def directions(subject, random):
    """A random move of every point, in units of its size."""
    return [random.choice([-1, 1], x.shape) * random.uniform(0.5, 1, x.shape) for x in subject.points]


def noise_over(subject, moves, scale, order):
    """The noise of each output (m,) from differences of an order over moves of a scale; 0 where func raises."""
    before = [point.copy() for point in subject.points]
    moves = [move * scale * (np.abs(x) if scale <= 2.0**-28 else np.fmin(np.abs(x), 1))
             for x, move in zip(before, moves, strict=True)]
    try:
        for sign in (1, -1):
            table = []
            try:
                for t in range(1, order + 5):
                    for point, x, move in zip(subject.points, before, moves, strict=True):
                        point[...] = x + sign * t * move
                    table.append(subject.evaluate())
                break
            except Exception:
                continue            # a move has left the function's domain: to the other side
    finally:
        for point, x in zip(subject.points, before, strict=True):
            point[...] = x
    if len(table) < order + 4:
        return np.zeros(sum(int(np.prod(shape)) for shape in subject.shapes))
    # The variance of a third difference is 20 times the noise's, that of a fifth 252 times.
    estimate = rms(np.diff(np.array(table), n=order, axis=0)) / np.sqrt(comb(2 * order, order))
    return np.where(np.isfinite(estimate), estimate, 0)


def rms(array, axis=0, keepdims=False):
    """The root of the mean square along an axis, also of numbers whose squares are too large."""
    largest = np.max(np.abs(array), initial=0, where=np.isfinite(array))
    scale = largest if largest > 0 else 1.0
    return scale * np.sqrt(np.mean((array / scale) ** 2, axis=axis, keepdims=keepdims))


class Ladder:
    """The derivatives of L_p = c_p y, for all rows c_p of probes (P, m), along one line through the points.

    Args:
        subject: the function.
        directions: for each point an array of its shape, or None where it stays; or (k, index): element index of
            point k.
        probes: upstream gradients (P, m).
        centre: y where the points are now.
        noise: the uncertainty of each output (m,).
    """

    def __init__(self, subject, directions, probes, centre, noise):
        self.subject, self.probes, self.centre, self.noise = subject, probes, centre, noise
        self.directions = self.point = None
        self.start, self.scale = 1.0, 1.0
        if isinstance(directions, list):
            self.directions = [(point, point.copy(), d) for point, d in zip(subject.points, directions, strict=True)
                               if d is not None]
        else:
            k, self.index = directions
            self.point = subject.points[k]
            self.start = float(self.point[self.index])
            self.scale = max(1.0, abs(self.start))
        self.refused = None         # the last exception that the function raised where it was moved to
        self.moved = np.zeros(centre.shape, bool)
        self.levels = {}            # level: (slope, bend, uncertainty of c (y - y'))
        self.windows = {}           # level: (T2, E)

    def move(self, t):
        """Outputs at a distance t along the line, and t as it was stored; nan where the function raises."""
        stored = t
        try:
            if self.directions is not None:
                for point, start, direction in self.directions:
                    point[...] = start + t * direction
            else:
                self.point[self.index] = self.start + t
                stored = float(self.point[self.index]) - self.start
            return self.subject.evaluate(), stored
        except Exception as error:
            self.refused = error        # perhaps a shorter step stays inside the function's domain
            return np.full(self.centre.shape, np.nan), stored
        finally:
            if self.directions is not None:
                for point, start, _ in self.directions:
                    point[...] = start
            else:
                self.point[self.index] = self.start

    def h(self, level):
        """The step at a level."""
        return 2.0 ** (-4 - 2 * level) * self.scale

    def central(self, h):
        """D (P,) for a step h, the bend (y_+ - 2 y + y_-) / h, and the uncertainty of c (y_+ - y_-)."""
        above, up = self.move(h)
        below, down = self.move(-h)
        change = above - below
        bend = self.probes @ ((above - self.centre) + (below - self.centre)) / h
        slope = self.probes @ change / (up - down)
        # An output that no step has changed by a bit does not depend on the point, and adds no noise.
        self.moved |= (above != self.centre) | (below != self.centre)
        larger = np.fmax(np.abs(above), np.abs(below))
        noise = np.where(self.moved, np.fmax(self.noise, larger * self.subject.precision / 2), 0)
        uncertainty = root_sum(self.probes, noise)
        if up == down:
            slope = np.full(len(self.probes), np.nan)
        return slope, bend, uncertainty

    def finest(self, size):
        """The level for kinks: NEAR, where h = 2^-20; of a large number a finer one, as far as noise allows it."""
        level = NEAR
        while self.h(level) > 2.0**-20 and np.all(100 * self.level(level + 1)[2] / self.h(level + 1) <= 1e-4 * size):
            level += 1
        return level

    def deepest(self, finest):
        """The finest step that moves the point well, D and bend (P,) over it, and how far noise may put them off."""
        level = LOWEST
        while level > NEAR and self.h(level) < 64 * np.spacing(abs(self.start)):
            level -= 1
        slope, bend, _ = self.level(level)
        noise = np.where(self.moved, finest, 0)
        return self.h(level), slope, bend, 8 * 1.2 * root_sum(self.probes, noise) / self.h(level)

    def level(self, level):
        """As ``central`` at a level; measured once."""
        if level not in self.levels:
            self.levels[level] = self.central(self.h(level))
        return self.levels[level]

    def window(self, level):
        """T2 and E (P,) of the window that begins at a level; E is infinite where something is not finite."""
        if level not in self.windows:
            (d0, _, sigma0), (d1, _, sigma1), (d2, _, sigma2) = (self.level(level + j) for j in range(3))
            sigma = np.fmax(np.fmax(sigma0, sigma1), sigma2)
            t1, t1_next = d1 + (d1 - d0) / 15, d2 + (d2 - d1) / 15
            t2 = t1_next + (t1_next - t1) / 255
            error = np.abs(t2 - t1_next) + 1.2 * sigma / self.h(level + 2)
            self.windows[level] = t2, np.where(np.isfinite(t2) & ~np.isnan(error), error, np.inf)
        return self.windows[level]

    def ranked(self):
        """Levels, T2 and E of the windows whose next one down was measured too: a list, and two arrays (windows, P).

        Where a kink, or a jump of the second derivative, lies between its steps, the curve's part of a window's E may
        be far too small, or vanish by chance. So a window counts only with the next one as a witness, and answers for
        its distance from that.
        """
        levels = [level for level in self.windows if level + 1 in self.windows]
        errors = []
        for level in levels:
            (t2, error), (next_t2, _) = self.windows[level], self.windows[level + 1]
            next_noise = 1.2 * self.level(level + 3)[2] / self.h(level + 3)
            errors.append(np.fmax(error, np.abs(next_t2 - t2) - next_noise))
        return levels, np.array([self.windows[level][0] for level in levels]), np.array(errors)

    def best(self):
        """The T2 and E (P,) with the least E so far."""
        _, values, errors = self.ranked()
        chosen = np.argmin(errors, axis=0), np.arange(len(self.probes))
        return values[chosen], errors[chosen]

    def first(self):
        """T2 and E (P,) of the first window."""
        self.window(FIRST)
        self.window(FIRST + 1)
        return self.best()

    def refine(self, wanted):
        """Go down the ladder until E is as small as wanted (P,), or cannot get smaller; return ``best``."""
        self.first()
        for level in range(FIRST + 2, LOWEST - 1):
            _, error = self.best()
            sigma = self.level(level + 1)[2]
            smaller = 1.2 * sigma / self.h(level + 1) < error       # what rounding alone would leave of the one above
            if not np.any((error > wanted) & smaller):
                break
            if self.h(level + 2) < 64 * np.spacing(abs(self.start)):
                break
            self.window(level)
        if np.any(self.best()[1] > wanted):
            self.window(FIRST - 1)                                  # a straight noisy function: a wider step
        return self.best()

    def lowest(self, limit):
        """T2 and E (P,) of the lowest window where rounding leaves E within a limit (P,).

        The derivative is the limit of small steps: kinks on both sides of a point may give wide steps a slope of their
        own, as max(x^2, 1e-6) has, and only here it shows.
        """
        level = FIRST
        while level < LOWEST - 2 and np.all(8 * 1.2 * self.level(level + 2)[2] / self.h(level + 3) <= limit):
            level += 1
            self.window(level)
        (t2, error), (above, _) = self.windows[level], self.windows.get(level - 1, self.windows[level])
        return t2, np.fmax(error, np.abs(t2 - above))

    def travel(self, random, lines=6):
        """How far the slope of each output (m,) goes up and down from -2^-14 to 2^-14 along a line beside the point.

        The greatest of several lines, each a random 2^-24 away, so that kinks through the point lie apart: at
        distances that differ by factors, so steps do as well. Two kinks may still lie between the same two steps.
        """
        found = np.zeros(self.centre.shape)
        steps = 2.0 ** np.arange(-30, -13.9, 0.25) * self.scale
        steps = np.concatenate([-steps[::-1], steps])
        before = [point.copy() for point in self.subject.points]
        kept = self.start, self.directions
        try:
            for _ in range(lines):
                for point, x in zip(self.subject.points, before, strict=True):
                    point[...] = x + 2.0**-24 * np.fmax(1, np.abs(x)) * random.uniform(-1, 1, x.shape)
                if self.directions is not None:
                    self.directions = [(point, point.copy(), d) for point, _, d in self.directions]
                else:
                    self.start = float(self.point[self.index])
                y, t = (np.array(column) for column in zip(*map(self.move, steps), strict=True))
                slopes = np.diff(y, axis=0) / np.diff(t)[:, None]
                bends = np.sum(np.abs(np.diff(slopes, axis=0)), axis=0)
                found = np.fmax(found, np.where(np.isfinite(bends), bends, 0))
        finally:
            self.start, self.directions = kept
            for point, x in zip(self.subject.points, before, strict=True):
                point[...] = x
        return found

    def chosen(self):
        """The smallest steps (P,) of the windows that ``best`` took."""
        levels, _, errors = self.ranked()
        return np.array([self.h(levels[window] + 2) for window in np.argmin(errors, axis=0)])


def root_sum(probes, noise):
    """sqrt(sum over j of c_j^2 noise_j^2) for each probe (P,), also of numbers whose squares are too large."""
    largest = np.max(noise, initial=0)
    scale = largest if 0 < largest < np.inf else 1.0
    return scale * np.sqrt(probes**2 @ (noise / scale) ** 2)


def hidden(ladder):
    """How large a derivative (P,) may be without showing, because no change that it makes survives rounding.

    An output that never moved may have moved by less than its rounding, even over the widest step of the first window.
    And where the steps became so small that nothing moved any more, a derivative hides that would have moved L by less
    than the smallest change that was seen: numbers that are rounded inside a function look like this.
    """
    unseen = 8 * 1.2 * root_sum(ladder.probes, ladder.noise) / ladder.h(FIRST)
    steps = np.array([ladder.h(level) for level in ladder.levels])
    changes = np.array([np.abs(slope) * 2 * ladder.h(level) for level, (slope, _, _) in ladder.levels.items()])
    smallest = np.min(np.where(changes > 0, changes, np.inf), axis=0)
    chosen = ladder.chosen()
    stuck = np.array([np.all(changes[steps <= h, p] == 0) for p, h in enumerate(chosen)]) & np.isfinite(smallest)
    return np.fmax(unseen, np.where(stuck, smallest / (2 * chosen), 0))


def one_sided(ladder):
    """Slopes of each output from the left and from the right, and their uncertainty: (m,), at h = 2^-20."""
    sides = []
    for sign in (-1, 1):
        slopes = []
        for level in (NEAR - 1, NEAR):
            y, t = ladder.move(sign * ladder.h(level))
            slopes.append((y - ladder.centre) / t)
        sides.append((4 * slopes[1] - slopes[0]) / 3)           # extrapolated once
    noise = np.where(sides[0] == sides[1], 0, ladder.noise)     # as for an output that never moved
    return *sides, 4 * noise / ladder.h(NEAR)


def open_interval(ladder):
    """What a kink leaves open: the least and the greatest gradient (P,) that it allows, and their uncertainty.

    Each output y_j may have any slope between its own two, whatever the others have:
        sum over j of min(c_j left_j, c_j right_j) <= gradient <= sum over j of max(c_j left_j, c_j right_j)
    """
    left, right, noise = one_sided(ladder)
    ends = np.where(ladder.probes == 0, 0, [ladder.probes * left, ladder.probes * right])
    return np.min(ends, 0).sum(1), np.max(ends, 0).sum(1), root_sum(ladder.probes, noise)


def wide_interval(ladder, random):
    """As open_interval, where one output is a sum of several kinks c_k relu(t a_k), with c_k of either sign.

    Each may have any share s_k of its slope, so that the sum lies within
        (left + right) / 2 +- (sum over k of |c_k a_k|) / 2
    and that sum is how far the slope goes up and down along a line beside the point, where the kinks lie apart. A
    twentieth is added for kinks that still lie between the same two steps, or less if there is hardly more than one.
    """
    left, right, noise = one_sided(ladder)
    bend, travel = np.abs(right - left), ladder.travel(random)
    more = np.fmax(travel - bend, 0)
    middle = ladder.probes @ ((left + right) / 2)
    room = np.abs(ladder.probes) @ (bend + more + np.fmin(0.05 * travel, 20 * more)) / 2
    return middle - room, middle + room, root_sum(ladder.probes, noise)


def find_kink(ladder, size, finest):
    """Whether a kink or a jump lies at the point itself, nearer than any step resolves.

    Along a smooth curve the bend (y_+ - 2 y + y_-) / h falls by four from level to level; across a kink it stays what
    it is, the difference of the slopes; across a jump it, or the slope, grows by four, and goes on to do so over the
    finest steps.

    Args:
        ladder: of the element.
        size: what counts as a gradient of ordinary size.
        finest: the noise of each output over the finest moves.

    Returns:
        "kink", "jump" or None, for each probe.
    """
    level = ladder.finest(size)
    (far_slope, far_bend, _), (slope, bend, sigma) = ladder.level(level - 2), ladder.level(level)
    visible = 1e-6 * size + 100 * sigma / ladder.h(level)
    jump = [(np.abs(near) > visible) & (np.abs(near) > 12 * np.abs(far))
            for near, far in ((slope, far_slope), (bend, far_bend))]
    if np.any(jump):
        deepest, *changes, unsure = ladder.deepest(finest)
        jump = [found & (np.abs(deep) + unsure >= 0.1 * np.abs(near) * ladder.h(level) / deepest)
                for found, near, deep in zip(jump, (slope, bend), changes, strict=True)]
    kink = (np.abs(bend) > visible) & (np.abs(bend - far_bend) < 0.1 * np.abs(bend))
    return np.where(jump[0] | jump[1], "jump", np.where(kink, "kink", ""))


def stays_bent(ladder, size):
    """Whether the bend over the steps of the first window is not that of a smooth curve: ``find_kink`` is to look."""
    (_, far, _), (_, near, sigma) = ladder.level(FIRST), ladder.level(FIRST + 2)
    visible = 1e-6 * size + 100 * sigma / ladder.h(FIRST + 2)
    return bool(np.any((np.abs(near) > visible) & (np.abs(near) > np.abs(far) / 4)))


def coarse_noise(ladder):
    """The noise of L_p (P,) over steps of 2^-24 and 2^-18, where rounding to float32 inside a function shows.

    It is measured a little beside the point, so that a kink or a jump at the point itself does not look like noise.
    """
    noise = np.zeros(len(ladder.probes))
    for h in (2.0**-24, 2.0**-18):
        outputs = [ladder.move((2.0**-9 + t * h) * ladder.scale)[0] for t in range(-3, 4)]
        table = [ladder.probes @ (y - ladder.centre) for y in outputs]
        noise = np.fmax(noise, rms(np.diff(np.array(table), n=3, axis=0)) / np.sqrt(comb(6, 3)))
    return noise
