"""Imports run down only: those of every file, read from its text, against the floors of docs/architecture.md."""

import functools
import graphlib
import posixpath
import re
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "microtensor"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MODULES = (".py", ".pyx", ".pxd")
TEXTS = (".pxi", ".h")

# What may go up or around all the same: {(file, what it imports): reason}, such as
# {("core.pyx", "microtensor.ops.add"): "..."}. An entry that is not needed any more fails the test.
ALLOWED = {}


# -- floors ------------------------------------------------------------------------------------------------------------


def dotted(path):
    """A file's name in an import: nn/init.py is microtensor.nn.init. A text that is included keeps its suffix."""
    path = PurePosixPath(path)
    parts = (path.with_suffix("") if path.suffix in MODULES else path).parts
    return ".".join(("microtensor", *parts)).removesuffix(".__init__")


def read_floors(page):
    """The floor of every room, by dotted name, and the paths of those that must be there."""
    floors, present = {}, []
    for floor, names, holds in re.findall(r"^\| (\d+) \| (.*?) \| (.*) \|$", page, re.MULTILINE):
        for name in re.findall(r"`(.*?)`", names):
            assert floors.setdefault(dotted(name), int(floor)) == int(floor), f"{name} is on two floors"
            if "to come" not in holds:
                present.append(name)
    assert dotted("__init__.py") in floors, "the page has no row for the package itself"
    return floors, present


FLOORS, PRESENT = read_floors(PAGE)


def room_of(name):
    """The room that a dotted name lies in. Whatever no room holds is the package's own, as mt.Tensor is."""
    while name not in FLOORS:
        name = name.rpartition(".")[0]
    return name


# -- imports -----------------------------------------------------------------------------------------------------------

FROM = re.compile(r"(?:^|[;:])[ \t]*from[ \t]+([\w.]+)[ \t]+c?import\b[ \t]*(\([^)]*\)|[^\n;]*)", re.MULTILINE)
IMPORT = re.compile(r"(?:^|[;:])[ \t]*c?import[ \t]+([^\n;]+)", re.MULTILINE)
CALL = re.compile(r"""\b(?:import_module|__import__)\([ \t]*f?["']([\w.]+)""")
INCLUDE = re.compile(r"""^[ \t]*(?:#?[ \t]*include|cdef[ \t]+extern[ \t]+from)[ \t]+["'](.+?)["']""", re.MULTILINE)


@functools.cache        # a test with a planted mistake changes one file of all
def imports_of(path, text, files):
    """The dotted names of what a file imports from the package; path and files, a frozenset, lie in microtensor/."""
    found = [dotted(included) for name in INCLUDE.findall(text) if (included := find_included(path, name, files))]
    code = re.sub(r'(\"\"\"|\'\'\').*?\1', "''", text.replace("\\\n", " "), flags=re.DOTALL)     # no examples, no C
    code = re.sub(r"#.*", "", code)
    for package, names in FROM.findall(code):
        base = absolute(path, package)
        found += [f"{base}.{name.split()[0]}" for name in names.strip("() \t\n").split(",") if name.strip()]
    for modules in IMPORT.findall(code):
        found += [module.split()[0] for module in modules.split(",") if module.strip()]
    found += CALL.findall(code)
    return tuple(name for name in found if name.split(".")[0] == "microtensor")


def absolute(path, package):
    """The package that dots in front stand for: one for the file's own, one more for each folder up."""
    name = package.lstrip(".")
    dots = len(package) - len(name)
    if not dots:
        return name
    parts = ("microtensor", *PurePosixPath(path).parent.parts)
    return ".".join([*parts[: len(parts) + 1 - dots], *([name] if name else [])])


def find_included(path, name, files):
    """The file that a text is included from: beside the one that includes it, or where compilers are told to look."""
    for folder in (posixpath.dirname(path), ".", "kernels"):
        found = posixpath.normpath(f"{folder or '.'}/{name}").removeprefix("microtensor/")
        if found in files:
            return found
    return None             # the compiler's own, such as string.h


def package_files():
    """The sources of the package by path in microtensor/: what is compiled and what is built lies elsewhere."""
    paths = [path for path in sorted(PACKAGE.rglob("*")) if path.suffix in (*MODULES, *TEXTS)]
    names = [path.relative_to(PACKAGE).as_posix() for path in paths]
    return {name: path.read_text(encoding="utf-8") for name, path in zip(names, paths, strict=True)
            if not name.startswith("_isa/")}


def upward(files):
    """Pairs of a file and a name on a floor above it that it imports."""
    paths = frozenset(files)
    return [(path, name) for path, text in files.items() for name in imports_of(path, text, paths)
            if FLOORS[room_of(name)] > FLOORS[room_of(dotted(path))]]


def rooms_behind(files, skip=()):
    """The rooms that each room imports from."""
    behind, paths = {}, frozenset(files)
    for path, text in files.items():
        room = room_of(dotted(path))
        names = {room_of(name) for name in imports_of(path, text, paths) if (path, name) not in skip}
        behind.setdefault(room, set()).update(names - {room})
    return behind


FILES = package_files()


# -- the package -------------------------------------------------------------------------------------------------------


def test_every_file_has_a_floor():
    homeless = [path for path in FILES if room_of(dotted(path)) == "microtensor" and path != "__init__.py"]
    assert not homeless, "docs/architecture.md has no row for them"


def test_every_row_is_there():
    assert {FLOORS[dotted(name)] for name in PRESENT} == {0, 1, 2, 3, 4, 5}
    assert [name for name in PRESENT if not (PACKAGE / name).exists()] == []


def test_no_import_goes_up():
    found = upward(FILES)
    assert [pair for pair in found if pair not in ALLOWED] == []
    assert [pair for pair in ALLOWED if pair not in found] == [], "these are listed in ALLOWED and not needed"
    assert all(reason.strip() for reason in ALLOWED.values())


def test_rooms_import_each_other_in_one_direction():
    """A circle of rooms raises CycleError, which names them."""
    graphlib.TopologicalSorter(rooms_behind(FILES, skip=ALLOWED)).prepare()


def test_imports_are_read():
    """All the kinds there are in the package, so that no reader of imports passes because it finds nothing."""
    def names(path):
        return set(imports_of(path, FILES[path], frozenset(FILES)))

    assert {"microtensor.kernels.memory.new_array", "microtensor.tensor.pxi"} <= names("core.pyx")
    assert "microtensor.kernels.tile.h" in names("kernels/gemm.pyx")
    assert {"microtensor.nn", "microtensor.core.Tensor", "microtensor.ops.*"} <= names("__init__.py")
    assert {"microtensor.core.Op", "microtensor.core.record"} <= names("ops/linear.pyx")


# -- planted mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "line", "name"),
    [
        ("kernels/gemm.pyx", "from microtensor.core cimport Tensor", "microtensor.core.Tensor"),
        ("kernels/new.pyx", "from microtensor.core cimport (  # (Op)\n    Op as O,\n)", "microtensor.core.Op"),
        ("kernels/new.pyx", "from microtensor.random import Generator, \\\n    x; from ..ops import add",
         "microtensor.ops.add"),
        ("kernels/tile.h", '#include "../nn/_call.h"', "microtensor.nn._call.h"),
        ("kernels/gemm.pyx", 'cdef extern from "nn/_call.h" nogil:\n    int x', "microtensor.nn._call.h"),
        ("core.pyx", "def f():\n        from microtensor import ops", "microtensor.ops"),
        ("core.pyx", "def f(): import microtensor.ops.linear as linear", "microtensor.ops.linear"),
        ("core.pyx", "ops = importlib.import_module('microtensor.ops')", "microtensor.ops"),
        ("core.pxd", "cimport microtensor.foreach", "microtensor.foreach"),
        ("tensor.pxi", "from .ops.arithmetic cimport _add as add", "microtensor.ops.arithmetic._add"),
        ("core.pyx", 'include "ops/new.pxi"', "microtensor.ops.new.pxi"),
        ("ops/linear.pyx", "from microtensor.nn.parameter import Parameter", "microtensor.nn.parameter.Parameter"),
        ("ops/new.pyx", "import math, microtensor.optim.sgd", "microtensor.optim.sgd"),
        ("nn/module.py", "import microtensor as mt", "microtensor"),
        ("nn/module.py", "from microtensor import Tensor", "microtensor.Tensor"),
        ("nn/module.py", "from microtensor import tensor", "microtensor.tensor"),
        ("nn/__init__.py", "from .. import cli", "microtensor.cli"),
        ("gradcheck/ledger.py", "from microtensor import *", "microtensor.*"),
        ("__init__.py", "from microtensor.cli import main", "microtensor.cli.main"),
    ],
)
def test_an_upward_import_is_found(path, line, name):
    files = {**FILES, "nn/_call.h": "", "ops/new.pxi": "", "kernels/new.pyx": "", "ops/new.pyx": ""}
    files[path] = f"{files.get(path, '')}\n{line}\n"
    assert [pair for pair in upward(files) if pair not in ALLOWED] == [(path, name)]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("core.pyx", '"""\n>>> import microtensor as mt\nimport microtensor\n"""'),
        ("core.pyx", "# import microtensor.ops\nx = 1   # such as this: import microtensor"),
        ("core.pyx", "import numpy as np\nfrom cython.parallel cimport prange\nfrom libc.stdint cimport uint64_t"),
        ("kernels/gemm.pyx", 'cdef extern from *:\n    """\n    #include <string.h>\n    #include "tile.h"\n    """'),
        ("kernels/gemm.pyx", 'cdef extern from "tile.h":\n    pass\ncdef extern from "<math.h>" nogil:\n    pass'),
        ("optim/sgd.py", "from microtensor import foreach\nfrom . import lr_scheduler\nfrom .optimizer import Group"),
        ("cli/train.py", "import microtensor as mt\nfrom microtensor import datasets"),
    ],
)
def test_other_imports_are_left_alone(path, text):
    assert upward({"kernels/tile.h": "", path: text}) == []


def test_a_circle_of_rooms_is_found():
    files = {**FILES, "nn/new.py": "from microtensor.gradcheck.op import check_op"}
    with pytest.raises(graphlib.CycleError, match=r"microtensor\.gradcheck"):
        graphlib.TopologicalSorter(rooms_behind(files)).prepare()


def test_a_file_without_a_row_is_found():
    assert room_of(dotted("stray.py")) == "microtensor" and room_of(dotted("ops/stray.pyx")) == "microtensor.ops"
