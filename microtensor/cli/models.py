"""What train makes, and evaluate and predict read: a net, with all that it takes to use it; and its gradient check."""

import copy
import dataclasses

from microtensor import nn
from microtensor.gradcheck import gradcheck
from microtensor.random import default_generator
from microtensor.serialization import load, save
from microtensor.tables import Encoder

_KIND = "model of microtensor train"
_VERSION = 1


@dataclasses.dataclass
class Trained:
    """A net and what it was made of.

    Attributes:
        model: an nn.Sequential.
        network: the arguments of nn.mlp that make it.
        task: "classification" or "regression".
        checksum, seed: of the data, and of how they were split.
        encoder: of the table that it was trained on; None for arrays.
    """

    model: nn.Module
    network: dict
    task: str
    checksum: int
    seed: int
    encoder: Encoder | None = None

    def save(self, path):
        """Write all of it to one file."""
        encoder = None if self.encoder is None else self.encoder.state_dict()
        save({"kind": _KIND, "version": _VERSION, "task": self.task, "network": self.network, "data": self.checksum,
              "seed": self.seed, "encoder": encoder, "model": self.model.state_dict()}, path)


def load_trained(path):
    """The Trained of a file, its model in evaluation mode.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not one that train wrote, or its parts do not fit together.
    """
    try:
        saved = load(path)
        if saved["kind"] != _KIND:
            raise ValueError(f"it is a {saved['kind']}")
        if saved["version"] > _VERSION:
            raise ValueError(f"its version is {saved['version']}, the newest known here {_VERSION}")
        encoder = None if saved["encoder"] is None else Encoder.from_state_dict(saved["encoder"])
        task = "classification" if encoder is None else encoder.task
        if saved["task"] != task:
            raise ValueError(f"its task is {saved['task']!r}, that of its data {task!r}")
        inputs, *_, outputs = saved["network"]["sizes"]
        if encoder is not None and (encoder.inputs, encoder.outputs) != (inputs, outputs):
            raise ValueError(f"its table has {encoder.inputs} inputs and {encoder.outputs} outputs, its net {inputs} "
                             f"and {outputs}")
        model = nn.mlp(**saved["network"])
        model.load_state_dict(saved["model"])
        return Trained(model.eval(), saved["network"], task, saved["data"], saved["seed"], encoder)
    except (AttributeError, IndexError, KeyError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())       # some have a line for each parameter
        raise ValueError(f"{path} is not a file that microtensor train wrote, whole and unchanged: {reason}") from error


def read_model(options):
    """The Trained that MODEL names; the parser's error if there is none."""
    try:
        return load_trained(options.model)
    except OSError as error:
        options.parser.error(f"argument MODEL: {options.model}: {error.strerror or error}")
    except ValueError as error:
        options.parser.error(f"argument MODEL: {error}")


def checksum_in(path):
    """The checksum of the data that a file of train's was trained on; None where the file does not say."""
    try:
        return load(path).get("data")
    except (OSError, ValueError, AttributeError):       # not to be read, not mt.save's, not a dict
        return None


def check_gradients(model, loss, x, y, *, elements=50):
    """Compare the gradients of a whole model with finite differences, on one batch, in float64.

    The model is checked as it trains: with the batch's statistics, and with dropout (the same masks in every
    evaluation). All this happens to a copy; model and random stream are left as they were.

    Args:
        model: takes x to outputs.
        loss: a function of outputs and y that returns a 0-d tensor.
        x, y: a batch: inputs (N, ...), targets.
        elements: how many elements of each parameter to check, chosen at random; all of a smaller one.

    Returns:
        The report of gradcheck: true if all gradients agree.
    """
    model = copy.deepcopy(model).double()
    x, y = (part.double() if part.dtype.kind == "f" else part for part in (x, y))
    generator = default_generator()
    state = generator.get_state()

    def loss_of(*parameters):
        generator.set_state(state)
        return loss(model(x), y)

    names, parameters = zip(*model.named_parameters(), strict=True)
    # A step across a kink, such as relu's at 0, measures neither slope: if one did, try a shorter one.
    # Rounding makes a difference uncertain by about 1e-15 / step, and the tolerance leaves room for that.
    try:
        for step in (1e-6, 1e-7):
            report = gradcheck(loss_of, parameters, eps=step, atol=1e-14 / step, rtol=1e-6, names=names,
                               elements=elements, raise_exception=False)
            if report:
                break
        return report
    finally:
        generator.set_state(state)
