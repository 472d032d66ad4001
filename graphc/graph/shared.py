"""Shared variables: values that live between calls, and the cell that stores them."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, compress, repeat
from typing import Any, Protocol
from weakref import WeakSet

import numpy as np

from graphc import dtypes
from graphc.errors import explain
from graphc.graph.bindings import ops
from graphc.graph.site import creation_site
from graphc.graph.types import TensorType
from graphc.graph.variable import Variable, operand

Array = np.ndarray[Any, Any]


class Elsewhere(Protocol):
    """What stands in a cell for an array in other memory than the host's, such as a GPU's."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype."""

    @property
    def array(self) -> Any:
        """The array itself, as the library has it that goes with this memory."""

    def copy(self) -> Array:
        """A copy on the host."""

    def take(self, value: Array | Elsewhere) -> bool:
        """Get the elements of another array; False if that cannot be: the shape differs, or someone reads it now."""


def is_elsewhere(value: Any) -> bool:
    """Whether a value is an array in the memory of a GPU, of whatever library."""
    return hasattr(value, "__cuda_array_interface__")


class Cell:
    """The place where one shared value is kept.  All functions that use a variable see the same cell.

    A function replaces `value` when it commits its updates; it never writes into an array that somebody may hold.
    While it is between reading and that, it holds `lock` and `running` is True.  On a GPU the value is `Elsewhere`,
    and a function writes into its memory, so that the address stays.
    """

    __slots__ = ("__weakref__", "lock", "running", "value")

    def __init__(self, value: Any) -> None:
        self.value: Any = value  # an array, or Elsewhere
        self.free()
        _cells.add(self)

    def free(self) -> None:
        """Nobody has it."""
        self.lock = threading.RLock()  # held by a function that updates what it reads
        self.running = False

    def __reduce__(self) -> Any:
        return Cell, (self.value,)

    @property
    def data(self) -> Array:
        """The value (Theano's name for it), on the host."""
        held: Array = self.value
        return held if isinstance(held, np.ndarray) else held.copy()

    def put(self, value: Any, borrow: bool = False) -> None:
        """Replace the value, after a call in another thread that is updating it.

        borrow: whether a value elsewhere is to stand here itself, instead of giving its elements to the one that does.
        """
        with self.lock:
            given_itself = borrow and not isinstance(value, np.ndarray)
            if isinstance(self.value, np.ndarray) or given_itself or not self.value.take(value):
                self.value = value


_cells: WeakSet[Cell] = WeakSet()


def _free_all() -> None:
    """In the child of a fork: calls that were under way in other threads go on in the parent only."""
    for cell in _cells:
        cell.free()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all)


class Exclusive:
    """Several cells, for a call that replaces values: it holds their locks, and they are `running`.

    All functions take locks in the same order, so that none waits for another that waits for it.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        self.cells = in_order(cells)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """What a function returns that is called so.

        A signal handler may raise after any call but not within one into C: each thing that must not be left half done
        is one such call, and what undoes it is there before.
        """
        locks = [cell.lock for cell in self.cells]
        taken: list[bool] = []
        before: list[bool] = []  # a call within a call of the same thread leaves things as they were
        undo = chain(map(_set_running, self.cells, before), map(release, compress(locks, taken)))
        try:
            taken.extend(map(acquire, locks))
            before.extend(map(_get_running, self.cells))
            deque(map(_set_running, self.cells, repeat(True)), maxlen=0)
            return function(*args)
        finally:
            deque(undo, maxlen=0)


_running: Any = vars(Cell)["running"]
_get_running, _set_running = _running.__get__, _running.__set__
_lock: Any = type(threading.RLock())
acquire, release = _lock.acquire, _lock.release


def in_order(cells: Iterable[Cell]) -> list[Cell]:
    """The cells, each once, in the order in which their locks are taken."""
    return sorted({id(cell): cell for cell in cells}.values(), key=id)


class SharedVariable(Variable):
    """A variable with a value that functions read and update.

    Attributes
    ----------
    default_update: an expression that every function using this variable updates it with, unless told otherwise.
    container: the `Cell` of the value.
    """

    __slots__ = ("allow_downcast", "container", "default_update", "strict")

    def __init__(
        self,
        type: TensorType,
        value: Array | Elsewhere,
        name: str | None = None,
        strict: bool = False,
        allow_downcast: bool | None = None,
    ) -> None:
        super().__init__(type, name=name)
        self.container = Cell(value)
        self.default_update: Variable | None = None
        self.strict = strict
        self.allow_downcast = allow_downcast

    def get_value(self, borrow: bool = False, return_internal_type: bool = False) -> Any:
        """The value: a copy, or with ``borrow=True`` the array itself, which the next update may replace.

        A value on a GPU is copied to the host, unless ``return_internal_type=True`` asks for a CuPy array.
        """
        value = self.container.value
        if not isinstance(value, np.ndarray):
            if not return_internal_type:
                return value.copy()
            value = value.array
        return value if borrow else value.copy()

    def set_value(self, new_value: Any, borrow: bool = False) -> None:
        """Replace the value.  The shape may change, the dtype and the number of axes may not.

        ``borrow=True`` permits graphc to keep `new_value` itself instead of a copy.
        """
        self.container.put(self._owned(new_value, borrow), borrow)

    def _owned(self, value: Any, borrow: bool) -> Any:
        try:
            if is_elsewhere(value):
                return ops.elsewhere(value, self.type, borrow, self.allow_downcast, self.strict)
            array = self.type.filter(value, self.allow_downcast, self.strict)
        except TypeError as error:
            raise TypeError(explain(f"shared variable {self}: {error}", [operand(self)], self.site)) from None
        return array if borrow or not np.may_share_memory(array, value) else array.copy()

    def zero(self, borrow: bool = False) -> None:
        """Set every element to 0."""
        value = self.container.value
        self.set_value(np.zeros(value.shape, value.dtype), borrow=True)

    def clone(self, name: str | None = None) -> SharedVariable:
        """Another variable on the same cell."""
        twin = SharedVariable(self.type, self.container.value, name or self.name, self.strict, self.allow_downcast)
        twin.container = self.container
        twin.default_update = self.default_update
        return twin

    def __repr__(self) -> str:
        return self.name if self.name is not None else f"<{self.type!r}>"

    def __reduce__(self) -> Any:
        state = (self.container, self.default_update)
        return _shared, (type(self), self.type, self.name, self.strict, self.allow_downcast), state

    def __setstate__(self, state: tuple[Cell, Variable | None]) -> None:
        self.container, self.default_update = state

    def __copy__(self) -> SharedVariable:
        return self.clone()


def _shared(cls: Any, type: TensorType, name: str | None, strict: bool, allow_downcast: bool | None) -> SharedVariable:
    variable: SharedVariable = cls.__new__(cls)
    Variable.__init__(variable, type, name=name)
    variable.site = None
    variable.strict, variable.allow_downcast = strict, allow_downcast
    return variable


def _array(value: Any) -> Array:
    """`value` as an array of numbers, or a TypeError."""
    if isinstance(value, Variable) or (isinstance(value, list | tuple) and any(isinstance(v, Variable) for v in value)):
        problem = f"shared() takes a value, got the symbolic variable {value}"
        raise TypeError(explain(problem, site=creation_site(), hint="x.eval() for its value"))
    try:
        array = value if type(value) is np.ndarray else np.asarray(value)
    except (ValueError, OverflowError) as error:
        problem = f"shared(): cannot make an array from {type(value).__name__}: {error}"
        raise TypeError(explain(problem, site=creation_site())) from None
    if array.dtype.name not in dtypes.ALL:
        text = repr(value)
        raise TypeError(
            explain(
                f"shared() takes numbers and arrays of numbers, got {type(value).__name__} {text[:60]}",
                site=creation_site(),
                hint=f"np.array(value, dtype=...) with a dtype out of {', '.join(dtypes.ALL)}",
            )
        )
    return array


def shared(
    value: Any,
    name: str | None = None,
    strict: bool = False,
    allow_downcast: bool | None = None,
    borrow: bool = False,
    broadcastable: Sequence[bool] | None = None,
    shape: Sequence[int | None] | None = None,
) -> SharedVariable:
    """A shared variable with the dtype and rank of `value`.

    Parameters
    ----------
    value: an array (of NumPy, or on a GPU), a number or a nested list of numbers.  A Python float is float64, an int
        int64, a bool bool.
    name: what the variable is called in print.
    strict: `set_value` takes arrays of exactly this type.
    allow_downcast: `set_value` may lose precision.
    borrow: keep `value` itself if it is an array; by default it is copied.
    broadcastable: one truth value an axis: its size is 1 for ever.  By default no axis is, even of size 1.

        >>> w = shared(0.5, name="w")
        >>> w.get_value()
        array(0.5)
    """
    array = ops.elsewhere(value, None, borrow) if is_elsewhere(value) else _array(value)
    if name is not None and not isinstance(name, str):
        raise TypeError(f"shared(): the name of a variable is text, got {type(name).__name__} {name!r}")
    if shape is None:
        shape = [1 if flag else None for flag in broadcastable] if broadcastable is not None else [None] * array.ndim
    kind = TensorType(array.dtype.name, shape=shape)
    if isinstance(array, np.ndarray):
        array = kind.filter(array if borrow else array.copy())
    else:
        kind.check(array.dtype, array.shape)
    return SharedVariable(kind, array, name, strict, allow_downcast)
