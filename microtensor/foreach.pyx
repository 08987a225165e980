"""Loops over all parameters at once, in place and without temporaries: steps of optimisers, norms, scaling, clamping.

No gradient flows through these; they write where the graph must not look, and count each write in the tensor's version.
Everything is checked before anything is changed.
"""

cimport cython
cimport numpy as cnp
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.math cimport isfinite
from libc.stdlib cimport free, realloc
from libc.string cimport memset
from numpy cimport ndarray

from microtensor.core cimport (
    Action, Tensor, Version, alike, call_again, count_write, empty, empty_like, give_result, holding, is_taping,
    is_float, is_single, view_of, wrap,
)
from microtensor.kernels cimport simd
from microtensor.kernels.simd cimport real
from microtensor.kernels.sums cimport larger, sum_squares_run
from microtensor.kernels.threads cimport ELEMENTS_PER_THREAD, MAX_PARTS, UNIT, parallel_for

cnp.import_array()

cdef enum:
    STATES = 3          # arrays that an optimiser keeps for a parameter, at most
    NUMBERS = 2         # and numbers of the parameter alone, such as what depends on how many steps it has taken
    X = 0               # the places of a piece's arrays: a parameter or gradient; for an optimiser
    G = 1               # the parameter's gradient,
    STATE = 2           # and, from here on, what is kept for it
    ARRAYS = STATE + STATES

# A loop over n elements of one piece: x, and for an optimiser its gradient, its state (NULL for what is not kept) and
# its numbers; then the options of all pieces. Returns what a norm adds up, or 0.
ctypedef double (*piece_loop_float)(float* x, const float* g, float** state, const double* numbers, Py_ssize_t n,
                                    const double* options) noexcept nogil
ctypedef double (*piece_loop_double)(double* x, const double* g, double** state, const double* numbers, Py_ssize_t n,
                                     const double* options) noexcept nogil

cdef struct PieceLoops:
    piece_loop_float loop_float
    piece_loop_double loop_double


cdef struct Piece:
    char* data[ARRAYS]          # NULL where there is none
    PyObject* arrays[ARRAYS]    # owned: what data points into,
    PyObject* versions[ARRAYS]  # and the versions of those that are written
    double numbers[NUMBERS]
    bint single                 # float32, not float64
    Py_ssize_t n


cdef struct PieceJob:
    const PieceLoops* loops
    const double* options
    const Piece* piece
    bint largest                    # join the results of a part's pieces by the larger, not by the sum
    double results[MAX_PARTS]       # of each part


cdef void piece_part(void* job_pointer, Py_ssize_t number, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef PieceJob* job = <PieceJob*>job_pointer
    cdef const Piece* piece = job.piece
    cdef Py_ssize_t start = first * (4 if piece.single else 8), k
    cdef char* data[ARRAYS]
    cdef double result
    for k in range(ARRAYS):
        data[k] = piece.data[k] + start if piece.data[k] != NULL else NULL
    if piece.single:
        result = job.loops.loop_float(<float*>data[X], <const float*>data[G], <float**>data + STATE, piece.numbers,
                                      last - first, job.options)
    else:
        result = job.loops.loop_double(<double*>data[X], <const double*>data[G], <double**>data + STATE, piece.numbers,
                                       last - first, job.options)
    job.results[number] = larger(job.results[number], result) if job.largest else job.results[number] + result


@cython.final
@cython.no_gc
@cython.freelist(2)
cdef class Update:
    """One loop over many arrays; the arrays come one after the other, and threads share the elements of a long one."""

    cdef const PieceLoops* loops
    cdef double[8] options
    cdef Piece* pieces
    cdef Py_ssize_t count, room         # pieces, and for how many there is memory
    cdef Py_ssize_t longest             # elements of the longest
    cdef bint largest                   # the largest result of the loops is wanted, not their sum
    cdef dict copies                    # by piece, [(array, a contiguous one in its place, whether it is written)]
    cdef Update previous                # that of the group before, in an optimiser's step

    def __dealloc__(self):
        cdef Py_ssize_t piece, k
        for piece in range(self.count):
            for k in range(ARRAYS):
                Py_XDECREF(self.pieces[piece].arrays[k])
                Py_XDECREF(self.pieces[piece].versions[k])
        free(self.pieces)

    cdef inline int put(self, Py_ssize_t k, ndarray array, Version version) except -1:
        """Let the last piece compute with an array; with its version it may be written."""
        cdef Piece* piece = self.pieces + self.count - 1
        if not cnp.PyArray_ISCARRAY_RO(array):
            array = self.stand_in(array, version is not None)
        Py_INCREF(array)
        piece.arrays[k], piece.data[k] = <PyObject*>array, <char*>cnp.PyArray_DATA(array)
        if version is not None:
            Py_INCREF(version)
            piece.versions[k] = <PyObject*>version
        return 0

    cdef ndarray stand_in(self, ndarray array, bint written):
        """A contiguous array that takes the place of another one while the last piece runs."""
        cdef ndarray straight = empty_like(array)
        self.copies = self.copies or {}
        self.copies.setdefault(self.count - 1, []).append((array, straight, written))
        return straight

    cdef int exchange(self, Py_ssize_t piece, bint entering) except -1:
        """Copy the arrays of a piece in before it runs, and out after; others may share their memory."""
        cdef ndarray array, straight
        for array, straight, written in self.copies.get(piece, ()):
            if entering:
                cnp.PyArray_CopyInto(straight, array)
            elif written:
                cnp.PyArray_CopyInto(array, straight)
        return 0

    cdef Piece* add(self, ndarray x, Version version) except NULL:
        """A new piece, over an array that may be written, of this version."""
        if self.count == self.room:
            self.make_room()
        cdef Piece* piece = self.pieces + self.count
        self.count += 1
        memset(piece, 0, sizeof(Piece))
        self.put(X, x, version)
        piece.single = is_single(x)
        piece.n = cnp.PyArray_SIZE(x)
        self.longest = max(self.longest, piece.n)
        return piece

    cdef int make_room(self) except -1:
        """Let there be more pieces: at first so many that malloc has their memory at hand, then twice as many."""
        cdef Py_ssize_t room = 2 * self.room or 1024 // sizeof(Piece)
        cdef Piece* pieces = <Piece*>realloc(self.pieces, room * sizeof(Piece))
        if pieces == NULL:
            raise MemoryError
        self.pieces, self.room = pieces, room
        return 0

    cdef double run(self, bint writes) except? -1:
        """Run the loop on every piece; returns the sum of the results, or the largest."""
        cdef PieceJob job
        # All parts that there can be: another thread may change the number of threads between two pieces.
        cdef double result = 0
        cdef Py_ssize_t k, part, parts = 1 if self.longest < 2 * ELEMENTS_PER_THREAD else MAX_PARTS
        job.loops, job.options, job.largest = self.loops, self.options, self.largest
        for part in range(parts):
            job.results[part] = 0
        for k in range(self.count):
            job.piece = self.pieces + k
            if self.copies is not None:
                self.exchange(k, True)
            parallel_for(piece_part, &job, job.piece.n, UNIT, ELEMENTS_PER_THREAD)
            if self.copies is not None and writes:
                self.exchange(k, False)
        for part in range(parts):
            result = larger(result, job.results[part]) if self.largest else result + job.results[part]
        return result

    cdef int write(self) except -1:
        """Run the loop, which writes; whoever saved the memory before will notice."""
        self.run(True)
        cdef Py_ssize_t piece, k
        for piece in range(self.count):
            for k in range(ARRAYS):
                if self.pieces[piece].versions[k] != NULL:
                    count_write(<Version>self.pieces[piece].versions[k])
        return 0


cdef Update update_with(const PieceLoops* loops):
    cdef Update update = Update.__new__(Update)
    update.loops = loops
    return update


cdef inline Tensor checked(str name, object tensor):
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} takes tensors, got a {type(tensor).__name__}")
    return tensor


cdef int check_float(str name, Tensor tensor) except -1:
    if not is_float(tensor.array):
        raise TypeError(f"{name} takes float tensors, got one of dtype {tensor.dtype}")
    return 0


cdef int check_writeable(str name, ndarray array) except -1:
    if not cnp.PyArray_ISWRITEABLE(array):
        raise ValueError(f"{name} writes in place, but a tensor of shape {(<object>array).shape} has read-only memory: "
                         "use a clone()")
    return 0


# -- gradients ----------------------------------------------------------------------------------------------------

def zero_grad(list parameters not None, bint set_to_none=True):
    """Forget the gradient of every parameter, or set it to 0."""
    cdef Tensor parameter, gradient
    if is_taping():
        call_again(zero_grad, (parameters, set_to_none))
    for item in parameters:
        parameter = checked("zero_grad", item)
        gradient = parameter.gradient
        if set_to_none or gradient is None:
            parameter.gradient = None
        else:
            check_writeable("zero_grad", gradient.array)
            cnp.PyArray_FillWithScalar(gradient.array, 0)
            count_write(gradient.get_version())
            parameter.gradient = view_of(gradient, gradient.array)      # a leaf, whatever it was before


# -- optimisers ---------------------------------------------------------------------------------------------------

@cython.final
@cython.no_gc
@cython.freelist(2)
cdef class Step:
    """One step of an optimiser: every parameter with a gradient, and what is kept for it, checked and then updated."""

    cdef str name               # of the optimiser, in messages
    cdef dict state             # by parameter, {name: tensor or number}; what is new is added once the step is done
    cdef list new               # (parameter, name, tensor or number) for state; None while there is none
    cdef Tensor parameter       # the current one
    cdef dict own               # and what is kept for it, None before its first step
    cdef Update update          # of the current group
    cdef Piece* piece           # of the current parameter

    cdef Update begin(self, const PieceLoops* loops):
        """Go on to a group, whose options are to be filled in."""
        cdef Update update = update_with(loops)
        update.previous = self.update
        self.update = update
        return update

    cdef bint take(self, object item, bint keeps=True) except -1:
        """Go on to a parameter; False if it has no gradient. Whether anything is kept for it is said at once."""
        cdef Tensor p = checked(self.name, item)
        # First: a subclass's hash may run code, and after the checks nothing may change.
        self.own = self.state.get(p) if keeps else None
        self.parameter = p
        if p.gradient is None:
            return False
        check_float(self.name, p)
        # Read once, as a copy of one may let another thread run, which may replace them.
        cdef ndarray x = p.array, g = p.gradient.array
        check_writeable(self.name, x)
        if not alike(x, g):
            raise ValueError(f"{self.name}: a parameter is {p.shape} {p.dtype}, its gradient {p.gradient.shape} "
                             f"{p.gradient.dtype}")
        self.piece = self.update.add(x, p.get_version())
        self.update.put(G, g, None)
        return True

    cdef bint keep(self, Py_ssize_t k, str name, str what, bint zeros=True) except -1:
        """Let an array of the state be written, too; whether it is a new one, which holds zeros, or else nothing."""
        cdef Tensor p = self.parameter, kept = None if self.own is None else self.own.get(name)
        cdef ndarray x = p.array, array
        cdef bint is_new = kept is None
        if is_new:
            kept = wrap(array := empty_like(x))
            if zeros:
                cnp.PyArray_FILLWBYTE(array, 0)
            self.remember(name, kept)
        else:
            array = kept.array
            if not alike(x, array):
                raise ValueError(f"{self.name}: a parameter is {p.shape} {p.dtype}, its {what} {kept.shape} "
                                 f"{kept.dtype}: it changed since the last step; make a new optimizer")
            check_writeable(self.name, array)
        self.update.put(STATE + k, array, kept.get_version())
        return is_new

    cdef long long count(self) except -1:
        """Which step of the parameter this is, counted from 1."""
        cdef long long number = 1 if self.own is None else self.own.get("step", 0) + 1
        self.remember("step", number)
        return number

    cdef int remember(self, str name, object value) except -1:
        """Put a tensor or number into the state of the parameter once the step is done."""
        if self.new is None:
            self.new = []
        self.new.append((self.parameter, name, value))
        return 0

    cdef bint run(self) except -1:
        """Update everything; False if there is nothing."""
        cdef Update update = self.update
        cdef bint found = False
        while update is not None:
            found = found or update.count > 0
            update.write()
            update = update.previous
        for p, name, value in self.new or ():
            self.state.setdefault(p, {})[name] = value
        return found


cdef Step step_of(str name, dict state):
    """A Step of the optimiser of this name, with no group yet."""
    cdef Step step = Step.__new__(Step)
    step.name, step.state = name, state
    return step


# -- SGD ----------------------------------------------------------------------------------------------------------
# For a parameter p with gradient g, velocity v, learning rate lr, momentum mu, dampening d, weight decay w:
#     g <- g + w p                                    (-g first, to maximize)
#     v <- mu v + (1 - d) g;  v = g in the first step
#     p <- p - lr v;   with Nesterov's lookahead  p <- p - lr (g + mu v);   without momentum  p <- p - lr g
# Source: PyTorch's convention, Sutskever et al. 2013, with lr outside the velocity.

cdef double sgd_loop(real* p, const real* g, real** state, const double* numbers, Py_ssize_t n,
                     const double* options) noexcept nogil:
    """options: lr, momentum, undampened = 1 - dampening, weight decay, sign (-1 to maximize), whether Nesterov's."""
    cdef Py_ssize_t i
    cdef real lr = <real>options[0], mu = <real>options[1], undampened = <real>options[2], decay = <real>options[3]
    cdef real sign = <real>options[4], step
    cdef real* v = state[0]
    cdef bint nesterov = options[5] != 0
    if v == NULL:
        for i in range(n):
            p[i] -= lr * (sign * g[i] + decay * p[i])
    elif numbers[0] != 0:                   # v holds nothing yet: the first velocity is the gradient, undampened
        for i in range(n):
            step = sign * g[i] + decay * p[i]
            v[i] = step
            p[i] -= lr * (step + mu * v[i] if nesterov else v[i])
    else:
        for i in range(n):
            step = sign * g[i] + decay * p[i]
            v[i] = mu * v[i] + undampened * step
            p[i] -= lr * (step + mu * v[i] if nesterov else v[i])
    return 0


cdef PieceLoops SGD_LOOPS = PieceLoops(sgd_loop[float], sgd_loop[double])


def sgd_step(list groups not None, dict state not None):
    """One step of stochastic gradient descent on every parameter that has a gradient, in place.

    Args:
        groups: parameter groups as ``optim.SGD`` keeps them: "params" and the options.
        state: by parameter, {"momentum_buffer": its velocity}; new ones are added.

    Returns:
        Whether any parameter has a gradient.

    Raises:
        ValueError: if a parameter, its gradient and its velocity differ in shape or dtype; nothing is changed then.
    """
    if is_taping():
        call_again(sgd_step, (groups, state))
    cdef Step step = step_of("SGD", state)
    cdef bint keeps
    for group in groups:
        step.begin(&SGD_LOOPS).options = [
            group["lr"], group["momentum"], 1 - <double>group["dampening"], group["weight_decay"],
            -1 if group["maximize"] else 1, 1 if group["nesterov"] else 0, 0, 0]
        keeps = step.update.options[1] != 0         # without momentum there is no velocity
        for item in group["params"]:
            if step.take(item, keeps) and keeps:
                step.piece.numbers[0] = step.keep(0, "momentum_buffer", "momentum buffer", zeros=False)
    return step.run()


# -- Adam and AdamW -----------------------------------------------------------------------------------------------
# For a parameter p with gradient g, in its step t = 1, 2, ..., with m = v = 0 before the first:
#     g <- g + w p  (Adam)         p <- (1 - lr w) p  (AdamW, decoupled)               (-g first, to maximize)
#     m <- m + (1 - beta1) (g - m)
#     v <- beta2 v + (1 - beta2) g^2                 amsgrad: u <- max(u, v), and u in place of v from here
#     p <- p - lr / (1 - beta1^t)  m / (sqrt(v) / c + eps),  c = sqrt(1 - beta2^t)
#        = p - lr c / (1 - beta1^t)  m / (sqrt(v) + c eps),  with one division less for each element (end of section 2)
# E m = (1 - beta1^t) E g if E g does not change, as the weights (1 - beta1) beta1^k of the t gradients sum to that.
# Source: Kingma and Ba 2015, arXiv:1412.6980; Loshchilov and Hutter 2019, arXiv:1711.05101; Reddi et al. 2018,
# arXiv:1904.09237; amsgrad as in PyTorch: the largest v before its correction.

cdef double adam_loop(real* p, const real* g, real** state, const double* numbers, Py_ssize_t n,
                      const double* options) noexcept nogil:
    """options: 1 - beta1, beta2, 1 - beta2, weight decay of g, factor of p (decoupled), sign.

    numbers: lr c / (1 - beta1^t), c eps.
    """
    cdef Py_ssize_t i
    cdef real enter1 = <real>options[0], keep2 = <real>options[1], enter2 = <real>options[2]
    cdef real decay = <real>options[3], shrink = <real>options[4], sign = <real>options[5]
    cdef real size = <real>numbers[0], eps = <real>numbers[1], step
    cdef real* m = state[0]
    cdef real* v = state[1]
    cdef real* u = state[2]
    if u == NULL:
        for i in range(n):
            step = sign * g[i] + decay * p[i]
            m[i] += enter1 * (step - m[i])
            v[i] = keep2 * v[i] + enter2 * step * step
            p[i] = shrink * p[i] - size * m[i] / (simd.sqrt(v[i]) + eps)
    else:
        for i in range(n):
            step = sign * g[i] + decay * p[i]
            m[i] += enter1 * (step - m[i])
            v[i] = keep2 * v[i] + enter2 * step * step
            u[i] = larger(u[i], v[i])
            p[i] = shrink * p[i] - size * m[i] / (simd.sqrt(u[i]) + eps)
    return 0


cdef PieceLoops ADAM_LOOPS = PieceLoops(adam_loop[float], adam_loop[double])


def adam_step(list groups not None, dict state not None):
    """One step of Adam on every parameter that has a gradient, in place.

    Args:
        groups: parameter groups as ``optim.Adam`` keeps them: "params" and the options.
        state: by parameter, {"step", "exp_avg", "exp_avg_sq" and for amsgrad "max_exp_avg_sq"}; new ones are added.

    Returns:
        Whether any parameter has a gradient.

    Raises:
        ValueError: if a parameter, its gradient and its state differ in shape or dtype; nothing is changed then.
    """
    if is_taping():
        call_again(adam_step, (groups, state))
    return adam_or_adamw_step("Adam", groups, state, False)


def adamw_step(list groups not None, dict state not None):
    """As ``adam_step``, but weight decay is taken off the parameter, and not added to the gradient."""
    if is_taping():
        call_again(adamw_step, (groups, state))
    return adam_or_adamw_step("AdamW", groups, state, True)


cdef bint adam_or_adamw_step(str name, list groups, dict state, bint decoupled) except -1:
    cdef Step step = step_of(name, state)
    cdef double lr, beta1, beta2, eps, decay, correction
    cdef long long t
    for group in groups:
        lr, eps, decay = group["lr"], group["eps"], group["weight_decay"]
        beta1, beta2 = group["betas"]
        step.begin(&ADAM_LOOPS).options = [
            1 - beta1, beta2, 1 - beta2, 0 if decoupled else decay, 1 - lr * decay if decoupled else 1,
            -1 if group["maximize"] else 1, 0, 0]
        for item in group["params"]:
            if not step.take(item):
                continue
            t = step.count()
            correction = (1 - beta2**t) ** 0.5
            step.piece.numbers[0], step.piece.numbers[1] = lr * correction / (1 - beta1**t), correction * eps
            step.keep(0, "exp_avg", "first moment")
            step.keep(1, "exp_avg_sq", "second moment")
            if group["amsgrad"]:
                step.keep(2, "max_exp_avg_sq", "largest second moment")
    return step.run()


# -- RMSprop ------------------------------------------------------------------------------------------------------
# For a parameter p with gradient g, with v = a = b = 0 before the first step:
#     g <- g + w p                                                                     (-g first, to maximize)
#     v <- alpha v + (1 - alpha) g^2
#     r = sqrt(v) + eps;   centered:  a <- a + (1 - alpha) (g - a),  r = sqrt(v - a^2) + eps
#     p <- p - lr g / r;   with momentum  b <- mu b + g / r,  p <- p - lr b
# Source: Hinton 2012, lecture 6e; Graves 2013, arXiv:1308.0850, for the centred form; PyTorch's order of operations.

cdef double rmsprop_loop(real* p, const real* g, real** state, const double* numbers, Py_ssize_t n,
                         const double* options) noexcept nogil:
    """options: lr, alpha, 1 - alpha, eps, weight decay, momentum, sign, 0."""
    cdef Py_ssize_t i
    cdef real lr = <real>options[0], keep = <real>options[1], enter = <real>options[2], eps = <real>options[3]
    cdef real decay = <real>options[4], mu = <real>options[5], sign = <real>options[6], step, square
    cdef real* v = state[0]
    cdef real* a = state[1]
    cdef real* b = state[2]
    for i in range(n):
        step = sign * g[i] + decay * p[i]
        v[i] = keep * v[i] + enter * step * step
        square = v[i]
        if a != NULL:
            a[i] += enter * (step - a[i])
            square = v[i] - a[i] * a[i]
        step = step / (simd.sqrt(square) + eps)
        if b != NULL:
            b[i] = mu * b[i] + step
            step = b[i]
        p[i] -= lr * step
    return 0


cdef PieceLoops RMSPROP_LOOPS = PieceLoops(rmsprop_loop[float], rmsprop_loop[double])


def rmsprop_step(list groups not None, dict state not None):
    """One step of RMSprop on every parameter that has a gradient, in place.

    Args:
        groups: parameter groups as ``optim.RMSprop`` keeps them: "params" and the options.
        state: by parameter, {"square_avg", if centered "grad_avg", with momentum "momentum_buffer"}; new ones come in.

    Returns:
        Whether any parameter has a gradient.

    Raises:
        ValueError: if a parameter, its gradient and its state differ in shape or dtype; nothing is changed then.
    """
    if is_taping():
        call_again(rmsprop_step, (groups, state))
    cdef Step step = step_of("RMSprop", state)
    for group in groups:
        step.begin(&RMSPROP_LOOPS).options = [
            group["lr"], group["alpha"], 1 - <double>group["alpha"], group["eps"], group["weight_decay"],
            group["momentum"], -1 if group["maximize"] else 1, 0]
        for item in group["params"]:
            if not step.take(item):
                continue
            step.keep(0, "square_avg", "mean square")
            if group["centered"]:
                step.keep(1, "grad_avg", "mean gradient")
            if step.update.options[5] != 0:
                step.keep(2, "momentum_buffer", "momentum buffer")
    return step.run()


# -- norms --------------------------------------------------------------------------------------------------------
# |x|_q = (sum |x_i|^q)^(1/q);  |x|_inf = max |x_i|;  |x|_0 = the number of elements that are not 0

cdef double largest_loop(real* x, const real* g, real** state, const double* numbers, Py_ssize_t n,
                         const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real m = 0
    for i in range(n):
        m = larger(m, simd.fabs(x[i]))
    return m


cdef double squares_loop(real* x, const real* g, real** state, const double* numbers, Py_ssize_t n,
                         const double* options) noexcept nogil:
    return sum_squares_run(x, 0, n)


cdef double powers_loop(real* x, const real* g, real** state, const double* numbers, Py_ssize_t n,
                        const double* options) noexcept nogil:
    """The sum of |x|^q, q the first option."""
    cdef Py_ssize_t i
    cdef double total = 0
    for i in range(n):
        total += simd.power(<double>simd.fabs(x[i]), options[0]) if x[i] != 0 else 0
    return total


cdef PieceLoops LARGEST_LOOPS = PieceLoops(largest_loop[float], largest_loop[double])
cdef PieceLoops SQUARES_LOOPS = PieceLoops(squares_loop[float], squares_loop[double])
cdef PieceLoops POWERS_LOOPS = PieceLoops(powers_loop[float], powers_loop[double])


cdef double total_norm(Update update, double q) except? -1:
    """The norm |x|_q of all elements together."""
    if not q >= 0:
        raise ValueError(f"the norm's type must be at least 0 or inf, got {q}")
    update.largest = q == simd.INFINITY
    update.loops = &SQUARES_LOOPS if q == 2 else &LARGEST_LOOPS if update.largest else &POWERS_LOOPS
    update.options[0] = q
    cdef double total = update.run(writes=False)
    if update.largest or q == 0 or q == 1:
        return total
    return simd.sqrt(total) if q == 2 else simd.power(total, 1 / q)


# -- in place -----------------------------------------------------------------------------------------------------

cdef double scale_loop(real* x, const real* g, real** state, const double* numbers, Py_ssize_t n,
                       const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real factor = <real>options[0]
    for i in range(n):
        x[i] *= factor
    return 0


cdef double clamp_loop(real* x, const real* g, real** state, const double* numbers, Py_ssize_t n,
                       const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real limit = <real>options[0]
    for i in range(n):
        x[i] = limit if x[i] > limit else -limit if x[i] < -limit else x[i]
    return 0


cdef PieceLoops SCALE_LOOPS = PieceLoops(scale_loop[float], scale_loop[double])
cdef PieceLoops CLAMP_LOOPS = PieceLoops(clamp_loop[float], clamp_loop[double])


cdef Update update_of_gradients(str name, list parameters):
    """A loop over all elements of the gradients there are, which it may write to; which one is not said yet."""
    cdef Update update = update_with(NULL)
    cdef Tensor gradient
    cdef ndarray array
    for item in parameters:
        gradient = checked(name, item).gradient
        if gradient is None:
            continue
        check_float(name, gradient)
        array = gradient.array
        check_writeable(name, array)
        update.add(array, gradient.get_version())
    return update


def clip_grad_norm_(list parameters not None, double max_norm, double norm_type=2, bint error_if_nonfinite=False):
    """Scale the gradients of all parameters in place, by one factor, so that their joint norm is at most max_norm.

    Args:
        parameters: tensors of any shapes; those without a gradient are left out.
        max_norm: the largest norm that stays as it is.
        norm_type: q, a number of at least 0, or inf.
        error_if_nonfinite: whether to raise if the norm is nan or infinite, before anything is scaled.

    Returns:
        The norm before, a 0-d tensor of the first gradient's dtype; inf where float32 ends.

    Raises:
        RuntimeError: if the norm is not finite and error_if_nonfinite is set.
        ValueError: if norm_type is negative or nan, or a gradient's memory is read-only.

    Formula: norm = (sum |x|^q)^(1/q), taken in double;  x = x min(1, max_norm / (norm + 1e-6))
    """
    cdef Action again = call_again(clip_grad_norm_, (parameters, max_norm, norm_type, error_if_nonfinite)) \
        if is_taping() else None
    cdef Update update = update_of_gradients("clip_grad_norm_", parameters)
    cdef ndarray norm = empty(0, NULL, cnp.NPY_FLOAT64 if update.count > 0 and not update.pieces[0].single
                              else cnp.NPY_FLOAT32)
    cdef double total = total_norm(update, norm_type), factor = max_norm / (total + 1e-6)
    if error_if_nonfinite and not isfinite(total):
        raise RuntimeError(f"the gradients' norm of order {norm_type} is {total}, so they cannot be clipped: "
                           "lower the learning rate, or pass error_if_nonfinite=False")
    if not factor >= 1:         # a nan factor is applied: better gradients that are all nan than some
        update.loops, update.options[0] = &SCALE_LOOPS, factor
        update.write()
    cdef Tensor before = holding(norm, total)
    if again is not None:
        give_result(again, before)
    return before


def clip_grad_value_(list parameters not None, double limit):
    """Limit every element of the gradients of all parameters to [-limit, limit], in place."""
    if is_taping():
        call_again(clip_grad_value_, (parameters, limit))
    cdef Update update = update_of_gradients("clip_grad_value_", parameters)
    update.loops, update.options[0] = &CLAMP_LOOPS, limit
    update.write()


def increment_(Tensor counter not None):
    """Add 1 to a 0-d int64 tensor, in place."""
    if cnp.PyArray_TYPE(counter.array) != cnp.NPY_INT64 or cnp.PyArray_NDIM(counter.array) != 0:
        raise TypeError(f"increment_ takes a 0-d int64 tensor, got {counter.shape} {counter.dtype}")
    counter.check_writable()
    if is_taping():
        call_again(increment_, (counter,))
    cdef Version version = counter.get_version()
    (<long long*>cnp.PyArray_DATA(counter.array))[0] += 1
    count_write(version)
