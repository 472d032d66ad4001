"""Derivatives of expressions: `grad`, `Lop`, `Rop`, and the check against finite differences."""

from graphc.gradient.core import Lop, Rop, grad
from graphc.gradient.verify import verify_grad
from graphc.ops.identities import consider_constant, disconnected_grad, grad_clip, grad_scale, zero_grad

__all__ = [
    "Lop", "Rop", "consider_constant", "disconnected_grad", "grad", "grad_clip", "grad_scale", "verify_grad",
    "zero_grad",
]  # fmt: skip
