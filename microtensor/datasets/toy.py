"""Toy data sets, computed: points of a few classes that show what a network can separate."""

import numpy as np

from microtensor.core import from_numpy


def moons(n=200, noise=0.1, seed=0):
    """Points on two interleaved half circles: two classes that no straight line separates.

    Args:
        n: the number of points, at least 2; one half on each moon.
        noise: the standard deviation of the normal noise added to both coordinates.
        seed: an int that chooses the noise and the order of the points.

    Returns:
        (x, y): points (n, 2), float32; labels (n,), int64, 0 for the upper moon and 1 for the lower one.

    Raises:
        ValueError: if n is below 2 or noise is negative.

    Formula: upper (cos t, sin t), lower (1 - cos t, 1/2 - sin t), t evenly spaced from 0 to pi

    Source: scikit-learn's make_moons.

    >>> from microtensor import datasets
    >>> x, y = datasets.moons(100)
    >>> x.shape, y.shape
    ((100, 2), (100,))
    """
    upper, lower = (np.linspace(0, np.pi, size) for size in _sizes(n, 2))
    return _shuffled([
        np.stack([np.cos(upper), np.sin(upper)], axis=1),
        np.stack([1 - np.cos(lower), 0.5 - np.sin(lower)], axis=1),
    ], noise, np.random.RandomState(seed))


def circles(n=200, noise=0.1, factor=0.5, seed=0):
    """Points on a circle and on a smaller one inside it: two classes that a distance separates, and no straight line.

    Args:
        n: the number of points, at least 2; one half on each circle.
        noise: the standard deviation of the normal noise added to both coordinates.
        factor: the radius of the inner circle, from 0 to below 1; that of the outer one is 1.
        seed: an int that chooses the noise and the order of the points.

    Returns:
        (x, y): points (n, 2), float32; labels (n,), int64, 0 for the outer circle and 1 for the inner one.

    Raises:
        ValueError: if n is below 2, noise is negative, or factor is not in [0, 1).

    Formula: outer (cos t, sin t), inner factor (cos t, sin t), t evenly spaced from 0 to below 2 pi

    Source: scikit-learn's make_circles.

    >>> from microtensor import datasets
    >>> x, y = datasets.circles(100)
    >>> x.shape, y.shape
    ((100, 2), (100,))
    """
    if not 0 <= factor < 1:
        raise ValueError(f"factor must be at least 0 and below 1, got {factor}")
    outer, inner = (np.linspace(0, 2 * np.pi, size, endpoint=False) for size in _sizes(n, 2))
    return _shuffled([_polar(1, outer), _polar(factor, inner)], noise, np.random.RandomState(seed))


def spirals(n=300, classes=3, noise=0.02, turns=0.75, seed=0):
    """Points on spiral arms that wind around each other, a class on each: what a network of one layer cannot do.

    Args:
        n: the number of points, at least one for each class.
        classes: the number of arms, at least 1.
        noise: the standard deviation of the normal noise added to both coordinates.
        turns: how often an arm winds around the origin.
        seed: an int that chooses the noise and the order of the points.

    Returns:
        (x, y): points (n, 2), float32; labels (n,), int64, the number of the arm.

    Raises:
        ValueError: if classes is below 1, n is below classes, or noise is negative.

    Formula: arm c: r (cos t, sin t), t = 2 pi (c / classes + turns r), r evenly spaced from above 0 to 1

    Source: A. Karpathy, "CS231n: Minimal Neural Network Case Study", 2015, where the noise is in t.

    >>> from microtensor import datasets
    >>> x, y = datasets.spirals(100, classes=4)
    >>> x.shape, y.max()
    ((100, 2), tensor(3))
    """
    sizes = _sizes(n, classes)
    radii = [np.arange(1, size + 1) / size for size in sizes]           # not 0, where all arms would meet
    arms = [_polar(r, 2 * np.pi * (c / classes + turns * r)) for c, r in enumerate(radii)]
    return _shuffled(arms, noise, np.random.RandomState(seed))


def blobs(n=200, classes=3, features=2, noise=1.0, seed=0):
    """Points around centres that lie anywhere, a class around each: what a linear classifier can do.

    Args:
        n: the number of points, at least one for each class.
        classes: the number of centres, at least 1.
        features: the number of coordinates, at least 1.
        noise: the standard deviation of the normal noise around a centre, in each coordinate.
        seed: an int that chooses the centres, the noise and the order of the points.

    Returns:
        (x, y): points (n, features), float32; labels (n,), int64, the number of the centre.

    Raises:
        ValueError: if classes or features is below 1, n is below classes, or noise is negative.

    Formula: centre c + noise N(0, 1), each coordinate of a centre uniform in [-10, 10)

    Source: scikit-learn's make_blobs.

    >>> from microtensor import datasets
    >>> x, y = datasets.blobs(100, classes=4, features=5)
    >>> x.shape, y.max()
    ((100, 5), tensor(3))
    """
    if features < 1:
        raise ValueError(f"features must be at least 1, got {features}")
    sizes, stream = _sizes(n, classes), np.random.RandomState(seed)
    centres = stream.uniform(-10, 10, (classes, features))
    return _shuffled([np.tile(centre, (size, 1)) for centre, size in zip(centres, sizes, strict=True)], noise, stream)


def xor(n=200, noise=0.3, seed=0):
    """Points around the corners of a square, opposite corners of one class: what a single neuron cannot do.

    Args:
        n: the number of points, at least 2; one half of each class, on its two corners in turn.
        noise: the standard deviation of the normal noise added to both coordinates.
        seed: an int that chooses the noise and the order of the points.

    Returns:
        (x, y): points (n, 2), float32; labels (n,), int64, 1 where one coordinate of the corner is positive and the
        other is not.

    Raises:
        ValueError: if n is below 2 or noise is negative.

    Formula: class 0 at (1, 1) and (-1, -1), class 1 at (1, -1) and (-1, 1)

    Source: M. Minsky, S. Papert, "Perceptrons", 1969.

    >>> from microtensor import datasets
    >>> x, y = datasets.xor(4, noise=0)
    >>> bool(((x[:, 0] * x[:, 1] < 0) == (y == 1)).all())
    True
    """
    corners = [np.where(np.arange(size) % 2, -1.0, 1.0) for size in _sizes(n, 2)]
    same, other = corners
    return _shuffled([np.stack([same, same], axis=1), np.stack([other, -other], axis=1)], noise,
                     np.random.RandomState(seed))


# -- what all share ----------------------------------------------------------------------------------------------------


def _sizes(n, classes):
    """The numbers of points of the classes, which sum to n and differ by 1 at most."""
    if classes < 1:
        raise ValueError(f"classes must be at least 1, got {classes}")
    if n < classes:
        raise ValueError(f"n must be at least {classes}, one point of each class, got {n}")
    return [(n + c) // classes for c in range(classes)]


def _polar(radius, angle):
    """Points (n, 2) at a distance from the origin and angles (n,)."""
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _shuffled(points, noise, stream):
    """Noisy points and their labels in random order, of an array (n_c, d) for each class.

    The stream is a RandomState, because NumPy promises that its numbers never change.
    """
    if not noise >= 0:
        raise ValueError(f"noise must not be negative, got {noise}")
    y = np.repeat(np.arange(len(points)), [len(rows) for rows in points])
    x = np.concatenate(points)
    x += noise * stream.standard_normal(x.shape)
    order = stream.permutation(len(x))
    return from_numpy(x[order].astype(np.float32)), from_numpy(y[order])
