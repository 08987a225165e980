"""Compile microtensor's Cython modules, once per instruction-set level.

Metadata and tool settings are in pyproject.toml; this file holds what has to be decided on the machine:
which levels to build and which compiler flags work. A build in place (``build_ext --inplace``, ``pip install -e .``)
makes the machine's own level only.

    MICROTENSOR_LEVELS=v2,v3,v4 pip wheel .     # what a release wheel holds
    MICROTENSOR_SANITIZE=address,undefined      # watch the kernels: see .ci/sanitize
    MICROTENSOR_OPENMP=0                        # one thread, as where the compiler has no OpenMP
    MICROTENSOR_CFLAGS=-Wframe-larger-than=8192 # flags after all others

Another compiler (CC) or other flags compile everything again.
"""

import copy
import hashlib
import multiprocessing
import os
import platform
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
PACKAGE = ROOT / "microtensor"

# GCC and Clang. Not -ffast-math: NaN and infinity keep their meaning.
FLAGS = ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-Wno-unreachable-code"]
SANITIZE = os.environ.get("MICROTENSOR_SANITIZE")
if SANITIZE:            # line numbers, and signed numbers may not wrap around, which Python's own flags allow
    FLAGS += ["-O1", "-g", "-fno-omit-frame-pointer", "-fstrict-overflow"]
    FLAGS += [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=undefined"]
LAST_FLAGS = shlex.split(os.environ.get("MICROTENSOR_CFLAGS", ""))
COMMAND = Path("build") / "command.txt"
TRANSLATED = Path("build") / "cython"
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "cdivision": True,
    "initializedcheck": False,
    "embedsignature": True,
    "auto_pickle": False,
}
BASELINE = "v2"
LEVELS = ("v2", "v3", "v4")  # x86-64-v2: SSE4.2, v3: AVX2 and FMA, v4: AVX-512
FEATURE_OF_LEVEL = {"v4": "__AVX512VL__", "v3": "__AVX2__"}  # predefined by -march=native

HEADERS = {path.name: path.relative_to(ROOT) for path in sorted(PACKAGE.rglob("*.h"))}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)

MODULES = [
    Extension(".".join(path.relative_to(ROOT).with_suffix("").parts), [str(path.relative_to(ROOT))])
    for path in sorted(PACKAGE.rglob("*.pyx"))
]


def check_compiler():
    """Exit with one sentence, before anything else is set up, if C for Python cannot be compiled here."""
    if os.name == "nt":     # setuptools looks for Microsoft's compiler, and says where to get it
        return
    compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.c"
        source.write_text("#include <Python.h>\n")
        command = [*compiler, "-I", sysconfig.get_path("include"), "-c", str(source), "-o", f"{folder}/probe.o"]
        try:
            works = subprocess.run(command, capture_output=True).returncode == 0
        except OSError:
            works = False
    if not works:
        raise SystemExit(
            f"microtensor is compiled from C, and {shlex.join(compiler)} cannot compile for this Python: install a C "
            "compiler and Python's headers (Debian: apt install gcc python3-dev, Fedora: dnf install gcc "
            "python3-devel, macOS: xcode-select --install, Windows: Visual Studio Build Tools with C++), or set CC to "
            "a compiler"
        )


def levels_to_build(compiler, development):
    """The levels named by MICROTENSOR_LEVELS, or else this machine's own, with the baseline unless one develops here.

    Off x86-64 there are none: ().
    """
    if platform.machine().lower() not in ("x86_64", "amd64") or os.name == "nt":
        return ()
    named = os.environ.get("MICROTENSOR_LEVELS")
    if named:
        levels = tuple(level.strip() for level in named.split(","))
        unknown = [level for level in levels if level not in LEVELS]
        if unknown:
            raise SystemExit(f"MICROTENSOR_LEVELS={named}: unknown level {unknown[0]!r}, expected some of {LEVELS}")
        return levels
    macros = subprocess.run(
        [compiler, "-march=native", "-dM", "-E", "-x", "c", os.devnull], capture_output=True, text=True
    ).stdout
    own = next((level for level, macro in FEATURE_OF_LEVEL.items() if re.search(rf"\b{macro}\b", macros)), BASELINE)
    return (own,) if development or own == BASELINE else (BASELINE, own)


def accepts_flag(compiler, *flags):
    """Whether a program that uses OpenMP compiles and links with these flags."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.c"
        source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
        command = [compiler, *flags, str(source), "-o", str(Path(folder) / "probe")]
        return subprocess.run(command, capture_output=True).returncode == 0


def remember(*command):
    """The file that holds a command line, new only where that has changed: what depends on it is compiled again."""
    text = "\n".join(map(str, command)) + "\n"
    if not COMMAND.exists() or COMMAND.read_text() != text:
        COMMAND.parent.mkdir(exist_ok=True)
        COMMAND.write_text(text)
    return str(COMMAND)


def headers_of(source):
    """The package's headers that a C file includes, and those that they include: Cython follows .pxd and .pxi only."""
    found, unread = set(), [Path(source)]
    while unread:
        named = {HEADERS.get(Path(name).name) for name in INCLUDE.findall(unread.pop().read_text())} - {None}
        unread += named - found
        found |= named
    return sorted(map(str, found))


def translate(nthreads):
    """The modules as C: made by Cython, where a hash of what it was made of has changed since.

    Cython itself goes by dates, and in each environment that pip builds in, all of its files and of NumPy's are new.
    """
    import Cython
    import numpy
    from Cython.Build import cythonize
    from Cython.Build.Dependencies import create_dependency_tree

    dependencies = create_dependency_tree().all_dependencies
    translated, stale, hashes = [], [], {}
    for module in MODULES:
        c = TRANSLATED / Path(module.sources[0]).with_suffix(".c")
        made_of = hashlib.sha256(repr((sys.version, Cython.__version__, numpy.__version__, DIRECTIVES)).encode())
        for text in sorted(Path(path).read_bytes() for path in dependencies(module.sources[0])):
            made_of.update(text)
        record = c.with_suffix(".made_of")
        if not c.exists() or not record.exists() or record.read_text() != made_of.hexdigest():
            stale.append(module)
            hashes[record] = made_of.hexdigest()
            record.unlink(missing_ok=True)
        translated.append(Extension(module.name, [str(c)]))
    cythonize(stale, build_dir=str(TRANSLATED), nthreads=nthreads, include_path=[str(ROOT)], force=True,
              compiler_directives=DIRECTIVES)
    for record, made_of in hashes.items():
        record.write_text(made_of)
    return translated


class BuildLevels(build_ext):
    """Translate each .pyx once, then compile its C once per level into microtensor/_isa/<level>/."""

    def initialize_options(self):
        """Compile on all cores by default."""
        super().initialize_options()
        self.parallel = os.cpu_count()

    def finalize_options(self):
        """Replace the list of .pyx modules by one C extension per module and level."""
        super().finalize_options()
        fork = multiprocessing.get_start_method() == "fork"     # others import setup.py
        translated = translate(self.parallel if fork else 0)
        compiler = (os.environ.get("CC") or "cc").split()[0]
        posix = os.name != "nt"
        wanted = posix and os.environ.get("MICROTENSOR_OPENMP") != "0"
        openmp = ["-fopenmp"] if wanted and accepts_flag(compiler, "-fopenmp") else []
        self.command = remember(compiler, *FLAGS, *openmp, *LAST_FLAGS, *map(os.environ.get, ("CFLAGS", "LDFLAGS")))
        levels = levels_to_build(compiler, self.inplace) if posix else ()
        # The long ones first, so that none is compiled alone at the end.
        translated.sort(key=lambda extension: -Path(extension.sources[0]).stat().st_size)
        self.extensions = [
            self._at_level(extension, level, openmp if posix else [], FLAGS if posix else ["/O2"])
            for extension in translated
            for level in (levels or (None,))
            if extension.name != "microtensor._cpu"
        ]
        self.extensions += [self._at_level(e, None, [], []) for e in translated if e.name == "microtensor._cpu"]
        self.distribution.ext_modules = self.extensions
        for extension in self.extensions:
            extension._full_name = self.get_ext_fullname(extension.name)
            extension._links_to_dynamic = False
            extension._needs_stub = False
            self.ext_map[extension._full_name] = extension
            self.ext_map[extension._full_name.split(".")[-1]] = extension
            extension._file_name = self.get_ext_filename(extension._full_name)
            if self.inplace:
                Path(self.get_ext_fullpath(extension.name)).parent.mkdir(parents=True, exist_ok=True)

    def run(self):
        """Compile what is out of date: in place at once, so that what an editable install made is not made again."""
        (super(build_ext, self) if self.inplace else super()).run()
        self._remove_stale()

    def build_extension(self, extension):
        """Compile into a folder of the module's own: its C is compiled for several levels, perhaps at the same time."""
        one = copy.copy(self)
        one.build_temp = str(Path(self.build_temp) / extension.name)
        super(BuildLevels, one).build_extension(extension)

    def _remove_stale(self):
        """Delete compiled modules of an earlier build that are not in this one: moved since, or of another level."""
        made = {Path(self.get_ext_fullpath(extension.name)).resolve() for extension in self.extensions}
        package = Path(self.get_ext_fullpath("microtensor._cpu")).resolve().parent
        for module in package.rglob("*" + sysconfig.get_config_var("EXT_SUFFIX")):
            if module not in made:
                module.unlink()
        for folder in sorted(package.glob("_isa/**/"), reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()

    def _at_level(self, extension, level, openmp, flags):
        import numpy

        name = extension.name
        if level is not None:
            name = name.replace("microtensor.", f"microtensor._isa.{level}.", 1)
            flags = [*flags, f"-march=x86-64-{level}"]
        return Extension(
            name,
            extension.sources,
            include_dirs=[numpy.get_include(), *sorted({str(ROOT / header.parent) for header in HEADERS.values()})],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
            extra_compile_args=[*flags, *openmp, *LAST_FLAGS],
            extra_link_args=[*openmp, *([f"-fsanitize={SANITIZE}"] if SANITIZE else [])],
            depends=[*headers_of(extension.sources[0]), self.command],
        )


if "sdist" not in sys.argv:     # also before metadata is made: pip asks for that first, minutes before it compiles
    check_compiler()
setup(ext_modules=MODULES, cmdclass={"build_ext": BuildLevels})
