# expect: step=write_leaf
"""The write to a leaf is taken to be noticed by backward only."""

ANSWERS = {
    "constant": "Sum Mul Exp", "shared": "Add Mul Exp", "branches": "Add Mul Exp Tanh Log",
    "two_graphs": 12, "product_twice": "raises", "sum_twice": 4, "retained": 12, "in_between": None,
    "contributions": 23,
    "keeps_exp": "y", "keeps_log": "x", "keeps_relu": "y", "keeps_add": "nothing", "keeps_mul": "w",
    "write_leaf": "backward", "write_exp": "backward", "write_log": "neither", "write_detached": "backward",
    "write_numpy": "neither",
    "detached": 3, "not_recorded": 9, "pass_in_no_grad": 6,
}
