"""Variable, Constant and Apply: the nodes of the graph a user builds.

A Variable is a value that will be; it is made by an Apply, which joins an Op to its input Variables, or it is a leaf.
In the user's hands every Variable is its own object: ``==`` is identity, and a gradient is taken with respect to
exactly this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc import dtypes
from graphc.errors import Site, explain
from graphc.graph.bindings import ops
from graphc.graph.operators import Methods
from graphc.graph.site import creation_site
from graphc.graph.types import TensorType

if TYPE_CHECKING:
    from graphc.graph.op import Op


class Variable(Methods):
    """A symbolic array.

    Attributes
    ----------
    type: its TensorType, with ``dtype``, ``ndim`` and the sizes that are known.
    owner, index: the Apply that makes it and which of its outputs it is; None for a leaf.
    name: what it is called in print, or None.
    tag: a place for notes, such as Theano's ``tag.test_value``.
    """

    __slots__ = ("__weakref__", "_tag", "index", "name", "owner", "site", "type")

    # NumPy must ask us before it treats a Variable as an object in an array.
    __array_priority__ = 1000

    def __init__(
        self,
        type: TensorType,
        owner: Apply | None = None,
        index: int | None = None,
        name: str | None = None,
    ) -> None:
        self._tag: SimpleNamespace
        self.type = type
        self.owner = owner
        self.index = index
        self.name = name
        self.site: Site | None = owner.site if owner is not None else creation_site()

    @property
    def dtype(self) -> str:
        """The name of the dtype."""
        return self.type.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.type.shape)

    @property
    def broadcastable(self) -> tuple[bool, ...]:
        """For each axis whether its size is known to be 1."""
        return self.type.broadcastable

    @property
    def tag(self) -> SimpleNamespace:
        """A namespace for notes."""
        try:
            return self._tag
        except AttributeError:
            self._tag = SimpleNamespace()
            return self._tag

    def eval(self, inputs_to_values: dict[Variable, Any] | None = None, **kwargs: Any) -> Any:
        """The value of this variable for given values of the inputs it depends on.

        The function that computes it is compiled once for each set of inputs.

            >>> (X * 2).eval({X: [[1, 1], [2, 2]]})
        """
        return ops.eval(self, inputs_to_values or {}, **kwargs)

    def clone(self, name: str | None = None) -> Variable:
        """A new leaf of the same type."""
        return Variable(self.type, name=self.name if name is None else name)

    # ---- what a symbolic array is not ----

    def __bool__(self) -> bool:
        raise TypeError(
            explain(
                f"the truth of {self} is not known before the function runs",
                [operand(self)],
                self.site,
                "T.switch(condition, a, b) chooses element by element, ifelse(condition, a, b) runs one branch;\n"
                "write `x is None` to compare with None, T.and_(a, b) for `a and b`",
            )
        )

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        raise TypeError(
            explain(
                f"{self} is symbolic and has no values to put into an array",
                [operand(self)],
                self.site,
                "x.eval({inputs: values}) computes it; functions of T work on it as it is",
            )
        )

    def __len__(self) -> int:
        raise TypeError(
            explain(
                f"the length of {self} is not known before the function runs",
                [operand(self)],
                self.site,
                "x.shape[0] is its symbolic length",
            )
        )

    def _no_number(self, kind: str) -> TypeError:
        message = f"{self} is symbolic: {kind}() needs a value"
        return TypeError(explain(message, [operand(self)], self.site, "T.cast(x, dtype), or x.eval() for its value"))

    def __int__(self) -> int:
        raise self._no_number("int")

    def __float__(self) -> float:
        raise self._no_number("float")

    def __complex__(self) -> complex:
        raise self._no_number("complex")

    def __index__(self) -> int:
        raise self._no_number("operator.index")

    def __iter__(self) -> Iterator[Any]:
        length = self.type.shape[0] if self.ndim else None
        if length is None:
            raise TypeError(
                explain(
                    f"cannot iterate over {self}: "
                    + ("it is a scalar" if not self.ndim else "its length is not known"),
                    [operand(self)],
                    self.site,
                    "scan(fn, sequences=x) loops when the function runs; x[i] takes one element",
                )
            )
        return (self[i] for i in range(length))

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            explain(
                f"{self} cannot be changed in place: expressions are values",
                [operand(self)],
                self.site,
                "y = T.set_subtensor(x[index], value), or T.inc_subtensor to add",
            )
        )

    def __repr__(self) -> str:
        if self.name is not None:
            return self.name
        if self.owner is not None:
            return f"{self.owner.op}.{self.index}"
        return f"<{self.type!r}>"

    def _repr_latex_(self) -> str:
        return str(ops.repr_latex(self))

    def __reduce__(self) -> Any:
        if self.owner is None:
            return _leaf, (type(self), self.type, self.name)
        return ops.pickle_graph(self)


def _leaf(cls: type[Variable], type: TensorType, name: str | None) -> Variable:
    variable = cls(type, name=name)
    variable.site = None
    return variable


class Constant(Variable):
    """A leaf with a fixed value.  `data` cannot be written."""

    __slots__ = ("data",)

    def __init__(self, type: TensorType, data: Any, name: str | None = None) -> None:
        super().__init__(type, name=name)
        array = np.array(data, dtype=type.dtype)
        array.flags.writeable = False
        self.data = array

    def __repr__(self) -> str:
        return self.name if self.name is not None else f"TensorConstant{{{constant_text(self.data)}}}"

    def __reduce__(self) -> Any:
        return Constant, (self.type, np.array(self.data), self.name)

    @property
    def value(self) -> np.ndarray[Any, Any]:
        """The data."""
        return self.data

    def scalar(self) -> Any:
        """The one value that all elements have, as a Python number, or None if they differ."""
        if self.data.ndim == 0:
            return self.data.item()
        if self.data.size == 0:
            return None
        first = self.data.flat[0]
        same = bool(np.all(self.data == first)) or (first != first and bool(np.all(self.data != self.data)))
        return first.item() if same else None


def constant_text(data: np.ndarray[Any, Any]) -> str:
    """A short text for the value of a constant, as Theano prints it."""
    text = " ".join(str(data).split())
    return text if len(text) <= 40 else text[:37] + "..."


class Apply:
    """An op applied to inputs.

    Attributes
    ----------
    op: the Op.
    inputs, outputs: tuples of Variables.
    site: the line of the user's program that built it.
    """

    __slots__ = ("__weakref__", "inputs", "op", "outputs", "site")

    def __init__(
        self,
        op: Op,
        inputs: Sequence[Variable],
        outputs: Sequence[TensorType | Variable],
        site: Site | None = None,
    ) -> None:
        self.op = op
        self.inputs = tuple(inputs)
        self.site = creation_site() if site is None else site
        self.outputs = tuple(
            [
                Variable(output, self, i) if isinstance(output, TensorType) else self._adopt(i, output)
                for i, output in enumerate(outputs)
            ]
        )

    def _adopt(self, index: int, output: Variable) -> Variable:
        """A Variable that a user's make_node created, as an output."""
        output.owner, output.index = self, index
        return output

    @property
    def out(self) -> Variable:
        """The output, for an op that has one."""
        (output,) = self.outputs
        return output

    def __repr__(self) -> str:
        return f"{self.op}({', '.join(map(repr, self.inputs))})"

    def __reduce__(self) -> Any:
        return _owner_of, (self.outputs[0],)


def _owner_of(variable: Variable) -> Apply:
    assert variable.owner is not None
    return variable.owner


def operand(variable: Variable) -> str:
    """One line about a variable for an error message: what it is and its type."""
    return f"{variable!r}: {variable.type!r}"


def as_variable(value: Any, name: str | None = None) -> Variable:
    """`value` as a Variable, for the operands of ops.

    Python numbers become weak constants, arrays and lists of numbers become constants, and lists that hold
    Variables are stacked.  Anything else is a TypeError.
    """
    if isinstance(value, Variable):
        return value
    kind = type(value)
    if kind is float or kind is int or kind is complex:
        return Constant(_type_of_number(dtypes.of_number(value)), value, name)
    return constant(value, name)


@cache
def _type_of_number(dtype: str) -> TensorType:
    return TensorType(dtype, shape=(), weak=True)


def constant(value: Any, name: str | None = None, ndim: int | None = None, dtype: Any = None) -> Variable:
    """A constant of the value and dtype of `value`; lone Python floats have dtype ``config.floatX``.

    A constant never changes: it holds a copy.  `ndim` adds leading axes of size 1, `dtype` casts.
    """
    if isinstance(value, Variable):
        return value
    if isinstance(value, list | tuple) and _holds_variable(value):
        stacked: Variable = ops.stack([as_variable(item) for item in value])
        return stacked
    if type(value) in (bool, int, float, complex):
        data = np.asarray(value, dtypes.of_number(value))
    elif isinstance(value, np.ndarray | np.generic):
        data = np.asarray(value)
    else:
        try:
            data = np.asarray(value)
        except (ValueError, OverflowError) as error:
            raise TypeError(f"cannot make a constant from {value!r}: {error}") from None
        if data.dtype == np.float64:
            data = data.astype(dtypes.check("floatX"))
    known = data.dtype.name
    if known not in dtypes.ALL:
        text = repr(value)
        raise TypeError(
            f"cannot use {text if len(text) < 60 else text[:57] + '...'} ({type(value).__name__}) in an expression: "
            "expected a Variable, a number, an array or a list of those"
        )
    if dtype is not None:
        known = dtypes.check(dtype)
        data = data.astype(known)
    if ndim is not None and ndim > data.ndim:
        data = data.reshape((1,) * (ndim - data.ndim) + data.shape)
    return Constant(TensorType(known, shape=data.shape), data, name)


def _holds_variable(value: Sequence[Any]) -> bool:
    return any(isinstance(v, Variable) or (isinstance(v, list | tuple) and _holds_variable(v)) for v in value)


ops.bind("variable", Variable)
