"""NumPy functions of one operand for ops that NumPy has only as a special case of another."""

from __future__ import annotations

from typing import Any

import numpy as np


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))`` as ``logaddexp(0, x)``."""
    return np.logaddexp(x.dtype.type(0), x)
