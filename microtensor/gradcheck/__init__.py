"""Gradients held against finite differences: ``gradcheck`` for any function, ``check_op`` for the registered ops."""

from microtensor.gradcheck.check import GradcheckError, Report, Worst, gradcheck
from microtensor.gradcheck.registry import OpResult, check_op, registry_table

__all__ = ["GradcheckError", "OpResult", "Report", "Worst", "check_op", "gradcheck", "registry_table"]
