"""The one table of names that upper floors fill in and lower floors call.

The operators of a Variable (``x + y``, ``x.sum()``) build nodes of ops that are declared one floor up.  The ops
register themselves here by name when they are declared, so that nothing on this floor imports upwards.

    >>> from graphc.graph.bindings import ops
    >>> ops.add          # the op called "add", once graphc.ops is imported
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


class Bindings:
    """Names that are looked up when they are used."""

    def __init__(self) -> None:
        self._table: dict[str, Callable[..., Any] | str] = {}

    def bind(self, name: str, function: Callable[..., Any] | str) -> None:
        """Give `name` its meaning; every name has one.  ``"module:name"`` is imported when it is first used."""
        if name in self._table:
            raise ValueError(f"the name {name!r} is declared twice")
        self._table[name] = function

    def __getattr__(self, name: str) -> Callable[..., Any]:
        try:
            found = self._table[name]
        except KeyError:
            raise AttributeError(f"nothing is bound to the name {name!r}") from None
        if isinstance(found, str):
            module, _, attribute = found.partition(":")
            found = self._table[name] = getattr(importlib.import_module(module), attribute)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def __iter__(self) -> Any:
        return iter(self._table)


ops = Bindings()
