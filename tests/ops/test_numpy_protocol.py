"""NumPy's own functions and operators on symbolic arrays build nodes; those that cannot say so."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.compile.function import function
from graphc.graph.variable import Variable
from graphc.ops.declare import ELEMENTWISE
from tests.ops.arrays import check, numbers, tensor

x1, x2 = numbers(4), numbers(3, 4)
UFUNCS = {op.numpy: op for op in ELEMENTWISE.values() if op.numpy and isinstance(getattr(np, op.numpy, None), np.ufunc)}

# Calls that read the same with arrays and with symbols.
CALLS: dict[str, Callable[..., Any]] = {
    "array + x": lambda x: x1 + x,
    "array - x": lambda x: x1 - x,
    "array * x": lambda x: x1 * x,
    "array / x": lambda x: x1 / x,
    "array // x": lambda x: x1 // x,
    "array % x": lambda x: x1 % x,
    "array ** x": lambda x: np.abs(x1) ** x,
    "array < x": lambda x: x1 < x,
    "array >= x": lambda x: x1 >= x,
    "array @ x": lambda x: x2.T @ x,
    "x @ array": lambda x: x @ x1,
    "NumPy scalar * x": lambda x: np.float64(2.5) * x,
    "x - NumPy scalar": lambda x: x - np.float64(2.5),
    "list + x": lambda x: [1.0, 2, 3, 4] + x,  # noqa: RUF005 -- an array's sum
    "np.exp": np.exp,
    "np.sqrt": lambda x: np.sqrt(np.abs(x)),
    "np.maximum": lambda x: np.maximum(x, 0),
    "np.clip": lambda x: np.clip(x, -1, 1),
    "np.where": lambda x: np.where(x > 0, x, 0),
    "np.matmul": lambda x: np.matmul(x, x1),
    "np.logaddexp": lambda x: np.logaddexp(x, x1),
    "np.isnan": np.isnan,
    "np.divmod": lambda x: np.stack(divmod(x, 2)),
    "np.sum": np.sum,
    "np.sum(axis)": lambda x: np.sum(x, axis=0),
    "np.sum(axis, keepdims)": lambda x: np.sum(x, axis=-1, keepdims=True),
    "np.prod": lambda x: np.prod(x, 1),
    "np.mean": lambda x: np.mean(x, axis=0),
    "np.std": lambda x: np.std(x, axis=1),
    "np.var(ddof)": lambda x: np.var(x, ddof=1),
    "np.max": lambda x: np.max(x, axis=0),
    "np.amin": lambda x: np.amin(x, axis=(0, 1)),
    "np.any": lambda x: np.any(x > 0, axis=1),
    "np.all": lambda x: np.all(x > 0),
    "np.argmax": lambda x: np.argmax(x, axis=1),
    "np.dot": lambda x: np.dot(x, x1),
    "np.concatenate": lambda x: np.concatenate([x, x2]),
    "np.concatenate(axis)": lambda x: np.concatenate((x2, x), axis=1),
    "np.stack": lambda x: np.stack([x, x2], axis=-1),
    "np.transpose": np.transpose,
    "np.transpose(axes)": lambda x: np.transpose(x, (1, 0)),
    "np.reshape": lambda x: np.reshape(x, (2, 6)),
    "np.ravel": np.ravel,
    "np.squeeze": lambda x: np.squeeze(x[:1], axis=0),
    "np.expand_dims": lambda x: np.expand_dims(x, 1),
    "np.swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "np.broadcast_to": lambda x: np.broadcast_to(x, (2, 3, 4)),
    "np.zeros_like": np.zeros_like,
    "np.ones_like": np.ones_like,
    "np.full_like": lambda x: np.full_like(x, 7),
    "np.shape": lambda x: np.shape(x)[1] * x,
    "np.round": np.round,
    "np.outer": lambda x: np.outer(x[0], x1),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_of_numpy_builds_nodes(name: str, backend: str) -> None:
    call = CALLS[name]
    x = tensor("float64", 2)
    out = call(x)
    assert isinstance(out, Variable)
    with np.errstate(all="ignore"):
        want = np.asarray(call(x2))
    check(function([x], out, backend=backend)(x2), want, 8)


@pytest.mark.parametrize("name", UFUNCS)
def test_every_ufunc_that_an_op_names(name: str) -> None:
    op = UFUNCS[name]
    dtype = "int64" if name.startswith("bitwise") or name == "invert" else "float64"
    inputs = [tensor(dtype, 1) for _ in range(op.nin)]
    node = getattr(np, name)(*inputs).owner
    assert node.op is op
    assert list(node.inputs) == inputs


@pytest.mark.parametrize(
    "name, call",
    [
        ("np.cbrt", lambda x: np.cbrt(x)),
        ("np.add.reduce", lambda x: np.add.reduce(x)),
        ("np.multiply.outer", lambda x: np.multiply.outer(x, x)),
        ("np.exp", lambda x: np.exp(x, out=np.zeros(3))),
        ("np.exp", lambda x: np.exp(x, where=[True])),
        ("np.frexp", lambda x: np.frexp(x)),
        ("np.median", lambda x: np.median(x)),
        ("np.sort", lambda x: np.sort(x)),
        ("np.fft", lambda x: np.fft.fft(x)),
        ("np.einsum", lambda x: np.einsum("ij->i", x)),
        ("np.linalg.inv", lambda x: np.linalg.inv(x)),
        ("np.sum", lambda x: np.sum(x, out=np.zeros(()))),
        ("np.sum", lambda x: np.sum(x, where=x > 0)),
        ("np.round", lambda x: np.round(x, 2)),
        ("np.linalg.norm", lambda x: np.linalg.norm(x, 1)),  # of a matrix, that is not T.norm(x, 1)
        ("np.var", lambda x: np.var(x, 0, "float32")),  # the third argument is no ddof
        ("np.vecdot", lambda x: np.vecdot(x, x)),
    ],
)
def test_what_is_not_supported_is_named(name: str, call: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=name.replace(".", r"\.")):
        call(tensor("float64", 2))


def test_a_symbol_is_no_array() -> None:
    x = tensor("float64", 1, "x")
    for convert in (np.array, np.asarray, np.ascontiguousarray):
        with pytest.raises(TypeError, match="x is symbolic and has no values"):
            convert(x)
    numbers: tuple[Callable[..., Any], ...] = (float, int, complex, operator.index, bool, len)
    for convert in numbers:
        with pytest.raises(TypeError, match="x"):
            convert(x)


def test_an_array_never_becomes_one_of_objects() -> None:
    x = tensor("float64", 1)
    for out in (x1 * x, x1 + x, np.float32(2) * x, x1 < x, np.maximum(x1, x)):
        assert isinstance(out, Variable)
    array = x1.copy()
    with pytest.raises(TypeError):
        array += x
