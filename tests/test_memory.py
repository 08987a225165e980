"""Memory of new arrays: aligned, reused from step to step, bounded while it waits."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from microtensor.kernels.memory import idle_bytes

import microtensor as mt

resource = pytest.importorskip("resource", reason="page faults are counted by getrusage, which Windows lacks")


def address(tensor):
    return tensor.detach().numpy().ctypes.data


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


MAKERS = {
    "negative": lambda n: -mt.ones(n), "tensor of an array": lambda n: mt.tensor(np.ones(n)),
    "tensor of a list": lambda n: mt.tensor([0.5] * n), "tensor of a tensor": lambda n: mt.tensor(mt.ones(n)),
    "zeros": mt.zeros, "empty": mt.empty, "rand": mt.rand, "randn": mt.randn, "full": lambda n: mt.full((n,), 2.0),
    "clone": lambda n: mt.from_numpy(np.ones(n)).clone(), "operand": lambda n: mt.ops.transpose(np.ones((1, n)), 0, 1),
    "weight": lambda n: mt.nn.Linear(n, 2).weight,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
@pytest.mark.parametrize("n", [1, 128, 1000, 4096, 100003])
def test_new_array_begins_at_a_cache_line(make, n):
    assert address(make(n)) % 64 == 0


def test_memory_of_a_dead_array_goes_to_the_next_of_its_size():
    mt.empty_cache()                # what comes back when 256 MiB wait, as after other tests, is freed
    x = mt.ones(1000, 10)
    y = -x
    first = address(y)
    del y
    assert address(mt.relu(x)) == first


def test_memory_of_a_live_view_is_not_reused():
    x = mt.ones(1000)
    y = -x
    first, kept = address(y), y.numpy()[10:20]
    del y
    z = mt.relu(x)
    assert address(z) != first
    assert np.array_equal(kept, np.full(10, -1.0))


def test_arrays_of_all_sizes_hold_what_is_written():
    """Sizes around every size class: two arrays at a time must not overlap."""
    for power in range(5, 17):
        for eighths in range(8, 16):
            for n in range((eighths << power) // 8 - 1, (eighths << power) // 8 + 2):
                x, y = -mt.ones(n), mt.relu(mt.ones(n))
                assert x.numpy().sum() == -n and y.numpy().sum() == n


def test_step_of_a_large_batch_maps_no_pages():
    mt.manual_seed(0)
    net = mt.nn.Sequential(mt.nn.Linear(64, 128), mt.nn.BatchNorm1d(128), mt.nn.ReLU(), mt.nn.Dropout(0.2),
                           mt.nn.Linear(128, 10))
    optimizer = mt.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x, t = mt.randn(2048, 64), mt.randint(0, 10, (2048,))

    def step():
        optimizer.zero_grad()
        mt.nn.functional.cross_entropy(net(x), t).backward()
        mt.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()

    for _ in range(5):
        step()
    before = faults()
    for _ in range(20):
        step()
    # A step writes some 6 MB of activations and gradients, 1,500 pages; whatever else runs in the process gets a few.
    assert faults() - before < 20 * 15


def test_tracemalloc_sees_arrays_and_not_what_waits():
    x = mt.ones(100_000)
    tracemalloc.start()
    try:
        y = -x
        assert 400_000 <= tracemalloc.get_traced_memory()[0] < 402_000
        del y
        assert tracemalloc.get_traced_memory()[0] < 2_000
    finally:
        tracemalloc.stop()


def test_kept_arrays_are_bounded_and_given_back():
    """Small arrays of many shapes, several of each at a time."""
    def bytes_of_arrays():
        of_arrays = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
        return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([of_arrays]).traces)

    mt.empty_cache()
    tracemalloc.start()
    try:
        for n in range(1, 2000, 3):
            x = mt.ones(n)
            several = [-x for _ in range(5)]
            assert len({address(y) for y in several}) == 5
        del x, several
        kept = bytes_of_arrays()
        mt.empty_cache()
        given_back = bytes_of_arrays()
    finally:
        tracemalloc.stop()
    assert given_back == 0 < kept < (32 * 8) << 15


@pytest.mark.parametrize("hold", [
    lambda y: y.numpy(), lambda y: y.numpy()[1:3], lambda y: memoryview(y.numpy()), lambda y: y.detach(),
    lambda y: y.reshape(2, 5), lambda y: np.asarray(y), lambda y: np.from_dlpack(y.numpy()), lambda y: y.T,
], ids=["array", "part", "buffer", "detached", "reshaped", "converted", "dlpack", "transposed"])
def test_small_array_that_is_held_is_not_reused(hold):
    """By whatever looks at its memory, also when the tensor is gone; and it is reused when that is gone, too."""
    x = mt.arange(10, dtype=mt.float32)
    mt.empty_cache()
    y = -x
    first, held = address(y), hold(y)
    del y
    others = [mt.relu(x) for _ in range(20)]
    assert first not in [address(z) for z in others]
    del held, others
    assert first in [address(z) for z in [mt.relu(x) for _ in range(40)]]


def test_waiting_memory_is_bounded():
    """Half a gigabyte dies at once; at most 256 MiB of it may wait."""
    x = mt.ones(1 << 22)
    arrays = [-x for _ in range(32)]
    del arrays
    assert 200 << 20 < idle_bytes() <= 256 << 20


def empty_cache_gives_memory_back():
    x = mt.ones(1 << 22)
    arrays = [-x for _ in range(8)]
    resident = resident_bytes()
    del arrays
    assert idle_bytes() == 8 << 24
    mt.empty_cache()
    assert idle_bytes() == 0
    assert resident - resident_bytes() > 120 << 20


def test_empty_cache_gives_memory_back():
    """In a process of its own: where glibc once had no memory, its later blocks lie where it keeps up to 64 MiB."""
    resident_bytes()
    command = [sys.executable, "-c", "import test_memory as t; t.empty_cache_gives_memory_back()"]
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def resident_bytes():
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except FileNotFoundError:
        pytest.skip("resident memory is read from /proc")
