"""The mutants of the backward code: how they are found and planted. The full run is tests/mutation/run.py's own."""

import importlib
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from microtensor.ops.registry import registered_ops

MUTATION = Path(__file__).parent / "mutation"
PACKAGE = MUTATION.parents[1] / "microtensor"


@pytest.fixture(scope="module")
def plant():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(MUTATION))
        yield importlib.import_module("plant")


# Read and edited once for all tests, none of which changes them: a second and a half each time.
@pytest.fixture(scope="module")
def sources(plant):
    return plant.read_sources()


@pytest.fixture(scope="module")
def mutants(plant, sources):
    return plant.candidates(sources)


def test_mutants_cover_every_op_and_family(sources, mutants):
    assert len(mutants) >= 300
    assert {op for mutant in mutants for op in mutant.ops} == {*registered_ops(), "Update"}
    files = {mutant.file for mutant in mutants}
    assert files >= {name for name in sources if name.startswith("ops/")}
    assert files >= {"core.pyx", "foreach.pyx", "kernels/lines.pyx", "kernels/gemm.pyx", "kernels/sums.pxd"}
    assert {"sign", "operator", "dropped term", "dropped factor", "index", "bound", "comparison", "constant",
            "wrong saved value", "needs", "detached"} <= {mutant.kind for mutant in mutants}


def texts():
    """The package's .pyx files without comments."""
    return [re.sub(r"#.*", "", path.read_text()) for path in PACKAGE.rglob("*.pyx")]


@pytest.fixture
def mutated_functions(mutants):
    """The names of all functions with mutants, without their class."""
    return {mutant.function.split(".")[-1] for mutant in mutants}


def test_every_loop_that_a_table_names_has_mutants(mutated_functions):
    """unary, binary, ReductionLoops, AlongDimLoops, Pass, Spread, PieceLoops, and whatever table comes next."""
    tables = [table for text in texts() for table in re.findall(r"^cdef \w+ [A-Z_]+ = \w+\(.*?\)$", text, re.M | re.S)]
    loops = {name for table in tables for name in re.findall(r"\b(\w+)\[(?:float|double)\]", table)}
    assert {"tanh_backward", "mul_backward_b", "sum_backward", "softmax_backward", "ties_columns", "ties_spread",
            "sgd_loop"} <= loops
    assert {name for name in loops if "forward" not in name} <= mutated_functions
    assert "sum_forward" in mutated_functions                # the gradient of what was broadcast


def test_every_job_that_runs_backward_has_mutants(mutated_functions):
    jobs = {name for text in texts() for name in re.findall(r"\bparallel_for\((\w+)", text)} - {"part"}
    assert {"unary_backward_part", "binary_part", "binary_broadcast_part", "along_dim_part", "reduce_tiles",
            "shared_pass_part", "shared_spread_part", "gemm_part", "batch_part", "piece_part"} <= jobs
    assert {name for name in jobs if "forward" not in name} <= mutated_functions


def test_what_is_left_out_walks_for_forward_too(plant, sources):
    """And is swept by test_kernels_sweep.py, which knows every op: what only backward runs may not be left out."""
    calls = plant.Calls(sources)
    forward, backward = set(), set()
    for op in calls.ops:
        forward |= calls.reached([*calls.method(op, "run_forward"), *calls.tables(op)], op, forward=True)
        entries = [f for name in plant.ENTRIES for f in calls.method(op, name)]
        backward |= calls.reached([*entries, *calls.tables(op)], op, forward=False)
    assert {f.name for f in forward & backward} >= plant.WALKS


def test_mutants_are_edits_of_one_statement(sources, mutants):
    for mutant in mutants:
        text, statement = sources[mutant.file].text, mutant.statement
        assert statement.start <= mutant.start <= mutant.end <= statement.end
        assert text.count("\n", 0, statement.start) + 1 == mutant.line
        assert mutant.original != mutant.mutated


def test_choice_is_seeded_and_reaches_every_function(plant, mutants):
    functions = {(mutant.file, mutant.function) for mutant in mutants}
    chosen = plant.choose(mutants, 300, seed=0)
    assert chosen == plant.choose(mutants, 300, seed=0) != plant.choose(mutants, 300, seed=1)
    assert len({(mutant.file, mutant.start, mutant.end, mutant.text) for mutant in chosen}) == len(chosen) == 300
    assert {(mutant.file, mutant.function) for mutant in chosen} == functions
    assert [mutant.number for mutant in chosen] == list(range(1, 301))


SOURCE = '''
cimport numpy as cnp

cnp.import_array()


cdef void scale_forward(const real* x, real* y, Py_ssize_t n) noexcept nogil:
    y[0] = x[0] + x[0]


cdef void scale_backward(const real* x, const real* g, real* dx, Py_ssize_t n, real s) noexcept nogil:
    cdef Py_ssize_t i, m = n // 2
    for i in range(n):
        dx[i] = <real>1 - g[i] * s if x[i] > 0 else 0        # a comment with a * b


cdef UnaryLoops SCALE_LOOPS = unary(
    INPUT, scale_forward[float], scale_backward[float])


cdef struct ScaleJob:
    const UnaryLoops* loops
    const void* x
    const void* g


cdef void scale_part(void* job_pointer, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef ScaleJob* job = <ScaleJob*>job_pointer
    job.loops.backward_float(<const float*>job.x, <const float*>job.g, last - first)


cdef class Scale(Unary):
    cdef int reads(self) noexcept:
        return INPUT | OTHER

    cdef int run_backward(self) except -1:
        cdef ScaleJob job
        parallel_for(scale_part, &job, 1, UNIT, ELEMENTS_PER_THREAD)

    cdef int give_gradients(self, Engine engine) except -1:
        engine.give(self, 0, self.da)

    def rule(self, Tensor g):
        return (g * self.s * self.input(0) * self.input(1).detach(),)


def scale(Tensor x):
    cdef Scale op = Scale.__new__(Scale)
    return op.apply(&SCALE_LOOPS, x)
'''


def test_edits_of_a_loop(plant, tmp_path):
    (tmp_path / "scale.pyx").write_text(SOURCE)
    found = {mutant.mutated for mutant in plant.candidates(plant.read_sources(tmp_path))}
    assert found >= {
        "dx[i] = <real>1 + g[i] * s if x[i] > 0 else 0",
        "dx[i] = <real>1 - g[i] / s if x[i] > 0 else 0",
        "dx[i] = <real>1 - s if x[i] > 0 else 0",
        "dx[i] = <real>1 - g[i + 1] * s if x[i] > 0 else 0",
        "dx[i] = <real>1 - x[i] * s if x[i] > 0 else 0",
        "dx[i] = <real>1 - g[i] * s if x[i] >= 0 else 0",
        "dx[i] = 0 if x[i] > 0 else 0",
        "dx[i] = <real>1 - g[i] * s if x[i] > 0 else <real>1 - g[i] * s",
        "for i in range(n - 1):",
        "for i in range(1, n):",
        "cdef UnaryLoops SCALE_LOOPS = unary( OUTPUT, scale_forward[float], scale_backward[float])",
        "cdef UnaryLoops SCALE_LOOPS = unary( NOTHING, scale_forward[float], scale_backward[float])",
        "job.loops.backward_float(<const float*>job.g, <const float*>job.g, last - first)",
        "job.loops.backward_float(<const float*>job.x, <const float*>job.g, last)",
        "return INPUT | NOTHING",
        "return OUTPUT | OTHER",
        "engine.give(self, 1, self.da)",
        "engine.give(self, 0, self.db)",
        "pass",
        "return (g / self.s * self.input(0) * self.input(1).detach(),)",
        "return (g * self.s * self.input(0).detach() * self.input(1).detach(),)",
    }
    assert not [text for text in found if text.startswith("y[0]")]          # forward alone
    assert not [text for text in found if ".detach().detach()" in text]


def test_planted_source_holds_every_mutant_and_the_original(plant, tmp_path):
    (tmp_path / "scale.pyx").write_text(SOURCE)
    source = plant.read_sources(tmp_path)["scale.pyx"]
    mutants = plant.candidates({"scale.pyx": source})
    text = plant.planted(source, mutants)
    for mutant in mutants:
        assert text.count(f"_mutant == {mutant.number} ") + text.count(f"_mutant == {mutant.number}:") >= 1
    right, wrong = re.search(r"\(&SCALE_LOOPS_(\d+) if _mutant == (\d+) else ", text).groups()
    assert right == wrong
    assert f"cdef UnaryLoops SCALE_LOOPS_{wrong} = unary(" in text
    assert plant.planted(source, []).replace(plant.SELECTED, "").replace(plant.READS, "") == SOURCE


@pytest.mark.parametrize(("name", "function"), [("tanh", np.tanh), ("sigmoid", lambda x: 1 / (1 + np.exp(-x)))])
def test_every_mutant_of_a_loop_is_caught_by_finite_differences(plant, sources, mutants, rng, name, function):
    """Without a compiler: the loops of tanh and sigmoid are Python, once casts and declarations are gone."""
    source = sources["ops/activation.pyx"]
    loop = next(f for f in source.functions if f.name == f"{name}_backward")
    start, end = source.starts[loop.lines.start], source.starts[loop.lines.stop]
    n, h = 7, 1e-6
    x, g = rng.standard_normal(n), np.append(rng.standard_normal(n), np.nan)
    numeric = g[:n] * (function(x + h) - function(x - h)) / (2 * h)

    def caught(first, last, text):
        """Whether dx is wrong with this text in place of the source's from first to last."""
        body = plant.CAST.sub("", source.text[start:first] + text + source.text[last:end])
        lines = [line for line in body.splitlines() if not line.strip().startswith("cdef")]
        place = {"y": np.append(function(x), np.nan), "g": g, "dx": np.full(n + 1, np.nan), "n": n}
        exec(textwrap.dedent("\n".join(lines)), place)
        return not np.allclose(place["dx"][:n], numeric, rtol=1e-7, atol=1e-8)

    assert not caught(end, end, "")
    of_loop = [mutant for mutant in mutants if mutant.function == loop.name]
    assert {"sign", "operator", "dropped factor", "dropped term", "index", "bound"} <= {m.kind for m in of_loop}
    for mutant in of_loop:
        assert caught(mutant.start, mutant.end, mutant.text), mutant.mutated


def test_known_equivalents_are_mutants_that_exist(mutants):
    keys = {mutant.key for mutant in mutants}
    groups = json.loads((MUTATION / "equivalent.json").read_text())
    for group in groups:
        assert group["reason"]
        for mutant in group["mutants"]:
            assert (mutant["file"], mutant["function"], mutant["original"], mutant["mutated"]) in keys, mutant


TASK = PACKAGE / "learn" / "exercises" / "mutant"


def test_mutants_of_the_exercise_exist_and_are_quoted_in_its_task(mutants):
    """What tests/mutation/run.py --exercise measured; it says so if a line has changed since."""
    keys = {mutant.key for mutant in mutants}
    table = json.loads((TASK / "mutants.json").read_text())
    blocks = re.findall(r"^# (\w)    (\S+), (\S+): .*\n((?:#.*\n)+)", (TASK / "exercise.py").read_text(), re.MULTILINE)
    assert [letter for letter, *_ in blocks] == list(table)
    for letter, file, function, lines in blocks:
        quoted = {"-": [], "+": [], " ": []}
        for mark, text in re.findall(r"^#      ([-+ ])(.*)$", lines, re.MULTILINE):
            quoted[mark].append(text.strip())
        mutant = table[letter]
        assert (file, function) == (mutant["file"], mutant["function"])
        assert (" ".join(quoted["-"]), " ".join(quoted["+"])) == (mutant["original"], mutant["mutated"])
        assert (file, function, mutant["original"], mutant["mutated"]) in keys
        source = [line.strip() for line in (PACKAGE / file).read_text().splitlines()]
        assert quoted["-"] and quoted[" "] and set(quoted["-"] + quoted[" "]) <= set(source)


def test_known_equivalent_of_the_exercise_has_its_reason():
    table = json.loads((TASK / "mutants.json").read_text()).values()
    known = [mutant for group in json.loads((MUTATION / "equivalent.json").read_text()) for mutant in group["mutants"]]
    for mutant in table:
        listed = {key: mutant[key] for key in ("file", "function", "original", "mutated")} in known
        assert listed == (not mutant["killed_by"]), mutant


def test_list_names_the_mutants_of_an_op():
    done = subprocess.run(
        [sys.executable, str(MUTATION / "run.py"), "--list", "--op", "Sigmoid"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "sigmoid_backward" in done.stdout
    assert "tanh_backward" not in done.stdout
