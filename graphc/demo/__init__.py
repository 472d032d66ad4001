"""``python -m graphc demo``: the examples of two articles, each result beside the one that is expected."""
