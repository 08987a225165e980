"""Filled in by loops and by arithmetic, with a program that was changed to try something out."""

import numpy as np


def shared(mt):
    return mt.tensor(2.0)


x = np.float64(3)
ANSWERS = {"two_graphs": 2 * (2 * x), "sum_twice": 2 * (1 + 1), "retained": np.float32(2 * (2 * x)),
           "contributions": 2 * x**2 + 5, "detached": x, "not_recorded": x**2, "pass_in_no_grad": np.array(2 * x)}
ANSWERS |= dict.fromkeys(("keeps_exp", "keeps_relu"), "y")
ANSWERS |= dict.fromkeys(("write_exp", "write_detached"), "backward")
ANSWERS |= dict.fromkeys(("write_log", "write_numpy"), "neither")
ANSWERS["keeps_log"], ANSWERS["keeps_add"], ANSWERS["keeps_mul"] = "x", "nothing", "w"
ANSWERS["write_leaf"], ANSWERS["product_twice"], ANSWERS["in_between"] = "write", "raises", "None"
ANSWERS["constant"] = "Sum Mul Exp"
ANSWERS["shared"] = ANSWERS["constant"].replace("Sum", "Add").split()
ANSWERS["branches"] = [*ANSWERS["shared"], "Tanh", "Log"]
