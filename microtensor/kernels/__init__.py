"""The loops: no Tensor, no Op, and no Python object inside one. docs/architecture.md shows who calls them."""

from microtensor import _isa_path

_isa_path.extend(__path__, "kernels")
