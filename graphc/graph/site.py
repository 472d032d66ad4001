"""Where in the user's program a node was built."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from graphc.errors import Site

# Lines of the package, and of the code it generates, are no lines of the user's.
OURS = (str(Path(__file__).parent.parent) + os.sep, "<graphc")
_is_ours: dict[str, bool] = {}  # by file name: every node that is built asks of ten frames or so


def creation_site() -> Site | None:
    """The innermost line outside graphc that led here; None if graphc itself runs the show."""
    frame = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        ours = _is_ours.get(filename)
        if ours is None:
            ours = _is_ours[filename] = filename.startswith(OURS)
        if not ours:
            return Site(filename, frame.f_lineno, frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return None
