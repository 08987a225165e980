"""One training step in every library, each written as an expert in that library would write it.

A module has ``build(case, x, y, weights)``, which returns two functions: ``step()`` does one step and returns the
loss as a float, or several steps and returns the list of their losses; ``gradients()`` returns the gradients at the parameters as they are, without changing them, in the
order weight (outputs, inputs), bias, and batch-norm's weight and bias, layer by layer. Biases start at zero. It raises
``Unsupported`` for a case that the library cannot do. The number of threads is in OMP_NUM_THREADS.
"""

PEERS = {  # name on the command line: what must be installed
    "microtensor": "microtensor",
    "pytorch": "torch",
    "torch_compile": "torch",
    "jax": "jax",
    "jax_scan": "jax",
    "numpy": "numpy",
    "sklearn": "sklearn",
    "autograd": "autograd",
    "mygrad": "mygrad",
    "micrograd": "micrograd",
}
