"""Write the source that the pages of this folder quote, so that no quote is stale.

    python docs/quote.py                # rewrite every quote in docs/*.md
    python docs/quote.py --check        # fail if one is not what stands in the source

A comment says what the fence below it quotes:

    <!-- quoted: microtensor/core.pyx Engine.deliver -->                    a function, class, struct, enum or table
    <!-- quoted: microtensor/ops/activation.pyx "relu" -->                  a section, from its banner to the next one
    <!-- quoted: microtensor/core.pyx Op without docstring -->              without the docstrings in it
    <!-- quoted: microtensor/core.pyx Op.save lines "cdef" to "else:" -->   from the first line with the one text up to
                                                                            the next line with the other

Indentation that all lines share is taken away. The first line of a fence is a comment that says where it is from.
"""

import argparse
import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
MARKER = re.compile(
    r'^<!-- quoted: (?P<path>\S+) (?P<name>"[^"]+"|[\w.]+)(?P<bare> without docstring)?'
    r'(?: lines "(?P<first>[^"]+)" to "(?P<last>[^"]+)")? -->$'
)
FENCE = re.compile(r"^(?P<marker><!-- quoted:.*)\n```.*\n(?P<content>(?:(?!```).*\n)*)```$", re.MULTILINE)
BANNER = re.compile(r"^(?:# |/\* )-- (.*?) -*(?: \*/)?$", re.MULTILINE)
DOCSTRING = re.compile(r':\n[ \t]+"""(?:.|\n)*?"""\n(?:[ \t]*\n)*')
LANGUAGES = {".py": "python", ".pyx": "cython", ".pxd": "cython", ".pxi": "cython", ".h": "c"}


class MissingError(Exception):
    """What a marker asks for is not in the source."""


def find(source, name, suffix):
    """What has this name in the text of a file with this suffix.

    Raises:
        MissingError: if there is no such thing.
    """
    if name.startswith('"'):
        return section(source, name.strip('"'))
    if suffix == ".h":
        return function_in_c(source, name)
    for part in name.split("."):
        source = definition(source, part)
    return source


def section(source, title):
    """From the banner `# -- title ---` to the next one."""
    banners = list(BANNER.finditer(source))
    for banner, end in zip(banners, [*(b.start() for b in banners[1:]), len(source)], strict=True):
        if banner[1] == title:
            return source[banner.start():end].rstrip() + "\n"
    raise MissingError(f"no section {title!r}")


def function_in_c(source, name):
    """From a line that begins a function, which may be NAME(name), to the closing brace."""
    found = re.search(rf"^\w[^\n;]*(?:\b{name}|\bNAME\({name}\))\([^;{{]*\{{\n(?:.*\n)*?\}}\n", source, re.MULTILINE)
    if not found:
        raise MissingError(f"no function {name!r}")
    return found[0]


def definition(source, name):
    """From the line that defines a name to the last one that is indented more than it.

    Where a name is announced as well, as a .pxd does, or `cdef extern`, the definition is the one with lines below it.
    """
    lines = source.splitlines(keepends=True)
    head = re.compile(rf"^[ \t]*(?:def|class|cdef|cpdef|ctypedef)\b[^=(]*\b{name}(?:[(:\[]| =|$)|^{name} =")
    found = []
    for start in [i for i, line in enumerate(lines) if head.match(line)]:
        end = start + 1
        while end < len(lines) and (not lines[end].strip() or indentation(lines[end]) > indentation(lines[start])):
            end += 1
        found.append("".join(lines[start:end]).rstrip() + "\n")
    if not found:
        raise MissingError(f"no {name!r}")
    return next((text for text in found if text.count("\n") > 1), found[0])


def indentation(line):
    """How many characters a line is indented."""
    return len(line) - len(line.lstrip())


def quote(marker, root=ROOT):
    """The fence that belongs below a marker.

    Raises:
        MissingError: if the marker cannot be read, or what it asks for is not there.
    """
    asked = MARKER.match(marker)
    if not asked:
        raise MissingError(f"cannot read {marker}")
    path = root / asked["path"]
    try:
        text = find(path.read_text(encoding="utf-8"), asked["name"], path.suffix)
        if asked["bare"]:
            text = DOCSTRING.sub(":\n", text)
        if asked["first"]:
            text = excerpt(text, asked["first"], asked["last"])
    except (MissingError, FileNotFoundError) as error:
        raise MissingError(f"{error}: {marker}") from None
    language = LANGUAGES[path.suffix]
    name = asked["name"].strip('"') + (" (a part)" if asked["first"] else "")
    caption = f"/* {asked['path']}: {name} */" if language == "c" else f"# {asked['path']}: {name}"
    return f"```{language}\n{caption}\n{textwrap.dedent(text)}```"


def excerpt(text, first, last):
    """From the first line with the one text up to the next line with the other."""
    lines = text.splitlines(keepends=True)
    start = next((i for i, line in enumerate(lines) if first in line), None)
    if start is None:
        raise MissingError(f"no line with {first!r}")
    end = next((i for i in range(start, len(lines)) if last in lines[i]), None)
    if end is None:
        raise MissingError(f"no line with {last!r} from there on")
    return "".join(lines[start:end + 1])


def renew(page, root=ROOT):
    """The text of a page with all quotes as the source is now.

    Raises:
        MissingError: as ``quote``, and if there is a marker without a fence.
    """
    fences = [found["marker"] for found in FENCE.finditer(page)]
    for marker in re.findall(r"^<!-- quoted:.*", page, re.MULTILINE):
        if marker not in fences:
            raise MissingError(f"no fence below {marker}")
    return FENCE.sub(lambda found: f"{found['marker']}\n{quote(found['marker'], root)}", page)


def measure(page):
    """The words of a page outside of fences and comments, and the lines of source that it quotes."""
    quoted = sum(found["content"].count("\n") - 1 for found in FENCE.finditer(page))
    prose = re.sub(r"^```.*?^```$|<!--.*?-->|</?\w+>", "", page, flags=re.DOTALL | re.MULTILINE)
    return len(prose.split()), quoted


def main(arguments=None, root=ROOT):
    """Rewrite or check; the exit code is 1 if a quote is stale or its source is gone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, and fail if a quote is stale")
    check = parser.parse_args(arguments).check
    failed = False
    for path in sorted((root / "docs").glob("*.md")):
        page = path.read_text(encoding="utf-8")
        if "<!-- quoted:" not in page:
            continue
        try:
            renewed = renew(page, root)
        except MissingError as missing:
            print(f"docs/{path.name}: {missing}", file=sys.stderr)
            failed = True
            continue
        words, lines = measure(renewed)
        print(f"docs/{path.name}: {words} words, {lines} quoted lines")
        if check and renewed != page:
            stale = [old["marker"] for old, new in zip(FENCE.finditer(page), FENCE.finditer(renewed), strict=True)
                     if old[0] != new[0]]
            print(f"docs/{path.name}: stale, run python docs/quote.py:", *stale, sep="\n    ", file=sys.stderr)
            failed = True
        elif renewed != page:
            path.write_text(renewed, encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
