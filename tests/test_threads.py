"""Threads: how many there are, that results do not depend on them, the GIL, small stacks, and forking.

What a process decides once, at import or at fork, is tested in processes of its own; a time limit turns one that hangs
into a failure. Nothing here asserts how long anything takes.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import microtensor as mt
from microtensor import nn, optim

openmp = pytest.mark.skipif(not mt.kernels.threads.has_openmp(), reason="built without OpenMP: always one thread")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
LIMIT = 120                         # seconds that a child process may take on a busy machine

LONG = 300_007                      # elements: more than threads share out, and no multiple of a vector


@pytest.fixture
def threads():
    """Sets the number of threads; the fixture restores it."""
    before = mt.get_num_threads()
    yield mt.set_num_threads
    mt.set_num_threads(before)


def finished(program, **environment):
    """A Python program's process, when it has ended; a variable that is None is taken away.

    It starts where microtensor was imported from, as it imports what is there before what is installed.
    """
    variables = {"MICROTENSOR_NUM_THREADS": None, "OMP_NUM_THREADS": None, **environment}
    inherited = {name: value for name, value in os.environ.items() if name not in variables}
    given = {name: value for name, value in variables.items() if value is not None}
    command = [sys.executable, "-c", program]
    folder = Path(mt.__file__).parents[1]
    return subprocess.run(command, env=inherited | given, capture_output=True, text=True, timeout=LIMIT, cwd=folder)


def run(program, **environment):
    """The output of a Python program in a process of its own; a variable that is None is taken away."""
    child = finished(program, **environment)
    assert child.returncode == 0, child.stderr
    return child.stdout.strip()


# -- how many -------------------------------------------------------------------------------------------------

COUNT = "import microtensor as mt; print(mt.get_num_threads())"


@openmp
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"MICROTENSOR_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "3,2"}, 3),            # OpenMP's list: a number for each level of nesting
        ({"MICROTENSOR_NUM_THREADS": "2", "OMP_NUM_THREADS": "3"}, 2),
        ({"MICROTENSOR_NUM_THREADS": "0", "OMP_NUM_THREADS": "3"}, 3),
        ({"MICROTENSOR_NUM_THREADS": "many", "OMP_NUM_THREADS": "3"}, 3),
        ({"MICROTENSOR_NUM_THREADS": "", "OMP_NUM_THREADS": "3"}, 3),
    ],
)
def test_environment_sets_the_number(variables, expected):
    assert run(COUNT, **variables) == str(expected)


@openmp
@pytest.mark.parametrize("invalid", ["-2", "0", "1.5", "all"])
def test_invalid_environment_leaves_the_processors(invalid):
    assert run(COUNT, MICROTENSOR_NUM_THREADS=invalid) == run(COUNT)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_affinity_limits_the_number():
    one = min(os.sched_getaffinity(0))
    assert run(f"import os; os.sched_setaffinity(0, {{{one}}}); {COUNT}") == "1"


@openmp
def test_set_num_threads_is_read_back(threads):
    for number in (3, 1, 2):
        threads(number)
        assert mt.get_num_threads() == number


@pytest.mark.parametrize("number", [0, -1])
def test_set_num_threads_refuses_less_than_one(number):
    before = mt.get_num_threads()
    with pytest.raises(ValueError, match=f"at least 1, got {number}"):
        mt.set_num_threads(number)
    assert mt.get_num_threads() == before


MISSING = """
import os
import microtensor as mt
allowed, x = os.sched_getaffinity(0), mt.ones(512, 512)
for _ in range(20):
    x @ x
print(os.sched_getaffinity(0) == allowed)
for thread in os.listdir("/proc/self/task"):
    print(len(allowed - os.sched_getaffinity(int(thread))))
"""


@openmp
@pytest.mark.skipif(not sys.platform.startswith("linux") or len(os.sched_getaffinity(0)) < 2,
                    reason="needs Linux and two processors")
@pytest.mark.parametrize(("bind", "apart"), [(None, 1), ("false", 0)])
def test_team_is_kept_off_the_processor_of_its_caller(bind, apart):
    """Of two threads the other one may run everywhere but there, unless OpenMP was told where threads belong."""
    same, *missing = run(MISSING, MICROTENSOR_NUM_THREADS="2", OMP_PROC_BIND=bind, OMP_PLACES=None,
                         GOMP_CPU_AFFINITY=None).split()
    assert same == "True" and missing.count("1") == apart and set(missing) <= {"0", "1"}


# -- results --------------------------------------------------------------------------------------------------

UNARY = {
    "neg": mt.neg, "exp": mt.exp, "tanh": mt.tanh, "sigmoid": mt.sigmoid, "relu": mt.relu, "leaky_relu": mt.leaky_relu,
    "elu": mt.elu, "selu": mt.selu, "softplus": mt.softplus, "silu": mt.silu, "gelu": mt.gelu,
    "gelu by tanh": lambda x: mt.gelu(x, "tanh"), "abs": mt.abs, "clamp": lambda x: mt.clamp(x, -0.5, 0.5),
    "log": lambda x: mt.log(mt.abs(x)), "sqrt": lambda x: mt.sqrt(mt.abs(x)), "square": lambda x: x**2,
    "scaled": lambda x: x * 2.5,
}
BINARY = {
    "add": mt.add, "sub": mt.sub, "mul": mt.mul, "div": mt.div, "maximum": mt.maximum, "minimum": mt.minimum,
    "pow": lambda a, b: mt.pow(mt.abs(a), b), "where": lambda a, b: mt.where(a > b, a, b),
}
SHAPES = {
    "same": ((LONG,), (LONG,)),
    "scalar": ((LONG,), ()),
    "row": ((601, 499), (499,)),
    "column": ((601, 499), (601, 1)),
    "outer": ((7, 1, 211), (203, 1)),
    "short row": ((27_011, 11), (11,)),
    "short column": ((27_011, 11), (27_011, 1)),
    "short outer": ((2311, 1, 13), (10, 1)),
    "transposed": ((499, 601), (499, 601)),         # the second is the transpose of what is stored
}


def results(threads, function, inputs, gradient):
    """The output and the inputs' gradients on 1, 2 and 3 threads."""
    for number in (1, 2, 3):
        threads(number)
        tensors = [mt.from_numpy(x).requires_grad_() for x in inputs]
        y = function(*tensors)
        y.backward(mt.from_numpy(gradient(y.shape)))
        yield [y.detach().numpy(), *(x.grad.numpy() for x in tensors)]


def assert_the_same(several, exactly):
    first, *others = several
    for other in others:
        for x, y in zip(first[:exactly], other[:exactly], strict=True):
            np.testing.assert_array_equal(x, y)


@openmp
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", UNARY)
def test_elementwise_results_do_not_depend_on_the_number(name, dtype, threads, rng):
    x, g = rng.standard_normal(LONG).astype(dtype), rng.standard_normal(LONG).astype(dtype)
    assert_the_same(results(threads, UNARY[name], [x], lambda shape: g), exactly=2)


@openmp
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("name", BINARY)
def test_broadcast_results_do_not_depend_on_the_number(name, shapes, dtype, threads, rng):
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in SHAPES[shapes])
    if shapes == "transposed":
        b = np.ascontiguousarray(b.T).T
    g = rng.standard_normal(np.broadcast_shapes(a.shape, b.shape)).astype(dtype)
    whole = shapes in ("same", "transposed")        # where gradients are summed, only the output is elementwise
    assert_the_same(results(threads, BINARY[name], [a, b], lambda shape: g), exactly=3 if whole else 1)


def test_gradients_of_passes_in_several_python_threads_are_all_added(threads):
    """An addition to .grad is done before another thread's begins: it holds the GIL."""
    threads(2)
    x, passes = mt.zeros(LONG, requires_grad=True), 50

    def accumulate(weight):
        g = mt.full((LONG,), weight)
        for _ in range(passes):
            (x * 1.0).backward(g)

    x.grad = mt.zeros(LONG)
    workers = [threading.Thread(target=accumulate, args=(weight,)) for weight in (1.0, 2.0, 4.0)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    np.testing.assert_array_equal(x.grad.numpy(), 7.0 * passes)


@openmp
@pytest.mark.parametrize("function", [mt.softmax, mt.log_softmax])
@pytest.mark.parametrize(("shape", "dim"), [((20_011, 10), -1), ((7, 30_011), 0), ((41, 33, 211), 1), ((3, 90_001), 1)])
def test_softmax_does_not_depend_on_the_number(function, shape, dim, threads, rng):
    x, g = rng.standard_normal(shape).astype(np.float32), rng.standard_normal(shape).astype(np.float32)
    assert_the_same(results(threads, lambda t: function(t, dim), [x], lambda _: g), exactly=2)


# -- Python threads ---------------------------------------------------------------------------------------------

def train(seed):
    """The parameters of a small net after some steps, from a seed."""
    generator = np.random.default_rng(seed)
    model = nn.Sequential(nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 10))
    for parameter in model.parameters():
        parameter.detach().numpy()[...] = generator.standard_normal(parameter.shape) / 10
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    loss_function = nn.CrossEntropyLoss()
    x = mt.from_numpy(generator.standard_normal((512, 64)).astype(np.float32))
    target = mt.from_numpy(generator.integers(0, 10, 512))
    for _ in range(30):
        optimizer.zero_grad()
        loss_function(model(x), target).backward()
        optimizer.step()
    return [parameter.detach().numpy().copy() for parameter in model.parameters()]


def test_models_trained_side_by_side_are_as_when_trained_alone():
    alone = [train(seed) for seed in (1, 2)]
    together = [None, None]

    def work(i):
        together[i] = train(i + 1)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i in range(2):
        for x, y in zip(alone[i], together[i], strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    "kernel",
    [
        lambda x, condition: mt.tanh(x),
        lambda x, condition: mt.mul(x, x),
        lambda x, condition: mt.maximum(x, 0.5),
        lambda x, condition: mt.softmax(x, 0),
        lambda x, condition: mt.where(condition, x, 0.0),
    ],
    ids=["unary", "binary", "broadcast", "softmax", "where"],
)
def test_long_kernel_lets_other_python_threads_run(kernel):
    """Another thread counts. It cannot while the GIL is held, nor take it: the switch interval is too long for that."""
    x = mt.ones(2_000_000) * 1.5
    condition = x > 1
    counts, stop, began = [0], threading.Event(), threading.Event()

    def count():
        began.set()
        while not stop.is_set():
            counts[0] += 1
            time.sleep(0)                   # gives the GIL back

    interval = sys.getswitchinterval()
    worker = threading.Thread(target=count)
    try:
        worker.start()
        began.wait()
        sys.setswitchinterval(LIMIT)
        for _ in range(200):                # on one processor, the worker may not be scheduled at the first
            before = counts[0]
            kernel(x, condition)
            after = counts[0]
            if after > before:
                break
        assert after > before
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        worker.join()


# -- small stacks -----------------------------------------------------------------------------------------------

# Every op, forward and backward, in the sweep's cases, of which many are long enough for two threads; and what is none
# of them. A Python thread calls it all that has 128 KiB itself.
EVERY_OP = f"""
import runpy, sys, threading
from concurrent.futures import ThreadPoolExecutor
import microtensor as mt
sweep = runpy.run_path({str(Path(__file__).with_name("test_kernels_sweep.py"))!r})

def every_op():
    for name in sweep["OPS"]:
        print(name, file=sys.stderr)                        # the last is the one that failed
        for number in range(20):
            draw, function, arrays, _ = sweep["draw_case"](name, 0, number, 4e5)
            sweep["run"](function, draw, arrays)
    print("many matrices, an optimiser's step", file=sys.stderr)
    many = mt.ones(100, 60, 60, requires_grad=True)
    (many @ many).sum().backward()
    mt.nn.utils.clip_grad_norm_([many], 1.0)
    mt.optim.SGD([many], lr=0.1, momentum=0.9).step()
    return "all done"

threading.stack_size(128 * 1024)
with ThreadPoolExecutor(1) as pool:
    print(pool.submit(every_op).result())
"""


@pytest.mark.slow
@openmp
def test_every_op_runs_on_small_stacks():
    """With musl, the C library of Alpine Linux, a thread has 128 KiB where nobody asks for more."""
    assert run(EVERY_OP, MICROTENSOR_NUM_THREADS="2", OMP_STACKSIZE="128K") == "all done"


@openmp
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, threads may get more than they are given")
def test_too_small_a_stack_is_fatal():
    """So the test above can fail: OpenMP's threads have the stack that is asked for, and ops reach its end."""
    child = finished(EVERY_OP, MICROTENSOR_NUM_THREADS="2", OMP_STACKSIZE="16K")
    assert child.returncode < 0, child.stderr           # ended by a signal


# -- forking ----------------------------------------------------------------------------------------------------

FORK = """
import os, warnings, threading
import numpy as np
import microtensor as mt
warnings.simplefilter("ignore", DeprecationWarning)          # of forking with threads about
x = mt.from_numpy(np.linspace(-3, 3, 400_000, dtype=np.float32)).requires_grad_()

def compute():
    x.grad = None
    y = mt.tanh(x) * x
    y.backward(mt.ones_like(y))
    a = mt.ones(300, 300)
    return y.detach().numpy().tobytes() + x.grad.numpy().tobytes() + (a @ a).numpy().tobytes()

def child_agrees():
    pid = os.fork()
    if pid == 0:
        os._exit(0 if mt.get_num_threads() == 1 and compute() == expected else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


@forks
def test_forked_child_computes_while_the_parents_team_is_alive():
    assert run(FORK + "expected = compute(); print(child_agrees(), child_agrees(), compute() == expected)",
               MICROTENSOR_NUM_THREADS="2") == "True True True"


@forks
def test_forked_child_computes_where_the_parent_never_did():
    program = FORK.replace("def child_agrees", "def unused") + """
pid = os.fork()
if pid == 0:
    compute()
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert run(program, MICROTENSOR_NUM_THREADS="2") == "0"


@forks
def test_fork_while_another_thread_is_inside_a_kernel():
    program = FORK + """
expected = compute()
stop = threading.Event()
z = mt.ones(400_000)

def busy():
    while not stop.is_set():
        mt.exp(z)
        mt.tanh(z) * z

worker = threading.Thread(target=busy)
worker.start()
agree = [child_agrees() for _ in range(5)]
stop.set()
worker.join()
print(all(agree))
"""
    assert run(program, MICROTENSOR_NUM_THREADS="2") == "True"


@forks
@openmp
def test_forked_child_refuses_more_threads():
    program = FORK + """
pid = os.fork()
if pid == 0:
    try:
        mt.set_num_threads(2)
    except RuntimeError as error:
        os._exit(0 if "spawn" in str(error) else 1)
    os._exit(2)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert run(program, MICROTENSOR_NUM_THREADS="2") == "0"


WORKER = """
import multiprocessing, warnings
import numpy as np
import microtensor as mt

def work(seed):
    x = mt.from_numpy(np.random.default_rng(seed).standard_normal(300_000))
    return float(mt.tanh(x).sum().item())

if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    work(0)
    with multiprocessing.get_context("{method}").Pool(2) as pool:
        found = pool.map(work, range(4))
    print(np.allclose(found, [work(seed) for seed in range(4)], rtol=1e-12))
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_pool_computes(method, tmp_path):
    if method == "fork" and not hasattr(os, "fork"):
        pytest.skip("no fork here")
    script = tmp_path / "worker.py"         # spawn imports the script again, so it needs a file
    script.write_text(WORKER.replace("{method}", method))
    environment = os.environ | {"MICROTENSOR_NUM_THREADS": "2"}
    command = [sys.executable, str(script)]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert child.stdout.strip() == "True", child.stderr


@openmp
@pytest.mark.parametrize("compute", ["cross_entropy", "clip"])
def test_number_of_threads_may_change_while_threads_run(compute, rng):
    """Another thread that sets the number meanwhile changes no result: each sum is over the parts that were made."""
    x = mt.from_numpy(rng.standard_normal((40000, 10)).astype(np.float32))
    labels = mt.from_numpy(rng.integers(0, 10, 40000))
    parameters = [mt.zeros(40000, requires_grad=True) for _ in range(6)]
    for parameter in parameters:
        parameter.grad = mt.ones(40000)

    def once():
        if compute == "cross_entropy":
            return mt.cross_entropy(x, labels).item()
        return mt.nn.utils.clip_grad_norm_(parameters, 1e9).item()

    before, stop = mt.get_num_threads(), threading.Event()
    mt.set_num_threads(1)
    expected = once()

    def switch():
        while not stop.is_set():
            mt.set_num_threads(1)
            mt.set_num_threads(2)

    other = threading.Thread(target=switch)
    other.start()
    try:
        results = [once() for _ in range(200)]
    finally:
        stop.set()
        other.join()
        mt.set_num_threads(before)
    np.testing.assert_allclose(results, expected, rtol=1e-6)
