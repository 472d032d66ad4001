"""What is made once, whichever thread asks first.

`functools.cache` lets two threads make the same thing and drops one of the two.  Of machine code both have the address.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import cache, wraps
from typing import TypeVar, cast

Make = TypeVar("Make", bound=Callable[..., object])


def once(make: Make) -> Make:
    """`make`, whose result for the same arguments is always the same object and lives for ever."""
    made, making = cache(make), threading.RLock()

    @wraps(make)
    def found(*args: Hashable) -> object:
        with making:
            return made(*args)

    return cast(Make, found)
