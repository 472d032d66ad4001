"""One table of mistakes: what each raises, what the message says, and that it changed nothing.

A row is a label, what is done in a `World` of ready-made variables and functions, the class of the exception, and a
pattern for its message.  Every message has at most 15 lines; one about a node or a variable names the line of this
file that built it (rows marked `elsewhere` are about things that no line of a program built).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc import Out, config
from graphc.errors import (
    MAX_LINES,
    BackendError,
    DisconnectedInputError,
    GraphcError,
    MissingInputError,
    ShapeError,
    UnusedInputError,
)
from graphc.ifelse import ifelse

HERE = Path(__file__).name

# As programs call them that no type checker has seen.
In: Any = graphc.In
function: Any = graphc.function
grad: Any = graphc.grad
shared: Any = graphc.shared
setitem: Any = operator.setitem


class World:
    """Fresh variables, and a function with updates and private state, for one row."""

    def __init__(self) -> None:
        self.x, self.y = T.dscalars("x", "y")
        self.v, self.u = T.dvectors("v", "u")
        self.m, self.n = T.dmatrices("m", "n")
        self.i, self.k = T.lscalar("i"), T.lvector("k")
        self.b = T.tensor("bool", (False,), "b")
        self.z = T.zvector("z")
        self.three = T.tensor("float64", shape=(3,), name="three")
        self.w = shared(np.arange(3.0), "w")
        self.count = shared(0, "count")
        self.state = T.dscalar("state")
        self.f = function(
            [self.v, self.i, self.m, In(self.state, value=2.0, update=self.state + 1)],
            [T.dot(self.m, self.v) + self.w, self.v[self.i] * self.state],
            updates={self.w: self.w + self.v, self.count: self.count + 1},
            name="step",
        )
        self.good: dict[str, Any] = {"v": [1.0, 2.0, 3.0], "i": 1, "m": np.eye(3)}

    def call(self, **changed: Any) -> Any:
        return self.f(**{**self.good, **changed})

    def snapshot(self) -> list[Any]:
        return [self.w.get_value().tolist(), int(self.count.get_value()), float(self.f["state"]), repr(config)]


class Row(NamedTuple):
    label: str
    action: Callable[[World], Any]
    error: type[BaseException] | tuple[type[BaseException], ...]
    message: str
    where: bool = True


def row(label: str, action: Callable[[World], Any], error: Any, message: str) -> Row:
    return Row(label, action, error, message)


def elsewhere(label: str, action: Callable[[World], Any], error: Any, message: str) -> Row:
    return Row(label, action, error, message, where=False)


def setting(key: str, value: Any) -> Callable[[World], Any]:
    return lambda w: setattr(config, key, value)


CALLS = [
    row("rank too high", lambda w: w.call(v=[[1.0]]),
        TypeError, r"bad argument for input 0 \(v\): expected vector \(1 axes?\), got 2 axes, shape \(1, 1\)"),
    row("rank too low", lambda w: w.call(v=1.0), TypeError, r"expected vector \(1 axes?\), got 0 axes"),
    row("list for a scalar", lambda w: w.call(i=[1]),
        TypeError, r"input 1 \(i\): expected scalar \(0 axes\), got 1 ax"),
    row("float for an int", lambda w: w.call(i=1.5),
        TypeError, "cannot make int64 from float64 without risking loss of precision"),
    row("complex for a float", lambda w: w.call(v=[1j]), TypeError, "cannot make float64 from complex128"),
    row("text", lambda w: w.call(v="abc"), TypeError, "expected numbers, got str 'abc'"),
    row("list of text", lambda w: w.call(v=["a", "b", "c"]),
        TypeError, r"expected numbers, got list \['a', 'b', 'c'\]"),
    row("None", lambda w: w.call(v=None), TypeError, "expected numbers, got NoneType None"),
    row("dict", lambda w: w.call(v={}), TypeError, "expected numbers, got dict"),
    row("ragged list", lambda w: w.call(m=[[1], [2, 3]]), TypeError, "cannot make an array from list"),
    row("symbolic argument", lambda w: w.call(v=w.u), TypeError, "expected a value, got the symbolic variable u"),
    row("list of symbolic", lambda w: w.call(v=[w.x, w.y, w.x]),
        TypeError, "expected .*value.*symbolic|symbolic.*no values"),
    row("object", lambda w: w.call(v=object()), TypeError, "expected numbers, got object"),
    row("long list", lambda w: w.call(v=["x" * 50] * 1000), TypeError, r"expected numbers, got list \['x+', 'x\.\.\."),
    row("shape for dot", lambda w: w.call(m=np.eye(4)), ShapeError, "step>: dot: sizes (4 and 3|3 and 4) do not agree"),
    row("shape for add", lambda w: w.call(m=np.ones((2, 3))),
        ShapeError, "step>: add: sizes (2 and 3|3 and 2) do not agree"),
    row("index too large", lambda w: w.call(i=3),
        IndexError, r"out of bounds(.|\n)*v: ndarray of float64, shape \(3,\)(.|\n)*i: "),
    row("index too small", lambda w: w.call(i=-4), IndexError, "out of bounds"),
    row("missing", lambda w: w.f([1.0, 2.0, 3.0], 1), TypeError, "missing required input: m"),
    row("all missing", lambda w: w.f(), TypeError, "missing required input: v"),
    elsewhere("too many", lambda w: w.f([1.0], 1, np.eye(1), 1.0, 5),
        TypeError, "takes 4 arguments, got 5; inputs: v, i, m, state"),
    elsewhere("twice", lambda w: w.f([1.0], v=[1.0], i=1, m=np.eye(1)), TypeError, "multiple values for input 'v'"),
    elsewhere("unknown name", lambda w: w.call(q=1), TypeError, "unknown input or state: 'q'; inputs: v, i, m, state"),
    row("bad state", lambda w: w.call(state="x"), TypeError, r"input 3 \(state\)"),
    elsewhere("state of an input without value", lambda w: w.f["v"],
        KeyError, "no input v with a value; inputs that have one: state"),
    row("bad state value", lambda w: setitem(w.f, "state", [1.0]),
        TypeError, "the value for state: expected scalar"),
    row("fixed size", lambda w: function([w.three], w.three)([1.0]),
        TypeError, r"expected size 3 on axis 0, got shape \(1,\)"),
    row("row", lambda w: function([r := T.drow("r")], r)(np.ones((2, 2))), TypeError, "expected size 1 on axis 0"),
    row("negative power of an int", lambda w: function([w.i], w.i**-1)(2),
        ValueError, r"pow: Integers to negative integer powers(.|\n)*i: int64"),
    row("reshape", lambda w: function([w.v], w.v.reshape((2, 2)))([1.0]), (ValueError, ShapeError), "reshape|Reshape"),
    row("reshape -1", lambda w: function([w.v], w.v.reshape((2, -1)))([1.0]),
        (ValueError, ShapeError), "reshape|Reshape"),
    row("negative zeros", lambda w: function([w.i], T.zeros((w.i,)))(-1), ValueError, "negative|size"),
    row("gather", lambda w: function([w.v, w.k], w.v[w.k])([1.0], [0, 2]),
        IndexError, "index 2 is out of bounds for axis 0 with size 1"),
    row("mask of another size", lambda w: function([w.v, w.b], w.v[w.b])([1.0], [True, False]),
        (IndexError, ShapeError), "bool|size"),
    row("concatenate", lambda w: function([w.m, w.n], T.concatenate([w.m, w.n]))(np.ones((1, 2)), np.ones((1, 3))),
        ShapeError, "sizes (2 and 3|3 and 2)"),
    row("stack", lambda w: function([w.v, w.u], T.stack([w.v, w.u]))([1.0], [1.0, 2.0]),
        ShapeError, "sizes (1 and 2|2 and 1)"),
    row("write too much", lambda w: function([w.v, w.u], T.set_subtensor(w.v[:2], w.u))([1.0] * 3, [1.0] * 3),
        ShapeError, "sizes (2 and 3|3 and 2)"),
    row("empty maximum", lambda w: function([w.v], w.v.max())([]), ValueError, "zero-size|empty"),
    row("set_value", lambda w: w.w.set_value([[1.0]]), TypeError, "shared variable w: expected vector"),
    row("set_value with a variable", lambda w: w.w.set_value(w.v),
        TypeError, "shared variable w: expected a value, got the symbolic variable v"),
    elsewhere("copy with a strange swap", lambda w: w.f.copy(swap={w.w: w.count}),
        TypeError, "count has another type than w"),
]  # fmt: skip

FUNCTION = [
    row("single input", lambda w: function(w.x, w.x),
        TypeError, "inputs must be a list of variables, got the single variable x"),
    elsewhere("inputs None", lambda w: function(None, w.x),
        TypeError, "inputs must be a list of variables, got NoneType"),
    elsewhere("inputs dict", lambda w: function({w.x: 1}, w.x),
        TypeError, "inputs must be a list of variables, got dict"),
    elsewhere("input is a number", lambda w: function([w.x, 5], w.x),
        TypeError, "input 1 is int 5, expected a symbolic variable"),
    elsewhere("input is a name", lambda w: function(["x"], w.x),
        TypeError, "input 0 is str 'x', expected a symbolic variable"),
    elsewhere("nested inputs", lambda w: function([[w.x]], w.x),
        TypeError, r"input 0 is list \[x\], expected a symbolic variable"),
    row("shared input", lambda w: function([w.w], w.w),
        TypeError, "input 0 is the shared variable w; it has its value already"),
    elsewhere("constant input", lambda w: function([T.constant(1.0)], w.x),
        TypeError, r"input 0 is the constant TensorConstant\{1.0\}"),
    row("input twice", lambda w: function([w.x, w.y, w.x], w.x + w.y),
        ValueError, "x is listed twice among the inputs"),
    row("input twice, by In", lambda w: function([w.x, In(w.x, name="other")], w.x), ValueError, "x is listed twice"),
    row("unused", lambda w: function([w.x, w.y], w.x),
        UnusedInputError, r"input 1 \(y\) is used by no output and no update"),
    row("unused default", lambda w: function([w.x, In(w.y, value=1.0)], w.x),
        UnusedInputError, r"\(y\) is used by no output"),
    row("missing leaf", lambda w: function([w.x], w.x * w.y),
        MissingInputError, r"y has no value: it is no input(.|\n)*add it to the inputs"),
    row("missing leaf of an update", lambda w: function([], updates={w.w: w.w + w.x}),
        MissingInputError, "x has no value"),
    row("missing leaf of a given", lambda w: function([], w.x, givens={w.x: w.y}), MissingInputError, "y has no value"),
    elsewhere("unknown action", lambda w: function([w.x], w.x, on_unused_input="never"),
        ValueError, "on_unused_input must be 'raise', 'warn' or 'ignore', got 'never'"),
    elsewhere("In of a number", lambda w: In(5), TypeError, r"In\(\) takes a symbolic variable, got int 5"),
    row("In: update without value", lambda w: In(w.x, update=w.x + 1),
        ValueError, r"In\(x\): an update needs a value to start from"),
    row("In: value of another rank", lambda w: In(w.x, value=[1.0]), TypeError, "the value for x: expected scalar"),
    row("In: update of another dtype", lambda w: In(w.i, value=0, update=w.i + 0.5),
        TypeError, "the update of i has another dtype"),
    row("In: update of another rank", lambda w: In(w.x, value=0.0, update=w.v),
        TypeError, "the update of x has another number of axes"),
    row("output is text", lambda w: function([w.x], "x"), TypeError, "'x' is no output: cannot use 'x'"),
    row("output is an object", lambda w: function([w.x], [w.x, object()]),
        TypeError, "<object .* is no output: cannot use"),
    elsewhere("output dict, int keys", lambda w: function([w.x], {1: w.x}),
        TypeError, "keys of an output dictionary must be strings, got 1"),
    elsewhere("output dict, variable keys", lambda w: function([w.x], {w.x: w.x}),
        TypeError, "keys of an output dictionary must be strings, got x"),
    elsewhere("Out of text", lambda w: Out("x"), TypeError, "cannot use 'x'"),
    row("update of an input", lambda w: function([w.x], updates={w.x: w.x + 1}),
        TypeError, "only shared variables can be updated, got x"),
    elsewhere("update of a name", lambda w: function([], updates={"w": w.w}),
        TypeError, "only shared variables can be updated, got 'w'"),
    row("two updates", lambda w: function([], updates=[(w.w, w.w), (w.w, w.w * 2)]),
        ValueError, "two updates for the shared variable w"),
    row("two updates through a clone", lambda w: function([], updates={w.w: w.w, w.w.clone("twin"): w.w * 2}),
        ValueError, "twin and w are one shared value"),
    row("update of another dtype", lambda w: function([], updates={w.count: w.count + 0.5}),
        TypeError, r"update of count has another dtype(.|\n)*T.cast\(update, 'int64'\)"),
    row("update of float32 in float64", lambda w: function([], updates={shared(np.float32(1), "s"): w.w.sum()}),
        TypeError, "update of s has another dtype"),
    row("update of another rank", lambda w: function([w.m], updates={w.w: w.m}),
        TypeError, "update of w has another number of axes"),
    row("update with a number of another rank", lambda w: function([], updates={w.w: 0.0}),
        TypeError, "update of w has another number of axes"),
    row("update with a fraction", lambda w: function([], updates={w.count: 0.5}),
        TypeError, "update of count: cannot make int64 from float64"),
    row("update with text", lambda w: function([], updates={w.count: "1"}),
        TypeError, "update of count: cannot use '1'"),
    row("update with None", lambda w: function([], updates={w.count: None}),
        TypeError, "update of count: cannot use None"),
    elsewhere("updates no pairs", lambda w: function([], updates=[w.w]),
        TypeError, r"updates must hold pairs \(variable, new value\), got w"),
    elsewhere("updates triples", lambda w: function([], updates=[(w.w, w.w, w.w)]),
        TypeError, "updates must hold pairs"),
    elsewhere("updates one pair", lambda w: function([], updates=(w.w, w.w * 2)), TypeError, "updates must hold pairs"),
    elsewhere("updates a number", lambda w: function([], updates=5),
        TypeError, "updates must be a dictionary or a list of pairs, got int"),
    elsewhere("updates a variable", lambda w: function([], updates=w.w),
        TypeError, "updates must be a dictionary or a list of pairs, got SharedVariable"),
    row("givens of another dtype", lambda w: function([w.i], w.x, givens={w.x: w.i}),
        TypeError, r"givens replace x by an expression of another type(.|\n)*T.cast"),
    row("givens of another rank", lambda w: function([w.v], w.x, givens={w.x: w.v}),
        TypeError, r"givens replace x by an expression of another type(.|\n)*reshape"),
    row("givens with a fraction", lambda w: function([], w.i, givens={w.i: 0.5}),
        TypeError, "givens replace i: cannot make int64 from float64"),
    row("givens with text", lambda w: function([], w.i, givens={w.i: "0"}),
        TypeError, "givens replace i: cannot use '0'"),
    row("givens for an input", lambda w: function([w.x], w.x, givens={w.x: 1.0}),
        ValueError, "x is an input, so givens cannot replace it"),
    row("two givens", lambda w: function([], w.x, givens=[(w.x, 1.0), (w.x, 2.0)]), ValueError, "two givens for x"),
    elsewhere("givens for a name", lambda w: function([], w.x, givens={"x": 1.0}),
        TypeError, "givens replace symbolic variables, got 'x'"),
    elsewhere("givens no pairs", lambda w: function([], w.x, givens=[w.x]), TypeError, "givens must hold pairs"),
    elsewhere("no_default_updates", lambda w: function([], w.w, no_default_updates="w"),
        TypeError, "no_default_updates must be True, False or a list"),
    elsewhere("mode", lambda w: function([w.x], w.x, mode="FAST"),
        ValueError, "unknown mode 'FAST'; it is one of 'FAST_RUN', 'FAST_COMPILE'"),
    elsewhere("backend", lambda w: function([w.x], w.x, backend="gpu"),
        (ValueError, BackendError), "unknown backend 'gpu'; it is one of 'auto', 'numpy'"),
    elsewhere("numerics", lambda w: function([w.x], w.x, numerics="fast"),
        ValueError, "unknown numerics 'fast'; it is one of 'ieee', 'default', 'algebraic'"),
    elsewhere("matmul_precision", lambda w: function([w.x], w.x, matmul_precision="low"),
        ValueError, "unknown matmul_precision 'low'; it is one of 'highest', 'tf32'"),
    elsewhere("keyword of function", lambda w: function([w.x], w.x, output=w.x),
        TypeError, "unexpected keyword argument 'output'"),
    elsewhere("eval with a list", lambda w: w.x.eval([1.0]), TypeError, "eval: takes a dictionary"),
    elsewhere("eval with an unknown name", lambda w: (w.x + 1).eval({"q": 1.0}), TypeError, "eval: 'q' is no variable"),
    row("eval without values", lambda w: (w.x + 1).eval(), MissingInputError, "x has no value"),
]  # fmt: skip

GRADIENT = [
    row("vector cost", lambda w: grad(w.v, w.v), TypeError, "cost must be a scalar"),
    row("matrix cost", lambda w: grad(w.m * 2, w.m), TypeError, "cost must be a scalar"),
    row("disconnected", lambda w: grad(w.x**2, w.y),
        DisconnectedInputError, "does not depend on y|y.*not depend|disconnected"),
    row("disconnected in a list", lambda w: grad(w.x**2, [w.x, w.y]), DisconnectedInputError, "y"),
    elsewhere("cost is a number", lambda w: grad(5.0, w.x), TypeError, "cost"),
    elsewhere("wrt is a number", lambda w: grad(w.x, 5.0), TypeError, "wrt|variable"),
    elsewhere("unknown disconnected_inputs", lambda w: grad(w.x, w.y, disconnected_inputs="never"),
        ValueError, "disconnected_inputs"),
]  # fmt: skip

EXPRESSIONS = [
    row("bool", lambda w: bool(w.x), TypeError, r"the truth of x is not known(.|\n)*ifelse"),
    row("not", lambda w: not w.x, TypeError, "the truth of x is not known"),
    row("if", lambda w: 1 if w.x > 0 else 2, TypeError, r"the truth of gt\.0 is not known"),
    row("and", lambda w: w.x > 0 and w.y > 0, TypeError, r"T\.and_\(a, b\)"),
    row("chained comparison", lambda w: 0 < w.x < 1, TypeError, "the truth of"),
    row("max of Python", lambda w: max(w.x, w.y), TypeError, "the truth of"),
    row("np.asarray", lambda w: np.asarray(w.x),
        TypeError, r"x is symbolic and has no values to put into an array(.|\n)*x\.eval"),
    row("np.array of a list", lambda w: np.array([w.v, w.u]), TypeError, "symbolic"),
    elsewhere("filling an array", lambda w: setitem(np.zeros(2), 0, w.x),
        (TypeError, ValueError), "symbolic|setting an array element"),
    row("iterating a vector", lambda w: list(w.v),
        TypeError, r"cannot iterate over v: its length is not known(.|\n)*scan"),
    row("iterating a scalar", lambda w: list(w.x), TypeError, "cannot iterate over x: it is a scalar"),
    row("unpacking", lambda w: (lambda a, b: a)(*w.v), TypeError, "cannot iterate over v"),
    row("sum of Python", lambda w: sum(w.v), TypeError, "cannot iterate over v"),
    row("len", lambda w: len(w.v), TypeError, r"the length of v is not known(.|\n)*shape\[0\]"),
    row("float", lambda w: float(w.x), TypeError, r"x is symbolic: float\(\) needs a value"),
    row("int", lambda w: int(w.i), TypeError, r"i is symbolic: int\(\) needs a value"),
    row("complex", lambda w: complex(w.x), TypeError, r"complex\(\) needs a value"),
    row("range", lambda w: range(w.i), TypeError, "i is symbolic: operator.index"),
    row("index of a list", lambda w: [1, 2][w.i], TypeError, "i is symbolic: operator.index"),
    row("math.exp", lambda w: math.exp(w.x), TypeError, "x is symbolic: float"),
    row("assignment", lambda w: setitem(w.v, 0, 1.0),
        TypeError, r"v cannot be changed in place(.|\n)*set_subtensor"),
    row("str operand", lambda w: w.x + "1", TypeError, "add: cannot use '1'"),
    row("None operand", lambda w: w.x * None, TypeError, "mul: cannot use None"),
    row("dict operand", lambda w: w.x - {}, TypeError, r"sub: cannot use \{\}"),
    row("object operand", lambda w: T.exp(object()), TypeError, "exp: cannot use <object"),
    row("sizes known to differ", lambda w: w.three + np.ones(4), ShapeError, "add: sizes 3 and 4 do not agree"),
    elsewhere("too few operands", lambda w: T.maximum(w.x), TypeError, r"maximum\(\) takes 2 operands, got 1"),
    elsewhere("too many operands", lambda w: T.exp(w.x, w.y), TypeError, r"exp\(\) takes 1 operand, got 2"),
    elsewhere("no operands", lambda w: T.add(), TypeError, "takes at least one operand"),
    row("bool minus bool", lambda w: w.b - w.b, TypeError, "sub: not defined for bool and bool"),
    row("negative bool", lambda w: -w.b, TypeError, "neg: not defined for bool"),
    row("float & int", lambda w: w.v & 1, TypeError, "and_: not defined for float64 and int64"),
    row("~float", lambda w: ~w.v, TypeError, "invert: not defined for float64"),
    row("complex //", lambda w: w.z // 2, TypeError, "int_div: not defined for complex128 and int64"),
    row("complex %", lambda w: w.z % w.v, TypeError, "mod: not defined for complex128 and float64"),
    row("floor of complex", lambda w: T.floor(w.z), TypeError, "floor: not defined for complex128"),
    row("float index", lambda w: w.v[1.5], TypeError, "cannot index with float 1.5"),
    row("symbolic float index", lambda w: w.v[w.x], TypeError, "indices must be integers or bools, got float64"),
    row("text index", lambda w: w.v["a"], TypeError, "cannot index with str 'a'"),
    row("True as an index", lambda w: w.v[True], TypeError, "a lone True or False is no index"),
    row("too many indices", lambda w: w.v[0, 0], IndexError, "too many indices: 2 for 1 ax"),
    row("index of a scalar", lambda w: w.x[0], IndexError, "too many indices: 1 for 0 axes"),
    row("two ellipses", lambda w: w.m[..., ...], IndexError, "only one Ellipsis"),
    row("zero step", lambda w: w.v[::0], ValueError, "slice step cannot be zero"),
    row("float slice", lambda w: w.v[: w.x], TypeError, "bounds of a slice must be integer scalars"),
    row("vector slice", lambda w: w.v[: w.k], TypeError, "bounds of a slice must be integer scalars"),
    row("index beyond a known size", lambda w: function([w.three], w.three[5])(np.ones(3)),
        IndexError, "5 is out of bounds"),
    row("mask of too many axes", lambda w: w.v[w.m > 0], IndexError, "too many indices"),
    row("dimshuffle: an axis that is not there", lambda w: w.m.dimshuffle(0, 2), ValueError, "dimshuffle"),
    row("dimshuffle: an axis twice", lambda w: w.m.dimshuffle(0, 0, 1), ValueError, "dimshuffle"),
    row("dimshuffle: a lost axis", lambda w: function([w.m], w.m.dimshuffle(0))(np.ones((2, 3))),
        ShapeError, "sizes (3 and 1|1 and 3)"),
    row("dimshuffle: a word", lambda w: w.m.dimshuffle(0, "y", 1), (ValueError, TypeError), "dimshuffle"),
    row("transpose: too few axes", lambda w: w.m.transpose(0), ValueError, "transpose|dimshuffle"),
    row("reshape: two -1", lambda w: w.m.reshape((-1, -1)), ValueError, "reshape.*-1"),
    row("reshape: float", lambda w: w.m.reshape((1.5, 2)), TypeError, "reshape"),
    row("reshape: unknown rank", lambda w: w.m.reshape(w.k),
        ValueError, r"reshape: the length of the shape vector is not known(.|\n)*ndim="),
    row("reshape: sizes known to differ", lambda w: w.three.reshape((2, 2)),
        (ValueError, ShapeError), "reshape|Reshape"),
    row("flatten", lambda w: w.m.flatten(3), ValueError, "flatten"),
    row("sum over a missing axis", lambda w: w.m.sum(axis=2), ValueError, "axis 2 is out of bounds for 2 axes"),
    row("sum over one axis twice", lambda w: w.m.sum(axis=(0, -2)), ValueError, "names one axis twice"),
    row("sum over a float axis", lambda w: w.m.sum(axis=0.5), TypeError, "axis"),
    row("sum over a symbolic axis", lambda w: w.m.sum(axis=w.i), TypeError, "axis"),
    row("argmax over a missing axis", lambda w: w.v.argmax(axis=1), ValueError, "axis 1 is out of bounds"),
    row("squeeze", lambda w: function([w.m], w.m.squeeze(axis=0))(np.ones((2, 3))),
        ShapeError, "sizes (2 and 1|1 and 2)"),
    row("concatenate ranks", lambda w: T.concatenate([w.v, w.m]), (TypeError, ValueError), "join|concatenate"),
    row("concatenate scalars", lambda w: T.concatenate([w.x, w.y]), (TypeError, ValueError), "join|concatenate"),
    elsewhere("concatenate nothing", lambda w: T.concatenate([]), (TypeError, ValueError), "join|concatenate"),
    row("concatenate along a missing axis", lambda w: T.concatenate([w.v, w.u], axis=1),
        (IndexError, ValueError), "axis 1"),
    row("concatenate a variable", lambda w: T.concatenate(w.v), TypeError, "concatenate|join|cannot iterate"),
    row("stack ranks", lambda w: T.stack([w.v, w.m]), (TypeError, ValueError), "stack"),
    row("dot of sizes known to differ", lambda w: T.dot(np.ones((2, 3)) + w.x, w.three.dimshuffle("x", 0)),
        ShapeError, r"dot(.|\n)*3"),
    elsewhere("dot with text", lambda w: T.dot(w.m, "m"), TypeError, "cannot use 'm'"),
    row("matmul of scalars", lambda w: w.x @ w.y, (TypeError, ValueError), "matmul"),
    row("ifelse on a vector", lambda w: ifelse(w.v, w.x, w.y),
        TypeError, r"ifelse: the condition must be a scalar(.|\n)*T.switch"),
    row("ifelse on branches of other ranks", lambda w: ifelse(w.x, w.v, w.m),
        TypeError, "ifelse: the branches must have the same number of axes"),
    elsewhere("ifelse on lists", lambda w: ifelse(w.x, [w.v], w.v),
        TypeError, "either both branches are lists or neither"),
    elsewhere("ifelse on lists of other lengths", lambda w: ifelse(w.x, [w.v], [w.v, w.u]),
        ValueError, "branches have 1 and 2 expressions"),
    elsewhere("cast to nothing", lambda w: T.cast(w.x, "float65"), TypeError, "'float65' is no dtype"),
    row("set_subtensor of no index", lambda w: T.set_subtensor(w.v, 1.0),
        TypeError, "set_subtensor: the first argument must be an index"),
    row("set_subtensor of a larger dtype", lambda w: T.set_subtensor(w.k[0], 0.5),
        TypeError, "set_subtensor: cannot put float64 into int64"),
    row("set_subtensor of a larger rank", lambda w: T.set_subtensor(w.m[0], w.m),
        ValueError, "set_subtensor: 2 axes do not fit into 1"),
    row("arange of a vector", lambda w: T.arange(w.v), TypeError, "arange"),
    row("zeros of a float", lambda w: T.zeros((2.5,)), TypeError, "alloc|zeros|integer"),
    elsewhere("zeros of a negative", lambda w: T.zeros((-1,)), ValueError, "negative"),
    elsewhere("no such function", lambda w: T.sofmax(w.v), AttributeError, r"graphc.tensor has no 'sofmax'.*"),
    elsewhere("no such method", lambda w: w.v.summ(), AttributeError, "summ"),
]  # fmt: skip

SETTINGS = [
    elsewhere("config: unknown key", setting("floatx", "float32"),
        AttributeError, r"no option 'floatx'. Did you mean config.floatX\?"),
    elsewhere("config: reading an unknown key", lambda w: config.nonsense, AttributeError, "no option 'nonsense'"),
    elsewhere("config: floatX", setting("floatX", "float31"), ValueError, "config.floatX: 'float31' is not one of"),
    elsewhere("config: mode", setting("mode", "FAST"), ValueError, "config.mode: 'FAST' is not one of"),
    elsewhere("config: backend", setting("backend", "gpu"), ValueError, "config.backend: 'gpu' is not one of"),
    elsewhere("config: change_flags", lambda w: config.change_flags(nothing=1).__enter__(),
        AttributeError, "no option 'nothing'"),
    row("shared(None)", lambda w: shared(None),
        TypeError, r"shared\(\) takes numbers and arrays of numbers, got NoneType"),
    row("shared of text", lambda w: shared("abc"), TypeError, "got str 'abc'"),
    row("shared of a variable", lambda w: shared(w.x),
        TypeError, r"takes a value, got the symbolic variable x(.|\n)*eval"),
    elsewhere("name of a variable", lambda w: T.dscalar(5), TypeError, "the name of a variable is text, got int 5"),
    elsewhere("name of a shared variable", lambda w: shared(1.0, 5), TypeError, "name .* is text, got int 5"),
    elsewhere("tensor without a rank", lambda w: T.tensor("float64"), TypeError, "needs broadcastable"),
]  # fmt: skip

TABLE = [*CALLS, *FUNCTION, *GRADIENT, *EXPRESSIONS, *SETTINGS]


@pytest.mark.parametrize("mistake", TABLE, ids=lambda r: r.label.replace(" ", "-"))
def test_bad_input(mistake: Row) -> None:
    world = World()
    world.call()
    before = world.snapshot()
    with pytest.raises(mistake.error, match=mistake.message) as caught:
        mistake.action(world)
    text = str(caught.value)
    assert not isinstance(caught.value, AssertionError), "assert is for bugs of graphc only"
    assert len(text.splitlines()) <= MAX_LINES, text
    assert max(map(len, text.splitlines())) <= 400, text
    if mistake.where:
        assert HERE in text, text
    assert world.snapshot() == before
    world.call()
    assert world.snapshot()[1] == before[1] + 1, "the function still works"


def test_labels_are_unique() -> None:
    labels = [r.label for r in TABLE]
    assert sorted(set(labels)) == sorted(labels)


def test_every_exception_of_graphc_is_also_one_of_python() -> None:
    """So that a program that catches ValueError need not know graphc."""
    for kind in vars(graphc.errors).values():
        if isinstance(kind, type) and issubclass(kind, GraphcError) and kind is not GraphcError:
            assert issubclass(kind, ValueError | TypeError | RuntimeError | AssertionError)
