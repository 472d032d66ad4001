"""What threads in machine code need of a processor: a clock that is cheap to read, and a pause."""

from __future__ import annotations

import ctypes
import platform
import sys

from graphc.backends.llvm import capi

_IS_X86 = platform.machine().lower() in ("x86_64", "amd64")

INTERVAL = 1 << 26
"""Ticks between looks at signals, some 20 milliseconds."""

_COUNTER = """
declare i64 @llvm.readcyclecounter()

define internal i64 @ticks() alwaysinline {
  %now = call i64 @llvm.readcyclecounter()
  ret i64 %now
}
"""

_MONOTONIC = f"""
declare i32 @clock_gettime(i32, ptr)

define internal i64 @ticks() {{
  %time = alloca [2 x i64]
  %status = call i32 @clock_gettime(i32 {6 if sys.platform == "darwin" else 1}, ptr %time)
  %seconds = load i64, ptr %time
  %rest_at = getelementptr i64, ptr %time, i64 1
  %rest = load i64, ptr %rest_at
  %whole = mul i64 %seconds, 1000000000
  %now = add i64 %whole, %rest
  ret i64 %now
}}
"""


def clock() -> tuple[str, dict[str, int]]:
    """The text of ``i64 @ticks()``, some nanoseconds or less each, and the symbols it needs."""
    if _IS_X86:
        return _COUNTER, {}
    return _MONOTONIC, {"clock_gettime": capi.address(ctypes.CDLL(None).clock_gettime)}


def pause() -> str:
    """The text of ``void @pause()``: a moment in a loop that waits for another thread."""
    instruction = "call void @llvm.x86.sse2.pause()" if _IS_X86 else 'call void asm sideeffect "yield", ""()'
    declared = "declare void @llvm.x86.sse2.pause()\n" if _IS_X86 else ""
    return f"{declared}\ndefine internal void @pause() alwaysinline {{\n  {instruction}\n  ret void\n}}\n"
