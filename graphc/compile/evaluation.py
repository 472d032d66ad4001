"""`Variable.eval`: a function that is compiled when a value is asked for, and kept with the variable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.compile.function import function
from graphc.configuration import config
from graphc.graph.traverse import inputs_of
from graphc.graph.variable import Variable


def evaluated(variable: Variable, values: Mapping[Any, Any], **options: Any) -> Any:
    """The value of `variable` for values of its inputs, given by variable or by name."""
    if not isinstance(values, Mapping):
        raise TypeError(f"eval: takes a dictionary {{variable: value}}, got {type(values).__name__}")
    given: dict[Variable, Any] = {}
    for key, value in values.items():
        given[_named(variable, key) if isinstance(key, str) else _checked(variable, key)] = value
    inputs = sorted(given, key=id)
    functions = variable.tag.__dict__.setdefault("_eval_functions", {})
    options = {"on_unused_input": "ignore", **options}
    settings = (config.mode, config.backend, config.numerics, config.matmul_precision)
    wanted = (*inputs, *sorted(options.items()), *settings)
    if wanted not in functions:
        functions[wanted] = function(inputs, variable, **options)
    return functions[wanted](*(given[x] for x in inputs))


def _named(variable: Variable, name: str) -> Variable:
    found = [x for x in inputs_of([variable]) if x.name == name]
    if len(found) > 1:
        raise TypeError(f"eval: {name!r} is the name of {len(found)} variables: give the variable itself")
    return found[0] if found else _checked(variable, name)


def _checked(variable: Variable, key: Any) -> Variable:
    if not isinstance(key, Variable):
        raise TypeError(f"eval: {key!r} is no variable that {variable} depends on")
    return key
