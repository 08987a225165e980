"""One training step in every library, each written as an expert in that library would write it.

A module has ``build(case, x, y, weights)``, which returns two functions: ``step()`` does one step and returns the loss
as a float, or several steps and returns the list of their losses; ``gradients()`` returns the gradients at the
parameters as they are, without changing them, in the order weight (outputs, inputs), bias, and batch-norm's weight and
bias, layer by layer. Biases start at zero. It raises ``Unsupported`` for a case that the library cannot do. The number
of threads is in OMP_NUM_THREADS.
"""

from harness import processor_flags

PEERS = {  # name on the command line: what must be installed
    "microtensor": "microtensor",
    "microtensor_capture": "microtensor",
    "pytorch": "torch",
    "torch_compile": "torch",
    "torch_compile_step": "torch",
    "jax": "jax",
    "jax_scan": "jax",
    "numpy": "numpy",
    "sklearn": "sklearn",
    "autograd": "autograd",
    "mygrad": "mygrad",
    "micrograd": "micrograd",
}

CORES = {  # OpenBLAS's kernels for x86-64: the flags of a processor that can run them; Zen's are Haswell's
    "Haswell": {"avx2", "fma"},
    "SkylakeX": {"avx512f", "avx512dq", "avx512bw", "avx512vl"},
    "Cooperlake": {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_bf16"},
    "Sapphirerapids": {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_bf16", "amx_bf16"},
}


def variants(name):
    """What else a peer is tried with, of which the best counts: a label, and what it needs in the environment."""
    flags = processor_flags()
    runnable = {core: {"OPENBLAS_CORETYPE": core} for core, needs in CORES.items() if needs <= flags}
    return runnable if name == "numpy" and runnable else {"": {}}
