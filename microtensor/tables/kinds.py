"""The kinds of columns: what each learns from training rows, and how it becomes numbers."""

import math
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from microtensor.tables.cells import FEW, MISSING, ORDERS, Numbers, date_orders, has_sign, look_like_dates, read_dates
from microtensor.tables.wording import count, listed, shown

_RARE = 5               # a category with fewer training rows than this is pooled with others
_MOST = 100             # and so are those beyond the most frequent ones
_IDENTIFIER = re.compile(r"(?:.*[\W_])?id|index|unnamed\b.*|.*[a-z]I[dD]")
_LARGEST = np.finfo(np.float32).max


class DroppedError(Exception):
    """Why a column cannot be learnt from; it never leaves ``Encoder.fit``."""


class Sample(NamedTuple):
    """The cells of a column in the training rows."""

    name: str
    cells: list
    numbers: Numbers
    rows: np.ndarray        # their numbers in the file, from 1
    lines: np.ndarray


def fit_column(sample, note, as_category=False):
    """The column that training rows make of a sample, of the first kind that it can be.

    Args:
        sample: the Sample.
        note: is called with what is to be said of the column, a sentence without its subject.
        as_category: whether it is a category even if it looks like another kind.

    Raises:
        DroppedError: if nothing can be learnt from it.
        ValueError: if it holds a few mistakes.
    """
    different = set(sample.cells)
    if different <= MISSING:
        raise DroppedError("all its cells are missing")
    if len(different) == 1:
        raise DroppedError(f"all its cells are {shown(sample.cells[0])}")
    kinds = [Category] if as_category else COLUMNS.values()
    return next(filter(None, (kind.fit(sample, note) for kind in kinds)))


def check(right, what):
    """Refuse a damaged state."""
    if not right:
        raise ValueError(what)


def check_numbers(thing, *names):
    """Refuse a state in which one of these is no finite number."""
    for name in names:
        value = getattr(thing, name)
        check(type(value) in (int, float) and math.isfinite(value), f"{name} of {thing.name!r} is {value!r}")


def check_texts(thing, *names):
    """Refuse a state in which one of these is no list of different texts."""
    for name in names:
        texts = getattr(thing, name)
        check(isinstance(texts, list) and all(isinstance(text, str) for text in texts)
              and len(set(texts)) == len(texts), f"{name} of {thing.name!r} are no different texts")


def check_bool(thing, name):
    """Refuse a state in which this is no bool."""
    check(isinstance(getattr(thing, name), bool), f"{name} of {thing.name!r} is {getattr(thing, name)!r}")


def moments(values):
    """Mean, standard deviation and median as floats, without overflow."""
    if (values == values[0]).all():     # their mean may be another number, by rounding
        return [float(values[0]), 0.0, float(values[0])]
    exponent = int(np.frexp(np.abs(values).max())[1])
    scaled = np.ldexp(values, -exponent)            # a power of two, so that all digits stay
    return [math.ldexp(float(number(scaled)), exponent) for number in (np.mean, np.std, np.median)]


def standardised(values, mean, std):
    """Numbers less the mean, by the standard deviation, as far as float32 reaches."""
    with np.errstate(over="ignore"):
        return np.clip((values - mean) / std, -_LARGEST, _LARGEST)


def refuse_wrong(name, numbers, table, wanted):
    """Refuse cells that are not what the training rows had."""
    if numbers.wrong:
        first = numbers.wrong[0]
        raise ValueError(f"column {name!r} holds {wanted} in the training rows, and {len(numbers.wrong):,} of "
                         f"{len(table):,} cells are none, the first {shown(table.columns[name][first])} in line "
                         f"{table.lines[first]}: correct them, or leave a cell empty if its value is missing")


def _warn_of_missing(name, missing, substitute):
    """Say that values are missing though none was in the training rows, where nothing was learnt about that."""
    if missing:
        warnings.warn(f"column {name!r} has no value in {count(missing, 'row')}, and had one in every training row: "
                      f"{substitute} stands for it", stacklevel=4)


# -- columns -----------------------------------------------------------------------------------------------------------


@dataclass
class Number:
    """A column of numbers: standardised, with the median for what is missing.

    If values were missing in the training rows, a second column holds 1 where one is and 0 elsewhere.
    """

    kind: ClassVar = "number"
    name: str
    mean: float
    std: float
    median: float
    gaps: bool

    def __post_init__(self):
        check_numbers(self, "mean", "std", "median")
        check(self.std > 0, f"std of {self.name!r} is {self.std}")
        check_bool(self, "gaps")

    @classmethod
    def fit(cls, sample, note):
        """A Number, if nearly all cells are numbers."""
        wrong = sample.numbers.wrong
        if not wrong:
            if sample.numbers.grouper:
                note(f"has numbers with {sample.numbers.grouper!r} between thousands")
            return cls.of_values(sample, sample.numbers, note)
        present = sum(cell not in MISSING for cell in sample.cells)
        if len(wrong) < FEW * present:
            # As categories the numbers would lose their order, as missing the cells their meaning: both unseen.
            first = wrong[0]
            raise ValueError(f"column {sample.name!r} holds numbers but for {len(wrong):,} of {present:,} cells in the "
                             f"training rows, the first {shown(sample.cells[first])} in line {sample.lines[first]}: "
                             "correct them, or leave a cell empty if its value is missing")
        return None

    @classmethod
    def of_values(cls, sample, numbers, note, **more):
        """A column of values that are read."""
        missing = np.isnan(numbers.values)
        values = numbers.values[~missing]
        if not len(values):
            raise DroppedError("none of its numbers is finite")
        if numbers.infinite:
            note(f"is infinite in {count(len(numbers.infinite), 'row')}, which is taken for missing")
        if not missing.any():
            if (values == values[0]).all():
                raise DroppedError(f"all its cells are {shown(sample.cells[0])}")
            if _counts_rows(sample, values):
                raise DroppedError("its whole numbers identify the rows")
        mean, std, median = moments(values)
        if missing.any():
            note(f"is missing in {count(int(missing.sum()), 'row')}: the median, {median:.6g}, stands "
                 "for it, and a column of 0 and 1 says where")
        return cls(sample.name, mean, std or 1.0, median, bool(missing.any()), **more)

    @property
    def width(self):
        """How many columns of inputs it makes."""
        return 1 + self.gaps

    def read(self, table, decimal):
        """The Numbers of a table's column."""
        numbers = table.read_numbers(self.name, decimal)
        refuse_wrong(self.name, numbers, table, "numbers")
        return numbers

    def encode(self, table, decimal):
        """The inputs (N, width)."""
        values = self.read(table, decimal).values
        missing = np.isnan(values)
        if not self.gaps:
            _warn_of_missing(self.name, int(missing.sum()), f"the median, {self.median:.6g},")
        values = standardised(np.where(missing, self.median, values), self.mean, self.std)
        return np.stack([values, missing][: self.width], axis=1)


def _counts_rows(sample, values):
    """Whether whole numbers, all different, are those of the rows from 0 or 1, or have the name of such a column."""
    if (values != np.floor(values)).any() or len(np.unique(values)) < len(values):
        return False
    offsets = np.unique(values - sample.rows)
    return (len(values) > 1 and len(offsets) == 1 and offsets[0] in (0, -1)) or _named_as_identifier(sample.name)


def _named_as_identifier(name):
    return bool(_IDENTIFIER.fullmatch(name) or _IDENTIFIER.fullmatch(name.lower()))


@dataclass
class Date(Number):
    """A column of dates, with or without a time: days since 1970-01-01, as a Number."""

    kind: ClassVar = "date"
    order: str

    def __post_init__(self):
        super().__post_init__()
        check(self.order in ORDERS, f"order of {self.name!r} is {self.order!r}")

    @classmethod
    def fit(cls, sample, note):
        """A Date, if all cells are dates of one order."""
        orders = date_orders(sample.cells)
        example = next(cell for cell in sample.cells if cell not in MISSING)
        if len(orders) > 1:
            raise DroppedError(f"its dates, such as {example!r}, do not show which number is the day and which the "
                               "month: write them as 2020-12-31")
        if not orders:
            if look_like_dates(sample.cells):
                raise DroppedError(f"its cells, such as {shown(example)}, look like dates, but are not all of one "
                                   "known kind: write them as 2020-12-31")
            return None
        column = cls.of_values(sample, read_dates(sample.cells, orders[0]), note, order=orders[0])
        note(f"holds dates, {orders[0]}, which become numbers of days")
        return column

    def read(self, table, decimal):
        """The days of a table's column, by the only order that its own cells can have, or else that of the training."""
        orders = date_orders(table.columns[self.name])
        numbers = read_dates(table.columns[self.name], orders[0] if len(orders) == 1 else self.order)
        refuse_wrong(self.name, numbers, table, f"dates, {self.order},")
        return numbers


@dataclass
class Category:
    """A column of categories: one column of 0 and 1 for each.

    Rare categories share one column, "other", and missing cells have one if there are any. What was not among the
    training rows goes to "other" as well, about which the net has learnt from the rare ones. Without rare ones that
    column would be 0 in all training rows, and its weights those it began with; the mean of the training rows takes
    its place then, which says nothing for any category.
    """

    kind: ClassVar = "category"
    name: str
    categories: list
    pooled: list            # those that share a column
    missing: bool           # whether missing cells have one
    shares: list            # the mean of the training rows, (width,)

    def __post_init__(self):
        check_texts(self, "categories", "pooled")
        check_bool(self, "missing")
        check(isinstance(self.shares, list) and len(self.shares) == self.width > 0
              and all(type(share) is float and 0 <= share <= 1 for share in self.shares),
              f"shares of {self.name!r} do not fit its categories")

    @classmethod
    def fit(cls, sample, note):
        """A Category, unless nearly every row has one of its own."""
        counts = Counter(cell for cell in sample.cells if cell not in MISSING)
        present, different = counts.total(), len(counts)
        if sample.numbers.wrong:
            _note_numbers(sample, present, note)
        if present >= 10 and different >= 0.9 * present:
            raise DroppedError(f"its text is another in nearly every row, {different:,} in {present:,}, as an "
                               "identifier")
        if different > 50 and different > present / 2:
            raise DroppedError(f"it is free text: {different:,} different cells in {present:,} rows")
        # In a small table every category is rare: there fewer rows must do.
        least = min(_RARE, 1 + len(sample.cells) // 20)
        frequent = sorted(counts, key=lambda category: (-counts[category], category))[:_MOST]
        categories = sorted(category for category in frequent if counts[category] >= least)
        if not categories:
            raise DroppedError(f"each of its {different:,} categories has fewer than {least} rows")
        pooled = sorted(set(counts).difference(categories))
        missing = len(sample.cells) - present
        rows = [counts[category] for category in categories]
        rows += [sum(counts[category] for category in pooled)] * bool(pooled) + [missing] * bool(missing)
        column = cls(sample.name, categories, pooled, missing > 0, [number / len(sample.cells) for number in rows])
        parts = [f"one for each of {listed(categories)}",
                 f"one for the rest, {len(pooled):,} rare" if pooled else "",
                 "one for missing" if missing else ""]
        note(f"becomes {column.width} columns of 0 and 1: {', '.join(filter(None, parts))}")
        return column

    @property
    def width(self):
        """How many columns of inputs it makes."""
        return len(self.categories) + bool(self.pooled) + self.missing

    def encode(self, table, decimal):
        """The inputs (N, width)."""
        cells, unknown = table.columns[self.name], self.width
        column = {category: i for i, category in enumerate(self.categories)}
        column |= dict.fromkeys(self.pooled, len(self.categories))
        column |= dict.fromkeys(MISSING, self.width - 1 if self.missing else unknown)
        chosen = np.array([column.get(cell, unknown) for cell in cells], np.int64)
        strange = Counter(cells[i] for i in np.flatnonzero(chosen == unknown) if cells[i] not in MISSING)
        if strange:
            warnings.warn(f"column {self.name!r} holds categories that no training row has in "
                          f"{count(strange.total(), 'row')}, {listed(sorted(strange), 3)}: they are encoded as unknown",
                          stacklevel=3)
        if not self.missing:
            _warn_of_missing(self.name, sum(cell in MISSING for cell in cells), "what stands for an unknown category")
        rows = np.eye(self.width + 1, self.width, dtype=np.float32)
        rows[unknown] = rows[len(self.categories)] if self.pooled else self.shares
        return rows[chosen]


def _note_numbers(sample, present, note):
    """Say of text that most of it would be numbers but for a sign, leading zeros, or a few cells."""
    signed = [cell for cell in sample.cells if has_sign(cell)]
    wrong = sample.numbers.wrong
    if len(signed) > present / 2:
        note(f"is text, though most cells, such as {shown(signed[0])}, are numbers but for a sign: "
             "leave the sign out to have them as numbers")
    elif all(cell.isascii() and cell.isdecimal() for cell in sample.cells if cell not in MISSING):
        note("is taken for codes, not for quantities, as its whole numbers have leading zeros")
    elif len(wrong) < present / 2:
        note(f"is text, though {present - len(wrong):,} of {present:,} cells are numbers: "
             f"{shown(sample.cells[wrong[0]])} in line {sample.lines[wrong[0]]} is none")


COLUMNS = {kind.kind: kind for kind in (Number, Date, Category)}        # in the order in which they are tried
