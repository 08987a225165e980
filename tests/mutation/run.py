"""Plant mutations in the backward code of the ops, and see which of them the test suite notices.

    python tests/mutation/run.py --list                     what would be planted
    python tests/mutation/run.py                            build, run all, name the survivors
    python tests/mutation/run.py --op Softmax               only mutants of one op
    python tests/mutation/run.py --mutant 17                only one, with the failing test's output
    python tests/mutation/run.py --write docs/mutation.md   and write the table there
    python tests/mutation/run.py --exercise                 run those of the exercise `mutant`, and write its table

All mutants are in one build, of a copy of the package in a folder of its own, where a number selects one of them. The
tests are collected once; each mutant is a fork of that process, in which the number is set and tests are run until
one fails: those of the ops concerned (tests/test_ops.py), then all others that reach a kernel. See docs/mutation.md.
"""

import argparse
import collections
import hashlib
import importlib
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import plant

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
EQUIVALENT = HERE / "equivalent.json"
EXERCISE = ROOT / "microtensor" / "learn" / "exercises" / "mutant" / "mutants.json"
FIRST = "test_ops.py"
WIDER = (
    "test_optim.py", "test_clip.py", "test_arithmetic.py", "test_shape.py", "test_reduce.py", "test_losses.py",
    "test_kernels_sweep.py", "test_layers.py", "test_gemm.py", "test_engine.py", "test_tensor.py", "test_threads.py",
)  # fmt: skip
# About processes, not kernels: those that a test starts have no mutant selected.
ASIDE = "not fork and not multiprocessing and not environment and not affinity and not level and not instruction_sets"
BATCH_SECONDS = 50
# Of processor time for one mutant, and a second more for each of its ops' own tests: more is an endless loop.
OWN_SECONDS, WIDER_SECONDS = 10, 120
BEGIN, END = "<!-- the table: tests/mutation/run.py writes it -->", "<!-- end of the table -->"


# -- the build ----------------------------------------------------------------------------------------------------


def build(folder, sources, mutants, through):
    """A copy of the package with the mutants in it, compiled quickly at the lowest level."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.rmtree(folder / "microtensor", ignore_errors=True)       # what an earlier build left there
    shutil.copytree(
        ROOT / "microtensor", folder / "microtensor", ignore=shutil.ignore_patterns("_isa", "*.so", "__pycache__")
    )
    for name, text in plant.SELECTOR.items():
        (folder / "microtensor" / name).write_text(text)
    for name, source in sources.items():
        chosen = [mutant for mutant in mutants if mutant.file == name]
        if chosen:
            (folder / "microtensor" / name).write_text(plant.planted(source, chosen))
    # Forks compute on one thread, as their parent's team is gone; here the parent never has one.
    threads = folder / "microtensor" / "kernels" / "threads.pyx"
    threads.write_text(threads.read_text().replace("os.register_at_fork(after_in_child=_after_fork)", "pass"))
    setup = folder / "setup.py"
    setup.write_text(setup.read_text().replace('"-O3"', '"-O1"'))
    command = [*through, sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "MICROTENSOR_LEVELS": "v2"}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"the mutants do not compile:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
    (folder / "mutants.json").write_text(identity(mutants))


def identity(mutants):
    """What tells whether a build holds these mutants under these numbers, of the package as it is."""
    sources = {path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
               for suffix in ("pyx", "pxd", "pxi", "h") for path in sorted((ROOT / "microtensor").rglob(f"*.{suffix}"))}
    return json.dumps([sources, [[mutant.number, *mutant.key] for mutant in mutants]])


def is_built(folder, mutants):
    """Whether the folder holds a build of exactly these mutants."""
    path = folder / "mutants.json"
    return path.exists() and path.read_text() == identity(mutants)


# -- running ------------------------------------------------------------------------------------------------------


class ForkForEachMutant:
    """A pytest plugin: in place of the loop over the tests, a loop over mutants, each in a fork with its own tests."""

    def __init__(self, mutants, deadline, verbose):
        self.mutants, self.deadline, self.verbose = mutants, deadline, verbose
        self.results, self.failed = {}, None

    def pytest_runtest_logreport(self, report):
        if report.failed and self.failed is None:
            self.failed = report.nodeid
            if self.verbose:
                print(report.longreprtext, file=sys.__stdout__, flush=True)

    def pytest_runtestloop(self, session):
        for mutant in self.mutants:
            if self.results and time.monotonic() > self.deadline:
                break
            self.results[mutant["number"]] = self.run(session, mutant)
        return True

    def run(self, session, mutant):
        """By what the mutant was killed; "" if it survived."""
        limit = WIDER_SECONDS if mutant["wider"] else OWN_SECONDS + len(mutant["ops"])
        return in_fork(mutant["number"], limit, self.verbose, lambda: self.first_failure(session, mutant))

    def first_failure(self, session, mutant):
        """The first of the mutant's tests that fails, or ""."""
        own, wider = tests_for(session.items, mutant["ops"])
        items = wider if mutant["wider"] else own
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                break
        return self.failed or ""


def in_fork(number, seconds, verbose, function):
    """The text that a function returns in a fork, where a mutant is selected; or how the fork ended otherwise."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds) if number else (-1, -1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if not verbose:
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
        importlib.import_module("microtensor.mutant").select(number)
        os.write(writing, function().encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return "an endless loop" if name in ("SIGXCPU", "SIGKILL") else f"a crash ({name})"
    return text


def tests_for(items, ops):
    """The tests for a mutant of these ops, in order: the ops' own rows in the registry's tests, and all other files'.

    Without ops, for the unmutated code: all rows. A test whose parameters name ops is left out if none is among these.
    """
    from microtensor.ops.registry import registered_ops

    own, wider = [], []
    for item in items:
        named = set(re.split(r"[\[\]-]", item.name)) & set(registered_ops())
        if not ops or not named or named & set(ops):
            (own if item.path.name == FIRST else wider).append(item)
    order = {name: i for i, name in enumerate(WIDER)}
    names = [op.lower() for op in ops]
    wider.sort(key=lambda item: (not any(name in item.name.lower().replace("_", "") for name in names),
                                 order[item.path.name]))  # fmt: skip
    return own, wider


def figures(name):
    """What `microtensor gradcheck` finds for an op, by column, as JSON; infinity where a check raises."""
    from microtensor.gradcheck import op
    from microtensor.ops.registry import registered_ops, samples_of

    found = {}
    for column in op.LIMITS:
        try:
            figure = max(getattr(op, f"{column}_error")(sample) for sample in samples_of(registered_ops()[name]))
        except Exception:
            figure = float("inf")
        found[column] = f"{figure:.0e}" if figure else "0"
    return json.dumps(found)


def work(folder, verbose):
    """In a process of its own, with the mutated package first on the path: run what the file asks for."""
    import pytest

    import microtensor

    assert Path(microtensor.__file__).is_relative_to(folder), microtensor.__file__
    asked = json.loads((folder / "asked.json").read_text())
    if "op" in asked[0]:
        found = {m["number"]: in_fork(m["number"], WIDER_SECONDS, verbose, lambda m=m: figures(m["op"])) for m in asked}
        (folder / "answer.json").write_text(json.dumps(found))
        return
    plugin = ForkForEachMutant(asked, time.monotonic() + BATCH_SECONDS, verbose)
    tests = [str(ROOT / "tests" / name) for name in (FIRST, *WIDER)]
    options = ["-q", "-s", "-m", "not slow", "-k", ASIDE, "-n", "0", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    pytest.main([*options, *tests], [plugin])
    (folder / "answer.json").write_text(json.dumps(plugin.results))


def run_mutants(folder, mutants, through, verbose=False):
    """By what each mutant was killed, by number: a test, a crash, or "" for a survivor."""
    results = {}
    for wider in (False, True):
        # First of all the tests must pass as things are.
        left = [{"number": 0, "ops": [], "wider": wider}]
        left += [{"number": m.number, "ops": m.ops, "wider": wider} for m in mutants if not results.get(m.number)]
        while left:
            answer = run_batch(folder, left, through, verbose)
            left = [mutant for mutant in left if mutant["number"] not in answer]
            if answer.pop(0, ""):
                raise SystemExit("the tests fail without a mutant selected; with --verbose they say why")
            results |= answer
            (folder / "results.json").write_text(json.dumps(results))
            print(f"{len(results)} of {len(mutants)} run, {list(results.values()).count('')} survive", flush=True)
    return results


def run_exercise(folder, mutants, through, verbose):
    """Write down for each mutant of the exercise what `microtensor gradcheck` prints, and which test kills it."""
    table = json.loads(EXERCISE.read_text())
    number = {mutant.key: mutant.number for mutant in mutants}
    numbers = {letter: number[key_of(entry)] for letter, entry in table.items()}
    asked = [{"number": numbers[letter], "op": entry["op"]} for letter, entry in table.items()]
    found = run_batch(folder, asked, through, verbose)
    killers = run_mutants(folder, mutants, through, verbose)
    for letter, entry in table.items():
        entry["figures"] = json.loads(found[numbers[letter]])
        entry["killed_by"] = _killer(killers[numbers[letter]])
    EXERCISE.write_text(json.dumps(table, indent=2) + "\n")
    print(f"wrote {EXERCISE}")


def run_batch(folder, asked, through, verbose):
    """Run as many of the mutants asked for as there is time for; at least one."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "MICROTENSOR_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    environment.pop("MICROTENSOR_ISA", None)
    (folder / "asked.json").write_text(json.dumps(asked))
    (folder / "answer.json").unlink(missing_ok=True)
    command = [*through, sys.executable, str(HERE / "run.py"), "--work", str(folder), *["--verbose"] * verbose]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=not verbose, text=True)
    if not (folder / "answer.json").exists():
        raise SystemExit(f"the tests did not run:\n{done.stdout}\n{done.stderr}")
    return {int(number): by for number, by in json.loads((folder / "answer.json").read_text()).items()}


# -- reporting ----------------------------------------------------------------------------------------------------


def equivalent_mutants():
    """The mutants that are known to change nothing: from their key to the reason."""
    groups = json.loads(EQUIVALENT.read_text())
    return {key_of(mutant): group["reason"] for group in groups for mutant in group["mutants"]}


def key_of(entry):
    """The key of a mutant that a JSON file describes."""
    return entry["file"], entry["function"], entry["original"], entry["mutated"]


def describe(mutant):
    """A mutant in four lines."""
    return (
        f"mutant {mutant.number}: {mutant.file}:{mutant.line}, {mutant.function}, {mutant.kind}\n"
        f"    -  {mutant.original}\n    +  {mutant.mutated}"
    )


def table(mutants, results, seed):
    """What the page shows."""
    known = equivalent_mutants()
    lines = ["| source | functions | mutants | killed | equivalent | survive |", "|---|---|---|---|---|---|"]
    totals = collections.Counter()
    by_file = collections.defaultdict(list)
    for mutant in mutants:
        by_file[mutant.file].append(mutant)
    for file, group in by_file.items():
        count = collections.Counter(fate(mutant, results, known) for mutant in group)
        totals += count
        functions = len({mutant.function for mutant in group})
        lines.append(f"| {file} | {functions} | {len(group)} | {count['killed']} | {count['equivalent']} | "
                     f"{count['survives']} |")  # fmt: skip
    functions = len({(mutant.file, mutant.function) for mutant in mutants})
    lines.append(f"| all | {functions} | {len(mutants)} | {totals['killed']} | {totals['equivalent']} | "
                 f"{totals['survives']} |")  # fmt: skip
    kinds = collections.defaultdict(collections.Counter)
    for mutant in mutants:
        kinds[mutant.kind][fate(mutant, results, known)] += 1
    lines += ["", "| kind of mutation | mutants | killed | equivalent | survive |", "|---|---|---|---|---|"]
    for kind in sorted(kinds):
        count = kinds[kind]
        lines.append(f"| {kind} | {count.total()} | {count['killed']} | {count['equivalent']} | {count['survives']} |")
    share = totals["killed"] / max(totals["killed"] + totals["survives"], 1)
    killers = collections.Counter(_killer(results[m.number]) for m in mutants if results[m.number])
    lines += ["", f"Of the {totals['killed'] + totals['survives']} mutants that are not equivalent, "
              f"{totals['killed']} are killed: {100 * share:.1f} %. (Seed {seed}.)", ""]  # fmt: skip
    lines += ["| killed by | mutants |", "|---|---|"]
    lines += [f"| {killer} | {count} |" for killer, count in sorted(killers.items(), key=lambda k: (-k[1], k[0]))]
    reasons = collections.defaultdict(list)
    for mutant in mutants:
        if fate(mutant, results, known) == "equivalent":
            reasons[known[mutant.key]].append(mutant)
    lines += ["", "### Equivalent mutants", ""]
    for reason, group in reasons.items():
        for mutant in group:
            lines.append(f"- {mutant.function} ({mutant.file}): `{mutant.mutated}` for `{mutant.original}`")
        lines += ["", *textwrap.wrap(f"  {reason}", 120, subsequent_indent="  "), ""]
    survivors = [mutant for mutant in mutants if fate(mutant, results, known) == "survives"]
    if survivors:
        lines += ["### Survivors", "", "```", *[describe(mutant) for mutant in survivors], "```"]
    return "\n".join(lines).rstrip()


def fate(mutant, results, known):
    """What became of a mutant."""
    return "killed" if results[mutant.number] else "equivalent" if mutant.key in known else "survives"


def _killer(by):
    return by.split("::")[-1].split("[")[0] if "::" in by else by.split(" (")[0]


def write_page(path, text):
    """Put the table between the page's markers."""
    page = path.read_text()
    before, _, rest = page.partition(BEGIN)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")


def main():
    """Choose, build, run, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500, help="how many mutants to plant (500)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice among the candidates (0)")
    parser.add_argument("--list", action="store_true", help="print the mutants; build nothing")
    parser.add_argument("--mutant", type=int, action="append", help="run only this one, and print why it fails")
    parser.add_argument("--op", help="run only the mutants of this op")
    parser.add_argument("--write", type=Path, help="the page whose table to replace")
    parser.add_argument("--exercise", action="store_true", help=f"write {EXERCISE.relative_to(ROOT)}")
    parser.add_argument("--folder", type=Path, help="where to build; kept, and used again for the same mutants")
    parser.add_argument("--through", default="", help="a command to run the build and each batch through, such as nice")
    parser.add_argument("--verbose", action="store_true", help="print the failing tests")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work, args.verbose)
        return 0
    sources = plant.read_sources()
    candidates = plant.candidates(sources)
    mutants = plant.choose(candidates, args.count, args.seed)
    if args.exercise:
        keys = {key_of(entry) for entry in json.loads(EXERCISE.read_text()).values()}
        mutants = plant.renumbered({mutant.key: mutant for mutant in candidates if mutant.key in keys}.values())
        if len(mutants) < len(keys):
            parser.error(f"no mutants any more: {keys - {mutant.key for mutant in mutants}}")
    selected = [mutant for mutant in mutants if not args.mutant or mutant.number in args.mutant]
    selected = [mutant for mutant in selected if not args.op or args.op in mutant.ops]
    if not selected:
        parser.error("no mutant is selected: see --list")
    if args.list:
        print("\n".join(describe(mutant) for mutant in selected))
        return 0
    if args.write and selected != mutants:
        parser.error("--write needs a run of all mutants")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        through = shlex.split(args.through)
        if not is_built(folder, mutants):
            started = time.monotonic()
            build(folder, sources, mutants, through)
            print(f"{len(mutants)} mutants built in {time.monotonic() - started:.0f} s", flush=True)
        if args.exercise:
            run_exercise(folder, mutants, through, args.verbose)
            return 0
        started = time.monotonic()
        results = run_mutants(folder, selected, through, args.verbose or bool(args.mutant))
        print(f"{len(results)} mutants run in {time.monotonic() - started:.0f} s")
    known = equivalent_mutants()
    survivors = [mutant for mutant in selected if fate(mutant, results, known) == "survives"]
    for mutant in selected:
        if mutant in survivors:
            print(describe(mutant))
        elif args.mutant:
            print(f"{describe(mutant)}\n    killed by {results[mutant.number] or 'nothing: it is equivalent'}")
    stale = [key for m in selected if results[m.number] for key in [m.key] if key in known]
    for key in stale:
        print(f"killed, though {EQUIVALENT.name} says that it is equivalent: {key}")
    count = len(selected) - len(survivors)
    print(f"{count} of {len(selected)} mutants are killed or known to be equivalent; {len(survivors)} survive")
    if args.write:
        write_page(args.write, table(mutants, results, args.seed))
    return 1 if survivors or stale else 0


if __name__ == "__main__":
    sys.exit(main())
