"""What `CupyDevice` asks of CuPy exists there, and how it orders work; without a GPU."""

from __future__ import annotations

import ast
import ctypes
import inspect
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.backends.cupy import cublas, cuda, libraries, nvrtc
from graphc.backends.cupy.cuda import CupyBuffer, CupyDevice
from graphc.backends.cupy.device import Device, Matrix, MatrixProduct, Placed
from graphc.errors import BackendError, GpuUnavailableError

HERE = Path(graphc.__file__).parent / "backends" / "cupy"
FILES = ["cuda.py", "cublas.py", "available.py", "libraries.py"]

# ---- the names that are used, out of the source ----

# A variable of one of these names, or `self._` and the name, is the module.
ROOTS = {"cupy": "cupy", "cupyx": "cupyx"} | {name: f"cupy.cuda.{name}" for name in ("driver", "function", "runtime")}


def chain(node: ast.expr) -> str | None:
    """`self._cupy.cuda.alloc` as ``cupy.cuda.alloc``; None if it starts at something else."""
    match node:
        case ast.Name(id=name) if name in ROOTS:
            return ROOTS[name]
        case ast.Attribute(value=ast.Name(id="self"), attr=name) if name.lstrip("_") in ROOTS:
            return ROOTS[name.lstrip("_")]
        case ast.Attribute(value=inner, attr=name):
            start = chain(inner)
            return None if start is None else f"{start}.{name}"
    return None


def used(file: str) -> Iterator[tuple[str, ast.Call | None]]:
    """The names of CuPy in a file, those that are called with their call."""
    tree = ast.parse((HERE / file).read_text())
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        name = chain(node) if isinstance(node, ast.Attribute) else None
        if name is not None and name not in ROOTS.values():
            yield name, called.get(id(node))


USED = [(file, name, call) for file in FILES for name, call in used(file)]

# The methods of CuPy's objects that are called, with the number of their arguments.
METHODS = {
    "cupy.cuda.Stream": {"begin_capture": 0, "end_capture": 0, "synchronize": 0, "wait_event": 1},
    "cupy.cuda.Event": {"record": 1},
    "cupy.cuda.Graph": {"launch": 1, "upload": 1},
    "cupy.cuda.function.Module": {"load": 1, "get_function": 1},
}
ATTRIBUTES = {
    "cupy.cuda.function.Function": ["ptr"],
    "cupy.cuda.MemoryPointer": ["ptr", "__add__"],
    "cupy.cuda.Device": ["id", "compute_capability"],
    "cupy.cuda.Stream.null": ["ptr"],
    "cupy.ndarray": ["data", "device", "dtype", "flags", "shape", "__dlpack_device__", "astype", "view", "reshape"],
}


@pytest.fixture
def cupy() -> Any:
    reason = "CuPy is not installed (pip install cupy-cuda13x)"
    pytest.importorskip("cupyx", reason=reason, exc_type=ImportError)
    return pytest.importorskip("cupy", reason=reason, exc_type=ImportError)


def resolved(name: str) -> Any:
    """The object of a dotted name that starts with cupy or cupyx."""
    root, *rest = name.split(".")
    found: Any = sys.modules[root]
    for part in rest:
        found = getattr(found, part)
    return found


def signature(target: Any) -> inspect.Signature:
    """The signature; compiled functions tell theirs in the first line of their documentation."""
    told = re.match(r"\s*[\w.]+\(([^)]*)\)", target.__doc__ or "")
    if told is None:
        return inspect.signature(target)
    parameters: list[inspect.Parameter] = []
    kind: inspect._ParameterKind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    for text in filter(None, map(str.strip, told[1].split(","))):
        if text in ("*", "self"):
            kind = inspect.Parameter.KEYWORD_ONLY if text == "*" else kind
            continue
        name, equals, _ = text.partition("=")
        default = None if equals else inspect.Parameter.empty
        parameters.append(inspect.Parameter(name.split()[-1], kind, default=default))
    return inspect.Signature(parameters)


def test_the_walk_finds_the_names() -> None:
    names = {name for _, name, _ in USED}
    assert {"cupy.cuda.driver.launchKernel", "cupy.cuda.alloc", "cupyx.empty_pinned", "cupy.ndarray"} <= names
    assert len(names) >= 20


@pytest.mark.parametrize("file, name, call", USED, ids=lambda value: value if isinstance(value, str) else "")
def test_names_and_signatures(cupy: Any, file: str, name: str, call: ast.Call | None) -> None:
    target = resolved(name)
    if call is not None and isinstance(target, sys.modules["cupy"].ufunc):
        assert len(call.args) == target.nin
    elif call is not None:
        signature(target).bind(*call.args, **{str(keyword.arg): keyword.value for keyword in call.keywords})


@pytest.mark.parametrize("kind, method", [(kind, name) for kind, names in METHODS.items() for name in names])
def test_methods(cupy: Any, kind: str, method: str) -> None:
    target = getattr(resolved(kind), method)
    parameters = [name for name in signature(target).parameters if name != "self"]
    count = METHODS[kind][method]
    assert len(parameters) >= count
    required = [p for p in signature(target).parameters.values() if p.default is p.empty and p.name != "self"]
    assert len(required) <= count


@pytest.mark.parametrize("kind, name", [(kind, name) for kind, names in ATTRIBUTES.items() for name in names])
def test_attributes(cupy: Any, kind: str, name: str) -> None:
    assert hasattr(resolved(kind), name)


def test_the_tables_are_of_what_is_used() -> None:
    source = "".join((HERE / file).read_text() for file in FILES)
    told = {name for names in (*METHODS.values(), *ATTRIBUTES.values()) for name in names} - {"__add__"}
    assert [name for name in told if name not in source] == []


@pytest.mark.parametrize("name", sorted((libraries.HALVES | libraries.NEAR_HALVES) - {"where"}))
def test_elementwise_functions_of_float16(cupy: Any, name: str) -> None:
    function = getattr(cupy, name)
    assert {"e" * function.nin + result for result in ("->e", "->?")} & set(function.types)


@pytest.mark.parametrize("name", sorted(libraries.COMPARISONS))
def test_comparisons_of_numbers_with_and_without_signs(cupy: Any, name: str) -> None:
    assert {"qQ->?", "Qq->?"} <= set(getattr(cupy, name).types)


def test_errors_have_a_status(cupy: Any) -> None:
    assert cupy.cuda.runtime.CUDARuntimeError(35).status == 35


def test_constants(cupy: Any) -> None:
    runtime = cupy.cuda.runtime
    assert (runtime.memcpyDefault, runtime.cudaDevAttrMultiProcessorCount) == (4, 16)


def test_the_device_has_all_that_the_protocol_names() -> None:
    for name, member in vars(Device).items():
        if callable(member) and not name.startswith("_"):
            assert list(inspect.signature(getattr(CupyDevice, name)).parameters) == list(
                inspect.signature(member).parameters
            )
    assert isinstance(CupyDevice.processors, property)


# ---- arrays, over memory of the host ----


def over_host_memory(cupy: Any, values: Any) -> tuple[CupyDevice, CupyBuffer]:
    """A device that makes arrays only, and a buffer in the memory of a NumPy array."""
    device = object.__new__(CupyDevice)
    device._cupy = cupy
    memory = cupy.cuda.UnownedMemory(values.ctypes.data, values.nbytes, values, 0)
    return device, CupyBuffer(cupy.cuda.MemoryPointer(memory, 0))


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "float32", "float64", "complex128"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), [2, 0, 3], (2, 1, 4)], ids=str)
def test_array(cupy: Any, dtype: str, shape: Any) -> None:
    values = np.arange(4096, dtype=np.uint8)
    device, buffer = over_host_memory(cupy, values)
    assert buffer.address == values.ctypes.data
    array = device.array(buffer, 256, dtype, shape)
    assert isinstance(array, cupy.ndarray)
    assert (array.shape, array.dtype) == (tuple(shape), np.dtype(dtype))
    assert array.data.ptr == values.ctypes.data + 256
    assert array.strides == np.empty(shape, dtype).strides
    assert array.data.mem is buffer.pointer.mem  # it keeps the memory alive
    assert device.holds(array)


def test_memory_as_an_array_for_a_library(cupy: Any) -> None:
    values = np.arange(24.0)
    device, buffer = over_host_memory(cupy, values)
    device._id = 0
    array = device._seen(Placed(buffer.address + 64, "float32", (2, 3)))
    assert (type(array), array.shape, array.dtype) == (cupy.ndarray, (2, 3), np.dtype("float32"))
    assert array.data.ptr == buffer.address + 64
    assert array.flags.c_contiguous
    assert device._seen(7) == 7


class Elsewhere:
    """An array that offers DLPack."""

    def __init__(self, kind: int) -> None:
        self.kind = kind

    def __dlpack_device__(self) -> tuple[int, int]:
        if self.kind < 0:
            raise RuntimeError("in several places")
        return self.kind, 0


def test_holds(cupy: Any) -> None:
    device, _ = over_host_memory(cupy, np.zeros(1))
    assert [device.holds(Elsewhere(kind)) for kind in (1, 2, 3, 13, -1)] == [False, True, False, True, False]
    assert device.holds(SimpleNamespace(__cuda_array_interface__={}))
    assert [device.holds(value) for value in (np.zeros(2), 1.0, [1, 2], np.float32(1), None)] == [False] * 5


# ---- the order of work, with a stand-in for CuPy ----


class Stream:
    def __init__(self, ptr: int, log: list[Any], non_blocking: bool = False) -> None:
        self.ptr, self.log = ptr, log

    def wait_event(self, event: Any) -> None:
        self.log.append(("wait", self.ptr))

    def synchronize(self) -> None:
        self.log.append(("synchronize", self.ptr))

    def begin_capture(self) -> None:
        if ("refuse",) in self.log:
            raise RuntimeError("no capture today")
        self.log.append(("begin", self.ptr))

    def end_capture(self) -> Any:
        self.log.append(("end", self.ptr))
        return SimpleNamespace(
            upload=lambda stream: self.log.append(("upload", stream.ptr)),
            launch=lambda stream: self.log.append(("replay", stream.ptr)),
        )


RECORDER = 99


class Machine:
    """A stand-in for CuPy, for one GPU; `log` is what was done and on which stream."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.current, self.gpu = Stream(1, self.log), 0
        log = self.log
        event = SimpleNamespace(record=lambda stream: log.append(("record", stream.ptr)))
        self.runtime = SimpleNamespace(
            getDevice=lambda: self.gpu,
            setDevice=lambda gpu: None,
            deviceGetAttribute=lambda attribute, gpu: 132,
            cudaDevAttrMultiProcessorCount=16,
            memcpyDefault=4,
            memcpyAsync=lambda target, source, nbytes, kind, stream: log.append(("copy", stream)),
            memsetAsync=lambda address, value, nbytes, stream: log.append(("clear", stream)),
        )
        self.driver = SimpleNamespace(launchKernel=lambda *arguments: log.append(("launch", arguments[8])))
        module = SimpleNamespace(load=lambda cubin: None, get_function=lambda name: SimpleNamespace(ptr=5, name=name))
        self.cuda = ModuleType("cupy.cuda")
        self.module = ModuleType("cupy")
        vars(self.module).update(cuda=self.cuda, ndarray=SimpleNamespace)
        vars(self.cuda).update(
            runtime=self.runtime,
            driver=self.driver,
            function=SimpleNamespace(Module=lambda: module),
            get_current_stream=lambda gpu: self.current,
            Event=lambda disable_timing: event,
            Stream=lambda non_blocking: Stream(RECORDER, log),
            Device=lambda gpu: SimpleNamespace(id=gpu, compute_capability="90"),
            alloc=lambda nbytes: SimpleNamespace(ptr=4096, nbytes=nbytes),
        )


PARAMETERS = (ctypes.c_void_p * 1)()
KERNEL = SimpleNamespace(ptr=5)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setitem(sys.modules, "cupy", made.module)
    monkeypatch.setitem(sys.modules, "cupy.cuda", made.cuda)
    return made


@pytest.fixture
def device(machine: Machine) -> CupyDevice:
    return CupyDevice()


def launch(device: CupyDevice) -> None:
    device.launch(KERNEL, 4, (32, 8), PARAMETERS)


def test_work_goes_to_the_current_stream(machine: Machine, device: CupyDevice) -> None:
    launch(device)
    device.copy(256, 512, 8)
    device.clear(256, 8)
    device.synchronize()
    assert machine.log == [("launch", 1), ("copy", 1), ("clear", 1), ("synchronize", 1)]
    assert device.processors == 132


def test_nothing_is_copied_or_cleared_without_bytes(machine: Machine, device: CupyDevice) -> None:
    device.copy(0, 0, 0)
    device.clear(0, 0)
    assert machine.log == []


def test_the_grid_and_the_block(machine: Machine, device: CupyDevice) -> None:
    seen: list[Any] = []
    machine.driver.launchKernel = lambda *arguments: seen.extend(arguments)
    launch(device)
    assert seen == [5, 4, 1, 1, 32, 8, 1, 0, 1, ctypes.addressof(PARAMETERS), 0]


def test_a_new_stream_waits_for_the_one_before(machine: Machine, device: CupyDevice) -> None:
    launch(device)
    machine.current = Stream(2, machine.log)
    launch(device)
    launch(device)
    machine.current = Stream(1, machine.log)
    device.synchronize()
    assert machine.log == [
        ("launch", 1),
        *[("record", 1), ("wait", 2), ("launch", 2)],
        ("launch", 2),
        *[("record", 2), ("wait", 1), ("synchronize", 1)],
    ]


def test_another_gpu_is_an_error(machine: Machine, device: CupyDevice) -> None:
    machine.gpu = 1
    works: list[Callable[[], Any]] = [
        lambda: launch(device),
        device.synchronize,
        device.begin,
        lambda: device.copy(256, 512, 8),
    ]
    for work in works:
        with pytest.raises(
            BackendError, match=r"GPU 1 is current, and the function was compiled for GPU 0(.|\n)*Device"
        ):
            work()
    machine.gpu = 0
    launch(device)
    assert machine.log == [("launch", 1)]


def test_a_recording(machine: Machine, device: CupyDevice) -> None:
    machine.current = Stream(2, machine.log)
    device.begin()
    machine.current = Stream(3, machine.log)  # of no account now
    launch(device)
    device.copy(256, 512, 8)
    machine.current = Stream(2, machine.log)
    recording = device.end()
    recording.launch()
    machine.current = Stream(1, machine.log)
    recording.launch()
    assert machine.log == [
        *[("record", 1), ("wait", 2), ("begin", RECORDER)],
        *[("launch", RECORDER), ("copy", RECORDER), ("end", RECORDER)],
        *[("upload", 2), ("replay", 2)],
        *[("record", 2), ("wait", 1), ("replay", 1)],
    ]


def test_what_cannot_be_recorded(machine: Machine, device: CupyDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "compile", lambda source, arch: nvrtc.Compiled(b"", "", {}))
    device.begin()
    recording = device.end()
    forbidden: dict[str, Callable[[], Any]] = {
        "allocate memory": lambda: device.allocate(8),
        "allocate pinned memory": lambda: device.pinned(8),
        "wait": device.synchronize,
        "begin another recording": device.begin,
        "load a kernel": lambda: device.compile(""),
        "run a recording": recording.launch,
        "take an array": lambda: device.adopt(SimpleNamespace(), "float64"),
        "ask CuPy": lambda: device.compute(abs, [], Placed(4096, "float64", (1,))),
    }
    device.begin()
    for what, work in forbidden.items():
        with pytest.raises(BackendError, match=f"cannot {what} while work for the GPU is recorded"):
            work()
    device.end()
    device.synchronize()
    assert device.compile("")["k"].name == "k"
    assert device.allocate(0).address == 4096


def test_the_architecture(machine: Machine, device: CupyDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def compiled(source: str, arch: str) -> nvrtc.Compiled:
        asked.append(arch)
        return nvrtc.Compiled(b"", "", {})

    monkeypatch.setattr(nvrtc, "compile", compiled)
    device.compile("")
    assert asked == ["sm_90"]


def test_a_recording_that_does_not_begin_leaves_the_device_free(machine: Machine, device: CupyDevice) -> None:
    machine.log.append(("refuse",))
    with pytest.raises(RuntimeError, match="no capture today"):
        device.begin()
    other = threading.Thread(target=lambda: launch(device))
    other.start()
    other.join(5)
    assert machine.log[1:] == [("launch", 1)]
    with pytest.raises(BackendError, match="`begin` comes first"):
        device.end()


def test_other_threads_are_not_recorded(machine: Machine, device: CupyDevice) -> None:
    device.begin()
    other = threading.Thread(target=lambda: launch(device))
    other.start()
    other.join(0.05)
    assert machine.log == [("begin", RECORDER)]
    device.end()
    other.join(5)
    assert sorted(machine.log[1:]) == [("end", RECORDER), ("launch", 1), ("upload", 1)]


def test_products_are_recorded(machine: Machine, device: CupyDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    streams: list[int] = []
    handle = SimpleNamespace(multiply=lambda stream, product: streams.append(stream))
    monkeypatch.setattr(cublas, "library", lambda: "the library")
    monkeypatch.setattr(cuda, "Cublas", lambda library, workspace: handle)
    matrix = Matrix(0, 1, 1, 1)
    product = MatrixProduct("float32", matrix, matrix, matrix)
    device.begin()
    device.multiply(product)
    device.end()
    device.multiply(product)
    assert streams == [RECORDER, 1]


# ---- arrays of the user, with the stand-in ----


def on_gpu(
    gpu: int = 0, dtype: str = "float64", contiguous: bool = True, address: int = 512, shape: tuple[int, ...] = ()
) -> Any:
    return SimpleNamespace(
        device=SimpleNamespace(id=gpu),
        shape=shape,
        dtype=np.dtype(dtype),
        flags=SimpleNamespace(c_contiguous=contiguous),
        data=SimpleNamespace(ptr=address),
    )


def test_adopt(machine: Machine, device: CupyDevice) -> None:
    copy = on_gpu(address=1024, shape=(1,))  # as ascontiguousarray makes of no axes
    vars(machine.module).update(ascontiguousarray=lambda array, dtype: copy)
    array = on_gpu(shape=(2, 3))
    assert device.adopt(array, "float64") == (512, (2, 3), array)
    assert device.adopt(on_gpu(contiguous=False, shape=(2, 3)), "float64") == (1024, (2, 3), copy)
    assert device.adopt(on_gpu(dtype="float32"), "float64") == (1024, (), copy)
    with pytest.raises(BackendError, match="an argument is on GPU 1, and the function runs on GPU 0"):
        device.adopt(on_gpu(gpu=1), "float64")


class Interface:
    """An array that offers CUDA's array interface."""

    def __init__(self) -> None:
        self.__cuda_array_interface__: dict[str, Any] = {}


def test_adopt_what_others_made(machine: Machine, device: CupyDevice) -> None:
    vars(machine.module).update(
        from_dlpack=lambda value: on_gpu(address=2048), asarray=lambda value: on_gpu(address=4096)
    )
    assert device.adopt(Elsewhere(2), "float64")[0] == 2048

    assert device.adopt(Interface(), "float64")[0] == 4096


# ---- the device of the process ----


@pytest.fixture
def no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_devices", {})
    monkeypatch.setattr(cuda, "problem", lambda: None)


def test_there_is_one_device_for_each_gpu(machine: Machine, no_devices: None) -> None:
    first = cuda.device()
    assert cuda.device() is first
    machine.gpu = 1
    second = cuda.device()
    assert second is not first
    machine.gpu = 0
    assert cuda.device() is first


def test_no_device(no_devices: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "problem", lambda: "the driver sees no GPU")
    with pytest.raises(GpuUnavailableError, match="the driver sees no GPU"):
        cuda.device()
    assert issubclass(GpuUnavailableError, BackendError)
