"""TensorType: the dtype, the number of axes, and the sizes that are known before anything runs."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc import dtypes
from graphc.configuration import config
from graphc.graph.bindings import ops
from graphc.graph.operators import Operators

if TYPE_CHECKING:
    from graphc.graph.variable import Variable

StaticShape = tuple["int | None", ...]


@dataclass(frozen=True, slots=True, init=False, repr=False)
class TensorType:
    """The type of a Variable.

    Parameters
    ----------
    dtype:
        A NumPy dtype or its name; ``"floatX"`` for the configured one.
    broadcastable:
        One truth value an axis, Theano's way of saying that its size is 1; or
    shape:
        one size an axis, None where it is not known before run time.
    weak:
        The variable stands for a Python number, whose dtype gives way to what it meets (NEP 50).

        >>> TensorType("float64", (False, True))
        TensorType(float64, col)
        >>> TensorType("int32", shape=(None, 3)).ndim
        2
    """

    dtype: str
    shape: StaticShape
    weak: bool = field(compare=False)

    def __init__(
        self,
        dtype: Any,
        broadcastable: Sequence[bool | int | None] | None = None,
        shape: Sequence[int | None] | None = None,
        weak: bool = False,
    ) -> None:
        if (broadcastable is None) == (shape is None):
            raise TypeError("TensorType(dtype, ...) takes either broadcastable or shape")
        given = shape if broadcastable is None else broadcastable
        if type(given) not in (list, tuple) and not isinstance(given, Iterable):
            raise TypeError("TensorType(dtype, ...) takes a sequence with one entry an axis, such as (False, True)")
        if shape is None:
            assert broadcastable is not None
            shape = [_size_of_flag(flag) for flag in broadcastable]
        object.__setattr__(self, "dtype", dtypes.check(dtype))
        object.__setattr__(self, "shape", tuple([None if n is None else _known(n) for n in shape]))
        object.__setattr__(self, "weak", weak)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def broadcastable(self) -> tuple[bool, ...]:
        """For each axis whether its size is known to be 1."""
        return tuple(n == 1 for n in self.shape)

    def __reduce__(self) -> Any:
        return _make, (self.dtype, self.shape, self.weak)

    def __call__(self, name: str | None = None) -> Variable:
        """A new variable of this type."""
        if name is not None and not isinstance(name, str):
            raise TypeError(f"the name of a variable is text, got {_found(name)}")
        variable: Variable = ops.variable(self, name=name)
        return variable

    def clone(self, dtype: Any = None, shape: Sequence[int | None] | None = None) -> TensorType:
        """This type with another dtype or other sizes."""
        return TensorType(self.dtype if dtype is None else dtype, shape=self.shape if shape is None else shape)

    def accepts(self, other: TensorType) -> bool:
        """Whether every value of the type `other` is one of this type."""
        return (
            self.dtype == other.dtype
            and self.ndim == other.ndim
            and all(mine is None or mine == theirs for mine, theirs in zip(self.shape, other.shape, strict=True))
        )

    @property
    def kind(self) -> str:
        """The word for the number of axes: scalar, vector, row, col, matrix, tensor3, ..."""
        if self.ndim == 2 and self.broadcastable in _FLAT:
            return _FLAT[self.broadcastable]
        return _KINDS[self.ndim] if self.ndim < len(_KINDS) else f"tensor{self.ndim}"

    def __repr__(self) -> str:
        known = [n for n in self.shape if n is not None]
        if known and (self.kind not in ("row", "col") or None not in self.shape):
            sizes = ", ".join("?" if n is None else str(n) for n in self.shape)
            return f"TensorType({self.dtype}, ({sizes}{',' if self.ndim == 1 else ''}))"
        return f"TensorType({self.dtype}, {self.kind})"

    # ---- values ----

    def filter(self, value: Any, allow_downcast: bool | None = None, strict: bool = False) -> np.ndarray[Any, Any]:
        """`value` as an array of this type, or TypeError.

        Values are cast only where nothing can be lost: int64 to float64, a number or list to what holds it exactly.
        Python floats also go into a float32 of ``config.floatX``.  ``allow_downcast=True`` casts whatever NumPy
        can cast; ``False`` forbids the exception for floats.  ``strict=True`` takes arrays of this type alone.
        """
        if type(value) is float and self.dtype == "float64" and not self.shape and not strict:
            return np.array(value)  # the commonest argument of all, the quick way
        array = value if type(value) is np.ndarray and value.dtype == self.dtype else None
        if array is None:
            if strict:
                raise TypeError(f"expected an array of {self.dtype}, got {_found(value)} (strict=True)")
            array = self._cast(value, allow_downcast)
        if array.dtype.byteorder not in "=|":
            array = array.astype(self.dtype)
        self._check_shape(array.shape)
        return array

    def check(
        self, dtype: np.dtype[Any], shape: tuple[int, ...], allow_downcast: bool | None = None, strict: bool = False
    ) -> None:
        """Raise TypeError where `filter` would for an array of this dtype and shape."""
        if strict and dtype != self.dtype:
            raise TypeError(f"expected an array of {self.dtype}, got one of {dtype} (strict=True)")
        if not allow_downcast and not np.can_cast(dtype, self.dtype, "safe"):
            raise TypeError(self._lossy(dtype))
        self._check_shape(shape)

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) != self.ndim:
            raise TypeError(f"expected {self.kind} ({self.ndim} axes), got {len(shape)} axes, shape {shape}")
        for axis, (size, actual) in enumerate(zip(self.shape, shape, strict=True)):
            if size is not None and size != actual:
                raise TypeError(f"expected size {size} on axis {axis}, got shape {shape}")

    def _lossy(self, dtype: np.dtype[Any]) -> str:
        return (
            f"cannot make {self.dtype} from {dtype} without risking loss of precision: "
            f"value.astype({self.dtype!r}) casts it, and so does allow_downcast=True"
        )

    def _cast(self, value: Any, allow_downcast: bool | None) -> np.ndarray[Any, Any]:
        source = self._as_array(value)
        if source.dtype == self.dtype:
            return source
        if allow_downcast:
            return source.astype(self.dtype)
        if np.can_cast(source.dtype, self.dtype, "safe"):
            return source.astype(self.dtype)
        to_real = source.dtype.kind == "c" and not dtypes.is_complex(self.dtype)
        if not isinstance(value, np.ndarray) and not to_real:  # numbers, and lists and tuples of them
            with np.errstate(all="ignore"):
                cast = source.astype(self.dtype)
            python_floats = source.dtype.kind == "f" and not isinstance(value, np.generic)
            if allow_downcast is None and python_floats and self.dtype == config.floatX:
                return cast
            if np.array_equal(cast, source, equal_nan=source.dtype.kind in "fc"):
                return cast
        raise TypeError(self._lossy(source.dtype))

    def _as_array(self, value: Any) -> np.ndarray[Any, Any]:
        if isinstance(value, np.ndarray):
            return np.asarray(value)
        if isinstance(value, Operators):
            raise TypeError(f"expected a value, got the symbolic variable {value}: pass an array or a number")
        try:
            source = np.asarray(value)
        except (ValueError, OverflowError) as error:
            raise TypeError(f"cannot make an array from {_found(value)}: {error}") from None
        if source.dtype.kind not in "biufc":
            raise TypeError(f"expected numbers, got {_found(value)}")
        return source if source.size else source.astype(self.dtype)  # [] has no dtype of its own


def _size_of_flag(flag: bool | int | None) -> int | None:
    if flag is None or flag is False:
        return None
    return 1 if flag is True else _known(flag)


def _known(size: Any) -> int:
    try:
        n = operator.index(size)
    except TypeError:
        raise TypeError(f"the size of an axis is an int or None, got {type(size).__name__} {size!r}") from None
    if n < 0:
        raise ValueError(f"the size of an axis is an int or None, got the negative {n}")
    return n


def _make(dtype: str, shape: StaticShape, weak: bool) -> TensorType:
    return TensorType(dtype, shape=shape, weak=weak)


def _found(value: Any) -> str:
    text = repr(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    return f"{type(value).__name__} {' '.join(text.split())}"


_KINDS = ("scalar", "vector", "matrix", "tensor3", "tensor4", "tensor5", "tensor6", "tensor7")
_FLAT = {(True, False): "row", (False, True): "col"}
