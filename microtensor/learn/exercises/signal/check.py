"""The steps of signal: what is predicted is measured while it is graded."""

from math import pi, sqrt
from numbers import Real

import numpy as np

from microtensor.learn.given import init
from microtensor.learn.steps import Case, Wrong, forward, step

SIGMA = 5                   # chance explains a difference of so many standard deviations
WIDTH, DEPTH = 100, 10
EXACT = 0.01                # of a prediction that chance has no part in, relative


def relu(z):
    return np.maximum(z, 0)


def relu_slope(z):
    return (z > 0) * 1.0


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def sigmoid_slope(z):
    return sigmoid(z) * (1 - sigmoid(z))


def tanh_slope(z):
    return 1 - np.tanh(z) ** 2


FUNCTIONS = {
    "f is tanh here": (np.tanh, tanh_slope),
    "f is the sigmoid here": (sigmoid, sigmoid_slope),
    "f is ReLU here": (relu, relu_slope),
}


def check(answer, draw):
    x, deep = draw(3, 5), [draw(7, 5), draw(2, 7), draw(11, 2)]
    one = draw(1, 3), draw(5, 3)
    for why, (f, _) in FUNCTIONS.items():
        yield forward(of_arrays(answer, "forward_moments", f), "forward_moments",
                      lambda x, *weights, f=f: moments(signals(x, weights, f)[1]),
                      Case(x, *deep, why=f"{why}, and L = 3"), Case(*one, why=f"{why}, L = 1, and N = 1"),
                      saves=False, step_name="forward moments")
    for why, (f, slope) in FUNCTIONS.items():
        yield forward(of_arrays(answer, "backward_moments", f, slope), "backward_moments",
                      lambda g, x, *weights, f=f, slope=slope: moments(gradients(g, x, weights, f, slope)),
                      Case(draw(3, 11), x, *deep, why=f"{why}, and L = 3"),
                      Case(draw(1, 5), *one, why=f"{why}, L = 1, and N = 1"),
                      saves=False, step_name="backward moments")
    yield forward(of_arrays(answer, "dead_units"), "dead_units", dead,
                  Case(draw(2, 5), draw(29, 5), draw(31, 29), why="here N = 2, and the layers have 29 and 31 units"),
                  Case(draw(1, 3), draw(23, 3), why="here N = 1: about half of the units are dead"),
                  Case(draw(3, 5), np.zeros((7, 5)), draw(2, 7), why="here W_1 is 0: then h_1 is 0, and h_2, too"),
                  Case(np.ones((3, 5)), np.ones((7, 5)), why="here all x and all W_1 are positive: no unit is dead"),
                  saves=False, step_name="dead units")
    for number, name in enumerate(QUESTIONS):
        yield step(answer, f"prediction {name}",
                   lambda name=name, number=number: predicted(answer, name, (answer.seed, number)))


# -- what the functions should return ------------------------------------------------------------------------------


def of_arrays(answer, name, *functions):
    """The answer with a function of arrays alone, (x, W_1, ...) or (g, x, W_1, ...), as ``forward`` calls it."""

    def call(*arrays):
        g = [arrays[0]] if name == "backward_moments" else []
        x, *weights = arrays[len(g):]
        given = list(weights)
        found = answer[name](x, given, *functions, *g)
        if len(given) != len(weights) or any(w is not before for w, before in zip(given, weights, strict=True)):
            raise Wrong(f"{name} changes the list weights: the caller still needs it")
        return found

    return answer.with_functions(**{name: call})


def signals(x, weights, f):
    """All z_l, and all h_l from h_0 on."""
    zs, hs = [], [x]
    for w in weights:
        zs.append(hs[-1] @ w.T)
        hs.append(f(zs[-1]))
    return zs, hs


def gradients(g, x, weights, f, slope):
    """Those of h_0, ..., h_L."""
    found = [g]
    for w, z in zip(reversed(weights), reversed(signals(x, weights, f)[0]), strict=True):
        found.insert(0, (found[0] * slope(z)) @ w)
    return found


def dead(x, *weights):
    return np.array([np.mean(~np.any(h, axis=0)) for h in signals(x, weights, relu)[1][1:]])


def moments(arrays):
    return np.array([np.mean(np.square(array)) for array in arrays])


# -- the predictions -----------------------------------------------------------------------------------------------


def predicted(answer, name, seed):
    """Hold one prediction against a measurement: the text of the step."""
    said = answer["PREDICTED"]
    if not isinstance(said, dict):
        raise Wrong(f"PREDICTED is of type {type(said).__name__}, and should be a dictionary, as in the task")
    if name not in said:
        raise Wrong(f"PREDICTED has no entry {name!r}")
    number = said[name]
    if number is None:
        raise NotImplementedError
    if not isinstance(number, Real) or isinstance(number, bool):
        raise Wrong(f"the entry {name!r} of PREDICTED is of type {type(number).__name__}, and should be a number")
    number = float(number)
    measure, why = QUESTIONS[name]
    found, least, most, text = measure(np.random.default_rng(seed))
    if not least <= number <= most:
        raise Wrong(f"you predict {number:.4g}, measured is {found:.4g}", text, why)
    return f"{number:.4g}, measured is {found:.4g}"


def with_chance(found, relative):
    """A measured number, and the least and the largest prediction that chance explains.

    Args:
        found: the number.
        relative: its standard deviation, as a part of it.
    """
    return found, found * (1 - SIGMA * relative), found * (1 + SIGMA * relative)


def through_relu(kind, networks=5):
    """A measurement of the factor forward through layers of ReLU.

    Given h_(l-1) the ratio of two second moments is (n s^2 / 2) (2/n) times the sum of n independent max(0, e)^2 with
    standard normal e. Each of them has mean 1/2 and variance 3/2 - 1/4 = 5/4, so that the variance of the ratio is 5/n
    of the square of its mean; and the ratios of all layers and networks are independent.
    """

    def measure(rng):
        ratios = []
        for _ in range(networks):
            weights = [init(kind, WIDTH, WIDTH, rng) for _ in range(DEPTH)]
            found = moments(signals(rng.standard_normal((1, WIDTH)), weights, relu)[1])
            ratios.append(found[1:] / found[:-1])
        whole = ", ".join(f"{factor:.2g}" for factor in np.prod(ratios, axis=1))
        return *with_chance(np.mean(ratios), sqrt(5 / (WIDTH * DEPTH * networks))), \
            f"per layer, in {networks} networks of {DEPTH} layers; from h_0 to h_{DEPTH} the factors are {whole}"

    return measure


def narrow(rng, fan_in=150, fan_out=50, networks=50):
    """The factor backward through one layer of ReLU.

    With v = g f'(z) it is (fan_out / fan_in) |W^T v|^2 / |g|^2. |v|^2 / |g|^2 is about 1/2, with a relative variance of
    3 / fan_out: 1 / fan_out for how many of the slopes are 1, and 2 / fan_out for the g^2 that they meet. |W^T v|^2 is
    s^2 |v|^2 times a sum of fan_in squares, which adds 2 / fan_in.
    """
    ratios = []
    for _ in range(networks):
        weights = [init("he_normal", fan_in, fan_out, rng)]
        g = rng.standard_normal((1, fan_out))
        back, own = moments(gradients(g, rng.standard_normal((1, fan_in)), weights, relu, relu_slope))
        ratios.append(back / own)
    return *with_chance(np.mean(ratios), sqrt((3 / fan_out + 2 / fan_in) / networks)), f"in {networks} networks"


def through_sigmoids(rng, networks=2):
    """The factor backward through layers of sigmoids, and what it would be for the largest slope."""
    ratios = []
    for _ in range(networks):
        weights = [init("xavier_normal", WIDTH, WIDTH, rng) for _ in range(DEPTH)]
        x, g = rng.standard_normal((2, 1, WIDTH))
        found = moments(gradients(g, x, weights, sigmoid, sigmoid_slope))
        ratios.append(found[:-1] / found[1:])
    factor, largest = np.mean(ratios), np.max(sigmoid_slope(np.linspace(-5, 5, 1001))) ** 2     # n s^2 is 1
    return factor, largest * (1 - EXACT), largest * (1 + EXACT), \
        f"in {networks} networks of {DEPTH} layers, with the slopes that they have; the largest slope is asked about"


def dead_in_batch(rng, rows=3, fan_in=50, units=100, batches=50):
    """The share of dead units in one layer.

    For given rows each unit is dead with the probability 1/8 + (the sum of asin(r) over the three pairs) / (4 pi),
    where r, the cosine of the angle between two rows, has the variance 1 / fan_in.
    """
    share = np.mean([dead(rng.standard_normal((rows, fan_in)), init("he_normal", fan_in, units, rng))
                     for _ in range(batches)])
    deviation = sqrt((1 / 8 * 7 / 8 / units + 3 / (16 * pi**2 * fan_in)) / batches)
    return share, share - SIGMA * deviation, share + SIGMA * deviation, f"in {batches} batches, for {units} units each"


def spread(rng, width=20, depth=20, networks=300):
    """The variance of the logarithm of the second moment of one row, from the first to the last layer.

    In each layer the ratio has the variance 5/n; that of its logarithm is 5/n + 18.5/n^2 + ..., which is the reason to
    allow less than what is measured. A variance of many normal numbers has the relative variance 2 / networks.
    """
    h = rng.standard_normal((networks, width, 1))
    first = np.sum(h**2, axis=(1, 2))
    for _ in range(depth):          # all networks at once, as He's weights do not depend on fan_out
        h = relu(init("he_normal", width, networks * width, rng).reshape(networks, width, width) @ h)
    last = np.sum(h**2, axis=(1, 2))
    found, least, most = with_chance(np.var(np.log(last[last > 0] / first[last > 0])), sqrt(2 / networks))
    return found, least / (1 + 18.5 / 5 / width), most, f"in {networks} networks"


FORWARD = "E[z^2] is n s^2 E[h^2]: which part of it is left after ReLU?"
QUESTIONS = {           # how each one is measured, and what to think about if the prediction is wrong
    "he": (through_relu("he_normal"), FORWARD),
    "xavier": (through_relu("xavier_normal"), FORWARD),
    "small": (through_relu("small"), FORWARD),
    "narrow": (narrow, "how many terms has the gradient with respect to one x_i, and how many of them are not 0?"),
    "sigmoid": (through_sigmoids, "what does a slope do to the square of a gradient?"),
    "dead": (dead_in_batch, "how likely is it that z < 0 in one row? Are the rows independent, for one unit?"),
    "spread": (spread, "what is the variance of the ratio of two second moments, and what do the others add to it?"),
}
