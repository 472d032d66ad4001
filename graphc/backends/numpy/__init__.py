"""The NumPy backend: readable Python source, one NumPy call a step.  The reference for every other backend."""

from graphc.backends.numpy.executable import NumpyExecutable, compile
from graphc.backends.numpy.spelling import spells

__all__ = ["NumpyExecutable", "compile", "spells"]
