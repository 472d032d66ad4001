"""How the NumPy backend writes each op: a table from op to a line of Python.

Elementwise ops are spelled by the NumPy function they name in their declaration; scalars use Python's operators,
which NumPy's scalars answer to ten times faster than its functions do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from graphc import dtypes
from graphc.configuration import config
from graphc.graph.op import Op
from graphc.graph.variable import Apply, Constant, Variable
from graphc.ops.bounds import FORGIVEN
from graphc.ops.broadcasting import Alloc, Fill
from graphc.ops.control import IfElse
from graphc.ops.conversion import Cast
from graphc.ops.declare import Elementwise
from graphc.ops.dimshuffle import DimShuffle
from graphc.ops.elementwise import is_root
from graphc.ops.identities import Identity
from graphc.ops.indexing import AdvancedSubtensor, IncSubtensor, Subtensor, entries, is_basic
from graphc.ops.join import Join, Stack
from graphc.ops.matmul import Dot
from graphc.ops.ranges import ARange, Eye
from graphc.ops.reduction import ArgExtremum, Peak, Reduction
from graphc.ops.reshape import Reshape
from graphc.ops.shape import ShapeOf
from graphc.schedule.schedule import Compute, Schedule

# Scalars: NumPy's function -> operator.  There is no ** among them: it rounds differently for scalars and arrays.
OPERATORS: dict[str, str] = {
    "add": "{} + {}", "subtract": "{} - {}", "multiply": "{} * {}", "divide": "{} / {}", "floor_divide": "{} // {}",
    "remainder": "{} % {}", "negative": "-{}", "absolute": "abs({})",
    "less": "{} < {}", "less_equal": "{} <= {}", "greater": "{} > {}", "greater_equal": "{} >= {}",
    "equal": "{} == {}", "not_equal": "{} != {}",
    "bitwise_and": "{} & {}", "bitwise_or": "{} | {}", "bitwise_xor": "{} ^ {}", "invert": "~{}",
}  # fmt: skip

# Ops that have a body, but that NumPy can compute in one call with a constant operand.
TEMPLATES: dict[str, tuple[str, str]] = {"softplus": ("logaddexp", "0.0, {}")}

REDUCERS: dict[str, str] = {
    "sum": "add.reduce", "prod": "multiply.reduce", "max": "maximum.reduce", "min": "minimum.reduce",
    "any": "logical_or.reduce", "all": "logical_and.reduce",
}  # fmt: skip


class Line:
    """What a spelling sees of a step: the texts of its operands, and the names it may use."""

    def __init__(
        self, step: Compute, schedule: Schedule, args: list[str], out: str, into: str | None, use: Callable[[str], str]
    ) -> None:
        self.step = step
        self.node: Apply = step.node
        self.op: Any = step.node.op
        self.inputs = step.node.inputs
        self.schedule = schedule
        self.args = args
        self.out = out
        self.into = into
        """The name of the dead array that the result may be written to."""
        self.use = use
        """Makes a function of NumPy (``"add"``) or another module (``"scipy.special:expit"``) available by its name."""

    @property
    def dtype(self) -> str:
        """The dtype of the result."""
        return self.node.outputs[0].dtype


Spelling = Callable[[Line], "str | list[str]"]


def spells(op: Op) -> bool:
    """Whether this backend writes the op in one line; otherwise its body is compiled, or it is called."""
    if isinstance(op, Elementwise):
        return op.numpy is not None or type(op) in SPELLINGS or op.name in TEMPLATES
    return type(op) in SPELLINGS


def _elementwise(line: Line) -> str:
    op: Elementwise = line.op
    assert op.numpy is not None
    if is_root(line.node):
        return _root(line)
    how = _how_called(op, line.inputs)
    args = line.args
    if not how.natural:
        args = [
            a if x.dtype == want else _astype(line, a, want)
            for a, x, want in zip(args, line.inputs, how.loop, strict=True)
        ]
    scalar = how.operator is not None and line.node.outputs[0].ndim == 0
    if scalar and all(isinstance(x, Constant) or not x.ndim for x in line.inputs):
        assert how.operator is not None
        call = how.operator.format(*map(_bracketed, args))
    elif line.into is not None and op.numpy != "where":
        call = f"{line.use(op.numpy)}({', '.join(args)}, out={line.into})"
    else:
        call = f"{line.use(op.numpy)}({', '.join(args)})"
    return call if how.made == how.dtype else f"{call}.astype({line.use(how.dtype)})"


def _root(line: Line) -> str:
    """``x ** 0.5``, for which NumPy's `power` has other special values in some of its versions."""
    x = line.args[0] if line.inputs[0].dtype == line.dtype else _astype(line, line.args[0], line.dtype)
    return f"{line.use('sqrt')}({x}{'' if line.into is None else f', out={line.into}'})"


class _Call(NamedTuple):
    """How the NumPy function of an op is called on operands of certain dtypes.

    natural: whether it takes the operands as they are; otherwise they are cast to `loop` first.
    made: the dtype it returns; dtype: the one that is wanted.
    operator: the operator that does the same for scalars, if there is one.
    """

    natural: bool
    loop: tuple[str, ...]
    made: str
    dtype: str
    operator: str | None


def _how_called(op: Elementwise, inputs: Sequence[Variable]) -> _Call:
    return _call_on(op, tuple([(x.type.dtype, x.type.weak) for x in inputs]), config.floatX)


@lru_cache(maxsize=4096)
def _call_on(op: Elementwise, operands: tuple[dtypes.Operand, ...], floatX: str) -> _Call:
    assert op.numpy is not None
    loop, dtype = op.rule(operands)
    natural = _has_loop(op.numpy, tuple([d for d, _ in operands]), tuple(loop), dtype)
    # NumPy's complex scalars order nan otherwise than its arrays do.
    operator = None if dtypes.is_complex(loop[0]) else OPERATORS.get(op.numpy.rpartition(":")[2])
    return _Call(natural, tuple(loop), dtype if natural else _made(op, loop, dtype), dtype, operator)


def _made(op: Elementwise, loop: Sequence[str], dtype: str) -> str:
    """The dtype the function returns for operands cast to `loop`."""
    assert op.numpy is not None
    if ":" in op.numpy:  # SciPy's special functions have float32 and float64 loops
        return "float64" if "float64" in loop else "float32"
    if op.numpy == "where":
        return loop[1]
    return dtypes.resolve(op.numpy, tuple((d, False) for d in loop), str(config.floatX))[1]


def _has_loop(numpy: str, operands: tuple[str, ...], loop: tuple[str, ...], dtype: str) -> bool:
    """Whether NumPy's function takes `operands` through this loop to this dtype of its own accord."""
    if ":" in numpy:
        return operands == loop and dtype != "float16"
    if numpy == "where":
        return True
    if numpy == "divide" and all(map(dtypes.is_discrete, operands)):
        return dtype == "float64"  # NumPy divides integers in float64
    try:
        return dtypes.resolve(numpy, tuple((d, False) for d in operands), dtype) == (loop, dtype)
    except TypeError:
        return False


def _bracketed(text: str) -> str:
    return f"({text})" if text.startswith("-") else text


def _astype(line: Line, text: str, dtype: str) -> str:
    return f"{_bracketed(text)}.astype({line.use(dtype)})"


def _cast(line: Line) -> str:
    text = line.args[0]
    if dtypes.is_complex(line.inputs[0].dtype) and not dtypes.is_complex(line.dtype) and line.dtype != "bool":
        text = f"{text}.real"
    return _astype(line, text, line.dtype) if line.inputs[0].ndim else f"{line.use(line.dtype)}({text})"


def _fill(line: Line) -> str:
    x, value = line.inputs
    dtype = "" if value.dtype == "float64" else f", {line.use(line.dtype)}"
    if all(
        n is m or n == m for n, m in zip(line.schedule.graph.shape(x), line.step.writes[0].shape, strict=False)
    ) and (x.ndim == line.node.outputs[0].ndim):
        return f"{line.use('full')}({line.args[0]}.shape, {line.args[1]}{dtype})"
    shape = f"{line.use('broadcast_shapes')}({line.use('shape')}({line.args[0]}), {line.use('shape')}({line.args[1]}))"
    return f"{line.use('full')}({shape}, {line.args[1]}{dtype})"


def _alloc(line: Line) -> str:
    dtype = "" if line.inputs[0].dtype == "float64" else f", {line.use(line.dtype)}"
    return f"{line.use('full')}({_tuple(line.args[1:])}, {line.args[0]}{dtype})"


def _tuple(parts: Sequence[str]) -> str:
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def _reduction(line: Line) -> str:
    op: Reduction = line.op
    kwargs = op.arguments()
    if op.axis is None:
        kwargs["axis"] = None
    if kwargs.get("dtype") == _default_accumulator(line.inputs[0].dtype):
        del kwargs["dtype"]
    if "dtype" in kwargs:
        kwargs["dtype"] = line.use(kwargs["dtype"])
    if "initial" in kwargs:
        kwargs["initial"] = f"-{line.use('inf')}"
    texts = [f"{key}={value}" for key, value in kwargs.items()]
    return f"{line.use(REDUCERS[op.name])}({', '.join([line.args[0], *texts])})"


def _default_accumulator(dtype: str) -> str:
    """The dtype in which NumPy sums."""
    if not dtypes.is_discrete(dtype):
        return dtype
    return "uint64" if dtype in dtypes.UNSIGNED else "int64"


def _argextremum(line: Line) -> str:
    kwargs = ", ".join(f"{key}={value!r}" for key, value in line.op.arguments().items())
    return f"{line.args[0]}.{line.op.name}({kwargs})"


def _dimshuffle(line: Line) -> str:
    op: DimShuffle = line.op
    kept = [int(i) for i in op.new_order if i != "x"]
    order = kept + list(op.dropped)
    text = line.args[0]
    if order != list(range(op.input_ndim)):
        text += ".T" if order == list(range(op.input_ndim))[::-1] else f".transpose({', '.join(map(str, order))})"
    if "x" in op.new_order or op.dropped:
        index = ["None" if i == "x" else ":" for i in op.new_order] + ["0"] * len(op.dropped)
        text += f"[{', '.join(index)}]"
    return text


def _index(line: Line, arguments: Sequence[str]) -> str:
    items = []
    for entry, given in entries(line.op.pattern, arguments):
        if not entry.startswith("slice:"):
            items.append(given[0])
        else:
            start, stop, step = ("" if bound is None else bound for bound in given)
            items.append(f"{start}:{stop}" + (f":{step}" if step else ""))
    while len(items) > 1 and items[-1] == ":":
        items.pop()
    return ", ".join(items)


def _items(line: Line, arguments: Sequence[str]) -> str:
    """The index as a tuple that stands outside of brackets."""
    items = []
    for entry, given in entries(line.op.pattern, arguments):
        if entry.startswith("slice:"):
            items.append(f"slice({', '.join('None' if bound is None else bound for bound in given)})")
        else:
            items.append(given[0])
    return f"({', '.join(items)},)"


def _subtensor(line: Line) -> str:
    return f"{line.args[0]}[{_index(line, line.args[1:])}]"


def _gather(line: Line) -> str:
    x, *arguments = line.args
    if FORGIVEN:
        x = f"{line.use('graphc.ops.bounds:within')}({x}, {_items(line, arguments)})"
    return f"{x}[{_index(line, arguments)}]"


def _inc_subtensor(line: Line) -> list[str]:
    base, y, *arguments = line.args
    basic = is_basic(line.op.pattern)
    index, items = _index(line, arguments), _items(line, arguments)
    lines = [f"{line.out} = {line.use('array')}({base})"]
    if FORGIVEN and not basic:
        lines.append(f"{line.use('graphc.ops.bounds:within')}({line.out}, {items})")
    if not line.op.add:
        return [*lines, f"{line.out}[{index}] = {y}"]
    if basic:
        return [*lines, f"{line.out}[{index}] += {y}"]
    return [*lines, f"{line.use('add')}.at({line.out}, {items}, {y})"]


def _arange(line: Line) -> str:
    start, stop, step = line.args
    dtype = f"dtype={line.use(line.dtype)}"
    if step == "1":
        bounds = stop if start == "0" else f"{start}, {stop}"
        return f"{line.use('arange')}({bounds}, {dtype})"
    return f"{line.use('arange')}({start}, {stop}, {step}, {dtype})"


def _stack(line: Line) -> str:
    parts = f"[{', '.join(line.args)}]"
    if line.inputs[0].ndim == 0:
        return f"{line.use('array')}({parts}, {line.use(line.dtype)})"
    return f"{line.use('stack')}({parts}, axis={line.op.axis}, dtype={line.use(line.dtype)})"


def _join(line: Line) -> str:
    return f"{line.use('concatenate')}(({', '.join(line.args)}), axis={line.op.axis}, dtype={line.use(line.dtype)})"


def _ifelse(line: Line) -> str:
    op: IfElse = line.op
    thens, others = line.args[1 : 1 + op.count], line.args[1 + op.count :]
    pairs = [f"{a} if {line.args[0]} else {b}" for a, b in zip(thens, others, strict=True)]
    return pairs[0] if op.count == 1 else ", ".join(f"({pair})" for pair in pairs)


def _template(line: Line) -> str:
    name, arguments = TEMPLATES[line.op.name]
    (dtype,), _ = line.op.signature(line.inputs)
    (x,) = line.args
    text = arguments.format(x if line.inputs[0].dtype == dtype else _astype(line, x, dtype))
    into = f", out={line.into}" if line.into is not None else ""
    return f"{line.use(name)}({text}{into})"


SPELLINGS: dict[type[Op], Spelling] = {
    Cast: _cast,
    Fill: _fill,
    Identity: lambda line: line.args[0],
    Alloc: _alloc,
    Reduction: _reduction,
    Peak: _reduction,
    ArgExtremum: _argextremum,
    Dot: lambda line: f"{line.use('dot')}({', '.join(line.args)})",
    Reshape: lambda line: f"{line.use('reshape')}({line.args[0]}, {_tuple(line.args[1:])})",
    DimShuffle: _dimshuffle,
    Subtensor: _subtensor,
    AdvancedSubtensor: _gather,
    IncSubtensor: _inc_subtensor,
    ShapeOf: lambda line: f"{line.use('int64')}({line.args[0]}.shape[{line.op.axis}])",
    ARange: _arange,
    Eye: lambda line: f"{line.use('eye')}({', '.join(line.args)}, {line.use(line.dtype)})",
    Join: _join,
    Stack: _stack,
    IfElse: _ifelse,
}


def spell(line: Line) -> str | list[str]:
    """The expression for a step's result, or the lines that make it."""
    spelling = SPELLINGS.get(type(line.op))
    if spelling is not None:
        return spelling(line)
    if isinstance(line.op, Elementwise) and line.op.name in TEMPLATES:
        return _template(line)
    if isinstance(line.op, Elementwise) and line.op.numpy is not None:
        return _elementwise(line)
    raise LookupError(line.op)


def writes_into(step: Compute) -> bool:
    """Whether the spelling of a step can put its result into a given array (``out=``)."""
    op = step.node.op
    if isinstance(op, Elementwise) and op.name in TEMPLATES:
        return True
    if not isinstance(op, Elementwise) or type(op) in SPELLINGS or op.numpy in (None, "where"):
        return False
    how = _how_called(op, step.node.inputs)
    return how.natural and how.dtype == step.node.outputs[0].dtype


def literal(constant: Constant, weak_is_safe: bool) -> str | None:
    """A constant as a Python literal, where that means the same; None if it must be an object."""
    if constant.ndim or not weak_is_safe:
        return None
    value = constant.data.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return repr(value) if isinstance(value, bool | int | float) else None
