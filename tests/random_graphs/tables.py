"""Random programs that update parts of tables, and what is done with them between calls.

Everything follows from a list of numbers, so that two backends can be given the same.  All values are whole numbers
and stay small, so that every result has the same bits everywhere.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import graphc.tensor as T
from graphc import Function, function, shared
from graphc.backends.llvm.native import LARGE_BYTES
from graphc.graph.variable import Variable
from graphc.ifelse import ifelse
from graphc.printing.pretty import pp

Array = np.ndarray[Any, Any]

DTYPES = ("float64", "float64", "float32", "int64", "int8", "bool")
ROWS = (5, 5, 2, 1, 0)
WIDTHS = (3, 1)
LENGTHS = (3, 1, 2, 0)
LARGE = np.ones(LARGE_BYTES // 8 + 1)
SMALL = np.ones(1)


class Choices:
    """Numbers that decide, one after the other; 0 when there are no more."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers: Iterator[int] = iter(numbers)

    def number(self, count: int) -> int:
        """One of the first numbers."""
        return next(self._numbers, 0) % count

    def among(self, choices: Sequence[Any]) -> Any:
        """One of some things."""
        return choices[self.number(len(choices))]

    def chance(self, one_in: int) -> bool:
        """Yes, once in so many times."""
        return self.number(one_in) == one_in - 1


@dataclass
class Happened:
    """What can be seen of a scenario: in order, what calls returned or raised, the tables after each, what was held."""

    text: list[str] = field(default_factory=list)
    seen: list[tuple[str, Any]] = field(default_factory=list)

    def note(self, what: str, value: Any) -> None:
        """One more thing to compare."""
        self.seen.append((what, value))


class Scenario:
    """A program of a few tables, and its calls."""

    def __init__(self, numbers: Sequence[int], backend: str) -> None:
        self.choose = Choices(numbers)
        self.backend = backend
        self.happened = Happened()
        self.held: list[tuple[Array, Array]] = []
        choose = self.choose
        self.dtype = choose.among(DTYPES)
        self.width = choose.among(WIDTHS)
        count = 1 + choose.number(3)
        rows = choose.among(ROWS)
        self.rows = [rows if not choose.chance(4) else choose.among(ROWS) for _ in range(count)]
        self.tables = [shared(self.array(n, self.width), name=f"w{i}") for i, n in enumerate(self.rows)]
        self.i, self.j, self.k = T.lvector("i"), T.lvector("j"), T.lscalar("k")
        self.v, self.a = T.matrix("v", dtype=self.dtype), T.matrix("a", dtype=self.dtype)
        self.e, self.s = T.vector("e", dtype=self.dtype), T.scalar("s", dtype=self.dtype)
        self.big = T.dvector("big")
        self.pool: list[Variable] = [*self.tables, self.a]
        self.function = self.compiled()

    def array(self, *shape: int) -> Array:
        """Small whole numbers."""
        start = self.choose.number(7)
        found = (np.arange(np.prod(shape)) * 3 + start) % 8 - 3
        return found.reshape(shape).astype(self.dtype)

    # ---- the program ----

    def compiled(self) -> Function:
        """A function that updates some tables and returns what it has read."""
        choose = self.choose
        outputs: list[Any] = [self.big[0], *(w.shape[0] for w in self.tables)]  # so that it has all tables
        news = [self.chain(w) for w in self.tables if not choose.chance(5)]
        targets = [w for w, new in zip(self.tables, news, strict=False)]
        for _ in range(choose.number(4)):
            outputs.append(self.output())
        inputs = [self.i, self.j, self.k, self.v, self.a, self.e, self.s, self.big]
        self.happened.text += [f"dtype {self.dtype}, tables of {self.rows} rows of {self.width}"]
        self.happened.text += [f"output {x}" for x in map(pp, outputs)]
        self.happened.text += [f"update {w}: {pp(new)}" for w, new in zip(targets, news, strict=True)]
        updates = list(zip(targets, news, strict=True))
        return function(inputs, outputs, updates=updates, backend=self.backend, on_unused_input="ignore")

    def chain(self, table: Variable) -> Variable:
        """A table, or something like it, with a few updates of a part."""
        choose = self.choose
        x: Variable = choose.among(self.pool) if choose.chance(8) else table
        for _ in range(1 + choose.number(3)):
            x = self.updated(x)
            self.pool.append(x)
        return x

    def updated(self, x: Variable) -> Variable:
        """A table with other elements somewhere."""
        choose = self.choose
        places: list[Callable[[], tuple[Any, tuple[int, ...]]]] = [
            lambda: (x[self.i], (0, 1, 2)),
            lambda: (x[self.j], (0, 1)),
            lambda: (x[self.k], (0, 1)),
            lambda: (x[choose.number(3) - 1], (0, 1)),
            lambda: (x[self.k :], (0, 1)),
            lambda: (x[1:3], (0, 1)),
            lambda: (x[::-2], (0, 1)),
            lambda: (x[: self.k, 0], (0,)),
            lambda: (x[self.i, 0], (0,)),
            lambda: (x[:], (0, 1, 3)),
            lambda: (x[x > 1] if self.dtype != "bool" else x[x], (0,)),
        ]
        place, ranks = choose.among(places)()
        value = self.value(choose.among(ranks))
        write = T.set_subtensor if self.dtype == "bool" or choose.chance(2) else T.inc_subtensor
        return write(place, value)

    def value(self, kind: int) -> Variable:
        """A number, a row, rows for the first index, or a whole table."""
        choose = self.choose
        t = choose.among(self.pool)
        kinds: list[list[Callable[[], Variable]]] = [
            [lambda: self.s, lambda: t.max(), lambda: t.sum(), lambda: t[self.k, 0], lambda: T.constant(self.array())],
            [lambda: self.e, lambda: t[self.k], lambda: t.sum(axis=0), lambda: t[-1], lambda: t.max(axis=0)],
            [lambda: self.v, lambda: t[self.i], lambda: t[self.j], lambda: t[self.i] + self.e],
            [lambda: t, lambda: self.either(t), lambda: t.reshape((-1, self.width))],
        ]
        x = choose.among(kinds[kind])()
        if self.dtype == "bool":
            truth: Variable = x if x.dtype == "bool" else T.gt(x, 1)
            return truth
        bounded: Variable = T.clip(x, -9, 9) if choose.chance(2) or x.dtype != self.dtype else x % 8
        return T.cast(bounded, self.dtype)

    def either(self, t: Variable) -> Variable:
        """The result of a branch."""
        return ifelse(self.k > 1, t, self.choose.among(self.pool))

    def output(self) -> Variable:
        """Something that is read of a table, be it an old one or a new one."""
        t = self.choose.among(self.pool)
        reads: list[Callable[[], Variable]] = [
            lambda: t, lambda: t[self.i], lambda: t.sum(), lambda: t[self.k], lambda: t.max(axis=0), lambda: t[1:],
            lambda: t[self.k, 0], lambda: self.either(t), lambda: t.reshape((-1,)), lambda: t.T,
            lambda: T.dot(t[:2], t.T) if self.dtype.startswith("float") else t[:2], lambda: T.concatenate([t, t[:1]]),
        ]  # fmt: skip
        made: Variable = self.choose.among(reads)()
        return made

    # ---- its calls ----

    def run(self) -> Happened:
        """A few calls, with things done between them."""
        for call in range(2 + self.choose.number(4) + 8 * self.choose.chance(6)):
            for _ in range(self.choose.number(3)):
                self.meddle()
            self.call(call)
        return self.happened

    def meddle(self) -> None:
        """Hold a table, let go, put something else there, or go on with another function."""
        choose = self.choose
        number = choose.number(len(self.tables))
        w: Any = self.tables[number]
        value = w.get_value(borrow=True)
        what = choose.among(("hold", "view", "let go", "let go", "put", "put", "both", "swap", "copy", "pickle"))
        self.happened.text.append(f"{what} {w}")
        if what in ("hold", "view"):
            held = value if what == "hold" else value[1:]
            self.held.append((held, held.copy()))
        elif what == "let go":
            self.held.clear()
        elif what == "both":
            w.set_value(self.tables[choose.number(len(self.tables))].get_value(borrow=True), borrow=True)
        elif what == "swap":
            self.held.append((value, value.copy()))
            self.tables[number] = shared(value, name=w.name, borrow=choose.chance(2))
            self.function = self.function.copy(swap={w: self.tables[number]})
        elif what == "copy":
            self.function = self.function.copy()
        elif what == "pickle":
            self.held.append((value, value.copy()))
            self.function, self.tables = pickle.loads(pickle.dumps((self.function, self.tables)))
        else:
            new = self.array(choose.among(ROWS) if choose.chance(4) else self.rows[number], self.width)
            w.set_value(self.odd(new), borrow=True)

    def odd(self, x: Array) -> Array:
        """The same elements in some form of array."""
        forms: list[Callable[[], Array]] = [
            lambda: x,
            lambda: np.asfortranarray(x),
            lambda: np.repeat(x, 2, axis=0)[::2],
            lambda: x.astype(x.dtype.newbyteorder()),
            lambda: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
            lambda: np.vstack([x, x])[: len(x)],
        ]
        found: Array = self.choose.among(forms)()
        if self.choose.chance(4):
            found.flags.writeable = False
        self.held.append((found, found.copy()) if self.choose.chance(2) else (SMALL, SMALL))
        return found

    def call(self, number: int) -> None:
        """One call."""
        choose = self.choose
        least = min((len(w.get_value(borrow=True)) for w in self.tables), default=1)
        length = choose.among(LENGTHS) if least else 0
        span = max(least, 1)
        i, j = (np.array([choose.number(2 * span) - span for _ in range(length)], np.int64) for _ in "ij")
        k = choose.number(span)
        if choose.chance(5):
            wrong = choose.among((7, -9, 10**12, least))
            if choose.chance(2):
                k = wrong
            elif length:
                i[-1] = wrong
        own = choose.chance(4)
        a = choose.among(self.tables).get_value(borrow=True) if own else self.array(self.rows[0], self.width)
        v = self.array(1 if choose.chance(4) else length, self.width)
        big = LARGE if choose.chance(4) else SMALL
        e, s = self.array(self.width), self.array()
        self.happened.text.append(f"call {number}: i={i.tolist()} j={j.tolist()} k={k} own={own} large={len(big) > 1}")
        try:
            found: Any = self.function(i, j, k, v, a, e, s, big)
        except Exception as error:
            found = error
        del a
        self.happened.note(f"call {number}", found)
        for w in self.tables:
            self.happened.note(f"{w} after call {number}", w.get_value())
        for held, before in self.held:
            self.happened.note("held", held.copy())
            assert np.array_equal(held, before), "what is held has changed"

