"""Whether a GPU can be used here, and if not, which step fails and what to try."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from graphc.backends.cupy import cublas, nvrtc
from graphc.errors import explain

# The wheels of each generation of CUDA, and the oldest processors (compute capability) it compiles for.
NVRTC_WHEEL = {12: "nvidia-cuda-nvrtc-cu12", 13: "'nvidia-cuda-nvrtc>=13,<13.1'"}
CUBLAS_WHEEL = {12: "nvidia-cublas-cu12", 13: "'nvidia-cublas>=13,<14'"}
OLDEST = {12: 70, 13: 75}

# cudaError_t
INITIALIZATION, INSUFFICIENT_DRIVER, NO_DEVICE = 3, 35, 100


def problem() -> str | None:
    """None if a GPU can be used, else why not and what to try."""
    if importlib.util.find_spec("cupy") is None:
        return _told("CuPy is not installed", "pip install cupy-cuda13x, or cupy-cuda12x for a driver before 580")
    try:
        cupy = importlib.import_module("cupy")
    except Exception as error:  # a broken installation fails in many ways
        return _told(f"CuPy cannot be imported: {_first_line(error)}", "pip install --force-reinstall cupy-cuda13x")
    runtime = cupy.cuda.runtime
    generation = min(max(runtime.runtimeGetVersion() // 1000, 12), 13)
    return _device(cupy, runtime, generation) or _libraries(generation)


def _device(cupy: Any, runtime: Any, generation: int) -> str | None:
    """What is wrong with the driver or the GPU."""
    try:
        if runtime.getDeviceCount() == 0:
            return _no_device()
        capability = int(cupy.cuda.Device(runtime.getDevice()).compute_capability)
    except runtime.CUDARuntimeError as error:
        return _failed(runtime, error)
    oldest = OLDEST[generation]
    if capability >= oldest:
        return None
    hint = "pip install cupy-cuda12x" if capability >= OLDEST[12] else "another GPU"
    return _told(f"the GPU is sm_{capability}, and CUDA {generation} compiles for sm_{oldest} and later", hint)


def _failed(runtime: Any, error: Any) -> str:
    """What an error of the runtime means."""
    if error.status == NO_DEVICE:
        return _no_device()
    if error.status == INITIALIZATION:
        hint = "compile functions in the process that runs them: a GPU does not survive a fork"
        return _told(f"CUDA cannot be initialized: {error}", hint)
    if error.status != INSUFFICIENT_DRIVER:
        return _told(f"CUDA says: {error} (status {error.status})", "nvidia-smi, which says more")
    driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if driver == 0:
        return _told("there is no NVIDIA driver (status 35)", "a machine with an NVIDIA GPU, and its driver installed")
    found = f"the NVIDIA driver is for CUDA {_version(driver)}, and CuPy for {_version(needed)} (status 35)"
    return _told(found, "pip install cupy-cuda12x" if driver // 1000 == 12 else "a newer driver")


def _no_device() -> str:
    return _told("the driver sees no GPU (status 100)", "nvidia-smi; is CUDA_VISIBLE_DEVICES set?")


def _libraries(generation: int) -> str | None:
    """Which library is missing."""
    if nvrtc.found() is None:
        return _told("NVRTC, which compiles kernels, is missing", f"pip install {NVRTC_WHEEL[generation]}")
    if cublas.library() is None:
        return _told("cuBLAS is missing", f"pip install {CUBLAS_WHEEL[generation]}")
    return None


def _told(reason: str, hint: str) -> str:
    return explain(f"backend 'cupy' finds no usable GPU: {reason}", hint=hint)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _version(number: int) -> str:
    """13020 is 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"
