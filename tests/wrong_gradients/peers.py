"""The same gradients before other checkers: each takes (forward, backward, inputs, seed) and says whether it accepts.

A checker that raises has not accepted. PyTorch and autograd are optional: those that are not installed are left out.
"""

import numpy as np

from microtensor.ops.sample import Draw

STEP, LIMIT = 1e-5, 1e-5


def run(forward, backward, inputs):
    """The output, and a function that pulls an upstream gradient back to one gradient per float input."""
    result = forward(*inputs)
    y, saved = (result[0], (result[1],)) if isinstance(result, tuple) else (result, inputs)
    checked = [i for i, x in enumerate(inputs) if x.dtype.kind == "f"]

    def pull_back(g):
        found = backward(g, *saved)
        found = list(found) if isinstance(found, (tuple, list)) else [found]
        return [found[i] for i in checked] if len(found) == len(inputs) else found

    return np.asarray(y), pull_back, checked


def central_difference(forward, backward, inputs, seed):
    """The textbook's: h = 1e-5, a random upstream gradient, |a - n| / max(1e-8, |a| + |n|) at most 1e-5."""
    inputs = [x.copy() for x in inputs]
    y, pull_back, checked = run(forward, backward, inputs)
    g = np.random.default_rng(seed).standard_normal(y.shape)
    for i, ours in zip(checked, pull_back(g.copy()), strict=True):
        numeric = np.zeros(inputs[i].shape)
        for place in np.ndindex(numeric.shape):
            before = inputs[i][place]
            inputs[i][place] = before + STEP
            above = run(forward, backward, inputs)[0].copy()
            inputs[i][place] = before - STEP
            below = run(forward, backward, inputs)[0].copy()
            inputs[i][place] = before
            numeric[place] = np.sum(g * (above - below)) / (2 * STEP)
        error = np.abs(ours - numeric) / np.maximum(1e-8, np.abs(ours) + np.abs(numeric))
        if not np.max(error) <= LIMIT:
            return False
    return True


def torch_gradcheck():
    """PyTorch's gradcheck with its defaults, or None."""
    try:
        import torch
    except ImportError:
        return None

    def accepts(forward, backward, inputs, seed):
        torch.manual_seed(seed)

        class Student(torch.autograd.Function):
            @staticmethod
            def forward(context, *tensors):
                y, context.pull_back, context.checked = run(forward, backward, [t.detach().numpy() for t in tensors])
                context.count = len(tensors)
                return torch.from_numpy(np.array(y, np.float64))

            @staticmethod
            def backward(context, g):
                found = [None] * context.count
                for i, d in zip(context.checked, context.pull_back(g.numpy()), strict=True):
                    found[i] = torch.from_numpy(np.array(d, np.float64))
                return tuple(found)

        tensors = [torch.from_numpy(x.copy()).requires_grad_(x.dtype.kind == "f") for x in inputs]
        return torch.autograd.gradcheck(Student.apply, tensors, raise_exception=False)

    return accepts


def autograd_check_grads():
    """check_grads of HIPS autograd in reverse mode, first order, or None."""
    try:
        from autograd.extend import defvjp, primitive
        from autograd.test_util import check_grads
    except ImportError:
        return None

    def accepts(forward, backward, inputs, seed):
        np.random.seed(seed)

        @primitive
        def student(*arrays):
            return run(forward, backward, [x.copy() for x in arrays])[0]

        def vjp_of(number):
            def vjp(y, *arrays):
                pull_back = run(forward, backward, [x.copy() for x in arrays])[1]
                return lambda g: np.asarray(pull_back(np.array(g))[number])

            return vjp

        checked = [i for i, x in enumerate(inputs) if x.dtype.kind == "f"]
        defvjp(student, *[vjp_of(k) for k in range(len(checked))], argnums=checked)

        def function(floats):                   # one tuple: of several arguments check_grads looks at the first only
            arrays = list(inputs)
            for k, i in enumerate(checked):
                arrays[i] = floats[k]
            return student(*arrays)

        check_grads(function, modes=["rev"], order=1)(tuple(inputs[i].copy() for i in checked))
        return True

    return accepts


def refuses(accepts, make, seed):
    """Whether a peer refuses a gradient; whatever it raises, it has not accepted."""
    forward, backward, inputs, _ = make(Draw(seed))
    try:
        return not accepts(forward, backward, inputs, seed)
    except Exception:
        return True


def available():
    """The checkers that there are, by name; None for one that is not installed."""
    return {"PyTorch gradcheck": torch_gradcheck(), "autograd check_grads": autograd_check_grads(),
            "central difference": central_difference}
