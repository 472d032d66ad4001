"""The steps that are no kernels, compiled once: the loop over a table of steps, checks of sizes, matrix products.

A step is a function ``i32 (ptr %frame, ptr %slots)`` and the numbers of the frame's words it works on.  It returns 0
if all is well.  A table holds three words a step: the address of the function, that of the numbers, and that of the
step's condition, or 0: a count, and so many pairs of a word of the frame and what it must be, of which one must hold.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

from graphc.backends.llvm import blas, matmul
from graphc.backends.llvm.clock import INTERVAL, clock
from graphc.backends.llvm.link import Code, link
from graphc.backends.llvm.once import once
from graphc.backends.llvm.target import Target
from graphc.backends.llvm.work import IS_LARGE

# The first words of every frame: table and number of steps of the prologue, of the body, and of the commit.
PROLOGUE_TABLE, PROLOGUE_COUNT, BODY_TABLE, BODY_COUNT, COMMIT_TABLE, COMMIT_COUNT, FIRST_FREE = range(7)

# What the word of a choice holds: 0 if its own condition did not come to be known.
TAKEN, NOT_TAKEN = 1, 2

# Every 64 steps `drive` looks at the clock: what takes longer than a moment is large work, too.  Of the time between
# two looks no more than half a moment counts, as the thread may have been stopped meanwhile.
_LOOK_AT_CLOCK = f"""
declare i64 @llvm.umin.i64(i64, i64)

define internal i32 @look_at_clock(ptr %seen, i64 %i) alwaysinline {{
  %of_64 = and i64 %i, 63
  %looks = icmp eq i64 %of_64, 63
  br i1 %looks, label %look, label %no
look:
  %spent_at = getelementptr i64, ptr %seen, i64 1
  %last = load i64, ptr %seen
  %spent = load i64, ptr %spent_at
  %now = call i64 @ticks()
  %is_first = icmp eq i64 %last, 0
  %gap = sub i64 %now, %last
  %most = call i64 @llvm.umin.i64(i64 %gap, i64 {INTERVAL // 2})
  %more = select i1 %is_first, i64 0, i64 %most
  %total = add i64 %spent, %more
  store i64 %now, ptr %seen
  store i64 %total, ptr %spent_at
  %is_long = icmp uge i64 %total, {INTERVAL}
  br i1 %is_long, label %yes, label %no
yes:
  ret i32 {IS_LARGE}
no:
  ret i32 0
}}
"""

# A commit is not left before its end.
_LOOK_AT_NOTHING = """
define internal i32 @look_at_nothing(ptr %seen, i64 %i) alwaysinline {
  ret i32 0
}
"""


def walk(name: str, look: str) -> str:
    """The loop over a table of steps, as a function of that name.

    look: what is asked after each step, with two words to keep what it has seen and the number of the step: 0, or what
    to return at once.
    """
    return f"""
define i32 @{name}(ptr %frame, ptr %table, i64 %count) {{
start:
  %seen = alloca [2 x i64]
  store [2 x i64] zeroinitializer, ptr %seen
  br label %head
head:
  %i = phi i64 [0, %start], [%next, %test], [%next, %ask]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %loop, label %done
loop:
  %next = add i64 %i, 1
  %at = getelementptr [3 x ptr], ptr %table, i64 %i
  %condition_at = getelementptr ptr, ptr %at, i64 2
  %condition = load ptr, ptr %condition_at
  %always = icmp eq ptr %condition, null
  br i1 %always, label %run, label %test
test:
  %holds = call i1 @holds(ptr %frame, ptr %condition)
  br i1 %holds, label %run, label %head
run:
  %function = load ptr, ptr %at
  %slots_at = getelementptr ptr, ptr %at, i64 1
  %slots = load ptr, ptr %slots_at
  %status = call i32 %function(ptr %frame, ptr %slots)
  %fine = icmp eq i32 %status, 0
  br i1 %fine, label %ask, label %failed
ask:
  %answer = call i32 @{look}(ptr %seen, i64 %i)
  %goes_on = icmp eq i32 %answer, 0
  br i1 %goes_on, label %head, label %stop
failed:                                           ; below 0 it is no failure of a step
  %is_step = icmp sgt i32 %status, 0
  %step = trunc i64 %next to i32
  %what = select i1 %is_step, i32 %step, i32 %status
  ret i32 %what
stop:
  ret i32 %answer
done:
  ret i32 0
}}
"""


def driven(name: str, table: int, count: int, drive: str = "drive") -> str:
    """A function of the frame alone, which says where its table is."""
    return f"""
define i32 @{name}(ptr %frame) {{
  %table_at = getelementptr i64, ptr %frame, i64 {table}
  %table = load ptr, ptr %table_at
  %count_at = getelementptr i64, ptr %frame, i64 {count}
  %count = load i64, ptr %count_at
  %status = call i32 @{drive}(ptr %frame, ptr %table, i64 %count)
  ret i32 %status
}}
"""


HOLDS = """
define i1 @holds(ptr %frame, ptr %condition) {
entry:
  %count = load i32, ptr %condition
  %twice = shl i32 %count, 1
  br label %head
head:
  %i = phi i32 [ 1, %entry ], [ %next, %loop ]
  %more = icmp sle i32 %i, %twice
  br i1 %more, label %loop, label %no
loop:
  %next = add i32 %i, 2
  %wide = sext i32 %i to i64
  %have = call i64 @word(ptr %frame, ptr %condition, i64 %wide)
  %after = add i64 %wide, 1
  %want_at = getelementptr i32, ptr %condition, i64 %after
  %want = load i32, ptr %want_at
  %wanted = sext i32 %want to i64
  %equal = icmp eq i64 %have, %wanted
  br i1 %equal, label %yes, label %head
yes:
  ret i1 true
no:
  ret i1 false
}
"""

# The three words of a condition: that of its value, the number of bytes of that, and whether it is a float.
_TRUTH = """
define internal i1 @truth(ptr %frame, ptr %slots) alwaysinline {
  %value = call i64 @word(ptr %frame, ptr %slots, i64 0)
  %bytes = call i64 @number(ptr %slots, i64 1)
  %is_float = call i64 @number(ptr %slots, i64 2)
  %bits = shl i64 %bytes, 3
  %unused = sub i64 64, %bits
  %high = shl i64 %value, %unused
  %signless = shl i64 %high, %is_float
  %truth = icmp ne i64 %signless, 0
  ret i1 %truth
}
"""

# slots: a condition, the word of the choice.
_DECIDE = f"""
define i32 @decide(ptr %frame, ptr %slots) {{
  %truth = call i1 @truth(ptr %frame, ptr %slots)
  %word = select i1 %truth, i64 {TAKEN}, i64 {NOT_TAKEN}
  %choice = call i64 @number(ptr %slots, i64 3)
  %at = getelementptr i64, ptr %frame, i64 %choice
  store i64 %word, ptr %at
  ret i32 0
}}
"""

# slots: the word of a choice that is not decided.
_UNDECIDE = """
define i32 @undecide(ptr %frame, ptr %slots) {
  %choice = call i64 @number(ptr %slots, i64 0)
  %at = getelementptr i64, ptr %frame, i64 %choice
  store i64 0, ptr %at
  ret i32 0
}
"""

# slots: a condition, how many words to pick, and for each of them where to, where from if it holds, and if not.
_PICK = """
define i32 @pick(ptr %frame, ptr %slots) {
entry:
  %taken = call i1 @truth(ptr %frame, ptr %slots)
  %count = call i64 @number(ptr %slots, i64 3)
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %loop, label %done
loop:
  %next = add i64 %i, 1
  %base = mul i64 %i, 3
  %first = add i64 %base, 4
  %second = add i64 %base, 5
  %third = add i64 %base, 6
  %from = select i1 %taken, i64 %second, i64 %third
  %picked = call i64 @word(ptr %frame, ptr %slots, i64 %from)
  %slot = call i64 @number(ptr %slots, i64 %first)
  %at = getelementptr i64, ptr %frame, i64 %slot
  store i64 %picked, ptr %at
  br label %head
done:
  ret i32 0
}
"""

# slots: the word of the address, that of the new one, the number of rows, where to begin, then numbers: whether it is
# one row, the size of an element, how many sizes a row has; and their words.
_WINDOW = """
define i32 @window(ptr %frame, ptr %slots) {
entry:
  %address = call i64 @word(ptr %frame, ptr %slots, i64 0)
  %to = call i64 @number(ptr %slots, i64 1)
  %rows = call i64 @word(ptr %frame, ptr %slots, i64 2)
  %given = call i64 @word(ptr %frame, ptr %slots, i64 3)
  %is_row = call i64 @number(ptr %slots, i64 4)
  %itemsize = call i64 @number(ptr %slots, i64 5)
  %count = call i64 @number(ptr %slots, i64 6)
  %below = icmp slt i64 %given, 0
  %from_end = add i64 %given, %rows
  %start = select i1 %below, i64 %from_end, i64 %given
  %negative = icmp slt i64 %start, 0
  %beyond = icmp sge i64 %start, %rows
  %outside = or i1 %negative, %beyond
  %is_one = icmp ne i64 %is_row, 0
  %wrong = and i1 %outside, %is_one
  br i1 %wrong, label %failed, label %fine
failed:
  ret i32 1
fine:
  %low = select i1 %negative, i64 0, i64 %start
  %high = icmp sgt i64 %low, %rows
  %first = select i1 %high, i64 %rows, i64 %low
  br label %head
head:
  %i = phi i64 [ 0, %fine ], [ %next, %loop ]
  %bytes = phi i64 [ %itemsize, %fine ], [ %product, %loop ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %loop, label %done
loop:
  %next = add i64 %i, 1
  %place = add i64 %i, 7
  %size = call i64 @word(ptr %frame, ptr %slots, i64 %place)
  %product = mul i64 %bytes, %size
  br label %head
done:
  %offset = mul i64 %first, %bytes
  %moved = add i64 %address, %offset
  %at = getelementptr i64, ptr %frame, i64 %to
  store i64 %moved, ptr %at
  ret i32 0
}
"""

# slots: two sizes.
_SIZES_EQUAL = """
define i32 @sizes_equal(ptr %frame, ptr %slots) {
  %left = call i64 @word(ptr %frame, ptr %slots, i64 0)
  %right = call i64 @word(ptr %frame, ptr %slots, i64 1)
  %differ = icmp ne i64 %left, %right
  %status = zext i1 %differ to i32
  ret i32 %status
}
"""

# slots: one size.
_NOT_EMPTY = """
define i32 @not_empty(ptr %frame, ptr %slots) {
  %size = call i64 @word(ptr %frame, ptr %slots, i64 0)
  %empty = icmp eq i64 %size, 0
  %status = zext i1 %empty to i32
  ret i32 %status
}
"""

# slots: how many sizes there are before, how many after, the ones, the others.  None may be negative.
_SAME_COUNT = """
define i32 @same_count(ptr %frame, ptr %slots) {
entry:
  %before = load i32, ptr %slots
  %after_at = getelementptr i32, ptr %slots, i64 1
  %after = load i32, ptr %after_at
  %n = sext i32 %before to i64
  %m = sext i32 %after to i64
  %two = add i64 %n, 2
  %end = add i64 %two, %m
  br label %head
head:
  %i = phi i64 [ 2, %entry ], [ %next, %loop ]
  %have = phi i64 [ 1, %entry ], [ %have2, %loop ]
  %want = phi i64 [ 1, %entry ], [ %want2, %loop ]
  %negative = phi i1 [ false, %entry ], [ %negative2, %loop ]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %loop, label %done
loop:
  %size = call i64 @word(ptr %frame, ptr %slots, i64 %i)
  %is_before = icmp slt i64 %i, %two
  %have_next = mul i64 %have, %size
  %want_next = mul i64 %want, %size
  %have2 = select i1 %is_before, i64 %have_next, i64 %have
  %want2 = select i1 %is_before, i64 %want, i64 %want_next
  %below = icmp slt i64 %size, 0
  %negative2 = or i1 %negative, %below
  %next = add i64 %i, 1
  br label %head
done:
  %differ = icmp ne i64 %have, %want
  %wrong = or i1 %differ, %negative
  %status = zext i1 %wrong to i32
  ret i32 %status
}
"""

WORD = """
define internal i64 @number(ptr %slots, i64 %i) alwaysinline {
  %at = getelementptr i32, ptr %slots, i64 %i
  %slot = load i32, ptr %at
  %wide = sext i32 %slot to i64
  ret i64 %wide
}

define internal i64 @word(ptr %frame, ptr %slots, i64 %i) alwaysinline {
  %slot = call i64 @number(ptr %slots, i64 %i)
  %address = getelementptr i64, ptr %frame, i64 %slot
  %value = load i64, ptr %address
  ret i64 %value
}

define internal ptr @pointer(ptr %frame, ptr %slots, i64 %i) alwaysinline {
  %word = call i64 @word(ptr %frame, ptr %slots, i64 %i)
  %address = inttoptr i64 %word to ptr
  ret ptr %address
}
"""


# The steps by name, and what they are made of.
_STEPS = {
    "decide": _DECIDE, "undecide": _UNDECIDE, "pick": _PICK, "window": _WINDOW,
    "sizes_equal": _SIZES_EQUAL, "not_empty": _NOT_EMPTY, "same_count": _SAME_COUNT,
}  # fmt: skip


@once
def support(target: Target) -> Code:
    """The functions drive, prologue, body, holds, and the steps."""
    ticks, needed = clock()
    drive = walk("drive", "look_at_clock")
    entries = [driven("prologue", PROLOGUE_TABLE, PROLOGUE_COUNT), driven("body", BODY_TABLE, BODY_COUNT)]
    to_the_end = [_LOOK_AT_NOTHING, walk("drive_to_the_end", "look_at_nothing")]
    entries += [*to_the_end, driven("commit", COMMIT_TABLE, COMMIT_COUNT, "drive_to_the_end")]
    text = "".join([WORD, HOLDS, _TRUTH, ticks, _LOOK_AT_CLOCK, drive, *entries, *_STEPS.values()])
    return link(text, target, ["drive", "prologue", "body", "commit", "holds", *_STEPS], needed)


@once
def product(dtype: str, target: Target) -> Code:
    """The step ``product_DTYPE``; slots: a, its row and column strides, b, its strides, c, m, n, k, scratch memory."""
    name = matmul.symbol(dtype)
    kinds = ["ptr", "i64", "i64", "ptr", "i64", "i64", "ptr", "i64", "i64", "i64", "ptr"]
    lines = [
        f"  %a{i} = call {kind} @{'pointer' if kind == 'ptr' else 'word'}(ptr %frame, ptr %slots, i64 {i})"
        for i, kind in enumerate(kinds)
    ]
    arguments = ", ".join(f"{kind} %a{i}" for i, kind in enumerate(kinds))
    step = [
        f"define i32 @product_{dtype}(ptr %frame, ptr %slots) {{",
        *lines, f"  call void @{name}({arguments})", "  ret i32 0", "}",
    ]  # fmt: skip
    found = blas.find()
    text = matmul.module(dtype, target, found)
    return link(text + WORD + "\n".join(step) + "\n", target, [f"product_{dtype}"], matmul.symbols(dtype, found))


# Both run without the interpreter's lock.
Direct = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)
Drive = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


@cache
def driver(target: Target) -> Callable[..., int]:
    """The loop over a table of steps, callable from Python."""
    return Drive(support(target)["drive"])
