"""Random programs: lines of Python that call microtensor, chosen by what is there when they run.

A Program is written and run line by line, so that the next line can fit the tensors that the last ones made, or miss
them by little. Most functions and methods are found by looking: what is added to microtensor is called from then on.
An argument is chosen by the name of its parameter; now and then it is a hostile one.

What a program may use is in ``namespace``. Every array is laid out in memory in some odd way; with ``calm``, in the
plain one, and the tensors that a ``pure`` line computes from are contiguous copies.
"""

import ast
import contextlib
import copy
import inspect
import pickle
import random
import re
import warnings

import numpy as np

LAYOUTS = ("plain", "transposed", "every second", "backwards", "unaligned", "one row", "read-only")
SHAPES = ((), (0,), (1,), (3,), (5,), (17,), (2, 3), (3, 3), (4, 1), (1, 4), (0, 3), (3, 0), (8, 5), (33, 17),
          (2, 3, 4), (1, 2, 1), (3, 1, 2, 2), (2,) * 6, (1,) * 64, (3,) + (1,) * 63, (1,) * 62 + (500, 1))
MAX_ELEMENTS = 1_000_000         # of what a gentle program makes: its numbers are compared with many others
LARGE = ((70_001,), (300, 257), (17, 5000), (40, 30, 33))      # several threads share these
FLOATS = ("float32", "float64")
DTYPES = (*FLOATS, *FLOATS, "int64", "int32", "int8", "uint8", "bool", "uint64", "int16")
HOSTILE = ("None", "()", "[]", "''", "'0'", "b''", "object()", "{}", "nan", "inf", "-inf", "-1", "64", "65", "-65",
           "1.5", "2 ** 31", "2 ** 61", "2 ** 63 - 1", "2 ** 63", "-2 ** 63", "2 ** 64 - 100", "10 ** 30", "1e300",
           "True", "1j", "mt", "mt.Tensor", "np.float32", "np.int8(-3)", "np.array(None)", "range(3)", "(0, 0)",
           "[[0], [1, 2]]", "slice(None)", "...", "lambda *a: None", "np.ma.masked_array([1.0, 2.0], [True, False])",
           "np.ones((2, 2)).view(np.matrix)", "np.datetime64('nat')", "[None]", "(None, 1)", "-0.0", "np.empty((0, 2))")
OPERATORS = ("{} + {}", "{} - {}", "{} * {}", "{} / {}", "{} @ {}", "{} < {}", "{} == {}", "{} & {}", "{} | {}",
             "{} >= {}")


class Meddling:
    """A number that does something when it is asked for its value."""

    def __init__(self, value, action):
        self.value, self.action = value, action

    def __index__(self):
        self.action()
        return self.value

    __int__ = __index__

    def __float__(self):
        return float(self.__index__())


def array(shape, dtype, layout, seed, kind="normal"):
    """Random numbers, laid out in memory as the layout says."""
    rng = np.random.default_rng(seed)
    if kind == "labels":
        numbers = rng.integers(0, 3, shape)
    elif kind == "ties":
        numbers = rng.integers(-1, 2, shape)
    elif kind == "unit":
        numbers = rng.random(shape) * 0.8 + 0.1
    else:
        numbers = rng.standard_normal(shape) * (1 if dtype in FLOATS else 20)
    numbers = np.asarray(numbers).astype(dtype)
    if layout == "transposed":
        return np.array(numbers.T, order="C").T
    if layout == "every second":
        wide = np.zeros([2 * size + 1 for size in shape], dtype)
        view = wide[tuple(slice(1, 2 * size + 1, 2) for size in shape)]
        view[...] = numbers
        return view
    if layout == "backwards":
        return np.array(numbers[(slice(None, None, -1),) * numbers.ndim])[(slice(None, None, -1),) * numbers.ndim]
    if layout == "unaligned":
        memory = np.zeros(numbers.nbytes + 1, np.uint8)
        view = np.frombuffer(memory.data, dtype, count=numbers.size, offset=1).reshape(shape)
        view[...] = numbers
        return view
    if layout == "one row" and numbers.ndim and shape[0]:
        return np.broadcast_to(numbers[:1], shape)
    if layout == "read-only":
        numbers.flags.writeable = False
    return numbers


def plain_array(shape, dtype, layout, seed, kind="normal"):
    """array, in the plain layout."""
    return np.array(array(shape, dtype, layout, seed, kind), order="C")


def copy_of(x):
    """What a tensor that is named in a pure line becomes."""
    return x.clone()


class Disturbed:
    """plain_array and copy_of with numbers that are off by so many units in the last place, at random.

    As every use of a tensor has a disturbance of its own, gradients that cancel each other do so no better than
    rounding allows.
    """

    def __init__(self, units, seed):
        self.units, self.draw = units, np.random.default_rng(seed)

    def factor(self, dtype, shape=None):
        return 1 + self.units * np.finfo(dtype).eps * self.draw.uniform(-1, 1, shape)

    def array(self, shape, dtype, layout, seed, kind="normal"):
        numbers = plain_array(shape, dtype, layout, seed, kind)
        return (numbers * self.factor(dtype, shape)).astype(dtype) if dtype in FLOATS else numbers

    def copy_of(self, x):
        return x.clone() * float(self.factor(x.dtype)) if x.dtype in FLOATS else x.clone()


def namespace(mt, array=array, copy_of=copy_of):
    """What the lines of a program may name; mt is microtensor, or a library of the same names."""
    nn = mt.nn

    class Liar(mt.Tensor):
        """A tensor whose properties and comparisons are false."""

        shape = property(lambda self: (1000, 1000))
        ndim = property(lambda self: 2)
        dtype = property(lambda self: np.dtype(np.float64))

        def __eq__(self, other):
            return True

        def __hash__(self):
            return 0

        def __add__(self, other):
            return 7

        __radd__ = __mul__ = __rmul__ = __add__

    def lie(numbers):
        liar = Liar()
        liar.data = mt.from_numpy(numbers)
        return liar

    return {"mt": mt, "nn": nn, "F": nn.functional, "np": np, "nan": float("nan"), "inf": float("inf"), "copy": copy,
            "pickle": pickle, "array": array, "copy_of": copy_of, "Meddling": Meddling, "lie": lie, "optim": mt.optim}


class Line:
    """A line of a program.

    Args:
        text: Python, with {} where a tensor is named.
        tensors: their names.
        result: the name that it assigns to, or None.
        pure: whether it does the same if its tensors are copies.
        calm: whether it leaves memory that a graph has saved alone, and so says what all numbers are.
    """

    def __init__(self, text, tensors=(), result=None, pure=False, calm=True):
        self.text, self.tensors, self.result, self.pure, self.calm = text, tuple(tensors), result, pure, calm

    def source(self, copied=False):
        """As a line of Python; with copied, the tensors of a pure line are copies."""
        form = "copy_of({})" if copied and self.pure else "{}"
        text = self.text.format(*[form.format(name) for name in self.tensors]) if self.tensors else self.text
        return text if self.result is None else f"{self.result} = {text}"

    def with_tensor(self, name, other):
        """The line with another tensor in place of one."""
        tensors = [other if tensor == name else tensor for tensor in self.tensors]
        return Line(self.text, tensors, self.result, self.pure, self.calm)

    @classmethod
    def read(cls, text):
        """A line from its repr."""
        return cls(*ast.literal_eval(text))

    def __repr__(self):
        return repr((self.text, self.tensors, self.result, self.pure, self.calm))


def run(lines, names, copied=False, strict=False):
    """Run lines; an exception ends its line only, or all if it is strict. Returns for each whether it ended well."""
    ended_well = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for line in lines:
            try:
                exec(line.source(copied), names)
                ended_well.append(True)
            except Exception:
                if strict:
                    raise
                ended_well.append(False)
    return ended_well


def callables(mt):
    """(text, parameters, whether pure) of all functions, and of the tensor's methods."""
    unfit = {"gradcheck", "gradgradcheck", "load", "save", "Generator", "enable_grad", "no_grad", "set_grad_enabled",
             "registered_ops", "default_generator", "empty_cache", "get_num_threads", "is_grad_enabled", "backward",
             "set_num_threads", "Tensor", "requires_grad_", "zero_grad", "empty", "empty_like"}
    # What may give its input back, or a view of it, and what writes.
    impure = {"alpha_dropout", "batch_norm", "dropout", "sum_to", "manual_seed", "grad", "from_numpy", "copy_",
              "fill_", "zero_", "numpy", "detach", "t", "transpose", "permute", "expand", "expand_as", "view",
              "reshape", "squeeze", "unsqueeze", "index", "flatten", "contiguous", "to", "float", "double", "long",
              "bool"}
    found = []
    for owner, prefix in ((mt, "mt."), (mt.nn.functional, "F."), (mt.Tensor, "{}."), (mt.nn.init, "nn.init."),
                          (mt.nn.utils, "nn.utils.")):
        for name, function in sorted(vars(owner).items()):
            if name.startswith("_") or name in unfit or not callable(function) or inspect.isclass(function):
                continue
            try:
                parameters = list(inspect.signature(function).parameters.values())
            except ValueError:
                continue
            if owner is mt.Tensor:
                parameters = parameters[1:]
            pure = name not in impure and not name.endswith("_") and owner not in (mt.nn.init, mt.nn.utils)
            found.append((prefix + name, parameters, pure))
    return found


class Writer:
    """Writes a program, and runs it while it is written.

    Args:
        mt: the library.
        seed: of the program.
        gentle: no line that may change numbers behind the library's back, so that all its numbers can be compared.
        tell: called with each line before it runs.
        dtypes: of the arrays.
    """

    def __init__(self, mt, functions, seed, gentle, tell, dtypes=DTYPES):
        self.mt, self.functions, self.random, self.gentle, self.tell = mt, functions, random.Random(seed), gentle, tell
        self.dtypes = dtypes
        self.names = namespace(mt)
        self.lines, self.ended_well = [], []
        self.count = 0
        # Whether a reshape is a view, or contiguous() the tensor itself, hangs on the layout, so gentle programs that
        # write in place, freeze a tensor, or ask for the gradient of one, do without.
        self.writes = not gentle or self.chance(0.5)
        if gentle:
            banned = r"init\.|\w_$" if not self.writes else r"reshape|view|flatten|contiguous|\.to$"
            self.functions = [function for function in functions if not re.search(banned, function[0])]

    def write(self, length):
        """So many statements, most of one line."""
        self.new_tensor()
        statements = [(self.new_tensor, 4), (self.call, 16), (self.operator, 6), (self.view, 5), (self.loss, 4),
                      (self.backward, 5), (self.in_place, 3 * self.writes), (self.grad, 2 * self.writes),
                      (self.layer, 3), (self.mode, 1), (self.copies, 1), (self.freeze, self.writes)]
        if not self.gentle:
            statements += [(self.meddle, 8), (self.node, 5), (self.huge, 1), (self.meddling_number, 1)]
        kinds, weights = zip(*statements, strict=True)
        for _ in range(length):
            self.random.choices(kinds, weights)[0]()
        if self.gentle:
            for name in self.tensors(lambda t: t.requires_grad and t.grad_fn is not None)[-3:]:
                self.weighted_backward(name)
        return self

    # -- lines

    def add(self, text, tensors=(), result=None, pure=False, calm=True):
        """Add a line and run it. Returns the name of its result, or None if it failed."""
        line = Line(text, tensors, result, pure, calm)
        self.tell(line)
        self.lines.append(line)
        self.ended_well += run([line], self.names)
        if self.ended_well[-1] and self.gentle and isinstance(self.names.get(result), self.mt.Tensor) and \
                self.names[result].numel() > MAX_ELEMENTS:
            del self.names[result]
            self.ended_well[-1] = False
        return result if self.ended_well[-1] else None

    def fresh(self, letter):
        self.count += 1
        return f"{letter}{self.count}"

    # -- choices

    def chance(self, probability):
        return self.random.random() < probability

    def tensors(self, condition=lambda x: True):
        """The names of tensors that there are."""
        Tensor = self.mt.Tensor      # noqa: N806
        return [name for name, x in self.names.items()
                if re.fullmatch(r"[tv]\d+", name) and isinstance(x, Tensor) and condition(x)]

    def tensor(self, condition=lambda x: True):
        """The name of a tensor that is of this kind, or if there is none of any."""
        fitting = self.tensors(condition) or self.tensors() or [self.new_tensor((3,), "float32")]
        return self.random.choice(fitting[-8:] if self.chance(0.7) else fitting)

    def float_tensor(self):
        return self.tensor(lambda x: x.numel() < 200_000 and x.dtype in (np.float32, np.float64))

    def seed(self):
        return self.random.randrange(1000)

    def new_array(self, shape=None, dtype=None, kind=None):
        shape = shape if shape is not None else self.random.choice(SHAPES if self.chance(0.93) else LARGE)
        dtype = dtype or self.random.choice(self.dtypes)
        kind = kind or self.random.choice(("normal", "normal", "normal", "ties", "unit"))
        layout = self.random.choice(LAYOUTS)
        return self.add(f"array({shape!r}, {dtype!r}, {layout!r}, {self.seed()}, {kind!r})", result=self.fresh("a"))

    def new_tensor(self, shape=None, dtype=None, kind=None):
        if dtype is None and self.chance(0.7):
            dtype = self.random.choice(FLOATS)
        text = f"mt.from_numpy({self.new_array(shape, dtype, kind)})"
        if dtype in FLOATS and self.chance(0.6):
            text += ".requires_grad_()"
        return self.add(text, result=self.fresh("t"))

    def dim(self, ndim):
        return str(self.random.randint(-ndim, max(ndim - 1, 0)) if self.chance(0.93) else self.random.randint(-66, 66))

    def shape(self, x):
        """A shape that x may take, or nearly."""
        sizes = list(x.shape)
        way = self.random.randrange(6)
        if way == 0:
            self.random.shuffle(sizes)
        elif way == 1:
            sizes = [-1]
        elif way == 2:
            sizes.insert(0, self.random.choice((1, 2, 1)))
        elif way == 3 and sizes:
            sizes[self.random.randrange(len(sizes))] = self.random.choice((-1, 0, 1, 3))
        elif way == 4:
            sizes = [1] * self.random.choice((0, 1, 63 - len(sizes), 64 - len(sizes), 65)) + sizes
        else:
            sizes = list(self.random.choice(SHAPES))
        return repr(tuple(sizes))

    def key(self, x):
        """An index."""
        parts = ("0", "-1", ":", "::2", "::-1", "1:", "None", "...", "[0, 0]", "1:1", "[-1]", "slice(5, None, -2)",
                 "True", "np.array([0, 1])", "5")
        if self.chance(0.15):
            return self.tensor(lambda t: t.dtype in (np.dtype(bool), np.dtype(np.int64)))
        return ", ".join(self.random.choices(parts, k=self.random.randint(1, max(1, x.ndim))))

    def argument(self, name, x, tensors):
        """An argument for the parameter of this name, as text; the names of tensors in it are added to tensors."""
        choice = self.random.choice
        if self.chance(0.02 if self.gentle else 0.12):
            return choice(HOSTILE)

        def named(tensor):
            tensors.append(tensor)
            return "{}"

        if name in ("input", "other", "target", "weight", "bias", "condition", "exponent", "tensor", "running_mean",
                    "running_var", "pos_weight", "gradient", "source"):
            if name in ("weight", "bias", "pos_weight") and self.chance(0.5):
                return "None"
            if name == "condition":
                return named(self.tensor(lambda t: t.dtype == np.dtype(bool)))
            if name in ("other", "exponent", "source") and self.chance(0.3):
                return choice(("2", "0.5", "-1.5", "3", "True", "0"))
            same = self.tensors(lambda t: t.shape == x.shape) if self.chance(0.6) else []
            return named(choice(same) if same else self.float_tensor())
        if name in ("tensors", "inputs", "outputs"):
            parts = [named(self.tensor(lambda t: t.shape == x.shape)) for _ in range(choice((1, 2, 3)))]
            return f"[{', '.join(parts)}]"
        if name in ("dim", "dim0", "dim1", "start_dim", "end_dim"):
            if name == "dim" and self.chance(0.25):
                return choice((f"({self.dim(x.ndim)}, {self.dim(x.ndim)})", "None", f"[{self.dim(x.ndim)}]"))
            return self.dim(x.ndim)
        if name in ("keepdim", "training", "create_graph", "allow_unused", "requires_grad", "retain_graph"):
            return choice(("True", "False"))
        if name in ("shape", "sizes", "size"):
            return self.shape(x)
        if name == "dims":
            dims = list(range(x.ndim))
            self.random.shuffle(dims)
            return repr(tuple(dims)) if dims else "()"
        if name == "dtype":
            return "mt." + choice(("float32", "float64", "int64", "int8", "bool", "uint8"))
        if name == "reduction":
            return choice(("'mean'", "'sum'", "'none'"))
        if name == "key":
            key = self.key(x)
            return "0" if ":" in key or not key or key[0] == "t" else f"({key},)"
        if name == "array":
            array = choice([n for n in self.names if re.fullmatch(r"a\d+", n)])
            return f"{array}.copy()" if self.gentle else array      # no two tensors that do not know of each other
        if name == "data":
            return choice(("[1.5, 2]", "[[1, 2], [3, 4]]", "3", "[]", "np.eye(3)"))
        if name == "generator":
            return "None"
        if name in ("alpha", "beta", "p", "eps", "momentum", "negative_slope", "label_smoothing", "max_norm", "std",
                    "mean"):
            return choice(("0.1", "0.5", "0.9", "1.0", "0.0"))
        return choice(("0", "1", "2", "3", "0.5", "-1", "-100"))

    def arguments(self, parameters, x, tensors):
        """Arguments for parameters, the optional ones only now and then."""
        parts = []
        for parameter in parameters:
            if parameter.kind is parameter.VAR_POSITIONAL:
                parts.append("*" + self.argument(parameter.name, x, tensors))
            elif parameter.default is parameter.empty:
                parts.append(self.argument(parameter.name, x, tensors))
            elif self.chance(0.3):
                parts.append(f"{parameter.name}={self.argument(parameter.name, x, tensors)}")
        return ", ".join(parts)

    # -- statements

    def call(self):
        text, parameters, pure = self.random.choice(self.functions)
        tensors = []
        name = self.float_tensor() if self.chance(0.8) else self.tensor()
        if text.startswith("{}"):
            tensors.append(name)
        elif parameters and parameters[0].name in ("input", "tensor") and self.chance(0.95):
            tensors.append(name)
            text, parameters = f"{text}({{}}", parameters[1:]
            rest = self.arguments(parameters, self.names[name], tensors)
            self.add(f"{text}, {rest})" if rest else f"{text})", tensors, self.fresh("t"), pure)
            return
        self.add(f"{text}({self.arguments(parameters, self.names[name], tensors)})", tensors, self.fresh("t"), pure)

    def operator(self):
        way = self.random.randrange(5)
        x = self.float_tensor()
        if way == 0:
            self.add(self.random.choice(("-{}", "abs({})", "{}.T", "+{}", "{}.relu()", "({} > 0)", "{}.exp()",
                                         "{} ** 2", "1 / {}", "2 - {}")), [x], self.fresh("t"), False)
            return
        tensors = []
        first, second = (self.argument("other", self.names[x], tensors), "{}") if way == 1 else ("{}", None)
        if second is None:
            tensors.append(x)
            second = self.argument("other", self.names[x], tensors)
        else:
            tensors.append(x)
        self.add(self.random.choice(OPERATORS).format(first, second), tensors, self.fresh("t"), True)

    def view(self):
        x = self.tensor(lambda t: t.numel() < 200_000)
        t = self.names[x]
        texts = [f"{{}}[{self.key(t)}]", f"{{}}.expand({self.shape(t)})", "{}.T", "{}.detach()", "{}.squeeze()",
                 "{}.data", f"{{}}.transpose({self.dim(t.ndim)}, {self.dim(t.ndim)})",
                 f"{{}}.unsqueeze({self.dim(t.ndim)})"]
        if not (self.gentle and self.writes):
            texts += [f"{{}}.reshape({self.shape(t)})", "{}.flatten()"]
        text = self.random.choice(texts)
        self.add(text, [x], self.fresh("v"))

    def loss(self):
        """A call whose arguments fit, which chance would seldom find."""
        def fits(t):
            return t.ndim == 2 and t.dtype in FLOATS and 0 < t.numel() < 200_000 and t.shape[1] <= 5000

        x = self.tensor(fits)
        t = self.names[x]
        if not fits(t):
            x = self.new_tensor(self.random.choice(((8, 5), (33, 17), (300, 40))), self.random.choice(FLOATS))
            if x is None:
                return
            t = self.names[x]
        way = self.random.randrange(4)
        options = self.random.choice(("", ", reduction='sum'", ", reduction='none'", ", label_smoothing=0.1",
                                      ", ignore_index=1"))
        if way == 0:
            labels = self.new_array((t.shape[0],), self.random.choice(("int64", "int32", "uint8", "uint64")), "labels")
            self.add(f"F.cross_entropy({{}}, mt.from_numpy({labels}){options})", [x], self.fresh("t"), True)
            if not self.gentle and self.chance(0.7):
                value = self.random.choice(("100", "5", "17", "-5", "1", "2 ** 60", "-2 ** 60"))
                self.add(f"np.copyto({labels}, np.array({value}, {labels}.dtype))", calm=False)
                self.backward(self.tensors()[-1])
        elif way == 1:
            labels = self.new_array((t.shape[0],), "int64", "labels")
            self.add(f"F.nll_loss({{}}.log_softmax(1), mt.from_numpy({labels}))", [x], self.fresh("t"), True)
        elif way == 2:
            w = self.new_tensor((self.random.choice((1, 5, 33)), t.shape[1]), str(t.dtype))
            b = self.new_tensor((self.names[w].shape[0],), str(t.dtype))
            self.add("F.linear({}, {}, {})" if self.chance(0.7) else "F.linear({}, {})", [x, w, b], self.fresh("t"),
                     True)
        else:
            parts = [self.new_tensor((t.shape[1],), str(t.dtype)) for _ in range(2)]
            self.add("F.batch_norm({}, None, None, {}, {}, training=True)", [x, *parts], self.fresh("t"), True)

    def backward(self, x=None):
        x = x or self.tensor(lambda t: t.requires_grad and t.numel() < 200_000)
        t = self.names[x]
        if t.numel() == 1 and self.chance(0.7):
            self.add(self.random.choice(("{}.backward()", "{}.backward(retain_graph=True)")), [x])
        elif self.chance(0.7):
            self.add(self.random.choice(("{}.sum().backward()", "({} * {}).mean().backward()")), [x, x])
        else:
            tensors = [x]
            argument = self.argument("gradient", t, tensors)
            self.add(f"{{}}.backward({argument})", tensors)

    def weighted_backward(self, x):
        """backward from all elements of x, with random weights."""
        t = self.names[x]
        weights = self.add(f"array({t.shape}, '{t.dtype}', 'plain', {self.seed()}, 'normal')", result=self.fresh("a"))
        self.add(f"({{}} * mt.from_numpy({weights})).sum().backward()", [x])

    def grad(self):
        tensors = []
        x = self.names[self.tensor(lambda t: t.requires_grad and t.is_leaf)]
        y = self.tensor(lambda t: t.requires_grad and not t.is_leaf and t.numel() < 200_000)
        outputs = self.argument("outputs", self.names[y], tensors) if self.chance(0.3) else "{}.sum()"
        if outputs == "{}.sum()":
            tensors.append(y)
        inputs = self.argument("inputs", x, tensors) if self.chance(0.5) else "{}"
        if inputs == "{}":
            tensors.append(self.tensor(lambda t: t.requires_grad))
        options = self.random.choice(("", ", allow_unused=True", ", create_graph=True", ", retain_graph=True"))
        if not self.gentle and self.chance(0.2):
            options += f", grad_outputs={self.argument('tensors', x, tensors)}"
        self.add(f"mt.grad({outputs}, {inputs}{options})[0]", tensors, self.fresh("t"))

    def in_place(self):
        x = self.tensor(lambda t: t.numel() < 200_000)
        tensors = [x]
        argument = self.argument("source", self.names[x], tensors)
        text = self.random.choice((f"{{}}.copy_({argument})", f"{{}}[{self.key(self.names[x])}] = {argument}",
                                   "{}.zero_()", f"{{}}.fill_({argument})", f"{{}} += {argument}",
                                   f"{{}} *= {argument}"))
        self.add(text if text.startswith("{}.") else text.replace("{}", x, 1), tensors if text.startswith("{}.") else
                 tensors[1:])

    def layer(self):
        """A layer, called; and a step of SGD on it."""
        x = self.tensor(lambda t: t.ndim == 2 and t.dtype == np.float32 and 0 < t.numel() < 200_000)
        width = self.names[x].shape[-1] if self.names[x].ndim else 3
        made = self.random.choice((f"nn.Linear({width}, 4)", f"nn.BatchNorm1d({width})", "nn.ReLU()", "nn.Dropout(0.5)",
                                   f"nn.Sequential(nn.Linear({width}, 5), nn.Tanh(), nn.Linear(5, 2))",
                                   "nn.Softmax(1)"))
        layer = self.add(made, result=self.fresh("m"))
        result = self.add(f"{layer}({{}})", [x], self.fresh("t"), "Dropout" not in made)
        if result and self.chance(0.7):
            options = self.random.choice(("lr=0.1", "lr=0.1, momentum=0.9", "lr=0.1, weight_decay=0.1, nesterov=False"))
            optimizer = self.add(f"optim.SGD({layer}.parameters(), {options})", result=self.fresh("o"))
            self.add("({} * {}).mean().backward()", [result, result])
            if self.chance(0.3):
                self.add(f"nn.utils.clip_grad_norm_({layer}.parameters(), 0.1)", result=self.fresh("t"))
            if optimizer:
                self.add(f"{optimizer}.step()")
                if self.chance(0.5):
                    self.add(f"{optimizer}.zero_grad()")

    def mode(self):
        self.add(f"mt.set_num_threads({self.random.choice((1, 2, 2, 3))})" if self.chance(0.8) else "mt.empty_cache()")

    def copies(self):
        self.add(self.random.choice(("copy.copy({})", "copy.deepcopy({})", "pickle.loads(pickle.dumps({}))",
                                     "{}.clone()")),
                 [self.tensor(lambda t: t.numel() < 200_000)], self.fresh("t"))

    def freeze(self):
        self.add(self.random.choice(("{}.requires_grad_(False)", "{}.requires_grad_()", "{}.zero_grad()")),
                 [self.tensor()])

    # -- statements that change what the library may rely on

    def meddle(self):
        """Give memory, shape or dtype another meaning behind the library's back."""
        x, y = self.tensor(), self.tensor()
        a = self.random.choice([n for n in self.names if re.fullmatch(r"a\d+", n)])
        size = self.random.choice(("0", "1", "5", "(2, 3)", "100000"))
        dtype = self.random.choice(DTYPES)
        value = self.random.choice(("1e30", "nan", "-5", "10 ** 10", "0", "255"))
        shape = self.shape(self.names[x])
        self.add(self.random.choice((
            f"{x}.data = {y}", f"{x}.data = mt.zeros({size})", f"{x}.data = mt.zeros({size}, dtype=mt.float64)",
            f"{x}.grad = {y}", f"{x}.__init__({y})", f"{x}.__init__([1.0] * 5000)",
            f"{a}.resize({size}, refcheck=False)", f"{a}.dtype = np.{dtype}", f"{a}.shape = {shape}",
            f"{x}.detach().numpy().shape = {shape}", f"{x}.detach().numpy().dtype = np.{dtype}",
            f"{x}.detach().numpy().resize({size}, refcheck=False)", f"{a}[...] = {value}",
            f"{x}.detach().numpy()[...] = {value}", f"{a}.setflags(write=True)", f"{x}.grad.data = mt.zeros({size})",
            f"{x}.requires_grad_(False)", f"del {x}" if len(self.tensors()) > 3 else "1", f"{x} = lie({a})",
            f"{x} = lie({a}).requires_grad_()", f"{x} = mt.Tensor.__new__(mt.Tensor)",
            f"{x}.__setstate__(({shape}, 1))", f"{x}.requires_grad = {y}", f"{x} = {a}.view(np.matrix)",
        )), calm=False)

    def node(self):
        """Ask a node of the graph for what it has, or has not."""
        x = self.tensor(lambda t: t.grad_fn is not None)
        tensors = []
        argument = self.argument("gradient", self.names[x], tensors)
        node = self.random.choice(("{}.grad_fn", "{}.grad_fn.next_functions[0]", "type({}.grad_fn)()"))
        self.add(self.random.choice((f"{node}.rule({argument})[0]", f"{node}.rule(None)",
                                     f"{node}.rule({argument})[-1]",
                                     f"{node}.input({self.random.choice(('0', '1', '2', '-1', '2 ** 62', 'None'))})",
                                     f"{node}.output()", f"{node}.next_functions", f"{node}.run_again()",
                                     f"{node}.run_again(True)", f"{node}.results(True)", f"{node}.results()",
                                     f"{node}.name", f"{node}.__init__()")),
                 [x, *tensors], self.fresh("t"), calm=False)

    def huge(self):
        """A shape whose size overflows, or nearly."""
        dtype = self.random.choice(("int8", "float32", "bool"))
        sizes = self.random.choice(("2 ** 61", "2 ** 62, 2", "2 ** 40, 2 ** 40", "2 ** 63 - 1", "2 ** 32, 2 ** 31"))
        base = self.add(f"mt.zeros(1, dtype=mt.{dtype}).expand({sizes})", result=self.fresh("h"))
        use = self.random.choice(("argmax()", "exp()", "clone()", "contiguous()", "unsqueeze(0)", "reshape(-1, 2)",
                                  "argmin(0)", "relu()", "argmax(0)", "to(mt.float64)", "softmax(0)", "numel()", "T"))
        if base:
            self.add(f"{base}.{use}", result=self.fresh("h"), calm=False)

    def meddling_number(self):
        """An argument that changes the tensor that it is an argument for."""
        x = self.tensor(lambda t: t.ndim > 0 and t.numel() < 200_000)
        a = self.random.choice([n for n in self.names if re.fullmatch(r"a\d+", n)])
        action = self.random.choice((f"setattr({x}, 'data', mt.zeros(5))", f"{a}.resize(1, refcheck=False)",
                                     f"{x}.requires_grad_(False)", f"setattr({x}, 'grad', None)"))
        number = f"Meddling({self.dim(self.names[x].ndim)}, lambda: {action})"
        method = self.random.choice(("sum({})", "max({})", "softmax({})", "var({})", "transpose(0, {})",
                                     "unsqueeze({})", "squeeze({})", "flatten({})", "reshape({})", "expand({})",
                                     "argmax({})", "permute({})", "pow({})", "clamp({})", "__getitem__({})",
                                     "logsumexp({})", "std({})", "fill_({})"))
        self.add(f"{x}.{method.format(number)}", result=self.fresh("t"), calm=False)


def numbers(names):
    """The arrays of all tensors and gradients that a program left, by name."""
    found = {}
    for name, value in list(names.items()):
        if not re.fullmatch(r"[tvm]\d+", name):
            continue
        parameters = list(value.named_parameters()) if hasattr(value, "named_parameters") else [("", value)]
        for part, x in parameters:
            for suffix, tensor in (("", x), (".grad", getattr(x, "grad", None))):
                with contextlib.suppress(Exception):
                    found[f"{name}.{part}{suffix}"] = np.array(tensor.detach().numpy())
    return found
