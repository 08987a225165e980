"""Find places for mutations in the backward code of the ops, and plant them: see docs/mutation.md.

Backward code is the methods in ENTRIES of the op classes, every function of the package that these call, directly or
not, or hand to parallel_for as a job, and every loop that an op's tables name. The loops of microtensor/foreach.pyx,
which update parameters, are treated as an op called Update. A mutant is a small wrong edit of one statement there.
Cython's statements are Python's but for casts and declarations. With these blanked out, Python's own parser says
where each operator and operand stands.
"""

import ast
import random
import re
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "microtensor"

ENTRIES = {"allocate_gradients", "run_backward", "give_gradients", "reads", "rule"}
UPDATE = "Update"                           # the class of foreach.pyx, which no gradient flows through
# How much is done at a time and how memory is gone through: the same for forward, and swept by its own tests.
WALKS = {
    "make_plan", "start_at", "next_run", "gather", "gather_rows", "make_lines", "elements_at", "count_elements",
    "run_reduce", "next_part", "packs_a", "packs_b", "rows_of_threads",
}  # fmt: skip
# Forward code that backward runs too: dropout's loop on g, and the sums over what was broadcast.
SHARED = {"dropout_forward", "sum_forward", "reduce_forward", "reduce_tiles"}
# What has these divides the work into blocks or among threads.
SHARING = re.compile(r"\b(\w+_PER_THREAD|\w+_per_thread|parallel_for|parts_of|share|blocks_of)\b")

NUMBER_TYPES = r"real|float|double|int|char|void|bint|long long|Py_ssize_t|size_t|uint32_t|uint64_t"
CAST = re.compile(r"<(?:const )?(?:long long|\w+)\s*\**>")
INTEGERS = r"(?:int|bint|long long|Py_ssize_t|size_t|uint32_t|uint64_t|Dims)"
INTEGER_FIELDS = {
    "lines", "line_step", "length", "step", "columns", "column", "rows", "row", "outer", "pieces", "start", "first",
    "size", "height", "per_group", "count", "n", "m", "k", "g_step", "y_bytes", "inputs", "outputs", "dim", "ndim",
    "dims", "side", "ignore_index",
}  # fmt: skip
SWAPS = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "*")}
COMPARISONS = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
}  # fmt: skip
KEPT = {                                    # what backward reads, and what it may be taken for
    "INPUT": ("OUTPUT", "NOTHING"), "OTHER": ("INPUT", "NOTHING"), "OUTPUT": ("INPUT", "NOTHING"),
    "CONTEXT": ("NOTHING",), "NOTHING": ("INPUT",),
}  # fmt: skip
OP_FIELDS = {"a": "b", "b": "a", "y": "a", "da": "db", "db": "da", "dbias": "db"}


@dataclass(frozen=True)
class Function:
    """A function or method: its name, the class it belongs to or "", its header and body lines, first to last.

    A table of loops is one too, without a header: what it names is called by whoever names the table.
    """

    file: str
    owner: str
    name: str
    header: str
    lines: range

    @property
    def label(self):
        """How the reports call it."""
        return f"{self.owner}.{self.name}" if self.owner else self.name


@dataclass(frozen=True)
class Statement:
    """A logical line: where it begins and ends in the file's text."""

    start: int
    end: int
    line: int


@dataclass(frozen=True)
class Mutant:
    """One wrong edit: in place of file[start:end], which is `original`, stands `mutated`."""

    number: int
    file: str
    line: int
    function: str
    kind: str
    original: str
    mutated: str
    statement: Statement
    start: int
    end: int
    text: str
    ops: tuple

    @property
    def key(self):
        """What identifies it while lines move: file, function, and the statement before and after."""
        return self.file, self.function, self.original, self.mutated


# -- functions and what calls what --------------------------------------------------------------------------------


class Source:
    """A file of Cython: its text, functions, tables, classes and bases, and the structs with pointers in them."""

    def __init__(self, path, name):
        self.name = name
        self.text = path.read_text()
        assert self.text.isascii(), f"{path}: columns are counted in characters"
        self.blank = CAST.sub(lambda match: " " * len(match[0]), _without_comments_and_strings(self.text))
        self.blank = re.sub(r"(?<=[(\s])&(?=\w)", " ", self.blank)         # the address of a struct
        self.starts = [0]
        for line in self.text.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.functions, self.bases = [], {}
        self._find_functions()
        # From each pointer or matrix in a struct to the next one of the same type.
        self.structs = {}
        for struct, body in re.findall(r"cdef struct (\w+): *\n((?:    .*\n| *\n)+)", self.blank):
            fields = re.findall(r"((?:const )?[\w ]+\*|Matrix) (\w+(?:, \w+)*) *\n", body)
            self.structs[struct] = _next_of_type((of_type.strip(), n) for of_type, ns in fields for n in ns.split(", "))

    def _find_functions(self):
        lines = self.blank.splitlines()
        owner, number = "", 0
        while number < len(lines):
            line = lines[number]
            found = re.match(r"cdef class (\w+)(?:\((\w+)\))?:", line)
            if found:
                owner = found[1]
                self.bases[owner] = found[2] or ""
            elif line and not line[0].isspace() and not line.startswith("@"):
                owner = ""
            found = re.match(r"cdef \w+ ([A-Z_]+) = \w+\(", line)
            if found:
                last = number
                while _open("\n".join(lines[number : last + 1])):
                    last += 1
                self.functions.append(Function(self.name, "", found[1], "", range(number, last + 1)))
            found = re.match(r"( *)(?:cdef|def|cpdef) [^=]*?(\w+)\(", line)
            if found:
                indent, last = len(found[1]), number
                while _open("\n".join(lines[number : last + 1])):
                    last += 1
                if not lines[last].rstrip().endswith(":"):          # only declared here
                    number = last + 1
                    continue
                header = " ".join(text.strip() for text in lines[number : last + 1])
                end = last + 1
                while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > indent):
                    end += 1
                if indent in (0, 4):
                    function = Function(self.name, owner if indent else "", found[2], header, range(last + 1, end))
                    self.functions.append(function)
                number = last
            number += 1

    def body(self, function):
        """A function's text without comments, strings and casts."""
        return self.blank[self.starts[function.lines.start] : self.starts[function.lines.stop]]

    def statements(self, function):
        """The logical lines of a function's body."""
        number = function.lines.start
        while number < function.lines.stop:
            first = number
            text = self._line(number)
            if text.strip():
                while _open(text) or text.rstrip().endswith("\\"):
                    number += 1
                    text += self._line(number)
                start = self.starts[first] + len(text) - len(text.lstrip())
                yield Statement(start, start + len(text.strip()), first + 1)
            number += 1

    def _line(self, number):
        return self.blank[self.starts[number] : self.starts[number + 1]]


def _without_comments_and_strings(text):
    """The same text with comments and what stands in quotes blanked out, line ends kept."""
    pattern = re.compile(r'"""(?:.|\n)*?"""|"(?:\\.|[^"\\\n])*"|#[^\n]*')

    def blank(match):
        spaces = re.sub(r"[^\n]", " ", match[0])
        return spaces if match[0].startswith(("#", '"""')) else '"' + spaces[1:-1] + '"'

    return pattern.sub(blank, text)


def _next_of_type(pairs):
    """From each name to the next of the same type, for pairs of type and name."""
    by_type = {}
    for of_type, name in pairs:
        by_type.setdefault(of_type, []).append(name)
    return {a: b for names in by_type.values() for a, b in zip(names, names[1:] + names[:1], strict=True)}


def _indent(line):
    return len(line) - len(line.lstrip())


def _open(text):
    return sum(text.count(c) for c in "([{") > sum(text.count(c) for c in ")]}")


def read_sources(folder=PACKAGE):
    """The package's .pyx files, and the .pxd files whose inline functions its loops share, by their path in it.

    Not function.pyx, whose nodes hand gradients on that a user's code computes: tests/test_autograd.py tests them.
    """
    paths = [path for path in folder.rglob("*.pyx") if path.name != "function.pyx"]
    paths += [*folder.glob("kernels/sums.pxd"), *folder.glob("kernels/broadcast.pxd"), *folder.glob("core.pxd")]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: Source(names[name], name) for name in sorted(names)}


# What a function's text runs: calls, the loops that tables name, jobs, and tables.
USES = re.compile(r"(\w+\.)?\b(\w+)(?=\(|\[float\])|(?<=parallel_for\()(\w+)|\b([A-Z_]{2,})\b")


class Calls:
    """Which functions and tables of the sources name which."""

    def __init__(self, sources):
        self.sources = sources
        self.functions = [function for source in sources.values() for function in source.functions]
        self.bases = {name: base for source in sources.values() for name, base in source.bases.items()}
        self.methods = {(f.owner, f.name): f for f in self.functions if f.owner}
        self.free = {}
        for f in self.functions:
            if not f.owner:
                self.free.setdefault(f.name, []).append(f)
        self.ops = sorted(name for name in self.bases if name not in self.bases.values() and self.method(name, "rule"))

    def method(self, owner, name):
        """The method of a class with this name, its own or inherited, in a list; an empty list if it has none."""
        while owner:
            if (owner, name) in self.methods:
                return [self.methods[owner, name]]
            owner = self.bases.get(owner, "")
        return []

    def makes(self, f, op=r"\w+"):
        """Whether a function makes an op, which has a forward and a rule of its own."""
        return re.search(rf"\b{op}\.__new__", self.sources[f.file].body(f)) is not None

    def uses(self, f, op):
        """The functions and tables that a function of an op names."""
        for prefix, *names in USES.findall(self.sources[f.file].body(f)):
            name = "".join(names)
            if prefix == "self.":
                yield from self.method(op, name)
            elif prefix in ("", "operators."):
                known = self.free.get(name, [])
                found = [c for c in known if c.file == f.file and not prefix] or known
                yield from (c for c in found if not c.header.startswith("def ") and not self.makes(c))

    def tables(self, op):
        """The tables that an op is made with; of Update, all that stand beside it."""
        makers = [f for f in self.functions if self.makes(f, op)]
        if op == UPDATE:
            return {t for t in self.functions if not t.header and t.file == makers[0].file}
        return {t for f in makers for t in self.uses(f, op) if not t.header}

    def reached(self, starts, op, forward):
        """The functions and tables behind some functions of an op; those of forward only if asked for."""
        stack, met = list(starts), set()
        while stack:
            f = stack.pop()
            if f not in met and (forward or "forward" not in f.name or f.name in SHARED):
                met.add(f)
                stack += self.uses(f, op)
        return met


def backward_code(sources):
    """The functions to mutate, each with the sorted names of the ops whose gradient it computes."""
    calls = Calls(sources)
    backward, every = set(), {}
    for op in sorted([*calls.ops, *[name for name in calls.bases if name == UPDATE]]):
        methods = {f for _, name in calls.methods if name != "samples" for f in calls.method(op, name)}
        every[op] = calls.reached(methods | calls.tables(op), op, forward=True)
        entries = {f for name in ({"run"} if op == UPDATE else ENTRIES) for f in calls.method(op, name)}
        tables = {t for t in every[op] if not t.header}             # also those that only forward names
        backward |= calls.reached(entries | tables, op, forward=False)
    return {f: tuple(op for op in every if f in every[op]) for f in calls.functions
            if f in backward and f.name not in WALKS}  # fmt: skip


# -- edits --------------------------------------------------------------------------------------------------------


class Edits:
    """The wrong edits of one statement: pairs of kind and (start, end, replacement)."""

    def __init__(self, source, function, statement):
        self.source, self.function, self.statement = source, function, statement
        self.text, self.blank = source.text, source.blank
        body = source.body(function)
        self.integers = set(re.findall(rf"{INTEGERS} (\w+)", function.header))
        for names in re.findall(rf"cdef {INTEGERS} ([^\n]*)", body):
            self.integers |= set(re.findall(r"\b([A-Za-z]\w*)\b(?!\[)", re.sub(r"=[^,]*", "", names)))
        self.addresses = set(re.findall(r"\* ?(\w+)", function.header + body))
        self.addresses |= set(re.findall(r"cdef \w+ (\w+)\[", body))
        self.addresses |= {f"self.{name}" for name in re.findall(r"\n    cdef \w+\* (\w+)\n", source.blank)}
        # From each argument that is a pointer to the next of the same type; and the same of the fields of structs.
        self.pointers = _next_of_type(re.findall(rf"(const (?:{NUMBER_TYPES})\* )(\w+)", function.header))
        self.fields = {"self": OP_FIELDS} if function.name in ENTRIES else {}
        for struct, name in re.findall(r"\b(\w+)\*? (?=(\w+))", function.header + body):
            if struct in source.structs:
                self.fields[name] = source.structs[struct]
                self.addresses |= {f"{name}.{field}" for field in source.structs[struct]}
        self.found = []

    def all(self):
        """The edits, each once."""
        statement = self.statement
        blank = self.blank[statement.start : statement.end]
        if SHARING.search(blank) or re.fullmatch(r"return \d", blank):
            return []
        if self.function.name not in SHARED and {*re.findall(r"(\w*forward\w*)\(", blank)} - SHARED:
            return []
        if not self.function.header:
            for name in re.finditer(r"(?<=unary\()\s*(\w+)", blank):
                self._kept(name[1], statement.start + name.start(1))
            return self.found
        declaration = re.match(rf"cdef (?:const )?[\w ]*?(?:{NUMBER_TYPES}|ndarray|Dims|Block|Matrix)\s*\** ", blank)
        header = re.match(r"(if|elif|while|return|for \w+ in range)\b", blank)
        if blank.startswith(("cdef", "else", "def", "cdef class", "pass", "break", "continue", "with", '"', "yield")):
            if declaration:
                for start, end in _initial_values(self.source, statement, declaration.end()):
                    self._expression(start, end)
        elif header:
            start = self.statement.start + header.end()
            end = self.statement.end - (not blank.startswith("return"))
            if header[1].startswith("for"):
                self._range(start, end)
            else:
                self._expression(start, end)
        elif not blank.startswith("for"):
            self._simple(blank)
        return list(dict.fromkeys(self.found))

    def _add(self, kind, start, end, text):
        if self.text[start:end] != text:
            self.found.append((kind, start, end, text))

    def _kept(self, name, start):
        for other in KEPT.get(name, ()):
            self._add("wrong saved value", start, start + len(name), other)

    def _simple(self, blank):
        """An assignment or a call."""
        tree = ast.parse(blank).body[0]
        place = self._places(0, blank, self.statement.start)
        start, end = self.statement.start, self.statement.end
        if isinstance(tree, (ast.Assign, ast.AugAssign)):
            target = tree.targets[0] if isinstance(tree, ast.Assign) else tree.target
            value_start = self.blank.index("=", place(target)[1]) + 1
            if isinstance(tree, ast.AugAssign):
                swap = SWAPS.get(type(tree.op))
                if swap:
                    at = self.blank.index(swap[0] + "=", place(target)[1])
                    self._add("operator", at, at + len(swap[0]), swap[1])
                self._add("dropped statement", start, end, "pass")
            if isinstance(target, ast.Subscript):
                chained = isinstance(tree, ast.Assign) and len(tree.targets) > 1
                if self._is_real_target(target) and not chained and not isinstance(tree.value, ast.Constant):
                    self._add("sign", value_start, end, f" -({self.text[value_start:end].strip()})")
                if isinstance(tree, ast.Assign) and isinstance(tree.value, ast.Constant):
                    self._add("dropped statement", start, end, "pass")
                self._walk(target, place)
            self._walk(tree.value, place)
        elif isinstance(tree, ast.Expr):
            name = ast.unparse(tree.value.func) if isinstance(tree.value, ast.Call) else ""
            if name.endswith((".give", ".lend")):
                self._add("dropped gradient", start, end, "pass")
            self._walk(tree.value, place)

    def _is_real_target(self, target):
        return ast.unparse(target.value) not in ("shape", "sizes") and "index" not in ast.unparse(target.value)

    def _range(self, start, end):
        """The bounds of a loop."""
        inside = self.blank[start:end].strip()
        opening = self.blank.index("(", start)
        call = ast.parse("f" + inside, mode="eval").body
        place = self._places(-1, "f" + inside, opening)
        bounds = call.args[:2]
        stop = bounds[0] if len(bounds) == 1 else bounds[1]
        first, last = place(stop)
        self._add("bound", first, last, f"{_bracketed(self.text[first:last])} - 1")
        if len(bounds) == 1:
            self._add("bound", first, last, f"1, {self.text[first:last]}")
        else:
            first, last = place(bounds[0])
            self._add("bound", first, last, f"{_bracketed(self.text[first:last])} + 1")
        for bound in bounds:
            self._walk(bound, place)

    def _expression(self, start, end):
        blank = self.blank[start:end]
        lead = len(blank) - len(blank.lstrip())
        if not blank.strip():
            return
        wrapped = f"({blank.strip()})"
        tree = ast.parse(wrapped, mode="eval").body
        self._walk(tree, self._places(-1, wrapped, start + lead))

    def _places(self, shift, text, origin):
        """A function from a node to where it starts and ends in the file, for text that was parsed and its origin."""
        begins = [0]
        for line in text.splitlines(keepends=True):
            begins.append(begins[-1] + len(line))

        def place(node):
            return (origin + shift + begins[node.lineno - 1] + node.col_offset,
                    origin + shift + begins[node.end_lineno - 1] + node.end_col_offset)

        return place

    def _walk(self, tree, place):
        docstring = isinstance(tree, ast.Constant) and isinstance(tree.value, str)
        for node in [] if docstring else ast.walk(tree):
            start, end = place(node) if hasattr(node, "lineno") else (0, 0)
            if isinstance(node, ast.BinOp) and type(node.op) in SWAPS:
                self._operator(node, place, start, end)
            elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
                if not isinstance(node.operand, ast.Constant):
                    self._add("sign", start, end, f"({self.text[start + 1 : end].strip()})")
            elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                self._add("condition", start, end, self.text[start + 3 : end].strip())
            elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
                old, new = COMPARISONS[type(node.ops[0])]
                at = self.blank.index(old, place(node.left)[1])
                self._add("comparison", at, at + len(old), new)
            elif isinstance(node, ast.BoolOp):
                old, new = (" and ", " or ") if isinstance(node.op, ast.And) else (" or ", " and ")
                at = self.blank.find(old, place(node.values[0])[1], place(node.values[1])[0])
                if at >= 0:
                    self._add("condition", at, at + len(old), new)
            elif isinstance(node, ast.IfExp):
                cast = re.search(rf"(?:{CAST.pattern})$", self.text[:start])
                start -= len(cast[0]) if cast else 0
                body_end = self.blank.index("if", place(node.body)[1])
                orelse_start = self.blank.index("else", place(node.test)[1]) + len("else")
                body, orelse = self.text[start:body_end], self.text[orelse_start:end]
                if {"NULL", "NOTHING"} & {body.strip(), orelse.strip()}:
                    continue                                        # what is absent where it is not read
                if not isinstance(node.body, ast.Constant) or not isinstance(node.orelse, ast.Constant):
                    self._add("condition", start, body_end, orelse.strip() + " ")
                    if orelse.strip() != "None":                    # that is "needs" already
                        self._add("condition", orelse_start, end, " " + body.strip())
            elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
                self._constant(node, start, end)
            elif isinstance(node, ast.Subscript):
                index = node.slice
                if isinstance(index, ast.Name) and index.id in self.integers:
                    last = place(index)[1]
                    self._add("index", last, last, " + 1")
            elif isinstance(node, ast.Name) and self.function.name == "reads":
                if node is tree or node.id != "NOTHING":            # otherwise that is "needs" already
                    self._kept(node.id, start)
            elif isinstance(node, ast.Name) and node.id in self.pointers:
                self._add("wrong saved value", start, end, self.pointers[node.id])
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                other = self.fields.get(node.value.id, {}).get(node.attr)
                if other is not None:
                    self._add("wrong saved value", end - len(node.attr), end, other)
            elif isinstance(node, ast.Call):
                self._arguments(node, place)

    def _operator(self, node, place, start, end):
        old, new = SWAPS[type(node.op)]
        at = place(node.left)[1]
        while not self.blank.startswith(old, at) or self.blank[at] in " )\n\\":
            at += 1
        left, right = self.text[start:at].rstrip(" \\\n"), self.text[at + len(old) : end].lstrip(" \\\n")
        first = node.left
        while isinstance(first, ast.BinOp):
            first = first.left
        if old == "*" and self._is_integral(node):
            new = "//"
        self._add("operator", at, at + len(old), new)
        if old in "+-":
            self._add("dropped term", start, end, _bracketed(left))
            if ast.unparse(first) not in self.addresses and not isinstance(first, ast.Call):
                self._add("dropped term", start, end, f"(-{_bracketed(right)})" if old == "-" else _bracketed(right))
        else:
            self._add("dropped factor", start, end, _bracketed(left))
            if old == "*":
                self._add("dropped factor", start, end, _bracketed(right))

    def _is_integral(self, node):
        """Whether all operands are integers of C."""
        for leaf in ast.walk(node):
            if isinstance(leaf, ast.Name) and leaf.id not in self.integers and not leaf.id.isupper():
                parent = [n for n in ast.walk(node) if isinstance(n, ast.Attribute) and leaf in ast.walk(n)]
                if not parent:
                    return False
            if isinstance(leaf, ast.Attribute) and leaf.attr not in INTEGER_FIELDS:
                return False
            if isinstance(leaf, (ast.Call, ast.Subscript)):
                return False
            if isinstance(leaf, ast.Constant) and type(leaf.value) is float:
                return False
        return True

    def _constant(self, node, start, end):
        text = self.text[start:end]
        if isinstance(node.value, bool):
            return
        if text.startswith("0x") or not re.match(r"[\d.]", text):
            return
        if isinstance(node.value, int):
            self._add("constant", start, end, str(1 - node.value if node.value < 2 else node.value + 1))
        elif node.value < 1e9:
            self._add("constant", start, end, f"(2 * {text})" if node.value else "1.0")

    def _arguments(self, node, place):
        """Neighbouring arguments of one kind exchanged; a gradient or a saved array taken for another; a constant."""
        for a, b in zip(node.args, node.args[1:], strict=False):
            first, last = place(a)[0], place(b)[1]
            plain = all(isinstance(x, (ast.Name, ast.Attribute)) and self._is_integral(x) for x in (a, b))
            if plain and "&" not in self.text[first - 1 : last]:
                self._add("operand", first, last, f"{ast.unparse(b)}, {ast.unparse(a)}")
        if ast.unparse(node.func) == "self.needs" and len(node.args) == 1:
            start, end = place(node)
            self._add("needs", start, end, "True")
        if self.function.name == "rule" and ast.unparse(node.func) in ("self.input", "self.output"):
            _, end = place(node)
            if not self.blank.startswith(".detach()", end):
                self._add("detached", end, end, ".detach()")


# -- all mutants --------------------------------------------------------------------------------------------------


def candidates(sources=None):
    """Every mutant there could be, in the order of the sources; numbered from 1."""
    sources = read_sources() if sources is None else sources
    found = []
    for function, ops in backward_code(sources).items():
        source = sources[function.file]
        for statement in source.statements(function):
            original = source.text[statement.start : statement.end]
            for kind, start, end, text in Edits(source, function, statement).all():
                whole = original[: start - statement.start] + text + original[end - statement.start :]
                found.append(
                    Mutant(
                        len(found) + 1, function.file, statement.line, function.label, kind, _one_line(original),
                        _one_line(whole), statement, start, end, text, ops,
                    )
                )  # fmt: skip
    return found


def choose(mutants, count, seed=0):
    """So many of the mutants, from all functions in turn, of each at random, whatever the others are; renumbered."""
    by_function = {}
    for mutant in mutants:
        by_function.setdefault((mutant.file, mutant.function), []).append(mutant)
    for name, group in by_function.items():
        random.Random(f"{seed} {name}").shuffle(group)
    chosen = []
    while len(chosen) < count and any(by_function.values()):
        for group in by_function.values():
            if group and len(chosen) < count:
                chosen.append(group.pop())
    return renumbered(chosen)


def renumbered(mutants):
    """Mutants in the order of the sources, numbered from 1."""
    ordered = sorted(mutants, key=lambda mutant: mutant.number)
    return [Mutant(**{**vars(mutant), "number": i}) for i, mutant in enumerate(ordered, 1)]


def _initial_values(source, statement, offset):
    """Where the values stand in `cdef type a = value, b = value`; the names begin at the offset."""
    depth, begin, at = 0, None, statement.start + offset
    while at <= statement.end:
        c = source.blank[at] if at < statement.end else ","
        depth += (c in "([{") - (c in ")]}")
        if depth == 0 and c == "=" and begin is None:
            begin = at + 1
        elif depth == 0 and c == "," and begin is not None:
            yield begin, at
            begin = None
        at += 1


def _bracketed(text):
    """The text in brackets, unless it is one name, number, element or bracket anyhow."""
    return text if re.fullmatch(r"[\w.]+(\[\w+\])?|\([^()]*\)", text) else f"({text})"


def _one_line(text):
    return re.sub(r"\s*\\?\n\s*", " ", text)


# -- planting -----------------------------------------------------------------------------------------------------

# A module of its own holds which mutant is selected, so that also what is inlined into several modules can ask it.
SELECTOR = {
    "mutant.pxd": "cdef int _mutant\n",
    "mutant.pyx": "def select(int number):\n    global _mutant\n    _mutant = number\n",
}
SELECTED = "from microtensor.mutant cimport _mutant\n"
READS = "from microtensor.core cimport CONTEXT, INPUT, NOTHING, OTHER, OUTPUT\n"


def planted(source, mutants):
    """The text of a source with all these mutants in it, of which mutant.select selects one, or 0 for none."""
    text, by_statement, tables = source.text, {}, []
    for mutant in mutants:
        by_statement.setdefault(mutant.statement, []).append(mutant)
    for statement in sorted(by_statement, key=lambda s: -s.start):
        original, inside = text[statement.start : statement.end], by_statement[statement]
        if re.match(r"cdef \w+ [A-Z_]+ = ", original):
            # Modules fill in their tables when they load: a wrong one stands beside the right one.
            for mutant in inside:
                original += f"\n{_edited(text[statement.start : statement.end], statement.start, mutant)}".replace(
                    mutant.function, f"{mutant.function}_{mutant.number}", 1)
            tables += inside
        else:
            original = _choice(source, statement, inside)
        text = text[: statement.start] + original + text[statement.end :]
    for mutant in tables:
        name = mutant.function
        text = re.sub(rf"&{name}\b", f"(&{name}_{mutant.number} if _mutant == {mutant.number} else &{name} )", text)
    place = re.search(r"^(cimport|from \S+ cimport)", text, re.MULTILINE).start()
    return text[:place] + SELECTED + (READS if "core cimport" in text else "") + text[place:]


def _choice(source, statement, mutants):
    """A statement and its mutants: chosen by `if`, or in headers and declarations by conditional expressions."""
    original = source.text[statement.start : statement.end]
    if not re.match(r"(cdef|if|elif|while|for)\b", original):
        indent = " " * (statement.start - source.text.rindex("\n", 0, statement.start) - 1)
        lines = [
            f"{'elif' if i else 'if'} _mutant == {mutant.number}:\n"
            f"{indent}    {_edited(original, statement.start, mutant)}\n"
            for i, mutant in enumerate(mutants)
        ]
        return indent.join([*lines, f"else:\n{indent}    {original}"])
    values = {}
    for mutant in mutants:
        values.setdefault(_value_around(source, statement, mutant), []).append(mutant)
    for (start, end), inside in sorted(values.items(), reverse=True):
        value = source.text[start:end]
        if original.startswith("for"):
            choice = _bounds(value, start, inside)
        else:
            choice = value.strip()
            for mutant in inside:
                choice = f"({_edited(value, start, mutant).strip()}) if _mutant == {mutant.number} else {choice}"
            choice = f" ({choice})"
        original = original[: start - statement.start] + choice + original[end - statement.start :]
    return original


def _edited(text, origin, mutant):
    """A part of the file's text, from the origin on, with the mutant's edit."""
    return text[: mutant.start - origin] + mutant.text + text[mutant.end - origin :]


def _bounds(value, start, mutants):
    """The arguments of range, each chosen apart: range itself is no value that C could choose."""
    original = _range_arguments(value)
    chosen = original[:]
    for mutant in mutants:
        for i, wrong in enumerate(_range_arguments(_edited(value, start, mutant))):
            if wrong != original[i]:
                chosen[i] = f"({wrong}) if _mutant == {mutant.number} else {chosen[i]}"
    return ", ".join(f"({argument})" if "_mutant" in argument else argument for argument in chosen)


def _range_arguments(text):
    """First and last, and the step if there is one."""
    parts, depth, last = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "([{") - (c in ")]}")
        if c == "," and depth == 0:
            parts.append(text[last:i].strip())
            last = i + 1
    parts.append(text[last:].strip())
    return ["0", *parts] if len(parts) == 1 else parts


def _value_around(source, statement, mutant):
    """Where the value that a mutant is part of starts and ends: a condition, the bounds of a loop, an initial value."""
    original = source.blank[statement.start : statement.end]
    header = re.match(r"(if|elif|while|for \w+ in (?:range\())", original)
    if header and header[1].startswith("for"):
        return statement.start + header.end(), statement.start + original.rindex(")")
    if header:
        return statement.start + header.end(), statement.end - 1
    declaration = re.match(r"cdef [^=,(\[]*?\w+\s*\** (?=\w+\s*(?:=|,))", original)
    for start, end in _initial_values(source, statement, declaration.end()):
        if start <= mutant.start and mutant.end <= end:
            return start, end
    raise ValueError(f"no value around {mutant}")
