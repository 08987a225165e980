"""Memory over many steps and many threads: what a thread took goes with it, and a step takes nothing new."""

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import psutil
import pytest

import microtensor as mt
from microtensor.kernels import gemm

MIB = 2**20


def resident():
    return psutil.Process().memory_info().rss


@pytest.fixture
def one_thread():
    """Products on the thread that asks for them, so that its own workspace is what it takes."""
    before = mt.get_num_threads()
    mt.set_num_threads(1)
    yield
    mt.set_num_threads(before)


def test_workspace_of_a_product_goes_with_its_thread(one_thread, rng):
    """Packed blocks of these matrices are some 200 KiB: 1,000 threads that kept theirs would hold 200 MiB."""
    a, b = (rng.standard_normal((160, 160)).astype(np.float32) for _ in range(2))
    expected = gemm.product(a, b)
    wrong = []

    def multiply():
        if not np.array_equal(gemm.product(a, b), expected):
            wrong.append(threading.current_thread().name)

    def run(count):
        for _ in range(count):
            threads = [threading.Thread(target=multiply) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    run(25)
    before = resident()
    run(250)
    assert resident() - before < 16 * MIB
    assert not wrong


@pytest.mark.parametrize("norm", [False, True])
def test_thousands_of_training_steps_hold_no_memory(norm):
    """Layers, loss, clipping and optimiser take new arrays in every step: 512 bytes kept of each are 0.25 MiB a round.

    In a process of its own, as what other tests gave back would be taken first. What is kept shows in every round once
    what the imports gave back is used; a huge page that the kernel puts in place of a small one, in a single round.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        taken = process.submit(taken_by_rounds_of_steps, norm).result(timeout=300)
    kept, faults = np.median(taken[3:], axis=0)
    assert kept < 0.24 * MIB, taken
    assert faults < 500 * 0.25, taken


def taken_by_rounds_of_steps(norm):
    """Bytes and pages that each of eight rounds of 500 steps took."""
    mt.manual_seed(0)
    hidden = [mt.nn.Linear(8, 24), *([mt.nn.BatchNorm1d(24), mt.nn.Dropout(0.2)] if norm else []), mt.nn.Tanh()]
    net = mt.nn.Sequential(*hidden, mt.nn.Linear(24, 3))
    optimizer = mt.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    x, labels = mt.randn(32, 8), mt.randint(0, 3, (32,))
    taken = []
    for _ in range(8):
        before, faults = resident(), page_faults()
        for _ in range(500):
            optimizer.zero_grad()
            mt.nn.functional.cross_entropy(net(x), labels).backward()
            mt.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
        taken.append((resident() - before, page_faults() - faults))
    return taken


def page_faults():
    """Pages that this process had to be given so far; 0 where nobody counts."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
