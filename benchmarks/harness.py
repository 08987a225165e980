"""What the benchmarks share: processes that take turns, the machine's description, tables, JSON files, figures.

A script measures each program in a process of its own: the script again, with ``--serve``. The parent asks, the child
answers, a JSON line each. The processes take turns (A B A B ...), so that a machine whose speed drifts slows all of
them alike; what counts is the ratio within a round, and its median over the rounds.
"""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

PACKAGES = (
    "microtensor", "numpy", "torch", "jax", "jaxlib", "scikit-learn", "autograd", "mygrad", "micrograd",
    "onnxruntime", "matplotlib"
)

END = "<!-- end -->"        # of what a benchmark has written into a page

DISTURBED = 1.1  # times a program's shortest time so far: a longer one says that somebody else used the processor, ...
TRIES = 5  # ... and is measured again, so many times in all

PAUSE = 0.12  # seconds before a turn: after its last call OpenBLAS's team of threads spins for a tenth of a second


# -- arguments --------------------------------------------------------------------------------------------------------


def parser(description, rounds, page=False):
    """The arguments that every script has; with page --write, for one that has a table in a page."""
    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=positive, default=rounds, help=f"turns of each process (default {rounds})")
    arguments.add_argument("--seconds", type=float, default=0.2, help="length of a turn (default 0.2)")
    arguments.add_argument("--output", type=Path, default=Path("runs/benchmarks"),
                           help="folder of the JSON file and the figure (default runs/benchmarks)")
    arguments.add_argument("--serve", help=argparse.SUPPRESS)
    if page:
        arguments.add_argument("--write", type=Path, metavar="PAGE",
                               help="put the table between the marks of this page")
    return arguments


def positive(text):
    """An int of at least 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def installed(names):
    """Those of the modules that can be imported."""
    return [name for name in names if importlib.util.find_spec(name)]


def present(needs, names=None):
    """The programs, by default all, of which the modules that they need are installed; says which are not.

    Args:
        needs: for each program, the names of modules.
        names: those that are wanted beside microtensor.
    """
    found = []
    for name in needs if names is None else ["microtensor", *names]:
        missing = [module for module in needs[name] if not installed([module])]
        if missing:
            print(f"{name}: skipped: {missing[0]} is not installed (pip install -e '.[benchmark]')")
        else:
            found.append(name)
    return found


def cores():
    """How many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_counts():
    """One, and all."""
    return sorted({1, cores()})


# -- processes --------------------------------------------------------------------------------------------------------


class Runner:
    """A child process: the script again, with ``--serve name``, and with more in its environment, a variant."""

    def __init__(self, script, name, threads=1, environment=None, variant=""):
        self.name, self.threads, self.form = name, threads, f"{threads} {variant}".strip()
        environment = {**os.environ, **(environment or {})}
        for library in ("OMP", "OPENBLAS", "MKL", "MICROTENSOR"):
            environment[f"{library}_NUM_THREADS"] = str(threads)
        self.process = subprocess.Popen(
            [sys.executable, script, "--serve", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )

    def ask(self, do, **arguments):
        """Have the child call one of its functions, and wait for the result."""
        self.process.stdin.write(json.dumps([do, arguments]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the process of {self.name} with {self.threads} threads died; its error is above")
        return json.loads(line)

    def close(self):
        """Let the process end."""
        self.process.stdin.close()
        self.process.wait()


def serve(functions):
    """The child's side: call the functions by name, as the parent asks, until it closes the pipe."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not look like a reply
    for line in sys.stdin:
        do, arguments = json.loads(line)
        print(json.dumps(functions[do](**arguments)), file=replies, flush=True)


def seconds_per_call(call, seconds):
    """The mean time of a call, over a turn of so many seconds, after a tenth of that to warm the caches."""
    stop = time.perf_counter() + seconds / 10
    call()
    while time.perf_counter() < stop:
        call()
    count, group, start = 0, 1, time.perf_counter()
    while True:
        for _ in range(group):
            call()
        count += group
        now = time.perf_counter()
        if now >= start + seconds:
            return (now - start) / count
        group = max(1, int(count * 1e-4 / (now - start)))  # look at the clock every 0.1 ms, not at every call


def in_turn(runners, rounds, do, **arguments):
    """Each runner's answers, one per round; within a round the runners take turns."""
    answers = {runner: [] for runner in runners}
    for _ in range(rounds):
        for runner in runners:
            answers[runner].append(turn(runner, answers[runner], do, **arguments))
    return answers


def turn(runner, before, do, **arguments):
    """One answer; a time that is disturbed, by those before it, is measured again, and the shortest counts."""
    answer = None
    for _ in range(TRIES):
        time.sleep(PAUSE)
        again = runner.ask(do, **arguments)
        answer = again if answer is None else min(answer, again)
        if do != "time" or not before or answer <= DISTURBED * min(before):
            break
    return answer


def compared(answers):
    """Of in_turn's seconds, by program: those of each form, the fastest form, and its ratio to microtensor's."""
    programs = {}
    for runner, turns in answers.items():
        programs.setdefault(runner.name, {"seconds": {}})["seconds"][runner.form] = turns
    for program in programs.values():
        program["best"] = min(program["seconds"], key=lambda form: statistics.median(program["seconds"][form]))
    for program in programs.values():
        program["ratio"] = paired(best_turns(program), best_turns(programs["microtensor"]))
    return programs


def best_turns(program):
    """The turns of its fastest form: the number of threads, and the variant."""
    return program["seconds"][program["best"]]


# -- figures in words -------------------------------------------------------------------------------------------------


def paired(theirs, ours):
    """The ratios round by round: median, and the quartiles as their spread."""
    ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return {"median": statistics.median(ratios), "low": low, "high": high}


def geometric_mean(values):
    """The mean for ratios."""
    return statistics.geometric_mean(values)


def table(header, rows):
    """Rows of cells as aligned text: the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.rjust(width) if column else cell.ljust(width)
                  for column, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in cells
    )


def microseconds(seconds):
    """Three digits, or as many as there are before the point."""
    value = seconds * 1e6
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def kernels():
    """The BLAS libraries in this process, each with the kernels that it chose; nothing without threadpoolctl."""
    if not installed(["threadpoolctl"]):
        return []
    import threadpoolctl

    found = [f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
             for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
    if "torch" in sys.modules:  # MKL is linked into it, where threadpoolctl cannot see it; it says what it is itself
        program = "import torch; torch.ones(2, 2) @ torch.ones(2, 2)"
        done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "MKL_VERBOSE": "1"},
                              capture_output=True, text=True)
        found = re.findall(r"^MKL_VERBOSE (oneMKL .*), \w+ [\d.]+GHz", done.stdout, re.MULTILINE)
    return found


# -- the machine ------------------------------------------------------------------------------------------------------


def machine():
    """Everything about the machine that a reader of the figures may ask for."""
    import numpy

    from microtensor import __version__, _cpu, _isa_path
    from microtensor.kernels import threads

    return {
        "processor": _first_line_after("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": cores(),
        "instruction_sets": list(_cpu.supported_levels()),
        "caches": _caches(),
        "memory": _first_line_after("/proc/meminfo", "MemTotal"),
        "system": platform.platform(),
        "compiler": threads.compiler_version(),
        "microtensor_level": _isa_path.LEVEL,
        "blas": "{name} {version}".format(**numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]),
        "versions": {"python": platform.python_version(), **_versions(), "microtensor": __version__},
    }


def describe(found):
    """The machine in one line."""
    level = f", level {found['microtensor_level']}" if found["microtensor_level"] else ""
    return f"{found['processor']}, {found['cores']} cores{level}; Python {found['versions']['python']}"


def processor_flags():
    """The instruction sets that the system names; nothing where it names none."""
    return set((_first_line_after("/proc/cpuinfo", "flags") or "").split())


def _first_line_after(path, key):
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), None)


def _caches():
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        found[f"L{level} {kind.lower()}"] = size
    return found


def _versions():
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


# -- what is kept -----------------------------------------------------------------------------------------------------


def write(options, name, results):
    """Write the results, with the machine and the date, as JSON; return what was written."""
    document = {
        "benchmark": name,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "rounds": options.rounds,
        "machine": machine(),
        **results,
    }
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"wrote {path}")
    return document


def report(options, name, results, table):
    """Write the results as JSON, print the table that a function makes of them, and put it into the page of --write.

    Returns what was written as JSON.
    """
    document = write(options, name, results)
    text = table(document)
    print(text)
    if options.write:
        put_between_marks(options.write, f"<!-- written by benchmarks/{name}.py -->", text)
    return document


def page_table(title, document, columns):
    """A Markdown table with a row per program: in each column a figure, and how many times microtensor's that is.

    Args:
        title: what the figures are.
        document: what was written as JSON.
        columns: for each column's head, by program, the figure and the ratio, as texts; not every program has each.
    """
    lines = [f"{title} ({describe(document['machine'])}, {document['date'][:10]}):", "",
             "| | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for name in dict.fromkeys(name for column in columns.values() for name in column):
        cells = []
        for column in columns.values():
            figure, ratio = column.get(name, ("", ""))
            cells.append(f"**{figure}**" if name == "microtensor" else f"{figure} ({ratio}x)" if figure else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def put_between_marks(page, begin, text):
    """Put a text into a page, between the line ``begin`` and the next END."""
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise SystemExit(f"{page.name} must hold the marks {begin} and {END}")
    page.write_text(f"{before}{begin}\n{text}\n{END}{after}", encoding="utf-8")
    print(f"wrote {page}")


def draw(options, title, plot, document):
    """Have ``plot(pyplot, document)`` make a figure, and save it as PNG beside the JSON; without matplotlib say so."""
    try:
        import matplotlib
    except ImportError:
        print("no figure: matplotlib is not installed (pip install matplotlib)")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure = plot(pyplot, document)
    figure.suptitle(f"{title}\n{describe(document['machine'])}, {document['date'][:10]}", fontsize=9)
    path = options.output / f"{document['benchmark']}.png"
    figure.savefig(path, dpi=150, bbox_inches="tight")
    pyplot.close(figure)
    print(f"wrote {path}")
