"""Programs whose kernels are looked at, and executed in three ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import graphc.tensor as T
from graphc.compile.function import Function, function
from graphc.graph.variable import Variable
from graphc.ifelse import ifelse
from graphc.tensor import nnet
from tests.ops.arrays import tensor

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Program:
    """Expressions of some inputs, whose values are made for small sizes.

    shapes: those of the inputs, in letters; build: the outputs; dtypes: of the inputs, if they are not float64.
    """

    name: str
    shapes: str
    build: Callable[..., Any]
    dtypes: str = ""

    def __str__(self) -> str:
        return self.name

    def variables(self) -> tuple[list[Variable], list[Variable]]:
        """Inputs and outputs."""
        shapes = self.shapes.split()
        dtypes = self.dtypes.split() or ["float64"] * len(shapes)
        inputs = [
            tensor(dtype, 0 if shape == "-" else len(shape), name)
            for shape, dtype, name in zip(shapes, dtypes, "xyzw", strict=False)
        ]
        built = self.build(*inputs)
        return inputs, list(built) if isinstance(built, list | tuple) else [built]

    def function(self, backend: str) -> Function:
        """Compiled.  Rules that reorder sums are off, so that backends agree to the bit where they can."""
        inputs, outputs = self.variables()
        return function(inputs, outputs, backend=backend)

    def values(self, **sizes: int) -> list[Array]:
        """Values of the inputs; a letter is a size, 1 is one."""
        sizes = {"n": 3, "m": 5, "k": 2, "1": 1, **sizes}
        random = np.random.default_rng(7)
        inputs, _ = self.variables()
        made = []
        for x, shape in zip(inputs, self.shapes.split(), strict=True):
            dims = () if shape == "-" else tuple(sizes[letter] for letter in shape)
            if x.dtype == "bool":
                made.append(random.integers(0, 2, dims) > 0)
            elif x.dtype.startswith("float"):
                made.append(random.normal(size=dims).astype(x.dtype))
            else:
                made.append(random.integers(0, min(sizes["n"], sizes["m"], 4), dims).astype(x.dtype))
        return made


def cross_entropy(x: Any, y: Any) -> list[Any]:
    cost = -(y * T.log(nnet.softmax(x))).sum(axis=1).mean()
    return [cost, T.grad(cost, x)]


def labelled(x: Any, y: Any) -> list[Any]:
    """Cross-entropy of class numbers."""
    y = y % x.shape[1]
    cost = -T.log(nnet.softmax(x))[T.arange(y.shape[0]), y].mean()
    return [cost, T.grad(cost, x)]


def scattered(x: Any, y: Any, z: Any) -> list[Any]:
    return [T.inc_subtensor(x[y], z), T.set_subtensor(x[1:], 0.0)]


def layer_norm(x: Any, y: Any, z: Any, w: Any) -> list[Any]:
    centred = x - x.mean(axis=1, keepdims=True)
    scaled = centred / T.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5) * y + z
    return [scaled, *T.grad((scaled * w).sum(), [x, y, z])]


PROGRAMS = [
    Program("map_chain", "nm nm -", lambda x, y, z: T.tanh(x * y + 2 * x - y / 3) * z),
    Program("row_softmax", "nm", lambda x: nnet.softmax(x)),
    Program("cross_entropy", "nm nm", cross_entropy),
    Program("layer_norm", "nm m m nm", layer_norm),
    Program("column_sum", "nm", lambda x: T.exp(x).sum(axis=0)),
    Program("dot_sigmoid", "nm m n", lambda x, y, z: nnet.sigmoid(T.dot(x, y) + z)),
    Program("dot_of_rows", "nm n", lambda x, y: T.dot(y, x) + 1),
    Program("dot_of_a_column", "nm n1", lambda x, y: T.dot(x.T, y.dimshuffle(0)) + 1),
    Program("dot_of_a_row", "nm 1m", lambda x, y: T.dot(y.dimshuffle(1), x.T) + 1),
    Program(
        "column_and_row", "n m nm", lambda x, y, z: z - 0.5 * T.dot(x.dimshuffle(0, "x"), y.dimshuffle("x", 0))
    ),
    Program("column_and_row_computed", "n m", lambda x, y: T.dot(T.exp(x)[:, None], T.exp(y)[None, :]).sum(axis=1)),
    Program("column_and_one_row", "n1 m", lambda x, y: T.dot(x, y.dimshuffle("x", 0)).T),
    Program("dot_of_itself", "n1", lambda x: T.dot(x.dimshuffle(0), x.dimshuffle(0))),
    Program("dot_of_a_number", "n1 -", lambda x, y: T.dot(x, y.dimshuffle("x"))),
    Program("transposes", "nm mn", lambda x, y: [x.T * y, (x + y.T).T, T.exp(x).T]),
    Program("broadcasting", "nm m n1 -", lambda x, y, z, w: (x + y) * z - w),
    Program("row_and_column", "1m n1", lambda x, y: T.exp(x * y).sum(axis=1)),
    Program("middle_axes", "nmkm", lambda x: [x.sum(axis=(1, 2)), T.sqr(x).max(axis=1)]),
    Program("several_reductions", "nm", lambda x: [x.sum(), T.sqr(x).sum(), x.max(), T.prod(x), (x > 0).any()]),
    Program("row_reductions", "nm", lambda x: [x.sum(axis=1), x.min(axis=1), x.max(axis=0)]),
    Program("variance", "nm", lambda x: [T.var(x, axis=1), T.var(x, axis=0)]),
    Program("total_after_rows", "nm", lambda x: T.log(T.exp(x).sum(axis=1)).sum()),
    Program("normalised", "nm", lambda x: x / T.sqrt(T.sqr(x).sum())),
    Program("rank_three", "nmk mk", lambda x, y: [T.tanh(x - y).sum(axis=(0, 1)), (x * y).sum(axis=2)]),
    Program("two_outputs", "nm", lambda x: [T.exp(x), T.exp(x) * 2]),
    Program("scalars", "- -", lambda x, y: [x * y + T.exp(x), x < y]),
    Program("sizes", "nm", lambda x: [x.shape[0] * x.shape[1], x.sum() / x.size]),
    Program("reshaped", "nmk", lambda x: [T.exp(x).reshape((x.shape[0], -1)).sum(axis=1), x.flatten() * 2]),
    Program("product_and_bias", "nm mk k", lambda x, y, z: T.tanh(T.dot(x, y) + z)),
    Program("powers", "n", lambda x: [x**7, x**0.5, x**-2, x**2.5]),
    Program("small_integers", "nm m", lambda x, y: [x + y, x // y, (x * y).sum(axis=0), x.max()], "int8 uint8"),
    Program("truths", "nm nm", lambda x, y: [(x & y).all(axis=1), T.switch(x, 1.5, 2.5), x.sum()], "bool bool"),
    Program("copies", "nm", lambda x: [x, x.T, x.dimshuffle(0, "x", 1)]),
    Program(
        "joined",
        "nm nk nm -",
        lambda x, y, z, s: [
            T.concatenate([x, y, x], axis=1),
            T.concatenate([z, x * 2]),
            T.stack([z, x], axis=1),
            T.stack([s, s + 1]),
        ],
        "float64 float64 float32 float64",
    ),
    Program("filled", "nm -", lambda x, y: [T.alloc(y, x.shape[1], 2), T.zeros_like(x), T.ones_like(x) * y]),
    Program("slices", "nm", lambda x: [x[1:] * 2, x[:, ::-1] + 1, x[:, :2].sum(axis=1)]),
    Program("gather", "nm k", lambda x, y: [T.exp(x[y]), x[:, y].sum(axis=1), x[0, y]], "float64 int64"),
    Program("labels", "nm n", labelled, "float64 int64"),
    Program("scatter", "nm k km", scattered, "float64 int64 float64"),
    Program("counting", "nm", lambda x: x * T.arange(x.shape[1])),
    Program("branches", "- nm", lambda x, y: ifelse(x > 0, T.exp(y), y * 2)),
    Program("places", "nm", lambda x: [x.argmax(axis=1), *T.max_and_argmax(T.sqr(x)), x.argmin(axis=0)]),
    Program("accuracy", "nm n", lambda x, y: T.eq(x.argmax(axis=1), y).mean(), "float64 int64"),
    Program("chained_rows", "nm", lambda x: nnet.softmax(nnet.softmax(x) * 2)),
]  # fmt: skip
