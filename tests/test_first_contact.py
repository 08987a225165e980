"""The first hour: installing, README's lines, and what somebody new to microtensor writes."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


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
