"""Predict the engine.                                        about 30 minutes

y = x * w computes a number, and notes down how: it makes an op, a node of the graph, which belongs to y. The op has
an edge for each input, to the op that computed the input, or to the input itself if it is a leaf: a tensor that the
user made. y.backward() goes along these edges from y to the leaves, runs the backward of every op that it meets, and
adds dy/dx to x.grad for every leaf x that was made with requires_grad=True.

Here you predict what microtensor does in short programs. All that there is to know stands in its source. That comes
with the package, in the folder that this command prints:

    python -c "import microtensor, os; print(os.path.dirname(microtensor.__file__))"

    core.pyx        class Op: an op, and what it keeps for its backward (save, check_saved, free_saved)
                    class Engine: one pass of backward, in three steps (count_gradients, run_in_order, add_to_leaves)
                    class no_grad: do not note down anything within `with mt.no_grad():`
    tensor.pxi      class Tensor: detach, numpy, fill_, and before_write, with which every write in place begins
    ops/*.pyx       the ops. `reads` says what backward reads, so what the op has to keep: INPUT is the first input,
                    OTHER the second one, OUTPUT y. For an op of one input the first word of its table says so, as
                    in unary(OUTPUT, ...). `give_gradients` is what it sends to its inputs. ops/base.pyx has what all
                    ops of one or two inputs share.

It is written in Cython, which is Python with the types of C. `cdef class`, `cdef int f(self)` and `cdef list names`
declare a class, a method and a variable. `<Op>edge` is edge, which is known to be an Op.

Each program below is a function of mt, which is microtensor: `import microtensor as mt` comes before. Write into
ANSWERS, at the end, what it does. Spaces, commas, capital and small letters make no difference, and a list is as
good as a string. Predict first. Afterwards you may run a program that returns something, in the folder of this file:

    python -c "import microtensor as mt, graph; print(graph.retained(mt))"

This file itself may not import microtensor.
"""

import contextlib

# -- Which ops does backward run, one after the other? ------------------------------------------------------------
# Their names, such as "Add Sum Log": Add for +, Mul for *, and Exp, Log, Sum, Tanh. An op that runs twice is written
# twice.


def constant(mt):
    x = mt.tensor([1.0, 2.0], requires_grad=True)
    w = mt.tensor([3.0, 4.0])
    (x.exp() * w.tanh()).sum().backward()


def shared(mt):
    x = mt.tensor(2.0, requires_grad=True)
    y = x.exp()
    z = y * y + y
    z.backward()


def branches(mt):
    x = mt.tensor(2.0, requires_grad=True)
    z = x.exp() * x.tanh() + x.log()
    z.backward()


# -- What does the program return? --------------------------------------------------------------------------------
# A number, "None", or "raises" if an exception ends the program.


def two_graphs(mt):
    x = mt.tensor(3.0, requires_grad=True)
    for _ in range(2):
        y = x * x
        y.backward()
    return x.grad


def product_twice(mt):
    x = mt.tensor(3.0, requires_grad=True)
    y = x * x
    y.backward()
    y.backward()
    return x.grad


def sum_twice(mt):
    x = mt.tensor(3.0, requires_grad=True)
    y = x + x
    y.backward()
    y.backward()
    return x.grad


def retained(mt):
    x = mt.tensor(3.0, requires_grad=True)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    with contextlib.suppress(RuntimeError):     # the program goes on if this raises
        y.backward()
    return x.grad


def in_between(mt):
    x = mt.tensor(3.0, requires_grad=True)
    y = x * x
    z = 5 * y
    z.backward()
    return y.grad


def contributions(mt):
    x = mt.tensor(3.0, requires_grad=True)
    y = x * x
    z = y * y + 5 * y
    return mt.grad(z, y)[0]             # dz/dy: what the engine sends to the op of y, all in all


# -- Which arrays does the op of y keep for its backward? ---------------------------------------------------------
# "x", "w", "y", several of them, such as "x y", or "nothing".


def keeps_exp(mt):
    x = mt.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    return y


def keeps_log(mt):
    x = mt.tensor([1.0, 2.0], requires_grad=True)
    y = x.log()
    return y


def keeps_relu(mt):
    x = mt.tensor([1.0, 2.0], requires_grad=True)
    y = x.relu()
    return y


def keeps_add(mt):
    x = mt.tensor([1.0, 2.0], requires_grad=True)
    w = mt.tensor([3.0, 4.0], requires_grad=True)
    y = x + w
    return y


def keeps_mul(mt):
    x = mt.tensor([1.0, 2.0], requires_grad=True)
    w = mt.tensor([3.0, 4.0])
    y = x * w
    return y


# -- Something is written in place. What raises an exception? -----------------------------------------------------
# The "write", the "backward" after it, or "neither".


def write_leaf(mt):
    x = mt.tensor(3.0, requires_grad=True)
    y = x * x
    x.fill_(0)
    y.backward()


def write_exp(mt):
    x = mt.tensor(3.0, requires_grad=True)
    y = x.exp()
    with mt.no_grad():
        y.fill_(0)
    y.backward()


def write_log(mt):
    x = mt.tensor(3.0, requires_grad=True)
    y = x.log()
    with mt.no_grad():
        y.fill_(0)
    y.backward()


def write_detached(mt):
    x = mt.tensor(3.0, requires_grad=True)
    y = x.exp()
    y.detach().fill_(0)
    y.backward()


def write_numpy(mt):
    x = mt.tensor(3.0, requires_grad=True)
    y = x.exp()
    y.detach().numpy()[...] = 0
    y.backward()


# -- Some of it is not noted down. What does the program return? --------------------------------------------------
# A number, "None", or "raises".


def detached(mt):
    x = mt.tensor(3.0, requires_grad=True)
    y = x * x.detach()
    y.backward()
    return x.grad


def not_recorded(mt):
    x = mt.tensor(3.0, requires_grad=True)
    with mt.no_grad():
        y = x * x
    z = y * x
    z.backward()
    return x.grad


def pass_in_no_grad(mt):
    x = mt.tensor(3.0, requires_grad=True)
    y = x * x
    with mt.no_grad():
        y.backward()
    return x.grad


ANSWERS = {
    "constant": "", "shared": "", "branches": "",
    "two_graphs": "", "product_twice": "", "sum_twice": "", "retained": "", "in_between": "", "contributions": "",
    "keeps_exp": "", "keeps_log": "", "keeps_relu": "", "keeps_add": "", "keeps_mul": "",
    "write_leaf": "", "write_exp": "", "write_log": "", "write_detached": "", "write_numpy": "",
    "detached": "", "not_recorded": "", "pass_in_no_grad": "",
}


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
