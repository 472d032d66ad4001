"""NumPy's own functions on symbolic arguments: ``np.exp(x)``, ``np.sum(x)``, ``array * x`` build nodes.

The tables are made from the declarations: an op that names a NumPy function answers to it.
"""

from __future__ import annotations

from typing import Any

from graphc.graph.bindings import ops
from graphc.graph.op import refuse
from graphc.graph.variable import Variable, as_variable
from graphc.ops.declare import ELEMENTWISE, Elementwise, function

# NumPy's name -> the function of graphc that does the same, where the names differ.
FUNCTIONS: dict[str, str] = {
    "amax": "max", "amin": "min", "where": "switch", "multiply": "mul", "matmul": "matmul", "round": "round_half_to_even",
    "absolute": "abs_", "concatenate": "concatenate", "ravel": "flatten", "float_power": "pow",
}  # fmt: skip


def _by_ufunc() -> dict[str, Elementwise]:
    return {op.numpy: op for op in ELEMENTWISE.values() if op.numpy and ":" not in op.numpy}


@function
def numpy_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What ``np.exp(x)`` or ``array * x`` means for a symbolic `x`."""
    name = ufunc.__name__
    target: Any = _by_ufunc().get(name) or (ops.matmul if name in ("matmul", "vecdot") else None)
    if name in ELEMENTWISE and target is None:
        target = ELEMENTWISE[name]  # scipy.special.expit has no such luck, but np.clip and np.log1p do
    if target is None or method != "__call__" or kwargs:
        what = f"np.{name}" + (f".{method}" if method != "__call__" else "") + ("(..., " + "=, ".join(kwargs) + "=)" if kwargs else "")
        symbols = [x for x in inputs if isinstance(x, Variable)]
        raise refuse(TypeError, what, "is not defined for symbolic variables", symbols, "the functions of graphc.tensor")
    return target(*inputs)


@function
def numpy_function(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What ``np.sum(x)``, ``np.concatenate([x, y])`` mean for a symbolic `x`."""
    name = target.__name__
    name = FUNCTIONS.get(name, name)
    if name not in ops:
        symbols = [x for x in args if isinstance(x, Variable)]
        hint = "the functions of graphc.tensor"
        raise refuse(TypeError, f"np.{target.__name__}", "is not defined for symbolic variables", symbols, hint)
    kwargs = {key: value for key, value in kwargs.items() if value is not None or key == "axis"}
    first = as_variable(args[0]) if name not in ("concatenate", "stack", "switch") and args else args[0]
    return getattr(ops, name)(first, *args[1:], **kwargs)
