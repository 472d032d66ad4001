"""Programs made by hand, and functions whose calls go through them."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphc.backends.base import Calling, FastEntry
from graphc.backends.llvm import capi
from graphc.backends.llvm.emit import ITEMSIZE
from graphc.backends.llvm.link import link
from graphc.backends.llvm.native import native_entry
from graphc.backends.llvm.program import Place, Program, Slot
from graphc.backends.llvm.target import host
from graphc.compile.function import Function
from graphc.schedule.schedule import Schedule


def module(text: str, exports: Sequence[str], **symbols: int) -> Any:
    """Linked code."""
    return link(text, host(), exports, symbols)


class Frame:
    """Slots handed out one after the other."""

    def __init__(self) -> None:
        self.slots = itertools.count()
        self.count = 0

    def new(self) -> int:
        self.count += 1
        return next(self.slots)

    def place(self, dtype: str, ndim: int, like: Place | None = None) -> Place:
        """An array with sizes of its own, or with those of another."""
        slot = self.new()
        return Place(dtype, slot, like.sizes if like else tuple(Slot(self.new()) for _ in range(ndim)))


def load(place: Place, name: str) -> str:
    """The word in the slot of a place, as a pointer or a double."""
    kind = "ptr" if place.ndim else "double"
    return f"  %{name}.at = getelementptr i64, ptr %f, i64 {place.slot}\n  %{name} = load {kind}, ptr %{name}.at\n"


def size(place: Place, name: str) -> str:
    (slot,) = place.sizes
    assert isinstance(slot, Slot)
    return f"  %{name}.at = getelementptr i64, ptr %f, i64 {slot.index}\n  %{name} = load i64, ptr %{name}.at\n"


def equal_sizes(name: str, places: Sequence[Place]) -> str:
    """A prologue that returns 1 where vectors have not all the same size."""
    vectors = [place for place in places if place.ndim]
    lines = "".join(size(place, f"n{i}") for i, place in enumerate(vectors))
    condition = "true"
    for i in range(1, len(vectors)):
        lines += f"  %e{i} = icmp eq i64 %n0, %n{i}\n  %c{i} = and i1 {condition}, %e{i}\n"
        condition = f"%c{i}"
    lines += f"  %bad = xor i1 {condition}, true\n  %status = zext i1 %bad to i32\n  ret i32 %status\n"
    return f"define i32 @{name}(ptr %f) {{\n{lines}}}\n"


def loop(name: str, inputs: Sequence[Place], outputs: Sequence[Place], code: str) -> str:
    """A body: `code` computes %r0, %r1, ... from %x0, %x1, ... for each element of vectors; rank 0 stays the same."""
    vectors = [place for place in (*inputs, *outputs) if place.ndim]
    text = "".join(load(p, f"p{i}" if p.ndim else f"x{i}") for i, p in enumerate(inputs))
    text += "".join(load(p, f"q{i}") for i, p in enumerate(outputs) if p.ndim)
    text += size(vectors[0], "n") if vectors else "  %n = add i64 0, 1\n"
    text += "  %some = icmp ne i64 %n, 0\n  br i1 %some, label %next, label %done\nnext:\n"
    text += "  %i = phi i64 [0, %0], [%j, %next]\n"
    for i, place in enumerate(inputs):
        if place.ndim:
            text += f"  %a{i} = getelementptr double, ptr %p{i}, i64 %i\n  %x{i} = load double, ptr %a{i}\n"
    text += code
    for i, place in enumerate(outputs):
        to = f"ptr %q{i}, i64 %i" if place.ndim else f"ptr %f, i64 {place.slot}"
        text += f"  %b{i} = getelementptr double, {to}\n  store double %r{i}, ptr %b{i}\n"
    text += "  %j = add i64 %i, 1\n  %more = icmp ult i64 %j, %n\n  br i1 %more, label %next, label %done\n"
    return f"define i32 @{name}(ptr %f) {{\n{text}done:\n  ret i32 0\n}}\n"


def elementwise(ranks: Sequence[int], result_ranks: Sequence[int], code: str) -> Program:
    """A program on float64 numbers and vectors of one size, `code` as in `loop`."""
    frame = Frame()
    inputs = [frame.place("float64", rank) for rank in ranks]
    first = next((p for p in inputs if p.ndim), None)
    results = [frame.place("float64", rank, first if rank else None) for rank in result_ranks]
    text = equal_sizes("prologue", inputs) + loop("body", inputs, results, code)
    linked = module(text, ["prologue", "body"])
    return Program((0,) * frame.count, tuple(inputs), tuple(results), (), linked["prologue"], linked["body"], (linked,))


def copying(dtype: str, ndim: int) -> Program:
    """A program whose result is its input; it goes through a temporary."""
    frame = Frame()
    x = frame.place(dtype, ndim)
    out = frame.place(dtype, ndim, x)
    middle = frame.place(dtype, ndim, x)
    lines = f"  %bytes.0 = add i64 {ITEMSIZE[dtype]}, 0\n"
    for i, n in enumerate(x.sizes):
        assert isinstance(n, Slot)
        lines += f"  %n{i}.at = getelementptr i64, ptr %f, i64 {n.index}\n  %n{i} = load i64, ptr %n{i}.at\n"
        lines += f"  %bytes.{i + 1} = mul i64 %bytes.{i}, %n{i}\n"
    for name, place in (("x", x), ("out", out), ("middle", middle)):
        lines += f"  %{name}.at = getelementptr i64, ptr %f, i64 {place.slot}\n"
        lines += f"  %{name} = load ptr, ptr %{name}.at\n" if ndim else ""
    at = "" if ndim else ".at"
    for to, source in (("middle", "x"), ("out", "middle")):
        lines += f"  call void @llvm.memcpy.p0.p0.i64(ptr %{to}{at}, ptr %{source}{at}, i64 %bytes.{ndim}, i1 false)\n"
    text = "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)\n"
    text += f"define i32 @body(ptr %f) {{\n{lines}  ret i32 0\n}}\n"
    linked = module(text + "define i32 @prologue(ptr %f) {\n  ret i32 0\n}\n", ["prologue", "body"])
    temporaries = (middle,) if ndim else ()
    return Program((0,) * frame.count, (x,), (out,), temporaries, linked["prologue"], linked["body"], (linked,))


def calling_back(program: Program, callback: Callable[[], int]) -> Program:
    """A program that calls Python before its body; the callback returns a status."""
    function = ctypes.PYFUNCTYPE(ctypes.c_int)(callback)
    linked = module(
        """
        declare i32 @callback()
        declare i32 @inner(ptr)
        define i32 @body(ptr %f) {
          %status = call i32 @callback()
          %bad = icmp ne i32 %status, 0
          br i1 %bad, label %fail, label %go
        fail:
          ret i32 %status
        go:
          %result = call i32 @inner(ptr %f)
          ret i32 %result
        }
        """,
        ["body"],
        callback=capi.address(function),
        inner=program.body,
    )
    return replace(program, body=linked["body"], keep=(program, function, linked))


@dataclass
class Hybrid:
    """An executable that computes with NumPy, and whose own entry runs a hand-made program."""

    numpy: Any
    program: Program
    atomic: bool = True
    slow_calls: int = 0

    @property
    def schedule(self) -> Schedule:
        schedule: Schedule = self.numpy.schedule
        return schedule

    @property
    def source(self) -> str:
        return str(self.numpy.source)

    def run(self, values: Sequence[Any]) -> tuple[Any, ...]:
        self.slow_calls += 1
        results: tuple[Any, ...] = self.numpy.run(values)
        return results

    def entry(self, calling: Calling) -> FastEntry | None:
        return native_entry(self.program, calling, self.atomic)


def through(f: Function, program: Program, atomic: bool = True) -> Hybrid:
    """Have calls of `f` go through `program`, which must compute the same.  What comes back counts the others."""
    (variant,) = f.variants.values()
    hybrid = Hybrid(variant.executable, program, atomic)
    changed = replace(variant, executable=hybrid)
    f.variants[variant.ones] = changed
    f._use(changed)
    return hybrid
