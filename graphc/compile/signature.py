"""The arguments of `function`, brought into one form and checked: inputs, outputs, updates and givens."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.errors import MissingInputError, UnusedInputError, explain
from graphc.graph.shared import Cell, SharedVariable
from graphc.graph.site import creation_site
from graphc.graph.traverse import depends_on, leaves_of, rebuild, toposort
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Constant, Variable, as_variable, operand
from graphc.ops.conversion import cast

Updates = Mapping[Any, Any] | Iterable[Sequence[Any]] | None


class In:
    """An input of a function with more than its variable.

    Parameters
    ----------
    variable: the symbolic input.
    name: the keyword it can be passed by; by default the variable's name.
    value: the default if the caller passes nothing.  Every function keeps its own copy; ``f.container[x]`` instead of
        a value makes two functions share one.
    update: an expression whose value replaces `value` after each call: private state of the function.
    strict: accept arrays of exactly this dtype only.
    allow_downcast: accept values that lose precision; None accepts Python floats for a float32 of config.floatX.
    autoname: False leaves an input without `name` nameless.
    mutable, borrow, implicit, shared: accepted for Theano programs; graphc never writes into arguments.

        >>> f = function([x, In(y, value=1.0)], x + y)
    """

    def __init__(
        self,
        variable: Variable,
        name: str | None = None,
        value: Any = None,
        update: Variable | None = None,
        mutable: bool | None = None,
        strict: bool = False,
        allow_downcast: bool | None = None,
        autoname: bool = True,
        implicit: bool | None = None,
        borrow: bool | None = None,
        shared: bool = False,
    ) -> None:
        if not isinstance(variable, Variable):
            raise TypeError(f"In() takes a symbolic variable, got {type(variable).__name__} {variable!r}")
        self.variable = variable
        self.name = variable.name if name is None and autoname else name
        self.strict = strict
        self.allow_downcast = allow_downcast
        self.cell: Cell | None = None
        self.shares_cell = isinstance(value, Cell)
        if isinstance(value, Cell):
            self.cell = value
        elif value is not None:
            self.cell = Cell(filtered(variable, value, strict, allow_downcast).copy())
        self.update = update
        if update is not None:
            if self.cell is None:
                problem = f"In({variable}): an update needs a value to start from"
                raise ValueError(explain(problem, [operand(variable)], variable.site, "In(x, value=0.0, update=x + 1)"))
            self.update = matching_update(variable, update)

    def for_function(self, allow_downcast: bool | None = None) -> In:
        """This input as one function has it: with a cell of its own, and that function's `allow_downcast`."""
        own = copy.copy(self)
        if own.cell is not None and not own.shares_cell:
            own.cell = Cell(own.cell.value.copy())
        if own.allow_downcast is None:
            own.allow_downcast = allow_downcast
        return own

    def __repr__(self) -> str:
        extra = "" if self.cell is None else f", value={self.cell.data}"
        return f"In({self.variable!r}{extra})"


Param = In


class Out:
    """An output; ``borrow=True`` permits that it shares memory with the function's own."""

    def __init__(self, variable: Any, borrow: bool = False) -> None:
        self.variable = as_variable(variable)
        self.borrow = borrow


@dataclass(frozen=True)
class OutputForm:
    """How the results are handed back: one array, a list, or a dictionary."""

    kind: str  # "one", "list", "dict"
    keys: tuple[Any, ...] = ()

    def pack(self, results: list[Any]) -> Any:
        """The results in the form the user asked for."""
        if self.kind == "one":
            return results[0]
        return results if self.kind == "list" else dict(zip(self.keys, results, strict=True))


@dataclass(frozen=True)
class Signature:
    """What is to be compiled, checked.

    inputs: the explicit inputs; outputs, form: what is returned; updates: variable (shared, or an input with private
    state) -> new value; shared: the shared variables that are read or updated; nodes: what makes the outputs and the
    new values, sorted, if that is known already.
    """

    inputs: tuple[In, ...]
    outputs: tuple[Variable, ...]
    form: OutputForm
    updates: tuple[tuple[Variable, Variable], ...]
    shared: tuple[SharedVariable, ...]
    nodes: tuple[Apply, ...] | None = None


def signature(
    inputs: Any,
    outputs: Any = None,
    updates: Updates = None,
    givens: Updates = None,
    no_default_updates: bool | Sequence[Variable] = False,
    on_unused_input: str = "raise",
    allow_input_downcast: bool | None = None,
) -> Signature:
    """Check the arguments of `function` and apply givens and default updates."""
    ins = _inputs(inputs, allow_input_downcast)
    outs, form = _outputs(outputs)
    pairs = _updates(updates)
    pairs += [(i.variable, i.update) for i in ins if i.update is not None]
    roots = [*outs, *(new for _, new in pairs)]
    replacements = _givens(givens, ins)
    if replacements:
        roots = rebuild(roots, replacements)
    pairs = [(old, new) for (old, _), new in zip(pairs, roots[len(outs) :], strict=True)]
    outs = roots[: len(outs)]
    pairs, nodes, used = _with_default_updates(ins, outs, pairs, no_default_updates, replacements)
    roots = [*outs, *(new for _, new in pairs)]
    shared = _check_leaves(ins, roots, used, pairs, replacements)
    _check_used(ins, used, on_unused_input)
    return Signature(tuple(ins), tuple(outs), form, tuple(pairs), tuple(shared), tuple(nodes))


# ---- inputs ----


def _inputs(inputs: Any, allow_downcast: bool | None) -> list[In]:
    if isinstance(inputs, Variable | In):
        raise TypeError(
            explain(
                f"function: inputs must be a list of variables, got the single variable {inputs}",
                site=creation_site(),
                hint="function([x], ...)",
            )
        )
    if not isinstance(inputs, list | tuple):
        raise TypeError(f"function: inputs must be a list of variables, got {type(inputs).__name__}")
    ins = []
    seen: set[Variable] = set()
    for position, given in enumerate(inputs):
        if not isinstance(given, Variable | In):
            raise TypeError(
                f"function: input {position} is {type(given).__name__} {given!r}, expected a symbolic variable or In()"
            )
        entry = (given if isinstance(given, In) else In(given)).for_function(allow_downcast)
        x = entry.variable
        if isinstance(x, Constant):
            raise TypeError(f"function: input {position} is the constant {x}, whose value cannot be passed")
        if isinstance(x, SharedVariable):
            raise TypeError(
                explain(
                    f"function: input {position} is the shared variable {x}; it has its value already",
                    [operand(x)],
                    x.site,
                    "leave it out of the inputs; givens={x: value} replaces it for this function",
                )
            )
        if x in seen:
            problem = f"function: the variable {x} is listed twice among the inputs"
            raise ValueError(explain(problem, [operand(x)], x.site))
        seen.add(x)
        ins.append(entry)
    return ins


def filtered(x: Variable, value: Any, strict: bool, allow_downcast: bool | None) -> Any:
    """`value` as an array of the type of `x`, or a TypeError that names `x`."""
    try:
        return x.type.filter(value, allow_downcast, strict)
    except TypeError as error:
        raise TypeError(explain(f"the value for {x}: {error}", [operand(x)], x.site)) from None


# ---- outputs ----


def _outputs(outputs: Any) -> tuple[list[Variable], OutputForm]:
    if outputs is None:
        return [], OutputForm("list")
    if isinstance(outputs, dict):
        for key in outputs:
            if not isinstance(key, str):
                raise TypeError(f"function: the keys of an output dictionary must be strings, got {key!r}")
        return [_output(o) for o in outputs.values()], OutputForm("dict", tuple(outputs))
    if isinstance(outputs, list | tuple):
        return [_output(o) for o in outputs], OutputForm("list")
    return [_output(outputs)], OutputForm("one")


def _output(given: Any) -> Variable:
    if isinstance(given, Out):
        return given.variable
    try:
        return as_variable(given)
    except TypeError as error:
        problem = f"function: {given!r} is no output: {error}"
        raise TypeError(explain(problem, site=creation_site())) from None


# ---- updates ----


def _pairs(name: str, given: Updates) -> list[tuple[Any, Any]]:
    """Pairs out of a dictionary, or a list or tuple of lists or tuples."""
    if given is None:
        return []
    if isinstance(given, Mapping):
        return list(given.items())
    if not isinstance(given, Iterable) or isinstance(given, Variable):
        raise TypeError(f"function: {name} must be a dictionary or a list of pairs, got {type(given).__name__}")
    pairs = []
    for item in given:
        if not isinstance(item, list | tuple) or len(item) != 2:
            raise TypeError(f"function: {name} must hold pairs (variable, new value), got {item!r}")
        pairs.append((item[0], item[1]))
    return pairs


def _updates(updates: Updates) -> list[tuple[Variable, Variable]]:
    pairs: list[tuple[Variable, Variable]] = []
    seen: set[SharedVariable] = set()
    cells: dict[Cell, SharedVariable] = {}
    for target, new in _pairs("updates", updates):
        if not isinstance(target, SharedVariable):
            raise TypeError(
                explain(
                    f"function: only shared variables can be updated, got {target!r}",
                    [operand(target)] if isinstance(target, Variable) else [],
                    target.site if isinstance(target, Variable) else None,
                    "shared(value) makes one; In(x, value=..., update=...) is private state",
                )
            )
        if target in seen:
            raise ValueError(
                explain(f"function: two updates for the shared variable {target}", [operand(target)], target.site)
            )
        twin = cells.setdefault(target.container, target)
        if twin is not target:
            problem = f"function: two updates for one value: {target} and {twin} are one shared value"
            raise ValueError(explain(problem, map(operand, (target, twin)), target.site))
        seen.add(target)
        pairs.append((target, matching_update(target, new)))
    return pairs


def matching_update(target: Variable, new: Any) -> Variable:
    """The new value in the type of its variable; an expression of another dtype, rank or fixed size is a TypeError."""
    asked = f"function: the update of {target}"
    value = in_dtype_of(target, new, asked)
    if value.type.weak:
        value = cast(value, target.dtype)
    if value.dtype != target.dtype or value.ndim != target.ndim:
        what = "dtype" if value.dtype != target.dtype else "number of axes"
        raise TypeError(
            explain(
                f"{asked} has another {what} than the variable",
                [operand(target), f"update {operand(value)}"],
                value.site,
                f"T.cast(update, {target.dtype!r})" if what == "dtype" else "reshape or sum the update",
            )
        )
    if not target.type.accepts(value.type):
        fixed = [axis for axis, n in enumerate(target.type.shape) if n not in (None, value.type.shape[axis])]
        ones = all(target.type.shape[axis] == 1 and value.type.shape[axis] is None for axis in fixed)
        raise TypeError(
            explain(
                f"{asked} must have the sizes that are fixed for the variable: {list(target.type.shape)}",
                [operand(target), f"update {operand(value)}"],
                value.site,
                f"T.addbroadcast(update, {', '.join(map(str, fixed))}), if the size is 1" if ones else None,
            )
        )
    return value


def in_dtype_of(target: Variable, new: Any, asked: str) -> Variable:
    """`new` as a Variable; a constant is brought to the dtype of `target`, where nothing is lost."""
    try:
        value = as_variable(new)
        if isinstance(value, Constant) and value.dtype != target.dtype:
            kind = TensorType(target.dtype, shape=value.type.shape)
            return Constant(kind, kind.filter(value.data.tolist()))
        return value
    except TypeError as error:
        raise TypeError(explain(f"{asked}: {error}", [operand(target)], target.site)) from None


def _with_default_updates(
    ins: Sequence[In],
    outs: Sequence[Variable],
    pairs: list[tuple[Variable, Variable]],
    no_default_updates: bool | Sequence[Variable],
    replacements: Mapping[Variable, Variable],
) -> tuple[list[tuple[Variable, Variable]], list[Apply], list[Variable]]:
    """The updates with those that shared variables bring along, the nodes that make everything, and their leaves."""
    excluded: set[Variable] = set()
    cut = {entry.variable for entry in ins}
    if isinstance(no_default_updates, bool):
        if no_default_updates:
            roots = [*outs, *(new for _, new in pairs)]
            nodes = toposort(roots, stop=cut)
            return pairs, nodes, leaves_of(nodes, roots, stop=cut)
    elif isinstance(no_default_updates, list | tuple):
        excluded = set(no_default_updates)
    else:
        raise TypeError("function: no_default_updates must be True, False or a list of shared variables")
    pairs = list(pairs)
    done = {target for target, _ in pairs} | excluded
    written = {target.container for target, _ in pairs if isinstance(target, SharedVariable)}
    while True:
        roots = [*outs, *(new for _, new in pairs)]
        nodes = toposort(roots, stop=cut)
        used = leaves_of(nodes, roots, stop=cut)
        found = [x for x in used if isinstance(x, SharedVariable) and x not in done]
        done.update(found)
        targets = [x for x in found if x.default_update is not None and x.container not in written]
        targets = list({x.container: x for x in reversed(targets)}.values())[::-1]  # a cell is written once
        written.update(x.container for x in targets)
        if not targets:
            return pairs, nodes, used
        news = [matching_update(x, x.default_update) for x in targets]
        pairs += zip(targets, rebuild(news, replacements), strict=True)


# ---- givens ----


def _givens(givens: Updates, ins: Sequence[In]) -> dict[Variable, Variable]:
    replacements: dict[Variable, Variable] = {}
    explicit = {entry.variable for entry in ins}
    for old, new in _pairs("givens", givens):
        if not isinstance(old, Variable):
            raise TypeError(f"function: givens replace symbolic variables, got {old!r}")
        if old in replacements:
            raise ValueError(explain(f"function: two givens for {old}", [operand(old)], old.site))
        if old in explicit:
            raise ValueError(
                explain(
                    f"function: {old} is an input, so givens cannot replace it",
                    [operand(old)],
                    old.site,
                    "leave it out of the inputs or out of givens",
                )
            )
        value = in_dtype_of(old, new, f"function: givens replace {old}")
        if value.dtype != old.dtype or value.ndim != old.ndim:
            raise TypeError(
                explain(
                    f"function: givens replace {old} by an expression of another type",
                    [operand(old), f"replacement {operand(value)}"],
                    value.site,
                    f"T.cast(replacement, {old.dtype!r})" if value.dtype != old.dtype else "reshape the replacement",
                )
            )
        replacements[old] = value
    return replacements


# ---- what the graph needs ----


def _check_used(ins: Sequence[In], leaves: Sequence[Variable], action: str) -> None:
    if action not in ("raise", "warn", "ignore"):
        raise ValueError(f"function: on_unused_input must be 'raise', 'warn' or 'ignore', got {action!r}")
    if action == "ignore":
        return
    used = set(leaves)
    for position, entry in enumerate(ins):
        if entry.variable in used or entry.update is not None:
            continue
        text = explain(
            f"function: input {position} ({entry.variable}) is used by no output and no update",
            [operand(entry.variable)],
            entry.variable.site,
            "leave it out, or on_unused_input='ignore' (or 'warn')",
        )
        if action == "raise":
            raise UnusedInputError(text)
        warnings.warn(text, stacklevel=4)


def _check_leaves(
    ins: Sequence[In],
    roots: Sequence[Variable],
    leaves: Sequence[Variable],
    pairs: Sequence[tuple[Variable, Variable]],
    replacements: Mapping[Variable, Variable],
) -> list[SharedVariable]:
    """The shared variables among the leaves; a leaf that has no value at all is a MissingInputError."""
    cut = {entry.variable for entry in ins}
    shared: dict[SharedVariable, None] = {}
    for x in leaves:
        if isinstance(x, SharedVariable):
            shared[x] = None
        elif x not in cut and not isinstance(x, Constant):
            user = next((r for r in roots if depends_on([r], [x])), x)
            raise MissingInputError(
                explain(
                    f"function: {x} has no value: it is no input, not shared and no constant",
                    [operand(x), f"needed by {operand(user)}"],
                    x.site,
                    "add it to the inputs, or give it a value with givens={x: ...}"
                    if x not in replacements
                    else "givens apply all at once: what stands in a replacement is not replaced again",
                )
            )
    for target, _ in pairs:
        if isinstance(target, SharedVariable):
            shared[target] = None
    return list(shared)
