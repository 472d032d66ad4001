"""The graph: variables, ops, and the interned graph that is compiled."""

from graphc.graph import flat

__all__ = ["flat"]
