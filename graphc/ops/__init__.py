"""Every op, declared once.  Importing this package declares them all."""

from graphc.ops import (
    broadcasting,
    control,
    conversion,
    copies,
    dimshuffle,
    elementwise,
    identities,
    indexing,
    join,
    matmul,
    nnet,
    numpy_protocol,
    ranges,
    reduction,
    reshape,
    shape,
    transcendental,
)

__all__ = [
    "broadcasting", "control", "conversion", "copies", "dimshuffle", "elementwise", "identities", "indexing", "join",
    "matmul", "nnet", "numpy_protocol", "ranges", "reduction", "reshape", "shape", "transcendental",
]  # fmt: skip
