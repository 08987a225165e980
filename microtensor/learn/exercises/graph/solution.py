"""The engine, predicted: what decides each program."""

ANSWERS = {
    # An op runs when its output has been sent all its gradients; its first input comes next, others wait on a stack.
    "constant": "Sum Mul Exp",          # nothing requires a gradient in w.tanh(), so it is not on the graph
    "shared": "Add Mul Exp",            # Exp waits for three gradients, and runs once
    "branches": "Add Mul Exp Tanh Log",     # Log waits first, then Tanh on top of it

    # A pass adds to the .grad of leaves; whether a second one is possible depends on what was kept, and freed.
    "two_graphs": 12,                   # 2 x = 6 from each graph
    "product_twice": "raises",          # Mul keeps x, which the first pass frees
    "sum_twice": 4,                     # Add keeps nothing that could be freed
    "retained": 12,                     # two passes; the third raises before it changes anything
    "in_between": None,                 # y is no leaf
    "contributions": 23,                # 2 y + 5 with y = 9

    # An op keeps what its formula of the gradient reads, g besides.
    "keeps_exp": "y",                   # g y
    "keeps_log": "x",                   # g / x
    "keeps_relu": "y",                  # g where y > 0, which is where x > 0
    "keeps_add": "nothing",             # g
    "keeps_mul": "w",                   # g w for x; x would be for w, which needs no gradient

    # A write counts for all tensors on that memory, and backward looks at the counts of what was kept.
    "write_leaf": "write",              # it would not be recorded
    "write_exp": "backward",            # Exp keeps y
    "write_log": "neither",             # Log keeps x
    "write_detached": "backward",       # the same memory as y, and the same count
    "write_numpy": "neither",           # the same memory, but NumPy does not count: x.grad is wrong

    # What is not recorded is a constant.
    "detached": 3,                      # y = 3 x
    "not_recorded": 9,                  # z = 9 x
    "pass_in_no_grad": 6,               # y was recorded before, and a pass does not record
}
