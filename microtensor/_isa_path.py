"""Choose the instruction-set level at import: put its folder first on the package's search path.

The compiled modules are built once per level into ``microtensor/_isa/<level>/``. With the right folder first
on ``__path__``, ``import microtensor.core`` (and Cython's ``cimport``) finds that level's module under its
ordinary name, and no other code knows that levels exist. Builds without levels (not x86-64) have no ``_isa``
folder, and the modules lie beside their sources.
"""

import os

# GNU OpenMP reads this when it is loaded, with the first compiled module. Left alone, a thread that waits for another
# spins for milliseconds; where other programs keep a core busy, that made two threads ten times slower than one. So
# many turns are a tenth of a millisecond to one, by processor: longer than a step waits between its parallel loops,
# shorter than a time slice.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")

from microtensor._cpu import supported_levels

_FOLDER = os.path.join(os.path.dirname(__file__), "_isa")


def built_levels():
    """The levels this installation holds, lowest first."""
    return tuple(sorted(name for name in os.listdir(_FOLDER) if name.startswith("v"))) if os.path.isdir(_FOLDER) else ()


def choose_level():
    """The highest level both built and supported, or the one forced by ``MICROTENSOR_ISA``; None without levels.

    Raises ImportError if the forced level was not built or this processor cannot run it.
    """
    built, supported = built_levels(), supported_levels()
    usable = [level for level in built if level in supported]
    forced = os.environ.get("MICROTENSOR_ISA")
    if forced:
        if forced not in usable:
            raise ImportError(
                f"MICROTENSOR_ISA={forced}: this installation holds the levels {list(built)} and this processor runs "
                f"{list(supported)}; unset it, or build that level with MICROTENSOR_LEVELS={forced} pip install ."
            )
        return forced
    return usable[-1] if usable else None


LEVEL = choose_level()


def extend(search_path, *subfolder):
    """Put the chosen level's folder first on a package's ``__path__``."""
    if LEVEL is not None:
        search_path.insert(0, os.path.join(_FOLDER, LEVEL, *subfolder))
