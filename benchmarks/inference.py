"""The forward pass of a trained net: microtensor and every installed peer, side by side.

    python benchmarks/inference.py
    python benchmarks/inference.py --batch 1 --peer onnxruntime --rounds 15

The net is 64-128-64-10 with ReLU, in float32, its input and output in the library's own arrays. Each program runs with
one thread and with all, in processes that take turns, and counts with the better of the two. Before a batch is timed,
the outputs are compared with plain NumPy in float64. Prints microseconds per pass; writes inference.json.
"""

import os
import statistics

import harness
import numpy as np
from peers.layers import sequential
from steps import Case, data

SIZES, BATCHES = (64, 128, 64, 10), (1, 64, 1024)


# -- a program each: given the input and a weight per layer, two functions: the pass, and an array of what it gave -----


def microtensor(x, weights):
    """nn.Sequential under no_grad."""
    import microtensor as mt

    net = sequential(Case(SIZES, len(x)), weights, mt.nn, mt.tensor)
    x = mt.tensor(x)

    @mt.no_grad()
    def forward():
        return net(x)

    return forward, mt.Tensor.numpy


def microtensor_capture(x, weights):
    """Captured; each batch is copied into the tensor that it was captured with."""
    import microtensor as mt

    net = sequential(Case(SIZES, len(x)), weights, mt.nn, mt.tensor)
    batch, own = mt.tensor(x), mt.tensor(x)

    @mt.capture
    @mt.no_grad()
    def run():
        return net(own)

    def forward():
        own.copy_(batch)
        return run()

    return forward, mt.Tensor.numpy


def torch_net(x, weights):
    """The net in use, and its input."""
    import torch

    return sequential(Case(SIZES, len(x)), weights, torch.nn, torch.tensor).eval(), torch.tensor(x)


def pytorch(x, weights):
    """Eager, in inference mode."""
    import torch

    net, x = torch_net(x, weights)

    @torch.inference_mode()
    def forward():
        return net(x)

    return forward, torch.Tensor.numpy


def torch_jit(x, weights):
    """Traced, frozen, and optimised for inference."""
    import warnings

    import torch

    warnings.simplefilter("ignore", DeprecationWarning)         # of torch.jit as a whole
    net, x = torch_net(x, weights)
    net = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, x)))

    @torch.inference_mode()
    def forward():
        return net(x)

    return forward, torch.Tensor.numpy


def torch_compile(x, weights):
    """Compiled and tuned; its weights are constants."""
    import torch

    net, x = torch_net(x, weights)
    torch._inductor.config.freezing = True
    net = torch.compile(net, mode="max-autotune")

    @torch.inference_mode()
    def forward():
        return net(x)

    return forward, torch.Tensor.numpy


def onnxruntime(x, weights):
    """One session; input and output are bound once."""
    import onnx
    import onnxruntime

    nodes, constants, name = [], [], "x"
    for number, weight in enumerate(weights):
        bias = np.zeros(len(weight), np.float32)
        constants += [onnx.numpy_helper.from_array(weight, f"w{number}"),
                      onnx.numpy_helper.from_array(bias, f"b{number}")]
        if number:
            nodes.append(onnx.helper.make_node("Relu", [name], [name := f"h{number}"]))
        nodes.append(onnx.helper.make_node("Gemm", [name, f"w{number}", f"b{number}"], [name := f"y{number}"],
                                           transB=1))
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes, "net", [onnx.helper.make_tensor_value_info("x", kind, x.shape)],
        [onnx.helper.make_tensor_value_info(name, kind, (len(x), len(weights[-1])))], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    binding = session.io_binding()
    output = onnxruntime.OrtValue.ortvalue_from_shape_and_type((len(x), len(weights[-1])), np.float32)
    binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(x))
    binding.bind_ortvalue_output(name, output)

    def forward():
        session.run_with_iobinding(binding)
        return output

    return forward, onnxruntime.OrtValue.numpy


def jax(x, weights):
    """Jitted, in the caller's thread; the weights are constants."""
    import jax.numpy as jnp
    from peers.jax import jax  # set up there

    weights, x = [jnp.asarray(weight) for weight in weights], jnp.asarray(x)

    @jax.jit
    def net(h):
        for number, weight in enumerate(weights):
            h = (jax.nn.relu(h) if number else h) @ weight.T + jnp.zeros(len(weight))
        return h

    return lambda: net(x).block_until_ready(), np.asarray


def numpy(x, weights):
    """Into arrays that are allocated once."""
    outputs = [np.empty((len(x), len(weight)), np.float32) for weight in weights]
    layers = [(weight.T, np.zeros(len(weight), np.float32), h) for weight, h in zip(weights, outputs, strict=True)]

    def forward():
        h = x
        for number, (transposed, bias, out) in enumerate(layers):
            if number:
                np.maximum(h, 0, out=h)
            h = np.dot(h, transposed, out=out)
            h += bias
        return h

    return forward, np.asarray


PROGRAMS = {  # what must be installed
    microtensor: ["microtensor"], microtensor_capture: ["microtensor"], onnxruntime: ["onnx", "onnxruntime"],
    pytorch: ["torch"], torch_jit: ["torch"], torch_compile: ["torch"], jax: ["jax"], numpy: ["numpy"],
}
NAMES = {program.__name__: program for program in PROGRAMS}


# -- measuring ---------------------------------------------------------------------------------------------------------


def error(y, x, weights):
    """The largest error of an output as a multiple of what float32's rounding explains.

    A sum of n terms errs by some u sqrt(n) of their size, u = 2^-24, and each layer passes on the error before it.
    """
    h = x.astype(float)
    for number, weight in enumerate(weights):
        h = (np.maximum(h, 0) if number else h) @ weight.T.astype(float)
    tolerance = 4 * 2.0**-24 * sum(weight.shape[1] ** 0.5 for weight in weights)
    return float(np.abs(y - h).max() / np.abs(h).max() / tolerance)


def answers(name):
    """What the process of a program does for each request."""
    forward = None

    def prepare(batch):
        """Build the net for a batch, and compare its output."""
        nonlocal forward
        x, _, weights = data(Case(SIZES, batch))
        try:
            forward, array_of = NAMES[name](x, weights)
            for _ in range(5):
                y = forward()
        except Exception as failure:  # a peer that is broken here (no compiler, say) must not end the others
            return {"unsupported": f"{type(failure).__name__}: {failure}".splitlines()[0]}
        return {"error": error(np.array(array_of(y)), x, weights)}

    return {"prepare": prepare, "time": lambda seconds: harness.seconds_per_call(forward, seconds)}


def measure(runners, batch, options):
    """The turns of every program that is right, by number of threads; the better number counts."""
    ready = []
    for runner in runners:
        reply = runner.ask("prepare", batch=batch)
        if "unsupported" in reply:
            print(f"batch {batch}, {runner.name}: skipped: {reply['unsupported']}")
        elif not reply["error"] <= 1:
            raise SystemExit(f"batch {batch}, {runner.name}: its output is wrong by {reply['error']:.3g} times what "
                             "float32's rounding explains")
        else:
            ready.append(runner)
    return harness.compared(harness.in_turn(ready, options.rounds, "time", seconds=options.seconds))


def table(document):
    """A row per program: microseconds at each batch, and how many times microtensor's that is."""
    columns = {f"batch {batch}": {name: (harness.microseconds(statistics.median(harness.best_turns(program))),
                                         f"{program['ratio']['median']:.2f}") for name, program in programs.items()}
               for batch, programs in document["batches"].items()}
    return harness.page_table("Microseconds per pass, 64-128-64-10, the better of one and all threads", document,
                              columns)


def main():
    """Check, measure, print and write."""
    arguments = harness.parser(__doc__, rounds=9, page=True)
    arguments.add_argument("--batch", type=int, choices=BATCHES, action="append",
                           help="only this batch (may be repeated)")
    arguments.add_argument("--peer", choices=[name for name in NAMES if name != "microtensor"], action="append",
                           help="only this peer (may be repeated)")
    options = arguments.parse_args()
    if options.serve:
        harness.serve(answers(options.serve))
        return

    names = harness.present({program.__name__: needs for program, needs in PROGRAMS.items()}, options.peer)
    runners = [harness.Runner(__file__, name, threads) for name in names for threads in harness.thread_counts()]
    batches = {batch: measure(runners, batch, options) for batch in options.batch or BATCHES}
    for runner in runners:
        runner.close()
    harness.report(options, "inference", {"batches": batches}, table)


if __name__ == "__main__":
    main()
