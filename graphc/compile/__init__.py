"""From a symbolic graph to a callable: `function` and what it returns."""
