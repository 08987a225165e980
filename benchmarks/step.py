"""One training step, microtensor and PyTorch side by side.

A step is zero_grad, forward, softmax cross-entropy, backward, clip_grad_norm_(1.0), SGD with momentum 0.9, and the
loss read. Each library runs in a process of its own; the processes take turns (A B A B ...), so that a machine whose
speed drifts slows both; the figure that counts is the ratio, turn by turn, and its median. PyTorch runs with one
thread and with all, and counts with the better of the two.

    python benchmarks/step.py                       # all cases
    python benchmarks/step.py --case moons --rounds 15

Before timing, both libraries compute the loss and all gradients from the same weights and data; if they differ by
more than rounding, nothing is timed.
"""

import argparse
import itertools
import os
import statistics
import time

import numpy as np
from turns import Runner, serve

CASES = {  # name: (layer sizes, batch, batch-norm and dropout)
    "moons": ((2, 16, 16, 2), 32, False),
    "digits": ((64, 128, 64, 10), 64, False),
    "digits+": ((64, 128, 64, 10), 64, True),
    "mnist": ((784, 256, 128, 10), 128, False),
    "mnist+": ((784, 256, 128, 10), 128, True),
    "bigbatch": ((64, 128, 64, 10), 2048, False),
    "wide": ((784, 1024, 1024, 10), 128, False),
    "huge": ((2048, 2048, 2048, 2048), 256, False),
}
SECONDS_PER_TURN = 0.2


def data(sizes, batch):
    """Inputs, labels and weights, the same for both libraries."""
    random = np.random.default_rng(0)
    x = random.standard_normal((batch, sizes[0])).astype(np.float32)
    y = random.integers(0, sizes[-1], batch)
    weights = [
        (random.uniform(-1, 1, (outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)
        for inputs, outputs in itertools.pairwise(sizes)
    ]
    return x, y, weights


def build(nn, optim, clip, tensor, sizes, batch, extras):
    """The step of one library; both have the same interface, so this is written once."""
    x, y, weights = data(sizes, batch)
    layers = []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        layers.append(nn.Linear(inputs, outputs))
        if number < len(sizes) - 2:
            layers += [nn.BatchNorm1d(outputs)] * extras + [nn.ReLU()] + [nn.Dropout(0.2)] * extras
    model = nn.Sequential(*layers)
    linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
    for linear, weight in zip(linears, weights, strict=True):
        linear.weight.data = tensor(weight)
        linear.bias.data = tensor(np.zeros(len(weight), np.float32))
    parameters = list(model.parameters())
    optimizer = optim.SGD(parameters, lr=0.01, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    inputs, targets = tensor(x), tensor(y)

    def step():
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        clip(parameters, 1.0)
        optimizer.step()
        return loss.item()

    def loss_and_gradients():
        for layer in layers:
            if isinstance(layer, nn.Dropout):
                layer.eval()  # the two libraries draw other masks
        loss = criterion(model(inputs), targets)
        loss.backward()
        gradients = [p.grad.numpy().astype(float).tolist() for p in parameters]
        for p in parameters:
            p.grad = None
        model.train()
        return loss.item(), gradients

    return step, loss_and_gradients


def library(name, threads):
    """The parts of a library that a step is made of."""
    if name == "microtensor":
        import microtensor as mt

        mt.set_num_threads(threads)
        return mt.nn, mt.optim, mt.nn.utils.clip_grad_norm_, mt.tensor
    import torch

    torch.set_num_threads(threads)
    return torch.nn, torch.optim, torch.nn.utils.clip_grad_norm_, torch.tensor


def answers(name, threads):
    """The child's side: what it does for each request."""
    parts = library(name, threads)
    step = None

    def prepare(case, check):
        nonlocal step
        step, loss_and_gradients = build(*parts, *case)
        result = loss_and_gradients() if check else None
        for _ in range(10):
            step()
        return result

    def seconds_per_step(seconds):
        count, start = 0, time.perf_counter()
        while time.perf_counter() < start + seconds:
            for _ in range(10 if count > 100 else 1):
                step()
                count += 1
        return (time.perf_counter() - start) / count

    return {"prepare": prepare, "time": seconds_per_step}


def check(case, ours, theirs):
    """Stop unless both computed the same loss and gradients to float32's rounding."""
    (loss, gradients), (expected_loss, expected) = ours, theirs
    norm = max(float(np.linalg.norm(np.asarray(g))) for g in expected)
    worst = max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(gradients, expected, strict=True))
    if abs(loss - expected_loss) > 1e-5 * max(1, abs(expected_loss)) or worst > 1e-4 * norm:
        raise SystemExit(f"{case}: the libraries disagree: loss {loss} and {expected_loss}, gradients by {worst}")


def main():
    """Run the cases and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, action="append", help="only this case (may be repeated)")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each process (default 9)")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(answers(options.serve, options.threads))
        return

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    settings = [(name, threads) for name in ("microtensor", "torch") for threads in sorted({1, cores})]
    runners = {setting: Runner(__file__, *setting) for setting in settings}
    print(f"microseconds per step, median of {options.rounds} turns; ratio: PyTorch's better / microtensor's better")
    print(f"{'case':10}" + "".join(f"{f'{name} x{threads}':>16}" for name, threads in settings) + f"{'ratio':>9}")
    for case in options.case or CASES:
        sizes, batch, extras = CASES[case]
        found = {
            setting: runner.ask("prepare", case=(sizes, batch, extras), check=sizes[0] * sizes[1] < 10**6)
            for setting, runner in runners.items()
        }
        if found[settings[0]] is not None:
            for setting in settings:
                check(case, found[settings[0]], found[setting])
        times = {setting: [] for setting in settings}
        for _ in range(options.rounds):
            for setting, runner in runners.items():
                times[setting].append(runner.ask("time", seconds=SECONDS_PER_TURN))
        medians = {setting: statistics.median(times[setting]) for setting in settings}
        ours, theirs = (
            min((s for s in settings if s[0] == name), key=medians.get) for name in ("microtensor", "torch")
        )
        ratio = statistics.median(b / a for a, b in zip(times[ours], times[theirs], strict=True))
        print(f"{case:10}" + "".join(f"{medians[s] * 1e6:16.1f}" for s in settings) + f"{ratio:8.1f}x", flush=True)
    for runner in runners.values():
        runner.close()


if __name__ == "__main__":
    main()
