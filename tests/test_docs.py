"""Docstrings: every example runs, and every public name has one. Pages: no quote is stale."""

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest

import microtensor as mt

MODULES = ["microtensor"] + sorted(
    info.name
    for info in pkgutil.walk_packages(mt.__path__, "microtensor.")
    if not info.name.startswith("microtensor._isa") and not info.name.endswith("__main__")
)


def documented(name):
    """The functions, classes and methods that a module defines, by qualified name."""
    if name == "microtensor.sklearn":
        pytest.importorskip("sklearn")
    module = importlib.import_module(name)
    found = {name: module}
    for key, value in vars(module).items():
        if not key.startswith("_") and getattr(value, "__module__", None) == name and callable(value):
            found[f"{name}.{key}"] = value
            if inspect.isclass(value):
                for method_name, method in vars(value).items():
                    if not method_name.startswith("_") and callable(method):
                        found[f"{name}.{key}.{method_name}"] = method
    return found


def test_modules_include_compiled_ones():
    assert {"microtensor.core", "microtensor.ops.arithmetic", "microtensor.nn.module"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name):
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for qualified, value in documented(name).items():
        examples = doctest.DocTestParser().get_doctest(value.__doc__ or "", vars(importlib.import_module(name)).copy(),
                                                       qualified, None, None)
        runner.run(examples)
    assert runner.summarize(verbose=False).failed == 0


# The pairs of the corpus are what learners read in a hunt: people's code, with comments in place of docstrings.
@pytest.mark.parametrize("name", [name for name in MODULES if ".corpus." not in name or name.endswith(".pair")])
def test_public_names_have_docstrings(name):
    internal = ("apply", "check", "keep", "rule", "samples", "needs")
    bare = [qualified for qualified, value in documented(name).items()
            if not (value.__doc__ or "").strip() and qualified.rsplit(".")[-1] not in internal]
    assert not bare


def test_help_has_a_line_for_every_name():
    lines = [line.split(maxsplit=1) for line in pydoc.plain(pydoc.render_doc(mt)).splitlines() if line.strip()]
    told = {name for name, *text in lines if text}
    modules = {"nn", "optim", "autograd", "data", "datasets", "ops", "random"}
    names = {name for name, value in vars(mt).items() if not name.startswith("_") and hasattr(value, "__module__")}
    assert len(names) > 90 and names | modules <= told
    assert "float32, float64, uint8" in mt.__doc__


def test_help_says_of_what_comes_later_what_it_says_of_itself():
    for texts in mt._LATER.values():
        for name, text in texts.items():
            assert getattr(mt, name).__doc__.splitlines()[0] == text
            assert f"    {name:<17} {text}" in mt.__doc__


def test_import_waits_until_something_is_asked_for():
    code = """
import sys
import microtensor as mt
print([name for name in sys.modules if any(room in name for room in mt._LATER)])
mt.fit
assert callable(mt.gradcheck) and mt.gradcheck.check_op
from microtensor import check_module, evaluate, metrics
names = {name for texts in mt._LATER.values() for name in texts}
assert names <= set(dir(mt)) and all(getattr(mt, name) for name in names)
import microtensor.gradcheck as package
assert package is mt.gradcheck
try:
    mt.nothing
except AttributeError as error:
    print(error)
"""
    process = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout == "[]\nmodule 'microtensor' has no attribute 'nothing'\n"


def test_import_loads_little_that_numpy_does_not():
    """Of the standard library; pathlib alone was a fifth of what microtensor adds to NumPy's own import."""
    code = """
import sys
import numpy
before = set(sys.modules)
import microtensor
print(*{name.partition(".")[0] for name in set(sys.modules) - before} & sys.stdlib_module_names)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert set(process.stdout.split()) <= {"_bisect", "bisect", "copy", "errno", "threading"}


def test_import_without_docstrings():
    """python -OO takes them away."""
    process = subprocess.run([sys.executable, "-OO", "-c", "import microtensor"], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


# -- docs/quote.py ---------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[1]
QUOTING = [path for path in sorted((ROOT / "docs").glob("*.md")) if "<!-- quoted:" in path.read_text()]
SOURCE = '''
cdef extern from "x.h":
    void announced(int n)

cdef enum:
    A = 1

cdef struct Job:
    int n       # how many

cdef Table TABLE = Table(
    one, two)


# -- first ---------

cdef class Base:
    cdef int run(self):
        pass


@decorated
cdef class Thing(Base):
    cdef int run(self,
                 int n) except -1:
        """Do it,

        all of it.
        """

        if n:
            return 1
        # the end
        return 0

    def other(self):
        return 2


# -- second thing -------

cdef void announced(int n):
    pass
'''
HEADER = """
/* -- the tile -------- */

INLINE void NAME(tile)(int rows,
                       int columns) {
    if (rows) {
        use(rows);
    }
}

static void plain(int n) {
    tile(n);
}
"""


@pytest.fixture
def quote():
    spec = importlib.util.spec_from_file_location("quote", ROOT / "docs" / "quote.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "a.pyx").write_text(SOURCE)
    (tmp_path / "a.h").write_text(HEADER)
    return tmp_path


@pytest.mark.parametrize("path", QUOTING, ids=lambda path: path.stem)
def test_every_quote_is_current(path, quote):
    page = path.read_text()
    assert quote.renew(page) == page, "run python docs/quote.py"


def test_the_evening_is_no_longer_than_it_says(quote):
    words, lines = quote.measure((ROOT / "docs" / "evening.md").read_text())
    assert 300 <= lines <= 400
    assert 1500 <= words <= 3500


@pytest.mark.parametrize(("asked", "expected"), [
    ("Job", "cdef struct Job:\n    int n       # how many\n"),
    ("TABLE", "cdef Table TABLE = Table(\n    one, two)\n"),
    ("announced", "cdef void announced(int n):\n    pass\n"),
    ("Thing.other", "def other(self):\n    return 2\n"),
    ("Thing.run without docstring", "cdef int run(self,\n             int n) except -1:\n    if n:\n        return 1\n"
                                    "    # the end\n    return 0\n"),
    ('Thing.run lines "if n" to "return"', "if n:\n    return 1\n"),
    ('Thing.run lines "# the end" to "# the end"', "# the end\n"),
    ('"second thing"', "# -- second thing -------\n\ncdef void announced(int n):\n    pass\n"),
])
def test_a_quote_is_what_stands_in_the_source(asked, expected, quote, sources):
    language, caption, *lines = quote.quote(f"<!-- quoted: a.pyx {asked} -->", sources).splitlines(keepends=True)
    assert language == "```cython\n" and caption.startswith("# a.pyx: ") and lines.pop() == "```"
    assert "".join(lines) == expected
    assert caption.endswith("(a part)\n") == ("lines" in asked)


def test_a_quote_of_c(quote, sources):
    def lines(name):
        return quote.quote(f"<!-- quoted: a.h {name} -->", sources).splitlines()

    assert lines("tile")[:3] == ["```c", "/* a.h: tile */", "INLINE void NAME(tile)(int rows,"]
    assert lines("tile")[-2:] == ["}", "```"] and len(lines("tile")) == 9
    assert lines("plain")[2:-1] == ["static void plain(int n) {", "    tile(n);", "}"]
    assert lines('"the tile"')[2] == "/* -- the tile -------- */"


def test_a_stale_quote_is_found_and_renewed(quote, sources):
    page = "# Page\n\n<!-- quoted: a.pyx Thing.other -->\n```\n```\n\ntext, and `code`\n"
    written = quote.renew(page, sources)
    assert "    return 2\n```\n\ntext" in written and quote.renew(written, sources) == written
    (sources / "a.pyx").write_text(SOURCE.replace("return 2", "return 3"))
    assert quote.renew(written, sources) == written.replace("return 2", "return 3") != written


@pytest.mark.parametrize("marker", [
    "a.pyx Nothing", "a.pyx Thing.nothing", "a.pyx Job.run", 'a.pyx "third"', "a.h nothing", "b.pyx Thing",
    'a.pyx Thing lines "no such" to "return"', 'a.pyx Thing lines "return 2" to "return 0"', "a.pyx",
    "a.pyx Job with all",
])
def test_what_is_not_there_is_an_error(marker, quote, sources):
    with pytest.raises(quote.MissingError, match=re.escape(marker)):
        quote.renew(f"<!-- quoted: {marker} -->\n```\n```\n", sources)


def test_a_marker_needs_a_fence(quote, sources):
    with pytest.raises(quote.MissingError, match="no fence"):
        quote.renew("<!-- quoted: a.pyx Job -->\n\n```\n```\n", sources)


def test_the_check_fails_and_names_the_quote(quote, sources, capsys):
    (sources / "docs").mkdir()
    page = sources / "docs" / "page.md"
    page.write_text("<!-- quoted: a.pyx Job -->\n```\n```\ntwo words\n")
    before = page.read_text()
    assert quote.main(["--check"], sources) == 1 and page.read_text() == before
    assert "<!-- quoted: a.pyx Job -->" in capsys.readouterr().err
    assert quote.main([], sources) == 0 and "int n" in page.read_text()
    assert quote.main(["--check"], sources) == 0
    assert capsys.readouterr().out.endswith("docs/page.md: 2 words, 2 quoted lines\n")
