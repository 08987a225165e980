"""Two interleaved half circles."""

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
    if n < 2:
        raise ValueError(f"n must be at least 2, one point on each moon, got {n}")
    if noise < 0:
        raise ValueError(f"noise must not be negative, got {noise}")
    upper = np.linspace(0, np.pi, n // 2)
    lower = np.linspace(0, np.pi, n - n // 2)
    x = np.concatenate([
        np.stack([np.cos(upper), np.sin(upper)], axis=1),
        np.stack([1 - np.cos(lower), 0.5 - np.sin(lower)], axis=1),
    ])
    y = np.repeat(np.array([0, 1], np.int64), [len(upper), len(lower)])
    # RandomState, because NumPy promises that its stream never changes.
    stream = np.random.RandomState(seed)
    x += noise * stream.standard_normal(x.shape)
    order = stream.permutation(n)
    return from_numpy(x[order].astype(np.float32)), from_numpy(y[order])
