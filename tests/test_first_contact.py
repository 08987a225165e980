"""The first hour: installing, README's lines, and what somebody new to microtensor writes."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDS_SETUP = pytest.mark.skipif(
    os.name == "nt" or importlib.util.find_spec("setuptools") is None,
    reason="setup.py needs setuptools, which looks for Microsoft's compiler itself",
)


def run(*command, **options):
    """The finished process."""
    return subprocess.run(command, capture_output=True, text=True, **options)


# -- installing


@pytest.mark.parametrize("place", ["beside the clone", "in the clone", "elsewhere"])
def test_import_finds_the_package_from_every_place(place, tmp_path):
    """A folder of the package's name, as a clone is seen from the folder above it, does not stand for the package."""
    if place == "beside the clone":
        (tmp_path / "microtensor").mkdir()
    folder = ROOT if place == "in the clone" else tmp_path
    process = run(sys.executable, "-c", "import microtensor as mt; print(mt.tensor([1.0]))", cwd=folder)
    assert process.stdout == "tensor([1.])\n", process.stderr


@NEEDS_SETUP
@pytest.mark.parametrize("environment", [{"CC": "nonexistent"}, {"PATH": ""}], ids=["CC", "PATH"])
def test_missing_compiler_is_one_sentence_before_anything_else(environment, tmp_path):
    """egg_info is the first thing that pip asks setup.py for."""
    inherited = {name: value for name, value in os.environ.items() if name != "CC"}
    process = run(sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path), cwd=ROOT,
                  env={**inherited, **environment})
    assert process.returncode == 1 and not process.stdout and not any(tmp_path.iterdir())
    (line,) = process.stderr.splitlines()
    for system in ("Debian: apt install", "Fedora: dnf install", "macOS: xcode-select", "Windows: Visual Studio"):
        assert system in line


@NEEDS_SETUP
def test_source_archive_needs_no_compiler():
    environment = {**os.environ, "CC": "nonexistent"}
    process = run(sys.executable, "setup.py", "-q", "sdist", "--help", cwd=ROOT, env=environment)
    assert "nonexistent" not in process.stderr
