"""The steps of every round of the hunt."""

from microtensor.learn.course import find
from microtensor.learn.hunt import inputs_of, name_of_slip, one_change, slip_of, without_diagnosis
from microtensor.learn.steps import gradient, step


def check(answer, draw):
    exercise = find(answer.module.__name__)
    pair, inputs = slip_of(exercise.number).pair, inputs_of(exercise.number, answer.seed)
    repaired = gradient(answer, pair.forward.__name__, pair.backward.__name__, list(inputs.values()), list(inputs),
                        told=without_diagnosis)
    yield repaired
    edited = step(answer, "edit", lambda: one_change(answer, exercise))
    yield edited
    if repaired.passed and edited.passed:
        yield step(answer, "WHY", lambda: name_of_slip(answer, exercise))
