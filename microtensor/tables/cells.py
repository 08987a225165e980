"""What cells say: nothing, a number, or a date."""

import re
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

MISSING = frozenset(("", "NA", "N/A", "n/a", "n.a.", "<NA>", "NaN", "nan", "null", "NULL", "None", "?", "-", "#N/A"))
FEW = 0.05          # below this share of its cells, what does not fit a column is taken for a mistake in it


# -- numbers -----------------------------------------------------------------------------------------------------------


class Numbers(NamedTuple):
    """What a column holds, read as numbers."""

    values: np.ndarray      # (N,) float64: NaN where a cell is missing, infinite or no number
    wrong: list             # positions of the cells that are no numbers
    infinite: list          # positions of "inf", and of numbers beyond float64
    grouper: str            # what separates thousands; None if nothing does

    def take(self, kept):
        """The same of some ascending rows."""
        wrong, infinite = (np.flatnonzero(np.isin(kept, rows)).tolist() for rows in (self.wrong, self.infinite))
        return Numbers(self.values[kept], wrong, infinite, self.grouper)


def _number_pattern(mark, groupers):
    grouped = rf"[1-9]\d{{0,2}}(?P<grouper>[{groupers}])\d{{3}}(?:(?P=grouper)\d{{3}})*"
    return re.compile(rf"{_SIGN}(?:(?:{grouped}|\d+)(?:{mark}\d*)?|{mark}\d+)(?:[eE]{_SIGN}\d+)?", re.ASCII)


_SIGN = "[+\u2212-]?"         # U+2212 is the minus sign of typesetting
_SPACES = " '\u2019\u00a0\u202f"        # what else separates thousands: spaces, also unbreakable ones, and apostrophes
_PATTERNS = {".": _number_pattern(r"\.", "," + _SPACES), ",": _number_pattern(",", "." + _SPACES)}
_TO_PYTHON = {".": str.maketrans("\u2212", "-", "," + _SPACES), ",": str.maketrans(",\u2212", ".-", "." + _SPACES)}
_INFINITE = re.compile(rf"{_SIGN}inf(?:inity)?", re.IGNORECASE)
_LEADING_ZERO = re.compile(r"^0\d", re.MULTILINE)
_SIGNS = "%€$£¥ \u00a0"


def read_numbers(cells, decimal):
    """Numbers of a column of cells; decimal is "." or ",".

    Whole numbers some of which have leading zeros, such as zip codes, are none.

    >>> read_numbers(["1,234.5", "", "abc"], ".")
    Numbers(values=array([1234.5,    nan,    nan]), wrong=[2], infinite=[], grouper=',')
    """
    values = np.full(len(cells), np.nan)
    present = [i for i, cell in enumerate(cells) if cell not in MISSING]
    texts = [cells[i] for i in present]
    wrong, grouper = [], None
    joined = "\n".join(texts)
    letters = set(joined)
    if letters <= set("0123456789\n") and _LEADING_ZERO.search(joined):
        return Numbers(values, present, [], None)
    try:
        # Most columns have digits and marks only, for which float() is fast, and means the same as the pattern.
        if not texts or not letters <= set("0123456789+-eE\n" + decimal):
            raise ValueError
        values[present] = list(map(float, joined.replace(",", ".").split("\n")))
    except ValueError:
        wrong, grouper = _read_one_by_one(present, texts, decimal, values)
    infinite = np.flatnonzero(np.isinf(values)).tolist()
    values[infinite] = np.nan
    return Numbers(values, wrong, infinite, grouper)


def _read_one_by_one(positions, texts, decimal, values):
    """Write numbers into values; return the positions of what is none, and what separates thousands in the column."""
    pattern, to_python = _PATTERNS[decimal], _TO_PYTHON[decimal]
    grouper, wrong = None, []
    matches = {text: pattern.fullmatch(text) for text in set(texts)}        # of which columns of text have few
    for i, text in zip(positions, texts, strict=True):
        match = matches[text]
        if match and (match["grouper"] is None or match["grouper"] == (grouper or match["grouper"])):
            grouper = grouper or match["grouper"]
            values[i] = float(text.translate(to_python))
        elif _INFINITE.fullmatch(text):
            values[i] = np.inf
        else:
            wrong.append(i)
    return wrong, grouper


def is_number(cell):
    """Whether a cell is a number, with decimal point or comma."""
    return any(pattern.fullmatch(cell) for pattern in _PATTERNS.values())


def has_sign(cell):
    """Whether a cell would be a number without a percent or currency sign."""
    bare = cell.strip(_SIGNS)
    return bare != cell and is_number(bare)


def decimal_mark(cells, read):
    """The decimal mark that a column shows: "." or ","; "?" if it can be read by both, with other numbers; or None.

    Args:
        cells: list of str.
        read: a function of a mark that returns the column's Numbers.

    >>> [decimal_mark(cells, lambda mark: read_numbers(cells, mark)) for cells in (["1,5", "2"], ["1,234"], ["12"])]
    [',', '?', None]
    """
    marked = [cell for cell in cells if "." in cell or "," in cell]
    if not marked:
        return None
    # Nearly always the last mark of the first such cell tells, without reading the column by the other one as well.
    likely, other = (".", ",") if marked[0].rfind(".") > marked[0].rfind(",") else (",", ".")
    if not read(likely).wrong and not all(map(_PATTERNS[other].fullmatch, marked)):
        return likely
    present = sum(cell not in MISSING for cell in cells)
    wrong = {mark: len(read(mark).wrong) for mark in ".,"}
    likely = [mark for mark in ".," if wrong[mark] < FEW * present and wrong[mark] == min(wrong.values())]
    if len(likely) == 2:
        return "?" if len(two_readings(read)) else None
    return likely[0] if likely else None


def two_readings(read):
    """Positions of the cells that are another number by each decimal mark; read as for ``decimal_mark``."""
    point, comma = read(".").values, read(",").values
    return np.flatnonzero(~np.isnan(point) & ~np.isnan(comma) & (point != comma))


# -- dates -------------------------------------------------------------------------------------------------------------

_TIME = (r"(?:[T ](?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d)(?P<fraction>\.\d+)?)?"
         r" ?(?P<zone>Z|[+-]\d\d:?\d\d)?)?")
ORDERS = {name: re.compile(date + _TIME, re.ASCII) for name, date in {
    "year-month-day": r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d\d?)(?P=mark)(?P<day>\d\d?)",
    "day-month-year": r"(?P<day>\d\d?)(?P<mark>[-/.])(?P<month>\d\d?)(?P=mark)(?P<year>\d{4})",
    "month-day-year": r"(?P<month>\d\d?)(?P<mark>[-/])(?P<day>\d\d?)(?P=mark)(?P<year>\d{4})",
}.items()}
_DATE_LIKE = re.compile(r"\d\d?[-/ ][^\W\d]{3,9}[-/ ,]+\d\d.*|[^\W\d]{3,9}\.? \d\d?,? +\d{4}.*|"
                        r"\d\d?([-/])\d\d?\1\d\d.*|\d\d\.\d\d\.\d\d.*|\d{4}([-/.])\d\d?\2\d\d?.*", re.DOTALL)
_EPOCH = datetime(1970, 1, 1)


def read_date(cell, order):
    """Days since 1970-01-01 of a cell, in UTC if it has a zone; None if it is no date of this order.

    >>> read_date("1970-01-02T12:00", "year-month-day"), read_date("31/02/2020", "day-month-year")
    (1.5, None)
    """
    match = ORDERS[order].fullmatch(cell)
    if match is None:
        return None
    parts = match.groupdict()
    try:
        fields = [int(parts[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")]
        elapsed = datetime(*fields) - _EPOCH
    except ValueError:      # there is no such day
        return None
    zone = (parts["zone"] or "Z").replace(":", "")
    if zone != "Z":
        elapsed -= timedelta(hours=int(zone[:3]), minutes=int(zone[0] + zone[3:]))
    return (elapsed.total_seconds() + float(parts["fraction"] or 0)) / 86400


def date_orders(cells):
    """The orders by which all cells that are not missing are dates."""
    present = set(cells) - MISSING
    return [order for order in ORDERS if present and all(read_date(cell, order) is not None for cell in present)]


def look_like_dates(cells):
    """Whether all cells that are not missing look like dates that people write."""
    return all(cell in MISSING or _DATE_LIKE.fullmatch(cell) for cell in cells)


def read_dates(cells, order):
    """Numbers of a column of dates, as days since 1970-01-01."""
    days = {cell: read_date(cell, order) for cell in set(cells) - MISSING}
    values = np.array([np.nan if days.get(cell) is None else days[cell] for cell in cells], np.float64)
    return Numbers(values, [i for i, cell in enumerate(cells) if cell not in MISSING and days[cell] is None], [], None)


def is_value(cell):
    """Whether a cell is a number or a date, as hardly a column's name is."""
    return is_number(cell) or any(read_date(cell, order) is not None for order in ORDERS)
