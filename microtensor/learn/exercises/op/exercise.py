"""A new op in microtensor itself.                            about 60 minutes

The last exercise is not done in this file, but in the source of microtensor: you add an activation that it lacks.

    softsign(x)         y = x / (1 + |x|)           each element by itself; y lies between -1 and 1

Get ready:

    - You need a checkout: a copy of microtensor's repository, made by git clone. What pip installs without it has no
      tests, and cannot be built.
    - You need a C compiler. Then, in the folder of the checkout,

            python3 -m venv .venv && . .venv/bin/activate
            pip install -e ".[dev]"

      makes an environment in which the microtensor that is imported is the checkout. Run this course in it: the
      grader uses the same Python, and builds and tests the checkout with it.

Then do what "Add an op in five steps" in the checkout's CONTRIBUTING.md says. In short:

    1. Write the op at the end of microtensor/ops/activation.pyx, in the order that every op there has: the derivation
       as a comment; the loops, forward and backward; the table of loops, SOFTSIGN_LOOPS; the class Softsign; the
       function softsign, with a docstring. Read tanh first, which needs its output in backward, and then leaky_relu,
       which needs its input. Which of the two does softsign need?
    2. State in samples what your derivation says: the value, and the derivative.
    3. Export it: in microtensor/ops/__init__.py, in microtensor/nn/functional.py, and as a layer Softsign in
       microtensor/nn/activation.py. Add a line to CHANGELOG.md.
    4. Build and verify:

            python setup.py build_ext --inplace
            microtensor gradcheck --op Softsign
            microtensor gradcheck --write docs/ledger.md

       From the export until the build no command of microtensor starts, not even this course: softsign cannot be
       imported yet.

    5. Run the tests, of which the grader runs those that concern softsign.

When you think that it is right, fill in the two values below, and let this file be checked: `microtensor learn check
op`, again after each change of the source. It takes about a minute, the first time some more, as it builds all.

CHECKOUT is the path of the checkout's folder, a string. If it is relative, it is relative to this file's folder.

JUMP is a number, the answer to a question. The derivative y' of softsign is 1 at x = 0, from either side: y' has no
jump there, and so a gradient can be checked there as well as anywhere. But microtensor also compares gradients of
gradients with differences. By how much does the second derivative y'' jump at 0? JUMP is its limit from the right
minus its limit from the left. (This is why the samples of softsign should stay away from 0, and say so by kinks="0".)
"""

CHECKOUT = None         # such as "/home/me/microtensor"

JUMP = None             # a number


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
