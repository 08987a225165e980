"""Lists and sets, in any order."""

ANSWERS = {
    "a": ["second", "rule", "kernel"], "b": {"second", "rule"}, "c": ("single",), "d": ["second"], "e": ["kinks"],
    "f": ["unread"], "g": {"single", "kernel", "rule", "second"}, "h": ["nothing"],
}
