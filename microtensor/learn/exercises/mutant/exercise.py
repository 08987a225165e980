"""Which check kills it?                                      about 30 minutes

A test suite that passes says little until one knows what it would not let pass. So wrong code is planted into
microtensor on purpose. A mutant is one small edit of the code of a backward pass; a check that fails on it kills it.
Eight real mutants are below. For each of them you say which checks kill it.

Every op of microtensor, such as y = tanh(x), has its gradient dx = dL/dx twice, made of the upstream gradient
g = dL/dy:

    loops       compiled, for float32 and for float64. In the source both are one text, in which `real` stands for
                either. This is what loss.backward() runs.
    a rule      the method `rule`: the same gradient, made of operations on tensors. These can be differentiated
                again, so the rule is run where somebody wants the gradient of a gradient.

The command `microtensor gradcheck --op Tanh` verifies both. It draws inputs and g at random, in several shapes. All
inputs require a gradient, and no input lies at a kink. Among what it prints are four figures, each the largest
relative difference that was found, or inf where it is no rounding error any more:

    kernel      dx of the loops, against differences of the forward pass; in float64
    rule        dx of the rule, against dx of the loops; in float64
    single      y and dx of the loops in float32, against y and dx of the loops in float64
    second      the derivatives of dx with respect to x and g, which are computed through the rule, against
                differences of dx of the loops; in float64

A figure beyond its limit kills the mutant. What the four figures cannot see has tests of its own:

    kinks       at a kink the gradient is the one that is documented: of leaky_relu at 0, the slope of the left side
    alone       if one input alone requires a gradient, it is the same as if all do
    unread      what a gradient is not made of may be written in place between forward and backward, and backward
                raises no exception for it

And an edit that changes no result is killed by nothing: such a mutant is called equivalent.

Write into ANSWERS, at the end, for each mutant

    all of the four figures that are beyond their limits, such as "kernel single"
    or, if none of the four is, the test that kills it: "kinks", "alone" or "unread"
    or "nothing"

The lines are those of the package, in the folder that this command prints; "-" is what stands there, "+" the mutant:

    python -c "import microtensor, os; print(os.path.dirname(microtensor.__file__))"
"""

# a    ops/activation.pyx, tanh_backward: the loop of tanh. y is tanh(x).
#
#          for i in range(n):
#      -       dx[i] = g[i] * (<real>1 - y[i] * y[i])
#      +       dx[i] = g[i] * (<real>1 + y[i] * y[i])

# b    ops/softmax.pyx, Softmax.rule: self.output() is the y that forward computed, as a tensor in its graph.
#
#          def rule(self, Tensor g not None):
#              y = self.output()
#      -       return (y * (g - (g * y).sum(self.dim, keepdim=True)),)
#      +       return (y * (g + (g * y).sum(self.dim, keepdim=True)),)

# c    ops/base.pyx, unary_backward_part: calls the loop of an op with one input, here that of Tanh. job.input is what
#      the loop of this op reads, job.g is g, job.result is dx; first and last are places in them.
#
#          if job.single:
#      -       job.loops.backward_float(<const float*>job.input + first, <const float*>job.g + first,
#      -                                <float*>job.result + first, last - first, job.options)
#      +       job.loops.backward_float(<const float*>job.g + first, <const float*>job.g + first,
#      +                                <float*>job.result + first, last - first, job.options)

# d    ops/activation.pyx, Sigmoid.rule: the same as in b. detach() gives the same numbers without their graph.
#
#          def rule(self, Tensor g not None):
#      -       y = self.output()
#      +       y = self.output().detach()
#              return (g * y * (1 - y),)

# e    ops/activation.pyx, leaky_relu_backward: the loop of leaky_relu.
#
#          for i in range(n):
#      -       dx[i] = g[i] if x[i] > 0 else slope * g[i]
#      +       dx[i] = g[i] if x[i] >= 0 else slope * g[i]

# f    ops/arithmetic.pyx, Mul.reads: what y = a * b keeps for its backward. INPUT is a, OTHER is b, and needs(1) says
#      whether input 1, which is b, requires a gradient. The gradients are g b for a, and g a for b.
#
#          cdef int reads(self) noexcept:
#      -       return (INPUT if self.needs(1) else NOTHING) | (OTHER if self.needs(0) else NOTHING)
#      +       return (INPUT if True else NOTHING) | (OTHER if self.needs(0) else NOTHING)

# g    ops/base.pyx, unary_backward_part: the other half of c, again with Tanh.
#
#          else:
#      -       job.loops.backward_double(<const double*>job.input + first, <const double*>job.g + first,
#      -                                 <double*>job.result + first, last - first, job.options)
#      +       job.loops.backward_double(<const double*>job.g + first, <const double*>job.g + first,
#      +                                 <double*>job.result + first, last - first, job.options)

# h    ops/arithmetic.pyx, Sub.allocate_gradients: makes room for the gradient -g of b in y = a - b. The loop that
#      fills it runs if there is room. The gradient is then handed to Engine.deliver in core.pyx, which looks first
#      whether the input requires one.
#
#          cdef int allocate_gradients(self) except -1:
#      -       if self.needs(1):
#      +       if True:
#                  self.db = empty_like(<ndarray>self.g)

ANSWERS = {"a": "", "b": "", "c": "", "d": "", "e": "", "f": "", "g": "", "h": ""}


if __name__ == "__main__":
    from microtensor import learn

    learn.main(__file__)
