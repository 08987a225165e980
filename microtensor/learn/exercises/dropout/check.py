"""The steps of dropout."""

from math import sqrt

import numpy as np

from microtensor.learn.steps import BETWEEN, Case, Wrong, forward, gradient, output_of, step

P, SEED = 0.3, 7
SIGMA = 5           # a right answer is this many standard deviations off once in two million times
CALLS = 400         # in which the number of dropped elements is counted
EVALUATION = "training is False here"


def check(answer, draw):
    x, three_axes, other = draw.nonzero(7, 5), draw.nonzero(2, 3, 5), draw.nonzero(2, 3, 5)
    seed = answer.seed + SEED       # of the generators

    yield step(answer, "forward", lambda: values(answer, [x, draw.nonzero(3), three_axes], seed))
    yield forward(answer, "dropout", lambda x, *_: x,
                  *(Case(array, p, False, np.random.default_rng(seed), why=EVALUATION)
                    for array, p in ((x, P), (other, 0.8), (np.array([0.0, 1000.0, -1000.0]), 0.5))),
                  step_name="evaluation")
    many = draw.nonzero(7, 11, 257)
    for p in (P, 0.8):
        yield step(answer, "statistics", lambda p=p: statistics(answer, many, p, seed))
    yield step(answer, "statistics", lambda: counts(answer, x, P, seed))
    for inputs, p, training, why in ((x, P, True, ""), (draw.nonzero(3, 5), P, False, EVALUATION)):
        yield gradient(answer, "dropout", "dropout_backward", [inputs], ("x",), others=same_mask(p, training, seed),
                       why=why, step_name="gradient" if training else "gradient in evaluation")
    yield gradient(answer, "dropout", "dropout_backward", [three_axes], ("x",), others=same_mask(0.5, True, seed),
                   between=lambda: (other, *same_mask(0.5, True, seed + 1)()), why=BETWEEN, step_name="two calls")


def same_mask(p, training, seed):
    """What makes the arguments after x: with a new generator of one seed every call draws the same mask."""
    return lambda: (p, training, np.random.default_rng(seed))


def output(answer, x, p, rng):
    """The y of one call in training."""
    given = x.copy()
    y = output_of(answer["dropout"](given, p, True, rng), "dropout", saves=True)
    if not np.array_equal(given, x):
        raise Wrong("dropout changes its input in place: work on a new array")
    if y.shape != x.shape:
        raise Wrong(f"dropout returns shape {y.shape}, should be {x.shape}")
    return y


def values(answer, inputs, seed):
    """In training every y is 0 or x times one factor; equal generators give equal outputs, and further calls others."""
    for x in inputs:
        y = output(answer, x, 0.0, np.random.default_rng(seed))
        if not np.allclose(y, x, rtol=1e-9, atol=0):
            raise Wrong("y is not x where p is 0: then nothing is dropped, and the mean is x without a factor")
        for p in (0.8, P):
            _hold_factor(output(answer, x, p, np.random.default_rng(seed)), x, p)
    rng = np.random.default_rng(seed)
    first, second = (output(answer, inputs[0], 0.5, rng) for _ in range(2))
    again = output(answer, inputs[0], 0.5, np.random.default_rng(seed))
    if not np.array_equal(first, again):
        raise Wrong("two generators of one seed give different outputs: draw from rng, and from nothing else")
    if np.array_equal(first, second):
        raise Wrong("two calls with one generator drop the same elements: draw new random numbers from rng in every "
                    "call, and for every element")
    return "each y is 0, or x times the factor"


def _hold_factor(y, x, p):
    """Raise Wrong unless every y is 0 or x / (1 - p)."""
    if p == 0.8 and y.size == 35 and np.all(y != 0):        # by chance once in 10^24 times
        raise Wrong(f"no element is dropped, though p is {p} and training is True")
    factor = y / x
    off = (y != 0) & ~(np.abs(factor * (1 - p) - 1) <= 1e-9)
    if not off.any():
        return
    place = np.argwhere(off)[0].tolist()
    if np.allclose(factor[off], factor[off][0], rtol=1e-9):
        why = (f"what is {factor[off][0]:.6g} times x with probability {1 - p:.1f} and else 0 has the mean "
               f"{factor[off][0] * (1 - p):.6g} times x: it should be x")
    else:
        why = "all elements that are not dropped are multiplied by the same factor"
    raise Wrong(f"p is {p}, and y{place} is {factor[tuple(place)]:.6g} times x{place}: that is not the factor", why)


def statistics(answer, x, p, seed):
    """Each element is dropped with probability p, and independently of the others."""
    y = output(answer, x, p, np.random.default_rng(seed))
    kept = y != 0
    share = kept.mean()
    if share in (0, 1):
        raise Wrong(f"{'none' if share else 'all'} of {x.size:,} elements are dropped, though p is {p}: each one "
                    "should be dropped by a choice of its own")
    deviation = (kept - share) / sqrt(share * (1 - share))          # of mean 0 and variance 1
    for axis, size in enumerate(x.shape):
        products = deviation.take(range(1, size), axis) * deviation.take(range(size - 1), axis)
        if abs(products.sum()) > SIGMA * sqrt(products.size):
            raise Wrong(f"neighbours along axis {axis} are not dropped independently of each other",
                        f"x has the shape {x.shape} here: how many random numbers does that take?")
    spread = sqrt(p * (1 - p) / x.size)
    if abs(share - (1 - p)) > SIGMA * spread:
        raise Wrong(f"{share:.1%} of {x.size:,} elements are not dropped, though p is {p}: that should be {1 - p:.0%}, "
                    f"within {SIGMA * spread:.1%}")
    mean, spread = np.mean(y / x), sqrt(p / (1 - p) / x.size)
    if not abs(mean - 1) <= SIGMA * spread:
        raise Wrong(f"the mean of y / x over {x.size:,} elements is {mean:.3f} where p is {p}: it should be 1, within "
                    f"{SIGMA * spread:.3f}")
    return f"where p is {p}, {share:.1%} are not dropped, and the mean of y / x is {mean:.3f}"


def counts(answer, x, p, seed):
    """The number of dropped elements varies from call to call, and each of them may be among the dropped ones."""
    rng = np.random.default_rng(seed)
    dropped = np.array([output(answer, x, p, rng) == 0 for _ in range(CALLS)])
    often = dropped.mean(0)
    if often.min() == 0 or often.max() == 1:
        place = np.argwhere((often == 0) | (often == 1))[0].tolist()
        raise Wrong(f"x{place} is {'always' if often[tuple(place)] else 'never'} dropped in {CALLS} calls")
    found, right = np.var(dropped.reshape(CALLS, -1).sum(1)), x.size * p * (1 - p)
    if found < right * (1 - SIGMA * sqrt(2 / CALLS)):
        raise Wrong("about the same number of elements is dropped in every call: each one should be dropped by a "
                    "choice of its own",
                    f"with p = {p} and {x.size} elements the variance of that number is {right:.2f}, and in {CALLS} "
                    f"calls it was {found:.2f}: it may well be 6 in one call, and 15 in the next")
    return "elements are dropped independently"
