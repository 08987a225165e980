"""JAX: the whole step is one jitted function, its state donated, data and state on the device.

With asynchronous dispatch off, a call runs in the caller's thread, which saves a hand-over where every loss is read.
"""

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
from steps import ADAM_RATE, BETAS, EPSILON, LEARNING_RATE, MAX_NORM, MOMENTUM

jax.config.update("jax_cpu_enable_async_dispatch", False)
if os.environ["OMP_NUM_THREADS"] == "1" and hasattr(os, "sched_setaffinity"):
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(every)})  # when it starts, JAX makes a thread per processor it may run on
    jax.devices()
    os.sched_setaffinity(0, every)


def cross_entropy(parameters, case, x, y, key):
    """The loss of a net whose parameters are a list of (weight, bias) or (weight, bias, gamma, beta)."""
    h = x
    for number, (weight, bias, *norm) in enumerate(parameters):
        h = h @ weight.T + bias
        if norm:
            h = (h - h.mean(0)) * jax.lax.rsqrt(h.var(0) + 1e-5) * norm[0] + norm[1]
        if number < len(parameters) - 1:
            h = jax.nn.relu(h)
            if case.dropout:
                keep = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - case.dropout, h.shape)
                h = jnp.where(keep, h / (1 - case.dropout), 0)
    return -jnp.take_along_axis(jax.nn.log_softmax(h), y[:, None], 1).mean()


def sgd(parameters, moments, gradients):
    """SGD with momentum: the new parameters, and the new velocities."""
    velocities = jax.tree.map(lambda v, g: MOMENTUM * v + g, moments, gradients)
    return jax.tree.map(lambda p, v: p - LEARNING_RATE * v, parameters, velocities), velocities


def adam(parameters, moments, gradients):
    """Adam: the new parameters, and the new number of steps and moments."""
    steps, m, v = moments
    steps += 1
    m = jax.tree.map(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, m, gradients)
    v = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, v, gradients)
    root = jnp.sqrt(1 - BETAS[1] ** steps)
    rate = ADAM_RATE * root / (1 - BETAS[0] ** steps)
    parameters = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + EPSILON * root), parameters, m, v)
    return parameters, (steps, m, v)


def initial(case, weights):
    """What a step changes: parameters, the optimizer's moments, and the key of random numbers."""
    parameters = []
    for weight in weights:
        bias = jnp.zeros(len(weight))
        norm = [jnp.ones(len(weight)), jnp.zeros(len(weight))] if case.batch_norm and weight is not weights[-1] else []
        parameters.append([jnp.asarray(weight), bias, *norm])
    zeros = functools.partial(jax.tree.map, jnp.zeros_like, parameters)  # an array each, as all are donated
    moments = (jnp.zeros(()), zeros(), zeros()) if case.optimizer == "Adam" else zeros()
    return parameters, moments, jax.random.key(0)


def train(case, state, x, y):
    """One step: the new state, and the loss."""
    parameters, moments, key = state
    key, now = jax.random.split(key) if case.dropout else (key, key)
    loss, gradients = jax.value_and_grad(cross_entropy)(parameters, case, x, y, now)
    norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradients)))
    clip = jnp.minimum(1.0, MAX_NORM / (norm + 1e-6))
    gradients = jax.tree.map(lambda g: clip * g, gradients)
    parameters, moments = {"SGD": sgd, "Adam": adam}[case.optimizer](parameters, moments, gradients)
    return (parameters, moments, key), loss


def build(case, x, y, weights):
    """The step, and the gradients."""
    x, y = jnp.asarray(x), jnp.asarray(y, jnp.int32)
    update = jax.jit(functools.partial(train, case), donate_argnums=0)
    state = initial(case, weights)

    def step():
        nonlocal state
        state, loss = update(state, x, y)
        return float(loss)

    def gradients():
        return [np.asarray(g) for g in jax.tree.leaves(jax.grad(cross_entropy)(state[0], case, x, y, state[2]))]

    return step, gradients
