"""A small program for every declared elementwise op, every reduction along every axes, and every way to index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import graphc.tensor as T
from graphc.ops.declare import ELEMENTWISE
from tests.kernels.programs import Program
from tests.ops.arrays import tensor

REDUCTIONS = {"sum": T.sum, "prod": T.prod, "max": T.max, "min": T.min, "any": T.any, "all": T.all, "mean": T.mean}
ALONG: dict[str, Any] = {"all": None, "rows": 0, "columns": 1, "both": (0, 2)}
REDUCED = ("float32", "float64", "int8", "int64", "uint16", "bool")


def elementwise() -> Iterator[Program]:
    """Each op on the first of some dtypes that it has."""
    for op in ELEMENTWISE.values():
        for dtype in ("float32", "int32", "bool"):
            try:
                op.make_node(*(tensor(dtype, 1, "x") for _ in range(op.nin)))
            except TypeError:
                continue
            yield Program(op.name, " ".join("n" * op.nin), lambda *given, op=op: op(*given), " ".join([dtype] * op.nin))
            break


def reductions() -> Iterator[Program]:
    """Each reduction of each dtype, along rows, columns or everything."""
    for name, reduction in REDUCTIONS.items():
        for dtype in REDUCED if name != "mean" else ("float32",):
            for along, axis in ALONG.items():
                shape = "nmk" if along == "both" else "nm"
                build = lambda x, axis=axis, reduction=reduction: reduction(x, axis=axis)
                yield Program(f"{name}_of_{dtype}_along_{along}", shape, build, dtype)


INDEXING = (
    Program("row", "nm", lambda x: x[1] + x[-1]),
    Program("column", "nm", lambda x: x[:, 0] * 2),
    Program("rows_from_to", "nm", lambda x: x[1:-1] + 1),
    Program("backwards", "nm", lambda x: x[::-1, ::-1] * 2, "float32"),
    Program("every_other", "nm", lambda x: x[::2, 1::2] * 2),
    Program("row_of_number", "nm -", lambda x, y: x[y % x.shape[0]] * 2, "float64 int64"),
    Program("taken", "nm k", lambda x, y: x[:, y] * 2, "float32 int64"),
    Program("taken_by_two", "nm k k", lambda x, y, z: x[y, z] * 2, "float64 int64 int64"),
    Program("set_rows", "nm m", lambda x, y: T.set_subtensor(x[1:], y)),
    Program("set_element", "nm -", lambda x, y: T.set_subtensor(x[0, 0], y)),
    Program("add_to_rows", "nm m", lambda x, y: T.inc_subtensor(x[::2], y), "float32 float32"),
    Program("add_to_taken", "nm k", lambda x, y: T.inc_subtensor(x[y], 1.0), "float32 int64"),
    Program("add_to_integers", "nm k", lambda x, y: T.inc_subtensor(x[y], 1), "int16 int64"),
    Program("set_taken", "nm k", lambda x, y: T.set_subtensor(x[y], 1.0), "float64 int64"),
    Program("set_taken_by_two", "nm k k", lambda x, y, z: T.set_subtensor(x[y, z], 2.0), "float64 int64 int64"),
    Program("counted", "n", lambda x: T.arange(x.shape[0]) * x),
    Program("joined", "nm nm", lambda x, y: T.concatenate([x, y * 2], axis=0)),
    Program("stacked", "nm nm", lambda x, y: T.stack([x, y])),
)

FORMS = (*elementwise(), *reductions(), *INDEXING)
