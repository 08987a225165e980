"""Neural networks: modules, layers, losses, initial values, clipping."""

from microtensor import _isa_path

_isa_path.extend(__path__, "nn")

from microtensor.nn import activation, functional, init, utils
from microtensor.nn.activation import *
from microtensor.nn.batchnorm import BatchNorm1d
from microtensor.nn.containers import ModuleList, Sequential
from microtensor.nn.dropout import AlphaDropout, Dropout
from microtensor.nn.embedding import Embedding
from microtensor.nn.layernorm import LayerNorm
from microtensor.nn.linear import Flatten, Identity, Linear
from microtensor.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from microtensor.nn.module import Module
from microtensor.nn.parameter import Parameter
from microtensor.nn.penalty import l1_penalty, l2_penalty
from microtensor.nn.perceptron import mlp

__all__ = [
    *activation.__all__,
    "AlphaDropout",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "HuberLoss",
    "Identity",
    "L1Loss",
    "LayerNorm",
    "Linear",
    "MSELoss",
    "Module",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "Sequential",
    "SmoothL1Loss",
    "functional",
    "init",
    "l1_penalty",
    "l2_penalty",
    "mlp",
    "utils",
]
