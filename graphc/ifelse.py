"""``from graphc.ifelse import ifelse``: lazy choice between two branches."""

from graphc.ops.control import ifelse

__all__ = ["ifelse"]
