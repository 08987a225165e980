"""Derived from where each line is run: figures that have exactly one side with the edit, or both unlike."""

SIDES = {"kernel": {"loops64", "forward"}, "rule": {"rule", "loops64"}, "single": {"loops32", "loops64"},
         "second": {"rule's graph", "loops64"}}


def seen_by(*edited):
    return " ".join(figure for figure, sides in SIDES.items() if len(sides & set(edited)) == 1)


ANSWERS = {"a": seen_by("loops32", "loops64"), "b": seen_by("rule", "rule's graph"), "c": seen_by("loops32"),
           "d": seen_by("rule's graph"), "e": "kinks", "f": "unread", "g": seen_by("loops64"), "h": "nothing"}
