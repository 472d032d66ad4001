"""``python -m graphc doctor``: what works on this machine, what does not, and why."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import graphc
from graphc.backends.base import PACKAGES, TESTED, usable
from graphc.configuration import BACKENDS, OPTIONS, Configuration, parse_flags

# Module -> what it is for, and the command that installs it.
EXTRAS: dict[str, tuple[str, str]] = {
    "scipy": ("special functions, linear algebra", "scipy"),
    "sympy": ("exchange of expressions", "sympy"),
    "llvmlite": ("native code on the CPU", "llvmlite"),
    "cupy": ("arrays and kernels on NVIDIA GPUs", "cupy-cuda12x (or cupy-cuda13x)"),
    "matplotlib": ("curves in the demo", "matplotlib"),
    "tqdm": ("progress bars in the demo", "tqdm"),
    "sklearn": ("data sets in the tests", "scikit-learn"),
}

# The environment variables that are read, the one that wins first.
VARIABLES = ("GRAPHC_FLAGS", "THEANO_FLAGS")


def report() -> str:
    """The whole report as text."""
    sections = {"Versions": versions(), "Backends": backends()}
    if usable("llvm") is None:
        sections["Native code (llvm)"] = native_code()
    sections |= {"Extras": extras(), "Configuration": configuration()}
    return "\n\n".join("\n".join([title, *(f"  {line}" for line in lines)]) for title, lines in sections.items())


def versions() -> Iterator[str]:
    """Of graphc, Python and NumPy, and where they are."""
    yield f"graphc  {graphc.__version__:10} {Path(graphc.__file__).parent}"
    yield f"Python  {platform.python_version():10} {platform.python_implementation()} on {platform.platform()}"
    yield f"NumPy   {np.__version__:10} {Path(np.__file__).parent}"


def backends() -> Iterator[str]:
    """Every backend there is a name for, and why those that do not work do not."""
    for name in (name for name in dict.fromkeys((*BACKENDS, *PACKAGES)) if name != "auto"):
        reason = usable(name)
        yield f"{name:8} {'usable' if reason is None else 'not usable: ' + reason.splitlines()[0]}"


def native_code() -> Iterator[str]:
    """What the LLVM backend finds: the processor, the way into functions, NumPy's BLAS."""
    import llvmlite.binding as llvm

    target = _llvm("target").host()
    vectors = ["fused multiply-add"] * target.fma + ["masked loads and stores"] * target.masked
    version = importlib.import_module("llvmlite").__version__
    yield f"llvmlite   {version} (LLVM {'.'.join(map(str, llvm.llvm_version_info))})"
    yield f"processor  {target.cpu}: vectors of {target.vector_bytes} bytes{''.join(f', {x}' for x in vectors)}"
    yield f"calls      {way_in()}"
    blas = _llvm("blas").find()
    found = "none found: products of matrices use our own tiles"
    if blas is not None:
        found = f"NumPy's own, {blas.threads} thread{'s' * (blas.threads > 1)}, integers of {blas.integer_bits} bits"
    yield f"BLAS       {found}"
    yield f"cache      {kept()}"
    here = (platform.system(), platform.machine())
    checked = "" if here in TESTED["llvm"] else "; here a check of a few kernels passed"
    yield f"tested on  {', '.join(' '.join(known) for known in sorted(TESTED['llvm']))}{checked}"


def way_in() -> str:
    """How calls reach machine code here, and why not in the fastest way."""
    capi, native, entry = _llvm("capi"), _llvm("native"), _llvm("entry")
    forced = os.environ.get(native.FORCED) or "native"
    if forced != "native":
        return f"{forced}, by {native.FORCED}"
    if entry.machine_code(True) is not None:
        return "native entry"
    if not capi.supported():
        return f"through Python: {platform.python_implementation()} {platform.python_version()} is not supported"
    if entry.machine_code(arrays=False) is not None:
        return "native entry, arrays by the buffer protocol: NumPy's arrays do not look as expected"
    return "through Python: its objects do not look as expected"


def kept() -> str:
    """Where machine code is kept, or why it is not."""
    disk = importlib.import_module("graphc.backends.disk")
    path = disk.wanted()
    if path is None:
        return "off"
    reason = disk.refusal(path)
    return str(path) if reason is None else f"none: {reason}"


def _llvm(module: str) -> Any:
    return importlib.import_module(f"graphc.backends.llvm.{module}")


def extras() -> Iterator[str]:
    """Packages that graphc uses when they are there."""
    for module, (purpose, package) in EXTRAS.items():
        try:
            version = getattr(importlib.import_module(module), "__version__", "of unknown version")
        except ImportError as error:
            missing = isinstance(error, ModuleNotFoundError) and error.name == module
            found = f"not installed: pip install {package}" if missing else f"does not work: {_first_line(error)}"
        except Exception as error:
            found = f"does not work: {_first_line(error)}"
        else:
            found = str(version)
        yield f"{module:12} {purpose:36} {found}"


def configuration() -> Iterator[str]:
    """Where options come from, and the options in force, each with its source."""
    path = Path(os.environ.get("GRAPHC_RC", "~/.graphcrc")).expanduser()
    yield f"{'file':22} {path}{'' if path.is_file() else ' (does not exist)'}"
    for variable in VARIABLES:
        yield f"{variable:22} {os.environ.get(variable, '(not set)')}"
    for name, option in OPTIONS.items():
        value = _option(graphc.config, name)
        setters = [variable for variable in VARIABLES if name in parse_flags(os.environ.get(variable, ""))]
        source = setters[0] if setters else "default" if value == option.default else "file"
        yield f"{name:22} {value!s:12} {source}"


def _option(config: Configuration, name: str) -> object:
    value: object = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
