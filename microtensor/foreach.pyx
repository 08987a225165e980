"""Loops over all parameters at once, in place and without temporaries: the step of SGD, norms, scaling, clamping.

No gradient flows through these; they write where the graph must not look, and count each write in the tensor's version.
Everything is checked before anything is changed.
"""

cimport cython
cimport numpy as cnp
from libc.stdlib cimport free, realloc
from numpy cimport ndarray

from microtensor.core cimport (
    Tensor, Version, alike, count_write, empty, empty_like, holding, is_float, is_single, wrap,
)
from microtensor.kernels cimport simd
from microtensor.kernels.simd cimport real
from microtensor.kernels.sums cimport larger, sum_squares_run
from microtensor.kernels.threads cimport ELEMENTS_PER_THREAD, MAX_PARTS, UNIT, parallel_for

cnp.import_array()

# A loop over n elements of one piece: x, and for SGD its gradient and velocity. Returns what a norm adds up, or 0.
ctypedef double (*piece_loop_float)(float* x, const float* g, float* v, bint first, Py_ssize_t n,
                                    const double* options) noexcept nogil
ctypedef double (*piece_loop_double)(double* x, const double* g, double* v, bint first, Py_ssize_t n,
                                     const double* options) noexcept nogil

cdef struct PieceLoops:
    piece_loop_float loop_float
    piece_loop_double loop_double


cdef struct Piece:
    char* x             # the parameter or gradient
    const char* g       # for SGD: its gradient,
    char* v             # and its velocity, NULL without momentum
    bint first          # whether v is empty yet
    bint single         # float32, not float64
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
    cdef Py_ssize_t start = first * (4 if piece.single else 8)
    cdef char* x = piece.x + start
    cdef const char* g = piece.g + start if piece.g != NULL else NULL
    cdef char* v = piece.v + start if piece.v != NULL else NULL
    cdef double result
    if piece.single:
        result = job.loops.loop_float(<float*>x, <const float*>g, <float*>v, piece.first, last - first, job.options)
    else:
        result = job.loops.loop_double(<double*>x, <const double*>g, <double*>v, piece.first, last - first, job.options)
    job.results[number] = larger(job.results[number], result) if job.largest else job.results[number] + result


@cython.final
@cython.no_gc
cdef class Update:
    """One loop over many arrays; the arrays come one after the other, and threads share the elements of a long one."""

    cdef const PieceLoops* loops
    cdef double[8] options
    cdef Piece* pieces
    cdef Py_ssize_t count, longest      # pieces, and elements of the longest
    cdef double result                  # the loops' results, added up or, if largest, the largest
    cdef bint largest
    cdef list arrays                    # what the pieces point into
    cdef dict copies                    # by piece, [(array, a contiguous one in its place, whether it is written)]

    def __cinit__(self):
        self.arrays = []

    def __dealloc__(self):
        free(self.pieces)

    cdef char* address(self, ndarray array, bint written) except? NULL:
        """Where the array's elements are, or those of a contiguous one that takes its place while its piece runs."""
        cdef ndarray straight = array
        if not cnp.PyArray_ISCARRAY_RO(array):
            straight = empty_like(array)
            self.copies = self.copies or {}
            self.copies.setdefault(self.count - 1, []).append((array, straight, written))
        self.arrays.append(straight)
        return <char*>cnp.PyArray_DATA(straight)

    cdef int exchange(self, Py_ssize_t piece, bint entering) except -1:
        """Copy the arrays of a piece in before it runs, and out after; others may share their memory."""
        cdef ndarray array, straight
        for array, straight, written in self.copies.get(piece, ()):
            if entering:
                cnp.PyArray_CopyInto(straight, array)
            elif written:
                cnp.PyArray_CopyInto(array, straight)
        return 0

    cdef Piece* add(self, ndarray x, bint written=True) except NULL:
        cdef Piece* pieces
        if self.count % 16 == 0:
            pieces = <Piece*>realloc(self.pieces, (self.count + 16) * sizeof(Piece))
            if pieces == NULL:
                raise MemoryError
            self.pieces = pieces
        cdef Piece* piece = self.pieces + self.count
        self.count += 1
        piece.x = self.address(x, written)
        piece.g = piece.v = NULL
        piece.first = False
        piece.single = is_single(x)
        piece.n = cnp.PyArray_SIZE(x)
        self.longest = max(self.longest, piece.n)
        return piece

    cdef int run(self) except -1:
        cdef PieceJob job
        # All parts that there can be: another thread may change the number of threads between two pieces.
        cdef Py_ssize_t k, part, parts = 1 if self.longest < 2 * ELEMENTS_PER_THREAD else MAX_PARTS
        job.loops, job.options, job.largest = self.loops, self.options, self.largest
        for part in range(parts):
            job.results[part] = 0
        for k in range(self.count):
            job.piece = self.pieces + k
            if self.copies is not None:
                self.exchange(k, True)
            parallel_for(piece_part, &job, job.piece.n, UNIT, ELEMENTS_PER_THREAD)
            if self.copies is not None:
                self.exchange(k, False)
        for part in range(parts):
            self.result = larger(self.result, job.results[part]) if self.largest else self.result + job.results[part]
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


cdef int count_writes(list versions) except -1:
    """Whoever saved the memory before will notice."""
    cdef Version version
    for version in versions:
        count_write(version)
    return 0


# -- gradients ----------------------------------------------------------------------------------------------------

def zero_grad(list parameters not None, bint set_to_none=True):
    """Forget the gradient of every parameter, or set it to 0."""
    cdef Tensor parameter
    for item in parameters:
        parameter = checked("zero_grad", item)
        if set_to_none or parameter.gradient is None:
            parameter.gradient = None
        else:
            parameter.gradient = parameter.grad.detach().zero_()


def gradients(list parameters not None):
    """The parameters' gradients; those without one are left out."""
    cdef list result = []
    cdef Tensor parameter
    for item in parameters:
        parameter = checked("clipping", item)
        if parameter.gradient is not None:
            result.append(parameter.gradient)
    return result


# -- SGD ----------------------------------------------------------------------------------------------------------
# For a parameter p with gradient g, velocity v, learning rate lr, momentum mu, dampening d, weight decay w:
#     g <- g + w p                                    (-g first, to maximize)
#     v <- mu v + (1 - d) g;  v = g in the first step
#     p <- p - lr v;   with Nesterov's lookahead  p <- p - lr (g + mu v);   without momentum  p <- p - lr g
# Source: PyTorch's convention, Sutskever et al. 2013, with lr outside the velocity.

cdef double sgd_loop(real* p, const real* g, real* v, bint first, Py_ssize_t n, const double* options) noexcept nogil:
    """options: lr, momentum, undampened = 1 - dampening, weight decay, sign (-1 to maximize), whether Nesterov's."""
    cdef Py_ssize_t i
    cdef real lr = <real>options[0], mu = <real>options[1], undampened = <real>options[2], decay = <real>options[3]
    cdef real sign = <real>options[4], step
    cdef bint nesterov = options[5] != 0
    if v == NULL:
        for i in range(n):
            p[i] -= lr * (sign * g[i] + decay * p[i])
    elif first:                             # v holds nothing yet: the first velocity is the gradient, undampened
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


cdef Tensor velocity(dict state, Tensor p):
    """The parameter's momentum buffer, None before the first step."""
    cdef dict own = state.get(p)
    return None if own is None else own.get("momentum_buffer")


cdef Update sgd_update(dict group):
    """The update of a group, with its options and no pieces yet."""
    cdef Update update = update_with(&SGD_LOOPS)
    update.options = [group["lr"], group["momentum"], 1 - <double>group["dampening"], group["weight_decay"],
                      -1 if group["maximize"] else 1, group["nesterov"], 0, 0]
    return update


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
    cdef Tensor p, v
    cdef ndarray x, g, w        # read once, as a copy of one may let another thread run, which may replace them
    cdef Update update
    cdef Piece* piece
    cdef list updates = [], new = []
    cdef list written = []      # the versions of what is written
    for group in groups:
        update = sgd_update(group)
        updates.append(update)
        for item in group["params"]:
            p = checked("SGD", item)
            # First: a subclass's hash may run code, and after the checks nothing may change.
            v = velocity(state, p) if update.options[1] != 0 else None
            if p.gradient is None:
                continue
            check_float("SGD", p)
            x, g = p.array, p.gradient.array
            check_writeable("SGD", x)
            if not alike(x, g):
                raise ValueError(f"SGD: a parameter is {p.shape} {p.dtype}, its gradient {p.gradient.shape} "
                                 f"{p.gradient.dtype}")
            w = None if v is None else v.array
            if w is not None and not alike(x, w):
                raise ValueError(f"SGD: a parameter is {p.shape} {p.dtype}, its momentum buffer {v.shape} {v.dtype}: "
                                 "it changed since the last step; make a new optimizer")
            if w is not None:
                check_writeable("SGD", w)
            piece = update.add(x)
            piece.g = update.address(g, False)
            written.append(p.get_version())
            if update.options[1] == 0:              # no momentum, and so no velocity
                continue
            if w is None:
                v = wrap(w := empty_like(x))
                new.append((p, v))
                piece.first = True
            piece.v = update.address(w, True)
            written.append(v.get_version())
    for update in updates:
        update.run()
    count_writes(written)
    for p, v in new:
        state.setdefault(p, {})["momentum_buffer"] = v
    return len(written) > 0


# -- norms --------------------------------------------------------------------------------------------------------
# |x|_q = (sum |x_i|^q)^(1/q);  |x|_inf = max |x_i|;  |x|_0 = the number of elements that are not 0

cdef double largest_loop(real* x, const real* g, real* v, bint first, Py_ssize_t n,
                         const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real m = 0
    for i in range(n):
        m = larger(m, simd.fabs(x[i]))
    return m


cdef double squares_loop(real* x, const real* g, real* v, bint first, Py_ssize_t n,
                         const double* options) noexcept nogil:
    return sum_squares_run(x, 0, n)


cdef double powers_loop(real* x, const real* g, real* v, bint first, Py_ssize_t n,
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


def total_norm(list tensors not None, double norm_type=2):
    """The norm of all elements of all tensors together, taken in double.

    Args:
        tensors: float tensors of any shapes.
        norm_type: q, a number of at least 0, or inf.

    Returns:
        A Python float; 0 for no tensors.

    Raises:
        ValueError: if norm_type is negative or nan.

    Formula: (sum |x|^q)^(1/q)
    """
    if not norm_type >= 0:
        raise ValueError(f"the norm's type must be at least 0 or inf, got {norm_type}")
    cdef bint largest = norm_type == simd.INFINITY
    cdef Update norm = update_with(&SQUARES_LOOPS if norm_type == 2 else &LARGEST_LOOPS if largest else &POWERS_LOOPS)
    norm.options[0], norm.largest = norm_type, largest
    cdef Tensor tensor
    for item in tensors:
        tensor = checked("total_norm", item)
        check_float("total_norm", tensor)
        norm.add(tensor.array, written=False)
    norm.run()
    if largest or norm_type == 0 or norm_type == 1:
        return norm.result
    return simd.sqrt(norm.result) if norm_type == 2 else simd.power(norm.result, 1 / norm_type)


def number_like(double number, Tensor like not None):
    """A 0-d tensor of the float tensor's dtype; inf where float32 ends."""
    check_float("number_like", like)
    return holding(empty(0, NULL, cnp.PyArray_TYPE(like.array)), number)


# -- in place -----------------------------------------------------------------------------------------------------

cdef double scale_loop(real* x, const real* g, real* v, bint first, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real factor = <real>options[0]
    for i in range(n):
        x[i] *= factor
    return 0


cdef double clamp_loop(real* x, const real* g, real* v, bint first, Py_ssize_t n, const double* options) noexcept nogil:
    cdef Py_ssize_t i
    cdef real limit = <real>options[0]
    for i in range(n):
        x[i] = limit if x[i] > limit else -limit if x[i] < -limit else x[i]
    return 0


cdef PieceLoops SCALE_LOOPS = PieceLoops(scale_loop[float], scale_loop[double])
cdef PieceLoops CLAMP_LOOPS = PieceLoops(clamp_loop[float], clamp_loop[double])


cdef int run_on(const PieceLoops* loops, double option, str name, list tensors) except -1:
    """Check the tensors, write to all of them, and count the writes."""
    cdef Update update = update_with(loops)
    cdef Tensor tensor
    cdef ndarray array
    cdef list written = []          # versions, not the caller's list, which may change while the loop runs
    update.options[0] = option
    for item in tensors:
        tensor = checked(name, item)
        check_float(name, tensor)
        array = tensor.array
        check_writeable(name, array)
        update.add(array)
        written.append(tensor.get_version())
    update.run()
    count_writes(written)
    return 0


def scale_(list tensors not None, double factor):
    """Multiply every element of every float tensor by a factor, in place."""
    run_on(&SCALE_LOOPS, factor, "scale_", tensors)


def clamp_(list tensors not None, double limit):
    """Limit every element of every float tensor to [-limit, limit], in place."""
    run_on(&CLAMP_LOOPS, limit, "clamp_", tensors)


def increment_(Tensor counter not None):
    """Add 1 to a 0-d int64 tensor, in place."""
    if cnp.PyArray_TYPE(counter.array) != cnp.NPY_INT64 or cnp.PyArray_NDIM(counter.array) != 0:
        raise TypeError(f"increment_ takes a 0-d int64 tensor, got {counter.shape} {counter.dtype}")
    counter.before_write()
    cdef Version version = counter.get_version()
    (<long long*>cnp.PyArray_DATA(counter.array))[0] += 1
    count_write(version)
