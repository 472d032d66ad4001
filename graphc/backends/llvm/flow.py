"""Memory and control flow in LLVM's text: addresses, loads, stores, loops and conditions.

b = Builder(host())
total, = loop(b, integer(0), n, 1, [zero], lambda i, total: [b.add(total, load(b, kind, at(b, x, i, "float64")))])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphc.backends.llvm.emit import ITEMSIZE, Builder, Kind, Value

INDEX = Kind("int64")


def integer(number: int) -> Value:
    """A constant int64."""
    return Value(str(number), INDEX)


def argument(name: str) -> Value:
    """An int64 argument of the function."""
    return Value(f"%{name}", INDEX)


# ---- memory ----


def at(b: Builder, pointer: str, index: Value, dtype: str) -> str:
    """The address of an element, counted from a pointer."""
    return b.let(INDEX, f"getelementptr {Kind(dtype).element}, ptr {pointer}, {index}").text


def load(b: Builder, kind: Kind, pointer: str, mask: Value | None = None) -> Value:
    """Adjacent elements; zero where the mask is false, without touching memory there."""
    if mask is None:
        return b.let(kind, f"load {kind}, ptr {pointer}, align {ITEMSIZE[kind.dtype]}")
    name = f"@llvm.masked.load.{kind.suffix}.p0"
    b.declare(f"{kind} {name}(ptr, i32, {mask.kind}, {kind})")
    return b.let(kind, f"call {kind} {name}(ptr {pointer}, i32 {ITEMSIZE[kind.dtype]}, {mask}, {kind} zeroinitializer)")


def store(b: Builder, value: Value, pointer: str, mask: Value | None = None) -> None:
    """Write adjacent elements, those where the mask is true."""
    kind = value.kind
    if mask is None:
        return b.write(f"store {value}, ptr {pointer}, align {ITEMSIZE[kind.dtype]}")
    name = f"@llvm.masked.store.{kind.suffix}.p0"
    b.declare(f"void {name}({kind}, ptr, i32, {mask.kind})")
    b.write(f"call void {name}({value}, ptr {pointer}, i32 {ITEMSIZE[kind.dtype]}, {mask})")


def splat(b: Builder, scalar: Value, lanes: int) -> Value:
    """A scalar in every lane."""
    if lanes == 1:
        return scalar
    kind = Kind(scalar.kind.dtype, lanes)
    first = b.let(kind, f"insertelement {kind} poison, {scalar}, i64 0")
    return b.let(kind, f"shufflevector {first}, {kind} poison, <{lanes} x i32> zeroinitializer")


def first_lanes(b: Builder, count: Value, lanes: int) -> Value:
    """The mask of the lanes whose number is below a count."""
    numbers = ", ".join(f"i64 {lane}" for lane in range(lanes))
    return b.compare("sgt", splat(b, count, lanes), Value(f"<{numbers}>", Kind("int64", lanes)))


# ---- control flow ----


def when(b: Builder, condition: Value, then: Callable[[], None]) -> None:
    """Do something if a condition holds."""
    name = b.fresh()[1:]
    b.write(f"br {condition}, label %{name}.then, label %{name}.end")
    b.label(f"{name}.then")
    then()
    b.write(f"br label %{name}.end")
    b.label(f"{name}.end")


def choose(
    b: Builder, condition: Value, then: Callable[[], Sequence[Value]], otherwise: Sequence[Value]
) -> list[Value]:
    """Values computed if a condition holds, else others that are known."""
    name = b.fresh()[1:]
    b.write(f"br label %{name}.before")
    b.label(f"{name}.before")
    b.write(f"br {condition}, label %{name}.then, label %{name}.end")
    b.label(f"{name}.then")
    found = then()
    b.write(f"br label %{name}.after")
    b.label(f"{name}.after")
    b.write(f"br label %{name}.end")
    b.label(f"{name}.end")
    return [
        b.let(y.kind, f"phi {y.kind} [{x.text}, %{name}.after], [{y.text}, %{name}.before]")
        for x, y in zip(found, otherwise, strict=True)
    ]


def return_when(b: Builder, condition: Value, then: Callable[[], None]) -> None:
    """If a condition holds, do something and return from the function."""
    name = b.fresh()[1:]
    b.write(f"br {condition}, label %{name}.then, label %{name}.else")
    b.label(f"{name}.then")
    then()
    b.write("ret void")
    b.label(f"{name}.else")


def loop(
    b: Builder,
    start: Value,
    stop: Value,
    step: int | Value,
    carried: Sequence[Value],
    body: Callable[..., Sequence[Value] | None],
) -> list[Value]:
    """``while i + step <= stop``: ``carried = body(i, *carried); i += step``.  Returns ``[i, *carried]`` at the end.

    The condition stands before the loop and at the end of its body: one jump a round.
    """
    name = b.fresh()[1:]
    before = [start, *carried]
    by = integer(step) if isinstance(step, int) else step
    b.write(f"br label %{name}.before")
    b.label(f"{name}.before")
    last = b.sub(stop, by)
    b.write(f"br {b.compare('sle', start, last)}, label %{name}.body, label %{name}.end")
    b.label(f"{name}.body")
    within = [Value(b.fresh(), value.kind) for value in before]
    head = len(b.lines)
    b.lines.extend([""] * len(within))  # the phis, whose second arguments the body is yet to compute
    after = [b.add(within[0], by), *(body(*within) or [])]
    b.write(f"br label %{name}.round")
    b.label(f"{name}.round")
    b.write(f"br {b.compare('sle', after[0], last)}, label %{name}.body, label %{name}.end")
    for line, (value, first, other) in enumerate(zip(within, before, after, strict=True), head):
        b.lines[line] = (
            f"  {value.text} = phi {value.kind} [{first.text}, %{name}.before], [{other.text}, %{name}.round]"
        )
    b.label(f"{name}.end")
    return [
        b.let(first.kind, f"phi {first.kind} [{first.text}, %{name}.before], [{other.text}, %{name}.round]")
        for first, other in zip(before, after, strict=True)
    ]
