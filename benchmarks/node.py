"""What one node of the graph costs: a chain of y = y * c on one element, forward, backward and freeing.

    python benchmarks/node.py                       # microtensor, and PyTorch where it is installed

Prints nanoseconds per node at each chain length, the median of several runs taken in turn, and the ratio.
"""

import argparse
import statistics
import time


def microtensor_chain(length):
    """Seconds for a chain in microtensor."""
    import microtensor as mt

    return chain(mt.tensor([1.0], requires_grad=True), mt.tensor([1.0000001]), length)


def torch_chain(length):
    """Seconds for a chain in PyTorch."""
    import torch

    return chain(torch.tensor([1.0], requires_grad=True), torch.tensor([1.0000001]), length)


def chain(x, c, length):
    """Build, differentiate and free a chain; both libraries have the same interface."""
    start = time.perf_counter()
    y = x
    for _ in range(length):
        y = y * c
    y.backward()
    del y
    return time.perf_counter() - start


def main():
    """Print a line per chain length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--longest", type=int, default=1_000_000, help="the longest chain (default 1000000)")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each length (default 7)")
    options = parser.parse_args()
    chains = {"microtensor": microtensor_chain}
    try:
        import torch  # noqa: F401

        chains["PyTorch"] = torch_chain
    except ImportError:
        print("PyTorch is not installed: microtensor alone")
    print(f"{'nodes':>10}" + "".join(f"{name + ' ns/node':>22}" for name in chains) + f"{'ratio':>8}")
    length = 100
    while length <= options.longest:
        times = {name: [] for name in chains}
        for _ in range(options.rounds):
            for name, run in chains.items():
                repeats = max(1, 10_000 // length)
                times[name].append(sum(run(length) for _ in range(repeats)) / repeats / length)
        line = f"{length:10}" + "".join(f"{statistics.median(t) * 1e9:22.0f}" for t in times.values())
        if len(times) == 2:
            ours, theirs = times.values()
            line += f"{statistics.median(b / a for a, b in zip(ours, theirs, strict=True)):7.1f}x"
        print(line, flush=True)
        length *= 10


if __name__ == "__main__":
    main()
