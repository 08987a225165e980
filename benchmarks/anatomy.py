"""How much code a reader meets who follows one training step: functions, lines and files, from a trace of the step.

    python benchmarks/anatomy.py                                    # of the checkout that this file is in
    python benchmarks/anatomy.py --checkout ../other --list --json anatomy.json

The rule. A function counts if it is entered while the step runs: a Python function, a Cython function or a C function,
`inline` ones and those in .pxd, .pxi and .h files and in C blocks inside Cython files too. It is counted once, however
often it is entered and for however many types it is compiled (a fused function, a header that is included twice). It
has to be written in the package: what Python, NumPy and the C library do is not counted, nor are the wrappers and
helpers that Cython adds. A lambda, comprehension or generator expression belongs to the function around it. A
function's lines are those of its definition, from its first decorator or header to its last statement, with functions
defined inside it, without blank lines, comments and docstrings. A file counts if one of its functions does. In sums a
line counts once.

Two shorter ways through the code are traced by the same rule, `cross_entropy(x, t)` and `x.var(0)`, each with its
backward. All three run in their steady state: in float32 on one thread, after some times that are not traced, and
on tensors made before. What is freed inside is part of it. The step's inputs are so large that clipping has to scale.

The sizes come from the source text alone: the lines of the compiled part of ops/ and of the kernels (kernels/, or the
modules that were there before it), whole files without blank lines, comments and docstrings; in ops/ the branches that
choose between float and double; the files whose code mentions prange; and what one elementwise op takes, from its
banner `# -- tanh` to the next banner: every line that is not blank, without docstrings and with them.

How it works: a copy of the package is built with GCC's or Clang's -finstrument-functions, which makes every C function,
also one that is inlined, report that it is entered. Debug information says where a C function is written, and Cython
notes above each function that it writes from which line it comes. sys.setprofile reports the Python functions. Linux
only; takes a minute; needs a C compiler, addr2line (binutils), setuptools and Cython.
"""

import argparse
import ctypes
import gc
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from shutil import copy, copytree, ignore_patterns, which

from harness import table

PACKAGE = "microtensor"
SUFFIXES = {".py", ".pyx", ".pxd", ".pxi", ".h"}
KERNELS = ("gemm", "tile", "memory", "runs", "simd", "threads")     # where there is no folder kernels/
OP = "tanh"             # the elementwise op whose size is told
WARM_UP = 5


# -- source text ------------------------------------------------------------------------------------------------------

PYTHON_NOISE = re.compile(r'(\'{3}|"{3}|\'|")(?:\\.|(?!\1).)*\1|#[^\n]*', re.DOTALL)
C_NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', re.DOTALL)
C_DIRECTIVE = re.compile(r"^[ \t]*#(?:.*\\\n)*.*", re.MULTILINE)
C_HEAD = re.compile(r"\b(?!__attribute__)(?:\w+\((?P<in_macro>\w+)\)|(?P<name>\w+))\s*\(.*\)\s*", re.DOTALL)
DOCSTRING = re.compile(r'[rRbBuUfF]{0,2}""')
CLASS = re.compile(r"(?:cdef\s+)?class\s+(\w+)")
FUNCTION = re.compile(r"(?:async\s+)?def\s+(\w+)|c(?:p)?def\s[^=(]*?(\w+)\s*\(.*\)[^()]*:")


@dataclass
class Block:
    """A function or class in a source file: its name, after those of the blocks around it, and where it is."""

    name: str
    first: int
    last: int
    indent: int = 0
    is_c: bool = False


class Source:
    """A source file: its functions, and which of its lines are code, which docstrings."""

    def __init__(self, text, is_c=False):
        self.lines = text.splitlines()
        self.code, self.docstrings = {}, set()      # code: by line number, the line without comments and strings
        self.functions = []
        (self._read_c if is_c else self._read_python)(text)

    def _read_python(self, text):
        """Python or Cython."""
        bare = PYTHON_NOISE.sub(lambda m: "" if m[0][0] == "#" else '"' + "\\\n" * m[0].count("\n") + '"', text)
        bare_lines = bare.split("\n")
        around, decorator, previous = [], None, ""
        for first, last, line in logical_lines(bare_lines):
            statement, indent = line.strip(), len(line) - len(line.lstrip())
            written = [number for number in range(first, last + 1) if self.lines[number - 1].strip()]
            while around and around[-1].indent >= indent:
                around.pop()
            for block in around:
                block.last = last
            if DOCSTRING.fullmatch(statement):
                if previous.startswith("cdef extern from"):
                    self._read_c("\n".join(self.lines[first:last - 1]), first)
                else:
                    self.docstrings.update(written)
                continue
            previous = statement
            self.code.update((number, bare_lines[number - 1]) for number in written if bare_lines[number - 1].strip())
            if statement.startswith("@"):
                decorator = decorator or first
                continue
            is_class, is_function = CLASS.match(statement), FUNCTION.match(statement)
            if is_class or is_function:
                own = is_class[1] if is_class else is_function[1] or is_function[2]
                name = ".".join([*(block.name for block in around[-1:]), own])
                around.append(Block(name, decorator or first, last, indent))
                if not is_class:
                    self.functions.append(around[-1])
            decorator = None

    def _read_c(self, text, offset=0):
        """C, from the line after the offset on."""
        bare = C_NOISE.sub(lambda m: '""' if m[0][0] in "\"'" else "\n" * m[0].count("\n"), text)
        self.code.update((n, line) for n, line in enumerate(bare.split("\n"), offset + 1) if line.strip())
        bare = C_DIRECTIVE.sub(lambda m: "\n" * m[0].count("\n"), bare)
        start = depth = 0
        head = None
        for match in re.finditer(r"[{};]", bare):
            if match[0] == "{":
                if depth == 0:
                    head = C_HEAD.search(bare, start, match.start())
                    head = head and head.end() == match.start() and head
                depth += 1
                continue
            depth -= match[0] == "}"
            if depth == 0:
                if match[0] == "}" and head:
                    begin = start + len(bare[start:]) - len(bare[start:].lstrip())
                    first, last = (offset + 1 + bare.count("\n", 0, place) for place in (begin, match.start()))
                    self.functions.append(Block(head["in_macro"] or head["name"], first, last, is_c=True))
                start, head = match.end(), None

    def function_at(self, number):
        """The innermost function around a line; None outside of functions."""
        around = [function for function in self.functions if function.first <= number <= function.last]
        return max(around, key=lambda function: function.first, default=None)

    def lines_of(self, function):
        """The numbers of the function's lines of code."""
        return {number for number in self.code if function.first <= number <= function.last}


def logical_lines(lines):
    """First number, last number and text of what brackets and backslashes make one line; blank ones are left out."""
    first, text, depth = None, "", 0
    for number, line in enumerate(lines, 1):
        if first is None and not line.strip():
            continue
        first = first or number
        text += line.removesuffix("\\")
        depth += sum(line.count(opening) for opening in "([{") - sum(line.count(closing) for closing in ")]}")
        if depth <= 0 and not line.endswith("\\"):
            yield first, number, text
            first, text, depth = None, "", 0


def read_sources(checkout):
    """All source files of the checkout's package, by path from the checkout on."""
    paths = sorted(path for path in (checkout / PACKAGE).rglob("*") if path.suffix in SUFFIXES)
    return {str(path.relative_to(checkout)): Source(path.read_text(), path.suffix == ".h") for path in paths}


def sizes(sources):
    """What is counted in the source text, without a trace."""
    def inside(path, folder):
        return path.startswith(f"{PACKAGE}/{folder}/") and not path.endswith(".py")

    ops = [path for path in sources if inside(path, "ops")]
    kernels = [path for path in sources if inside(path, "kernels")] or [
        path for path in sources if Path(path).parent == Path(PACKAGE) and Path(path).stem in KERNELS
    ]
    branch = re.compile(r"\bif\b(?:(?!\belse\b)[^:])*single\b")
    found = {
        "lines of ops": sum(len(sources[path].code) for path in ops),
        "lines of kernels": sum(len(sources[path].code) for path in kernels),
        "dtype branches in ops": sum(len(branch.findall(line)) for path in ops for line in sources[path].code.values()),
        "files with prange": [path for path, source in sources.items() if "prange" in "\n".join(source.code.values())],
    }
    found["lines of ops and kernels"] = found["lines of ops"] + found["lines of kernels"]
    sections = [section(sources[path], OP) for path in ops]
    found[f"lines of {OP}"], found[f"lines of {OP} with docstrings"] = next(filter(None, sections), (None, None))
    return found


def section(source, name):
    """Lines from a banner to the next that are not blank, without docstrings and with; None without such a banner."""
    banners = [number for number, line in enumerate(source.lines, 1) if line.startswith("# -- ")]
    for first, last in itertools.pairwise([*banners, len(source.lines) + 1]):
        if re.match(rf"# -- {name}\b", source.lines[first - 1]):
            written = {number for number in range(first, last) if source.lines[number - 1].strip()}
            return len(written - source.docstrings), len(written)
    return None


# -- what is traced ---------------------------------------------------------------------------------------------------


def training_step():
    """One step of a net of two layers; nothing has to be reset, as the step does that."""
    import numpy as np

    from microtensor import nn, optim, tensor

    random = np.random.default_rng(0)
    x = tensor((100 * random.standard_normal((32, 2))).astype(np.float32))
    t = tensor(random.integers(0, 2, 32))
    model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.001, momentum=0.9)

    def step():
        optimizer.zero_grad()
        loss = criterion(model(x), t)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step, ()


def cross_entropy():
    """A loss and its gradient."""
    import numpy as np

    from microtensor import nn, tensor

    random = np.random.default_rng(0)
    x = tensor(random.standard_normal((32, 10)).astype(np.float32), requires_grad=True)
    t = tensor(random.integers(0, 10, 32))

    def forward_and_backward():
        nn.functional.cross_entropy(x, t).backward()

    return forward_and_backward, (x,)


def variance():
    """A variance along a dimension and its gradient."""
    import numpy as np

    from microtensor import tensor

    random = np.random.default_rng(0)
    x = tensor(random.standard_normal((32, 10)).astype(np.float32), requires_grad=True)
    g = tensor(random.standard_normal(10).astype(np.float32))

    def forward_and_backward():
        x.var(0).backward(g)

    return forward_and_backward, (x,)


SCENARIOS = {"training step": training_step, "cross_entropy(x, t)": cross_entropy, "x.var(0)": variance}


# -- the trace --------------------------------------------------------------------------------------------------------

HOOKS = r"""
void *entered[10000];
int count, tracing;

void __cyg_profile_func_enter(void *function, void *caller) {
    if (!tracing) return;
    for (int i = 0; i < count; i++) if (entered[i] == function) return;
    if (count < 10000) entered[count++] = function;
}

void __cyg_profile_func_exit(void *function, void *caller) { }
"""


def build(checkout, folder):
    """Copy the package into the folder and build it there, so that its C functions report to the hooks."""
    copytree(checkout / PACKAGE, folder / PACKAGE, ignore=ignore_patterns("*.so", "_isa", "__pycache__"))
    copy(checkout / "setup.py", folder)
    compiler = folder / "cc"            # its flags come after all that setup.py gives
    compiler.write_text(f'#!/bin/sh\nexec {os.environ.get("CC") or "cc"} "$@" -O0 -g1 -finstrument-functions\n')
    compiler.chmod(0o755)
    run([sys.executable, "setup.py", "build_ext", "--inplace"], folder,
        CC=str(compiler), MICROTENSOR_LEVELS="v2", MICROTENSOR_SANITIZE="")
    (folder / "hooks.c").write_text(HOOKS)
    run([*(os.environ.get("CC") or "cc").split(), "-shared", "-fPIC", "hooks.c", "-o", "hooks.so"], folder)


def run(command, folder, **environment):
    """What a command prints; ends the program if it fails."""
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


class Symbol(ctypes.Structure):
    """What the C library tells of an address: of its Dl_info, the file and where that begins in memory."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("file", "base", "symbol", "address")]


def trace(name):
    """Run a scenario with the hooks: Python functions as (file, line), C functions as (file, offset)."""
    hooks = ctypes.CDLL(os.environ["LD_PRELOAD"])
    tracing, count = (ctypes.c_int.in_dll(hooks, variable) for variable in ("tracing", "count"))
    act, leaves = SCENARIOS[name]()
    python = set()

    def note(frame, event, argument):
        if event == "call":
            python.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

    for _ in range(WARM_UP):
        act()
        for leaf in leaves:
            leaf.grad = None
    gc.collect()
    gc.disable()
    tracing.value = 1
    sys.setprofile(note)
    act()
    sys.setprofile(None)
    tracing.value = 0

    c, symbol = [], Symbol()
    for address in (ctypes.c_void_p * count.value).in_dll(hooks, "entered"):
        ctypes.CDLL(None).dladdr(ctypes.c_void_p(address), ctypes.byref(symbol))
        c.append((ctypes.string_at(symbol.file).decode(), address - symbol.base))
    return {"python": sorted(python), "c": c}


def written_by_cython(folder, sources):
    """By name, the file and line that each C function comes from: a comment of Cython's stands above it."""
    def whole(path, name):
        """The path from the checkout on: Cython shortens it where the package's name is in the cimport already."""
        if path in sources:
            return path
        modules = {other: "_".join(f"{len(part)}{part}" for part in Path(other).with_suffix("").parts)
                   for other in sources if other.endswith(f"/{path}")}
        return next((other for other, module in modules.items() if f"_{module}_" in name), path)

    found = {}
    comment = re.compile(r'/\* "(.+)":(\d+)$')
    definition = re.compile(r"\w.*?\b((?:__pyx_fuse_\w+?)?__pyx_(?:f|pf|gb)_\w+)\(.*\{$")
    for path in (folder / "build").rglob("*.c"):
        place = None
        for line in path.read_text().splitlines():
            if match := comment.match(line):
                place = match[1], int(match[2])
            elif place and (match := definition.match(line)):
                found[match[1]] = whole(place[0], match[1]), place[1]
    return found


def c_places(entered, folder, sources):
    """File and line of the entered C functions that are written in the package."""
    cython = written_by_cython(folder, sources)
    embedded = {            # functions in C blocks by their first line, which Cython copies as it is
        source.lines[function.first - 1].strip(): (path, function.first)
        for path, source in sources.items() for function in source.functions if function.is_c
    }
    offsets, texts = {}, {}
    for library, offset in entered:
        offsets.setdefault(library, []).append(hex(offset))
    for library, places in offsets.items():
        answers = run(["addr2line", "-f", "-e", library, *places], folder).splitlines()
        for name, place in zip(answers[::2], answers[1::2], strict=True):
            name = name.split(".")[0]           # without what GCC appends to the parts of a function
            path, _, number = place.partition(" ")[0].rpartition(":")
            if name in cython:
                yield cython[name]
            elif re.match(r"(__pyx_fuse_\w+)?__pyx_p?f_\d", name):
                raise SystemExit(f"{name} was entered, but nothing in the C that Cython wrote says where it comes from")
            elif path.endswith(".c") and number.isdigit() and not name.startswith(("__pyx", "__Pyx")):
                lines = texts.setdefault(path, Path(path).read_text().splitlines())
                yield embedded.get(lines[int(number) - 1].strip())
            elif Path(path).resolve().is_relative_to(folder / PACKAGE):
                yield str(Path(path).resolve().relative_to(folder)), int(number)


def anatomy(traced, folder, sources):
    """The functions of a trace that are written in the package, each with its file, place and number of lines."""
    places = [(str(Path(path).relative_to(folder)), line) for path, line in traced["python"]
              if Path(path).is_relative_to(folder)]
    places += c_places(traced["c"], folder, sources)
    functions = {}
    for path, number in filter(None, places):
        function = path in sources and sources[path].function_at(number)
        if function:
            functions[path, function.first] = function
    lines = {(path, number) for (path, _), function in functions.items() for number in sources[path].lines_of(function)}
    functions_of, lines_of = (Counter(path for path, _ in places) for places in (functions, lines))
    files = {path: {"functions": functions_of[path], "lines": lines_of[path]} for path in sorted(functions_of)}
    return {
        "all": total(files),
        "in ops": total({path: counts for path, counts in files.items() if path.startswith(f"{PACKAGE}/ops/")}),
        "files": files,
        "list": [{"file": path, "line": first, "name": function.name, "lines": len(sources[path].lines_of(function))}
                 for (path, first), function in sorted(functions.items())],
    }


def total(files):
    """The sums of the counts by file."""
    sums = {name: sum(counts[name] for counts in files.values()) for name in ("functions", "lines")}
    return {**sums, "files": len(files)}


def measure(checkout, sources):
    """Build the checkout, run every scenario and take it apart."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        build(checkout, folder)
        environment = {"LD_PRELOAD": str(folder / "hooks.so"), "PYTHONPATH": str(folder), "PYTHONHASHSEED": "0",
                       "MICROTENSOR_NUM_THREADS": "1", "MICROTENSOR_ISA": ""}
        found = {}
        for scenario in SCENARIOS:
            reply = run([sys.executable, str(Path(__file__).resolve()), "--trace", scenario], folder, **environment)
            found[scenario] = anatomy(json.loads(reply), folder, sources)
        return found


# -- the report -------------------------------------------------------------------------------------------------------


def report(document, with_list):
    """Print the figures."""
    scenarios = document["scenarios"]
    rows = [(f"{name}{of}", *found[part].values()) for name, found in scenarios.items()
            for of, part in (("", "all"), (", of these in ops/", "in ops"))]
    print(table(("entered by", "functions", "lines", "files"), rows))
    for name, found in scenarios.items():
        print("\n" + table((f"{name}, by file", "functions", "lines"),
                           [(path, *counts.values()) for path, counts in found["files"].items()]))
    if with_list:
        for name, found in scenarios.items():
            print("\n" + table((f"{name}, by function", "lines"),
                               [(f"{f['file']}:{f['line']} {f['name']}", f["lines"]) for f in found["list"]]))
    print("\nsizes")
    for name, value in document["sizes"].items():
        print(f"{name:28}  {f'{len(value)}: ' + ', '.join(value) if isinstance(value, list) else value}")


def main():
    """Read, build, trace, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--checkout", type=Path, default=Path(__file__).parent.parent, metavar="FOLDER",
                           help="the checkout to measure (default: the one that this file is in)")
    arguments.add_argument("--list", action="store_true", help="print every function, with its place and its lines")
    arguments.add_argument("--json", type=Path, metavar="FILE", help="write the figures and the functions as JSON")
    arguments.add_argument("--trace", choices=SCENARIOS, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.trace:
        print(json.dumps(trace(options.trace)))
        return
    if sys.platform != "linux" or not which("addr2line"):
        raise SystemExit("the trace needs Linux, a C compiler and addr2line (binutils)")
    checkout = options.checkout.resolve()
    sources = read_sources(checkout)
    document = {"sizes": sizes(sources), "scenarios": measure(checkout, sources)}
    report(document, options.list)
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
