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
from peak import NoCompilerError, bandwidth, fma_peak
from peers import PEERS, variants
from steps import CASES, answers, reference

STRONGEST = {  # a main peer: its forms, of which the fastest counts
    "PyTorch": ("pytorch", "torch_compile", "torch_compile_step"),
    "JAX": ("jax", "jax_scan"),
    "NumPy by hand": ("numpy",),
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
    programs = harness.compared(harness.in_turn(runners, options.rounds, "time", seconds=options.seconds))
    for runner in runners:
        programs[runner.name].setdefault("kernels", {})[runner.form] = runner.kernels
    return {"case": CASES[case]._asdict(), "programs": programs, "not_timed": reasons}


def limits(cases):
    """The processor's, by number of threads: its peak in GFLOP/s for float32, and of each case the GB/s of passes over
    as much memory as its weights, their gradients and moments have. Nothing where they cannot be measured.
    """
    counts = harness.thread_counts()
    try:
        return {"fma_peak": {threads: fma_peak("float32", threads) for threads in counts},
                "bandwidth": {case: {threads: bandwidth(CASES[case].traffic[1], threads) for threads in counts}
                              for case in cases}}
    except NoCompilerError as error:
        print(error)
        return {"fma_peak": {}, "bandwidth": {}}


def lines(measured):
    """A row per program: its best time with each number of threads, its best form, and its ratio."""
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
        yield row


def strongest(programs):
    """The main peers that were measured: of each, the name of its fastest form."""
    measured = {peer: [form for form in forms if form in programs] for peer, forms in STRONGEST.items()}
    return {peer: min(forms, key=lambda form: statistics.median(harness.best_turns(programs[form])))
            for peer, forms in measured.items() if forms}


def plot(pyplot, document):
    """For each case, how many times microtensor's time each main peer takes in its strongest form, with quartiles."""
    cases = document["cases"]
    figure, panel = pyplot.subplots(figsize=(8.3, 1.2 + 0.42 * len(cases)), layout="constrained")
    for row, measured in enumerate(cases.values()):
        programs = measured["programs"]
        for peer, form in strongest(programs).items():
            number, ratio = list(STRONGEST).index(peer), programs[form]["ratio"]
            spread = [[ratio["median"] - ratio["low"]], [ratio["high"] - ratio["median"]]]
            panel.errorbar(ratio["median"], row + 0.2 * (number - 1), xerr=spread, fmt="osD"[number], markersize=6,
                           color=f"C{number}", linewidth=1)
    for number, peer in enumerate(STRONGEST):
        panel.plot([], [], "osD"[number], color=f"C{number}", label=peer)
    panel.axvline(1, color="tab:red", linewidth=1.2, zorder=0)
    panel.set_xscale("log")
    ticks = [0.5, 1, 2, 3, 5, 10, 20, 30]
    panel.set_xticks(ticks, [f"{tick:g}x" for tick in ticks])
    panel.xaxis.set_minor_formatter(lambda value, _: "")
    panel.grid(axis="x", color="0.9")
    panel.set_axisbelow(True)
    panel.set_yticks(range(len(cases)), cases)
    panel.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def main():
    """Check, measure, print and write."""
    arguments = harness.parser(__doc__, rounds=9)
    arguments.add_argument("--case", choices=CASES, action="append", help="only this case (may be repeated)")
    arguments.add_argument("--peer", choices=[name for name in PEERS if name != "microtensor"], action="append",
                           help="only this peer (may be repeated)")
    options = arguments.parse_args()
    if options.serve:
        harness.serve(answers(options.serve))
        return

    names = harness.present({name: [module] for name, module in PEERS.items()}, options.peer)
    runners = [harness.Runner(__file__, name, threads, environment, variant)
               for name in names for threads in harness.thread_counts()
               for variant, environment in variants(name).items()]
    print(f"microseconds per step, median of {options.rounds} turns; ratio: how many times microtensor's time, "
          "round by round: median and quartiles")
    header = [f"{threads} thread{'s' * (threads > 1)}" for threads in harness.thread_counts()]
    header += ["best", "ratio", "quartiles"]
    cases = {}
    for case in options.case or CASES:
        cases[case] = measure(runners, case, options)
        print(harness.table([case, *header], lines(cases[case])), flush=True)
    for runner in runners:
        runner.close()
    results = {"cases": cases, **limits(cases)}
    harness.draw(options, "A training step, each peer in its fastest form: time as a multiple of microtensor's", plot,
                 harness.write(options, "compare", results))


if __name__ == "__main__":
    main()
