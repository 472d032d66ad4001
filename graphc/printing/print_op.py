"""`Print`: an op that shows a value each time it is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphc.graph.op import Gradient, Op, as_variables
from graphc.graph.sizes import Shape, Sizes
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Variable


def print_attributes(op: Print, value: Any) -> None:
    """Print ``message attribute = value`` for each attribute; one that can be called is called."""
    for attribute in op.attrs:
        found = getattr(value, attribute)
        print(op.message, attribute, "=", found() if callable(found) else found)


class Print(Op):
    """The identity, which prints its value when the function runs.

    Parameters
    ----------
    message: printed before each attribute.
    attrs: the attributes and methods of the value that are printed.
    global_fn: called with the op and the value instead of printing the attributes.

    It runs only if its result is used, and as often as it stands in the expression.

        >>> x = Print("x:")(x)
        x: __str__ = [1. 2. 3.]
        >>> x = Print("x:", attrs=("shape", "max"))(x)
    """

    name = "Print"
    pure = False
    view_of = 0

    def __init__(
        self,
        message: str = "",
        attrs: Sequence[str] = ("__str__",),
        global_fn: Callable[[Print, Any], None] = print_attributes,
    ) -> None:
        self.message = message
        self.attrs = tuple(attrs)
        self.global_fn = global_fn

    def make_node(self, *inputs: Any) -> Apply:
        (x,) = as_variables(self, inputs)
        return Apply(self, [x], [TensorType(x.dtype, shape=x.type.shape)])

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        return [shapes[0]]

    def perform(self, node: Apply, *values: Any) -> Any:
        self.global_fn(self, values[0])
        return values[0]

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        return gs

    def text(self) -> str:
        return f"Print{{message={self.message!r}}}"
