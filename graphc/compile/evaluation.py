"""`Variable.eval`: a function that is compiled when a value is asked for, and kept with the variable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.compile.function import function
from graphc.graph.bindings import ops
from graphc.graph.traverse import inputs_of
from graphc.graph.variable import Variable


def evaluated(variable: Variable, values: Mapping[Any, Any], **options: Any) -> Any:
    """The value of `variable` for values of its inputs, given by variable or by name."""
    if not isinstance(values, Mapping):
        raise TypeError(f"eval: takes a dictionary {{variable: value}}, got {type(values).__name__}")
    by_name = {x.name: x for x in inputs_of([variable]) if x.name is not None}
    given: dict[Variable, Any] = {}
    for key, value in values.items():
        x = by_name.get(key) if isinstance(key, str) else key
        if not isinstance(x, Variable):
            raise TypeError(f"eval: {key!r} is no variable that {variable} depends on")
        given[x] = value
    inputs = sorted(given, key=id)
    functions = variable.tag.__dict__.setdefault("_eval_functions", {})
    wanted = tuple(inputs)
    if wanted not in functions:
        functions[wanted] = function(inputs, variable, on_unused_input="ignore", **options)
    return functions[wanted](*(given[x] for x in inputs))


ops.bind("eval", evaluated)
