"""Table: the cells of a file by column, and what they are taken for."""

import os
from functools import partial
from itertools import compress

import numpy as np

from microtensor._arguments import checked_bool
from microtensor.random import checked_seed
from microtensor.tables.cells import FEW, MISSING, decimal_mark, has_sign, read_numbers, two_readings
from microtensor.tables.encoder import Encoder
from microtensor.tables.reading import read_grid
from microtensor.tables.wording import count, listed, shown, similar

_TASKS = ("classification", "regression")
_CLASSES = 20       # more different numbers than this are a quantity, unless task= says otherwise
_EACH = 5           # and so are numbers that have fewer rows each than this, on average


class Table:
    """A table of text cells, read from a CSV file, with a target column if it is to be trained on.

    ``Table.read`` makes one.

    Attributes:
        names: the columns' names, in the file's order.
        columns: a dict from name to the column's cells, a list of str without spaces around.
        target: the name of the target column, or None.
        task: "classification" or "regression"; None without a target.
        format: a dict of delimiter, encoding, decimal ("." or ",") and header (bool), as found or given.
        decided: whether the decimal mark was given, or is shown by the cells; it is "." otherwise.
        ambiguous: the columns whose numbers another decimal mark would change, where nothing shows which is right.
        notes: sentences about what was found and decided.
        rows: for each row its number in the file, from 1, without header and empty lines: rows may have been dropped.
        lines: for each row the line of the file that it begins in, from 1.
        checksum: the CRC-32 of the file's bytes.

    >>> import pathlib, tempfile
    >>> import microtensor as mt
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "houses.csv")
    ...     _ = path.write_text("area;garden;price\\n50,5;no;100\\n80;yes;200\\n;no;150\\n65;yes;170\\n")
    ...     table = mt.Table.read(path, target="price")
    >>> len(table), table.names, table.task, table.format["decimal"]
    (4, ['area', 'garden', 'price'], 'regression', ',')
    >>> table.numbers("area"), table.numbers("garden")
    (array([50.5, 80. ,  nan, 65. ]), None)
    >>> encoder = table.encoder(range(4))
    >>> encoder.encode(table).shape, encoder.encode_target(table).shape     # area, is it missing, garden: no, yes
    ((4, 4), (4, 1))
    """

    def __init__(self, grid, target=None, task=None, decimal=None):
        self.columns = grid.columns
        self.names = list(grid.columns)
        self.lines = np.array(grid.lines, np.int64)
        self.rows = np.arange(1, len(self.lines) + 1)
        self.notes = list(grid.notes)
        self.checksum = grid.checksum
        self.target = target
        self.task = None
        self._numbers = {}
        self.decided = decimal is not None
        self.ambiguous = []
        self.format = {**grid.format, "decimal": decimal or self._find_decimal()}
        if target is not None:
            self._check_target()
            self._drop_rows_without_target()
            self.task = self._find_task(task)

    @classmethod
    def read(cls, path, target=None, *, task=None, delimiter=None, encoding=None, decimal=None, header=None):
        """Read a CSV file, which may be compressed by gzip; what is not given is found, and said in ``notes``.

        Args:
            path: of the file.
            target: the name of the column to predict; None if there is nothing to train on.
            task: "classification" or "regression"; by default as the target looks. For a table to evaluate a model
                on, that of the model.
            delimiter: the character between cells.
            encoding: a name that Python knows.
            decimal: "." or ",".
            header: whether the first row holds the columns' names; if not they are "column 1", "column 2", ...

        Returns:
            A Table. Rows whose target is missing are not in it.

        Raises:
            OSError: if the file cannot be read.
            TypeError: if path is no path, or header no bool.
            ValueError: if an argument is wrong, or the file is no table, in one sentence that begins with its path.

        Convention: RFC 4180 for quotes; a cell is missing if it is empty, NA, N/A, n/a, n.a., <NA>, #N/A, NaN, nan,
            null, NULL, None, ? or -.
        """
        path = os.fspath(path)
        _check_arguments(target, task, delimiter, decimal)
        if header is not None:
            header = checked_bool("header", header)
        try:
            return cls(read_grid(path, target, delimiter, encoding, header), target, task, decimal)
        except ValueError as error:
            raise ValueError(f"{os.fsdecode(path)}: {error}") from error

    def __len__(self):
        """The number of rows."""
        return len(self.lines)

    def __repr__(self):
        goal = "" if self.target is None else f", target={self.target!r}, task={self.task!r}"
        return f"Table({count(len(self), 'row')}, {count(len(self.names), 'column')}{goal})"

    def numbers(self, name):
        """The numbers of a column, or None if some of its cells are no numbers.

        Args:
            name: of the column.

        Returns:
            float64 (N,), NaN where a cell is missing or infinite; not to be written into.

        Raises:
            KeyError: if there is no such column.
        """
        numbers = self.read_numbers(name, self.format["decimal"])
        return None if numbers.wrong or np.isnan(numbers.values).all() else numbers.values

    def read_numbers(self, name, decimal):
        """All about the numbers of a column, by a decimal mark: values, and which cells are wrong or infinite."""
        if (name, decimal) not in self._numbers:
            self._numbers[name, decimal] = read_numbers(self.columns[name], decimal)
        return self._numbers[name, decimal]

    def split(self, fractions=(0.7, 0.15, 0.15), seed=0):
        """Split the rows at random into parts without a common row; classes have about the same share in each.

        Args:
            fractions: numbers above 0 that sum to 1, one for each part.
            seed: an int that chooses the rows; the same seed gives the same parts on every machine.

        Returns:
            A list of int64 arrays of row positions, from 0, ascending. Every class is in the first part, and every
            part has at least a row.

        Raises:
            ValueError: if fractions or the seed are wrong, or there are too few rows.

        Example: ``train, val, test = table.split()``
        """
        fractions = np.array(fractions, np.float64)
        if fractions.ndim != 1 or not (fractions > 0).all() or not np.isclose(fractions.sum(), 1):
            raise ValueError(f"split: fractions must be numbers above 0 that sum to 1, got {fractions.tolist()}")
        part, classes = np.empty(len(self), np.int64), self._class_numbers()
        fractions, numbers = fractions.tolist(), range(len(fractions))
        order = np.random.RandomState(checked_seed(seed)).permutation(len(self))
        order = order[np.argsort(classes[order], kind="stable")]
        sizes, seen = [0] * len(fractions), None
        for done, row in enumerate(order.tolist(), 1):
            # Each row goes to the part that lags behind most, but one of each class to the first, to be trained on.
            first = classes[row] != seen
            chosen = 0 if first else max(numbers, key=lambda number: fractions[number] * done - sizes[number])
            part[row] = chosen
            sizes[chosen] += 1
            seen = classes[row]
        for empty in numbers:
            if not sizes[empty]:
                part[self._spare_row(part, classes)] = empty
        return [np.flatnonzero(part == number) for number in numbers]

    def encoder(self, rows, drop=(), categories=()):
        """How the columns become numbers, learnt from some rows alone.

        Args:
            rows: positions of the training rows, from 0, such as ``split()[0]``.
            drop: names of columns that must not be used.
            categories: names of columns whose numbers are names of categories.

        Returns:
            An Encoder.

        Raises:
            ValueError: if the table has no target, a column of numbers has a few cells that are none, no column is
                left to learn from, or the target is the same in all these rows.
            IndexError: if there is no such row.
        """
        return Encoder.fit(self, rows, drop, categories)

    # -- what is found

    def _find_decimal(self):
        """The mark that columns of numbers show. Where they contradict each other there is no safe guess."""
        marks = {name: decimal_mark(cells, partial(self.read_numbers, name)) for name, cells in self.columns.items()}
        first = {mark: next((name for name in marks if marks[name] == mark), None) for mark in ".,"}
        if None not in first.values():
            raise ValueError(f"the numbers of {first['.']!r} have decimal points and those of {first[',']!r} decimal "
                             "commas: say by decimal='.' or ',' which is right; the others will be text")
        self.decided = first["."] is not None or first[","] is not None
        if first[","] is not None:
            self.notes.append("numbers have a decimal comma")
            return ","
        if not self.decided:
            self.ambiguous = [name for name in marks if marks[name] == "?"]
        if self.ambiguous:
            name = self.ambiguous[0]
            row = two_readings(partial(self.read_numbers, name))[0]
            point, comma = (self.read_numbers(name, mark).values[row] for mark in ".,")
            self.notes.append(f"{shown(self.columns[name][row])} in {name!r} can be {point:.15g} or {comma:.15g}, and "
                              "no cell shows which: a decimal point is assumed; decimal=',' says otherwise")
        return "."

    def _check_target(self):
        if self.target not in self.columns:
            near = similar(self.target, self.names)
            raise ValueError(f"it has no column {self.target!r}{f' (is it {near!r}?)' if near else ''}, only "
                             f"{listed(self.names, 10)}")
        if len(self.names) == 1:
            raise ValueError(f"it has a single column, {self.target!r}, and none to predict it from; if cells are not "
                             "separated by a comma, semicolon, tab or bar, say by delimiter= by what")

    def _drop_rows_without_target(self):
        cells = self.columns[self.target]
        numbers = self.read_numbers(self.target, self.format["decimal"])
        keep = np.array([cell not in MISSING for cell in cells])
        if not numbers.wrong:
            keep[numbers.infinite] = False
        if not keep.any():
            raise ValueError(f"the target {self.target!r} is missing in all rows")
        if not keep.all():
            self.notes.append(f"{count(len(keep) - keep.sum(), 'row')} of {len(keep):,} dropped, as the target "
                              f"{self.target!r} is missing or infinite there")
            self.columns = {name: list(compress(cells, keep)) for name, cells in self.columns.items()}
            self.lines, self.rows = self.lines[keep], self.rows[keep]
            self._numbers = {key: numbers.take(np.flatnonzero(keep)) for key, numbers in self._numbers.items()}

    def _find_task(self, task):
        """The task that the target's cells show; a given one is checked against them."""
        cells, n = self.columns[self.target], len(self)
        values, wrong = self.numbers(self.target), self.read_numbers(self.target, self.format["decimal"]).wrong
        if wrong and (task == "regression" or (task is None and len(wrong) < FEW * n)):
            raise ValueError(f"the target {self.target!r} holds numbers but for {len(wrong):,} of its {n:,} cells, the "
                             f"first {shown(cells[wrong[0]])} in line {self.lines[wrong[0]]}: correct them, leave them "
                             "empty to drop these rows, or say task='classification'")
        distinct = len(set(cells) if values is None else np.unique(values))
        merged = values is not None and distinct < len(set(cells)) and np.abs(values).max() >= 2**53
        if task is None:            # with a given task this may be a table to evaluate on, in which few rows are enough
            if distinct == 1 and not merged:
                raise ValueError(f"the target {self.target!r} is {shown(cells[0])} in every row: there is nothing to "
                                 "learn")
            task = self._likely_task(values, distinct)
            if task == "classification" and distinct > max(n / 2, _CLASSES):
                way = ": leave the sign out to predict numbers" if has_sign(cells[0]) else ""
                raise ValueError(f"the target {self.target!r} has {distinct:,} different cells in {n:,} rows, such as "
                                 f"{shown(cells[0])}, too many for classes{way}")
        if task == "classification" and merged:
            raise ValueError(f"the target {self.target!r} holds numbers of 2**53 and more, such as "
                             f"{shown(cells[np.abs(values).argmax()])}, which float64 does not tell apart: write them "
                             "as text, such as 'n1', to have classes")
        return task

    def _likely_task(self, values, distinct):
        if values is None:
            self.notes.append(f"the task is classification, as the target {self.target!r} is text")
            names = sorted(set(self.columns[self.target]))
            by_letters = {name.casefold(): name for name in names}
            if len(by_letters) < len(names):
                name = next(name for name in names if by_letters[name.casefold()] != name)
                self.notes.append(f"{shown(name)} and {shown(by_letters[name.casefold()])} in the target "
                                  f"{self.target!r} are two classes: correct one if they mean the same")
            return "classification"
        whole = bool((values == np.floor(values)).all())
        few = distinct <= _CLASSES and len(values) >= _EACH * distinct
        task, other = _TASKS if whole and few else _TASKS[::-1]
        self.notes.append(f"the task is {task}, as the target {self.target!r} has {distinct:,} different "
                          f"{'whole ' if whole else ''}numbers in {len(values):,} rows; task={other!r} says otherwise")
        return task

    # -- splitting

    def _class_numbers(self):
        """A number for each row's class; all are 0 if there are no classes."""
        if self.task != "classification":
            return np.zeros(len(self), np.int64)
        values = self.numbers(self.target)
        keys = np.array(self.columns[self.target], dtype=object) if values is None else values
        return np.unique(keys, return_inverse=True)[1]

    @staticmethod
    def _spare_row(part, classes):
        """A row that its part can do without: the first part keeps a row of each class."""
        for number in np.argsort(-np.bincount(part), kind="stable"):
            rows = np.flatnonzero(part == number)
            kept = np.unique(classes[rows], return_index=True)[1] if number == 0 else [0]
            spare = np.delete(rows, kept)
            if len(spare):
                return spare[-1]
        raise ValueError(f"split: {len(part)} rows of {len(np.unique(classes))} classes are too few: each part needs a "
                         "row, and the first one of each class")


def _check_arguments(target, task, delimiter, decimal):
    if target is not None and not isinstance(target, str):
        raise TypeError(f"target must be the name of a column, got {target!r}")
    if task not in (None, *_TASKS):
        raise ValueError(f"task must be 'classification' or 'regression', got {task!r}")
    if task is not None and target is None:
        raise ValueError(f"task={task!r} needs a target")
    if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n'):
        raise ValueError(f"delimiter must be a single character, no quote and no line break, got {delimiter!r}")
    if decimal not in (None, ".", ","):
        raise ValueError(f"decimal must be '.' or ',', got {decimal!r}")
