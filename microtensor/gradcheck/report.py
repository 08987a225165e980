"""Report: what a check found, as a truth value, as text, as a table, as JSON and as a picture."""

from dataclasses import dataclass, field

import numpy as np

# From the worst to the best; a report has the worst verdict of its inputs.
VERDICTS = ("NONFINITE", "FAIL", "DISCONTINUOUS", "NOISY", "PRECISION", "WEAK", "VACUOUS", "KINK", "PASS")
SUCCESS = ("PASS", "KINK")


class GradcheckError(AssertionError):
    """A gradient is wrong, or could not be shown to be right; the message is the report, also as ``.report``."""

    def __init__(self, report):
        super().__init__(str(report))
        self.report = report


@dataclass
class InputReport:
    """What was found for one input; the numbers are those of its worst element.

    Attributes:
        name: which input.
        shape: its shape.
        verdict: one of PASS, KINK, FAIL, DISCONTINUOUS, NOISY, PRECISION, NONFINITE, VACUOUS, WEAK.
        index: the worst element's index.
        analytic: dL/dx there from backward.
        numeric: dL/dx there from differences.
        error: the estimated error of the numeric value.
        tolerance: how far apart the two may be.
        relative: |analytic - numeric| over the larger of |numeric| and the input's root mean square numeric gradient.
        size: the root mean square of the input's numeric gradient; 0 if the function does not depend on it.
        excess: |analytic - numeric| over the tolerance; above 1 is a failure.
        visible: the largest tolerance of any element: no greater error goes unnoticed.
        wrong: how many elements are wrong.
        checked: how many elements were compared.
        text: what else is to be said, such as why a verdict was given.
        hints: what probably is wrong, the likeliest first.
        gradient, difference: arrays of the input's shape, for pictures; nan where nothing was compared.
        differences, tolerances: the numeric gradients for the first two upstream gradients (2, *shape).
        jacobian: the numeric gradient of every output (m, elements), where the whole Jacobian was compared.
        curve: [(step, difference)] of the worst element, and "step" the smallest step that was used.
    """

    name: str
    shape: tuple
    verdict: str = "PASS"
    index: tuple = ()
    analytic: float = 0.0
    numeric: float = 0.0
    error: float = 0.0
    tolerance: float = 0.0
    relative: float = 0.0
    size: float = 0.0
    excess: float = 0.0
    visible: float = 0.0
    wrong: int = 0
    checked: int = 0
    text: list = field(default_factory=list)
    hints: list = field(default_factory=list)
    gradient: np.ndarray | None = field(default=None, repr=False, compare=False)
    difference: np.ndarray | None = field(default=None, repr=False, compare=False)
    differences: np.ndarray | None = field(default=None, repr=False, compare=False)
    tolerances: np.ndarray | None = field(default=None, repr=False, compare=False)
    jacobian: np.ndarray | None = field(default=None, repr=False, compare=False)
    curve: list = field(default_factory=list, repr=False, compare=False)
    step: float = 0.0

    def __bool__(self):
        return self.verdict in SUCCESS

    @property
    def place(self):
        """The worst element, as in W[1, 4]."""
        return self.name + (f"[{', '.join(map(str, self.index))}]" if self.index else "")

    def __str__(self):
        heading = f"{self.verdict} {self.name} {self.shape}: {self.wrong} of {self.checked} elements wrong"
        if not self.checked:
            return "\n  ".join([f"{self.verdict} {self.name} {self.shape}: nothing compared", *self.text])
        hints = [f"-> {hint}" for hint in self.hints]
        if self.gradient is not None and np.shape(self.gradient) != self.shape:
            return "\n  ".join([heading, *self.text, *hints])
        ratio = f", ratio {self.analytic / self.numeric:.6f}" if self.numeric and not self else ""
        relative = f", relative error {self.relative:.1e}" if self.numeric else ""
        worst = (f"{self.place}: yours {self.analytic:.10g}, numeric {self.numeric:.10g} +- {self.error:.0e}"
                 f"{relative}{ratio}")
        resolution = [] if self else [f"smallest visible error {self.visible:.0e}"]
        return "\n  ".join([f"{heading}; worst {worst}", *self.text, *hints, *resolution])


@dataclass
class Report:
    """What a check found: true only on success (PASS, or a KINK that was resolved), and readable with ``print``.

    Attributes:
        title: what was checked.
        inputs: an InputReport for each checked input.
        faults: what backward does wrong besides the numbers; see microtensor.gradcheck.hygiene.
        notes: what the reader should know of how it was checked.
        seed: of the upstream gradients and of the choice of elements: the same seed checks the same again.
        repair: an edit of backward's source that makes all gradients right, a Hint; or None.
    """

    title: str
    inputs: list
    faults: list
    notes: list
    seed: int
    repair: object = None

    @property
    def verdict(self):
        """The worst verdict of all inputs; FAIL if there is a fault."""
        verdicts = [found.verdict for found in self.inputs] + (["FAIL"] if self.faults else [])
        return min(verdicts, key=VERDICTS.index, default="VACUOUS")

    def __bool__(self):
        return self.verdict in SUCCESS

    @property
    def worst(self):
        """The InputReport that is closest to failing, or furthest beyond."""
        return min(self.inputs, key=lambda found: (bool(found), -found.excess))

    @property
    def hints(self):
        """The repair, if there is one, and the hints of all inputs, the likeliest first."""
        found = sorted((hint for found in self.inputs for hint in found.hints), key=lambda hint: hint.rank)
        return ([self.repair] if self.repair else []) + found

    def __str__(self):
        heading = f"{self.title} passed" if self else f"{self.title} FAILED"
        lines = [f"{heading}: {self.verdict} (replay with seed={self.seed})"]
        lines += [f"=> {self.repair}"] if self.repair else []
        lines += map(str, self.inputs)
        lines += [f"FAIL {fault.check}: {fault.text}" for fault in self.faults]
        return "\n".join([*lines, *self.notes]).replace("\n", "\n  ")

    def to_dict(self):
        """All but the arrays, in plain Python."""
        skipped = ("gradient", "difference", "differences", "tolerances", "jacobian")
        inputs = [{key: value for key, value in vars(found).items() if key not in skipped} for found in self.inputs]
        for found in inputs:
            found["hints"] = [vars(hint) for hint in found["hints"]]
        return {"title": self.title, "verdict": self.verdict, "success": bool(self), "seed": self.seed,
                "repair": vars(self.repair) if self.repair else None,
                "inputs": inputs, "faults": [vars(fault) for fault in self.faults], "notes": list(self.notes)}

    def to_json(self, indent=2):
        """The report as JSON; a number that JSON does not know, such as nan, as a string."""
        import json  # on first use, like html below: they take a thirtieth of an import of microtensor

        return json.dumps(_plain(self.to_dict()), indent=indent, allow_nan=False)

    def _repr_html_(self):
        """A table for notebooks."""
        import html

        head = "".join(f"<th>{title}</th>" for title in
                       ("", "input", "wrong", "worst element", "yours", "numeric", "relative error", "hint"))
        rows = []
        for found in self.inputs:
            colour = "#2a7" if found else "#c33"
            cells = [f'<b style="color:{colour}">{found.verdict}</b>', html.escape(f"{found.name} {found.shape}"),
                     f"{found.wrong} of {found.checked}", html.escape(found.place), f"{found.analytic:.8g}",
                     f"{found.numeric:.8g} &plusmn; {found.error:.0e}", f"{found.relative:.1e}",
                     html.escape("; ".join(map(str, found.hints)))]
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        below = "".join(f"<p>{html.escape(line)}</p>" for line in
                        ([str(self.repair)] if self.repair else [])
                        + [f"{fault.check}: {fault.text}" for fault in self.faults] + list(self.notes))
        return (f"<p><b>{html.escape(self.title)}: {self.verdict}</b>, seed={self.seed}</p>"
                f"<table><tr>{head}</tr>{''.join(rows)}</table>{below}")

    def plot(self, name=None):
        """A figure of one input, by default the worst: where the gradient is wrong, and error against step size.

        Args:
            name: which input.

        Returns:
            A matplotlib Figure; ``figure.savefig("gradcheck.png")`` keeps it.
        """
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        found = self.worst if name is None else next(found for found in self.inputs if found.name == name)
        figure = Figure(figsize=(10, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        size = max(found.size, np.finfo(float).tiny)
        error = np.abs(np.asarray(found.gradient) - found.difference) / size
        error = error.reshape(-1, error.shape[-1]) if error.ndim else error.reshape(1, 1)
        image = left.imshow(np.log10(np.fmax(error, 1e-17)), vmin=-16, vmax=0, aspect="auto", cmap="magma")
        figure.colorbar(image, ax=left, label="log10 of |backward - difference| / rms gradient")
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        left.yaxis.set_major_locator(MaxNLocator(integer=True))
        left.set_title(f"{found.name} {found.shape}: {found.verdict}")
        steps = np.array([h for h, _ in found.curve])
        errors = np.array([abs(d - found.numeric) for _, d in found.curve]) / size
        right.loglog(steps, np.fmax(errors, 1e-17), "o-", label="central difference")
        right.axvline(found.step, color="tab:green", linestyle="--", label="smallest step of the chosen window")
        right.axhline(max(found.error / size, 1e-17), color="tab:orange", linestyle=":",
                      label="estimated error after extrapolation")
        right.set(xlabel="step", ylabel="error / rms gradient", title=found.place)
        right.grid(alpha=0.3)
        right.legend(fontsize="small")
        return figure


def _plain(value):
    """A value that json can write."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value
