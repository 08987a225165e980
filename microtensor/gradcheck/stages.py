"""Which stage of a backward pass goes wrong first, if forward is given as stages and backward tells their gradients."""

import numpy as np

from microtensor.gradcheck.difference import Ladder, hidden, output_noise
from microtensor.gradcheck.numpy_function import NumpyFunction


def first_wrong_stage(run):
    """A sentence on the stage through which backward goes wrong first, seen from the output.

    Args:
        run: the Run of a NumpyFunction with stages.

    Raises:
        ValueError: if the stages together are not forward, or a gradient is missing or of another shape.
    """
    subject = run.subject
    names, functions = zip(*subject.stages, strict=True)
    outputs, saved = subject.run()
    subject.gradients(subject.upstreams(run.probes[0]), saved)
    ours = subject.by_stage
    values = [functions[0](*[x.copy() for x in subject.inputs])]
    for function in functions[1:]:
        values.append(function(values[-1]))
    if np.shape(values[-1]) != outputs[0].shape or not np.allclose(values[-1], outputs[0], rtol=1e-9):
        raise ValueError(f"check_function: {', '.join(names)}, one after the other, do not give what forward gives")
    for k in reversed(range(len(names) - 1)):
        if names[k] not in ours:
            raise ValueError(f"check_function: backward returns no gradient for the output of stage {names[k]}, only "
                             f"for {', '.join(map(str, ours)) or 'none'}")
        if not _is_right(run, functions[k + 1 :], values[k], np.asarray(ours[names[k]]), names[k]):
            return (f"stages: going back, the gradient of the output of {names[k]} is the first that is wrong: the "
                    f"mistake is in the way through {names[k + 1]}")
    return f"stages: the gradients of all stages' outputs are right: the mistake is in the way through {names[0]}"


def _is_right(run, functions, z, ours, name):
    """Whether an array is dL/dz, L being the first upstream gradient times what the functions make of z."""
    if ours.shape != z.shape:
        raise ValueError(f"check_function: the gradient of the output of stage {name} has shape {ours.shape}, and the "
                         f"output {z.shape}")

    def rest(z):
        for function in functions:
            z = function(z)
        return z

    subject = NumpyFunction(rest, lambda g, z: g, [np.array(z, np.float64)], [name])
    centre = subject.evaluate()
    noise = output_noise(subject, centre, run.random)[1]
    size = np.sqrt(np.mean(ours * ours)) if ours.size else 0.0
    for place in np.ndindex(z.shape):
        ladder = Ladder(subject, (0, place), run.probes[:1], centre, noise)
        value, error = ladder.refine(1e-9 * size)
        if np.abs(ours[place] - value[0]) > max(8 * error[0], hidden(ladder)[0]) + 1e-9 * size:
            return False
    return True
