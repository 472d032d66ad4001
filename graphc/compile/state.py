"""Private state: the inputs of a function that have a value of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from graphc.compile.signature import In, filtered
from graphc.graph.variable import Variable

if TYPE_CHECKING:
    from graphc.compile.function import Function


class State:
    """The inputs of a function that have a value, by variable or by name."""

    def __init__(self, function: Function, cells: bool = False) -> None:
        self._function = function
        self._as_cells = cells

    def _entry(self, key: Variable | str) -> In:
        for entry in self._function.inputs:
            if (entry.variable is key or (isinstance(key, str) and entry.name == key)) and entry.cell is not None:
                return entry
        known = ", ".join(str(e.name) for e in self._function.inputs if e.cell is not None) or "none"
        raise KeyError(f"{self._function}: no input {key} with a value; inputs that have one: {known}")

    def __getitem__(self, key: Variable | str) -> Any:
        cell = self._entry(key).cell
        assert cell is not None
        return cell if self._as_cells else cell.value.copy()  # on the host, wherever the value is

    def __setitem__(self, key: Variable | str, value: Any) -> None:
        entry = self._entry(key)
        assert entry.cell is not None
        new = filtered(entry.variable, value, entry.strict, entry.allow_downcast).copy()
        entry.cell.put(new)

    def __iter__(self) -> Iterator[Any]:
        return (e.name if e.name is not None else e.variable for e in self._function.inputs if e.cell is not None)
