"""The kinds of targets: what each learns from training rows, how it becomes numbers, and what outputs say of it."""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from microtensor.tables.kinds import check, check_numbers, check_texts, moments, refuse_wrong, standardised
from microtensor.tables.wording import count, listed, shown

_LARGEST = 1e140        # of a quantity: sums of squares are finite then


@dataclass
class Classes:
    """A target of classes, which have the names that they have in the file.

    Numbers that are equal are one class, such as 1 and 1.0, with the name that more of the training rows have.
    """

    kind: ClassVar = "classification"
    name: str
    classes: list
    values: list            # the classes' numbers; None if they are text

    def __post_init__(self):
        check_texts(self, "classes")
        check(len(self.classes) > 1, f"{self.name!r} has fewer than two classes")
        check(self.values is None or [type(value) for value in self.values] == [float] * len(self.classes),
              f"values of {self.name!r} do not fit its classes")

    @classmethod
    def fit(cls, sample):
        """The classes of the training rows, ascending."""
        numeric = not sample.numbers.wrong
        names = {}
        keys = sample.numbers.values.tolist() if numeric else sample.cells
        # Sorted by cell first, as two names of a class may be equally frequent.
        for (key, cell), _ in Counter(sorted(zip(keys, sample.cells, strict=True))).most_common():
            names.setdefault(key, cell)
        if len(names) == 1:
            raise ValueError(f"the target {sample.name!r} is {shown(sample.cells[0])} in all training rows: there is "
                             "nothing to learn")
        return cls(sample.name, [names[key] for key in sorted(names)], sorted(names) if numeric else None)

    @property
    def outputs(self):
        """The width of the net's outputs."""
        return len(self.classes)

    def encode(self, table, decimal):
        """The numbers of the classes, int64 (N,)."""
        cells = keys = table.columns[self.name]
        if self.values is not None:
            keys = table.read_numbers(self.name, decimal).values.tolist()
        numbers = {key: i for i, key in enumerate(self.classes if self.values is None else self.values)}
        unknown = [i for i, key in enumerate(keys) if key not in numbers]
        if unknown:
            first = unknown[0]
            raise ValueError(f"the target {self.name!r} is {shown(cells[first])} in line {table.lines[first]}, which "
                             f"is none of the {len(self.classes):,} classes of the training rows, "
                             f"{listed(self.classes)} (rows without a known class: {len(unknown):,} of {len(cells):,})")
        return np.array([numbers[key] for key in keys], np.int64)

    def decode(self, outputs):
        """Names and probabilities (N, C) of logits (N, C)."""
        if outputs.ndim != 2 or outputs.shape[1] != len(self.classes):
            raise ValueError(f"decode: outputs must be (N, {len(self.classes)}), a column for each class, got "
                             f"{outputs.shape}")
        weights = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return ([self.classes[i] for i in outputs.argmax(axis=1)], weights / weights.sum(axis=1, keepdims=True))


@dataclass
class Quantity:
    """A target of numbers, standardised by the mean and the standard deviation of the training rows."""

    kind: ClassVar = "regression"
    name: str
    mean: float
    std: float
    classes: ClassVar = None
    outputs: ClassVar = 1

    def __post_init__(self):
        check_numbers(self, "mean", "std")
        check(self.std > 0, f"std of {self.name!r} is {self.std}")

    @classmethod
    def fit(cls, sample):
        """The moments of the training rows."""
        mean, std, _ = moments(sample.numbers.values)
        if not std:
            raise ValueError(f"the target {sample.name!r} is {shown(sample.cells[0])} in all training rows: there is "
                             "nothing to learn")
        largest = np.abs(sample.numbers.values).max()
        if largest > _LARGEST:
            raise ValueError(f"the target {sample.name!r} reaches {largest:.3g}, of which squares are beyond float64: "
                             "predict its logarithm, or use a larger unit")
        return cls(sample.name, mean, std)

    def encode(self, table, decimal):
        """Standardised numbers, float32 (N, 1)."""
        numbers = table.read_numbers(self.name, decimal)
        refuse_wrong(self.name, numbers, table, "numbers")
        missing = np.flatnonzero(np.isnan(numbers.values))
        if len(missing):
            raise ValueError(f"the target {self.name!r} is missing or infinite in {count(len(missing), 'row')}, the "
                             f"first in line {table.lines[missing[0]]}: Table.read(path, target={self.name!r}) drops "
                             "such rows")
        return standardised(numbers.values, self.mean, self.std).astype(np.float32)[:, None]

    def decode(self, outputs):
        """Numbers (N,) in the target's units, of outputs (N, 1) or (N,)."""
        if outputs.shape not in (outputs.shape[:1], (*outputs.shape[:1], 1)):
            raise ValueError(f"decode: outputs must be (N, 1) or (N,), got {outputs.shape}")
        return outputs.reshape(-1) * self.std + self.mean


TARGETS = {kind.kind: kind for kind in (Classes, Quantity)}
