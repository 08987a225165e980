"""What one node of the graph costs: a chain of y = y * c on one element, forward, backward and freeing.

    python benchmarks/node.py
    python benchmarks/node.py --longest 10000 --peer torch

Prints nanoseconds per node at each length of the chain, the median over the rounds, for microtensor and every
installed peer, on one thread, and how many times microtensor's that is. A library that would take longer than a minute
for a chain is left out of it. Writes node.json and node.png.
"""

import importlib
import statistics
import sys
import time

import harness

PEERS = ("torch", "micrograd", "autograd", "mygrad")
LONGEST_TURN = 60  # seconds
NODES_PER_TURN = 10_000  # at least


def library(name):
    """How to make a chain's start and its factor, and how to differentiate the chain."""
    if name == "autograd":  # differentiates a function, not a value
        import autograd
        import numpy as np

        return np.ones(1), np.full(1, 1.0000001), autograd.elementwise_grad
    if name == "micrograd":
        from micrograd.engine import Value

        sys.setrecursionlimit(10**8)  # its walk through the graph is recursive
        return Value(1.0), Value(1.0000001), None
    tensor = importlib.import_module(name).tensor
    if name == "mygrad":
        return tensor([1.0]), tensor([1.0000001], constant=True), None
    return tensor([1.0], requires_grad=True), tensor([1.0000001]), None


def answers(name):
    """A function that builds, differentiates and frees chains."""
    x, c, grad = library(name)

    def chain(x, length):
        y = x
        for _ in range(length):
            y = y * c
        return y

    def seconds_per_node(length):
        repeats = max(1, NODES_PER_TURN // length)
        start = time.perf_counter()
        for _ in range(repeats):
            if grad:
                grad(chain)(x, length)
            else:
                chain(x, length).backward()
        return (time.perf_counter() - start) / (length * repeats)

    return {"time": seconds_per_node}


def plot(pyplot, document):
    """A line per library: time per node against the length of the chain."""
    figure, panel = pyplot.subplots(figsize=(6, 4), layout="constrained")
    names = document["rows"][0]["seconds"]
    for name in names:
        points = [(row["length"], statistics.median(row["seconds"][name]) * 1e6)
                  for row in document["rows"] if name in row["seconds"]]
        panel.plot(*zip(*points, strict=True), "o-", label=name, markersize=4)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel("nodes in the chain")
    panel.set_ylabel("µs per node (log scale)")
    figure.legend(loc="outside lower center", fontsize=8, ncols=5)
    return figure


def table(document):
    """A row per library: nanoseconds per node at each length, and how many times microtensor's that is."""
    columns = {f"{row['length']:,} nodes": {name: (f"{statistics.median(turns) * 1e9:.0f}",
                                                   f"{row['ratio'][name]['median']:.1f}")
                                            for name, turns in row["seconds"].items()} for row in document["rows"]}
    title = "Nanoseconds per node of a chain of y = y * c, forward, backward and freeing, on one thread"
    return harness.page_table(title, document, columns)


def main():
    """Measure, print and write."""
    arguments = harness.parser(__doc__, rounds=7, page=True)
    arguments.add_argument("--longest", type=harness.positive, default=1_000_000,
                           help="the longest chain (default 1000000)")
    arguments.add_argument("--peer", choices=PEERS, action="append", help="only this peer (may be repeated)")
    options = arguments.parse_args()
    if options.serve:
        harness.serve(answers(options.serve))
        return

    names = ["microtensor", *harness.installed(options.peer or PEERS)]
    if "micrograd" in names and sys.version_info < (3, 11):
        print("micrograd: skipped: its recursion overflows the stack of this Python; 3.11 and later have no such limit")
        names.remove("micrograd")
    runners = [harness.Runner(__file__, name) for name in names]
    harness.in_turn(runners, 1, "time", length=100)  # to warm up
    rows, length = [], 100
    while length <= options.longest:
        turns = harness.in_turn(runners, options.rounds, "time", length=length)
        seconds = {runner.name: found for runner, found in turns.items()}
        ratios = {name: harness.paired(found, seconds["microtensor"]) for name, found in seconds.items()}
        rows.append({"length": length, "seconds": seconds, "ratio": ratios})
        length *= 10
        runners = [runner for runner in runners if min(seconds[runner.name]) * length <= LONGEST_TURN or runner.close()]
    for runner in runners:
        runner.close()

    document = harness.report(options, "node", {"rows": rows}, table)
    harness.draw(options, "y = y * c on one element: forward, backward, freed", plot, document)


if __name__ == "__main__":
    main()
