"""One training step: microtensor and every installed peer, side by side.

    python benchmarks/compare.py                                    # all cases, all installed peers
    python benchmarks/compare.py --case moons --peer jax --peer numpy --rounds 15

A step is zero_grad, forward, softmax cross-entropy, backward, clip_grad_norm_(1.0), SGD with momentum 0.9 or Adam, and
the loss read. Each program runs with one thread and with all, and in each of its variants (peers/), in processes that
take turns, and counts with the best of these. Before a case is timed, the gradients and the losses of a few steps are
compared with plain NumPy in float64; a program that differs by more than float32's rounding is not timed. Writes
compare.json and compare.png.
"""

import statistics
import tempfile
from pathlib import Path

import harness
import numpy as np
from peak import NoCompilerError, fma_peak
from peers import PEERS, variants
from steps import CASES, answers, reference

TARGETS = {  # how many times faster than the peer microtensor sets out to be
    "moons": {"pytorch": 30, "jax": 5, "numpy": 8},
    "digits": {"pytorch": 8, "jax": 2.5, "numpy": 2.5},
    "digits+": {"pytorch": 9},
    "digits-adam": {},
    "deep": {},
    "mnist": {"pytorch": 1.8, "jax": 1.5, "numpy": 1.3},
    "mnist+": {"pytorch": 2},
    "bigbatch": {"pytorch": 2.6, "jax": 1.5, "numpy": 1.9},
    "wide": {"pytorch": 1.7, "jax": 1.5, "numpy": 1.3},
    "wide-adam": {},
    "huge": {"pytorch": 1.35, "jax": 1.3, "numpy": 1.3},
}


def prepared(runners, name, case):
    """The runners whose program does the case, and does it right; says what becomes of the others."""
    with tempfile.TemporaryDirectory() as folder:
        right = str(Path(folder) / "right.npz")
        gradients, losses, tolerance = reference(case)
        named = {f"gradient{number}": g for number, g in enumerate(gradients)}
        np.savez(right, losses=losses, tolerance=tolerance, **named)
        replies = [(runner.name, runner.ask("prepare", case=case, right=right)) for runner in runners]
        for runner, (_, reply) in zip(runners, replies, strict=True):
            runner.kernels = reply.get("kernels", [])
    reasons = {}
    for peer, reply in replies:
        if "unsupported" in reply:
            reasons[peer] = f"skipped: {reply['unsupported']}"
        elif not reply["disagreement"] <= 1:
            reasons[peer] = (f"not timed: its gradients or losses differ from the right ones by "
                             f"{reply['disagreement']:.3g} times what float32's rounding explains")
    for peer, reason in reasons.items():
        print(f"{name}, {peer}: {reason}")
    return [runner for runner in runners if runner.name not in reasons], reasons


def measure(runners, case, options):
    """The turns of every program, the best number of threads and variant of each, and its ratio to microtensor."""
    runners, reasons = prepared(runners, case, CASES[case])
    if "microtensor" in reasons:
        raise SystemExit(f"{case}: microtensor itself is wrong, so nothing is compared")
    programs = {}
    for runner, turns in harness.in_turn(runners, options.rounds, "time", seconds=options.seconds).items():
        program = programs.setdefault(runner.name, {"seconds": {}, "kernels": {}})
        program["seconds"][runner.form], program["kernels"][runner.form] = turns, runner.kernels
    for program in programs.values():
        program["best"] = min(program["seconds"], key=lambda threads: statistics.median(program["seconds"][threads]))
    ours = best_turns(programs["microtensor"])
    for name, program in programs.items():
        program["ratio"] = harness.paired(best_turns(program), ours)
        target = TARGETS[case].get(name)
        if target:
            program["target"], program["reached"] = target, program["ratio"]["median"] >= target
    return {"case": CASES[case]._asdict(), "programs": programs, "not_timed": reasons}


def peaks():
    """The processor's peak in GFLOP/s by number of threads, for float32; nothing where it cannot be measured."""
    try:
        return {threads: fma_peak("float32", threads) for threads in harness.thread_counts()}
    except NoCompilerError as error:
        print(error)
        return {}


def best_turns(program):
    """The turns with the best number of threads and variant."""
    return program["seconds"][program["best"]]


def lines(measured, with_targets):
    """A row per program: its best time with each number of threads, its best form, its ratio, and the target."""
    for name, program in measured["programs"].items():
        ratio = program["ratio"]
        row = [name]
        for threads in harness.thread_counts():
            medians = [statistics.median(turns) for form, turns in program["seconds"].items()
                       if form.split()[0] == str(threads)]
            row.append(harness.microseconds(min(medians)))
        row.append(program["best"])
        row += ["", ""] if name == "microtensor" else [
            f"{ratio['median']:.2f}", f"{ratio['low']:.2f}-{ratio['high']:.2f}"
        ]
        if with_targets:
            row.append(f"{program['target']} {'reached' if program['reached'] else 'NOT reached'}"
                       if "target" in program else "")
        yield row


def plot(pyplot, document):
    """A panel per case."""
    cases = document["cases"]
    columns = min(4, len(cases))
    rows = -(-len(cases) // columns)
    figure, panels = pyplot.subplots(rows, columns, squeeze=False, figsize=(3.6 * columns, 2.6 * rows + 0.5),
                                     layout="constrained")
    for panel in panels.flat[len(cases):]:
        panel.set_axis_off()
    for panel, (case, measured) in zip(panels.flat, cases.items(), strict=False):
        shape = measured["case"]
        extras = ", batch-norm, dropout" if shape["batch_norm"] else ""
        panel.set_title(f"{case}: {'-'.join(map(str, shape['sizes']))}, batch {shape['batch']}{extras}", fontsize=8)
        plot_programs(panel, measured["programs"])
        panel.xaxis.set_major_locator(pyplot.matplotlib.ticker.LogLocator(numticks=4))
    return figure


def plot_programs(panel, programs):
    """How many times microtensor's time each program takes, with the quartiles, labelled in microseconds."""
    ratios = [program["ratio"] for program in programs.values()]
    medians, positions = [ratio["median"] for ratio in ratios], range(len(ratios))
    spread = [[r["median"] - r["low"] for r in ratios], [r["high"] - r["median"] for r in ratios]]
    colours = ["tab:orange" if name == "microtensor" else "tab:blue" for name in programs]
    panel.hlines(positions, 1, medians, colors=colours, linewidth=1.5)  # from 1: a log scale has no zero for bars
    panel.errorbar(medians, positions, xerr=spread, fmt="none", ecolor="0.4", capsize=2, linewidth=0.8)
    panel.scatter(medians, positions, c=colours, s=28, zorder=3)
    for position, median, program in zip(positions, medians, programs.values(), strict=True):
        panel.annotate(f"{harness.microseconds(statistics.median(best_turns(program)))} µs", (median, position),
                       xytext=(6, 3), textcoords="offset points", fontsize=7)
    panel.axvline(1, color="0.7", linewidth=0.8, zorder=0)
    panel.set_xscale("log")
    panel.set_xlim(min(0.7, min(medians) / 1.3), max(medians) ** 1.25 * 2)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    panel.xaxis.set_minor_formatter(lambda value, _: "")
    panel.set_yticks(positions, programs)
    panel.invert_yaxis()
    panel.margins(y=0.12)


def main():
    """Check, measure, print and write."""
    arguments = harness.parser(__doc__, rounds=9)
    arguments.add_argument("--case", choices=CASES, action="append", help="only this case (may be repeated)")
    arguments.add_argument("--peer", choices=[name for name in PEERS if name != "microtensor"], action="append",
                           help="only this peer (may be repeated)")
    arguments.add_argument("--targets", action="store_true", help="print whether each target is reached")
    options = arguments.parse_args()
    if options.serve:
        harness.serve(answers(options.serve))
        return

    names = ["microtensor"]
    for name in options.peer or [name for name in PEERS if name != "microtensor"]:
        if harness.installed([PEERS[name]]):
            names.append(name)
        else:
            print(f"{name}: skipped: {PEERS[name]} is not installed (pip install -e '.[benchmark]')")
    runners = [harness.Runner(__file__, name, threads, environment, variant)
               for name in names for threads in harness.thread_counts()
               for variant, environment in variants(name).items()]
    print(f"microseconds per step, median of {options.rounds} turns; ratio: how many times microtensor's time, "
          "round by round: median and quartiles")
    header = [f"{threads} thread{'s' * (threads > 1)}" for threads in harness.thread_counts()]
    header += ["best", "ratio", "quartiles"] + ["target"] * options.targets
    cases = {}
    for case in options.case or CASES:
        cases[case] = measure(runners, case, options)
        print(harness.table([case, *header], lines(cases[case], options.targets)), flush=True)
    for runner in runners:
        runner.close()
    results = {"cases": cases, "fma_peak": peaks()}
    harness.draw(options, "Time of a training step, as a multiple of microtensor's (log scale)", plot,
                 harness.write(options, "compare", results))


if __name__ == "__main__":
    main()
