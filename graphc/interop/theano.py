"""Programs that say ``import theano``: graphc under Theano's names.

    with theano_names():
        import theano
        import theano.tensor as T

or, for a whole program, ``python -m graphc run script.py``.  The table below says what each of Theano's modules is made
of.  NumPy's names of that time (``np.float``, ``np.product``, ...), which NumPy 2 removed, come back as well.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

VERSION = "1.0.5"  # what `theano.__version__` says: the last one whose programs are meant


class Alias(NamedTuple):
    """What a module is made of: graphc modules whose names it has, the first that knows a name wins, and more names.

    A name stands for "module:attribute", or for a value if it is no string.
    """

    sources: tuple[str, ...] = ()
    names: Mapping[str, Any] = {}


TENSOR = ("graphc.tensor",)
NNET = ("graphc.tensor.nnet",)
GRAPH = ("graphc.graph.variable", "graphc.graph.op", "graphc.graph.fgraph", "graphc.graph.traverse")
COMPILE = ("graphc.compile.signature", "graphc.compile.function", "graphc.graph.shared")

MODULES: dict[str, Alias] = {
    "theano": Alias(
        ("graphc", "graphc.gradient"),
        {
            "__version__": VERSION,
            "version": VERSION,
            "_asarray": "graphc.interop.theano:asarray",
        },
    ),
    "theano.tensor": Alias(TENSOR),
    "theano.tensor.basic": Alias(TENSOR),
    "theano.tensor.extra_ops": Alias(TENSOR),
    "theano.tensor.type": Alias((*TENSOR, "graphc.graph.types")),
    "theano.tensor.var": Alias((*TENSOR, "graphc.graph.variable")),
    "theano.tensor.subtensor": Alias((*TENSOR, "graphc.ops.indexing")),
    "theano.tensor.sharedvar": Alias((), {"SharedVariable": "graphc:SharedVariable", "shared": "graphc:shared",
                                          "TensorSharedVariable": "graphc:SharedVariable"}),
    "theano.tensor.nnet": Alias(NNET),
    "theano.tensor.nnet.nnet": Alias(NNET),
    "theano.tensor.nnet.sigm": Alias(NNET),
    "theano.ifelse": Alias(("graphc.ifelse",), {"IfElse": "graphc.ops.control:IfElse"}),
    "theano.gradient": Alias(("graphc.gradient", "graphc.errors")),
    "theano.printing": Alias(("graphc.printing",)),
    "theano.configdefaults": Alias((), {"config": "graphc:config"}),
    "theano.configparser": Alias((), {"config": "graphc:config"}),
    "theano.compile": Alias(
        COMPILE,
        {"SharedVariable": "graphc:SharedVariable", "UnusedInputError": "graphc.errors:UnusedInputError"},
    ),
    "theano.compile.function": Alias(COMPILE),
    "theano.compile.function_module": Alias((*COMPILE, "graphc.errors")),
    "theano.compile.io": Alias(COMPILE),
    "theano.compile.sharedvalue": Alias(COMPILE),
    "theano.compile.mode": Alias((), {"get_default_mode": "graphc.interop.theano:default_mode"}),
    "theano.gof": Alias((*GRAPH, "graphc.errors")),
    "theano.gof.graph": Alias(GRAPH, {"inputs": "graphc.graph.traverse:inputs_of"}),
    "theano.gof.op": Alias(GRAPH),
    "theano.gof.fg": Alias((*GRAPH, "graphc.errors")),
    "theano.gof.null_type": Alias(),
    "theano.updates": Alias((), {"OrderedUpdates": "collections:OrderedDict"}),
    "theano.scalar": Alias((), {"upcast": "numpy:result_type"}),
    "theano.misc": Alias(),
    # Programs ask these whether there is a GPU of Theano's.
    "theano.gpuarray": Alias((), {"pygpu_activated": False}),
    "theano.sandbox": Alias(),
    "theano.sandbox.cuda": Alias((), {"cuda_available": False, "cuda_enabled": False}),
    "theano.sandbox.gpuarray": Alias((), {"pygpu_activated": False}),
}  # fmt: skip

# Names that NumPy 2 does not have any more, as far as arrays are concerned.
NUMPY_NAMES: dict[str, Any] = {
    "bool": bool, "int": int, "float": float, "complex": complex, "object": object, "str": str, "long": int,
    "unicode": str, "float_": np.float64, "complex_": np.complex128, "cfloat": np.complex128,
    "longfloat": np.longdouble, "string_": np.bytes_, "unicode_": np.str_, "Inf": np.inf, "Infinity": np.inf,
    "PINF": np.inf, "NINF": -np.inf, "infty": np.inf, "NaN": np.nan, "NAN": np.nan, "PZERO": 0.0, "NZERO": -0.0,
    "product": np.prod, "cumproduct": np.cumprod, "sometrue": np.any, "alltrue": np.all, "round_": np.round,
    "row_stack": np.vstack, "in1d": lambda *args, **options: np.isin(*args, **options).ravel(),
    "trapz": np.trapezoid, "msort": lambda a: np.sort(a, axis=0), "asscalar": lambda a: a.item(),
    "asfarray": lambda a, dtype=np.float64: np.asarray(a, dtype),
}  # fmt: skip


def asarray(value: Any, dtype: Any = None, order: Any = None) -> Any:
    """``theano._asarray``: an array of that dtype; "floatX" is the configured one."""
    from graphc.configuration import config

    return np.asarray(value, dtype=config.floatX if dtype == "floatX" else dtype, order=order)


def default_mode() -> str:
    """The name of the mode in force."""
    from graphc.configuration import config

    return str(config.mode)


@contextlib.contextmanager
def theano_names() -> Iterator[None]:
    """``import theano`` means graphc inside the block; afterwards everything is as before.

    A Theano that is really installed stays out of sight for that time, and is put back, also if it was imported.
    """
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if is_theano(name)}
    added = [name for name in NUMPY_NAMES if name not in vars(np)]
    finder = Finder()
    sys.meta_path.insert(0, finder)
    vars(np).update({name: NUMPY_NAMES[name] for name in added})
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if is_theano(name)]:
            del sys.modules[name]
        sys.modules.update(hidden)
        for name in added:
            vars(np).pop(name, None)


def is_theano(name: str) -> bool:
    """Whether a module is Theano's."""
    return name.partition(".")[0] == "theano"


class Finder(MetaPathFinder, Loader):
    """Finds and makes the modules of the table."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The module, if it is one of Theano's; one that graphc does not have is an error that says so."""
        if not is_theano(fullname):
            return None
        if fullname not in MODULES:
            # Without name=, or `from theano import scan` would replace the message by its own.
            raise ModuleNotFoundError(missing(fullname))
        return ModuleSpec(fullname, self, origin=__file__, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        """Fill a module: its names are looked up in graphc when they are asked for."""
        alias = MODULES[module.__name__]
        sources = [importlib.import_module(source) for source in alias.sources]
        module.__doc__ = f"{module.__name__}, as {' and '.join(alias.sources) or 'graphc'} provides it."
        module.__file__ = __file__
        here = vars(module)
        public = {name for source in sources for name in getattr(source, "__all__", _public(source))}
        here["__all__"] = sorted(public | {name for name in alias.names if not name.startswith("_")})

        def look_up(name: str) -> Any:
            if name in alias.names:
                return _meaning(alias.names[name])
            if f"{module.__name__}.{name}" in MODULES:
                return importlib.import_module(f"{module.__name__}.{name}")
            for source in () if name.startswith("__") else sources:
                with contextlib.suppress(AttributeError):
                    return getattr(source, name)
            raise AttributeError(missing(f"{module.__name__}.{name}"))

        here["__getattr__"] = look_up
        here["__dir__"] = lambda: here["__all__"]


def _meaning(value: Any) -> Any:
    if not isinstance(value, str) or ":" not in value:
        return value
    module, _, attribute = value.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _public(module: ModuleType) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")]


def missing(name: str) -> str:
    """The message about a name of Theano's that graphc does not have."""
    from graphc import __version__

    parent, _, last = name.rpartition(".")
    inside = getattr(sys.modules.get(parent), "__all__", [])
    close = [f"{parent}.{guess}" for guess in difflib.get_close_matches(last, inside, n=2)]
    close = close or difflib.get_close_matches(name, MODULES, n=2, cutoff=0.8)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return f"graphc {__version__} has nothing for Theano's {name}.{hint}"


def run_script(script: str | Path, arguments: Sequence[str] = ()) -> int:
    """Run a program as ``python script arguments`` would, with graphc as its Theano; returns the exit code."""
    path = Path(script)
    try:
        source = path.read_bytes()
    except OSError as error:
        print(f"python -m graphc run: cannot read {path}: {error.strerror}", file=sys.stderr)
        return 2
    main = ModuleType("__main__")
    vars(main).update(__file__=str(path), __builtins__=__builtins__)
    before = sys.argv, sys.path[:], sys.modules["__main__"]
    sys.argv = [str(path), *arguments]
    sys.path[0:1] = [str(path.resolve().parent)]
    sys.modules["__main__"] = main
    try:
        with theano_names():
            exec(compile(source, str(path), "exec", dont_inherit=True), vars(main))
    except Exception as error:
        # Without the frame of this function, so that the traceback begins in the script.
        last = error.__traceback__.tb_next if error.__traceback__ is not None else None
        traceback.print_exception(type(error), error, last)
        return 1
    finally:
        sys.argv, sys.path[:], sys.modules["__main__"] = before
    return 0
