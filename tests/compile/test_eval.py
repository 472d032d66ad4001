"""`Variable.eval`: the value of an expression for given values of its inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import config, function, shared
from graphc.errors import MissingInputError

HERE = Path(__file__).name


def test_values_by_variable_and_by_name() -> None:
    x, y = T.dscalars("x", "y")
    z = 10 * x + y
    for values in ({x: 1, y: 2}, {"x": 1, "y": 2}, {x: 1, "y": 2}, {y: 2.0, x: np.array(1.0)}):
        out = z.eval(values)
        assert type(out) is np.ndarray
        assert out == 12.0


def test_lists_and_nested_lists() -> None:
    X = T.dmatrix("X")
    assert (X * 2).eval({X: [[1, 1], [2, 2]]}).tolist() == [[2.0, 2.0], [4.0, 4.0]]
    assert X.T.eval({"X": ((1, 2),)}).tolist() == [[1.0], [2.0]]


def test_no_inputs() -> None:
    s = shared(3.0, "s")
    assert s.eval() == 3.0
    assert (s * 2).eval() == 6.0
    assert T.constant([1, 2]).eval().tolist() == [1, 2]
    assert T.zeros((2,)).eval({}).tolist() == [0.0, 0.0]
    s.set_value(4.0)
    assert (s * 2).eval() == 8.0


def test_an_input_and_intermediate_variables() -> None:
    x = T.dscalar("x")
    hidden = T.exp(x)
    assert x.eval({x: 5}) == 5.0
    assert (hidden + 1).eval({hidden: 2.0}) == 3.0
    assert (hidden + 1).eval({x: 0.0}) == 2.0


def test_unneeded_values_are_ignored() -> None:
    x, y = T.dscalars("x", "y")
    assert (x + 1).eval({x: 1, y: 5}) == 2.0


def test_a_name_that_nothing_depends_on() -> None:
    x = T.dscalar("x")
    with pytest.raises(TypeError, match="eval: 'y' is no variable that"):
        (x + 1).eval({x: 1, "y": 5})


def test_names_that_are_not_unique() -> None:
    a, b = T.dscalar("x"), T.dscalar("x")
    assert (a - b).eval({a: 5, b: 3}) == 2.0
    with pytest.raises(TypeError, match="'x' is the name of 2 variables"):
        (a - b).eval({"x": 5})


def test_compiled_once_for_each_set_of_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphc.compile import evaluation

    compiled: list[Any] = []

    def counting(*args: Any, **kwargs: Any) -> Any:
        compiled.append(args)
        return function(*args, **kwargs)

    monkeypatch.setattr(evaluation, "function", counting)
    x, y = T.dscalars("x", "y")
    z = x * 2 + y
    for n in range(5):
        assert z.eval({x: n, y: 1}) == 2 * n + 1
        assert z.eval({y: n, x: 1}) == 2 + n
        assert z.eval({"y": n, "x": 1}) == 2 + n
    assert len(compiled) == 1
    doubled = x * 2
    doubled.eval({x: 1})
    doubled.eval({x: 1})
    assert len(compiled) == 2


def test_the_cache_is_not_a_user_attribute() -> None:
    """Notes in `tag` stay what the user wrote."""
    x = T.dscalar("x")
    y = x + 1
    y.tag.note = "mine"
    y.eval({x: 1})
    assert {k for k in vars(y.tag) if not k.startswith("_")} == {"note"}


def test_options_are_part_of_the_cache() -> None:
    x = T.dscalar("x")
    y = x / x
    for _ in range(2):
        assert np.isnan(y.eval({x: 0.0}, numerics="ieee"))
        assert y.eval({x: 1.0}, mode="FAST_COMPILE") == 1.0
        assert y.eval({x: 1.0}) == 1.0


OPTIONS = [("numerics", "ieee"), ("matmul_precision", "tf32"), ("mode", "FAST_COMPILE")]


@pytest.mark.parametrize("option, value", OPTIONS)
def test_the_configuration_is_part_of_the_cache(option: str, value: str) -> None:
    x = T.dscalar("x")
    y = x + 1
    y.eval({x: 1.0})
    with config.change_flags(**{option: value}):
        y.eval({x: 1.0})
    y.eval({x: 1.0})
    assert len(y.tag._eval_functions) == 2


def test_missing_value() -> None:
    x, y = T.dscalars("x", "y")
    with pytest.raises(MissingInputError, match=rf"y has no value(.|\n)*{HERE}"):
        (x + y).eval({x: 1})
    with pytest.raises(TypeError, match="takes a dictionary"):
        (x + y).eval([1, 2])
    with pytest.raises(TypeError, match="bad argument"):
        (x + 1).eval({x: "one"})


def test_eval_drops_no_updates() -> None:
    """A default update belongs to every function, so to that of `eval`."""
    s = shared(0.0)
    s.default_update = s + 1
    assert [float((s * 1).eval()), float(s.eval())] == [0.0, 1.0]
