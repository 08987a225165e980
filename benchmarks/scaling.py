"""How a training step grows with its batch, its width and its depth.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --along width --peer jax

The step is compare.py's, checked in the same way, with all threads. Prints microseconds per step; writes scaling.json
and scaling.png.
"""

import statistics

import harness
from compare import prepared
from peers import PEERS
from steps import Case, answers

DEFAULT_PEERS = ("pytorch", "jax", "numpy")
ALONG = {
    "batch": {batch: Case((64, 128, 64, 10), batch) for batch in (1, 4, 16, 64, 256, 1024, 4096, 16384)},
    "width": {width: Case((64, width, width, 10), 64) for width in (4, 16, 64, 256, 1024, 2048)},
    "depth": {depth: Case((64,) * (depth + 1) + (10,), 64) for depth in (1, 2, 4, 8, 16, 32, 64)},
}


def microseconds(row, name):
    """What the table says of a program at a size."""
    return harness.microseconds(statistics.median(row["seconds"][name])) if name in row["seconds"] else "-"


def plot(pyplot, document):
    """A panel per direction: time of a step against its size."""
    along = document["along"]
    figure, panels = pyplot.subplots(1, len(along), figsize=(4 * len(along), 3.4), squeeze=False, layout="constrained")
    for panel, (direction, rows) in zip(panels.flat, along.items(), strict=True):
        for name in dict.fromkeys(name for row in rows for name in row["seconds"]):
            points = [(row["size"], statistics.median(row["seconds"][name]) * 1e6)
                      for row in rows if name in row["seconds"]]
            panel.plot(*zip(*points, strict=True), "o-", label=name, markersize=4)
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xlabel(direction)
    panels.flat[0].set_ylabel("µs per step (log scale)")
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower center", fontsize=8, ncols=5)
    return figure


def main():
    """Check, measure, print and write."""
    arguments = harness.parser(__doc__, rounds=5)
    arguments.add_argument("--along", choices=ALONG, action="append", help="only this direction (may be repeated)")
    arguments.add_argument("--peer", choices=[name for name in PEERS if name != "microtensor"], action="append",
                           help=f"only this peer (may be repeated; default {', '.join(DEFAULT_PEERS)})")
    arguments.set_defaults(seconds=0.05)
    options = arguments.parse_args()
    if options.serve:
        harness.serve(answers(options.serve))
        return

    names = harness.present({name: [module] for name, module in PEERS.items()}, options.peer or DEFAULT_PEERS)
    runners = [harness.Runner(__file__, name, harness.cores()) for name in names]
    along = {}
    for direction in options.along or ALONG:
        along[direction] = []
        for size, case in ALONG[direction].items():
            ready, _ = prepared(runners, f"{direction} {size}", case)
            turns = harness.in_turn(ready, options.rounds, "time", seconds=options.seconds)
            along[direction].append({"size": size, "case": case._asdict(),
                                     "seconds": {runner.name: found for runner, found in turns.items()}})
        cells = [[row["size"], *(microseconds(row, name) for name in names)] for row in along[direction]]
        print(harness.table([f"{direction}; us per step", *names], cells), flush=True)
    for runner in runners:
        runner.close()
    harness.draw(options, "A training step: batch of 64-128-64-10, width of 64-w-w-10, depth of 64-wide nets", plot,
                 harness.write(options, "scaling", {"along": along}))


if __name__ == "__main__":
    main()
