"""What train makes, and evaluate and predict read: a net, with all that it takes to use it."""

import dataclasses

from microtensor import nn
from microtensor.core import Tensor
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
        constant: the best outputs (1, C) for the training targets that are the same for all inputs.
        encoder: of the table that it was trained on; None for arrays.
    """

    model: nn.Module
    network: dict
    task: str
    checksum: int
    seed: int
    constant: Tensor
    encoder: Encoder | None = None

    def save(self, path):
        """Write all of it to one file."""
        encoder = None if self.encoder is None else self.encoder.state_dict()
        save({"kind": _KIND, "version": _VERSION, "task": self.task, "network": self.network, "data": self.checksum,
              "seed": self.seed, "constant": self.constant, "encoder": encoder, "model": self.model.state_dict()}, path)


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
        constant = saved["constant"]
        if constant.shape != (1, outputs):
            raise ValueError(f"its constant answer has the shape {constant.shape}, and the net {outputs} outputs")
        return Trained(model.eval(), saved["network"], task, saved["data"], saved["seed"], constant, encoder)
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


def origin(path):
    """(checksum of the data, name of the target or None) of a file of train's; None where the file does not say."""
    try:
        saved = load(path)
        return saved["data"], saved["encoder"] and saved["encoder"]["target"]["name"]
    except (OSError, ValueError, TypeError, KeyError):      # not to be read, not mt.save's, not a dict, not train's
        return None
