"""check_optimizer and check_clipping: optimisers against scalar recurrences, clipping against its formula.

An optimiser is run for several steps with random gradients and a learning rate that changes from step to step; every
element must follow the recurrence of SGD, Adam, AdamW, RMSprop or Adagrad, written here for one number at a time, as a
paper has it. Gradients are written into the same arrays each time, as ``zero_grad(set_to_none=False)`` does, so that
state which aliases them shows.

If it does not, the recurrence is run again with each of the mistakes that people make; the one that gives the
optimiser's numbers is the hint.
"""

import numpy as np

from microtensor.core import from_numpy
from microtensor.gradcheck.case import Hint
from microtensor.gradcheck.report import GradcheckError, InputReport, Report
from microtensor.nn.parameter import Parameter
from microtensor.random import numpy_stream

SHAPES = ((3, 5), (7,), ())
STEPS = 7

# By recurrence: what people get wrong in it, by key, the likeliest first.
MISTAKES = {
    "SGD": {
        "decay": "weight decay is skipped where momentum is 0",
        "decay sign": "weight decay has the wrong sign",
        "decoupled": "weight decay is added to the step, past the velocity, as AdamW does",
        "dampened": "the gradient enters the velocity as (1 - momentum) g, a running mean: another learning rate",
        "alias": "the momentum buffer is the gradient's own array: copy it, or the next gradient overwrites it",
        "alias once": "the first momentum buffer is the gradient's own array: copy it, or the next overwrites it",
        "nesterov": "Nesterov's look-ahead is not used: the step is the velocity's",
        "nesterov sign": "Nesterov's look-ahead has the wrong sign",
        "first": "the first velocity is dampened or zero: it should be the first gradient itself",
        "lr": "the velocity holds lr g, so that a change of lr does not reach it",
        "first lr": "the learning rate is the first one in every step: it must be read anew",
    },
    "Adam": {
        "no correction": "the bias correction is missing: m / (1 - beta1^t) and v / (1 - beta2^t)",
        "no correction of m": "the bias correction of the first moment is missing: m / (1 - beta1^t)",
        "no correction of v": "the bias correction of the second moment is missing: v / (1 - beta2^t)",
        "late": "the bias correction counts from 0, one step late: the first step has t = 1",
        "early": "the bias correction is one step early: the first step has t = 1",
        "eps inside": "eps is inside of the root: it is added to the root of v",
        "eps early": "eps is added before the bias correction: it is added to the root of the corrected v",
        "betas": "beta1 and beta2 are exchanged",
        "not squared": "the second moment holds g, not g squared",
        "decay": "weight decay is missing",
        "decay sign": "weight decay has the wrong sign",
        "decoupled": "weight decay is taken off the parameter, as in AdamW: in Adam it is added to the gradient",
        "first lr": "the learning rate is the first one in every step: it must be read anew",
    },
    "AdamW": {
        "coupled": "weight decay is added to the gradient, as in Adam: in AdamW it is taken off the parameter",
        "order": "weight decay comes after the step: it is that of the parameter before the step",
        "decay lr": "weight decay is not multiplied by the learning rate",
    },
    "RMSprop": {
        "alpha": "alpha and 1 - alpha are exchanged",
        "eps inside": "eps is inside of the root: it is added to the root of v",
        "not squared": "the mean holds g, not g squared",
        "sum": "the squares are added up, as in Adagrad: here it is their running mean",
        "centred": "the mean of g is not taken off, as centered asks for",
        "decay": "weight decay is missing",
        "lr": "the momentum buffer holds lr g / root, so that a change of lr does not reach it",
        "first lr": "the learning rate is the first one in every step: it must be read anew",
    },
    "Adagrad": {
        "eps inside": "eps is inside of the root: it is added to the root of the sum",
        "not squared": "the sum holds g, not g squared",
        "late": "this step's square is missing in its own sum",
        "lr_decay": "lr_decay counts from 1: the first step has lr itself",
        "decay": "weight decay is missing",
        "first lr": "the learning rate is the first one in every step: it must be read anew",
    },
}
MISTAKES["AdamW"] |= {key: text for key, text in MISTAKES["Adam"].items() if key != "decoupled"}


def sgd(theta, gradients, rates, options, mistake=""):
    """One number's way through several steps of SGD: the list of its values.

    Formula: g = g + weight_decay theta;  v = momentum v + (1 - dampening) g, the first v being g;
        theta = theta - lr (g + momentum v) with nesterov, else theta - lr v

    >>> sgd(1.0, [1.0, 1.0], [0.5, 0.25], {"momentum": 0.5})
    [0.5, 0.125]
    """
    momentum, dampening = options.get("momentum", 0), options.get("dampening", 0)
    decay = options.get("weight_decay", 0)
    decay = {"decay": decay if momentum else 0, "decay sign": -decay}.get(mistake, decay)
    velocity, values = None, []
    for t, g in enumerate(gradients):
        lr = rates[0 if mistake == "first lr" else t]
        g = -g if options.get("maximize") else g
        apart = lr * decay * theta if mistake == "decoupled" else 0
        g = g if mistake == "decoupled" else g + decay * theta
        step = g
        if momentum:
            share = 1 - momentum if mistake == "dampened" else 1 - dampening
            entering = lr * g if mistake == "lr" else g
            if velocity is None:
                velocity = (1 - momentum) * g if mistake in ("dampened", "first") else entering
            elif mistake == "alias":
                velocity = (1 + share) * momentum * g   # the buffer is the new gradient: scaled, added to itself
            elif mistake == "alias once" and t == 1:
                velocity = momentum * g + share * g
            else:
                velocity = momentum * velocity + share * entering
            step = velocity
            if options.get("nesterov") and mistake != "nesterov":
                step = g - momentum * velocity if mistake == "nesterov sign" else g + momentum * velocity
        theta = theta - (step if mistake == "lr" and momentum else lr * step) - apart
        values.append(theta)
    return values


def adam(theta, gradients, rates, options, mistake="", decoupled=False):
    """One number's way through several steps of Adam (Kingma and Ba 2015), weight decay being an L2 term.

    Formula: g = g + weight_decay theta;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
        theta = theta - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps), t = 1, 2, ...;
        amsgrad: the largest v so far in place of v in theta's step (Reddi et al. 2018)

    >>> adam(1.0, [2.0], [0.5], {"eps": 0.0})
    [0.5]
    """
    beta1, beta2 = options.get("betas", (0.9, 0.999))
    beta1, beta2 = (beta2, beta1) if mistake == "betas" else (beta1, beta2)
    eps, decay = options.get("eps", 1e-8), options.get("weight_decay", 0)
    decay = {"decay": 0, "decay sign": -decay}.get(mistake, decay)
    decoupled = {"coupled": False, "decoupled": True}.get(mistake, decoupled)
    m = mean = largest = 0.0
    values = []
    for step, g in enumerate(gradients, 1):
        lr, g = rates[0 if mistake == "first lr" else step - 1], -g if options.get("maximize") else g
        shrink = decay * (1 if mistake == "decay lr" else lr) if decoupled else 0.0
        g = g if decoupled else g + decay * theta
        m, mean = beta1 * m + (1 - beta1) * g, beta2 * mean + (1 - beta2) * (g if mistake == "not squared" else g * g)
        largest = max(largest, mean)
        v = largest if options.get("amsgrad") else mean
        t = step + {"late": -1, "early": 1}.get(mistake, 0)
        first = 1 if mistake in ("no correction", "no correction of m") else 1 - beta1**t
        second = 1 if mistake in ("no correction", "no correction of v") else 1 - beta2**t
        with np.errstate(all="ignore"):
            if mistake == "eps inside":
                root = np.sqrt(np.float64(v) / second + eps)
            elif mistake == "eps early":
                root = (np.sqrt(v) + eps) / np.sqrt(second)
            else:
                root = np.sqrt(np.divide(v, second)) + eps
            change = lr * np.divide(m, first) / root
        theta = (theta - change) * (1 - shrink) if mistake == "order" else theta * (1 - shrink) - change
        values.append(float(theta))
    return values


def adamw(theta, gradients, rates, options, mistake=""):
    """As adam, weight decay being taken off the parameter (Loshchilov and Hutter 2019): first theta (1 - lr decay).

    >>> adamw(1.0, [2.0], [0.5], {"eps": 0.0, "weight_decay": 0.5})
    [0.25]
    """
    return adam(theta, gradients, rates, options, mistake, decoupled=True)


def rmsprop(theta, gradients, rates, options, mistake=""):
    """One number's way through several steps of RMSprop (Hinton 2012, PyTorch's convention).

    Formula: v = alpha v + (1 - alpha) g^2;  centered: a = alpha a + (1 - alpha) g, v - a^2 under the root;
        b = momentum b + g / (sqrt(v) + eps);  theta = theta - lr b

    >>> rmsprop(1.0, [2.0], [0.5], {"alpha": 0.75, "eps": 0.0})
    [0.0]
    """
    alpha, eps, momentum = options.get("alpha", 0.99), options.get("eps", 1e-8), options.get("momentum", 0)
    decay = 0 if mistake == "decay" else options.get("weight_decay", 0)
    keep, enter = (1 - alpha, alpha) if mistake == "alpha" else (1, 1) if mistake == "sum" else (alpha, 1 - alpha)
    v = a = b = 0.0
    values = []
    for step, g in enumerate(gradients):
        lr, g = rates[0 if mistake == "first lr" else step], -g if options.get("maximize") else g
        g = g + decay * theta
        v, a = keep * v + enter * (g if mistake == "not squared" else g * g), keep * a + enter * g
        square = v - a * a if options.get("centered") and mistake != "centred" else v
        with np.errstate(all="ignore"):
            root = np.sqrt(square + eps) if mistake == "eps inside" else np.sqrt(square) + eps
            b = momentum * b + (lr if mistake == "lr" else 1) * g / root
        theta = theta - (b if mistake == "lr" else lr * b)
        values.append(float(theta))
    return values


def adagrad(theta, gradients, rates, options, mistake=""):
    """One number's way through several steps of Adagrad (Duchi et al. 2011, PyTorch's convention).

    Formula: s = s + g^2, s being initial_accumulator_value at first;
        theta = theta - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps), t = 1, 2, ...

    >>> adagrad(1.0, [3.0], [0.5], {"eps": 0.0})
    [0.5]
    """
    eps, s = options.get("eps", 1e-10), options.get("initial_accumulator_value", 0.0)
    decay = 0 if mistake == "decay" else options.get("weight_decay", 0)
    values = []
    for step, g in enumerate(gradients):
        lr, g = rates[0 if mistake == "first lr" else step], -g if options.get("maximize") else g
        lr = lr / (1 + (step + (mistake == "lr_decay")) * options.get("lr_decay", 0))
        g = g + decay * theta
        before, s = s, s + (g if mistake == "not squared" else g * g)
        used = before if mistake == "late" else s
        with np.errstate(all="ignore"):
            theta = theta - lr * np.divide(g, np.sqrt(used + eps) if mistake == "eps inside" else np.sqrt(used) + eps)
        values.append(float(theta))
    return values


RECURRENCES = {"SGD": sgd, "Adam": adam, "AdamW": adamw, "RMSprop": rmsprop, "Adagrad": adagrad}


def recurrence_of(optimizer, reference):
    """The recurrence that an optimiser is compared with, and its name: the given one, or that of its class's name."""
    if callable(reference):
        return reference, next((name for name, known in RECURRENCES.items() if known is reference), "")
    names = {name.lower(): name for name in RECURRENCES}
    wanted = [reference] if reference is not None else [kind.__name__ for kind in type(optimizer).__mro__]
    name = next((names[name.lower()] for name in wanted if name.lower() in names), None)
    if name is None:
        what = reference if reference is not None else type(optimizer).__name__
        raise ValueError(f"check_optimizer: no recurrence is known for {what!r}; there are {', '.join(RECURRENCES)}: "
                         "pass one of these names, or a function of (theta, gradients, rates, options), as reference=")
    return RECURRENCES[name], name


def check_optimizer(make, *, reference=None, raise_exception=True, seed=0):
    """Hold an optimiser against a scalar recurrence over several steps with a changing learning rate.

    Args:
        make: takes a list of parameters and returns an optimiser: an object with ``step()`` and ``param_groups``, the
            first of which holds its options, "lr" among them, under torch's names.
        reference: the recurrence to compare with: one of the names SGD, Adam, AdamW, RMSprop and Adagrad, or a function
            called as ``reference(theta, gradients, rates, options)`` for one number. By default that of the
            optimiser's class or of a class that it derives from, by name.
        raise_exception: raise unless the check succeeds.
        seed: of parameters and gradients.

    Returns:
        A Report; "yours" is the optimiser's parameter, "numeric" the recurrence's.

    Raises:
        GradcheckError: if they differ and raise_exception is set.
        ValueError: if no recurrence is known for the optimiser.

    >>> import microtensor as mt
    >>> bool(check_optimizer(lambda params: mt.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True)))
    True
    """
    random = numpy_stream(seed, 4)
    starts = [np.asarray(random.standard_normal(shape)) for shape in SHAPES]
    gradients = [np.asarray(random.standard_normal((STEPS, *shape))) for shape in SHAPES]
    params = [Parameter(from_numpy(start.copy())) for start in starts]
    optimizer = make(params)
    reference, known = recurrence_of(optimizer, reference)
    group = optimizer.param_groups[0]
    options = {key: value for key, value in group.items() if key != "params"}
    rates = options["lr"] * random.uniform(0.5, 1.5, STEPS)
    arrays = [np.zeros(shape) for shape in SHAPES]
    for p, array in zip(params, arrays, strict=True):
        p.grad = from_numpy(array)
    taken = [[] for _ in params]
    kept = True
    for t in range(STEPS):
        for array, g in zip(arrays, gradients, strict=True):
            array[...] = g[t]
        optimizer.param_groups[0]["lr"] = float(rates[t])
        optimizer.step()
        kept = kept and all(np.array_equal(a, g[t]) for a, g in zip(arrays, gradients, strict=True))
        for p, values in zip(params, taken, strict=True):
            values.append(p.detach().numpy().copy())

    def run(mistake):
        call = [mistake] if mistake else []
        return [np.array([reference(x, list(g), list(rates), options, *call)
                          for x, g in zip(start.ravel(), gradient.reshape(STEPS, -1).T, strict=True)])
                .T.reshape(STEPS, *start.shape) for start, gradient in zip(starts, gradients, strict=True)]

    yours = [np.array(values) for values in taken]
    inputs = _compare(yours, run(""))
    if not all(inputs):
        for rank, (mistake, text) in enumerate(MISTAKES.get(known, {}).items()):
            if all(_compare(yours, run(mistake))):
                for found in inputs:
                    found.hints = [*found.hints, Hint(mistake, text, "the recurrence with this mistake", 0.0, rank)]
    notes = [f"compared with the recurrence of {known}"] if known else []
    notes += [] if kept else ["step changes the gradients in place"]
    return _finish(Report(f"check_optimizer {type(optimizer).__name__}", inputs, [], notes, seed), raise_exception)


def check_clipping(clip, *, max_norm=1.5, raise_exception=True, seed=0):
    """Hold the clipping of gradients by their joint norm against its formula.

    Args:
        clip: called as ``clip(parameters, max_norm)``; scales the parameters' gradients.
        max_norm: the largest norm that stays.
        raise_exception: raise unless the check succeeds.
        seed: of the gradients.

    Returns:
        A Report; "yours" is a clipped gradient, "numeric" the formula's.

    Raises:
        GradcheckError: if they differ and raise_exception is set.

    Formula: g min(1, max_norm / (norm + 1e-6)), norm over all gradients together

    >>> import microtensor as mt
    >>> bool(check_clipping(mt.nn.utils.clip_grad_norm_))
    True
    """
    random = numpy_stream(seed, 5)
    yours, right, each, always = [], [], [], []
    for length in (0.3, 0.9, 1.2, 10.0):                    # joint norms below and above, in units of max_norm
        gradients = [np.asarray(random.standard_normal(shape)) for shape in SHAPES]
        joint = np.sqrt(sum(np.sum(g * g) for g in gradients))
        gradients = [np.asarray(g * (length * max_norm / joint)) for g in gradients]
        params = [Parameter(from_numpy(np.zeros(shape))) for shape in SHAPES]
        for p, g in zip(params, gradients, strict=True):
            p.grad = from_numpy(g.copy())
        clip(params, max_norm)
        yours.append([p.grad.numpy().copy() for p in params])
        factor = max_norm / (length * max_norm + 1e-6)
        right.append([g * min(1.0, factor) for g in gradients])
        each.append([g * min(1.0, max_norm / (np.sqrt(np.sum(g * g)) + 1e-6)) for g in gradients])
        always.append([g * factor for g in gradients])
    by_tensor = lambda rows: [np.array(column) for column in zip(*rows, strict=True)]       # noqa: E731
    inputs = _compare(by_tensor(yours), by_tensor(right), 1e-5)
    if not all(inputs):
        for key, text, variant in (("each", "each tensor is clipped by its own norm: the norm must be that of all "
                                            "gradients together", each),
                                   ("always", "gradients are rescaled even where their norm is small enough: the "
                                              "factor must be at most 1", always)):
            if all(_compare(by_tensor(yours), by_tensor(variant), 1e-5)):
                for found in inputs:
                    found.hints = [Hint(key, text, "the formula with this mistake", 0.0, 0)]
    return _finish(Report("check_clipping", inputs, [], [], seed), raise_exception)


def _compare(yours, right, relative=1e-12):
    """An InputReport for each parameter: arrays (steps, *shape), yours and the right ones."""
    inputs = []
    for k, (a, n) in enumerate(zip(yours, right, strict=True)):
        with np.errstate(all="ignore"):
            size = np.sqrt(np.mean(np.where(np.isfinite(n), n, 0) ** 2))
            tolerance = relative * np.fmax(np.abs(n), size)
            same = (a == n) | (np.isnan(a) & np.isnan(n))           # a mistake may make both nan
            excess = np.where(same, 0, np.where(np.isfinite(a) & np.isfinite(n), np.abs(a - n) / tolerance, np.inf))
        worst = np.unravel_index(np.argmax(excess), excess.shape)
        wrong = int(np.sum(excess > 1))
        first = int(np.argmax(np.any((excess > 1).reshape(len(a), -1), axis=1)))
        text = [f"wrong from step {first} on"] if wrong else []
        inputs.append(InputReport(
            name=f"p{k}", shape=a.shape, verdict="FAIL" if wrong else "PASS", index=tuple(map(int, worst)),
            analytic=float(a[worst]), numeric=float(n[worst]), tolerance=float(tolerance[worst]),
            relative=relative * float(excess[worst]), size=float(size), excess=float(excess[worst]),
            visible=float(np.max(tolerance)), wrong=wrong, checked=a.size, text=text))
    return inputs


def _finish(report, raise_exception):
    if raise_exception and not report:
        raise GradcheckError(report)
    return report
