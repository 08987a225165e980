"""Small letters, arrows and commas, numbers as texts."""

ANSWERS = {
    "constant": "sum -> mul -> exp", "shared": "add->mul->exp", "branches": "add, mul, exp, tanh, log",
    "two_graphs": "12", "product_twice": "Raises", "sum_twice": " 4 ", "retained": "12.0", "in_between": "none",
    "contributions": "23.",
    "keeps_exp": "Y", "keeps_log": "X", "keeps_relu": "Y", "keeps_add": "Nothing", "keeps_mul": "W",
    "write_leaf": "WRITE", "write_exp": "Backward", "write_log": "Neither", "write_detached": "BACKWARD",
    "write_numpy": "NEITHER",
    "detached": "3", "not_recorded": "9", "pass_in_no_grad": "6",
}
