"""How messages name things."""

import difflib


def listed(names, most=5):
    """Some names, quoted.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more


def shown(cell, most=60):
    """A cell, quoted, or how it begins if it is long.

    >>> shown("a" * 100, most=5)
    "'aaaaa'..."
    """
    return repr(cell) if len(cell) <= most else f"{cell[:most]!r}..."


def count(number, noun):
    """A number of things.

    >>> count(1, "row"), count(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def similar(name, names):
    """The name that is most like another, whatever the case of its letters; None if none is.

    >>> similar("age", ["name", "Age"])
    'Age'
    """
    lower = {other.lower().strip(): other for other in names}
    return lower.get(next(iter(difflib.get_close_matches(name.lower(), lower, n=1)), None))
