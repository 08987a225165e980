"""The steps of every round of the hunt."""

from microtensor.learn.course import find
from microtensor.learn.hunt import name_of_slip, one_change, slip_of, without_diagnosis
from microtensor.learn.steps import gradient, step


def check(answer, draw):
    exercise = find(answer.module.__name__)
    pair = slip_of(exercise.number).pair
    repaired = gradient(answer, pair.forward.__name__, pair.backward.__name__, list(pair.inputs(draw)), pair.names,
                        told=without_diagnosis)
    yield repaired
    edited = step(answer, "edit", lambda: one_change(answer, exercise))
    yield edited
    if repaired.passed and edited.passed:
        yield step(answer, "WHY", lambda: name_of_slip(answer, exercise))
