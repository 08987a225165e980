"""docs/derivations: every snippet runs and prints what the page says, and what a page quotes stands in the source."""

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "derivations"
PAGES = sorted(FOLDER.glob("*.md"))

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)

ERROR = re.compile(r"\b\d(?:\.\d+)?e[+-]\d\d\b")        # 3e-10: a measured error, the pages' only numbers of this form
QUOTE = re.compile(r"((?:`\w+`(?:,|\s+and)?\s+)+)in\s+\[`([\w/.]+)`\]\(\.\./\.\./([\w/.]+)\)")


def blocks(page):
    """(language, content) of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def prose(page):
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def assert_printed(printed, expected):
    """The same text; errors no more than ten times what the page measured, or than rounding explains.

    Two formulas for one gradient, each with sums of up to a few dozen terms, differ by less than 100 eps.
    """
    assert ERROR.sub("#", printed).strip() == ERROR.sub("#", expected).strip()
    for found, measured in zip(ERROR.findall(printed), ERROR.findall(expected), strict=True):
        assert float(found) <= max(10 * float(measured), 100 * np.finfo(np.float64).eps), printed


@pages
def test_snippets_print_what_the_page_says(page, monkeypatch, capsys):
    monkeypatch.syspath_prepend(FOLDER)
    namespace = {}
    for language, content in blocks(page):
        if language == "python":
            exec(compile(content, page.name, "exec"), namespace)
        elif language == "text":
            assert_printed(capsys.readouterr().out, content)
    assert capsys.readouterr().out == ""


@pages
def test_quoted_functions_stand_in_the_named_files(page):
    quotes = QUOTE.findall(prose(page))
    assert quotes or page.stem == "index"
    for names, path, target in quotes:
        assert path == target
        source = (ROOT / path).read_text()
        for name in re.findall(r"\w+", names.replace(" and", "")):
            defined = re.search(rf"^\s*(cdef|cpdef|def)\b[^=\n]*\b{name}\s*[(:]", source, re.MULTILINE)
            assert defined, f"{page.name} quotes {name}, which is not in {path} any more"


@pages
def test_quoted_lines_stand_in_the_source(page):
    sources = "\n".join((ROOT / path).read_text() for path in re.findall(r"\]\(\.\./\.\./([\w/.]+)\)", prose(page)))
    for language, content in blocks(page):
        for line in content.splitlines() if language == "cython" else []:
            assert line.removesuffix("...)") in sources, f"{page.name} quotes a line that is not there any more: {line}"


@pages
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", prose(page)):
        assert (FOLDER / target).exists(), target


@pages
def test_mathematics_displays_everywhere(page):
    """Fences of ``math`` for display, and inside of $...$ nothing that Markdown would take for its own.

    Markdown reads \\{ as an escape, * and an _ after punctuation as emphasis, < as a tag, and | as the end of a cell.
    """
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    assert "$$" not in text
    assert text.count("$") % 2 == 0
    for inline in re.findall(r"\$([^$]*)\$", text):
        assert "\n" not in inline, inline
        assert not re.search(r"\\[^a-zA-Z\s]|[*<|]|[^\w\s]_|^\s|\s$", inline), inline
        assert inline.count("{") == inline.count("}"), inline


def test_index_lists_every_page():
    listed = re.findall(r"\]\(([\w-]+\.md)\)", (FOLDER / "index.md").read_text())
    assert sorted(listed) == [page.name for page in PAGES if page.stem != "index"]
