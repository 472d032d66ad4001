"""NumPy's own functions on symbolic arguments: ``np.exp(x)``, ``np.sum(x)``, ``array * x`` build nodes.

The tables are made from the declarations: an op that names a NumPy function answers to it.
"""

from __future__ import annotations

import inspect
from typing import Any

from graphc.graph.bindings import ops
from graphc.graph.op import refuse
from graphc.graph.variable import Variable, as_variable
from graphc.ops.declare import ELEMENTWISE, Elementwise, function

# NumPy's name -> the function of graphc that does the same, where the names differ.
FUNCTIONS: dict[str, str] = {
    "amax": "max", "amin": "min", "where": "switch", "round": "round_half_to_even", "ravel": "flatten",
}  # fmt: skip

# NumPy's name of a parameter -> graphc's, where the names differ.
PARAMETERS: dict[str, str] = {"shape": "newshape", "fill_value": "value", "b": "y"}

HINT = "the functions of graphc.tensor"


def _by_ufunc() -> dict[str, Elementwise]:
    return {op.numpy: op for op in ELEMENTWISE.values() if op.numpy and ":" not in op.numpy}


@function
def numpy_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What ``np.exp(x)`` or ``array * x`` means for a symbolic `x`."""
    name = ufunc.__name__
    target: Any = _by_ufunc().get(name) or (ops.matmul if name == "matmul" else None)
    if target is None or method != "__call__" or kwargs:
        what = f"np.{name}" if method == "__call__" else f"np.{name}.{method}"
        if kwargs:
            what += f"(..., {'=, '.join(kwargs)}=)"
        symbols = [x for x in inputs if isinstance(x, Variable)]
        raise refuse(TypeError, what, "is not defined for symbolic variables", symbols, HINT)
    return target(*inputs)


@function
def numpy_function(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What ``np.sum(x)``, ``np.concatenate([x, y])`` mean for a symbolic `x`."""
    what = f"{target.__module__}.{target.__name__}".replace("numpy.", "np.", 1)
    name = FUNCTIONS.get(target.__name__, target.__name__)
    symbols = [x for x in args if isinstance(x, Variable)]
    if target.__module__ != "numpy" or name not in ops:
        raise refuse(TypeError, what, "is not defined for symbolic variables", symbols, HINT)
    ours = getattr(ops, name)
    try:
        given, named = _arguments(target, ours, args, kwargs)
    except TypeError as error:
        raise refuse(TypeError, what, f"for symbolic variables {error}", symbols, HINT) from None
    return ours(*given, **named)


# Parameters of functions that NumPy writes in C: before 2.3 they have no signature that Python can read.
BUILT_IN: dict[str, list[str]] = {
    "concatenate": ["arrays", "axis", "out", "dtype", "casting"],
    "dot": ["a", "b", "out"],
}


def _arguments(
    target: Any, ours: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments for graphc's function: the first as it is, the others by their names."""
    if isinstance(ours, Elementwise):
        if kwargs or len(args) != ours.nin:
            raise TypeError(f"takes {ours.nin} operand{'s' * (ours.nin > 1)} and nothing else")
        return args, {}
    first = args[0] if isinstance(args[0], list | tuple) else as_variable(args[0])
    names = BUILT_IN.get(target.__name__) or list(inspect.signature(target).parameters)
    known = inspect.signature(ours).parameters
    named: dict[str, Any] = {}
    for name, value in {**dict(zip(names[1:], args[1:], strict=False)), **kwargs}.items():
        own = name if name in known else PARAMETERS.get(name, name)
        if own in known:
            named[own] = value
        elif value is not None:
            raise TypeError(f"takes no {name}=")
    return (first,), named
