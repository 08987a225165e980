"""Elementwise functions: nanoseconds per element, forward and backward, and the error in ulp.

    python benchmarks/elementwise.py
    python benchmarks/elementwise.py --function tanh --function elu --length 100000

microtensor, PyTorch and NumPy (forward, where it has the function) take turns on float32 vectors of 10^3, 10^5 and 10^7
elements, with one thread and with all. The backward is that of the function alone, with a random upstream gradient. An
ulp is the distance between neighbouring float32 numbers at the true value, which is computed in float64. Writes
elementwise.json and elementwise.png.
"""

import importlib
import statistics

import harness
import numpy as np

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
FUNCTIONS = {  # name: (its true value in float64, whether NumPy has it as one call)
    "copy": (lambda x: x, "copy"),
    "relu": (lambda x: np.maximum(x, 0), None),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), None),
    "tanh": (np.tanh, "tanh"),
    "exp": (np.exp, "exp"),
    "elu": (lambda x: np.where(x > 0, x, np.expm1(x)), None),
    "selu": (lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(x)), None),
    "softplus": (lambda x: np.logaddexp(0, x), None),
    "square": (np.square, "square"),
    "sqrt": (np.sqrt, "sqrt"),
    "log": (np.log, "log"),
}
POSITIVE = ("sqrt", "log")
LENGTHS = (1_000, 100_000, 10_000_000)


def answers(name):
    """What the process of a library does: prepare a function on a vector, time it, and tell its error."""
    library = importlib.import_module(name)
    forward = backward = None

    def function_named(function):
        if name == "numpy":
            return getattr(np, FUNCTIONS[function][1])
        if function == "copy":
            return lambda x: x.clone()
        owner = library if hasattr(library, function) else library.nn.functional
        return getattr(owner, function)

    def prepare(function, length):
        nonlocal forward, backward
        random = np.random.default_rng(0)
        values = random.standard_normal(length).astype(np.float32)
        if function in POSITIVE:
            values = np.abs(values) + np.float32(1e-3)
        f = function_named(function)
        if name == "numpy":
            forward, backward = (lambda: f(values)), None
            return
        x, g = library.tensor(values), library.tensor(random.standard_normal(length).astype(np.float32))
        leaf = library.tensor(values, requires_grad=True)
        y = f(leaf)
        grad = importlib.import_module("torch.autograd").grad if name == "torch" else library.grad
        forward, backward = (lambda: f(x)), (lambda: grad(y, leaf, g, retain_graph=True))

    def seconds(seconds, direction):
        return harness.seconds_per_call(backward if direction == "backward" else forward, seconds)

    def ulp(function):
        """The largest error over the numbers where the function does not saturate."""
        x = np.linspace(-20, 20, 1_000_001, dtype=np.float32)
        x = np.exp(x) if function in POSITIVE else x
        f = function_named(function)
        found = f(x) if name == "numpy" else f(library.tensor(x)).numpy()
        right = FUNCTIONS[function][0](x.astype(float))
        return float((np.abs(found - right) / np.spacing(np.abs(right).astype(np.float32)).astype(float)).max())

    return {"prepare": prepare, "time": seconds, "ulp": ulp}


def measure(runners, options, threads):
    """A row per function, length and direction: everybody's seconds per element."""
    for function in options.function or FUNCTIONS:
        able = [runner for runner in runners if runner.name != "numpy" or FUNCTIONS[function][1]]
        for length in options.length or LENGTHS:
            for runner in able:
                runner.ask("prepare", function=function, length=length)
            for direction in ("forward", "backward")[: 1 if function == "copy" else 2]:  # a copy's gradient is g itself
                asked = [runner for runner in able if runner.name != "numpy" or direction == "forward"]
                turns = harness.in_turn(asked, options.rounds, "time", seconds=options.seconds, direction=direction)
                seconds = {runner.name: [turn / length for turn in found] for runner, found in turns.items()}
                yield {
                    "function": function, "length": length, "direction": direction, "threads": threads,
                    "seconds_per_element": seconds,
                    "ratio": {name: harness.paired(found, seconds["microtensor"]) for name, found in seconds.items()},
                }


def plot(pyplot, document):
    """A panel per length and number of threads: how many times microtensor's time PyTorch takes."""
    rows = [row for row in document["rows"] if "torch" in row["ratio"]]
    groups = sorted({(row["length"], row["threads"]) for row in rows})
    figure, panels = pyplot.subplots(1, max(1, len(groups)), figsize=(2.3 * max(1, len(groups)) + 1, 4), sharey=True,
                                     squeeze=False, layout="constrained")
    functions = list(dict.fromkeys(row["function"] for row in rows))
    for panel, (length, threads) in zip(panels.flat, groups, strict=False):
        for direction, marker in (("forward", "o"), ("backward", "x")):
            points = [(row["ratio"]["torch"]["median"], functions.index(row["function"])) for row in rows
                      if (row["length"], row["threads"], row["direction"]) == (length, threads, direction)]
            panel.plot(*zip(*points, strict=True), marker, label=direction, markersize=5)
        panel.axvline(1, color="0.6", linewidth=0.8)
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(pyplot.matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
        panel.xaxis.set_minor_formatter(lambda value, _: "")
        panel.set_title(f"{length:,} elements, {threads} thread{'s' * (threads > 1)}", fontsize=8)
        panel.set_yticks(range(len(functions)), functions)
    panels.flat[0].invert_yaxis()
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower center", fontsize=8, ncols=2)
    return figure


def main():
    """Measure, print and write."""
    arguments = harness.parser(__doc__, rounds=5)
    arguments.add_argument("--function", choices=FUNCTIONS, action="append", help="only this function")
    arguments.add_argument("--length", type=harness.positive, action="append", help="only this many elements")
    arguments.set_defaults(seconds=0.02)
    options = arguments.parse_args()
    if options.serve:
        harness.serve(answers(options.serve))
        return

    names = ["microtensor", *harness.installed(["torch", "numpy"])]
    rows, errors = [], {}
    for threads in harness.thread_counts():
        runners = [harness.Runner(__file__, name, threads) for name in names]
        for function in options.function or FUNCTIONS:
            errors[function] = {runner.name: runner.ask("ulp", function=function) for runner in runners
                                if runner.name != "numpy" or FUNCTIONS[function][1]}
        rows += measure(runners, options, threads)
        for runner in runners:
            runner.close()
    print(harness.table(
        ["ns per element", "elements", "threads", *names, "torch / microtensor"],
        [[f"{row['function']} {row['direction']}", f"{row['length']:,}", row["threads"],
          *(f"{statistics.median(row['seconds_per_element'][name]) * 1e9:.3f}" if name in row["seconds_per_element"]
            else "" for name in names),
          f"{row['ratio']['torch']['median']:.2f}" if "torch" in row["ratio"] else ""] for row in rows],
    ))
    print(harness.table(["largest error, ulp", *names],
                [[function, *(f"{found[name]:.2f}" if name in found else "" for name in names)]
                 for function, found in errors.items()]))
    harness.draw(options, "Elementwise: PyTorch's time as a multiple of microtensor's (log scale)", plot,
                 harness.write(options, "elementwise", {"rows": rows, "ulp": errors}))


if __name__ == "__main__":
    main()
