"""Softsign: y' = (1 + |x| - x sign(x)) / (1 + |x|)^2 = 1 / (1 + |x|)^2, as x sign(x) = |x|. Backward reads x.

The source is in solution.patch: `git apply -C1 solution.patch` in the checkout, then build, and write docs/ledger.md.
"""

CHECKOUT = "microtensor"

JUMP = -4.0             # y'' = -2 sign(x) / (1 + |x|)^3: -2 on the right, 2 on the left
