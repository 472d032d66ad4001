"""A GPU, driven through CuPy.

CuPy is imported when the first device is made.  Work goes to CuPy's current stream, so that it is in order with what
the user does there; when that has become another one, the new stream waits for the old.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from sys import getrefcount
from typing import Any
from weakref import getweakrefcount

import numpy as np

from graphc.backends.cupy import cublas, nvrtc
from graphc.backends.cupy.available import problem
from graphc.backends.cupy.cublas import Cublas
from graphc.backends.cupy.device import Buffer, Device, MatrixProduct, Module, Placed, Recording
from graphc.errors import BackendError, GpuUnavailableError

# What DLPack calls memory of a GPU: plain, and managed.
DLPACK_CUDA = (2, 13)


@dataclass(frozen=True)
class CupyBuffer:
    """Device memory; `pointer` is CuPy's MemoryPointer, which owns it."""

    pointer: Any

    @property
    def address(self) -> int:
        """Of its first byte."""
        return int(self.pointer.ptr)


@dataclass(frozen=True)
class CupyModule:
    """A loaded cubin."""

    module: Any

    def __getitem__(self, name: str) -> Any:
        """The kernel called `name`."""
        return self.module.get_function(name)


@dataclass(frozen=True)
class CupyRecording:
    """A CUDA graph."""

    device: CupyDevice
    graph: Any

    def launch(self) -> None:
        """Run it on the current stream."""
        self.device.replay(self.graph)


class _Thread(threading.local):
    """Whether the context of a device is current in this thread: CuPy's driver calls do not see to that."""

    bound = False


class CupyDevice:
    """The GPU that is current when it is made; the only one it can be used on."""

    def __init__(self) -> None:
        import cupy
        from cupy.cuda import driver, function, runtime

        self._cupy, self._driver, self._function, self._runtime = cupy, driver, function, runtime
        self._id: int = runtime.getDevice()
        self._processors: int = runtime.deviceGetAttribute(runtime.cudaDevAttrMultiProcessorCount, self._id)
        self._arch = f"sm_{cupy.cuda.Device(self._id).compute_capability}"
        self._cublas: Cublas | None = None
        self._workspace: Any = None
        self._thread = _Thread()
        self._last = cupy.cuda.get_current_stream(self._id)
        self._event = cupy.cuda.Event(disable_timing=True)
        self._recorder = cupy.cuda.Stream(non_blocking=True)
        self._recording = False
        # Held from `begin` to `end`: what other threads do meanwhile is not to be recorded.
        self._lock = threading.RLock()

    @property
    def processors(self) -> int:
        """How many multiprocessors there are."""
        return self._processors

    @property
    def lock(self) -> contextlib.AbstractContextManager[Any]:
        """What a thread holds that has several pieces of work with nothing of other threads in between."""
        return self._lock

    def compile(self, source: str) -> Module:
        """The kernels of a CUDA C source."""
        compiled = nvrtc.compile(source, self._arch)
        with self._lock:
            self._outside("load a kernel")
            module = self._function.Module()
            module.load(compiled.cubin)
        return CupyModule(module)

    def allocate(self, nbytes: int) -> Buffer:
        """Device memory, out of CuPy's pool."""
        with self._lock:
            self._outside("allocate memory")
            return CupyBuffer(self._cupy.cuda.alloc(max(nbytes, 1)))

    def pinned(self, nbytes: int) -> Any:
        """Pinned host memory: an array of uint8."""
        with self._lock:
            self._outside("allocate pinned memory")
            import cupyx

            return cupyx.empty_pinned(nbytes, np.uint8)

    # ---- work ----

    def launch(self, kernel: Any, grid: int, block: tuple[int, int], parameters: Any) -> None:
        """Run a kernel."""
        with self._lock:
            stream = self._stream()
            address = ctypes.addressof(parameters)
            self._driver.launchKernel(kernel.ptr, grid, 1, 1, block[0], block[1], 1, 0, stream.ptr, address, 0)

    def multiply(self, product: MatrixProduct) -> None:
        """Compute a product."""
        with self._lock:
            stream = self._stream()
            if self._cublas is None:
                # May be in a recording: CuPy records in the relaxed mode, in which memory may be allocated.
                self._workspace = self._cupy.cuda.alloc(cublas.WORKSPACE)
                self._cublas = Cublas(cublas.library(), self._workspace.ptr)
            self._cublas.multiply(stream.ptr, product)

    def compute(self, function: Callable[..., Any], operands: Sequence[Placed | int], out: Placed) -> None:
        """Have CuPy compute an array."""
        with self._lock:
            self._outside("ask CuPy")
            self._stream()
            self._seen(out)[...] = function(self._cupy, *map(self._seen, operands))

    def find(self, function: Callable[..., Any], operands: Sequence[Placed | int]) -> tuple[Placed, object]:
        """What CuPy computes, of a size that follows from elements, and what keeps it alive."""
        with self._lock:
            self._outside("ask CuPy")
            self._stream()
            made = self._cupy.ascontiguousarray(function(self._cupy, *map(self._seen, operands)))
        return Placed(made.data.ptr, made.dtype.name, made.shape), made

    def _seen(self, operand: Placed | int) -> Any:
        """Memory as a CuPy array; numbers as they are."""
        if isinstance(operand, int):
            return operand
        nbytes = math.prod(operand.shape) * np.dtype(operand.dtype).itemsize
        memory = self._cupy.cuda.UnownedMemory(operand.address, nbytes, None, self._id)
        return self._cupy.ndarray(operand.shape, operand.dtype, memptr=self._cupy.cuda.MemoryPointer(memory, 0))

    def copy(self, target: int, source: int, nbytes: int) -> None:
        """Copy between any two memories."""
        if nbytes:
            with self._lock:
                stream = self._stream()
                self._runtime.memcpyAsync(target, source, nbytes, self._runtime.memcpyDefault, stream.ptr)

    def clear(self, address: int, nbytes: int) -> None:
        """Set memory to zero."""
        if nbytes:
            with self._lock:
                self._runtime.memsetAsync(address, 0, nbytes, self._stream().ptr)

    def synchronize(self) -> None:
        """Wait until all is done."""
        with self._lock:
            self._outside("wait")
            stream = self._stream()
        stream.synchronize()

    # ---- recordings ----

    def begin(self) -> None:
        """From now on record.  `end` has to follow in the same thread, even if something fails in between."""
        with contextlib.ExitStack() as held:
            held.enter_context(self._lock)
            self._outside("begin another recording")
            self._stream()
            self._recorder.begin_capture()
            self._recording = True
            held.pop_all()  # the lock stays with this thread until `end`

    def end(self) -> Recording:
        """What was recorded."""
        with self._lock:
            if not self._recording:
                raise BackendError("there is no recording to end: `begin` comes first")
            try:
                graph = self._recorder.end_capture()
            finally:
                self._recording = False
                self._lock.release()
            graph.upload(self._stream())
        return CupyRecording(self, graph)

    def replay(self, graph: Any) -> None:
        """Run a CUDA graph."""
        with self._lock:
            self._outside("run a recording")
            graph.launch(self._stream())

    # ---- arrays of the user ----

    def holds(self, value: Any) -> bool:
        """Whether a value is an array in the memory of a GPU."""
        if isinstance(value, np.ndarray):
            return False
        if isinstance(value, self._cupy.ndarray):
            return True
        try:
            if hasattr(value, "__dlpack_device__"):
                return value.__dlpack_device__()[0] in DLPACK_CUDA
            return hasattr(value, "__cuda_array_interface__")
        except Exception:  # an array that lies in several places at once, or offers itself to nobody
            return False

    def adopt(self, value: Any, dtype: str) -> tuple[int, tuple[int, ...], object]:
        """The address and shape of a device array in C order, and what keeps it alive; a copy if it must be."""
        with self._lock:
            self._outside("take an array")
            self._stream()  # looks whether the device is current, and a copy must wait for what is under way
            array = value
            if not isinstance(value, self._cupy.ndarray):
                offers = hasattr(value, "__dlpack_device__")
                array = self._cupy.from_dlpack(value) if offers else self._cupy.asarray(value)
            if array.device.id != self._id:
                raise BackendError(
                    f"an argument is on GPU {array.device.id}, and the function runs on GPU {self._id}.  "
                    f"Move it: with cupy.cuda.Device({self._id}): x = cupy.array(x)"
                )
            shape = array.shape
            if array.dtype != dtype or not array.flags.c_contiguous:
                array = self._cupy.ascontiguousarray(array, dtype=dtype)
            return array.data.ptr, shape, array

    def mark(self, value: Any) -> tuple[Any, ...] | None:
        """The address of a CuPy array, and all else that tells it from others; None for any other value."""
        if type(value) is not self._cupy.ndarray:
            return None
        data = value.data
        return data.ptr, data.device_id, value.dtype, value.shape, value.strides

    def uses(self, buffer: Buffer, arrays: Sequence[Any]) -> object:
        """How many refer to memory and to CuPy arrays in it, and their shapes, which the user may change."""
        assert isinstance(buffer, CupyBuffer)
        found: list[Any] = [getrefcount(buffer.pointer.mem)]
        for array in arrays:
            found += getrefcount(array), getrefcount(array.data), getweakrefcount(array), array.shape
        return found

    def array(self, buffer: Buffer, offset: int, dtype: str, shape: Sequence[int]) -> Any:
        """A CuPy array in the memory of a buffer, which it keeps alive."""
        assert isinstance(buffer, CupyBuffer)
        return self._cupy.ndarray(tuple(shape), dtype, memptr=buffer.pointer + offset)

    # ---- where work goes ----

    def _outside(self, what: str) -> None:
        """Complain if a recording is under way."""
        if self._recording:
            raise BackendError(f"cannot {what} while work for the GPU is recorded: launches, products and copies can")

    def _stream(self) -> Any:
        """The stream for the next piece of work, which waits for what is under way on the one before."""
        if self._recording:
            return self._recorder
        here = self._runtime.getDevice()
        if here != self._id:
            raise BackendError(
                f"GPU {here} is current, and the function was compiled for GPU {self._id}.  "
                f"Call it inside `with cupy.cuda.Device({self._id}):`, or compile another one for GPU {here}"
            )
        if not self._thread.bound:
            self._runtime.setDevice(here)
            self._thread.bound = True
        stream = self._cupy.cuda.get_current_stream(here)
        if stream.ptr != self._last.ptr:
            self._event.record(self._last)
            stream.wait_event(self._event)
        self._last = stream  # kept: an event cannot be recorded on a stream that is gone
        return stream


_devices: dict[int, CupyDevice] = {}
_making = threading.Lock()


def device() -> Device:
    """The device of this process for the current GPU, made when it is first asked for."""
    with _making:
        if not _devices:
            reason = problem()
            if reason is not None:
                raise GpuUnavailableError(reason)
        from cupy.cuda import runtime

        here: int = runtime.getDevice()
        if here not in _devices:
            _devices[here] = CupyDevice()
        return _devices[here]
