"""JAX: the whole step is one jitted function, its state donated, data and state on the device.

With asynchronous dispatch off, a call runs in the caller's thread, which saves a hand-over where every loss is read.
"""

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
from steps import LEARNING_RATE, MAX_NORM, MOMENTUM

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


def build(case, x, y, weights):
    """The step, and the gradients."""
    parameters = []
    for weight in weights:
        bias = jnp.zeros(len(weight))
        norm = [jnp.ones(len(weight)), jnp.zeros(len(weight))] if case.batch_norm and weight is not weights[-1] else []
        parameters.append([jnp.asarray(weight), bias, *norm])
    x, y = jnp.asarray(x), jnp.asarray(y, jnp.int32)

    @functools.partial(jax.jit, donate_argnums=0)
    def update(state, x, y):
        parameters, velocities, key = state
        key, now = jax.random.split(key) if case.dropout else (key, key)
        loss, gradients = jax.value_and_grad(cross_entropy)(parameters, case, x, y, now)
        norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradients)))
        clip = jnp.minimum(1.0, MAX_NORM / (norm + 1e-6))
        velocities = jax.tree.map(lambda v, g: MOMENTUM * v + clip * g, velocities, gradients)
        parameters = jax.tree.map(lambda p, v: p - LEARNING_RATE * v, parameters, velocities)
        return (parameters, velocities, key), loss

    state = (parameters, jax.tree.map(jnp.zeros_like, parameters), jax.random.key(0))

    def step():
        nonlocal state
        state, loss = update(state, x, y)
        return float(loss)

    def gradients():
        return [np.asarray(g) for g in jax.tree.leaves(jax.grad(cross_entropy)(state[0], case, x, y, state[2]))]

    return step, gradients
