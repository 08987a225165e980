"""Encoder: from the columns of a table to the inputs and targets of a net, and back from its outputs."""

import warnings
from dataclasses import asdict

import numpy as np

from microtensor.core import Tensor, from_numpy
from microtensor.tables.kinds import COLUMNS, DroppedError, Sample, check, fit_column
from microtensor.tables.targets import TARGETS
from microtensor.tables.wording import count, listed, sentences, similar

_VERSION = 1


class Encoder:
    """How the columns of a table become inputs, and its target becomes classes or standardised numbers.

    ``table.encoder(rows)`` makes one, which has learnt from these rows alone; ``mt.save(encoder.state_dict(), path)``
    writes what it knows.

    Attributes:
        task: "classification" or "regression".
        target: the name of the target column.
        classes: the names of the classes, a list of str; None in regression.
        inputs: D, the width of the inputs.
        outputs: how many outputs the net must have: the number of classes, or 1.
        notes: sentences about columns that are not used and why, and about how the others are encoded; of many that are
            treated alike the first stands for all.

    >>> import pathlib, tempfile
    >>> import microtensor as mt
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "leaves.csv")
    ...     _ = path.write_text("width,colour,tree\\n10,red,oak\\n25,green,elm\\n40,green,oak\\n")
    ...     table = mt.Table.read(path, target="tree")
    >>> encoder = table.encoder([0, 1, 2])
    >>> encoder.inputs, encoder.classes
    (3, ['elm', 'oak'])
    >>> encoder.encode(table)
    tensor([[-1.2247,  0.    ,  1.    ],
            [ 0.    ,  1.    ,  0.    ],
            [ 1.2247,  1.    ,  0.    ]])
    >>> encoder.encode_target(table)
    tensor([1, 0, 1])
    >>> encoder.decode([[0.0, 0.0], [3.0, 0.0]])[0]
    ['elm', 'elm']
    """

    def __init__(self, columns, target, names, header, decimal, notes):
        self._columns = columns
        self._target = target
        self._names = names             # all of the training table's
        self._header = header
        self._decimal = decimal         # its decimal mark; None if it has no number with one
        self.notes = notes

    @classmethod
    def fit(cls, table, rows, drop=(), categories=()):
        """Learn from some rows of a table; ``table.encoder(...)`` is the same."""
        rows = _checked_rows(table, rows)
        if table.target is None:
            raise ValueError("an encoder needs a target: Table.read(path, target=...)")
        target = TARGETS[table.task].fit(_sample(table, table.target, rows))
        for argument, names in {"drop": drop, "categories": categories}.items():
            unknown = [name for name in names if name not in table.names or name == table.target]
            if isinstance(names, str) or unknown:
                raise ValueError(f"{argument} must be a list of columns of the table, without the target, got "
                                 f"{names!r}{_hint(unknown, table.names)}")
        columns, notes = [], []
        for name in table.names:
            if name == table.target or name in drop:
                continue
            said = []
            try:
                columns.append(fit_column(_sample(table, name, rows), said.append, name in categories))
            except DroppedError as reason:
                said.append(f"is not used: {reason}")
            notes += [(name, text) for text in said]
        notes = sentences(notes)
        if not columns:
            raise ValueError(f"no column is left to learn from: {'; '.join(notes[:5])}")
        decimal = table.format["decimal"] if table.decided or table.ambiguous else None
        return cls(columns, target, list(table.names), table.format["header"], decimal, notes)

    @property
    def task(self):
        """What is predicted: "classification" or "regression"."""
        return self._target.kind

    @property
    def target(self):
        """The name of the target column."""
        return self._target.name

    @property
    def classes(self):
        """The names of the classes, or None."""
        return None if self._target.classes is None else list(self._target.classes)

    @property
    def inputs(self):
        """The width of the inputs."""
        return sum(column.width for column in self._columns)

    @property
    def outputs(self):
        """The width of the net's outputs."""
        return self._target.outputs

    def __repr__(self):
        return f"Encoder(target={self.target!r}, task={self.task!r}, inputs={self.inputs}, outputs={self.outputs})"

    # -- there and back

    def encode(self, table):
        """The inputs of a table, which has the columns of the training table by name, in any order.

        Args:
            table: a Table; its target is not looked at.

        Returns:
            A float32 tensor (N, D), rows in the table's order.

        Raises:
            ValueError: if it lacks columns, or cells are not of the kind that the column had.

        Warns:
            UserWarning: about columns that are not used, categories that are unknown, values that are missing where
                none was in the training rows, and numbers of which nothing shows the decimal mark.
        """
        self._check_columns(table)
        decimal = self._decimal_of(table)
        inputs, start = np.empty((len(table), self.inputs), np.float32), 0
        for column in self._columns:
            inputs[:, start : start + column.width] = column.encode(table, decimal)
            start += column.width
        return from_numpy(inputs)

    def encode_target(self, table):
        """The targets of a table.

        Args:
            table: a Table with the target's column.

        Returns:
            The numbers of the classes, an int64 tensor (N,); or standardised numbers, a float32 tensor (N, 1).

        Raises:
            ValueError: if the column or a value of it is missing, or a class is unknown.
        """
        _check_table(table)
        if self.target not in table.columns:
            raise ValueError(f"the table has no target {self.target!r}{_hint([self.target], table.names)}")
        return from_numpy(self._target.encode(table, self._decimal_of(table)))

    def decode(self, outputs):
        """What outputs of a net say.

        Args:
            outputs: a tensor or array, (N, C) of logits, or (N, 1) of standardised numbers.

        Returns:
            (names, probabilities) for classes: the list of the likeliest ones, and float64 (N, C) by softmax; numbers
            in the target's units otherwise, float64 (N,).

        Raises:
            ValueError: if outputs have another shape.
        """
        outputs = outputs.detach().numpy() if isinstance(outputs, Tensor) else outputs
        return self._target.decode(np.asarray(outputs, np.float64))

    # -- does a table fit

    def _check_columns(self, table):
        _check_table(table)
        used = [column.name for column in self._columns]
        lacking = [name for name in used if name not in table.columns]
        known = set(self._names)
        more = [name for name in table.names if name not in known]
        if lacking:
            header = ""
            if table.format["header"] != self._header:
                header = (f"; its first line was taken for {'names' if table.format['header'] else 'data'}: say "
                          f"header={self._header} to Table.read if that is wrong")
            raise ValueError(f"the table lacks {listed(lacking)}, which the model was trained on"
                             f"{_hint(lacking, more)}{header}")
        # Without names columns are told apart by their places, and a target left out would move those behind it.
        without_last_target = self._names[:-1] if self._names[-1] == self.target else self._names
        if not self._header and table.names not in (self._names, without_last_target):
            raise ValueError(f"the model was trained on {len(self._names)} columns without names, and the table has "
                             f"{len(table.names)}: it needs the same columns, with something in that of the target, "
                             f"{self.target!r}")
        if more:
            warnings.warn(f"the model does not know {listed(more)}: not used", stacklevel=3)

    def _decimal_of(self, table):
        """The table's decimal mark if its cells show one, or else that of the training table; a guess is said."""
        assumed = table.format["decimal"]
        decimal = assumed if table.decided else self._decimal or assumed
        used = {self.target, *(column.name for column in self._columns)}
        unclear = [name for name in table.ambiguous if name in used]
        if unclear and (self._decimal is None or decimal != assumed):
            mark = "point" if decimal == "." else "comma"
            warnings.warn(f"the numbers in {listed(unclear)} can have a decimal point or a decimal comma, and no cell "
                          f"shows which: a {mark} is taken{', as in the training table' if self._decimal else ''}; say "
                          "decimal= to Table.read if that is wrong", stacklevel=3)
        return decimal

    # -- state

    def state_dict(self):
        """All that it knows, in dicts, lists, numbers and strings, as ``mt.save`` writes them."""
        return {"version": _VERSION, "columns": [{"kind": column.kind, **asdict(column)} for column in self._columns],
                "target": {"kind": self._target.kind, **asdict(self._target)}, "names": list(self._names),
                "header": self._header, "decimal": self._decimal, "notes": list(self.notes)}

    @classmethod
    def from_state_dict(cls, state):
        """An Encoder from what ``state_dict()`` gave.

        Raises:
            ValueError: if the state is another thing, damaged, or of a newer version.
        """
        try:
            state = dict(state)
            version = state.pop("version")
            check(version == _VERSION, f"its version is {version!r}, the one known here {_VERSION}")
            state["columns"] = [_from_state(COLUMNS, column) for column in state["columns"]]
            state["target"] = _from_state(TARGETS, state["target"])
            return cls(**state)._checked()
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise ValueError(f"expected the state_dict() of an Encoder, whole and undamaged: {error!r}") from error

    def _checked(self):
        for texts in (self._names, self.notes):
            check(isinstance(texts, list) and all(isinstance(text, str) for text in texts), "a text is none")
        used = [column.name for column in self._columns]
        check(used and len({*used, self.target}) == len(used) + 1 and {*used, self.target} <= set(self._names),
              "the columns are not those of its names")
        check(isinstance(self._header, bool) and self._decimal in (".", ",", None), "header or decimal is wrong")
        return self


def _from_state(kinds, state):
    state = dict(state)
    kind = kinds[state.pop("kind")]
    return kind(**state)


def _sample(table, name, rows):
    cells, numbers = table.columns[name], table.read_numbers(name, table.format["decimal"])
    return Sample(name, [cells[row] for row in rows], numbers.take(rows), table.rows[rows], table.lines[rows])


def _checked_rows(table, rows):
    """Ascending positions, as what is learnt must not depend on their order."""
    array = rows.detach().numpy() if isinstance(rows, Tensor) else np.asarray(rows)
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "iu":
        raise ValueError(f"encoder: rows must be the positions of at least one row, got {array.dtype} {array.shape}")
    if array.min() < 0 or array.max() >= len(table):
        raise IndexError(f"encoder: rows run from {array.min()} to {array.max()}, and the table has "
                         f"{count(len(table), 'row')}")
    return np.sort(array)


def _check_table(table):
    if not hasattr(table, "read_numbers"):
        raise TypeError(f"expected a Table, as Table.read makes one, got a {type(table).__name__}")


def _hint(lacking, names):
    """Which names may be those that are lacking, written in another way."""
    pairs = [(name, near) for name in lacking[:3] if (near := similar(name, names))]
    return "".join(f"; is {near!r} the same as {name!r}? then rename it" for name, near in pairs)
