"""Verdicts: what decides each pair; a, b and c are the same code at another x."""

ANSWERS = {
    "a": "PASS",            # no element is at the kink, and two have a gradient
    "b": "KINK",            # x[1] = 0: the slopes are 0 and 1, and backward takes 0
    "c": "VACUOUS",         # all of x is negative, where y and the gradient are 0
    "d": "FAIL",            # the numbers are right, but g is overwritten, and others still need it
    "e": "DISCONTINUOUS",   # x[1] = 1: y is nearly 1 on the left, and 0 at x and on the right
    "f": "PRECISION",       # float32 has 7 digits
    "g": "NONFINITE",       # x[1] = 0: y is 0, but the slope is infinite, and backward divides by 0
    "h": "NOISY",           # new random numbers in every call
    "i": "WEAK",            # y near 1e9 is rounded to 1e-7: with a step of 1e-2 a slope is right to 1e-5 only
}
