"""What is said where no GPU can be used, step by step; and that nobody who wants none pays for it."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from graphc.backends.cupy import cublas, nvrtc
from graphc.backends.cupy.available import problem


class CudaError(RuntimeError):
    def __init__(self, status: int) -> None:
        super().__init__(f"cudaError{status}")
        self.status = status


class Installation:
    """A stand-in for CuPy on a machine where all is well, unless a test says otherwise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.status = 0  # of every call that asks for a device
        self.count, self.capability = 1, "90"
        self.runtime_version, self.driver_version = 13020, 13000
        module: Any = ModuleType("cupy")
        module.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
        module.cuda = SimpleNamespace(
            runtime=SimpleNamespace(
                CUDARuntimeError=CudaError,
                getDeviceCount=lambda: self.asked(self.count),
                getDevice=lambda: self.asked(0),
                runtimeGetVersion=lambda: self.runtime_version,
                driverGetVersion=lambda: self.driver_version,
            ),
            Device=lambda gpu: SimpleNamespace(compute_capability=self.capability),
        )
        monkeypatch.setitem(sys.modules, "cupy", module)
        monkeypatch.setattr(nvrtc, "found", lambda: "libnvrtc.so.13")
        monkeypatch.setattr(cublas, "library", lambda: "libcublas.so.13")

    def asked(self, answer: int) -> int:
        if self.status:
            raise CudaError(self.status)
        return answer


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Installation:
    return Installation(monkeypatch)


def test_all_is_well(here: Installation) -> None:
    assert problem() is None


# What is wrong, what is said of it, and what is to be tried.
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "no driver": ({"status": 35, "driver_version": 0}, "there is no NVIDIA driver (status 35)", "its driver"),
    "old driver": (
        {"status": 35, "driver_version": 12040},
        "the NVIDIA driver is for CUDA 12.4, and CuPy for 13.2 (status 35)",
        "pip install cupy-cuda12x",
    ),
    "very old driver": ({"status": 35, "driver_version": 11080}, "is for CUDA 11.8", "a newer driver"),
    "no device": ({"status": 100}, "the driver sees no GPU (status 100)", "CUDA_VISIBLE_DEVICES"),
    "zero devices": ({"count": 0}, "the driver sees no GPU", "nvidia-smi"),
    "forked": ({"status": 3}, "CUDA cannot be initialized: cudaError3", "fork"),
    "something else": ({"status": 802}, "CUDA says: cudaError802 (status 802)", "nvidia-smi"),
    "old GPU": ({"capability": "61"}, "the GPU is sm_61, and CUDA 13 compiles for sm_75 and later", "another GPU"),
    "Volta": ({"capability": "70"}, "the GPU is sm_70, and CUDA 13", "pip install cupy-cuda12x"),
}


@pytest.mark.parametrize("facts, reason, hint", WRONG.values(), ids=WRONG)
def test_what_is_wrong(here: Installation, facts: dict[str, Any], reason: str, hint: str) -> None:
    vars(here).update(facts)
    said(problem(), reason, hint)


def said(text: str | None, reason: str, hint: str) -> None:
    assert text is not None
    headline, *rest = text.splitlines()
    assert headline.startswith("backend 'cupy' finds no usable GPU: ")
    assert reason in headline
    assert rest[0].startswith("  try: ")
    assert hint in rest[0]
    assert len(rest) < 15


def test_volta_with_cuda_12(here: Installation) -> None:
    here.capability, here.runtime_version = "70", 12080
    assert problem() is None


@pytest.mark.parametrize(
    "version, nvrtc_wheel, cublas_wheel",
    [
        (12080, "pip install nvidia-cuda-nvrtc-cu12", "pip install nvidia-cublas-cu12"),
        (13020, "pip install 'nvidia-cuda-nvrtc>=13,<13.1'", "pip install 'nvidia-cublas>=13,<14'"),
    ],
)
def test_a_library_is_missing(
    here: Installation, monkeypatch: pytest.MonkeyPatch, version: int, nvrtc_wheel: str, cublas_wheel: str
) -> None:
    here.runtime_version = version
    monkeypatch.setattr(cublas, "library", lambda: None)
    said(problem(), "cuBLAS is missing", cublas_wheel)
    monkeypatch.setattr(nvrtc, "found", lambda: None)
    said(problem(), "NVRTC, which compiles kernels, is missing", nvrtc_wheel)


def test_no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said(problem(), "CuPy is not installed", "pip install cupy-cuda13x")


def test_a_broken_cupy(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ImportError("libcudart.so.13: cannot open\nand a page of advice")

    monkeypatch.setattr(importlib, "import_module", fail)
    said(problem(), "CuPy cannot be imported: libcudart.so.13: cannot open", "--force-reinstall")


def test_the_real_cupy_gives_an_answer() -> None:
    pytest.importorskip("cupy", reason="CuPy is not installed (pip install cupy-cuda13x)", exc_type=ImportError)
    text = problem()
    if text is not None:
        said(text, "", "")


def test_graphc_imports_no_cupy() -> None:
    program = (
        "import sys, graphc, graphc.tensor as T; x = T.dscalar(); assert graphc.function([x], x + 1)(2.0) == 3; "
        "import graphc.backends.cupy.cuda; print([name for name in sys.modules if name.split('.')[0] == 'cupy'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
