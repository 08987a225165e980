"""The steps of init: nothing but statistics, as every right answer draws other numbers."""

from math import erf, erfc, log, sqrt

import numpy as np

from microtensor.learn.steps import CHANGED, Wrong, output_of, step

KINDS = "small", "xavier_normal", "xavier_uniform", "he_normal", "he_uniform"
SEED = 7
SIGMA = 5
RARE = erfc(SIGMA / sqrt(2))    # 5.7e-7: how often a normal number is off by more than SIGMA standard deviations
ROOT_3 = sqrt(3)
BOUNDS = np.arange(-17, 18) / 10      # those of a uniform distribution end at 1.73; for the rest see the largest number
FANS = 257, 103                 # of one large layer: prime, and such that no two mistakes lead to nearly one variance
SMALL_FANS, CALLS = (3, 2), 500     # of many small layers
CORRELATED = 8                  # see ``hold_independence``


def check(answer, _draw):
    array = step(answer, "array", lambda: arrays(answer))
    yield array
    for kind in KINDS:
        yield step(answer, kind, lambda kind=kind: distribution(answer, kind, several=array.hint != "rng"))


def drawn(answer, kind, fans, rng):
    """The W of one call."""
    w = output_of(answer["init"](kind, *fans, rng), "init", saves=False)
    if w.shape != fans[::-1]:
        raise Wrong(f"init({kind!r}, {fans[0]}, {fans[1]}, rng) returns shape {w.shape}, should be {fans[::-1]}: "
                    "(fan_out, fan_in)", hint="shape")
    return w


def arrays(answer):
    """Equal generators give equal arrays, and further calls others."""
    seed = answer.seed + SEED
    for kind in KINDS:
        for fans in ((1, 1), (7, 1), (1, 5), (3, 5)):
            drawn(answer, kind, fans, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        first = drawn(answer, kind, (5, 3), rng)
        kept = first.copy()
        second = drawn(answer, kind, (5, 3), rng)
        if not np.array_equal(first, kept, equal_nan=True):
            raise Wrong(CHANGED.format("init"))
        if not np.array_equal(kept, drawn(answer, kind, (5, 3), np.random.default_rng(seed)), equal_nan=True):
            raise Wrong(f"two generators of one seed give different arrays for {kind!r}: draw from rng, and from "
                        "nothing else", hint="rng")
        if np.array_equal(kept, second):
            raise Wrong(f"two calls with one generator give the same array for {kind!r}: draw new random numbers from "
                        "rng in every call", hint="rng")
    return "shapes, and one source of randomness"


def distribution(answer, kind, several):
    """Compare the numbers of one large layer, and of many small ones if they differ, with what they should be."""
    rng = np.random.default_rng(answer.seed + SEED)
    large = drawn(answer, kind, FANS, rng)
    hold_independence(large)
    found = hold_moments(large, kind, FANS)
    hold_distribution(large, kind, FANS)
    if not several:
        return found
    small = np.array([drawn(answer, kind, SMALL_FANS, rng) for _ in range(CALLS)])
    why = f"one array of {large.size:,} numbers was right; what is different in {CALLS} of shape {SMALL_FANS[::-1]}?"
    hold_moments(small, kind, SMALL_FANS, why)
    hold_distribution(small, kind, SMALL_FANS, why)
    return found


def deviation(kind, fan_in, fan_out):
    """The standard deviation."""
    return 0.01 if kind == "small" else sqrt(2 / (fan_in + fan_out)) if kind.startswith("xavier") else sqrt(2 / fan_in)


def where(w, fans):
    """In words, which numbers are looked at."""
    return f"{w.size:,} numbers with fan_in = {fans[0]} and fan_out = {fans[1]}"


# -- mean and variance ---------------------------------------------------------------------------------------------


def hold_moments(w, kind, fans, *why):
    """Mean and second moment are within SIGMA of their own standard deviations, those of means of N numbers.

    The variance of w is s^2; that of w^2 is E[w^4] - s^4, where E[w^4] is 3 s^4 if w is normal. If it is uniform,
    E[w^4] is the mean of w^4 from -a to a, a^4 / 5 = 9/5 s^4.
    """
    s = deviation(kind, *fans)
    mean, band = w.mean(), SIGMA * max(s, np.std(w)) / sqrt(w.size)
    if not abs(mean) <= band:
        raise Wrong(f"the mean of {where(w, fans)} is {mean:.3g}, should be 0, within {band:.2g}",
                    f"the smallest is {w.min():.3g}, and the largest {w.max():.3g}", *why, hint="mean")
    ratio, band = np.mean(w * w) / s**2, SIGMA * sqrt((4 / 5 if kind.endswith("uniform") else 2) / w.size)
    if not abs(ratio - 1) <= band:
        key, text = ("", "") if why else explanation(ratio * s**2, kind, *fans, band)
        raise Wrong(f"the variance of {where(w, fans)} is {ratio * s**2:.4g}, should be {s**2:.4g}, within {band:.1%}",
                    *([f"-> {text}"] if text else []), *why, hint=key)
    return f"{w.size:,} numbers: mean {mean / s:.3f} s, variance {ratio:.3f} s^2"


def explanation(variance, kind, fan_in, fan_out, band):
    """A key and a sentence on where a variance comes from; both empty if it is not known."""
    s, both = deviation(kind, fan_in, fan_out), fan_in + fan_out
    known = [("root", s**4, "s^2 is taken for s"), ("root", s, "the root of s is taken for s")]
    if kind.endswith("uniform"):
        known += [("three", s**2 / 3, "it is a third: s is taken for a, but most of the numbers from -a to a are "
                                      "nearer to 0 than a"),
                  ("root", 3 * s**4, "a^2 is taken for a"), ("three", 3 * s**2, "it is three times that"),
                  ("three", s**2 / 9, "it is a ninth: is a larger or smaller than s?")]
    else:
        known += [("three", 3 * s**2, "it is three times that: the a of a uniform distribution is taken for s")]
    if kind.startswith("xavier"):
        known += [("fans", 1 / fan_in, "it is what forward alone asks for"),
                  ("fans", 1 / fan_out, "it is what backward alone asks for"),
                  ("two", 1 / both, "1/s^2 is the sum of what forward and backward ask for, not their mean"),
                  ("gain", 4 / both, "it is twice that: Xavier's s is for a layer without ReLU"),
                  ("gain", 2 / fan_in, "it is He's"),
                  ("mean", (fan_in**-0.5 + fan_out**-0.5) ** 2 / 4, "s is the mean of the two s, not of the two 1/s^2"),
                  ("mean", (1 / fan_in + 1 / fan_out) / 2, "s^2 is the mean of the two s^2, not of the two 1/s^2")]
    elif kind.startswith("he"):
        known += [("fans", 2 / fan_out, "fan_in and fan_out are exchanged: how many terms has z_o?"),
                  ("gain", 1 / fan_in, "it is half of that: what does ReLU do to the second moment?"),
                  ("gain", 4 / fan_in, "it is twice that"),
                  ("fans", 1 / fan_out, "it is what backward without ReLU asks for"),
                  ("fans", 2 / both, "it is Xavier's"), ("fans", 4 / both, "it is twice Xavier's")]
    key, right, text = min(known, key=lambda entry: abs(log(max(variance, 1e-300) / entry[1])))
    return (key, text) if abs(variance / right - 1) <= band else ("", "")


# -- distribution --------------------------------------------------------------------------------------------------


def hold_distribution(w, kind, fans, *why):
    """The largest of N numbers is neither too large nor too small for the distribution, and all of them follow it.

    Let p be the probability that a number is further from 0 than the largest of N. Then N p is less than c with a
    probability of c, and more than c with that of e^-c, at most. By how much the share of the numbers below a bound
    differs from its probability, for any bound, is more than c with a probability of 2 e^(-2 N c^2), at most: the
    inequality of Dvoretzky, Kiefer and Wolfowitz. Each may happen with the probability RARE.
    """
    n, z, uniform = w.size, np.ravel(w) / deviation(kind, *fans), kind.endswith("uniform")
    largest = np.max(np.abs(z))
    text = f"the largest of {where(w, fans)} is {largest:.3f} s in size: "
    if uniform and largest > ROOT_3 * (1 + 1e-9):
        raise Wrong(f"{text}no number of this uniform distribution is further from 0 than {ROOT_3:.3f} s",
                    *why, hint="distribution")
    beyond = n * (1 - largest / ROOT_3 if uniform else erfc(largest / sqrt(2)))
    if not uniform and beyond < RARE:
        raise Wrong(f"{text}for a normal distribution this is too far from 0", *why, hint="distribution")
    if beyond > -log(RARE):
        raise Wrong(f"{text}{beyond:.0f} of them should be further from 0 than that", *why, hint="distribution")
    for bound in BOUNDS:
        share = np.mean(z < bound)
        right = (1 + bound / ROOT_3) / 2 if uniform else (1 + erf(bound / sqrt(2))) / 2
        if abs(share - right) > sqrt(log(2 / RARE) / (2 * n)):
            raise Wrong(f"{share:.1%} of {where(w, fans)} are below {bound:.1f} s, should be {right:.1%}",
                        f"mean and variance are right, but this is no {'uniform' if uniform else 'normal'} "
                        "distribution", *why, hint="distribution")


def hold_independence(w):
    """No two rows, and no two columns, have much to do with each other.

    For elements of mean 0 and variance 1 the sum of the products of n elements of two rows, divided by sqrt(n), has
    mean 0 and variance 1. It is more than c in size with a probability of 2 e^(-t c) (1 - t^2 / n)^(-n/2), at most, for
    any t, if they are normal, and less often if they are uniform. For c = 8, n = 103 and t = 5.6 this is 1e-11, and
    there are 38,000 pairs. For two equal rows the sum is about sqrt(n), 10 or 16.
    """
    spread = np.std(w)
    if not 0 < spread < np.inf:
        return                      # the variance will be found to be wrong
    z = (w - np.mean(w)) / spread
    for rows, name in ((z, "rows"), (z.T, "columns")):
        products = np.abs(np.triu(rows @ rows.T, 1)) / sqrt(rows.shape[1])
        if np.max(products) > CORRELATED:
            i, j = np.unravel_index(np.argmax(products), products.shape)
            raise Wrong(f"{name} {i} and {j} of W are not drawn independently of each other",
                        f"W has the shape {w.shape} here: how many random numbers does that take?", hint="independence")
