"""Vectors whose lanes come together in another way: their sums, and squares of them transposed."""

from __future__ import annotations

from graphc.backends.llvm.emit import Builder, Kind, Value


def lane_sums(b: Builder, vectors: list[Value]) -> list[Value]:
    """The sum of the lanes of each vector, all at once: adding the halves of two vectors makes one of the two."""
    parts = [(vector, [number] * vector.kind.lanes) for number, vector in enumerate(vectors)]
    while len(parts) > 1 and len(set(parts[0][1])) < len(parts[0][1]):
        half = len(parts) // 2
        parts = [
            (b.add(*interleaved(b, x, y)), [number for pair in zip(xs, ys, strict=True) for number in pair][: len(xs)])
            for (x, xs), (y, ys) in zip(parts[:half], parts[half:], strict=True)
        ]
    sums: dict[int, Value] = {}
    for total, numbers in parts:
        while len(set(numbers)) < len(numbers):
            numbers = numbers[: len(numbers) // 2]
            total = b.add(*(some_lanes(b, total, start, len(numbers)) for start in (0, len(numbers))))
        for lane, number in enumerate(numbers):
            scalar = Kind(total.kind.dtype)
            sums[number] = b.let(scalar, f"extractelement {total}, i64 {lane}")
    return [sums[number] for number in range(len(vectors))]


def some_lanes(b: Builder, x: Value, start: int, count: int) -> Value:
    """Adjacent lanes of a vector."""
    lanes = ", ".join(f"i32 {start + lane}" for lane in range(count))
    return b.let(Kind(x.kind.dtype, count), f"shufflevector {x}, {x.kind} poison, <{count} x i32> <{lanes}>")


def interleaved(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """The lanes of two vectors in turns: of their lower halves, and of their upper halves."""
    lanes = x.kind.lanes
    low, high = (
        ", ".join(f"i32 {start + lane // 2 + lanes * (lane % 2)}" for lane in range(lanes)) for start in (0, lanes // 2)
    )
    return (
        b.let(x.kind, f"shufflevector {x}, {y}, <{lanes} x i32> <{low}>"),
        b.let(x.kind, f"shufflevector {x}, {y}, <{lanes} x i32> <{high}>"),
    )


def transposed(b: Builder, vectors: list[Value]) -> list[Value]:
    """A square of as many vectors as each has lanes, transposed."""
    half = len(vectors) // 2
    for _ in range(half.bit_length()):
        pairs = zip(vectors[:half], vectors[half:], strict=True)
        vectors = [vector for x, y in pairs for vector in interleaved(b, x, y)]
    return vectors
