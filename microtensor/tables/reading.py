"""From a file to columns of cells: compression, encoding, delimiter, header."""

import codecs
import contextlib
import csv
import io
import re
import threading
import zlib
from collections import Counter
from itertools import islice
from typing import NamedTuple

from microtensor.tables.cells import FEW, MISSING, is_value
from microtensor.tables.wording import count, listed

_OTHERS = {
    b"PK\x03\x04": "a zip archive, as Excel's .xlsx and NumPy's .npz are",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
    b"PAR1": "a Parquet file",
    b"\x93NUMPY": "a NumPy array",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF document",
    b"\x89HDF": "an HDF5 file",
    b"SQLite format 3": "an SQLite database",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    **{bytes([0x80, protocol]): "a Python pickle" for protocol in range(2, 6)},
}
# UTF-32 first, as the mark of UTF-16 is the beginning of its own.
_BYTE_ORDER_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF8: "utf-8-sig",
                     codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_ONE_BYTE = ("cp1252", "latin-1")
_NO_TEXT = re.compile(r"[\0-\x08\x0e-\x1f\ud800-\udfff]")
_SEPARATOR_LINE = re.compile(r"sep=([^\r\n\"])(?=[\r\n])")      # which Excel writes and reads
_DELIMITERS = ";\t|,"           # where two do equally well the comma comes last, as text has it inside of cells
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
_SAMPLE = 200                   # rows that the delimiter and the header are found by


class Grid(NamedTuple):
    """What stands in a file."""

    columns: dict           # name -> list of str
    lines: list             # the line of the file that each row begins in, from 1
    format: dict            # delimiter, encoding, header
    notes: list             # sentences
    checksum: int           # the CRC-32 of the file's bytes


def read_grid(path, target, delimiter, encoding, header):
    """The Grid of a file; what is None is found. A target that stands in the first row shows that it is the header."""
    notes = []
    with open(path, "rb") as file:
        data = file.read()
    text, encoding = _decoded(_uncompressed(data, notes), encoding, notes)
    if said := _SEPARATOR_LINE.match(text):
        delimiter = delimiter or said[1]
        text = text[said.end() :]       # an empty line is left, so that lines keep their numbers
        notes.append(f"the first line, {said[0]!r}, says what separates the cells")
    with _long_cells(len(text)):
        if delimiter is None:
            delimiter = _find_delimiter(text)
            if delimiter != "," and delimiter in text:
                notes.append(f"the cells are separated by {_NAMES[delimiter]}")
        rows, lines = _parsed(text, delimiter)
    if not rows:
        raise ValueError("it is empty: there is no line with anything in it")
    if header is None:
        header = target in rows[0] or _has_header(rows[:_SAMPLE])
        if not header:
            notes.append(f"the first line holds data, not names: the columns are called 'column 1' to "
                         f"'column {len(rows[0])}'; if it does hold names, say header=True")
    rows = _without_trailing_delimiter(rows, header, notes)
    _check_widths(rows, lines, delimiter, header)
    names = _names(rows[0], notes) if header else [f"column {i}" for i in range(1, len(rows[0]) + 1)]
    rows, lines = rows[header:], lines[header:]
    if not rows:
        raise ValueError(f"it has a header, {listed(names)}, and no row below")
    columns = {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    return Grid(columns, lines, {"delimiter": delimiter, "encoding": encoding, "header": header}, notes,
                zlib.crc32(data))


# -- bytes to text -----------------------------------------------------------------------------------------------------


def _uncompressed(data, notes):
    if data.startswith(b"\x1f\x8b"):
        import gzip

        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"it is compressed by gzip, and damaged: {error}") from error
        notes.append("the file is compressed by gzip")
    kind = next((kind for magic, kind in _OTHERS.items() if data.startswith(magic)), None)
    if data[257:262] == b"ustar":
        kind = "a tar archive"
    if kind:
        raise ValueError(f"it is {kind}, not a table as text: save or unpack it as a CSV file")
    return data


def _decoded(data, encoding, notes):
    """The text and its encoding."""
    found = encoding or _find_encoding(data)
    try:
        text = data.decode(found).removeprefix("\ufeff")
    except LookupError:
        raise ValueError(f"there is no encoding {encoding!r}; utf-8, utf-16, cp1252 and latin-1 are usual") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not {found}: {error.reason} at byte {error.start:,}") from error
    # A bell, a NUL or half a character is in no text: what an encoding that takes any byte decodes is found out here.
    if strange := _NO_TEXT.search(text):
        raise ValueError(f"it is no text: it holds the character {strange[0]!r}, as binary files do")
    if encoding is None and found != "utf-8":
        reason = ", as its bytes are not UTF-8; if letters look wrong, say encoding=" if found in _ONE_BYTE else ""
        notes.append(f"the text is read as {found}{reason}")
    return text, found


def _find_encoding(data):
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return encoding
    # Without a mark, UTF-16 is known by the zero byte that each ASCII character, such as a delimiter, has there.
    start = data[:4096]
    even, odd = start[::2].count(0), start[1::2].count(0)
    if len(data) % 2 == 0 and max(even, odd) > 0.3 * len(start[::2]) and not min(even, odd):
        return "utf-16-le" if odd else "utf-16-be"
    for encoding in ("utf-8", "cp1252"):
        with contextlib.suppress(UnicodeDecodeError):
            data.decode(encoding)
            return encoding
    return "latin-1"


# -- text to rows ------------------------------------------------------------------------------------------------------

_limit = threading.Lock()


@contextlib.contextmanager
def _long_cells(length):
    """Let cells be as long as the text: csv refuses those of more than 128 KiB, by a limit for the whole process."""
    with _limit:
        before = csv.field_size_limit()
        csv.field_size_limit(min(max(length, before), 2**31 - 1))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _reader(text, delimiter, strict):
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=strict)


def _find_delimiter(text):
    """The delimiter by which most rows have the same number of cells, the first row more than one."""
    best, chosen, single = (0, 0.0), None, ","
    for delimiter in _DELIMITERS:
        rows = [row for row in islice(_reader(text, delimiter, strict=False), _SAMPLE) if row]
        if all(len(row) == 1 for row in rows):
            single = delimiter
        elif len(rows[0]) > 1:
            width, agreeing = Counter(map(len, rows)).most_common(1)[0]
            cells = [cell.strip() for row in rows for cell in row]
            # "1,5;2,5" has as many cells in each row by either mark; the right one leaves numbers.
            quality = agreeing * (width > 1), sum(map(is_value, cells)) / len(cells)
            if quality > best:
                best, chosen = quality, delimiter
    return chosen or single


def _parsed(text, delimiter):
    """Rows of stripped cells, without empty lines, and the line that each row begins in."""
    rows, lines = [], []
    reader = _reader(text, delimiter, strict=True)
    end = 0
    try:
        for row in reader:
            if len(row) > 1 or (row and row[0].strip()):
                rows.append([cell.strip() for cell in row])
                lines.append(end + 1)
            end = reader.line_num
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise ValueError(f"a quote that opens in the row of line {end + 1} is never closed") from error
        raise ValueError(f"the row of line {end + 1} cannot be read: {error}; a quote inside of quotes is written "
                         "twice") from error
    return rows, lines


def _without_trailing_delimiter(rows, header, notes):
    """The rows without their last cell, if each ends with a delimiter; the header may be without one."""
    body = rows[header:]
    width = len((body or rows)[0])
    trailing = width > 1 and all(len(row) == width and not row[-1] for row in body)
    named = header and len(rows[0]) == width and rows[0][-1]        # a column all of whose cells are missing
    if not trailing or named or len(rows[0]) not in (width - 1, width):
        return rows
    notes.append("each row ends with a delimiter, after which there is no column")
    return [row[: width - 1] for row in rows]


def _check_widths(rows, lines, delimiter, header):
    """Refuse rows that have another number of cells than the first."""
    width = len(rows[0])
    ragged = [i for i, row in enumerate(rows) if len(row) != width]
    if ragged:
        first = ragged[0]
        mark, top = _NAMES.get(delimiter, repr(delimiter)), "header" if header else "first row"
        raise ValueError(f"line {lines[first]} has {count(len(rows[first]), 'cell')} and the {top} {width}, by {mark} "
                         f"(rows that differ: {len(ragged):,} of {len(rows) - header:,}): a cell with a delimiter in "
                         "it needs quotes")


# -- names -------------------------------------------------------------------------------------------------------------


def _has_header(rows):
    """Whether the first row holds names: text above numbers or dates; in a table of text, what does not come again."""
    above, numbers = 0, 0           # columns of numbers under text, and under a number
    for first, *column in zip(*rows, strict=False):
        present = [cell for cell in column if cell not in MISSING]
        if first in MISSING or sum(map(is_value, present)) < (1 - FEW) * len(present):
            continue
        if is_value(first):
            numbers += 1
        elif present:
            above += 1
    if above or numbers:
        return above > 0
    return not any(first in column and first not in MISSING for first, *column in zip(*rows, strict=False))


def _names(cells, notes):
    """The names in a header; the first may be empty, as in what pandas writes with an index."""
    names = list(cells)
    if not names[0] and len(names) > 1:
        names[0] = "column 1"
        notes.append("the first column has no name, and is called 'column 1'")
    empty = [i for i, name in enumerate(names, 1) if not name]
    if empty:
        more = f" and {len(empty) - 1:,} more" if len(empty) > 1 else ""
        raise ValueError(f"the header has no name for column {empty[0]}{more}: give each column one, or say "
                         "header=False if the first line is data")
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValueError(f"the header has {listed(twice)} more than once: give each column a name of its own")
    return names
