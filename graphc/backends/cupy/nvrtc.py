"""CUDA C to machine code of a GPU, by NVIDIA's compiler library NVRTC.

NVRTC needs neither a GPU nor a driver, so kernels are compiled, and what they take of a GPU is known, on any machine
that has it.  What comes out is a CUBIN, machine code of one architecture: PTX of a newer NVRTC does not load on an
older driver.
"""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from graphc.backends import disk
from graphc.errors import BackendError, GpuUnavailableError, explain

# Products are not fused into sums, and denormals are kept: + - * / and sqrt then give the bits that NumPy gives.
_OPTIONS = ("--std=c++17", "--fmad=false", "--ptxas-options=-v")
_FILE = "kernel.cu"
_LOADER_NAMES = ("libnvrtc.so.13", "libnvrtc.so.12")
_written = itertools.count()


class Resources(NamedTuple):
    """What a kernel takes of a multiprocessor.

    registers: of each thread; spills: bytes that each thread stores and loads because registers ran out; shared:
    bytes of each block's shared memory.
    """

    registers: int
    spills: int
    shared: int


@dataclass(frozen=True)
class Compiled:
    """The machine code of a source, what the compiler said, and what each of its kernels takes."""

    cubin: bytes
    log: str
    kernels: dict[str, Resources]


def found() -> str | None:
    """Where NVRTC is: a path, or a name that the loader knows; None if there is none."""
    library = _library()
    return None if library is None else str(library._name)


def compile(source: str, arch: str = "sm_90") -> Compiled:
    """The machine code of a CUDA C source for an architecture; kept on disk from process to process."""
    library = _library()
    if library is None:
        raise GpuUnavailableError(
            explain(
                "CUDA kernels cannot be compiled: the library NVRTC was not found",
                [f"looked for nvidia/*/lib/libnvrtc.so.* on sys.path, and for {' and '.join(_LOADER_NAMES)}"],
                hint="pip install 'nvidia-cuda-nvrtc>=13,<13.1', or 'nvidia-cuda-nvrtc-cu12' for CUDA 12",
            )
        )
    options = (f"--gpu-architecture={arch}", *_OPTIONS)
    about = "\n".join(["nvrtc", _version(library), *options, source])
    name = f"{hashlib.sha256(about.encode()).hexdigest()}.cubin"
    kept = disk.read(name)
    if kept is None:
        cubin, log = _compile(library, source, arch, options)
        disk.write(name, log.encode() + b"\0" + cubin)
        if next(_written) % 500 == 0:
            disk.tidy()
    else:
        text, _, cubin = kept.partition(b"\0")
        log = text.decode()
    return Compiled(cubin, log, _resources(log))


@cache
def _library() -> Any:
    """NVRTC, loaded; None if there is none."""
    for path in _installed():
        try:
            # NVRTC opens its builtins by name alone, which succeeds only if they are loaded already.
            for builtins in path.parent.glob("libnvrtc-builtins.so.*"):
                ctypes.CDLL(str(builtins))
            return ctypes.CDLL(str(path))
        except OSError:
            continue
    for name in _LOADER_NAMES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _installed() -> list[Path]:
    """NVRTC in wheels, the newest first."""
    paths = [path for entry in sys.path for path in Path(entry or ".").glob("nvidia/*/lib/libnvrtc.so.[0-9]*")]
    return sorted(paths, key=lambda path: -int(path.name.split(".")[2]))


def _version(library: Any) -> str:
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(library, library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    path = Path(library._name)
    size = path.stat().st_size if path.is_file() else 0  # tells one 13.0.x from another
    return f"{major.value}.{minor.value} {size}"


def _architectures(library: Any) -> list[str]:
    count = ctypes.c_int()
    _check(library, library.nvrtcGetNumSupportedArchs(ctypes.byref(count)))
    numbers = (ctypes.c_int * count.value)()
    _check(library, library.nvrtcGetSupportedArchs(numbers))
    return [f"sm_{number}" for number in numbers]


def _compile(library: Any, source: str, arch: str, options: tuple[str, ...]) -> tuple[bytes, str]:
    program = ctypes.c_void_p()
    _check(
        library,
        library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), _FILE.encode(), 0, None, None),
    )
    try:
        arguments = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        status = library.nvrtcCompileProgram(program, len(options), arguments)
        log = _get(library, program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
        if status:
            raise BackendError(_explained(library, arch, log or _status(library, status)))
        return _get(library, program, "CUBIN"), log
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _get(library: Any, program: ctypes.c_void_p, what: str) -> bytes:
    """One of the results that NVRTC hands out as a size and then bytes."""
    size = ctypes.c_size_t()
    _check(library, getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    content = ctypes.create_string_buffer(size.value)
    _check(library, getattr(library, f"nvrtcGet{what}")(program, content))
    return content.raw


def _status(library: Any, status: int) -> str:
    describe = library.nvrtcGetErrorString
    describe.restype = ctypes.c_char_p
    return str(describe(status).decode())


def _check(library: Any, status: int) -> None:
    if status:
        raise BackendError(f"NVRTC failed: {_status(library, status)}")


def _explained(library: Any, arch: str, log: str) -> str:
    """Why a source did not compile; NVRTC quotes the lines that are to blame."""
    architectures = _architectures(library)
    if arch not in architectures:
        return explain(
            f"{arch} is not an architecture that NVRTC at {library._name} compiles for",
            hint="use " + ", ".join(architectures),
        )
    said = [line for line in log.splitlines() if line.strip()]
    first = next((i for i, line in enumerate(said) if "error" in line), 0)  # warnings come before
    return explain(f"NVRTC cannot compile this source for {arch}", said[first:])


def _resources(log: str) -> dict[str, Resources]:
    """What each kernel takes, as the assembler reports it: one paragraph for each."""
    kernels = {}
    for paragraph in log.split("Compiling entry function ")[1:]:
        name = paragraph.split("'")[1]
        spills = sum(int(count) for count in re.findall(r"(\d+) bytes spill (?:stores|loads)", paragraph))
        kernels[name] = Resources(
            registers=_number(r"Used (\d+) registers", paragraph),
            spills=spills,
            shared=_number(r"(\d+) bytes smem", paragraph),
        )
    return kernels


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return int(match[1]) if match else 0
