"""The entry of a function: the code between the caller's arguments and the compiled schedule.

It is generated, like the schedule's own source, because a loop over arguments costs more than checking them:

    def entry(x, y):
        if type(x) is not ndarray or x.dtype is not dtype0 or x.ndim != 2: x = checked(0, x)
        ...
        with lock0:
            values = (x, y, *map(read, cells))
            try:
                results = this.run(values)
            except GuardFailed as failure:
                results = this.other_variant(values, failure)
            ...
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from graphc.backends.base import GuardFailed
from graphc.compile.signature import OutputForm
from graphc.graph.shared import Cell
from graphc.graph.types import TensorType

_value: Any = vars(Cell)["value"]


# Python nests no more than twenty blocks, and a `with` statement is as many as it has items.
NESTED_LOCKS = 8


class Together:
    """Many locks as one."""

    def __init__(self, locks: Sequence[Any]) -> None:
        self._locks = locks

    def __enter__(self) -> None:
        held = 0
        try:
            for lock in self._locks:
                lock.acquire()
                held += 1
        except BaseException:
            for lock in self._locks[:held]:
                lock.release()
            raise

    def __exit__(self, *error: object) -> None:
        for lock in self._locks:
            lock.release()


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
    arguments are checked.
    """

    types: Sequence[TensorType]
    shared: Sequence[Cell]
    results: Sequence[TensorType]
    targets: Sequence[Cell]
    form: OutputForm
    check: bool = True

    def locks(self) -> list[Any]:
        """The locks of all cells involved, if any is written, in an order that all functions share."""
        if not self.targets:
            return []
        cells = {id(cell): cell for cell in (*self.shared, *self.targets)}
        locks = [cells[key].lock for key in sorted(cells)]
        return locks if len(locks) <= NESTED_LOCKS else [Together(locks)]

    def source(self) -> str:
        """The Python source."""
        names = [f"x{i}" for i in range(len(self.types))]
        lines = [f"def entry({', '.join(names)}):"]
        indent = "    "
        locks = self.locks()
        if locks:
            lines.append(f"    with {', '.join(f'lock{i}' for i in range(len(locks)))}:")
            indent *= 2
        body = []
        if self.check:
            body += [self._check(i, kind) for i, kind in enumerate(self.types)]
        shared = ["*map(read, shared)"] if self.shared else []
        parts = [*names, *shared]
        body += [
            f"values = ({', '.join(parts)}{',' if len(parts) == 1 else ''})",
            "try:",
            "    results = this.run(values)",
            "except GuardFailed as failure:",
            "    results = this.other_variant(values, failure)",
        ]
        # A result of rank 0 may be one of NumPy's scalars.
        arrays = [f"r{i}" if kind.ndim else f"asarray(r{i})" for i, kind in enumerate(self.results)]
        if arrays:
            body.append(f"{', '.join(f'r{i}' for i in range(len(arrays)))}, = results")
        returned, new = arrays[: len(arrays) - len(self.targets)], arrays[len(arrays) - len(self.targets) :]
        if len(new) == 1:
            body.append(f"targets[0].value = {new[0]}")
        elif new:
            # The commit: one call into C, so that no signal and no other thread comes between two variables.
            body.append(f"deque(map(write, targets, ({', '.join(new)})), 0)")
        body.append(f"return {self._form(returned)}")
        return "\n".join([*lines, *(indent + line for line in body)]) + "\n"

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
            "this": this, "checked": this.checked, "ndarray": np.ndarray, "asarray": np.asarray, "deque": deque,
            "read": _value.__get__, "write": _value.__set__, "shared": tuple(self.shared),
            "targets": tuple(self.targets), "pack": self.form.pack, "GuardFailed": GuardFailed,
        }  # fmt: skip
        namespace |= {f"dtype{i}": np.dtype(kind.dtype) for i, kind in enumerate(self.types)}
        namespace |= {f"lock{i}": lock for i, lock in enumerate(self.locks())}
        exec(compile(self.source(), "<graphc entry>", "exec"), namespace)
        entry: Callable[..., Any] = namespace["entry"]
        return entry
