"""Every op, declared once.  Importing this package declares them all."""

from graphc.ops import control, elementwise, indexing, matmul, nnet, numpy_protocol, reduction, shape

__all__ = ["control", "elementwise", "indexing", "matmul", "nnet", "numpy_protocol", "reduction", "shape"]
