"""What can be written on a Variable: ``+ - * @ []``, comparisons, and the methods Theano and NumPy give arrays.

Every entry names an op in the table of `bindings`.  The mixin serves Variables and the wildcards of rewrite patterns.
"""

from __future__ import annotations

from typing import Any

from graphc.graph.bindings import ops


class Operators:
    """The operators and methods of an expression."""

    __slots__ = ()

    # ---- arithmetic ----

    def __neg__(self) -> Any:
        return ops.neg(self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return ops.abs_(self)

    def __invert__(self) -> Any:
        return ops.invert(self)

    def __add__(self, other: Any) -> Any:
        return ops.add(self, other)

    def __radd__(self, other: Any) -> Any:
        return ops.add(other, self)

    def __sub__(self, other: Any) -> Any:
        return ops.sub(self, other)

    def __rsub__(self, other: Any) -> Any:
        return ops.sub(other, self)

    def __mul__(self, other: Any) -> Any:
        return ops.mul(self, other)

    def __rmul__(self, other: Any) -> Any:
        return ops.mul(other, self)

    def __truediv__(self, other: Any) -> Any:
        return ops.true_div(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return ops.true_div(other, self)

    def __floordiv__(self, other: Any) -> Any:
        return ops.int_div(self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return ops.int_div(other, self)

    def __mod__(self, other: Any) -> Any:
        return ops.mod(self, other)

    def __rmod__(self, other: Any) -> Any:
        return ops.mod(other, self)

    def __divmod__(self, other: Any) -> Any:
        return ops.int_div(self, other), ops.mod(self, other)

    def __rdivmod__(self, other: Any) -> Any:
        return ops.int_div(other, self), ops.mod(other, self)

    def __pow__(self, other: Any) -> Any:
        return ops.pow(self, other)

    def __rpow__(self, other: Any) -> Any:
        return ops.pow(other, self)

    def __matmul__(self, other: Any) -> Any:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return ops.matmul(other, self)

    # ---- bits and logic ----

    def __and__(self, other: Any) -> Any:
        return ops.and_(self, other)

    def __rand__(self, other: Any) -> Any:
        return ops.and_(other, self)

    def __or__(self, other: Any) -> Any:
        return ops.or_(self, other)

    def __ror__(self, other: Any) -> Any:
        return ops.or_(other, self)

    def __xor__(self, other: Any) -> Any:
        return ops.xor(self, other)

    def __rxor__(self, other: Any) -> Any:
        return ops.xor(other, self)

    # ---- comparisons (== is identity, as in Theano; write T.eq) ----

    def __lt__(self, other: Any) -> Any:
        return ops.lt(self, other)

    def __le__(self, other: Any) -> Any:
        return ops.le(self, other)

    def __gt__(self, other: Any) -> Any:
        return ops.gt(self, other)

    def __ge__(self, other: Any) -> Any:
        return ops.ge(self, other)


class Methods(Operators):
    """The methods of an array: indexing, shapes, reductions."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        return ops.getitem(self, index)

    @property
    def shape(self) -> Any:
        """The run-time shape: an int64 vector with one entry an axis; ``x.shape[0]`` is a scalar."""
        return ops.shape(self)

    @property
    def size(self) -> Any:
        """The number of elements."""
        return ops.size(self)

    @property
    def T(self) -> Any:
        """The transpose: all axes reversed."""
        return ops.transpose(self)

    # ---- reductions ----

    def sum(self, axis: Any = None, dtype: Any = None, keepdims: bool = False, acc_dtype: Any = None) -> Any:
        """``T.sum(self, ...)``."""
        return ops.sum(self, axis, dtype, keepdims, acc_dtype)

    def prod(self, axis: Any = None, dtype: Any = None, keepdims: bool = False, acc_dtype: Any = None) -> Any:
        """``T.prod(self, ...)``."""
        return ops.prod(self, axis, dtype, keepdims, acc_dtype)

    def mean(self, axis: Any = None, dtype: Any = None, keepdims: bool = False, acc_dtype: Any = None) -> Any:
        """``T.mean(self, ...)``."""
        return ops.mean(self, axis, dtype, keepdims, acc_dtype)

    def var(self, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
        """``T.var(self, ...)``."""
        return ops.var(self, axis, ddof, keepdims)

    def std(self, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
        """``T.std(self, ...)``."""
        return ops.std(self, axis, ddof, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        """``T.max(self, ...)``."""
        return ops.max(self, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Any:
        """``T.min(self, ...)``."""
        return ops.min(self, axis, keepdims)

    def argmax(self, axis: Any = None, keepdims: bool = False) -> Any:
        """``T.argmax(self, ...)``."""
        return ops.argmax(self, axis, keepdims)

    def argmin(self, axis: Any = None, keepdims: bool = False) -> Any:
        """``T.argmin(self, ...)``."""
        return ops.argmin(self, axis, keepdims)

    def any(self, axis: Any = None, keepdims: bool = False) -> Any:
        """``T.any(self, ...)``."""
        return ops.any(self, axis, keepdims)

    def all(self, axis: Any = None, keepdims: bool = False) -> Any:
        """``T.all(self, ...)``."""
        return ops.all(self, axis, keepdims)

    def norm(self, L: Any, axis: Any = None, keepdims: bool = False) -> Any:
        """The `L`-norm, ``sum(abs(x) ** L) ** (1 / L)``."""
        return ops.norm(self, L, axis, keepdims)

    # ---- shapes ----

    def reshape(self, *shape: Any, ndim: int | None = None) -> Any:
        """``T.reshape(self, shape)``; the sizes may also be given one by one."""
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape, ndim)

    def dimshuffle(self, *pattern: Any) -> Any:
        """``x.dimshuffle(1, 'x', 0)``: axes in a new order, ``'x'`` for a new axis of size 1."""
        return ops.dimshuffle(self, *pattern)

    def transpose(self, *axes: Any) -> Any:
        """``T.transpose(self, axes)``."""
        return ops.transpose(self, axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None)

    def swapaxes(self, axis1: int, axis2: int) -> Any:
        """Exchange two axes."""
        return ops.swapaxes(self, axis1, axis2)

    def flatten(self, ndim: int = 1) -> Any:
        """``T.flatten(self, ndim)``: the last axes run together so that `ndim` remain."""
        return ops.flatten(self, ndim)

    def ravel(self) -> Any:
        """One axis."""
        return ops.flatten(self, 1)

    def squeeze(self, axis: Any = None) -> Any:
        """Drop axes whose size is known to be 1."""
        return ops.squeeze(self, axis)

    def repeat(self, repeats: Any, axis: int | None = None) -> Any:
        """``T.repeat(self, repeats, axis)``."""
        return ops.repeat(self, repeats, axis)

    def dot(self, other: Any) -> Any:
        """``T.dot(self, other)``."""
        return ops.dot(self, other)

    # ---- values ----

    def astype(self, dtype: Any) -> Any:
        """``T.cast(self, dtype)``."""
        return ops.cast(self, dtype)

    def copy(self, name: str | None = None) -> Any:
        """A variable of equal value."""
        result = ops.copy(self)
        result.name = name
        return result

    def clip(self, a_min: Any, a_max: Any) -> Any:
        """``T.clip(self, a_min, a_max)``."""
        return ops.clip(self, a_min, a_max)

    def round(self, mode: str = "half_to_even") -> Any:
        """``T.round(self, mode)``."""
        return ops.round(self, mode)

    def fill(self, value: Any) -> Any:
        """`value` in the shape of this variable."""
        return ops.fill(self, value)

    def zeros_like(self, dtype: Any = None) -> Any:
        """Zeros in the shape of this variable."""
        return ops.zeros_like(self, dtype)

    def ones_like(self, dtype: Any = None) -> Any:
        """Ones in the shape of this variable."""
        return ops.ones_like(self, dtype)

    # ---- PyTensor's spelling of set_subtensor and inc_subtensor ----

    def set(self, value: Any) -> Any:
        """``x[i].set(y)``: `x` with ``x[i]`` replaced by `y`."""
        return ops.set_subtensor(self, value)

    def inc(self, value: Any) -> Any:
        """``x[i].inc(y)``: `x` with `y` added to ``x[i]``."""
        return ops.inc_subtensor(self, value)

    # ---- NumPy's functions on symbolic arguments ----

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return ops.numpy_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return ops.numpy_function(function, args, kwargs)
