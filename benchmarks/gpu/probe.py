"""``python -m benchmarks.gpu.probe``: what the pieces cost that the CuPy backend is made of, on the GPU that is there.

It goes through graphc's own device, so it also shows that launches, recordings, copies and products work at all.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from graphc.backends.cupy.cuda import device as current_device
from graphc.backends.cupy.device import Device, Matrix, MatrixProduct

SOURCE = """
extern "C" __global__ void nothing(float *x, long long n) { if (n < 0) x[0] = 1; }

extern "C" __global__ void twice(const double *x, double *out, long long n) {
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x)
        out[i] = 2 * x[i];
}

extern "C" __global__ void copy(const float4 *x, float4 *out, long long n) {
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x)
        out[i] = x[i];
}
"""

NODES = (1, 2, 5, 10, 50, 200)
COPIED = 1 << 30
STAGED = (8, 1024, 131072)
MULTIPLIED = (512, 4096)

Found = list[dict[str, Any]]


class Parameters:
    """The arguments of a kernel, addresses and sizes, packed as `Device.launch` wants them."""

    def __init__(self, *values: int) -> None:
        self.cells = (ctypes.c_longlong * len(values))(*values)
        start, size = ctypes.addressof(self.cells), ctypes.sizeof(ctypes.c_longlong)
        self.pointers = (ctypes.c_void_p * len(values))(*(start + size * i for i in range(len(values))))


def per_call(device: Device, work: Callable[[], Any], count: int, rounds: int = 5) -> tuple[float, float]:
    """The median microseconds of a call: until Python is free, and until all is done."""
    times = []
    for _ in range(rounds + 1):  # the first round warms up
        device.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            work()
        free = time.perf_counter()
        device.synchronize()
        times.append(((free - start) / count * 1e6, (time.perf_counter() - start) / count * 1e6))
    issue, total = zip(*times[1:], strict=True)
    return statistics.median(issue), statistics.median(total)


def tell(found: Found, what: str, value: float, unit: str = "us") -> None:
    found.append({"what": what, "value": value, "unit": unit})
    print(f"{what:64} {value:12.4g} {unit}", flush=True)


def both(found: Found, what: str, times: tuple[float, float]) -> None:
    tell(found, f"{what}: Python busy", times[0])
    tell(found, f"{what}: altogether", times[1])


def launches(device: Device, found: Found) -> None:
    """One kernel, and recordings of several."""
    kernel, buffer = device.compile(SOURCE)["nothing"], device.allocate(256)
    parameters = Parameters(buffer.address, 0)

    def launch() -> None:
        device.launch(kernel, 1, (32, 1), parameters.pointers)

    both(found, "launch", per_call(device, launch, 1000))
    for nodes in NODES:
        device.begin()
        for _ in range(nodes):
            launch()
        recording = device.end()

        def round_trip(recording: Any = recording) -> None:
            recording.launch()
            device.synchronize()

        both(found, f"recording of {nodes} kernels", per_call(device, recording.launch, 500))
        tell(found, f"recording of {nodes} kernels, waited for", per_call(device, round_trip, 200)[1])

        def one_by_one(nodes: int = nodes) -> None:
            for _ in range(nodes):
                launch()

        tell(found, f"{nodes} kernels one by one", per_call(device, one_by_one, max(10, 500 // nodes))[1])


def bandwidth(device: Device, found: Found) -> None:
    """Copies within the GPU: the driver's, and a kernel's by the number of its blocks."""
    source, target = device.allocate(COPIED), device.allocate(COPIED)
    device.clear(source.address, COPIED)

    def rate(work: Callable[[], Any]) -> float:
        return 2 * COPIED / per_call(device, work, 10)[1] / 1e3

    copied = rate(lambda: device.copy(target.address, source.address, COPIED))
    tell(found, "copy by the driver, 1 GiB", copied, "GB/s")
    kernel = device.compile(SOURCE)["copy"]
    parameters = Parameters(source.address, target.address, COPIED // 16)
    for each in (2, 4, 8, 16, 32):

        def by_kernel(grid: int = device.processors * each) -> None:
            device.launch(kernel, grid, (256, 1), parameters.pointers)

        tell(found, f"copy by a kernel, {each} blocks of 256 a processor", rate(by_kernel), "GB/s")


def staging(device: Device, found: Found) -> None:
    """NumPy to NumPy through a kernel: by copies, and with a kernel that works in pinned memory."""
    kernel = device.compile(SOURCE)["twice"]
    for n in STAGED:
        value, nbytes = np.random.default_rng(0).random(n), 8 * n
        into, out = (device.pinned(nbytes).view(np.float64) for _ in range(2))
        x, y = device.allocate(nbytes), device.allocate(nbytes)
        grid = min(4 * device.processors, -(-n // 256))
        ways = {
            "copied there and back": Parameters(x.address, y.address, n),
            "in pinned memory": Parameters(into.ctypes.data, out.ctypes.data, n),
        }
        for way, parameters in ways.items():
            copies = way.startswith("copied")
            device.begin()
            if copies:
                device.copy(x.address, into.ctypes.data, nbytes)
            device.launch(kernel, grid, (256, 1), parameters.pointers)
            if copies:
                device.copy(out.ctypes.data, y.address, nbytes)
            recording = device.end()

            def call(recording: Any = recording, value: Any = value, into: Any = into, out: Any = out) -> Any:
                np.copyto(into, value)
                recording.launch()
                device.synchronize()
                return out.copy()

            out[:] = np.nan
            np.testing.assert_array_equal(call(), 2 * value)
            tell(found, f"{n} float64 {way}", per_call(device, call, 200)[1])


def products(device: Device, found: Found) -> None:
    """float32 products, outside and inside of a recording, and how exact they are: TF32 would be off by 1e-3."""
    for n in MULTIPLIED:
        nbytes = 4 * n * n
        host = [device.pinned(nbytes).view(np.float32).reshape(n, n) for _ in range(3)]
        buffers = [device.allocate(nbytes) for _ in host]
        x, y, out = (Matrix(buffer.address, n, n, n) for buffer in buffers)
        rng = np.random.default_rng(0)
        for value, buffer in zip(host[:2], buffers, strict=False):
            value[...] = rng.normal(size=(n, n))
            device.copy(buffer.address, value.ctypes.data, nbytes)
        exact = host[0].astype(np.float64) @ host[1].astype(np.float64)

        product = MatrixProduct("float32", x, y, out)

        def multiply(product: MatrixProduct = product) -> None:
            device.multiply(product)

        device.begin()
        multiply()
        recording = device.end()
        for name, work in {"product": multiply, "recorded product": recording.launch}.items():
            device.clear(out.address, nbytes)
            work()
            device.copy(host[2].ctypes.data, out.address, nbytes)
            device.synchronize()
            error = np.abs(host[2] - exact).max() / np.abs(exact).max()
            tell(found, f"{name} {n}x{n} float32, relative error", float(error), "")
            both(found, f"{name} {n}x{n} float32", per_call(device, work, 50 if n > 1000 else 500))


SECTIONS: list[Callable[[Device, Found], None]] = [launches, bandwidth, staging, products]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.probe", description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file as well")
    options = parser.parse_args()
    found: Found = []
    device = current_device()
    for section in SECTIONS:
        try:
            section(device, found)
        except Exception as error:  # the other sections may still tell something
            traceback.print_exc()
            found.append({"what": section.__name__, "error": f"{type(error).__name__}: {error}"})
        if options.json:
            Path(options.json).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
