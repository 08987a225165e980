"""Gradients compared with differences: ``gradcheck`` for any function, and checks of modules, optimisers and ops."""

from microtensor.gradcheck.check import check_function, gradcheck, gradgradcheck
from microtensor.gradcheck.module import check_module
from microtensor.gradcheck.op import OpResult, check_op
from microtensor.gradcheck.optimizer import check_clipping, check_optimizer
from microtensor.gradcheck.report import GradcheckError, InputReport, Report

__all__ = [
    "GradcheckError",
    "InputReport",
    "OpResult",
    "Report",
    "check_clipping",
    "check_function",
    "check_module",
    "check_op",
    "check_optimizer",
    "gradcheck",
    "gradgradcheck",
]
