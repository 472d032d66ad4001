"""The entry of a function: the code between the caller's arguments and the compiled schedule.

It is generated, like the schedule's own source, because a loop over arguments costs more than checking them:

    def entry(x, y):
        if type(x) is not ndarray or x.dtype is not dtype0 or x.ndim != 2: x = checked(0, x)
        ...
        with cell0.lock:
            before = cell0.running,
            try:
                cell0.running = True
                values = (x, y, *map(asarray, map(read, shared)))
                try:
                    results = this.run(values)
                except GuardFailed as failure:
                    results = this.other_variant(values, failure)
                ...
            finally: cell0.running, = before
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from graphc.backends.base import GuardFailed
from graphc.compile.signature import OutputForm
from graphc.graph.shared import Cell, Exclusive, in_order
from graphc.graph.types import TensorType

_value: Any = vars(Cell)["value"]


# Python nests no more than twenty blocks, and a `with` statement is as many as it has items.
NESTED_LOCKS = 8


def _whole(value: Any) -> Any:
    """An array of rank 0 for one of NumPy's scalars; arrays stay what they are, on whatever device."""
    return np.asarray(value) if isinstance(value, np.generic) else value


class Runner(Protocol):
    """What an entry needs of its function."""

    run: Callable[[Sequence[Any]], tuple[Any, ...]]

    def checked(self, position: int, value: Any) -> Any:
        """An argument as an array of the right type, or TypeError."""

    def other_variant(self, values: Sequence[Any], failure: GuardFailed) -> tuple[Any, ...]:
        """The results of the variant that fits the values."""


@dataclass(frozen=True)
class Entry:
    """What an entry does.

    types: of the arguments; shared: cells that are read; results: types of the results: those that are returned, then
    the new values of `targets`, the cells that are written; form: how results are handed back; check: whether
    arguments are checked; on_host: whether values in other memory must be brought to the host.
    """

    types: Sequence[TensorType]
    shared: Sequence[Cell]
    results: Sequence[TensorType]
    targets: Sequence[Cell]
    form: OutputForm
    check: bool = True
    on_host: bool = True

    def written_cells(self) -> list[Cell]:
        """All cells involved, if any is written, in the order in which they are locked."""
        return in_order((*self.shared, *self.targets)) if self.targets else []

    def source(self) -> str:
        """The Python source."""
        names = [f"x{i}" for i in range(len(self.types))]
        lines = [f"def entry({', '.join(names)}):"]
        indent = "    "
        cells = [f"cell{i}" for i in range(len(self.written_cells()))]
        if len(cells) > NESTED_LOCKS:
            lines += [f"    return exclusive.call({', '.join(['locked', *names])})", f"def locked({', '.join(names)}):"]
        elif cells:
            running = ", ".join(f"{cell}.running" for cell in cells) + ","
            lines += [
                f"    with {', '.join(f'{cell}.lock' for cell in cells)}:",
                f"        before = {running}",
                "        try:",
                *(f"            {cell}.running = True" for cell in cells),
            ]
            indent *= 3
        after = [f"        finally: {running} = before"] if 0 < len(cells) <= NESTED_LOCKS else []
        body = []
        if self.check:
            body += [self._check(i, kind) for i, kind in enumerate(self.types)]
        read = "map(asarray, map(read, shared))" if self.on_host else "map(read, shared)"
        shared = [f"*{read}"] if self.shared else []
        parts = [*names, *shared]
        body += [
            f"values = ({', '.join(parts)}{',' if len(parts) == 1 else ''})",
            "try:",
            "    results = this.run(values)",
            "except GuardFailed as failure:",
            "    results = this.other_variant(values, failure)",
        ]
        # A result of rank 0 may be one of NumPy's scalars.
        arrays = [f"r{i}" if kind.ndim else f"whole(r{i})" for i, kind in enumerate(self.results)]
        if arrays:
            body.append(f"{', '.join(f'r{i}' for i in range(len(arrays)))}, = results")
        returned, new = arrays[: len(arrays) - len(self.targets)], arrays[len(arrays) - len(self.targets) :]
        if len(new) == 1:
            body.append(f"targets[0].value = {new[0]}")
        elif new:
            # The commit: one call into C, so that no signal and no other thread comes between two variables.
            body.append(f"deque(map(write, targets, ({', '.join(new)})), 0)")
        body.append(f"return {self._form(returned)}")
        return "\n".join([*lines, *(indent + line for line in body), *after]) + "\n"

    def _form(self, returned: list[str]) -> str:
        """The results as the caller gets them."""
        if self.form.kind == "one":
            return returned[0]
        as_list = f"[{', '.join(returned)}]"
        return as_list if self.form.kind == "list" else f"pack({as_list})"

    @staticmethod
    def _check(position: int, kind: TensorType) -> str:
        x = f"x{position}"
        if any(n is not None for n in kind.shape):  # sizes that are fixed are checked the long way
            return f"{x} = checked({position}, {x})"
        test = f"type({x}) is not ndarray or {x}.dtype is not dtype{position} or {x}.ndim != {kind.ndim}"
        return f"if {test}: {x} = checked({position}, {x})"

    def compile(self, this: Runner) -> Callable[..., Any]:
        """The entry of the function `this`."""
        namespace: dict[str, Any] = {
            "this": this, "checked": this.checked, "ndarray": np.ndarray, "asarray": np.asarray, "whole": _whole,
            "deque": deque, "read": _value.__get__, "write": _value.__set__, "shared": tuple(self.shared),
            "targets": tuple(self.targets), "pack": self.form.pack, "GuardFailed": GuardFailed,
        }  # fmt: skip
        namespace |= {f"dtype{i}": np.dtype(kind.dtype) for i, kind in enumerate(self.types)}
        cells = self.written_cells()
        namespace |= {f"cell{i}": cell for i, cell in enumerate(cells)} | {"exclusive": Exclusive(cells)}
        exec(compile(self.source(), "<graphc entry>", "exec"), namespace)
        entry: Callable[..., Any] = namespace["entry"]
        return entry
