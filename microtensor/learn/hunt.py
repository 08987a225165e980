"""The bug hunt: rounds, each a file with a right forward pass and a backward pass in which one statement is wrong.

A round is a slip of the corpus, written out as a file that stands alone. Its number decides which slip: the first
rounds are those that the course lists; all others follow, in an order without a pattern, before one comes again.
"""

import ast
import functools
import inspect
import sys
import textwrap
import zlib
from dataclasses import dataclass, field
from difflib import SequenceMatcher, get_close_matches
from itertools import zip_longest

import numpy as np

from microtensor.gradcheck import check_function
from microtensor.gradcheck.edits import source_of
from microtensor.learn.corpus import PAIRS
from microtensor.learn.corpus.pair import KEYS
from microtensor.learn.course import HUNTS
from microtensor.learn.evidence import evidence, is_same, joined, ratios_of, where_wrong
from microtensor.learn.steps import Wrong
from microtensor.ops.sample import Draw

WIDTH, TITLE = 118, 75          # columns of a task, and of its title
LISTED = 4      # statements are shown at most
SOMETIMES_ZERO = ("graph attention",)       # at one seed in a thousand a gradient is 0, and rightly so: VACUOUS


# -- which slip it is ----------------------------------------------------------------------------------------------


def can_be_hunted(slip):
    """Whether one statement of the backward pass is wrong, and forward is right."""
    right = slip.pair.sources
    return slip.pair.name not in SOMETIMES_ZERO and slip.sources["forward"] == right["forward"] and \
        len(changes(right["backward"], slip.sources["backward"])) == 1


@functools.cache
def slip_of(number):
    """The slip of a round; rounds are counted from 1."""
    if number <= len(HUNTS):
        name, which = HUNTS[number - 1]
        return [slip for pair in PAIRS if pair.name == name for slip in pair.slips if can_be_hunted(slip)][which]
    lap, place = divmod(number - len(HUNTS) - 1, len(others()))
    return sorted(others(), key=lambda slip: zlib.crc32(f"{lap} {slip.name}".encode()))[place]


@functools.cache
def others():
    """The slips that are not in the course's rounds."""
    listed = [slip_of(1 + place).name for place in range(len(HUNTS))]
    return [slip for pair in PAIRS for slip in pair.slips if can_be_hunted(slip) and slip.name not in listed]


def draw_of(number, seed):
    """The Draw of a round at a seed: not that of the seed alone, from which a learner may draw an upstream gradient."""
    return Draw((number << 32) + seed)


def inputs_of(number, seed):
    """The inputs of a round at a seed, by name."""
    pair = slip_of(number).pair
    return dict(zip(pair.names, pair.inputs(draw_of(number, seed)), strict=True))


def report_of(number, seed):
    """What the checker says of a round before its repair, and what is to be seen of its gradients, in lines."""
    forward, backward, inputs, names = slip_of(number).make(draw_of(number, seed))
    report = check_function(forward, backward, inputs, names=names, seed=seed, raise_exception=False, edits=False)
    output = forward(*inputs)
    return report, evidence(report, dict(zip(names, inputs, strict=True)),
                            output[0] if isinstance(output, tuple) else output)


# -- its files -----------------------------------------------------------------------------------------------------

TASK = '''\
"""{title}

    {what}

{broken}

{calls}

{rule}
    - Set WHY to the key of what was wrong. `microtensor learn hunt --keys` lists the keys, and what each one means.

A check tells which gradients are wrong, and at how many elements. How they are wrong you find out yourself, by
reading or by numbers. For numbers start Python in the folder of this file:

    import numpy, {name}
    from microtensor import learn
    from microtensor.learn.given import numeric     # numeric(f, x, g, h), as in the exercise "differences"
    {inputs} = learn.inputs("{name}")
    {output} = {name}.{call}
    {g} = numpy.random.default_rng().standard_normal(numpy.shape(output))

The check draws other upstream gradients, and counts an element as wrong if it is so for one of them. Of numeric, f
returns the output alone, an array.
"""'''

END = '''\
if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
'''

HINTS = """\
## 1

At seed 0: {where}.
{question}

## 2

At seed 0, before any repair:

{evidence}

(docs/gradcheck.md, "Hints")

## 3

{line}
"""


@functools.cache
def text_of(exercise, name):
    """The text of exercise.py, solution.py or hints.md of a round.

    Args:
        exercise: the course's Round.
        name: of the file.
    """
    slip = slip_of(exercise.number)
    if name == "exercise.py":
        return written(slip.pair, slip.sources["backward"], task_of(exercise, slip), "")
    if name == "solution.py":
        return written(slip.pair, slip.pair.sources["backward"], f'"""{slip.name}."""', best_key(slip))
    return hints_of(exercise, slip)


def best_key(slip):
    """One of the keys that name a slip, the first in the list of keys."""
    return next(key for key in KEYS if key in slip.right)


def written(pair, backward, docstring, key):
    """A file with a pair, but with another source of backward."""
    imports, constants, functions = [], [], []
    for node, text in definitions(pair, backward):
        (imports if isinstance(node, (ast.Import, ast.ImportFrom)) else
         functions if isinstance(node, ast.FunctionDef) else constants).append(text)
    head = [docstring, "\n".join(imports), f'WHY = "{key}"', *(["\n".join(constants)] if constants else [])]
    return "\n\n\n".join(["\n\n".join(head), *functions, END])


def definitions(pair, backward):
    """(node, text) of what a pair's module defines and the pair needs, in the module's order, with another backward."""
    text = inspect.getsource(sys.modules[pair.forward.__module__])
    lines, own = text.splitlines(), pair.backward.__name__
    defined = {name: node for node in ast.parse(text).body for name in names_bound(node)}
    needed, wanted = set(), [pair.forward.__name__, own]
    while wanted:
        name = wanted.pop()
        if name in defined and name not in needed:
            needed.add(name)
            wanted += names_read(ast.parse(backward) if name == own else defined[name])
    for node in sorted({defined[name] for name in needed}, key=lambda node: node.lineno):
        is_own = node is defined[own]
        yield node, backward.rstrip() if is_own else "\n".join(lines[node.lineno - 1 : node.end_lineno])


def names_bound(node):
    """The names that a statement of a module binds."""
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name for alias in node.names]
    return [name.id for target in getattr(node, "targets", ()) for name in ast.walk(target)
            if isinstance(name, ast.Name)]


def names_read(tree):
    """The names that a statement of a module reads from around it."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    own = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    own |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return [node.id for node in names if node.id not in own]


def task_of(exercise, slip):
    """The docstring of a round: what is computed, how it is called, what is to be done."""
    pair, inputs = slip.pair, inputs_of(exercise.number, 0)
    forward, backward = pair.forward.__name__, pair.backward.__name__
    g, *others = inspect.signature(pair.backward).parameters
    is_given_inputs = others == list(inputs)
    gradients = [f"d{name}" for name, x in inputs.items() if x.dtype.kind == "f"]
    title, minutes = f"{exercise.title.capitalize()}: {pair.name}.", f"about {exercise.minutes} minutes"
    broken = f"{forward} is right. In {backward} one statement is wrong, missing or too much: repair it, and say " \
             "what was wrong."
    calls = f"{forward} is called with {joined([described(name, x) for name, x in inputs.items()])}, and returns " \
            f"{'the output' if is_given_inputs else 'the output and what backward needs'}. {backward} is called with " \
            f"{g} and with {'the inputs again' if is_given_inputs else 'what forward saved'}. {g} is the upstream " \
            "gradient: the derivative of a number L, the loss, with respect to every element of the output. Backward " \
            f"returns {joined(gradients)}: " + ("the derivative of L with respect to the input of that name."
            if len(gradients) == 1 else "the derivatives of L with respect to the inputs of those names.")
    rule = f"- Change, add or remove one statement of {backward}, and nothing else. A loop or a condition is one " \
           "statement, and each line in it is another. Comments do not count."
    return TASK.format(title=title.ljust(TITLE - len(minutes)) + minutes, what=heading_of(pair),
                       broken=textwrap.fill(broken, WIDTH), calls=textwrap.fill(calls, WIDTH),
                       rule=textwrap.fill(rule, WIDTH, initial_indent=4 * " ", subsequent_indent=6 * " "),
                       name=exercise.name, inputs=", ".join(inputs) + "," * (len(inputs) == 1), g=g,
                       output="output" if is_given_inputs else "output, saved",
                       call=f"{forward}({', '.join(inputs)})")


def heading_of(pair):
    """The comment above a pair in its module: what it computes, and the shapes."""
    first = pair.forward.__code__.co_firstlineno
    above = inspect.getsource(sys.modules[pair.forward.__module__]).splitlines()[: first - 1]
    return next(line for line in reversed(above) if line.startswith("# -- ")).strip("# -")


def described(name, x):
    """An input in words."""
    kind = "" if x.dtype.kind == "f" else " of integers"
    return f"{name}{kind} {x.shape}" if x.ndim else f"the number {name}"


def hints_of(exercise, slip):
    """The three hints of a round: where to look, what the numbers say, which line it is."""
    report, seen = report_of(exercise.number, 0)
    good = [f"d{found.name}" for found in report.inputs if found]
    if len(good) == len(report.inputs):
        question = "What holds another number after a call of backward than before?"
    elif good:
        question = f"What do the wrong ones depend on, and {joined(good)} not?"
    else:
        question = "Derive the backward pass on paper, from the output back: which statement is the first that differs?"
    task = task_of(exercise, slip)
    planted, right = (written(slip.pair, each.sources["backward"], task, "") for each in (slip, slip.pair))
    (wrong, instead), = changes(planted, right)
    if wrong is None:
        line = f"A statement is missing: it would be line {instead.line}."
    else:
        line = f"Line {wrong.line} is {'wrong' if instead else 'too much'}:\n\n    {line_of(planted, wrong)}"
    return HINTS.format(where=where_wrong(report), question=question, line=line,
                        evidence="\n".join(f"    {line}" for line in seen))


# -- what is changed -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Statement:
    """One statement of a file; of one that holds others, such as a loop, only its first line.

    Attributes:
        inside: the names of the functions that it is in, and which of the blocks of other statements.
        text: its source, without comments.
        line: of the file, counted from 1.
    """

    inside: tuple
    text: str
    line: int = field(compare=False)


def statements(tree, inside=()):
    """The statements in a syntax tree, in order, but those that do nothing, and what WHY is set to."""
    found = []
    for name, nodes in ast.iter_fields(tree):
        for node in nodes if isinstance(nodes, list) else ():
            if isinstance(node, ast.stmt) and not is_free(node, inside):
                found.append(Statement((*inside, name), source_of(node), node.lineno))
            if isinstance(node, (ast.stmt, ast.ExceptHandler, ast.match_case)):
                found += statements(node, (*inside, name, getattr(node, "name", None)))
    return found


@functools.lru_cache(maxsize=8)
def statements_in(source):
    """The statements of a source, kept as the slips of a pair are all compared with one source."""
    return tuple(statements(ast.parse(source)))


def is_free(node, inside):
    """Whether a learner may change a statement without it being counted: a docstring; and WHY, if nothing is called."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return not inside and isinstance(node, ast.Assign) and source_of(node.targets[0]) == "WHY" and \
        not any(isinstance(part, (ast.Call, ast.NamedExpr)) for part in ast.walk(node.value))


def changes(before, after):
    """What has to be done to the statements of a source to make another: pairs of a Statement before and after.

    One of the two is None where a statement was added or removed. If one statement is enough, there is one pair.
    """
    old, new = list(statements_in(before)), list(statements_in(after))
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [pair for kind, first, last, start, stop in blocks if kind != "equal"
            for pair in zip_longest(old[first:last], new[start:stop])]


def line_of(source, statement):
    """The line at which a statement of a source begins."""
    return source.splitlines()[statement.line - 1].strip()


def one_change(answer, exercise):
    """What the learner changed, in words, if it is one statement of the backward pass.

    Raises:
        Wrong: if it is more, or another one.
        NotImplementedError: if nothing is changed.
    """
    found = changes(exercise.task, answer.source)
    if not found:
        raise NotImplementedError("backward is as it was given")
    lines = [f"line {new.line}: {line_of(answer.source, new)}" if new else
             f"removed: {line_of(exercise.task, old)}" for old, new in found]
    if len(found) > 1:
        raise Wrong(f"{len(found)} statements are not as they were given, and one is enough: undo the others, or begin "
                    f"anew with `microtensor learn reset {exercise.name}`", *dict.fromkeys(lines[:LISTED]))
    (old, new), = found
    backward = slip_of(exercise.number).pair.backward.__name__
    if backward not in (new or old).inside:
        raise Wrong(f"what is changed is not in {backward}, and all else is right", *lines)
    return f"one statement {'changed' if old and new else 'added' if new else 'removed'}: " + \
        (f"line {new.line}" if new else line_of(exercise.task, old))


# -- what was wrong ------------------------------------------------------------------------------------------------

FACTORS = {             # the keys that a ratio at all elements has, and what it would be
    "sign": "-1", "zero": "0", "two": "2 or 1/2", "ddof": "N/(N - 1) or (N - 1)/N, such as 7/6", "constant": "",
    "size": "a size, a product of sizes, or 1 over it; the sizes here are {sizes}", "scale": "", "factor": "",
}


def without_diagnosis(report, why=""):
    """A Wrong from a Report of the checker that failed, for ``steps.gradient``: in what way it is wrong is not said."""
    return Wrong(where_wrong(report), *([why] if why else []))


def name_of_slip(answer, exercise):
    """What the learner says was wrong, with its meaning, if it is true.

    Raises:
        Wrong: if it is not; with the numbers that say so.
        NotImplementedError: if nothing is said.
    """
    said = answer["WHY"]
    if not isinstance(said, str):
        raise Wrong(f"WHY is of type {type(said).__name__}, and should be a string")
    said = said.strip().lower()
    if not said:
        raise NotImplementedError
    if said not in KEYS:
        like = get_close_matches(said, KEYS, 1, 0.5)
        raise Wrong(f"{said[:20]!r} is no key" + (f": do you mean {like[0]!r}?" if like else ""),
                    "`microtensor learn hunt --keys` lists the keys")
    slip = slip_of(exercise.number)
    if said in slip.right:
        return f'"{said}": {KEYS[said]}'
    if said in slip.helpful:
        return f'"{said}" is true; "{best_key(slip)}" says more: {KEYS[best_key(slip)]}'
    report, seen = report_of(exercise.number, answer.seed)
    raise Wrong(f'you say "{said}": {KEYS[said]}', *objection(said, report, inputs_of(exercise.number, answer.seed)),
                "before your repair, at these inputs:", *seen)


def objection(said, report, inputs):
    """What speaks against a key, if the ratio of the gradients does."""
    ratios = [ratios_of(found) for found in report.inputs if not found]
    constant = [is_same(ratio) for ratio in ratios if ratio is not None]
    if not ratios:
        yield "the numbers of one call are right"
    elif said in FACTORS and not any(constant):
        yield "that would be one ratio at every element, and here it is not the same everywhere"
    elif FACTORS.get(said):
        sizes = sorted({size for x in inputs.values() for size in np.shape(x) if size > 1})
        yield f"that would be a ratio of {FACTORS[said].format(sizes=joined(list(map(str, sizes))))}"
    elif said not in FACTORS and constant and all(constant):
        yield "here all elements are wrong by one factor: none, and no term, is more wrong than the others"
