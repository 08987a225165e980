"""Handwritten digits, 1,797 images of 8 x 8, from a file inside the package."""

import os

import numpy as np

from microtensor.core import from_numpy

_FILE = os.path.join(os.path.dirname(__file__), "digits.npz")


def digits(test_fraction=0.2, seed=0):
    """Handwritten digits 0 to 9, split into a training and a test part.

    The same arguments always give the same split, whatever seed the training uses. Each digit has the same
    share in both parts. The writers overlap: the file does not tell who wrote what.

    Args:
        test_fraction: the share of each digit that is held out, in (0, 1).
        seed: an int that chooses the split.

    Returns:
        (train_x, train_y, test_x, test_y): images (N, 64), float32, 0 for paper and 1 for ink, row by row;
        labels (N,), int64. By default 1,438 images are for training and 359 for testing.

    Raises:
        ValueError: if test_fraction is not in (0, 1), or leaves one of the parts without some digit.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998, https://doi.org/10.24432/C50P49, CC BY 4.0: see LICENSE-digits.md.

    >>> from microtensor import datasets
    >>> train_x, train_y, test_x, test_y = datasets.digits()
    >>> train_x.shape, test_x.shape
    ((1438, 64), (359, 64))
    """
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must lie between 0 and 1, got {test_fraction}")
    with np.load(_FILE, allow_pickle=False) as file:
        images, labels = file["images"], file["labels"]
    # RandomState, because NumPy promises that its stream never changes.
    order = np.random.RandomState(seed).permutation(len(labels))
    held_out = np.zeros(len(labels), bool)
    for digit in range(10):
        rows = order[labels[order] == digit]
        n = round(test_fraction * len(rows))
        if not 0 < n < len(rows):
            raise ValueError(f"test_fraction {test_fraction} puts {n} of the {len(rows)} images of digit "
                             f"{digit} into the test part: choose it so that both parts get some")
        held_out[rows[:n]] = True
    x = images.reshape(-1, 64).astype(np.float32) / 16
    y = labels.astype(np.int64)
    train, test = order[~held_out[order]], order[held_out[order]]
    return from_numpy(x[train]), from_numpy(y[train]), from_numpy(x[test]), from_numpy(y[test])
