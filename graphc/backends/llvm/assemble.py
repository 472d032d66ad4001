"""Parts as machine code: a table of steps that a native loop walks over, or one function with all kernels inlined."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphc.backends.llvm.codes import linked
from graphc.backends.llvm.commit import step_function
from graphc.backends.llvm.crew import Unlocked, crew
from graphc.backends.llvm.encoder import Encoder
from graphc.backends.llvm.parts import Part
from graphc.backends.llvm.render import module
from graphc.backends.llvm.scalars import Function
from graphc.backends.llvm.support import (
    BODY_COUNT,
    BODY_TABLE,
    COMMIT_COUNT,
    COMMIT_TABLE,
    PROLOGUE_COUNT,
    PROLOGUE_TABLE,
    Direct,
    driver,
    support,
)
from graphc.backends.llvm.target import Target
from graphc.kernels.launch import Launch
from graphc.kernels.steps import Assumed, Commit, SizesEqual, Verify, Weigh

# A function of no more kernels and statements than these is compiled as one piece of code.
MOST_INLINED = 6
MOST_STATEMENTS = 100


@dataclass(frozen=True)
class Routine:
    """A part that can run.

    run: takes the frame, returns 0 or 1 + the number of the step that failed; function: its address, or 0 where the
    driver walks over a `table` of so many steps.
    """

    run: Callable[[Any], int]
    function: int = 0
    table: Any = None
    count: int = 0


def assembled(parts: Sequence[Part], encoder: Encoder) -> list[Routine]:
    """The routines of a function's parts."""
    if _are_small(parts):
        return _inlined(parts, encoder)
    drive = driver(encoder.target)
    return [_tabled(part, encoder, drive) for part in parts]


def assembled_at_large(parts: Sequence[Part], encoder: Encoder) -> list[Routine]:
    """The routines of a function's parts, for large work: Python's lock is released meanwhile."""
    drive = Unlocked(crew.prepare(encoder.threads)["drive_unlocked"])
    return [_tabled(part, encoder, drive) for part in parts]


@dataclass(frozen=True)
class Entries:
    """Functions of a frame that run routines: for sizes, for the results, for the commit if there is one, else 0.

    words: the frame before a call.
    """

    words: tuple[int, ...]
    prologue: int
    body: int
    commit: int = 0


def entries_at_large(routines: Sequence[Routine], frame: Sequence[int], target: Target) -> Entries:
    """The same as `entries`, for large work; the body may be run without Python's lock."""
    return replace(entries(routines, frame, target), body=crew.prepare(0)["body_at_large"])


def entries(routines: Sequence[Routine], frame: Sequence[int], target: Target) -> Entries:
    """The functions for two routines, or three."""
    functions = [routine.function for routine in routines]
    if all(functions):
        return Entries(tuple(frame), *functions)
    words = list(frame)
    for routine, table, count in zip(routines, _TABLES, _COUNTS, strict=False):
        words[table], words[count] = ctypes.addressof(routine.table), routine.count
    code = support(target)
    return Entries(tuple(words), *(code[name] for name in ("prologue", "body", "commit")[: len(routines)]))


_TABLES = (PROLOGUE_TABLE, BODY_TABLE, COMMIT_TABLE)
_COUNTS = (PROLOGUE_COUNT, BODY_COUNT, COMMIT_COUNT)


def _are_small(parts: Sequence[Part]) -> bool:
    """Whether all steps go into one piece of code of their own, without a table."""
    steps = [step for part in parts for step, _ in part.steps]
    steps = [step.launch if isinstance(step, Verify | Commit) else step for step in steps]
    launches = [step for step in steps if isinstance(step, Launch)]
    statements = sum(1 for step in launches for _ in step.kernel.statements())
    return len(launches) <= MOST_INLINED and statements <= MOST_STATEMENTS


# ---- tables ----


def _tabled(part: Part, encoder: Encoder, drive: Callable[..., int]) -> Routine:
    """For each step the addresses of its function, of its numbers, of its condition."""
    words: list[int] = []
    for step, when in part.steps:
        made = encoder.encoded(step)
        condition = _numbers(encoder.condition(when), encoder) if when else 0
        words += [made.address, _numbers(made.words, encoder), condition]
    table = (ctypes.c_int64 * max(len(words), 1))(*words)
    count = len(part.steps)
    return Routine(lambda frame: drive(frame, table, count), table=table, count=count)


def _numbers(numbers: Sequence[int], encoder: Encoder) -> int:
    """The address of some numbers in memory."""
    array = (ctypes.c_int32 * max(len(numbers), 1))(*numbers)
    encoder.kept.append(array)
    return ctypes.addressof(array)


# ---- functions of the frame ----


def _inlined(parts: Sequence[Part], encoder: Encoder) -> list[Routine]:
    """One function of the frame for each part, its kernels inlined."""
    functions: list[Function] = []
    symbols: dict[str, int] = {}
    for number, part in enumerate(parts):
        data: list[str] = []
        lines = [f"define i32 @part{number}(ptr %frame) {{"]
        for i, (step, when) in enumerate(part.steps):
            name = f"step{number}_{i}"
            if when:
                symbols["holds"] = support(encoder.target)["holds"]
                data.append(_words_at(f"{name}_when", encoder.condition(when)))
                lines += [
                    f"  %h{i} = call i1 @holds(ptr %frame, ptr @{name}_when)",
                    f"  br i1 %h{i}, label %run{i}, label %next{i}", f"run{i}:",
                ]  # fmt: skip
            if isinstance(step, SizesEqual | Assumed):
                lines += _differ(i, *encoder.words(step))
            elif isinstance(step, Launch | Weigh | Verify | Commit):
                functions.append(step_function(step, encoder.target, name, encoder.words(step)))
                lines.append(f"  %s{i} = call i32 @{name}(ptr %frame)")
            else:
                made = encoder.encoded(step)
                symbols[f"graphc_{made.name}"] = made.address
                data.append(_words_at(name, made.words))
                lines.append(f"  %s{i} = call i32 @graphc_{made.name}(ptr %frame, ptr @{name})")
            lines += [
                f"  %f{i} = icmp ne i32 %s{i}, 0", f"  br i1 %f{i}, label %failed{i}, label %next{i}",
                f"failed{i}:", f"  %k{i} = icmp sgt i32 %s{i}, 0",
                f"  %r{i} = select i1 %k{i}, i32 {i + 1}, i32 %s{i}", f"  ret i32 %r{i}", f"next{i}:",
            ]  # fmt: skip
        functions.append(Function("\n".join([*data, *lines, "  ret i32 0", "}"]), (), ()))
    declared = tuple(f"declare {'i1' if symbol == 'holds' else 'i32'} @{symbol}(ptr, ptr)" for symbol in symbols)
    functions.append(Function("", (), declared))
    names = tuple(f"part{number}" for number in range(len(parts)))
    code = linked(module(functions, encoder.target), encoder.target, names, symbols, encoder.drafts)
    encoder.kept.append(code)
    return [Routine(Direct(code[name]), code[name]) for name in names]


def _differ(i: int, left: int, right: int) -> list[str]:
    """Whether two words of the frame differ: a check of sizes, in place."""
    return [
        f"  %x{i}.at = getelementptr i64, ptr %frame, i64 {left}", f"  %x{i} = load i64, ptr %x{i}.at",
        f"  %y{i}.at = getelementptr i64, ptr %frame, i64 {right}", f"  %y{i} = load i64, ptr %y{i}.at",
        f"  %d{i} = icmp ne i64 %x{i}, %y{i}", f"  %s{i} = zext i1 %d{i} to i32",
    ]  # fmt: skip


def _words_at(name: str, numbers: Sequence[int]) -> str:
    """Numbers as a constant of a module."""
    return f"@{name} = private constant [{len(numbers)} x i32] [{', '.join(f'i32 {n}' for n in numbers)}]"
