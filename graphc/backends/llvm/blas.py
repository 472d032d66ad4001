"""NumPy's own BLAS, called from machine code: no second library to install, to load or to disagree with.

NumPy's core is linked with it, so its functions are found through the core's own file; only on Windows, where a
library does not answer for those it needs, is the one that NumPy's wheel brings looked up by its file's name.
"""

from __future__ import annotations

import ctypes
import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# How builds of NumPy spell cblas_dgemm, and the width of its integers: OpenBLAS in NumPy's wheels (the plain name with
# 64 since NumPy 2), in wheels before, Accelerate on macOS, and whatever a distribution links (conda, Debian).
_SPELLINGS: dict[str, int] = {
    "scipy_cblas_{}64_": 64,
    "cblas_{}64_": 64,
    "cblas_{}$NEWLAPACK$ILP64": 64,
    "cblas_{}$NEWLAPACK": 32,
    "scipy_cblas_{}": 32,
    "cblas_{}": 32,
}
_THREADS = ("scipy_openblas_get_num_threads64_", "openblas_get_num_threads64_", "openblas_get_num_threads")

ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE = 101, 111, 112
"""CBLAS's enumerations: of the order of elements, and whether an operand is read transposed."""


@dataclass(frozen=True)
class Blas:
    """Addresses of ``cblas_sgemm`` and ``cblas_dgemm`` by dtype, the bits of their integers, the number of threads."""

    gemm: tuple[tuple[str, int], ...]
    integer_bits: int
    threads: int

    def address(self, dtype: str) -> int:
        """Where the function for a dtype is."""
        return dict(self.gemm)[dtype]


@cache
def find() -> Blas | None:
    """The BLAS that NumPy calls, or None where it cannot be found."""
    for library in _libraries():
        for spelling, bits in _SPELLINGS.items():
            single, double = (_address(library, spelling.format(name)) for name in ("sgemm", "dgemm"))
            if single and double:
                return Blas((("float32", single), ("float64", double)), bits, _threads(library))
    return None


def _libraries() -> Iterator[ctypes.CDLL]:
    """Where BLAS may be: behind NumPy's core, then in the files that its wheel brings."""
    core: Any = importlib.import_module("numpy._core._multiarray_umath")
    package = Path(core.__file__).parents[1]
    for path in (Path(core.__file__), *sorted(package.parent.glob("numpy.libs/*openblas*"))):
        try:
            yield ctypes.CDLL(str(path))
        except OSError:
            continue


def _address(library: ctypes.CDLL, name: str) -> int | None:
    try:
        return ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    except AttributeError:
        return None


def _threads(library: ctypes.CDLL) -> int:
    """How many threads BLAS uses: what OpenBLAS says; others use all processors."""
    for name in _THREADS:
        if _address(library, name):
            return int(getattr(library, name)())
    return os.cpu_count() or 1
