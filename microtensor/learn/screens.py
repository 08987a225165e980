"""What the course shows in a terminal: the result of a check, the list of exercises, a hint. Text in, lines out."""

import os
import sys
import textwrap

from microtensor.learn.course import EXERCISES, PARTS, find, is_round
from microtensor.learn.steps import NOT_WRITTEN

WIDTH = 110         # columns at most
PRINTED = 8         # lines of what a file prints
COLOURS = {"green": "32", "red": "31", "grey": "90", "bold": "1"}
MARKS = {"done": "x", "changed": "~", "begun": ".", "missing": "?", "": " "}
LEGEND = "x done   . begun   ~ changed since it passed   ? the file is missing"


class Screen:
    """Lines for a terminal of some width, with colours or without.

    Args:
        stream: where they are shown; by default standard output.
    """

    def __init__(self, stream=None):
        stream = stream or sys.stdout
        terminal = stream.isatty()
        self.colours = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        try:
            columns = os.get_terminal_size(stream.fileno()).columns if terminal else WIDTH
        except (OSError, ValueError):
            columns = WIDTH
        self.width = max(40, min(WIDTH, columns or WIDTH))

    def paint(self, text, colour):
        """A text in a colour."""
        return f"\033[{COLOURS[colour]}m{text}\033[0m" if self.colours else text

    def wrapped(self, text, indent, first=None):
        """A paragraph as lines with an indent; the first line may begin with something else."""
        return textwrap.wrap(text, self.width, initial_indent=" " * indent if first is None else first,
                             subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)

    def result(self, result):
        """A Result: the steps, each with what was found, and where to read on."""
        exercise = find(result.exercise)
        heading = [self.paint(exercise.title, "bold"), *([f"attempt {result.attempt}"] if result.attempt else []),
                   os.path.relpath(result.path)]
        yield "   ".join(heading)
        if result.printed:
            lines = result.printed.rstrip("\n").split("\n")
            yield "  your file printed:"
            yield from (f"    | {line}" for line in lines[:PRINTED])
            if len(lines) > PRINTED:
                yield f"    | ... ({len(lines) - PRINTED} lines more)"
        if not result.written:
            yield "  not written yet: the task is in the file"
        else:
            column = max(len(step.name) for step in result.steps)
            failed = set()
            for step in result.steps:
                kind, _, what = step.name.partition(" ")
                yield from self._step(step, column)
                if kind == "gradient" and not step.passed and f"forward {what}".rstrip() in failed:
                    yield "    this is for your forward pass, which is wrong itself: put that right first"
                if not step.passed:
                    failed.add(step.name)
            if result.passed:
                yield self.paint("  done", "green")
            else:
                is_derived = exercise.page.startswith("docs/derivations/")
                if is_derived and any(step.name.startswith("gradient") for step in result.steps if not step.passed):
                    yield f"  the mathematics: {exercise.page} in microtensor's repository"
                if result.steps[0].name != "import":
                    yield f"  the same inputs again: microtensor learn check {exercise.name} --seed {result.seed}"
        for note in result.notes:
            yield from self.wrapped(note, 2)

    def _step(self, step, column):
        mark, colour = ("ok", "green") if step.passed else ("FAIL", "red")
        if step.text == NOT_WRITTEN:
            mark, colour = "-", "grey"
        start = f"  {step.name:{column}}  "
        first, *others = self.wrapped(step.text, column + 10, f"{start}{mark:4}  ") or [f"{start}{mark:4}"]
        yield start + self.paint(mark, colour) + first[len(start) + len(mark):]
        yield from others
        for line in step.lines:
            yield from self.wrapped(line, 6, "    ")

    def hint(self, exercise, level):
        """A hint; levels count from 1."""
        yield self.paint(f"{exercise.title}   hint {level} of {len(exercise.hints)}", "bold")
        yield ""
        for paragraph in exercise.hints[level - 1].split("\n\n"):
            plain = not any(line.startswith(" ") for line in paragraph.split("\n"))
            yield from self.wrapped(paragraph, 0) if plain else paragraph.split("\n")
            yield ""
        if "docs/" in exercise.hints[level - 1]:
            yield "docs/ lies in microtensor's repository"
        if level == len(exercise.hints):
            yield from self.wrapped("this is the last hint; when you have passed or tried three times, `microtensor "
                                    f"learn solution {exercise.name}` shows the solution", 0)

    def course(self, workspace):
        """The list of exercises, and what is done."""
        progress = workspace.progress
        states = {name: workspace.state(exercise, progress) for name, exercise in EXERCISES.items()}
        current, column = workspace.current().name, max(map(len, EXERCISES))
        for title, exercises in PARTS.values():
            yield self.paint(title, "bold")
            for exercise in exercises:
                state = states[exercise.name]
                mark = self.paint(MARKS[state], "green") if state == "done" else MARKS[state]
                arrow = " <- next" if exercise.name == current and state != "done" else ""
                line = f"  [{MARKS[state]}] {exercise.name:{column}} {exercise.minutes:4} min  "
                first, *others = self.wrapped(f"{exercise.teaches}{arrow}", len(line), line)
                yield first.replace(f"[{MARKS[state]}]", f"[{mark}]", 1)
                yield from others
        done = sum(state == "done" for state in states.values())
        yield f"{done} of {len(states)} done"
        yield from self.wrapped(LEGEND, 2, "  ")
        if more := [name for name, entry in progress.data["exercises"].items()
                    if is_round(name) and name not in EXERCISES and "passed" in entry]:
            yield f"and {len(more)} more rounds of the hunt"
        for name, exercise in EXERCISES.items():
            if workspace.is_outdated(exercise, progress):
                yield (f"the task of {name} has changed since you began: `microtensor learn reset {name}` writes it, "
                       "and keeps your file in .backup")
