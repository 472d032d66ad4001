"""The neutral elements of reductions."""

from __future__ import annotations

import numpy as np

from graphc import dtypes
from graphc.kernels.loopir import EXTREMUM


def neutral(kind: str, dtype: str) -> float | int | bool:
    """What changes nothing when a reduction takes it."""
    kind = EXTREMUM.get(kind, kind)
    if kind in ("sum", "dot"):
        return 0
    if kind == "prod":
        return 1
    if kind in ("any", "all"):
        return kind == "all"
    if dtype == "bool":
        return kind == "min"
    if dtypes.is_discrete(dtype):
        limits = np.iinfo(dtype)
        return int(limits.min if kind == "max" else limits.max)
    return float("-inf") if kind == "max" else float("inf")
