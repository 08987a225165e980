"""Lists, sets, numbers and None, where there is a type for it."""

ANSWERS = {
    "constant": ["Sum", "Mul", "Exp"],
    "shared": ["Add", "Mul", "Exp"],
    "branches": ("Add", "Mul", "Exp", "Tanh", "Log"),
    "two_graphs": 12.0, "product_twice": "raises", "sum_twice": 4.0, "retained": 12.0, "in_between": None,
    "contributions": 23.0,
    "keeps_exp": {"y"}, "keeps_log": {"x"}, "keeps_relu": {"y"}, "keeps_add": {"nothing"}, "keeps_mul": {"w"},
    "write_leaf": "write", "write_exp": "backward", "write_log": "neither", "write_detached": "backward",
    "write_numpy": "neither",
    "detached": 3.0, "not_recorded": 9.0, "pass_in_no_grad": 6.0,
}
