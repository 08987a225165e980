"""The ledger: every op, layer, loss and optimiser with its formula, its place in the source, and its measured errors.

    python -m microtensor gradcheck                            print it
    python -m microtensor gradcheck --write docs/ledger.md     write it as a page
    python -m microtensor gradcheck --check docs/ledger.md     fail if that page lacks a row or holds a stale one
"""

import inspect
import re
import time
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from microtensor import nn, ops, optim
from microtensor.core import from_numpy
from microtensor.gradcheck.check import gradcheck
from microtensor.gradcheck.op import LIMITS, check_op
from microtensor.gradcheck.optimizer import check_clipping, check_optimizer
from microtensor.ops.registry import registered_ops, samples_of
from microtensor.random import Generator, numpy_stream

ROOT = Path(__file__).parents[1]

# How to make the modules that need arguments; every other module of nn is made without.
ARGUMENTS = {"Linear": (3, 5), "BatchNorm1d": (3,), "LayerNorm": (3,), "Softmax": (1,), "LogSoftmax": (1,),
             "Dropout": (0.3,), "AlphaDropout": (0.3,), "Embedding": (4, 3), "HuberLoss": ("mean", 0.4),
             "SmoothL1Loss": ("mean", 0.7)}
CONTAINERS = ("Module", "ModuleList", "Sequential")

OPTIMISERS = {           # the class, and options, by name
    "SGD": (optim.SGD, {}),
    "SGD, weight decay": (optim.SGD, {"weight_decay": 0.1}),
    "SGD, momentum": (optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}),
    "SGD, dampening": (optim.SGD, {"momentum": 0.9, "dampening": 0.3}),
    "SGD, Nesterov": (optim.SGD, {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
    "SGD, maximize": (optim.SGD, {"momentum": 0.9, "maximize": True}),
    "Adam": (optim.Adam, {}),
    "Adam, weight decay": (optim.Adam, {"betas": (0.8, 0.95), "weight_decay": 0.1}),
    "Adam, amsgrad": (optim.Adam, {"amsgrad": True, "maximize": True}),
    "AdamW": (optim.AdamW, {}),
    "RMSprop": (optim.RMSprop, {}),
    "RMSprop, centered": (optim.RMSprop, {"alpha": 0.9, "centered": True}),
    "RMSprop, momentum": (optim.RMSprop, {"momentum": 0.9, "weight_decay": 0.01, "maximize": True}),
}


@dataclass(frozen=True)
class Row:
    """One line of the ledger: what it is, and after ``measure`` how far its gradients are apart.

    Attributes:
        kind: "op", "layer", "loss" or "optimiser".
        name: of the class.
        formula: as the docstring has it.
        source: file and name in the source.
        kinks: where the derivative jumps, or what else the samples avoid.
        run: called with a seed, returns figures: a dict with "error" (None for what passed without a number) and
            the verdict "ok" or what failed.
    """

    kind: str
    name: str
    formula: str
    source: str
    kinks: str
    run: object


def rows():
    """All rows, found by looking through the packages."""
    found = [_op_row(name, op) for name, op in registered_ops().items()]
    for name in sorted(nn.__all__):
        kind = getattr(nn, name)
        if inspect.isclass(kind) and issubclass(kind, nn.Module) and name not in CONTAINERS:
            found.append(_layer_row(name, kind))
    for name, (kind, options) in OPTIMISERS.items():
        source = f"{kind.__module__.removeprefix('microtensor.').replace('.', '/')}.py: {kind.__name__}"
        found.append(Row("optimiser", name, _formula(kind), source, "",
                         lambda seed, kind=kind, options=options: _figures(check_optimizer(
                             lambda params: kind(params, lr=0.1, **options), seed=seed, raise_exception=False))))
    found.append(Row("optimiser", "clip_grad_norm_", _formula(nn.utils.clip_grad_norm_), "nn/utils.py: clip_grad_norm_",
                     "norm = max_norm", lambda seed: _figures(check_clipping(
                         nn.utils.clip_grad_norm_, seed=seed, raise_exception=False))))
    return found


def _op_row(name, op):
    """The row of an op: its formula is that of the public function that follows its class in the source."""
    file, function = _place(name)
    formula = _formula(getattr(ops, function, None)) if function else ""
    kinks = "; ".join(dict.fromkeys(sample.kinks for sample in samples_of(op) if sample.kinks))
    return Row("op", name, formula or _first_line(op),
               f"ops/{file}: {name}" + (f", {function}" if function else ""), kinks, lambda seed: _op_figures(op, seed))


def _place(name):
    """The file that defines an op's class, and the first public function after it."""
    for path in sorted((ROOT / "ops").glob("*.pyx")):
        _, found, rest = path.read_text().partition(f"\ncdef class {name}(")
        if found:
            function = re.search(r"^def ([a-z]\w*)\(", rest, re.MULTILINE)
            following = re.search(r"^cdef class ", rest, re.MULTILINE)
            if function and not (following and following.start() < function.start()):
                return path.name, function.group(1)
            return path.name, ""
    return "?", ""


def _formula(described):
    """What a docstring says after "Formula:", on one line."""
    text = inspect.getdoc(described) or ""
    match = re.search(r"^Formula[^:\n]*:(.*?)(?=^\S|^\s*$|\Z)", text, re.MULTILINE | re.DOTALL)
    return " ".join(match.group(1).split()) if match else ""


def _first_line(described):
    """The first line of a docstring: what says it all where there is no formula."""
    return inspect.getdoc(described).splitlines()[0].rstrip(".")


def _layer_row(name, kind):
    is_loss = name.endswith("Loss")
    return Row("loss" if is_loss else "layer", name, _formula(kind) or _first_line(kind),
               f"{Path(inspect.getfile(kind)).relative_to(ROOT).as_posix()}: {name}", "",
               lambda seed: _figures(_check_layer(name, kind, is_loss, seed)))


def _check_layer(name, kind, is_loss, seed):
    """The Report of a layer, in its input and parameters, on a batch of 5 or 7 and away from kinks."""
    random = numpy_stream(seed, 6)
    layer = kind(*ARGUMENTS.get(name, ()))
    if hasattr(layer, "generator"):
        layer.generator = Generator(seed)
    layer = layer.double()
    shape = (5, 3)
    x = random.choice([-1, 1], shape) * random.uniform(0.1, 2, shape)
    if name == "BCELoss":
        x = random.uniform(0.1, 0.9, shape)
    target = random.uniform(0.1, 0.9, shape) if "BCE" in name else x + random.choice([-1, 1], shape) * 0.5
    target = random.integers(0, 3, 5) if name in ("CrossEntropyLoss", "NLLLoss") else target
    for parameter in layer.parameters():
        parameter.detach().numpy()[...] = random.standard_normal(parameter.shape)
    buffers = [(buffer.numpy(), buffer.numpy().copy()) for _, buffer in layer.named_buffers()]
    x = from_numpy(random.integers(0, 4, shape)) if name == "Embedding" else from_numpy(x).requires_grad_()
    inputs = [("x", x)] if x.requires_grad else []          # indices have no gradient
    names, leaves = zip(*inputs, *layer.named_parameters(), strict=True)
    state = layer.generator.get_state() if hasattr(layer, "generator") else None

    def function(*_):           # gradcheck changes the leaves in place
        for array, value in buffers:
            array[...] = value
        if state is not None:
            layer.generator.set_state(state)
        return layer(x, from_numpy(np.asarray(target))) if is_loss else layer(x)

    return gradcheck(function, leaves, names=names, seed=seed, raise_exception=False)


def _figures(report):
    """The figures of a row with one check."""
    return {"kernel": max(found.relative for found in report.inputs), "rule": None, "single": None, "second": None,
            "estimates": max(8 * found.excess for found in report.inputs) if report.title == "gradcheck" else None,
            "verdict": "ok" if report else str(report.hints[0] if report.hints else report.verdict)}


def _op_figures(op, seed):
    result = check_op(op, seed)
    return {"kernel": result.kernel, "rule": result.rule, "single": result.single, "second": result.second,
            "estimates": result.estimates,
            "verdict": "ok" if not result.failures else "FAIL " + ", ".join(result.failures)}


COLUMNS = ("kernel", "estimates", "rule", "single", "second")


def print_ledger(names=(), seed=0):
    """Measure the named rows (all by default), print a line for each, and return whether all passed."""
    chosen = _chosen(names)
    width = max(len(row.name) for row in chosen)
    print(f"{'':{width}}  " + "  ".join(f"{title:>9}" for title in COLUMNS) + "         ms")
    print(f"{'limit':{width}}  " + "  ".join(
        f"{LIMITS[title]:9.0e}" if title in LIMITS else " " * 9 for title in COLUMNS))
    failed, start = [], time.perf_counter()
    for row in chosen:
        begun = time.perf_counter()
        figures = row.run(seed)
        numbers = "  ".join(f"{_short(figures[title]):>9}" for title in COLUMNS)
        milliseconds = 1e3 * (time.perf_counter() - begun)
        print(f"{row.name:{width}}  {numbers}  {milliseconds:9.0f}  {figures['verdict']}", flush=True)
        failed += [row.name] if figures["verdict"] != "ok" else []
    seconds = time.perf_counter() - start
    print(f"{len(chosen) - len(failed)} of {len(chosen)} verified in {seconds:.1f} s"
          + (f"; failed: {', '.join(failed)}" if failed else ""))
    return not failed


def _chosen(names):
    every = rows()
    known = [row.name for row in every]
    unknown = [name for name in names if name not in known]
    if unknown:
        near = get_close_matches(unknown[0].lower(), [name.lower() for name in known], 3)
        meant = " or ".join(dict.fromkeys(name for sound in near for name in known if name.lower() == sound))
        raise ValueError(f"nothing is called {unknown[0]!r}" + (f": did you mean {meant}?" if meant else
                                                                f"; there are {', '.join(known)}"))
    return [row for row in every if not names or row.name in names]


def _short(figure):
    return "" if figure is None else "0" if figure == 0 else f"{figure:.0e}" if figure < 0.1 else f"{figure:.1f}"


# -- the page ------------------------------------------------------------------------------------------------------

HEAD = """# The ledger: every gradient, where it stands and how it was verified

Written by `python -m microtensor gradcheck --write docs/ledger.md`; do not edit. `--check` in its place fails if a row
is missing or stale. [gradcheck.md](gradcheck.md) explains how an error is measured and when a check counts as passed.

- **kernel**: the largest difference between the fused kernel's gradient and differences in float64, relative to the
  gradient's size, over all samples; for an optimiser, between its steps and a scalar recurrence.
- **of estimate**: the same in units of the error that the differences estimate for themselves; a check fails above 8.
- **rule**: between the rule in Tensor language and the kernel. **float32**: between float32 and float64, outputs and
  gradients. **second**: of the second-order gradient, against differences of the kernel's gradient.
"""

HEADINGS = "| | formula | source | kinks | kernel | of estimate | rule | float32 | second | ms |"
TITLES = {"op": "Ops", "layer": "Layers", "loss": "Losses", "optimiser": "Optimisers and clipping"}


def _cell(text):
    return text.replace("|", "\\|")


def _fixed(row):
    """The part of a row's line that does not depend on the machine."""
    return f"| {row.name} | {_cell(row.formula)} | `{row.source}` | {_cell(row.kinks)} |"


def page(seed=0):
    """The ledger as Markdown; raises AssertionError if a row fails."""
    lines = [HEAD]
    every = rows()
    start = time.perf_counter()
    for kind, title in TITLES.items():
        lines += [f"## {title}\n", HEADINGS, "|---" * 10 + "|"]
        for row in every:
            if row.kind == kind:
                begun = time.perf_counter()
                figures = row.run(seed)
                if figures["verdict"] != "ok":
                    raise AssertionError(f"{row.name}: {figures['verdict']}; nothing is written")
                numbers = " | ".join(_short(figures[title]) for title in COLUMNS)
                lines.append(f"{_fixed(row)} {numbers} | {1e3 * (time.perf_counter() - begun):.0f} |")
        lines.append("")
    lines.append(f"{len(every)} rows, verified in {time.perf_counter() - start:.0f} s.")
    return "\n".join(lines) + "\n"


def differences_from(text):
    """What a page lacks or has too much: sentences; empty if it is up to date. Figures and times may differ."""
    expected = {(row.name, row.source): _fixed(row) for row in rows()}
    there = {(match.group(1), match.group(2)): match.group(0) for match in re.finditer(
        r"^\| ([^|\n]+?) \| (?:\\\||[^|\n])*\| `([^`]+)` \| (?:(?:\\\||[^|\n])* )?\|", text, re.MULTILINE)}
    missing = [f"{name} ({source}) is missing" for name, source in expected if (name, source) not in there]
    stale = [f"{key[0]} is stale: expected {expected[key]}" for key, line in there.items()
             if key in expected and line != expected[key]]
    extra = [f"{name} ({source}) does not exist" for name, source in there if (name, source) not in expected]
    return missing + stale + extra
