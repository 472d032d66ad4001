"""The configuration: one table of options, read once from file, environment and code.

Later sources win: the defaults below, then the file named by ``GRAPHC_RC`` (``~/.graphcrc``), then the environment
variable ``GRAPHC_FLAGS="floatX=float32,mode=FAST_COMPILE"`` (``THEANO_FLAGS`` is read too), then ``config.x = ...``.

    >>> from graphc import config
    >>> with config.change_flags(floatX="float32"):
    ...     pass
"""

from __future__ import annotations

import contextlib
import operator
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BACKENDS = ("auto", "numpy", "llvm", "cupy")
MODES = ("FAST_RUN", "FAST_COMPILE")
NUMERICS = ("ieee", "default", "algebraic")
MATMUL_PRECISIONS = ("highest", "tf32")


def one_of(*choices: str) -> Callable[[Any], str]:
    """A parser that accepts exactly these words."""

    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"{value!r} is not one of {', '.join(map(repr, choices))}")
        return str(value)

    return parse


def integer(value: Any) -> int:
    """A whole number."""
    try:
        return int(value) if isinstance(value, str) else operator.index(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is no whole number") from None


def count(value: Any) -> int:
    """A whole number, 0 or more."""
    number = integer(value)
    if number < 0:
        raise ValueError(f"{value!r} is less than 0")
    return number


def text(value: Any) -> str:
    """Any text."""
    return str(value)


@dataclass(frozen=True)
class Option:
    """One option: its default, the parser that checks it, and what it does."""

    default: Any
    parse: Callable[[Any], Any]
    meaning: str


OPTIONS: dict[str, Option] = {
    "floatX": Option("float64", one_of("float16", "float32", "float64"), "dtype of T.matrix() and of lone floats"),
    "backend": Option("auto", one_of(*BACKENDS), "where functions run; auto takes the fastest that is usable"),
    "mode": Option("FAST_RUN", one_of(*MODES), "FAST_COMPILE spends less on compiling; numbers are the same"),
    "numerics": Option("default", one_of(*NUMERICS), "which rewrite classes may be used (docs/rewrites.md)"),
    "matmul_precision": Option(
        "highest", one_of(*MATMUL_PRECISIONS), "of float32 products on a GPU; tf32 is faster, with three digits"
    ),
    "on_unused_input": Option("raise", one_of("raise", "warn", "ignore"), "an input that nothing uses"),
    "threads": Option(0, count, "most threads of a call of the llvm backend; 0: one for each processor it may use"),
    "compute_test_value": Option(
        "off", one_of("off", "ignore", "warn", "raise", "pdb"), "accepted for Theano programs; values are not computed"
    ),
    "exception_verbosity": Option("low", one_of("low", "high"), "accepted for Theano programs"),
    "traceback.limit": Option(8, integer, "accepted for Theano programs; one line is kept per node"),
    "rewrite.steps": Option(100, integer, "most times one node may be rewritten before a cycle of rules is reported"),
}

# Options of Theano that choose compilers, devices and optimizers graphc does not have.  Programs set them, so they
# are accepted and kept; they change nothing.
IGNORED: frozenset[str] = frozenset(
    """allow_gc base_compiledir blas.ldflags cast_policy compiledir cuda.root cxx deterministic device dnn.base_path
    dnn.conv.algo_bwd_data dnn.conv.algo_bwd_filter dnn.conv.algo_fwd dnn.enabled dnn.include_path dnn.library_path
    enable_initial_driver_test force_device gcc.cxxflags gpuarray.preallocate gpuarray.sched int_division lib.cnmem
    linker magma.enabled nvcc.fastmath nvcc.flags on_opt_error on_shape_error openmp openmp_elemwise_minsize optimizer
    optimizer_excluding optimizer_including optimizer_verbose print_test_value profile profile_memory
    profile_optimizer profiling.time_thunks reoptimize_unpickled_function scan.allow_gc scan.allow_output_prealloc
    warn_float64 warn.ignore_bug_before warn.round""".split()
)


class Configuration:
    """The options as attributes; dotted names work as in Theano: ``config.traceback.limit``."""

    def __init__(self) -> None:
        # The values are the attributes themselves, so that reading one costs nothing extra.
        self.__dict__.update((key, option.default) for key, option in OPTIONS.items())

    def __getattr__(self, name: str) -> Any:
        if name in IGNORED:
            return ""
        if any(known.startswith(name + ".") for known in (*OPTIONS, *IGNORED)):
            return Section(self, name + ".")
        raise AttributeError(name if name.startswith("__") else _unknown(name))

    def __setattr__(self, name: str, value: Any) -> None:
        self.set(name, value)

    def set(self, key: str, value: Any) -> None:
        """Set the option called `key`; a wrong name or value is an error that lists the right ones."""
        if key in OPTIONS:
            try:
                self.__dict__[key] = OPTIONS[key].parse(value)
            except ValueError as error:
                raise ValueError(f"config.{key}: {error}") from None
        elif key in IGNORED:
            self.__dict__[key] = value
        else:
            raise AttributeError(_unknown(key))

    @contextlib.contextmanager
    def change_flags(self, **flags: Any) -> Iterator[None]:
        """Set options for the length of a ``with`` block; ``__`` in a name stands for a dot."""
        before = dict(self.__dict__)
        try:
            for name, value in flags.items():
                self.set(name.replace("__", "."), value)
            yield
        finally:
            self.__dict__.update(before)  # first, so that no other thread finds an option missing
            for name in self.__dict__.keys() - before.keys():
                del self.__dict__[name]

    def read(self, pairs: Mapping[str, str], source: str) -> None:
        """Take options from a file or the environment; errors name that source."""
        for key, value in pairs.items():
            try:
                self.set(key, value)
            except (AttributeError, ValueError) as error:
                raise type(error)(f"{source}: {error}") from None

    def __repr__(self) -> str:
        return "\n".join(f"{key} = {self.__dict__[key]!r}  # {option.meaning}" for key, option in OPTIONS.items())

    def __dir__(self) -> list[str]:
        return ["change_flags", "read", "set", *OPTIONS]


class Section:
    """The options whose names begin with `prefix`: ``config.traceback``."""

    def __init__(self, root: Configuration, prefix: str) -> None:
        self.__dict__.update(_root=root, _prefix=prefix)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._root, self._prefix + name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._root.set(self._prefix + name, value)


def _unknown(key: str) -> str:
    import difflib

    close = difflib.get_close_matches(key, OPTIONS, n=1, cutoff=0.5)
    guess = f" Did you mean config.{close[0]}?" if close else ""
    return f"config has no option {key!r}.{guess} Known options: {', '.join(OPTIONS)}"


def parse_flags(flags: str) -> dict[str, str]:
    """``"floatX=float32,mode=FAST_RUN"`` as a dictionary."""
    pairs = (part.strip().partition("=") for part in flags.split(",") if part.strip())
    return {key.strip(): value.strip() for key, _, value in pairs}


def load() -> Configuration:
    """The configuration from its file and the environment."""
    config = Configuration()
    path = Path(os.environ.get("GRAPHC_RC", "~/.graphcrc")).expanduser()
    if path.is_file():
        import configparser  # few have a file

        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read(path, encoding="utf-8")
        for section in parser.sections():
            prefix = "" if section == "global" else section + "."
            config.read({prefix + key: value for key, value in parser[section].items()}, str(path))
    for variable in ("THEANO_FLAGS", "GRAPHC_FLAGS"):
        config.read(parse_flags(os.environ.get(variable, "")), variable)
    return config


config = load()
