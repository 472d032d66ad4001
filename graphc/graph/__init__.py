"""The graph: variables, ops, and the interned graph that is compiled."""
