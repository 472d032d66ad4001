"""The device on the CPU runs CUDA C rightly, and catches what a GPU would pass over in silence."""

from __future__ import annotations

import ctypes
import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special

from graphc.backends.cupy.device import Device, Matrix, MatrixProduct
from tests.cuda.host_device import ORDERS, DeviceArray, DeviceError, HostDevice, Launch, compiler, environment, pack

pytestmark = pytest.mark.skipif(compiler() is None, reason="g++ was not found")

REVERSE = """
extern "C" __global__ void __launch_bounds__(64) reverse(const float* __restrict__ x, float* __restrict__ out) {
  __shared__ float s[64];
  s[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
  __syncthreads();
  out[blockIdx.x * 64 + threadIdx.x] = s[63 - threadIdx.x];
}
"""
NO_BARRIER = REVERSE.replace("  __syncthreads();\n", "")
TOO_FAR = """
extern "C" __global__ void too_far(const float* x, float* out, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i <= n; i += gridDim.x * blockDim.x) out[i] = x[0];
}
"""
SUM = """
template <int WIDTH> __device__ __forceinline__ double block_sum(double x) {
  __shared__ double s[WIDTH];
  const int t = threadIdx.y * blockDim.x + threadIdx.x;
  for (int d = 16; d; d >>= 1) x += __shfl_xor_sync(0xffffffffu, x, d);
  if (t % 32 == 0) s[t / 32] = x;
  __syncthreads();
  x = 0.0;
  for (int i = 0; i < (int)(blockDim.x * blockDim.y) / 32; i++) x += s[i];
  __syncthreads();
  return x;
}
extern "C" __global__ void __launch_bounds__(256)
sum(const double* __restrict__ x, double* parts, unsigned* ticket, double* out, long long n) {
  __shared__ bool last;
  const int t = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
  double total = 0.0;
  for (long long i = (long long)blockIdx.x * threads + t; i < n; i += (long long)gridDim.x * threads) total += x[i];
  total = block_sum<8>(total);
  if (t == 0) {
    parts[blockIdx.x] = total;
    __threadfence();
    last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (last) {
    total = block_sum<8>(t < (int)gridDim.x ? parts[t] : 0.0);
    if (t == 0) *out = total;
  }
}
"""


def kernel(name: str, body: str, parameters: str = "float* out") -> str:
    return f'extern "C" __global__ void {name}({parameters}) {{ {body} }}\n'


def run(device: HostDevice, source: str, *arguments: Any, grid: int = 1, block: tuple[int, int] = (64, 1)) -> None:
    (found,) = device.compile(source).values()
    device.launch(found, grid, block, pack(*arguments))


def floats(device: HostDevice, buffer: Any, count: int) -> np.ndarray[Any, Any]:
    return device.array(buffer, 0, "float32", (count,)).get()


def filled(device: HostDevice, values: Any, dtype: str = "float32") -> Any:
    array = np.asarray(values, dtype)
    buffer = device.allocate(array.nbytes)
    device.array(buffer, 0, dtype, array.shape)[...] = array
    return buffer


# ---- what is right runs right ----


def test_it_is_a_device() -> None:
    device: Device = HostDevice()
    assert device.processors == 4


@pytest.mark.parametrize("order", ORDERS)
def test_a_kernel_with_barriers_gives_the_same_in_every_order(order: str) -> None:
    device = HostDevice(order)
    x = np.arange(256, dtype=np.float32)
    out = device.allocate(x.nbytes)
    run(device, REVERSE, filled(device, x), out, grid=4)
    assert (floats(device, out, 256).reshape(4, 64) == x.reshape(4, 64)[:, ::-1]).all()
    assert device.launches == [Launch("reverse", 4, (64, 1))]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("block", [(32, 1), (32, 4), (256, 1)])
def test_a_reduction_over_blocks(order: str, block: tuple[int, int]) -> None:
    device = HostDevice(order)
    x = np.random.default_rng(0).integers(0, 100, 5001).astype(np.float64)
    parts, ticket, out = device.allocate(8 * 8), device.allocate(4), device.allocate(8)
    device.clear(ticket.address, 4)
    for _ in range(2):
        run(device, SUM, filled(device, x, "float64"), parts, ticket, out, ctypes.c_longlong(5001), grid=8, block=block)
    assert device.array(out, 0, "float64", ()).get() == x.sum()


def test_one_kernel_with_many_blocks_needs_no_fibers_and_is_quick() -> None:
    device = HostDevice()
    n = 1_000_000
    out = device.allocate(4 * n)
    body = "int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) out[i] = 1.0f;"
    source = kernel("ones", body, "float* out, int n")
    run(device, source, out, ctypes.c_int(n), grid=(n + 255) // 256, block=(256, 1))
    assert (floats(device, out, n) == 1).all()


ATOMICS = {
    "int": ("int32", "atomicAdd(out, 1); atomicMax(out + 1, i); atomicMin(out + 2, i); atomicExch(out + 3, 7)"),
    "unsigned": ("uint32", "atomicAdd(out, 1u); atomicMax(out + 1, (unsigned)i); atomicMin(out + 2, (unsigned)i); "
                 "atomicOr(out + 3, 7u)"),
    "unsigned long long": ("uint64", "atomicAdd(out, 1ull); atomicMax(out + 1, (unsigned long long)i); "
                           "atomicMin(out + 2, (unsigned long long)i); atomicCAS(out + 3, 0ull, 7ull)"),
    "float": ("float32", "atomicAdd(out, 1.0f)"),
    "double": ("float64", "atomicAdd(out, 1.0)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ATOMICS)
def test_atomics(kind: str) -> None:
    device = HostDevice("random")
    dtype, body = ATOMICS[kind]
    out = filled(device, [0, 0, 99, 0], dtype)
    run(device, kernel("atomics", f"int i = threadIdx.x; {body};", f"{kind}* out"), out, grid=3)
    got = device.array(out, 0, dtype, (4,)).get().tolist()
    assert got == ([192, 0, 99, 0] if "float" in dtype else [192, 63, 0, 7])


def test_votes_and_shuffles() -> None:
    device = HostDevice("random")
    body = """
        int i = threadIdx.x, lane = i % 32;
        out[i] = __shfl_down_sync(0xffffffffu, i, 3) + 100 * __shfl_up_sync(0xffffffffu, i, 3);
        out[64 + i] = __shfl_sync(0xffffffffu, i, 5) + 100 * __shfl_xor_sync(0xffffffffu, i, 1, 8);
        out[128 + i] = (int)__ballot_sync(0xffffffffu, lane % 2) + __any_sync(0xffffffffu, lane == 7);
        if (lane < 16) out[192 + i] = __shfl_xor_sync(0x0000ffffu, i, 8); else out[192 + i] = -1;
        out[256 + i] = __syncthreads_or(i == 33) + 2 * __syncthreads_or(i == 99) + 4 * __syncthreads_count(i < 5);
        __syncwarp();
    """
    out = device.allocate(4 * 320)
    run(device, kernel("votes", body, "int* out"), out)
    got = device.array(out, 0, "int32", (5, 64)).get()
    i = np.arange(64)
    lane, warp = i % 32, i // 32 * 32
    assert (got[0] == np.where(lane < 29, i + 3, i) + 100 * np.where(lane >= 3, i - 3, i)).all()
    assert (got[1] == warp + 5 + 100 * (i ^ 1)).all()
    assert (got[2] == np.array(0xAAAAAAAA + 1, "u4").astype("i4")).all()
    assert (got[3] == np.where(lane < 16, i ^ 8, -1)).all()
    assert (got[4] == 1 + 4 * 5).all()


FUNCTIONS = {
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "rcbrt": lambda x: 1 / np.cbrt(x),
    "sinpi": lambda x: np.array([float(scipy.special.sindg(180 * v)) for v in x]),
    "cospi": lambda x: np.array([float(scipy.special.cosdg(180 * v)) for v in x]),
    "erfcx": scipy.special.erfcx,
    "normcdf": scipy.special.ndtr,
    "cyl_bessel_i0": scipy.special.i0,
    "cyl_bessel_i1": scipy.special.i1,
    "exp10": scipy.special.exp10,
    "cbrt": np.cbrt,
}
INVERSES = {
    "erfinv": scipy.special.erfinv,
    "erfcinv": scipy.special.erfcinv,
    "normcdfinv": scipy.special.ndtri,
}


@pytest.mark.parametrize("name", [*FUNCTIONS, *INVERSES])
def test_functions_that_the_c_library_lacks(name: str) -> None:
    device = HostDevice()
    if name in INVERSES:
        x, expected = np.array([1e-300, 1e-20, 1e-3, 0.1, 0.3, 0.5, 0.7, 0.99, 1 - 1e-12]), INVERSES[name]
    else:
        x, expected = np.array([1e-9, 0.1, 0.25, 0.7, 1.0, 1.5, 3.3, 12.0, 30.0, 55.0, 70.0]), FUNCTIONS[name]
    n = len(x)
    source = kernel(
        "apply",
        f"for (int i = 0; i < n; i++) {{ out[i] = {name}(x[i]); single[i] = {name}f((float)x[i]); }}",
        "const double* x, double* out, float* single, int n",
    )
    out, single = device.allocate(8 * n), device.allocate(4 * n)
    run(device, source, filled(device, x, "float64"), out, single, ctypes.c_int(n), block=(1, 1))
    np.testing.assert_allclose(device.array(out, 0, "float64", (n,)).get(), expected(x), rtol=2e-14, atol=1e-15)
    with np.errstate(all="ignore"):
        rounded = expected(x.astype(np.float32).astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(floats(device, single, n), rounded, rtol=3e-7, atol=1e-7)


def test_bits() -> None:
    device = HostDevice()
    body = """
        out[0] = __float_as_int(1.5f) == 0x3fc00000 && __int_as_float(0x3fc00000) == 1.5f;
        out[1] = __double_as_longlong(1.0) == 0x3ff0000000000000ll && __longlong_as_double(0x3ff0000000000000ll) == 1.0;
        out[2] = __umulhi(0xffffffffu, 2u) == 1u && __umul64hi(1ull << 63, 4ull) == 2ull;
        out[3] = __clz(1) == 31 && __popc(7u) == 3 && __ffs(8) == 4 && __ldg(out) == 1;
        out[4] = max(1.0f, __int_as_float(0x7fffffff)) == 1.0f && min(3, 2) == 2;
    """
    out = device.allocate(20)
    run(device, kernel("bits", body, "int* out"), out, block=(1, 1))
    assert device.array(out, 0, "int32", (5,)).get().tolist() == [1] * 5


def test_a_kernel_may_be_called_as_a_function_of_the_c_library() -> None:
    device = HostDevice()
    out = device.allocate(4)
    run(device, kernel("read", "out[0] = 1;"), out)
    assert floats(device, out, 1) == 1


# ---- what is wrong is caught ----


def test_without_its_barrier_a_kernel_depends_on_the_order() -> None:
    results = []
    for order in ORDERS:
        device = HostDevice(order)
        out = device.allocate(256)
        run(device, NO_BARRIER, filled(device, np.arange(64)), out)
        results.append(floats(device, out, 64))
    assert not np.array_equal(results[0], results[1], equal_nan=True)
    assert np.isnan(results[0]).any()  # shared memory that nothing was written to yet is poisoned


def test_shared_memory_is_poisoned_before_every_block() -> None:
    device = HostDevice()
    body = "__shared__ float s[2]; out[blockIdx.x] = s[0]; s[0] = 1.0f;"
    out = device.allocate(16)
    run(device, kernel("leftover", body), out, grid=4, block=(1, 1))
    assert np.isnan(floats(device, out, 4)).all()


def test_fresh_memory_is_poisoned() -> None:
    device = HostDevice()
    buffer = device.allocate(64)
    assert buffer.address % 256 == 0
    assert np.isnan(floats(device, buffer, 16)).all()
    assert (device.array(buffer, 0, "int64", (8,)).get() == -1).all()


@pytest.mark.parametrize("count", [1, 63, 64, 1000])
def test_a_write_past_the_end_of_a_buffer(count: int) -> None:
    device = HostDevice()
    x, out = filled(device, [1.0]), device.allocate(4 * count)
    with pytest.raises(DeviceError, match=f"too_far wrote beside a buffer of {4 * count} bytes"):
        run(device, TOO_FAR, x, out, ctypes.c_int(count))


BAD = {
    "two barriers meet": (
        "if (threadIdx.x < 16)\n __syncthreads(); else\n __syncthreads(); out[0] = 1;",
        "divergent barrier: __syncthreads\\(\\) of line [23] in thread \\d+, others wait at that of line [23]",
    ),
    "some never come": (
        "if (threadIdx.x < 16) __syncthreads(); out[0] = 1;",
        "divergent barrier: .*ended",
    ),
    "half a warp with the mask of a whole": (
        "if (threadIdx.x < 16) out[0] = __shfl_xor_sync(0xffffffffu, 1.0f, 1); __syncthreads();",
        "deadlock: thread \\d+ waits in a \\*_sync of line 1 with mask 0xffffffff, but thread \\d+ waits at __sync",
    ),
    "a lane ends that others wait for": (
        "if (threadIdx.x % 32 < 16) out[0] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);",
        "deadlock|names lane \\d+, which has ended",
    ),
    "a lane outside of its own mask": (
        "out[0] = __shfl_xor_sync(0x0000ffffu, 1.0f, 1);",
        "lane \\d+ is not in the mask 0x0000ffff",
    ),
    "a shuffle that reads outside of its mask": (
        "if (threadIdx.x % 32 < 16) out[0] = __shfl_xor_sync(0x0000ffffu, 1.0f, 16);",
        "reads lane \\d+, which its mask 0x0000ffff does not name",
    ),
    "different masks in one warp": (
        "out[0] = __shfl_sync(threadIdx.x % 2 ? 0xffffffffu : 0x55555555u, 1.0f, 0);",
        "different masks",
    ),
    "a trap": ("if (threadIdx.x == 40)\n __trap();", "__trap\\(\\) of line 2 in thread 40 of block 0"),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("what", BAD)
def test_a_wrong_barrier(what: str, order: str) -> None:
    body, message = BAD[what]
    device = HostDevice(order)
    out = device.allocate(256)
    for _ in range(2):
        with pytest.raises(DeviceError, match=message):
            run(device, kernel("bad", body), out)
    run(device, REVERSE, filled(device, np.arange(64)), out)  # and nothing of it is left
    assert (floats(device, out, 64) == np.arange(64)[::-1]).all()


def test_a_pointer_to_memory_that_is_gone() -> None:
    device = HostDevice()
    x, out = filled(device, np.arange(64)), device.allocate(256)
    arguments = pack(x, out)
    found = device.compile(REVERSE)["reverse"]
    device.launch(found, 1, (64, 1), arguments)
    del x
    with pytest.raises(DeviceError, match=r"argument 0 of reverse.*are not in memory of the device"):
        device.launch(found, 1, (64, 1), arguments)


def test_launches_that_cannot_be() -> None:
    device = HostDevice()
    buffer = device.allocate(256)
    found = device.compile(REVERSE)["reverse"]
    with pytest.raises(DeviceError, match="the grid must be positive"):
        device.launch(found, 0, (64, 1), pack(buffer, buffer))
    with pytest.raises(DeviceError, match="between 1 and 64 threads are possible"):
        device.launch(found, 1, (64, 2), pack(buffer, buffer))
    with pytest.raises(DeviceError, match="1 arguments, but 2 parameters"):
        device.launch(found, 1, (64, 1), pack(buffer))


def test_what_does_not_compile() -> None:
    device = HostDevice()
    with pytest.raises(DeviceError, match=r"kernel.cu:1.*error: .*expff"):
        device.compile(kernel("bad", "out[0] = expff(1.0f);"))
    with pytest.raises(DeviceError, match="INFINITY"):  # NVRTC does not know it either
        device.compile(kernel("bad", "out[0] = INFINITY;"))
    with pytest.raises(DeviceError, match="has no kernel"):
        device.compile("int x;")


# ---- recording and waiting ----


def test_what_may_not_be_during_capture() -> None:
    device = HostDevice()
    buffer = device.allocate(64)
    array = device.asarray(np.ones(4))
    device.begin()
    recording = device.end()
    device.begin()
    for name, forbidden in {
        "allocate": lambda: device.allocate(8),
        "pinned": lambda: device.pinned(8),
        "compile": lambda: device.compile(REVERSE),
        "synchronize": device.synchronize,
        "adopt": lambda: device.adopt(array, "float64"),
        "begin": device.begin,
        "launch of a recording": recording.launch,
    }.items():
        with pytest.raises(DeviceError, match=f"{name} during capture"):
            forbidden()
    device.clear(buffer.address, 64)
    device.end()
    with pytest.raises(DeviceError, match="end without begin"):
        device.end()


@pytest.mark.parametrize("late", [False, True])
def test_a_recording_runs_again_on_what_is_there_then(late: bool) -> None:
    device = HostDevice(late=late)
    into, back = device.pinned(256), device.pinned(256)
    x, out = device.allocate(256), device.allocate(256)
    found = device.compile(REVERSE)["reverse"]
    device.begin()
    device.copy(x.address, into.ctypes.data, 256)
    arguments = pack(x, out)
    device.launch(found, 1, (64, 1), arguments)
    arguments.keep[0].value = 1  # the values were read when the launch was recorded, as CUDA does
    device.copy(back.ctypes.data, out.address, 256)
    recording = device.end()
    assert not device.launches
    for i in range(3):
        into.view(np.float32)[:] = np.arange(64) + i
        recording.launch()
        assert late == (not np.array_equal(back.view(np.float32), np.arange(64)[::-1] + i))
        device.synchronize()
        assert np.array_equal(back.view(np.float32), np.arange(64)[::-1] + i)


def test_a_late_device_keeps_what_it_needs() -> None:
    device = HostDevice(late=True)
    out = device.allocate(256)
    run(device, REVERSE, device.allocate(256), out)
    assert np.isnan(floats(device, out, 64)).all()  # the device array waits before it is read
    assert device.launches


# ---- products and copies ----


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
def test_multiply(dtype: str, transposed: tuple[bool, bool]) -> None:
    device = HostDevice()
    draw = np.random.default_rng(0)
    size = np.dtype(dtype).itemsize
    operands: list[Any] = []
    matrices: list[Matrix] = []
    kept = []
    for (rows, columns), turned in zip([(3, 4), (4, 5)], transposed, strict=True):
        lines, length = (columns, rows) if turned else (rows, columns)
        memory = draw.standard_normal((lines, length + 2)).astype(dtype)
        buffer = filled(device, memory, dtype)
        kept.append(buffer)
        matrices.append(Matrix(buffer.address, rows, columns, length + 2, turned))
        used = memory[:, :length]
        operands.append(used.T if turned else used)
    x, y = matrices
    out = device.allocate(15 * size)
    device.multiply(MatrixProduct(dtype, x, y, Matrix(out.address, 3, 5, 5)))
    np.testing.assert_allclose(device.array(out, 0, dtype, (3, 5)).get(), operands[0] @ operands[1], rtol=1e-5)
    with pytest.raises(DeviceError, match="the sizes do not fit"):
        device.multiply(MatrixProduct(dtype, x, y, Matrix(out.address, 3, 4, 4)))
    with pytest.raises(DeviceError, match="are not in memory of the device"):
        device.multiply(MatrixProduct(dtype, x, y, Matrix(out.address + size, 3, 5, 5)))


def test_copies_stay_in_memory_of_the_device() -> None:
    device = HostDevice()
    buffer, ordinary = device.allocate(16), np.zeros(16, np.uint8)
    with pytest.raises(DeviceError, match="copy from"):
        device.copy(buffer.address, ordinary.ctypes.data, 16)
    with pytest.raises(DeviceError, match="copy to"):
        device.copy(buffer.address + 8, buffer.address, 9)
    with pytest.raises(DeviceError, match="clear"):
        device.clear(buffer.address, 17)


# ---- arrays of the user ----


def test_arrays() -> None:
    device = HostDevice()
    array = device.asarray(np.arange(6.0).reshape(2, 3))
    assert device.holds(array)
    assert not device.holds(np.zeros(3))
    address, shape, keep = device.adopt(array, "float64")
    assert (address, shape) == (array.address, (2, 3))
    assert keep is array
    for value, dtype in [(array.T, "float64"), (array, "float32"), (array[:, 1:], "float64")]:
        address, shape, keep = device.adopt(value, dtype)
        assert shape == value.shape
        assert isinstance(keep, DeviceArray)
        assert address == keep.address != array.address
        assert (keep.get() == value.get()).all()
    with pytest.raises(DeviceError, match="no array of this device"):
        device.adopt(np.zeros(3), "float64")
    with pytest.raises(TypeError, match="Implicit conversion to a NumPy array"):
        np.asarray(array)


def test_an_array_keeps_its_buffer_alive() -> None:
    device = HostDevice()
    array: Any = device.array(device.allocate(64), 32, "float32", (2, 4))[1:]
    device.clear(array.address, 16)
    assert (array.get() == 0).all()
    with pytest.raises(DeviceError, match="array of 64 bytes at 32"):
        device.array(device.allocate(64), 32, "float32", (16,))


# ---- sanitizers, each in a process of its own ----

PRELUDE = """
import ctypes, os, sys
import numpy as np
from tests.cuda.host_device import DeviceError, HostDevice
from tests.cuda.test_host_device import BAD, REVERSE, SUM, filled, kernel, run
device = HostDevice(sanitize=os.environ["SANITIZE"], flags=["-fsanitize-recover=all"])
"""
RIGHT = """
x, out = filled(device, np.arange(256)), device.allocate(1024)
run(device, REVERSE, x, out, grid=4)
parts, ticket, total = device.allocate(64), device.allocate(4), device.allocate(8)
device.clear(ticket.address, 4)
x = filled(device, np.ones(5001), "float64")
run(device, SUM, x, parts, ticket, total, ctypes.c_longlong(5001), grid=8, block=(32, 4))
assert device.array(total, 0, "float64", ()).get() == 5001
"""
FAILING = """
for body, _ in BAD.values():
    try:
        run(device, kernel("bad", body), device.allocate(256))
    except DeviceError:
        pass
    else:
        raise SystemExit("not caught")
"""
# All are loaded before the first report: the address sanitizer looks for source lines only once.
EACH = """
sources = {name: kernel("wrong", body, "float* out, int n") for name, body in kernels.items()}
for source in sources.values():
    device.compile(source)
for name, source in sources.items():
    print("kernel:", name, file=sys.stderr, flush=True)
    run(device, source, device.allocate(nbytes), ctypes.c_int(7))
"""
# What is wrong: the sanitizer, the body of a kernel, and what is told of it.  `n` is 7.
WRONG = {
    "a missing barrier": (
        "thread",
        "__shared__ float s[64];\n s[threadIdx.x] = 1;\n out[threadIdx.x] = s[63 - threadIdx.x];",
        ("data race", "kernel.cu:2", "kernel.cu:3"),
    ),
    "a race within a warp": (
        "thread",
        "__shared__ float s[64]; s[threadIdx.x] = 1;\n out[threadIdx.x] = s[threadIdx.x ^ 1];",
        ("data race", "kernel.cu:1", "kernel.cu:2"),
    ),
    "a shuffle in place of a barrier": (
        "thread",
        "__shared__ float s[64]; s[threadIdx.x] = 1; __shfl_xor_sync(0xffffffffu, 1, 1);\n"
        "out[threadIdx.x] = s[threadIdx.x ^ 1];",
        ("data race", "kernel.cu:1", "kernel.cu:2"),
    ),
    "two threads write one element": ("thread", "out[threadIdx.x / 2] = threadIdx.x;", ("data race", "kernel.cu:1")),
    "a write past the end": ("address", "if (threadIdx.x <= n) out[threadIdx.x] = 1;", ("AddressSan", "kernel.cu:1")),
    "a read past the end": ("address", "out[0] = out[n];", ("AddressSanitizer", "kernel.cu:1")),
    "a read before the beginning": ("address", "out[0] = out[n - 8];", ("AddressSanitizer", "kernel.cu:1")),
    "past the end of shared memory": (
        "address",
        "__shared__ float s[6]; if (threadIdx.x < 6) s[threadIdx.x] = 1; __syncthreads(); out[0] = s[n - 1];",
        ("AddressSanitizer", "kernel.cu:1"),
    ),
    "a shift too far": ("undefined", "out[0] = 1 << (n * 5);", ("kernel.cu:1", "shift exponent 35")),
    "a number out of range": ("undefined,float-cast-overflow", "out[0] = (int)(n * 1e20);", ("kernel.cu:1", "7e+20")),
}


def sanitized(sanitize: str, program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + program],
        cwd=Path(__file__).parents[2],
        env={**environment(sanitize), "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=0", "SANITIZE": sanitize},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("sanitize", ["address,undefined", "thread"])
def test_sanitizers_are_silent_about_what_is_right(sanitize: str) -> None:
    done = sanitized(sanitize, RIGHT + FAILING + RIGHT)
    assert done.returncode == 0, done.stderr
    assert "Sanitizer" not in done.stderr
    assert "runtime error" not in done.stderr


@functools.cache
def told(sanitize: str) -> tuple[dict[str, str], int]:
    """What a sanitizer says of each kernel of WRONG, and the exit status: one process for all."""
    kernels = {name: body for name, (by, body, _) in WRONG.items() if by == sanitize}
    nbytes = 28 if sanitize == "address" else 256
    done = sanitized(sanitize, f"kernels, nbytes = {kernels!r}, {nbytes}\n{EACH}")
    parts = (part.partition("\n") for part in done.stderr.split("kernel: ")[1:])
    return {name: said for name, _, said in parts}, done.returncode


@pytest.mark.parametrize("what", WRONG)
def test_sanitizers_catch_what_is_wrong(what: str) -> None:
    sanitize, _, expected = WRONG[what]
    said, status = told(sanitize)
    for text in expected:
        assert text in said[what], said[what][-3000:]
    assert status == (66 if sanitize == "thread" else 0)  # the others were asked to go on
