"""What every backend offers, and how one is found by its name."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from graphc.backends.vectorcall import Callee as Callee
from graphc.errors import BackendError, GpuUnavailableError
from graphc.graph.guards import Guard
from graphc.graph.op import Op
from graphc.graph.shared import Cell
from graphc.graph.types import TensorType
from graphc.schedule.schedule import Schedule


class GuardFailed(Exception):
    """Two sizes that a variant assumes to be equal are not; the function looks for another variant, or explains."""

    def __init__(self, guard: Guard, left: int, right: int) -> None:
        super().__init__(f"{left} != {right}")
        self.guard = guard
        self.left = int(left)
        self.right = int(right)


@dataclass(frozen=True)
class Calling:
    """How a function is called, for executables that have an entry of their own.

    types, strict: of the arguments: their types, and whether only arrays are taken; shared: the cells whose values
    follow the arguments; targets: the cells that the last results go into; form: of what is returned ("one", "list",
    "dict"), which `pack` makes of a list; slow: the function by way of Python: right for any arguments.
    """

    types: Sequence[TensorType]
    strict: Sequence[bool]
    shared: Sequence[Cell]
    targets: Sequence[Cell]
    form: str
    pack: Callable[[list[Any]], Any]
    slow: Callable[..., Any]


class FastEntry(Protocol):
    """An entry that an executable has of its own."""

    @property
    def call(self) -> Callable[..., Any]:
        """An object of its own to call."""

    def take(self, callee: Callee, cls: type[Callee]) -> None:
        """Take the calls of a function, whose own class is `cls`."""

    def free(self) -> None:
        """Give back the memory that is kept from call to call."""


class Executable(Protocol):
    """A compiled schedule.

    It may also have ``entry(calling) -> FastEntry | None``; ``attach(calling)``, which tells it before the first call
    which cells inputs come from and results go to; and, if it takes arrays in other memory than the host's, as
    arguments and from cells, ``described(value) -> (dtype, shape) | None``: None for all other values.
    """

    @property
    def schedule(self) -> Schedule:
        """The steps."""

    @property
    def source(self) -> str:
        """The generated code."""

    def run(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The results for the values of the schedule's inputs.  Raises GuardFailed before anything is changed."""


class Backend(Protocol):
    """A module in this room."""

    def compile(self, schedule: Schedule) -> Executable:
        """Make a schedule run."""

    def spells(self, op: Op) -> bool:
        """Whether the backend has an own spelling for the op; otherwise its body is compiled."""


# The backends that exist, with the package each needs.
PACKAGES: dict[str, str] = {"llvm": "llvmlite", "numpy": "numpy", "cupy": "cupy"}

# What is imported to know that the package works.
MODULES: dict[str, str] = {"llvm": "llvmlite.binding", "numpy": "numpy"}

# Those that "auto" chooses from, fastest first.  A GPU is used where it is asked for: moving data there takes time.
AUTOMATIC = ("llvm", "numpy")

# Where the tests of a backend that generates machine code are run (system, processor); elsewhere its `selfcheck` is
# asked first.
TESTED: dict[str, frozenset[tuple[str, str]]] = {"llvm": frozenset({("Linux", "x86_64")})}


def usable(name: str) -> str | None:
    """None if the backend can be used here, else the reason why not."""
    if name not in PACKAGES:
        return f"backend {name!r} is not part of this version; it has {', '.join(map(repr, PACKAGES))}"
    if name == "cupy":
        gpu: Any = importlib.import_module("graphc.backends.cupy.chosen")
        reason: str | None = gpu.problem()
        return reason
    missing = _missing(MODULES[name])
    if missing is not None:
        return f"backend {name!r} needs the package {PACKAGES[name]}, which {missing}"
    here = (platform.system(), platform.machine())
    if name in TESTED and here not in TESTED[name]:
        problem = importlib.import_module(f"graphc.backends.{name}.selfcheck").failure()
        if problem is not None:
            return f"backend {name!r} does not work on {' '.join(here)}: {problem}"
    return None


@cache
def _missing(module: str) -> str | None:
    """None if a module can be imported, else what is wrong and what to try; asked once.

    To find it is not enough: a package that is installed may have a library that cannot be loaded.
    """
    package = module.partition(".")[0]
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken installation fails in many ways
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            return f"is not installed (try: pip install {package})"
        told = " ".join(f"{type(error).__name__}: {error}".split())
        return f"cannot be imported: {told} (try: pip install --force-reinstall {package})"
    return None


def backend(name: str) -> Backend:
    """The backend called `name`; "auto" is the first one that is usable."""
    if name == "auto":
        name = next(known for known in AUTOMATIC if usable(known) is None)
    reason = usable(name)
    if reason is not None and name == "cupy":
        raise GpuUnavailableError(reason)
    if reason is not None:
        raise BackendError(f"{reason}. Use backend='auto' or one of {', '.join(map(repr, PACKAGES))}")
    module: Any = importlib.import_module(f"graphc.backends.{name}")
    found: Backend = module
    return found
