"""How messages name things."""

import difflib
import re


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


def sentences(notes, most=3):
    """Sentences of (name, what is said of it); more than ``most`` that are alike but for numbers and cells are one.

    >>> sentences([("a", "is missing in 3 rows"), ("b", "is missing in 1 row"), ("c", "is not used")], most=1)
    ["'a' is missing in 3 rows; likewise 'b'", "'c' is not used"]
    """
    alike = {}
    for name, text in notes:
        alike.setdefault(re.split(r"[\d'\"]", text)[0], []).append((name, text))
    found = []
    for group in alike.values():
        full = group if len(group) <= most else group[:1]
        found += [f"{shown(name)} {text}" for name, text in full]
        if len(group) > most:
            found[-1] += f"; likewise {listed([name for name, _ in group[1:]])}"
    return found


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
