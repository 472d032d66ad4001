"""Where in the user's program a node was built."""

from __future__ import annotations

import sys
from pathlib import Path

from graphc.errors import Site

PACKAGE = str(Path(__file__).parent.parent) + "/"


def creation_site() -> Site | None:
    """The innermost line outside graphc that led here; None if graphc itself runs the show."""
    frame = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith(PACKAGE):
            return Site(filename, frame.f_lineno, frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return None
