"""What `function` takes and what a call returns: inputs, outputs, keywords, options."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import Function, In, Out, config, function, grad, shared
from graphc.errors import UnusedInputError

HERE = Path(__file__).name


def xy() -> Any:
    return T.dscalars("x", "y")


# ---- outputs ----


def test_one_output_is_an_array() -> None:
    x, y = xy()
    out = function([x, y], x * y)(2, 3)
    assert type(out) is np.ndarray
    assert out.shape == ()
    assert out.dtype == np.float64
    assert out == 6.0


OUTPUTS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "omitted": (lambda x: (), []),
    "None": (lambda x: (None,), []),
    "empty list": (lambda x: ([],), []),
    "empty tuple": (lambda x: ((),), []),
    "empty dict": (lambda x: ({},), {}),
    "list of one": (lambda x: ([x + 1],), [3.0]),
    "tuple": (lambda x: ((x, x + 1),), [2.0, 3.0]),
    "dict": (lambda x: ({"b": x, "a": x + 1},), {"b": 2.0, "a": 3.0}),
    "ordered dict": (lambda x: (OrderedDict(z=x * 2, y=x),), {"z": 4.0, "y": 2.0}),
    "Out": (lambda x: (Out(x + 1),), np.array(3.0)),
    "Out with borrow": (lambda x: (Out(x + 1, borrow=True),), np.array(3.0)),
    "list of Out": (lambda x: ([Out(x), x],), [2.0, 2.0]),
    "dict of Out": (lambda x: ({"a": Out(x)},), {"a": 2.0}),
    "number": (lambda x: (5.0,), np.array(5.0)),
    "constant": (lambda x: (T.constant(5, dtype="int8"),), np.array(5, "int8")),
    "list of variables and numbers": (lambda x: ([x, 1, True],), [2.0, 1, True]),
}


@pytest.mark.parametrize("form", OUTPUTS)
def test_form_of_the_outputs(form: str) -> None:
    x = T.dscalar("x")
    outputs, expected = OUTPUTS[form]
    options: dict[str, Any] = {"on_unused_input": "ignore"}
    result = function([x], *outputs(x), **options)(2)
    assert type(result) is type(expected)
    assert result == expected
    if isinstance(expected, dict):
        assert list(result) == list(expected), "in the order of the user's dictionary"
    if isinstance(expected, np.ndarray):
        assert result.dtype == expected.dtype
    arrays = result.values() if isinstance(result, dict) else result if isinstance(result, list) else [result]
    assert all(type(r) is np.ndarray for r in arrays)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_n_returned_outputs(count: int) -> None:
    s = shared(1.0)
    f = function([], [s * i for i in range(count)], updates={s: s + 1})
    assert f.n_returned_outputs == count
    assert len(f()) == count


def test_results_of_every_dtype() -> None:
    """Scalars and vectors come back as arrays of the dtype of the expression."""
    for dtype in ("bool", "int8", "uint64", "float16", "float32", "float64", "complex64", "complex128"):
        for ndim in (0, 1, 2):
            x = T.tensor(dtype, (False,) * ndim)
            value = np.ones((2,) * ndim, dtype)
            for expression in (x, x.reshape(x.shape) if ndim else x, T.switch(x, x, x)):
                out = function([x], expression)(value)
                assert type(out) is np.ndarray
                assert out.dtype == dtype
                assert out.shape == value.shape


# ---- inputs ----


CALLS = {
    "positions": lambda f: f(1, 2, 3),
    "keywords": lambda f: f(x=1, y=2, z=3),
    "keywords in another order": lambda f: f(z=3, x=1, y=2),
    "mixed": lambda f: f(1, z=3, y=2),
    "default": lambda f: f(1, 2),
    "default, keywords": lambda f: f(y=2, x=1),
}


@pytest.mark.parametrize("how", CALLS)
def test_arguments_by_position_and_name(how: str) -> None:
    x, y, z = T.dscalars("x", "y", "z")
    f = function([x, y, In(z, value=3)], 100 * x + 10 * y + z)
    assert CALLS[how](f) == 123.0
    assert CALLS[how](f) == 123.0, "a default is not changed by a call"


def test_default_holds_for_one_call() -> None:
    x = T.dscalar("x")
    f = function([In(x, value=1.0)], x * 2)
    assert [f(), f(5.0), f(), f(x=7), f()] == [2.0, 10.0, 2.0, 14.0, 2.0]


def test_default_anywhere_in_the_list() -> None:
    x, y = xy()
    f = function([In(x, value=1.0), y], 10 * x + y)
    assert f(y=2) == 12.0
    assert f(3, 4) == 34.0


def test_name_of_an_input() -> None:
    x, y = xy()
    f = function([In(x, name="first"), y], x - y)
    assert f(first=5, y=2) == 3.0
    with pytest.raises(TypeError, match="unknown input or state: 'x'; inputs: first, y"):
        f(x=5, y=2)


def test_input_without_a_name() -> None:
    x = T.dscalar()
    f = function([x], x + 1)
    assert f(1) == 2.0
    with pytest.raises(TypeError, match="missing required input: number 0"):
        f()


def test_autoname_false() -> None:
    x = T.dscalar("x")
    f = function([In(x, autoname=False)], x + 1)
    assert f(1) == 2.0
    with pytest.raises(TypeError, match="unknown input or state: 'x'"):
        f(x=1)


def test_two_inputs_of_one_name_are_ambiguous() -> None:
    a, b = T.dscalar("x"), T.dscalar("x")
    f = function([a, b], a - b)
    assert f(5, 3) == 2.0
    with pytest.raises(TypeError, match="'x' is the name of 2 inputs"):
        f(5, x=3)


def test_an_intermediate_variable_as_input() -> None:
    x = T.dscalar("x")
    middle = x + 1
    f = function([middle], middle * 2)
    assert f(10) == 20.0
    assert function([x, middle], x * middle)(3, 5) == 15.0, "the node above the input is cut off"


def test_tuple_of_inputs() -> None:
    x, y = xy()
    assert function((x, y), x + y)(1, 2) == 3.0


def test_many_inputs() -> None:
    many = [T.dscalar(f"x{i}") for i in range(300)]
    total = many[0]
    for x in many[1:]:
        total = total + x
    assert function(many, total)(*range(300)) == sum(range(300))


# A name is the user's business: these are names in generated code, keywords, builtins, functions of NumPy.
NAMES = """x exp add array int64 float64 bool bool_ abs full dot where shape copy asarray broadcast_shapes slice print
    t0 t1 t2 t3 c0 c1 x0 branch0 mismatch0 mismatch1 mismatch7 op0 op3 function entry this values results np numpy
    None True class lambda def self __name__ _ f checked np_exp read write lock0 dtype0 ndarray
    é λ α_1 a-b 1x""".split()


@pytest.mark.parametrize("name", [*NAMES, "", " ", "a b", "x\ny"])
def test_any_name_will_do(name: str) -> None:
    from graphc.ifelse import ifelse
    from tests.compile.programs import Doubled

    y, z, c = T.dvector(name), T.dvector("other"), T.dscalar("c")
    s = shared(np.ones(2), name=name)
    outputs = [
        T.exp(y) + z, T.cast(y, "int64"), y.sum() > 3, T.dot(y, z), T.switch(y > 1, z, y), abs(c - 1),
        y.reshape((y.shape[0], 1)), ifelse(c > 0, y * 2, z), T.zeros_like(y), Doubled()(y),
        T.set_subtensor(y[[0, 1]], z),
    ]  # fmt: skip
    f = function([y, z, c], outputs, updates={s: s + y}, name=name)
    found = f(np.array([1.0, 2.0]), np.array([3.0, 4.0]), 1.0)
    expected = [
        np.exp([1, 2]) + np.array([3, 4]), [1, 2], False, 11.0, [1, 4], 0.0, [[1], [2]], [2, 4], [0, 0], [2, 4], [3, 4],
    ]  # fmt: skip
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, wanted)
    assert s.get_value().tolist() == [2.0, 3.0]
    assert f(**{name: [0.0, 0.0], "other": [0, 0], "c": 0})[3] == 0.0


@pytest.mark.parametrize("name", ["exp", "add", "np", "class", "two words", "f(", "é", "1", "", "None", "x"])
def test_any_name_of_a_function_will_do(name: str) -> None:
    x = T.dvector("x")
    f = function([x], T.exp(x) + x, name=name)
    assert f([0.0]).tolist() == [1.0]
    assert f.name == name


# ---- unused inputs ----


def test_unused_input_raises_by_default() -> None:
    x, y = xy()
    with pytest.raises(UnusedInputError, match=rf"input 1 \(y\) is used by no output(.|\n)*{HERE}") as caught:
        function([x, y], x)
    assert isinstance(caught.value, ValueError)


def test_unused_input_warns_at_the_line_of_the_user() -> None:
    x, y = xy()
    with pytest.warns(UserWarning, match="used by no output") as caught:
        f = function([x, y], x, on_unused_input="warn")
    assert [Path(w.filename).name for w in caught] == [HERE]
    assert f(1, 2) == 1.0


def test_unused_input_is_ignored() -> None:
    x, y = xy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f = function([x, y], x, on_unused_input="ignore")
        with config.change_flags(on_unused_input="ignore"):
            function([x, y], x)
    assert f(1, 2) == 1.0
    with pytest.raises(TypeError, match="missing required input: y"):
        f(1)
    with pytest.raises(TypeError, match="expected scalar"):
        f(1, [2])


@pytest.mark.parametrize("used_by", ["output", "update", "state", "shape only", "branch"])
def test_what_counts_as_used(used_by: str) -> None:
    from graphc.ifelse import ifelse

    x, s = T.dvector("x"), shared(np.zeros(3))
    y = T.dscalar("y")
    made: dict[str, Callable[[], Any]] = {
        "output": lambda: function([x], x),
        "update": lambda: function([x], updates={s: x}),
        "state": lambda: function([In(y, value=0.0, update=y + 1)]),
        "shape only": lambda: function([x], x.shape[0]),
        "branch": lambda: function([y, x], ifelse(y > 0, x, s)),
    }
    assert isinstance(made[used_by](), Function)


# ---- options ----


def test_profile_counts_calls() -> None:
    x = T.dscalar("x")
    f = function([x], x + 1, profile=True, name="counted")
    f(1)
    f(x=2)
    assert f.profile is not None
    assert f.profile.fcn_callcount == 2
    assert f.profile.fcn_call_time > 0
    assert function([x], x).profile is None


def test_profile_summary(capsys: pytest.CaptureFixture[str]) -> None:
    x = T.dscalar("x")
    f = function([x], x + 1, profile=True, name="counted")
    f(1)
    assert f.profile is not None
    text = f.profile.summary()
    assert text in capsys.readouterr().out
    for word in ("counted", "Time in 1 calls", "Compile time", "build", "canonicalize"):
        assert word in text


@pytest.mark.parametrize("mode", ["FAST_RUN", "FAST_COMPILE"])
@pytest.mark.parametrize("numerics", ["ieee", "default", "algebraic"])
def test_modes_give_the_same_values(mode: str, numerics: str) -> None:
    x = T.dvector("x")
    cost = T.sum(T.nnet.sigmoid(x) ** 2 + T.log(1 + T.exp(x)))
    f = function([x], [cost, grad(cost, x)], mode=mode, numerics=numerics)
    value = np.array([-1.0, 0.5, 2.0])
    p = 1 / (1 + np.exp(-value))
    np.testing.assert_allclose(f(value)[0], np.sum(p**2 + np.log1p(np.exp(value))))
    np.testing.assert_allclose(f(value)[1], 2 * p * p * (1 - p) + p)


@pytest.mark.parametrize("numerics", ["ieee", "default"])
def test_no_nan_is_hidden_unasked(numerics: str) -> None:
    """`x / x` is 1 for real numbers only: rules that forget nan need numerics="algebraic"."""
    x = T.dscalar("x")
    f = function([x], [x / x, x - x, x * 0], numerics=numerics)
    assert np.isnan(f(np.nan)).all()
    assert np.isnan(f(0.0)[0])
    assert np.isnan(f(np.inf)).all()


def test_options_accepted_for_theano_programs() -> None:
    x = T.dscalar("x")
    f = function([x], x + 1, accept_inplace=True, rebuild_strict=False, name="f", mode=None)
    assert f(1) == 2.0


def test_arguments_of_function_by_position() -> None:
    """The order of Theano's signature: inputs, outputs, mode, updates, givens, ..."""
    x, s = T.dscalar("x"), shared(1.0, "s")
    f = function([x], x + 1, None, [(s, s + x)], {})
    assert f(1) == 2.0
    assert s.get_value() == 2.0


def test_trust_input() -> None:
    x = T.dvector("x")
    f = function([x], x + 1)
    f.trust_input = True
    assert f(np.zeros(2)).tolist() == [1.0, 1.0]
    f.trust_input = False
    assert f([0, 0]).tolist() == [1.0, 1.0]


def test_looking_inside() -> None:
    x = T.dscalar("x")
    f = function([x], x * 2 + 1, name="line", backend="numpy")  # whose source has the name, and a line for each step
    assert [type(node).__name__ for node in f.maker.fgraph.toposort()] == ["Apply"] * 2
    assert f.maker.fgraph.apply_nodes == f.graph.toposort()
    assert "line" in f.source
    assert "line" in repr(f)
    assert len(f.schedule.steps) == 2
    assert f.backend in ("numpy", "llvm", "cupy", "auto")


def test_no_floating_point_warnings() -> None:
    x = T.dvector("x")
    f = function([x], [T.log(x), 1 / x, T.exp(x * 1e6), T.cast(x, "int8")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f(np.array([-1.0, 0.0, np.nan, np.inf]))


def test_numpys_error_state_is_left_alone() -> None:
    x = T.dvector("x")
    f = function([x], 1 / x)
    before = np.geterr()
    f(np.zeros(2))
    assert np.geterr() == before
    with np.errstate(divide="raise"):
        f(np.zeros(2))
        assert np.geterr()["divide"] == "raise"


def test_free_and_get_shared() -> None:
    a, b, c = shared(1.0, "a"), shared(np.zeros(1), "b"), shared(2.0, "c")
    f = function([], a + b, updates={c: a})
    assert set(f.get_shared()) == {a, b, c}
    b.set_value(np.zeros(3))
    f()
    assert len(f.variants) == 2
    f.free()
    assert len(f.variants) == 1
    assert f().shape == (3,)
    b.set_value(np.zeros(1))
    assert f().shape == (1,)
