"""Capital letters and commas."""

ANSWERS = {"a": "Kernel, Rule, Second", "b": "RULE, SECOND", "c": "Single", "d": " second ", "e": "Kinks",
           "f": "Unread", "g": "Second, Single, Rule, Kernel", "h": "Nothing"}
