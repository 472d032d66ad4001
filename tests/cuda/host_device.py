"""A device that runs CUDA C on the CPU: what stands for a GPU in the tests.

The source is the very one that NVRTC gets; g++ compiles it with hostcuda.h.  What a GPU would pass over in silence is
an error here: a pointer to memory that is gone, a write beside a buffer, an allocation during capture.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import functools
import hashlib
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import weakref
from bisect import bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graphc.backends import disk
from graphc.backends.cupy.device import Buffer, Matrix, MatrixProduct, Placed
from graphc.configuration import MATMUL_PRECISIONS

HEADER = Path(__file__).with_name("hostcuda.h")
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-w", "-ffp-contract=off", "-fno-strict-aliasing", "-fno-math-errno")
ORDERS = ("forward", "reverse", "random")
KERNEL = re.compile(
    r"""extern \s+ "C" \s+ __global__ \s+ (?:void\s+)?
        (?:__launch_bounds__ \s* \( \s* (\d+) [^)]* \) \s+)? (?:void\s+)? (\w+) \s* \(""",
    re.VERBOSE,
)
MOST_PARAMETERS = 32764  # bytes, since CUDA 12.1
MOST_LIBRARIES, MOST_TOOLCHAINS = 3000, 12
MARGIN = 256  # canaries on either side of a buffer
CANARY, FRESH = 0xA5, 0xFF
WHOLE = bytes([CANARY]) * MARGIN


class DeviceError(RuntimeError):
    """What was asked of the device is wrong, or would be on a GPU."""


class Launch(NamedTuple):
    """A launch that ran."""

    name: str
    grid: int
    block: tuple[int, int]


# ---- compiling ----


def compiler() -> str | None:
    """Where g++ is."""
    return shutil.which("g++")


def environment(sanitize: str) -> dict[str, str]:
    """The environment in which a process can load kernels built with a sanitizer."""
    runtime = {"address": "libasan.so", "thread": "libtsan.so", "undefined": "libubsan.so"}[sanitize.split(",")[0]]
    command = [compiler() or "g++", f"-print-file-name={runtime}"]
    path = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return {**os.environ, "LD_PRELOAD": path, "ASAN_OPTIONS": "detect_leaks=0", "TSAN_OPTIONS": "exitcode=66"}


@functools.cache
def _home() -> Path:
    """Where libraries are kept: in graphc's own cache; without one, until the process ends."""
    kept = disk.directory()
    if kept is None:
        home = Path(tempfile.mkdtemp(prefix="graphc-hostcuda-"))
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        return home
    home = kept / "hostcuda"
    home.mkdir(mode=0o700, exist_ok=True)
    return home


def _run(command: Sequence[str], what: str) -> None:
    clean = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(command, capture_output=True, text=True, env=clean)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        first = next((i for i, line in enumerate(said) if "error" in line), 0)
        raise DeviceError("\n".join([f"g++ cannot compile {what}", *said[first : first + 14]]))


def _digest(*parts: str | bytes) -> str:
    joined = b"\0".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    return hashlib.sha256(joined).hexdigest()[:24]


@functools.cache
def _toolchain(flags: tuple[str, ...]) -> Path:
    """A directory with the precompiled header and the scheduler for some flags."""
    program = compiler()
    if program is None:
        raise DeviceError("g++ was not found")
    version = subprocess.run([program, "--version"], check=True, capture_output=True).stdout
    home = _home() / _digest("toolchain", version, HEADER.read_bytes(), *flags)
    home.mkdir(mode=0o700, exist_ok=True)
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go when the file is closed
        done = home / "done"
        if done.exists():
            done.touch()
            return home
        header = home / HEADER.name
        shutil.copy(HEADER, header)
        plain = [flag for flag in flags if not flag.startswith("-fsanitize")]
        sanitizers = [name for flag in flags if flag.startswith("-fsanitize=") for name in flag[11:].split(",")]
        told = [f"-DHOSTCUDA_{name[0].upper()}SAN" for name in ("address", "thread") if name in sanitizers]
        library = str(home / "scheduler.so")
        _run(
            [program, *plain, "-O2", *told, "-DHOSTCUDA_RUNTIME", "-shared", "-x", "c++", str(header), "-o", library],
            "the scheduler of hostcuda.h",
        )
        _run([program, *flags, "-x", "c++-header", str(header), "-o", f"{header}.gch"], "hostcuda.h")
        done.touch()
    used = sorted(_home().glob("*/done"), key=lambda path: -path.stat().st_mtime)
    for old in used[MOST_TOOLCHAINS:]:
        shutil.rmtree(old.parent, ignore_errors=True)
    return home


def _library(source: str, flags: tuple[str, ...]) -> Path:
    """The shared library of a source, as it was made before if it was."""
    tools = _toolchain(flags)
    path = _home() / f"{_digest(tools.name, source)}.so"
    if path.exists():
        return path
    names = [name for _, name in KERNEL.findall(source)]
    exports = "".join(f"HOSTCUDA_EXPORT({name})\n" for name in names)
    # In a namespace without a name nothing of a source can meet a function of the C library.
    text = f'#include "{HEADER.name}"\nnamespace {{\n#line 1 "kernel.cu"\n{source}\n}}\n#line 1 "exports"\n{exports}'
    with tempfile.TemporaryDirectory(dir=_home()) as scratch:
        (Path(scratch) / "kernel.cpp").write_text(text)
        made = Path(scratch) / "kernel.so"
        command = ["g++", *flags, "-shared", f"-I{tools}", f"{scratch}/kernel.cpp", "-o", str(made)]
        _run([*command, str(tools / "scheduler.so")], "this source")
        os.replace(made, path)
    _tidy()
    return path


def _tidy() -> None:
    """Delete the older half of the libraries if there are too many."""
    libraries = list(_home().glob("*.so"))
    if len(libraries) <= MOST_LIBRARIES:
        return
    made: list[tuple[float, Path]] = []
    for path in libraries:
        with contextlib.suppress(FileNotFoundError):  # another process tidies up too
            made.append((path.stat().st_mtime, path))
    for _, path in sorted(made)[: len(libraries) // 2]:
        path.unlink(missing_ok=True)


class _Parameter(ctypes.Structure):
    _fields_ = (("size", ctypes.c_int), ("is_pointer", ctypes.c_int))


class Kernel:
    """A compiled kernel: its name, its parameters, and what runs it."""

    def __init__(self, library: ctypes.CDLL, name: str, bound: str) -> None:
        self.name = name
        self.most_threads = int(bound or 1024)
        room = (_Parameter * (MOST_PARAMETERS // 4))()
        count = getattr(library, f"{name}__parameters")(room, len(room))
        if count > len(room) or sum(room[i].size for i in range(count)) > MOST_PARAMETERS:
            raise DeviceError(f"{name} has {count} parameters: more than {MOST_PARAMETERS} bytes are not possible")
        self.sizes = [room[i].size for i in range(count)]
        self.pointers = [i for i in range(count) if room[i].is_pointer]
        self.run = getattr(library, f"{name}__launch")
        self.run.restype = ctypes.c_char_p
        self.run.argtypes = [ctypes.c_void_p, *[ctypes.c_uint] * 3, ctypes.c_int, ctypes.c_uint]

    def __repr__(self) -> str:
        return f"Kernel({self.name})"


# The scheduler is one for all kernels of some flags.
_running = threading.Lock()


# ---- memory ----


class HostBuffer:
    """Memory of the device: poisoned when fresh, between canaries."""

    def __init__(self, nbytes: int) -> None:
        self._memory = np.full(nbytes + 2 * MARGIN + 255, CANARY, np.uint8)
        base = self._memory.ctypes.data
        start = (-(base + MARGIN)) % 256 + MARGIN
        self.nbytes = nbytes
        self.address = base + start
        self.bytes = self._memory[start : start + nbytes]
        self.bytes[:] = FRESH
        self._margins = (self._memory[start - MARGIN : start], self._memory[start + nbytes :][:MARGIN])
        shadow = _shadow()
        if shadow is not None:  # the address sanitizer guards the margins, to the byte, and names the line
            for margin in self._margins:
                rest = -margin.ctypes.data % 4  # an atomic on a byte or two takes the word around them
                shadow[0](margin.ctypes.data + rest, margin.size - rest)
            weakref.finalize(self, shadow[1], base, self._memory.size)

    def is_whole(self) -> bool:
        """Whether nothing was written beside it."""
        return _shadow() is not None or all(margin.tobytes() == WHOLE for margin in self._margins)


@functools.cache
def _shadow() -> tuple[Callable[[int, int], None], Callable[[int, int], None]] | None:
    """To poison and to unpoison memory; None without the address sanitizer."""
    try:
        process = ctypes.CDLL(None)
        functions = process.__asan_poison_memory_region, process.__asan_unpoison_memory_region
    except AttributeError:
        return None
    for function in functions:
        function.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        function.restype = None
    return functions


class DeviceArray:
    """What stands for a CuPy array: an array in the device's memory, of which NumPy gets nothing unless by `get`."""

    def __init__(self, device: HostDevice, memory: np.ndarray[Any, Any]) -> None:
        self.device = device
        self.memory = memory

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes."""
        shape: tuple[int, ...] = self.memory.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype."""
        dtype: np.dtype[Any] = self.memory.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """The rank."""
        return self.memory.ndim

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self.memory.nbytes

    @property
    def address(self) -> int:
        """Of the first element."""
        return self.memory.ctypes.data

    @property
    def T(self) -> DeviceArray:
        """With the axes in reverse."""
        return DeviceArray(self.device, self.memory.T)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return dict(self.memory.__array_interface__)

    def __getitem__(self, index: Any) -> DeviceArray:
        return DeviceArray(self.device, np.asarray(self.memory[index]))

    def __setitem__(self, index: Any, value: Any) -> None:
        self.device.synchronize()
        self.memory[index] = value

    def copy(self) -> DeviceArray:
        """Another array on the device."""
        return self.device.asarray(self.get())

    def get(self) -> np.ndarray[Any, Any]:
        """A copy in the host's memory, of what is there when all is done."""
        self.device.synchronize()
        return np.array(self.memory, order="C")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")


class _Owner:
    """Through which NumPy sees a buffer and keeps it alive."""

    def __init__(self, buffer: HostBuffer, offset: int, dtype: str, shape: tuple[int, ...]) -> None:
        self.buffer = buffer
        address = buffer.address + offset
        kind = np.dtype(dtype).str
        self.__array_interface__ = {"version": 3, "data": (address, False), "typestr": kind, "shape": shape}


# ---- the device ----


class HostRecording:
    """What was recorded; to be launched again and again."""

    def __init__(self, device: HostDevice, operations: list[Callable[[], None]]) -> None:
        self._device = device
        self.operations = operations

    def launch(self) -> None:
        """Run it."""
        with self._device.lock:
            self._device._refuse_in_capture("the launch of a recording")
            for operation in self.operations:
                self._device._enqueue(operation)


class HostDevice:
    """A `Device` on the CPU.

    order: in which order threads and blocks run, of `ORDERS`.  sanitize: as of ``g++ -fsanitize=``, for a process
    in its `environment`.  late: everything waits for `synchronize`, as a GPU is free to do, so that who reads pinned
    memory too early finds it unchanged.
    """

    def __init__(
        self,
        order: str = "forward",
        *,
        processors: int = 4,
        sanitize: str = "",
        flags: Sequence[str] = (),
        late: bool = False,
        seed: int = 1,
    ) -> None:
        if order not in ORDERS:
            raise ValueError(f"order {order!r} is none of {', '.join(ORDERS)}")
        self.order = order
        self.processors = processors
        self.late = late
        self.seed = seed
        self.launches: list[Launch] = []
        self.precisions: list[str] = []
        self.finds = 0
        extra = [f"-fsanitize={sanitize}", "-fsanitize-sections=hostcuda_shared", "-g"] if sanitize else []
        extra += ["--param=tsan-distinguish-volatile=1"] if sanitize == "thread" else []
        self._flags = (*FLAGS, *extra, *flags)
        self._recorded: list[Callable[[], None]] | None = None
        self._waiting: list[Callable[[], None]] = []
        self._buffers: weakref.WeakValueDictionary[int, HostBuffer] = weakref.WeakValueDictionary()
        self._addresses: list[int] = []  # of buffers, also of some that are gone, in order
        self._kept: list[list[HostBuffer]] = []  # what was there when something was asked for that waits
        self._new: list[weakref.ref[HostBuffer]] = []  # buffers since then
        self._modules: dict[str, dict[str, Kernel]] = {}
        # Held from `begin` to `end`: what other threads do meanwhile is not to be recorded.
        self.lock = threading.RLock()

    # ---- memory ----

    def allocate(self, nbytes: int) -> HostBuffer:
        """Device memory, full of 0xFF: NaN as a float, -1 as an integer."""
        with self.lock:
            self._refuse_in_capture("allocate")
            buffer = HostBuffer(nbytes)
            self._buffers[buffer.address] = buffer
            insort(self._addresses, buffer.address)
            self._new.append(weakref.ref(buffer))
            return buffer

    def pinned(self, nbytes: int) -> np.ndarray[Any, Any]:
        """Host memory that copies may use: an array of uint8."""
        with self.lock:
            self._refuse_in_capture("pinned")
            buffer = self.allocate(nbytes)
        return np.asarray(_Owner(buffer, 0, "uint8", (nbytes,)))

    def _check_range(self, address: int, nbytes: int, what: str) -> None:
        buffer = self._buffer_before(address)
        if buffer is None or address + nbytes > buffer.address + buffer.nbytes:
            raise DeviceError(f"{what}: {nbytes} bytes at {address:#x} are not in memory of the device, or it is gone")

    def _buffer_before(self, address: int) -> HostBuffer | None:
        """The last buffer that begins at an address or before it."""
        with self.lock:
            while last := bisect_right(self._addresses, address):
                buffer = self._buffers.get(self._addresses[last - 1])
                if buffer is not None:
                    return buffer
                del self._addresses[last - 1]
        return None

    def _check_margins(self, what: str) -> None:
        for buffer in list(self._buffers.values()):
            if not buffer.is_whole():
                raise DeviceError(f"{what} wrote beside a buffer of {buffer.nbytes} bytes")

    # ---- running ----

    def compile(self, source: str) -> Mapping[str, Kernel]:
        """The kernels of a source."""
        with self.lock:
            self._refuse_in_capture("compile")
        if source not in self._modules:
            bounds = {name: bound for bound, name in KERNEL.findall(source)}
            if not bounds:
                raise DeviceError('the source has no kernel: extern "C" __global__ void name(...)')
            library = ctypes.CDLL(str(_library(source, self._flags)))
            self._modules[source] = {name: Kernel(library, name, bound) for name, bound in bounds.items()}
        return self._modules[source]

    def launch(self, kernel: Kernel, grid: int, block: tuple[int, int], parameters: Any) -> None:
        """Run a kernel, on arguments as they are now."""
        threads = block[0] * block[1]
        asked = f"launch of {kernel.name} on {grid} blocks of {block[0]} * {block[1]} threads"
        if not 0 < grid < 2**31:
            raise DeviceError(f"{asked}: the grid must be positive and below 2**31")
        if min(block) < 1 or threads > kernel.most_threads:
            raise DeviceError(f"{asked}: between 1 and {kernel.most_threads} threads are possible")
        if len(parameters) != len(kernel.sizes):
            raise DeviceError(f"{asked}: {len(parameters)} arguments, but {len(kernel.sizes)} parameters")
        values = [ctypes.create_string_buffer(size) for size in kernel.sizes]
        for i, (value, parameter) in enumerate(zip(values, parameters, strict=True)):
            if not parameter:
                raise DeviceError(f"{asked}: argument {i} is missing")
            ctypes.memmove(value, parameter, len(value))
        packed = (ctypes.c_void_p * max(len(values), 1))(*[ctypes.addressof(value) for value in values])

        def run() -> None:
            for i in kernel.pointers:
                address = int.from_bytes(values[i].raw, "little")
                if address:
                    self._check_range(address, 0, f"argument {i} of {kernel.name}")
            self.launches.append(Launch(kernel.name, grid, (block[0], block[1])))
            with _running:
                failure = kernel.run(packed, grid, *block, ORDERS.index(self.order), self.seed + len(self.launches))
            if failure:
                raise DeviceError(f"{kernel.name}: {failure.decode()}")
            self._check_margins(kernel.name)

        self._do(run)

    def multiply(self, product: MatrixProduct) -> None:
        """Compute a product."""
        dtype, x, y, out, precision = product.dtype, product.x, product.y, product.out, product.precision
        if dtype not in ("float32", "float64") or precision not in MATMUL_PRECISIONS:
            raise DeviceError(f"multiply of {dtype} ({precision}): only float32 and float64 are possible")
        sizes = x.rows, x.columns, y.rows, y.columns, out.rows, out.columns
        if min(sizes) < 1 or x.columns != y.rows or (x.rows, y.columns) != (out.rows, out.columns):
            raise DeviceError(f"multiply: the sizes do not fit: {x} @ {y} -> {out}")
        if out.transposed or out.stride != out.columns:
            raise DeviceError(f"multiply: the result must lie in C order without gaps: {out}")

        def run() -> None:
            result, left, right = (self._view(dtype, matrix) for matrix in (out, x, y))
            self.precisions.append(precision)
            if np.may_share_memory(result, left) or np.may_share_memory(result, right):
                raise DeviceError(f"multiply: the result lies in an operand: {x} @ {y} -> {out}")
            before = result if product.is_added else 0
            result[...] = before + np.dtype(dtype).type(product.scale) * (left @ right)

        self._do(run)

    def compute(self, function: Callable[..., Any], operands: Sequence[Placed | int], out: Placed) -> None:
        """Have NumPy, which stands for CuPy, compute an array."""
        with self.lock:
            self._refuse_in_capture("compute")

        def run() -> None:
            with contextlib.suppress(IndexError):  # CuPy takes some other element: nobody may look at the result
                self._seen(out)[...] = self._asked(function, operands)

        self._do(run)

    def find(self, function: Callable[..., Any], operands: Sequence[Placed | int]) -> tuple[Placed, object]:
        """What NumPy computes, after all that waits: its size follows from elements."""
        self.synchronize()
        self.finds += 1
        made = np.ascontiguousarray(self._asked(function, operands))
        if any(np.may_share_memory(made, self._seen(x)) for x in operands if isinstance(x, Placed)):
            raise DeviceError("find: the result lies in an operand")
        array = self.asarray(made)
        return Placed(array.address, made.dtype.name, made.shape), array

    def _asked(self, function: Callable[..., Any], operands: Sequence[Placed | int]) -> Any:
        with np.errstate(all="ignore"):
            return function(np, *[x if isinstance(x, int) else self._seen(x) for x in operands])

    def _seen(self, operand: Placed) -> np.ndarray[Any, Any]:
        nbytes = math.prod(operand.shape) * np.dtype(operand.dtype).itemsize
        if not nbytes:
            raise DeviceError(f"a library gets {operand}, which has no elements")
        self._check_range(operand.address, nbytes, f"library on {operand}")
        memory = (ctypes.c_char * nbytes).from_address(operand.address)
        return np.frombuffer(memoryview(memory), operand.dtype).reshape(operand.shape)

    def _view(self, dtype: str, matrix: Matrix) -> np.ndarray[Any, Any]:
        size = np.dtype(dtype).itemsize
        lines, length = (matrix.columns, matrix.rows) if matrix.transposed else (matrix.rows, matrix.columns)
        if matrix.stride < length:
            raise DeviceError(f"multiply: lines of {length} elements overlap: {matrix}")
        nbytes = ((lines - 1) * matrix.stride + length) * size
        self._check_range(matrix.address, nbytes, f"multiply of {matrix}")
        memory = np.frombuffer(memoryview((ctypes.c_char * nbytes).from_address(matrix.address)), dtype)
        view = np.lib.stride_tricks.as_strided(memory, (lines, length), (matrix.stride * size, size))
        return view.T if matrix.transposed else view

    def copy(self, target: int, source: int, nbytes: int) -> None:
        """Copy memory."""

        def run() -> None:
            self._check_range(target, nbytes, "copy to")
            self._check_range(source, nbytes, "copy from")
            ctypes.memmove(target, source, nbytes)

        self._do(run)

    def clear(self, address: int, nbytes: int) -> None:
        """Set memory to zero."""

        def run() -> None:
            self._check_range(address, nbytes, "clear")
            ctypes.memset(address, 0, nbytes)

        self._do(run)

    # ---- recording ----

    def begin(self) -> None:
        """From now on record."""
        self.lock.acquire()
        try:
            self._refuse_in_capture("begin")
        except DeviceError:
            self.lock.release()
            raise
        self._recorded = []

    def end(self) -> HostRecording:
        """What was recorded."""
        with self.lock:
            if self._recorded is None:
                raise DeviceError("end without begin")
            operations, self._recorded = self._recorded, None
            self.lock.release()
        return HostRecording(self, operations)

    def synchronize(self) -> None:
        """Do what waits."""
        with self.lock:
            self._refuse_in_capture("synchronize")
            waiting, self._waiting = self._waiting, []
            kept, self._kept = self._kept, []
            for operation in waiting:
                operation()
            del kept

    def _do(self, operation: Callable[[], None]) -> None:
        with self.lock:
            if self._recorded is not None:
                self._recorded.append(operation)
            else:
                self._enqueue(operation)

    def _enqueue(self, operation: Callable[[], None]) -> None:
        if self.late:
            # As in a memory pool with streams, a buffer that is let go now is still there for what was asked before.
            new = [ref() for ref in self._new] if self._waiting else list(self._buffers.values())
            self._kept.append([buffer for buffer in new if buffer is not None])
            self._new.clear()
            self._waiting.append(operation)
        else:
            operation()

    def _refuse_in_capture(self, what: str) -> None:
        if self._recorded is not None:
            raise DeviceError(f"{what} during capture, between begin and end")

    # ---- arrays of the user ----

    def holds(self, value: Any) -> bool:
        """Whether a value is a `DeviceArray`."""
        return isinstance(value, DeviceArray)

    def adopt(self, value: Any, dtype: str) -> tuple[int, tuple[int, ...], object]:
        """The address and shape of a device array in C order, and what keeps it alive."""
        with self.lock:
            self._refuse_in_capture("adopt")
        if not self.holds(value):
            raise DeviceError(f"adopt: {type(value).__name__} is no array of this device")
        if value.dtype != dtype or not value.memory.flags.c_contiguous or not self._is_inside(value):
            value = self.asarray(value.get().astype(dtype))
        return value.address, value.shape, value

    def _is_inside(self, value: DeviceArray) -> bool:
        try:
            self._check_range(value.address, value.nbytes, "array")
        except DeviceError:
            return False
        return True

    def mark(self, value: Any) -> tuple[Any, ...] | None:
        """The address of an array, and all else that tells it from others."""
        if type(value) is not DeviceArray:
            return None
        return value.address, value.dtype, value.shape, value.memory.strides

    def uses(self, buffer: Buffer, arrays: Sequence[Any]) -> object:
        """How many refer to arrays, and their shapes."""
        found: list[Any] = []
        for array in arrays:
            memory = array.memory
            found += (sys.getrefcount(array), sys.getrefcount(memory), weakref.getweakrefcount(array), array.shape)
        return found

    def array(self, buffer: Buffer, offset: int, dtype: str, shape: Sequence[int]) -> DeviceArray:
        """A device array in the memory of a buffer."""
        if not isinstance(buffer, HostBuffer):
            raise DeviceError(f"array: {type(buffer).__name__} is no buffer of this device")
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if offset < 0 or offset + size > buffer.nbytes:
            raise DeviceError(f"array of {size} bytes at {offset} of a buffer of {buffer.nbytes}")
        return DeviceArray(self, np.asarray(_Owner(buffer, offset, dtype, tuple(shape))))

    def asarray(self, value: Any) -> DeviceArray:
        """A device array of a value, as ``cupy.asarray`` makes it."""
        given = np.asarray(value)
        out = self.array(self.allocate(given.nbytes), 0, given.dtype.name, given.shape)
        out[...] = given
        return out


def pack(*values: Any) -> Any:
    """Parameters for `HostDevice.launch`: ctypes values, and anything that has an ``address``, in a ctypes array."""
    cells = [ctypes.c_void_p(value.address) if hasattr(value, "address") else value for value in values]
    packed = (ctypes.c_void_p * len(cells))(*[ctypes.addressof(cell) for cell in cells])
    packed.keep = cells  # type: ignore[attr-defined]
    return packed
