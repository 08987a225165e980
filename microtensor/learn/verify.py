"""The proof that graders give of themselves: what must fail fails where it should, and what must pass passes.

For an exercise: its stub is not written yet; its solution passes a hundred seeds; at least three answers that are
written differently pass; at least four wrong ones fail at the step, the input and with the hint that their first line
states; every single edit of the solution fails, or is listed as equivalent with a reason; and the first two hints give
no line of the solution away.

An exercise that is done in microtensor's own source has patches in place of answers: the solution, and wrong ones.
They are graded in a copy of the checkout, which takes a compiler, and a minute.
"""

import ast
import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from microtensor.gradcheck.edits import edits, names_in, structure, substitutes
from microtensor.learn.child import grade_in_child
from microtensor.learn.course import EXERCISES, Round
from microtensor.learn.grading import grade
from microtensor.learn.steps import NOT_WRITTEN

SEEDS = 100         # that a solution must pass
LEARNERS = 3        # at which a file is graded
PLANTED = 10        # that a round of the hunt must fail at, which takes longer, as hints are sought
RIGHT, WRONG = 3, 4     # answers, at least
PATIENCE = 10       # seconds for one mutant, which may never end
EXPECT = re.compile(r"# expect: step=(?P<step>[\w ]+?)(?: input=(?P<input>\w+))?(?: hint=(?P<hint>[\w ]+))?$")
CORPUS = re.compile(r"# corpus: (.+)$", re.MULTILINE)


@dataclass
class Proof:
    """What verifying one exercise found.

    Attributes:
        exercise: its name.
        right, wrong, mutants: how many were graded.
        equivalent: how many mutants are right, and are listed.
        failures: a sentence for everything that is not as it should be.
        left_out: why something could not be tried here.
    """

    exercise: str
    right: int = 0
    wrong: int = 0
    mutants: int = 0
    equivalent: int = 0
    failures: list = field(default_factory=list)
    left_out: str = ""


def verify(exercise, seeds=SEEDS, plants=1, every=1):
    """The Proof of an Exercise; its failures are an empty list if its grader can be relied on.

    Args:
        exercise: the Exercise.
        seeds: how many the solution must pass, and right answers, too, but no more than a learner's: three.
        plants: which of the mutants of the solution to grade: each, each second, third, ..., or with 0 none; and with
            0 only to see whether patches apply, and not to grade them.
        every: likewise of the wrong answers; all are counted.
    """
    if isinstance(exercise, Round):
        return verify_round(exercise, seeds)
    proof = Proof(exercise.name)
    complain = proof.failures.append
    stub = grade(exercise, exercise.folder / "exercise.py")
    if not stub.steps or any(step.passed or step.text != NOT_WRITTEN for step in stub.steps):
        complain(f"the stub is not 'not written yet' at every step: {shown(stub)}")
    _look_for_spoilers(exercise, complain)
    if exercise.patch:
        _try_patches(exercise, proof, plants)
        return proof
    solution = grade(exercise, exercise.folder / "solution.py", range(seeds))
    if not solution.passed:
        complain(f"the solution fails at seed {solution.seed}: {shown(solution)}")
    for path in sorted((exercise.folder / "right").glob("*.py")):
        proof.right += 1
        found = grade(exercise, path, None if seeds >= LEARNERS else range(seeds))
        if not found.passed:
            complain(f"right/{path.name} fails at seed {found.seed}: {shown(found)}")
    for number, (path, source) in enumerate(wrong_answers(exercise)):
        proof.wrong += 1
        if number % every == 0:
            _hold(path, functools.partial(grade, exercise, path, text=source, all_steps=False), complain)
    if proof.right < RIGHT or proof.wrong < WRONG:
        complain(f"{proof.right} right and {proof.wrong} wrong answers, and {RIGHT} and {WRONG} are asked for")
    if plants:
        _plant(exercise, proof, plants)
    return proof


def shown(result):
    """The steps of a Result that are not passed, on a line."""
    return "; ".join([f"{step.name}: {' '.join([step.text, *step.lines])}" for step in result.steps if not step.passed]
                     or ["passed"])


def wrong_answers(exercise):
    """Pairs of a path and a source: of a file in Python, or of a ``.diff``, which holds edits of the solution."""
    for path in sorted((exercise.folder / "wrong").glob("*")):
        if path.suffix in (".py", ".diff"):
            text = path.read_text(encoding="utf-8")
            yield path, edited(exercise.read("solution.py"), text) if path.suffix == ".diff" else text


def edited(source, diff):
    """A source after the edits of a text, in which lines that begin with - give way to those with + below them.

    Raises:
        ValueError: if the lines that give way do not stand exactly once in the source.
    """
    for old, new in re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)*)", diff, re.MULTILINE):
        old, new = (re.sub("^.", "", lines, flags=re.MULTILINE) for lines in (old, new))
        before, *after = re.split(f"^{re.escape(old)}", source, flags=re.MULTILINE)
        if len(after) != 1:
            raise ValueError(f"these lines stand {len(after)} times in the source, and must stand once:\n{old}")
        source = before + new + after[0]
    return source


def _hold(path, run, complain):
    """Complain if a wrong answer does not fail first at the step, the input and the hint that its first line states."""
    name = f"wrong/{path.name}"
    expected = EXPECT.match(path.read_text(encoding="utf-8").split("\n", 1)[0])
    if expected is None:
        complain(f"{name} does not begin with '# expect: step=... [input=...] [hint=...]'")
        return
    found = run()
    first = next((step for step in found.steps if not step.passed), None)
    if first is None:
        complain(f"{name} passes")
        return
    for key, value in (("step", first.name), ("input", first.input), ("hint", first.hint)):
        if expected[key] is not None and value != expected[key]:
            complain(f"{name}: {key} is {value!r}, and {expected[key]!r} is stated: {shown(found)}")
            return


# -- rounds of the hunt --------------------------------------------------------------------------------------------


def verify_round(exercise, seeds):
    """The Proof of a round: as it is given it fails, repaired it passes with the right keys, and nothing else does."""
    from microtensor.learn.corpus.pair import KEYS
    from microtensor.learn.hunt import slip_of

    slip, proof = slip_of(exercise.number), Proof(exercise.name)
    task, solution = exercise.task, exercise.read("solution.py")
    right = slip.right | slip.helpful
    wrong = [key for key in KEYS if key not in right]

    def hold(what, text, step=None, at=(0,)):
        """Complain unless a text fails first at a step; by default, unless it passes."""
        found = grade(exercise, f"<{what}>", at, text=text)
        if (None if found.passed else next(each.name for each in found.steps if not each.passed)) != step:
            proof.failures.append(f"{what}, at seed {found.seed}: {shown(found)}")

    for seed in range(min(seeds, PLANTED)):
        hold("the task", task, "gradient", [seed])
    hold("the solution", solution, at=range(seeds))
    for key in right:
        proof.right += 1
        hold(f"the solution with {key}", because(solution, key))
    cases = [(f"the solution with {key}", because(solution, key), "WHY") for key in wrong[:: len(wrong) // 3]]
    cases += [(f"the solution and a second edit, of {function.__name__}", begun(solution, function.__name__), "edit")
              for function in (slip.pair.forward, slip.pair.backward)]
    cases += [("no repair and the right key", because(task, min(right)), "gradient"),
              ("no key", because(solution, ""), "WHY")]
    for case in cases:
        proof.wrong += 1
        hold(*case)
    repaired = set(slip.pair.sources["backward"].splitlines()) - set(slip.sources["backward"].splitlines())
    for name, text in (("the task", task), ("hint 1", exercise.hints[0]), ("hint 2", exercise.hints[1])):
        proof.failures += [f"{name} holds a line of the solution: {line}" for line in repaired if line in text]
        proof.failures += [f"{name} says what is wrong"] if slip.text in text else []
    return proof


def because(text, key):
    """A file of a round with another WHY."""
    return re.sub(r'^WHY = ".*"$', f'WHY = "{key}"', text, count=1, flags=re.MULTILINE)


def begun(text, name):
    """A file with a statement more, which does nothing, at the beginning of a function."""
    function = next(node for node in ast.parse(text).body if getattr(node, "name", "") == name)
    lines = text.split("\n")
    lines.insert(function.body[0].lineno - 1, " " * function.body[0].col_offset + "pass")
    return "\n".join(lines)


# -- patches -------------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]
AFTERWARDS = (["setup.py", "-q", "build_ext", "--inplace"],        # as CONTRIBUTING.md says
              ["-m", "microtensor", "gradcheck", "--write", "docs/ledger.md"])


def _try_patches(exercise, proof, graded):
    """Apply each patch to a copy of the checkout, and grade it there; or else only see whether it applies."""
    if not (ROOT / "setup.py").exists() or shutil.which("git") is None:
        proof.left_out = f"left out, as it takes git and a checkout of microtensor: {ROOT} is none, or there is no git"
        return
    complain = proof.failures.append
    wrong = sorted((exercise.folder / "wrong").glob("*.patch"))
    proof.wrong = len(wrong)
    if not wrong:
        complain("there is no wrong/*.patch")
    stale = [patch for patch in [*wrong, exercise.patch] if _run(["git", "apply", "-C1", "--check", str(patch)], ROOT)]
    for patch in stale:
        complain(f"{patch.name} does not apply: microtensor has changed since it was written")
    if stale or not graded:
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        checkout, answer = Path(folder, "microtensor"), Path(folder, f"{exercise.name}.py")
        answer.write_text(exercise.read("solution.py"), encoding="utf-8")
        shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(".*", "__pycache__", "runs"))
        for patch in wrong:
            _run(["git", "apply", "-C1", str(patch)], checkout)
            _hold(patch, lambda: grade_in_child(exercise, answer), complain)
            _run(["git", "apply", "-C1", "-R", str(patch)], checkout)
        _run(["git", "apply", "-C1", str(exercise.patch)], checkout)
        for arguments in AFTERWARDS:
            _run([sys.executable, *arguments], checkout)
        solution = grade_in_child(exercise, answer)
        if not solution.passed:
            complain(f"the solution fails: {shown(solution)}")


def _run(command, folder):
    """The exit code of a program, which prints nowhere."""
    return subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


# -- mutants -------------------------------------------------------------------------------------------------------


def mutants(source):
    """Every single edit of the functions of a module: yields (what was edited, the source), no source twice."""
    tree = ast.parse(source)
    seen = {ast.unparse(tree)}
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        for edit in edits(function, names_in(function), (structure, substitutes)):
            mutated = ast.unparse(tree)
            if mutated not in seen:
                seen.add(mutated)
                yield f"{function.name}: {edit.before} -> {edit.after}", mutated


def equivalents(exercise):
    """The mutants that are right answers, with the reason, of ``equivalent.txt``: an indented line below each."""
    path = exercise.folder / "equivalent.txt"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    entries = [entry.split("\n    ") for entry in re.split(r"\n(?=\S)", text.rstrip()) if entry]
    return {what: " ".join(map(str.strip, reason)) for what, *reason in entries}


def _plant(exercise, proof, every):
    """Grade each, or each second, third, ... mutant of the solution."""
    listed = equivalents(exercise)
    planted = list(mutants(exercise.read("solution.py")))
    survived, refuted = set(), set(listed) - {what for what, _ in planted}
    for what, source in planted[::every]:
        with _patience():
            passed = grade(exercise, f"<{what}>", (0, 1), text=source, all_steps=False).passed
        (survived if passed else refuted).add(what)
    proof.mutants, proof.equivalent = len(planted), len(survived)
    proof.failures += [f"mutant is not rejected: {what}" for what in sorted(survived - set(listed))]
    proof.failures += [f"equivalent.txt lists what is no mutant, or is rejected: {what}"
                       for what in sorted(refuted & set(listed))]
    proof.failures += [f"equivalent.txt gives no reason for: {what}" for what in listed if not listed[what]]


@contextlib.contextmanager
def _patience():
    """Raise TimeoutError in what takes too long; nothing where there are no alarms."""

    def stop(*_):
        raise TimeoutError("it does not end")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# -- spoilers ------------------------------------------------------------------------------------------------------


def _look_for_spoilers(exercise, complain):
    """Complain if a task or one of the first two hints holds a line of the solution's functions."""
    if len(exercise.hints) != 3 or not all(exercise.hints):
        complain(f"hints.md has {len(exercise.hints)} levels, and must have 3")
        return
    task = exercise.task
    for line in sorted(_lines_of_functions(exercise.read("solution.py")) - _lines_of_functions(task)):
        given = f"    {line}\n"
        for level, text in enumerate([task, *exercise.hints[:2]]):
            if len(line) > 12 and given in text + "\n" and not (level and given in task):
                complain(f"{f'hint {level}' if level else 'the task'} holds a line of the solution: {line}")


def _lines_of_functions(source):
    """The statements of a module's functions and methods, those that hold others by their first line."""
    return {ast.unparse(node).split("\n")[0] for function in ast.walk(ast.parse(source))
            if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function) if isinstance(node, ast.stmt) and node is not function}


def claims(exercise):
    """The wrong gradients of the first corpus that its wrong answers are, by name."""
    return [name for path, _ in wrong_answers(exercise)
            for name in CORPUS.findall(path.read_text(encoding="utf-8"))]


# -- a page --------------------------------------------------------------------------------------------------------

PAGE = """\
# What proves the graders of the course

Written by `microtensor learn verify --write docs/graders.md`; do not edit. [teaching.md](teaching.md)
says what grading does.

- **right**: answers that look different, and pass. **wrong**: those that fail at the step and with the hint that each
  states. Of a round of the hunt: the keys that are true, and edits and keys that must be refused.
- **mutants**: single edits of the solution, all of which are rejected but those that are **equivalent**: right answers,
  too, which are listed below with the reason.

| exercise | right | wrong | mutants | equivalent |
|---|---|---|---|---|
{rows}

## Mutants that are right answers
{listed}"""


def page(proofs):
    """What was found, in Markdown.

    Args:
        proofs: a Proof for each exercise of the page, in order.
    """
    rows = [(proof.exercise, proof.right, proof.wrong, proof.mutants, proof.equivalent) for proof in proofs]
    rows.append(("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])))
    lines = []
    for proof in proofs:
        if proof.equivalent:
            listed = equivalents(EXERCISES[proof.exercise])
            lines += [f"\n### {proof.exercise}\n", *(f"- `{what}`: {why}" for what, why in listed.items())]
    return PAGE.format(rows="\n".join(f"| {' | '.join(map(str, row))} |" for row in rows),
                       listed="\n".join([*lines, ""]))
