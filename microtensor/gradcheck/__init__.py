"""Gradients compared with differences: ``gradcheck`` for any function, and checks of modules, optimisers and ops.

``mt.gradcheck`` is this package and PyTorch's function at once: ``mt.gradcheck(func, inputs)`` calls the function of
that name in it, and ``mt.gradcheck.check_function`` is found as in any package.
"""

import sys
import types

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


class _CallablePackage(types.ModuleType):
    """A package that is called as its function of the same name."""

    __wrapped__ = staticmethod(gradcheck)       # where inspect and help find the signature

    def __call__(self, *arguments, **options):
        return gradcheck(*arguments, **options)


sys.modules[__name__].__class__ = _CallablePackage
