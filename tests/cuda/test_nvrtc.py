"""NVRTC compiles kernels without a GPU, tells what they take of one, and its errors teach."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from graphc.backends import disk
from graphc.backends.cupy import nvrtc
from graphc.errors import MAX_LINES, BackendError, GpuUnavailableError

needs_nvrtc = pytest.mark.skipif(nvrtc.found() is None, reason="NVRTC was not found: pip install nvidia-cuda-nvrtc")

SOURCE = """
extern "C" __global__ void __launch_bounds__(256) saxpy(const float* x, float* y, float a, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) y[i] = a * x[i] + y[i];
}
extern "C" __global__ void __launch_bounds__(64) reverse(const float* x, float* y) {
  __shared__ float s[64];
  s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = s[63 - threadIdx.x];
}
"""
# Too much to keep in the 64 registers that are left to each of 1024 threads.
GREEDY = """
extern "C" __global__ void __launch_bounds__(1024) greedy(const double* x, double* y) {
  double v[96];
  #pragma unroll
  for (int i = 0; i < 96; i++) v[i] = x[i * 1024 + threadIdx.x];
  __syncthreads();
  #pragma unroll
  for (int i = 0; i < 96; i++) y[i * 1024 + threadIdx.x] = v[i] * v[95 - i] + v[(i * 7) % 96];
}
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cache directory of its own."""
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    disk.directory.cache_clear()
    yield tmp_path / "cache"
    disk.directory.cache_clear()


@needs_nvrtc
@pytest.mark.parametrize("arch", ["sm_75", "sm_90"])
def test_machine_code_and_what_it_takes(arch: str, cache: Path) -> None:
    compiled = nvrtc.compile(SOURCE, arch)
    assert compiled.cubin.startswith(b"\x7fELF")
    assert set(compiled.kernels) == {"saxpy", "reverse"}
    assert all(0 < taken.registers <= 64 and taken.spills == 0 for taken in compiled.kernels.values())
    assert compiled.kernels["saxpy"].shared == 0
    assert compiled.kernels["reverse"].shared == 256
    assert arch in compiled.log


@needs_nvrtc
def test_spills_are_told(cache: Path) -> None:
    assert nvrtc.compile(GREEDY).kernels["greedy"].spills > 0


@needs_nvrtc
def test_products_are_not_fused_and_denormals_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = nvrtc.compile(SOURCE).cubin
    monkeypatch.setattr(nvrtc, "_OPTIONS", tuple(o for o in nvrtc._OPTIONS if o != "--fmad=false"))
    assert nvrtc.compile(SOURCE).cubin != exact
    assert not any("ftz" in option or "fast" in option for option in nvrtc._OPTIONS)


@needs_nvrtc
def test_an_error_names_the_line(cache: Path) -> None:
    with pytest.raises(BackendError) as raised:
        nvrtc.compile(SOURCE.replace("a * x[i]", "expff(x[i])"))
    message = str(raised.value)
    assert re.search(r'kernel.cu\(3\): error: identifier "expff" is undefined\n.*y\[i\] = expff', message)
    assert len(message.splitlines()) <= MAX_LINES
    with pytest.raises(BackendError) as raised:
        nvrtc.compile("\n".join(f"int f{i}() {{ return {i}{'x' * (i > 0)}; }}" for i in range(100)))
    assert len(str(raised.value).splitlines()) <= MAX_LINES
    assert not list(cache.iterdir())


@needs_nvrtc
def test_warnings_do_not_hide_the_error(cache: Path) -> None:
    with pytest.raises(BackendError) as raised:
        nvrtc.compile("__device__ int f() { int unused = 1; }\n" * 1 + "int g() { return nothing; }")
    assert "error" in str(raised.value).splitlines()[1]


@needs_nvrtc
def test_an_unknown_architecture(cache: Path) -> None:
    with pytest.raises(BackendError, match="sm_13 is not an architecture") as raised:
        nvrtc.compile(SOURCE, "sm_13")
    assert "sm_90" in str(raised.value)


@needs_nvrtc
def test_the_cache_is_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = nvrtc.compile(SOURCE)
    assert len(list(cache.iterdir())) == 1

    def never(*_: Any) -> Any:
        raise AssertionError("compiled again")

    with monkeypatch.context() as patch:
        patch.setattr(nvrtc, "_compile", never)
        assert nvrtc.compile(SOURCE) == first
        for source, arch in [(SOURCE, "sm_80"), (SOURCE + "\n", "sm_90")]:
            with pytest.raises(AssertionError, match="compiled again"):
                nvrtc.compile(source, arch)


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "_library", lambda: None)
    assert nvrtc.found() is None
    with pytest.raises(GpuUnavailableError, match="pip install 'nvidia-cuda-nvrtc"):
        nvrtc.compile(SOURCE)


def test_the_newest_wheel_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "nvidia/cuda_nvrtc/lib/libnvrtc.so.12"
    new = tmp_path / "nvidia/cu13/lib/libnvrtc.so.13"
    for path in (old, new):
        path.parent.mkdir(parents=True)
        path.touch()
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert nvrtc._installed() == [new, old]
