"""The processor that code is generated for: its vectors, and LLVM's machine for it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Target:
    """What the code generator needs to know of a processor.

    Attributes
    ----------
    cpu, features: LLVM's names, such as ``znver5`` and ``+avx512f,+fma,...``.
    vector_bytes: the width of a vector register.
    masked: loads and stores of a part of a vector are one instruction; otherwise the rest of a loop runs one by one.
    fma: ``a * b + c`` with one rounding is one instruction.
    """

    cpu: str
    features: str
    vector_bytes: int
    masked: bool
    fma: bool

    def lanes(self, itemsize: int) -> int:
        """The number of elements in a vector."""
        return max(1, self.vector_bytes // itemsize)

    @property
    def has_avx512(self) -> bool:
        """Whether the instructions of AVX-512 (F, BW, DQ and VL) are there."""
        return self.vector_bytes == 64


@cache
def host() -> Target:
    """This machine."""
    import llvmlite.binding as llvm

    known = llvm.get_host_cpu_features()
    return described(llvm.get_host_cpu_name(), known.flatten(), {name for name, has in known.items() if has})


def described(cpu: str, features: str, has: set[str]) -> Target:
    """A processor with the features in `has`."""
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= has:
        return Target(cpu, features, 64, masked=True, fma=True)
    if "avx2" in has:
        return Target(cpu, features, 32, masked=True, fma="fma" in has)
    arm = platform.machine() in ("arm64", "aarch64")
    return Target(cpu, features, 16, masked=False, fma=arm or "fma" in has)


# The least of x86-64: SSE2, no fused multiply-add.  Tests generate code for it, and run it.
BASELINE = Target("x86-64", "", 16, masked=False, fma=False)
AVX2 = Target("haswell", "", 32, masked=True, fma=True)


@cache
def machine(target: Target, optimises: bool = True) -> Any:
    """LLVM's target machine, which gives registers and orders instructions with care, or takes what comes first."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    found = llvm.Target.from_default_triple()
    return found.create_target_machine(
        cpu=target.cpu,
        features=target.features,
        opt=2 if optimises else 0,
        codemodel="jitdefault",
        reloc="default",
        jit=True,
    )
