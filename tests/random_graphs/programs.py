"""Random programs: typed graphs over the declared ops, with the values they are run on.

A program grows node by node. The value of every node is computed as soon as it is made, in every *world* (a choice of
sizes and values for the leaves), so that most of what is drawn next is valid, and it is known which node fails.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

import graphc
import graphc.tensor as T
from graphc import dtypes
from graphc.errors import UndefinedGradientError
from graphc.evaluator import value_of
from graphc.graph.variable import Constant, Variable
from graphc.ifelse import ifelse
from graphc.ops.declare import ELEMENTWISE
from graphc.ops.reduction import KINDS

DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "float32", "float64", "complex128")
LIKELY = ("float64", "float64", "float64", "float32", "int64", "bool")
LABELS = ("n", "m", "k")
WORLDS = 2
# Larger results are not followed up: exp(exp(x)) * arange(10**6) tells nothing new.
LARGEST = 400

# Values small enough that sums of them are exact in any order, and values at the edges.
ORDINARY = (0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 1.5, 0.25)
EDGES = (np.nan, np.inf, -np.inf, -0.0, 1e-20, 700.0, -800.0, 5e-324)


@dataclass(eq=False)
class Program:
    """What is compiled, and what it is run on.

    values: for each world the arrays of the inputs; state: for each world the values of the shared variables;
    failing: for each world the exceptions of the nodes that raise, by node output; facts: what the program contains.
    """

    inputs: list[Variable] = field(default_factory=list)
    shared: list[Any] = field(default_factory=list)
    outputs: list[Variable] = field(default_factory=list)
    updates: list[tuple[Any, Variable]] = field(default_factory=list)
    values: list[dict[Variable, Any]] = field(default_factory=lambda: [{} for _ in range(WORLDS)])
    failing: list[dict[Variable, Exception]] = field(default_factory=lambda: [{} for _ in range(WORLDS)])
    facts: set[str] = field(default_factory=set)

    def arguments(self, world: int) -> list[np.ndarray]:
        return [self.values[world][x] for x in self.inputs]

    def __repr__(self) -> str:
        lines = [f"inputs {[(x, x.type) for x in self.inputs]}", f"shared {[(s, s.type) for s in self.shared]}"]
        lines += [graphc.debugprint(x, file="str") for x in self.outputs]
        lines += [f"update {target}:\n{graphc.debugprint(new, file='str')}" for target, new in self.updates]
        for world in range(WORLDS):
            given = {x: (v.shape, v.strides, v.tolist()) for x, v in self.values[world].items() if x.owner is None}
            lines.append(f"world {world}: { {x: v for x, v in given.items() if not isinstance(x, Constant)} }")
        return "\n".join(lines)


class Nothing(Exception):
    """What was to be built has no operands in this program."""


class Builder:
    """Draws a program."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self._draw = draw
        self.program = Program()
        self.pool: list[Variable] = []
        self.leaves: list[tuple[str, list[str], list[set[int]]]] = []
        # Every world has its sizes; a leaf's axis may be 1 where the others are n.
        self.sizes = [{label: self.among(0, 1, 2, 3, 3, 4) for label in LABELS} for _ in range(WORLDS)]

    # ---- drawing ----

    def number(self, low: int, high: int) -> int:
        return int(self._draw(st.integers(low, high)))

    def chance(self, percent: int) -> bool:
        return self.number(0, 99) >= 100 - percent  # 0, to which examples shrink, is no

    def among(self, *choices: Any) -> Any:
        return choices[self.number(0, len(choices) - 1)]

    def find(self, test: Callable[[Variable], bool] = lambda x: True) -> Variable | None:
        """A variable of the pool, rather a late one; None if no one passes the test."""
        found = [x for x in self.pool if test(x)]
        return found[-1 - min(self.number(0, len(found) - 1), self.number(0, len(found) - 1))] if found else None

    def pick(self, test: Callable[[Variable], bool] = lambda x: True) -> Variable:
        """A variable of the pool; Nothing if no one passes the test."""
        found = self.find(test)
        if found is None:
            raise Nothing
        return found

    def shapes(self, x: Variable) -> list[tuple[int, ...] | None]:
        return [np.shape(v[x]) if x in v else None for v in self.program.values]

    # ---- leaves ----

    def array(self, dtype: str, shape: tuple[int, ...], salt: int) -> np.ndarray:
        """Values of one dtype, a function of what was drawn."""
        rng = np.random.default_rng([self.seed, salt])
        data: np.ndarray[Any, Any]
        if dtype == "bool":
            data = rng.random(shape) < 0.5
        elif dtypes.is_discrete(dtype):
            data = rng.integers(0 if dtype == "uint8" else -3, 4, shape)
        else:
            data = rng.choice(ORDINARY, shape)
            if self.style != "dyadic":
                data = data + rng.normal(size=shape) * 0.3
            if self.style == "edges":
                data = np.where(rng.random(shape) < 0.3, rng.choice(EDGES, shape), data)
            if dtype == "complex128":
                data = data + 1j * rng.choice(ORDINARY, shape)
        with np.errstate(all="ignore"):
            return np.asarray(data).astype(dtype)

    def laid_out(self, array: np.ndarray, layout: str) -> np.ndarray:
        """The same values in another layout in memory."""
        if layout == "fortran":
            return np.asfortranarray(array)
        if layout == "strided" and array.ndim:
            return np.repeat(array, 2, axis=-1)[..., ::2]
        if layout == "reversed" and array.ndim:
            return np.ascontiguousarray(array[::-1])[::-1]
        if layout == "broadcast" and array.ndim and array.shape[0]:
            return np.broadcast_to(array[:1], array.shape)
        if layout == "readonly":
            array = array.copy()
            array.flags.writeable = False
        return array

    def leaf(self, kind: str, dtype: str | None = None) -> Variable:
        program = self.program
        layout = self.among("c", "c", "fortran", "strided", "reversed", "broadcast", "readonly")
        if self.leaves and dtype is None and self.chance(35):
            dtype, labels, ones = self.among(*self.leaves)  # like another one, so that the two may share memory
        else:
            dtype = dtype or self.among(*(LIKELY if self.chance(70) else DTYPES))
            labels = [self.among(*LABELS, "n", "n") for _ in range(self.among(0, 1, 1, 2, 2, 3))]
            ones = [{axis for axis in range(len(labels)) if self.chance(12)} for _ in range(WORLDS)]
        self.leaves.append((dtype, labels, ones))
        salt = len(program.values[0])
        shapes = [
            tuple(1 if axis in ones[w] else self.sizes[w][label] for axis, label in enumerate(labels))
            for w in range(WORLDS)
        ]
        arrays = [self.laid_out(self.array(dtype, shape, salt), layout) for shape in shapes]
        name = self.among(None, f"{kind[0]}{salt}", "x", "t0", "lambda")
        if kind == "input":
            x = T.tensor(dtype, shape=[None] * len(labels), name=name)
            program.inputs.append(x)
        elif kind == "shared":
            x = graphc.shared(arrays[0], name=name)
            program.shared.append(x)
        else:
            constant = T.constant(arrays[0], name=name)
            assert isinstance(constant, Constant)
            x, arrays = constant, [constant.data] * WORLDS
        for w, array in enumerate(arrays):
            program.values[w][x] = array
        self.pool.append(x)
        return x

    def alias(self) -> None:
        """Give an input the memory of another: the same array, a view of it, or the array of a shared variable."""
        program = self.program
        for x in program.inputs:
            for other in (*program.inputs, *program.shared):
                if x is other or x.dtype != other.dtype or x.ndim != other.ndim or not self.chance(50):
                    continue
                for values in program.values:
                    array = values[other]
                    if array.shape == values[x].shape:
                        values[x] = array[::-1] if array.ndim and self.chance(50) else array
                        program.facts.add("aliasing inputs")

    # ---- nodes ----

    def add(self, *made: Variable | None) -> None:
        """Put new expressions into the pool, with their values."""
        for x in made:
            if x is None or x.ndim > 4:
                continue
            self.compute(x)
            sizes = [np.size(v[x]) for v in self.program.values if x in v]
            if x not in self.pool and all(n <= LARGEST for n in sizes):
                self.pool.append(x)

    def compute(self, x: Variable) -> None:
        from graphc.graph.traverse import toposort

        for values, failing in zip(self.program.values, self.program.failing, strict=True):
            for node in toposort([x], stop=values):
                missing = [y for y in node.inputs if isinstance(y, Constant) and y not in values]
                values.update((y, y.data) for y in missing)
                if node.op.lazy:
                    # A branch that fails does no harm unless it is taken.
                    if node.inputs[0] not in values:
                        continue
                    taken = bool(values[node.inputs[0]])
                    given = [values.get(y) if node.op.branch_of(node, i) in (None, taken) else None
                             for i, y in enumerate(node.inputs)]  # fmt: skip
                    needed = [y for i, y in enumerate(node.inputs) if node.op.branch_of(node, i) in (None, taken)]
                else:
                    given = [values.get(y) for y in node.inputs]
                    needed = list(node.inputs)
                if any(y not in values for y in needed):
                    continue
                try:
                    with np.errstate(all="ignore"):
                        results = value_of(node, given)
                except Exception as error:
                    failing.update(dict.fromkeys(node.outputs, error))
                else:
                    values.update(zip(node.outputs, results, strict=True))

    def step(self) -> None:
        """One more expression, if the one that is drawn can be built."""
        try:
            made = self.among(*STEPS)(self)
        except (Nothing, TypeError, ValueError, IndexError, UndefinedGradientError):
            return  # refused when it was written: no program
        self.add(*(made if isinstance(made, list) else [made]))

    # ---- the whole ----

    def build(self) -> Program:
        program = self.program
        self.seed = self.number(0, 2**16)
        self.style = self.among("dyadic", "general", "edges")
        self.leaf("input", "float64" if self.chance(60) else None)
        for _ in range(self.number(0, 3)):
            self.leaf(self.among("input", "input", "shared", "constant"))
        for _ in range(self.number(2, 12)):
            self.step()
        self.alias()
        if self.chance(40) and not program.shared:
            self.leaf("shared", "float64")
        # Aliasing changed values: everything is computed anew.
        leaves = {*program.inputs, *program.shared}
        for w, values in enumerate(program.values):
            program.values[w] = {x: v for x, v in values.items() if x in leaves}
            program.failing[w] = {}
        for x in self.pool:
            self.compute(x)
        for _ in range(self.number(1, 3)):
            program.outputs.append(self.pool[-1 - self.number(0, len(self.pool) - 1)])
        for target in program.shared:
            new = self.find(partial(_can_become, target))
            if new is not None and self.chance(80):
                new = T.cast(new, target.dtype)
                self.compute(new)
                program.updates.append((target, new))
                program.facts.add("updates")
        if self.chance(50):
            fails = [x for x in self.pool if all(x not in v for v in program.values)]
            program.outputs += fails[:1]
        return program


def fits(builder: Builder, x: Variable) -> Callable[[Variable], bool]:
    """Whether a variable broadcasts against x, in the worlds where both have values."""

    def test(y: Variable) -> bool:
        for a, b in zip(builder.shapes(x), builder.shapes(y), strict=True):
            if (
                a is not None
                and b is not None
                and any(n != m and 1 not in (n, m) for n, m in zip(a[::-1], b[::-1], strict=False))
            ):
                return False
        return True

    return test


def operand(b: Builder, x: Variable) -> Any:
    """Something to combine with x: mostly what fits, a Python number, rarely anything."""
    if b.chance(15):
        return b.among(1, 2, 0, -1, 0.5, 1.0, -2.0, 3)
    return b.pick() if b.chance(4) else b.pick(fits(b, x))


NAMES = sorted(ELEMENTWISE)
COMMON = ("add", "sub", "mul", "true_div", "neg", "exp", "log", "sqr", "switch", "maximum", "sigmoid", "lt", "eq")


def elementwise(b: Builder) -> Any:
    op = ELEMENTWISE[b.among(*(COMMON if b.chance(60) else NAMES))]
    x = b.pick()
    return op(x, *(operand(b, x) for _ in range(op.nin - 1)))


def reduction(b: Builder) -> Any:
    x = b.pick(lambda x: x.ndim > 0)
    name = b.among(*KINDS, "mean", "var", "argmax", "argmin", "norm")
    axis = b.among(None, 0, -1, tuple(range(x.ndim)))
    keepdims = bool(b.number(0, 1))
    if name == "norm":
        return x.norm(2, axis)
    if name.startswith("arg"):
        return getattr(x, name)(b.among(None, 0, -1), keepdims)
    return getattr(T, name)(x, axis=axis, keepdims=keepdims)


def shaped(b: Builder) -> Any:
    x = b.pick()
    kind = b.among(
        "T", "dimshuffle", "expand", "reshape", "flatten", "like", "alloc", "shape", "copy", "cast", "arange"
    )
    if kind == "T":
        return x.T
    if kind == "dimshuffle":
        return x.dimshuffle("x", *reversed(range(x.ndim)))
    if kind == "expand":
        return T.expand_dims(x, b.number(0, x.ndim))
    if kind == "reshape":
        return x.reshape((x.shape[0], -1)) if x.ndim and b.chance(50) else x.reshape((-1, b.among(1, 1, 2)))
    if kind == "flatten":
        return x.flatten()
    if kind == "like":
        return b.among(T.zeros_like, T.ones_like)(x)
    if kind == "alloc":
        size = b.find(lambda y: y.ndim > 0)
        return T.alloc(x, *[size.shape[0] if size is not None else 2, *x.shape] if x.ndim else [2, b.number(0, 3)])
    if kind == "shape":
        return x.shape if b.chance(50) and x.ndim else x.size
    if kind == "copy":
        return x.copy()
    if kind == "cast":
        return T.cast(x, b.among(*DTYPES))
    return T.arange(x.shape[0]) if x.ndim else T.arange(b.number(0, 4))


def joined(b: Builder) -> Any:
    x = b.pick()
    y = b.pick(lambda y: y.ndim == x.ndim and fits(b, x)(y))
    if b.chance(50) or not x.ndim:
        return T.stack([x, y], axis=b.number(0, x.ndim))
    return T.concatenate([x, y, x][: b.number(1, 3)], axis=b.number(0, x.ndim - 1))


def index(b: Builder, x: Variable) -> Any:
    kind = b.among("int", "slice", "slice", "array", "mask", "pair", "input")
    if kind == "int":
        return b.number(-3, 3)
    if kind == "slice":
        ends = [None, 0, 1, 2, -1, -2, 5]
        return slice(b.among(*ends), b.among(*ends), b.among(None, 1, 2, -1))
    if kind == "array":
        return b.among([0, 0], [1, -1], [0], [[0, 1], [1, 0]])
    if kind == "mask":
        return b.pick(
            lambda m: m.dtype == "bool" and 0 < m.ndim <= x.ndim and b.shapes(m)[0] == (b.shapes(x)[0] or ())[: m.ndim]
        )
    if kind == "pair":
        return (b.number(-2, 2), slice(None, b.among(None, 1, 2)))
    return b.pick(lambda i: i.dtype in ("int64", "int32", "int8", "uint8") and i.ndim <= 1)


def indexed(b: Builder) -> Any:
    x = b.pick(lambda x: x.ndim > 0)
    return x[index(b, x)]


def written(b: Builder) -> Any:
    x = b.pick(lambda x: x.ndim > 0)
    where = index(b, x)
    part = x[where]
    b.add(part)
    y = b.pick(lambda y: y.dtype == x.dtype and y.ndim <= part.ndim and fits(b, part)(y)) if b.chance(70) else 1
    return (T.set_subtensor if b.chance(50) else T.inc_subtensor)(part, y)


def product(b: Builder) -> Any:
    x = b.pick(lambda x: 0 < x.ndim <= 2)
    if b.chance(20):
        return T.outer(x.flatten(), x.flatten())
    y = b.find(lambda y: 0 < y.ndim <= 2 and all(
        p is None or q is None or p[-1] == q[0] for p, q in zip(b.shapes(x), b.shapes(y), strict=True)))  # fmt: skip
    return T.dot(x, x.T) if y is None else T.dot(x, y)


def network(b: Builder) -> Any:
    x = b.pick(lambda x: x.ndim > 0 and not dtypes.is_complex(x.dtype))
    make = b.among(T.nnet.softmax, T.nnet.logsoftmax, T.logsumexp)
    return make(x, axis=b.number(-1, x.ndim - 1))


def stable_form(b: Builder) -> Any:
    """The formulas that stabilising rules look for."""
    x = b.pick(lambda x: dtypes.is_float(x.dtype))
    form = b.number(0, 9)
    e = T.exp(x)
    if form == 0:
        return T.log(1 + e)
    if form == 1:
        return 1 / (1 + T.exp(-x))
    if form == 2:
        return T.log(1 - T.nnet.sigmoid(x))
    if form == 3:
        return e / e.sum(axis=-1, keepdims=True) if x.ndim else e / (e + 1)
    if form == 4:
        return T.log(e.sum(axis=0)) if x.ndim else T.log(e + e)
    if form == 5:
        return 1 - e
    if form == 6:
        return T.log(1 + x) - T.log(1 - x)
    if form == 7:
        return x ** b.among(2, 3, 1, -1, -2, 0.5)
    if form == 8:
        return -(x - b.among(0, 1, 0.0)) * b.among(1, -1, 1.0)
    return T.log(T.nnet.softmax(x, axis=-1)) if x.ndim else T.log(T.nnet.sigmoid(x))


def choice(b: Builder) -> Any:
    condition = b.find(lambda c: c.ndim == 0 and not dtypes.is_complex(c.dtype))
    if condition is None:
        x = b.pick(lambda x: x.dtype in ("float64", "int64"))
        condition = (x.sum() if x.ndim else x) > b.among(0, 1, -1)
        b.add(condition)
    first = b.pick()
    second = b.pick(lambda y: y.ndim == first.ndim)
    if b.chance(30):
        return ifelse(condition, [first, second], [second, first])
    return ifelse(condition, first, second)


def derivative(b: Builder) -> Any:
    y = b.pick(lambda y: dtypes.is_float(y.dtype) and y.owner is not None)
    leaves = [x for x in b.pool if x.owner is None and not isinstance(x, Constant) and dtypes.is_float(x.dtype)]
    if not leaves:
        raise Nothing
    return T.grad(y.sum() if y.ndim else y, leaves[: b.number(1, 2)], disconnected_inputs="ignore")


STEPS: tuple[Callable[[Builder], Any], ...] = (
    elementwise, elementwise, elementwise, elementwise, elementwise, reduction, shaped, shaped, joined, indexed,
    written, product, network, stable_form, stable_form, choice, derivative, derivative, derivative,
)  # fmt: skip


@st.composite
def programs(draw: Callable[[Any], Any]) -> Program:
    """Random programs."""
    return Builder(draw).build()


def stable_seed(text: str) -> int:
    """A seed that is a function of the text in every process."""
    return zlib.crc32(text.encode())


def _can_become(target: Variable, x: Variable) -> bool:
    """Whether a new value of a shared variable can be made of `x`."""
    return x.ndim == target.ndim and not dtypes.is_complex(x.dtype)
