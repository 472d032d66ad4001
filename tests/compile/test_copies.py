"""Copies: `f.copy`, deepcopy and pickle, of functions, variables and shared values, also into another process."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import Function, In, Variable, debugprint, function, grad, pp, shared
from graphc.graph.shared import SharedVariable
from graphc.graph.traverse import leaves
from graphc.ifelse import ifelse
from tests.compile.programs import Doubled

ROOT = Path(__file__).parents[2]


def pickled(protocol: int, x: Any) -> Any:
    """What comes out of a pickle."""
    return pickle.loads(pickle.dumps(x, protocol))


THROUGH: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    **{f"pickle {n}": partial(pickled, n) for n in range(2, pickle.HIGHEST_PROTOCOL + 1)},
}
FUNCTIONS: dict[str, Callable[[Any], Any]] = {"copy": copy.copy, "f.copy()": lambda f: f.copy(), **THROUGH}


# ---- variables ----


def graph_of(x: Variable, w: Variable) -> Variable:
    y = T.nnet.sigmoid(T.dot(x, w) + 1.5)
    y.name = "hidden"
    return ifelse(T.sum(x) > 0, T.mean(y[::2] ** 2), T.sum(T.set_subtensor(x[0], 0.0)) * T.constant(2, name="two"))


@pytest.mark.parametrize("way", THROUGH)
def test_a_variable(way: str) -> None:
    x, w = T.dmatrix("x"), shared(np.ones(2), "w")
    out = graph_of(x, w)
    twin = THROUGH[way](out)
    assert pp(twin) == pp(out)
    assert debugprint(twin, file="str") == debugprint(out, file="str")
    assert out.owner is not None
    assert twin.owner.site == out.owner.site
    assert twin.type == out.type
    x2, w2 = (next(v for v in leaves([twin]) if v.name == name) for name in "xw")
    value = np.array([[1.0, 2.0], [3.0, 4.0], [-1.0, 0.0]])
    assert function([x2], twin)(value) == function([x], out)(value)
    assert isinstance(w2, SharedVariable)
    w2.set_value(np.zeros(2))
    assert w.get_value().tolist() == [1.0, 1.0], "the copy has a value of its own"


@pytest.mark.parametrize("way", THROUGH)
def test_leaf_identity_in_any_container(way: str) -> None:
    x, w = T.dvector("x"), shared(np.ones(2), "w")
    a, b = x * w, T.exp(x)
    package = {"inputs": [x], "outputs": (a, {"b": b}), "parameters": [w], "again": x}
    twin = THROUGH[way](package)
    x2, w2 = twin["inputs"][0], twin["parameters"][0]
    a2, b2 = twin["outputs"][0], twin["outputs"][1]["b"]
    assert twin["again"] is x2
    assert a2.owner.inputs == (x2, w2)
    assert b2.owner.inputs[0] is x2
    f = function([x2], [a2, b2], updates={w2: w2 * 10})
    f([0.0, 1.0])
    assert w2.get_value().tolist() == [10.0, 10.0]
    assert w.get_value().tolist() == [1.0, 1.0]
    assert grad(a2.sum(), x2).eval({x2: [0, 0]}).tolist() == [10.0, 10.0]


@pytest.mark.parametrize("way", THROUGH)
def test_leaves(way: str) -> None:
    for x in (T.dscalar("x"), T.imatrix(), T.drow("r"), T.tensor("int8", shape=(None, 3), name="t")):
        twin = THROUGH[way](x)
        assert (type(twin), twin.type, twin.name) == (type(x), x.type, x.name)
        assert twin is not x
    k: Any = T.constant(np.array([[1, 2], [3, 4]]), name="k")
    twin = THROUGH[way](k)
    assert isinstance(twin.data, np.ndarray)
    assert twin.data.tolist() == k.data.tolist()
    assert not twin.data.flags.writeable


@pytest.mark.parametrize("way", THROUGH)
def test_a_shared_variable(way: str) -> None:
    s = shared(np.arange(3, dtype="float32"), "s", strict=True)
    s.default_update = s * 2
    twin = THROUGH[way](s)
    assert (twin.name, twin.type, twin.strict) == ("s", s.type, True)
    function([], twin)()
    assert twin.get_value().tolist() == [0.0, 2.0, 4.0]
    assert s.get_value().tolist() == [0.0, 1.0, 2.0]
    assert leaves([twin.default_update])[0] is twin


@pytest.mark.parametrize("way", THROUGH)
def test_two_names_of_one_cell_stay_one(way: str) -> None:
    s = shared(1.0, "s")
    twin = s.clone("twin")
    a, b = THROUGH[way]([s, twin])
    a.set_value(5.0)
    assert b.get_value() == 5.0
    assert s.get_value() == twin.get_value() == 1.0


@pytest.mark.parametrize("way", THROUGH)
def test_a_user_op(way: str) -> None:
    x = T.dvector("x")
    twin = THROUGH[way]([x, Doubled(3.0)(x)])
    assert twin[1].owner.op == Doubled(3.0)
    assert function([twin[0]], twin[1])([1.0]).tolist() == [3.0]


@pytest.mark.parametrize("way", THROUGH)
def test_a_deep_graph(way: str) -> None:
    """No recursion over the graph: a chain of 5,000 nodes under the default recursion limit."""
    x = T.dscalar("x")
    y = x
    for _ in range(5_000):
        y = y + 1
    x2, y2 = THROUGH[way]([x, y])
    assert x2 in leaves([y2])
    assert y2.owner.inputs[0].owner.inputs[0].owner.op == y.owner.op


# ---- functions ----


def trainer() -> tuple[Function, Any, Any]:
    x, w = T.dvector("x"), shared(np.array([1.0, 2.0]), "w")
    step = T.dscalar("step")
    cost = T.sum((x * w) ** 2)
    f = function(
        [x, In(step, value=0.125, update=step / 2)],
        {"cost": cost, "w": w},
        updates={w: w - step * grad(cost, w)},
        name="trainer",
    )
    return f, w, step


@pytest.mark.parametrize("way", FUNCTIONS)
def test_a_function_goes_on_where_it_was(way: str) -> None:
    f, w, step = trainer()
    f([1.0, 1.0])
    twin = FUNCTIONS[way](f)
    assert twin.name == "trainer"
    assert twin.source == f.source
    state, value = f[step].copy(), w.get_value()
    expected = f([1.0, 2.0])
    shares = way in ("copy", "f.copy()")
    assert twin["step"] == state, "private state is copied"
    if shares:
        w.set_value(value)
    got = twin([1.0, 2.0])
    for key in ("cost", "w"):
        np.testing.assert_array_equal(got[key], expected[key])
    (w2,) = twin.get_shared()
    assert (w2 is w) == shares, "shared variables are shared by copies in this process, not by pickles"
    np.testing.assert_array_equal(w2.get_value(), w.get_value())
    assert twin["step"] == f[step]


@pytest.mark.parametrize("way", THROUGH)
def test_functions_and_their_variables_together(way: str) -> None:
    x, w = T.dvector("x"), shared(np.zeros(2), "w")
    up = function([x], updates={w: w + x})
    look = function([], w)
    up2, look2, w2 = THROUGH[way]([up, look, w])
    up2([1.0, 2.0])
    assert look2().tolist() == [1.0, 2.0]
    assert w2.get_value().tolist() == [1.0, 2.0]
    assert look().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("way", THROUGH)
def test_options_of_a_function_are_kept(way: str) -> None:
    x = T.fscalar("x")
    loose = THROUGH[way](function([x], x, allow_input_downcast=True))
    assert loose(0.1) == np.float32(0.1)
    strict = THROUGH[way](function([In(x, strict=True)], x))
    with pytest.raises(TypeError, match="strict"):
        strict(0.5)
    options: dict[str, Any] = {"numerics": "ieee", "matmul_precision": "tf32"}
    named = THROUGH[way](function([In(x, name="other")], [x], profile=True, **options))
    assert named(other=1)[0] == 1.0
    assert {key: getattr(named, key) for key in options} == options
    assert named.profile is not None
    nameless = THROUGH[way](function([In(x, autoname=False)], x)).copy()
    with pytest.raises(TypeError, match="unknown input"):
        nameless(x=1)
    unused = THROUGH[way](function([x, T.dscalar("y")], x, on_unused_input="ignore"))
    assert unused(1, 2) == 1.0
    assert THROUGH[way](function([x], None, updates={}, on_unused_input="ignore"))(1) == []


def test_into_another_process(beginning: str) -> None:
    f, w, step = trainer()
    f([1.0, 1.0])
    program = """
import pickle, sys
import numpy as np
f, w, doubled = pickle.load(sys.stdin.buffer)
out = f([1.0, 2.0])
assert f.get_shared()[0] is w
error = ""
try:
    f([1.0, 2.0, 3.0])
except ValueError as caught:
    error = str(caught)
pickle.dump((out, w.get_value(), f["step"], doubled([1.0]), error), sys.stdout.buffer)
"""
    x = T.dvector("x")
    package = pickle.dumps((f, w, function([x], Doubled(4.0)(x))))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", beginning + program]
    done = subprocess.run(command, input=package, capture_output=True, check=False, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    out, value, state, doubled, error = pickle.loads(done.stdout)
    expected = f([1.0, 2.0])
    np.testing.assert_array_equal(out["cost"], expected["cost"])
    np.testing.assert_array_equal(value, w.get_value())
    assert state == f[step]
    assert doubled.tolist() == [4.0]
    assert Path(__file__).name in error, "errors still name the line that built the node"


# ---- Function.copy ----


def test_copy_swaps_shared_variables() -> None:
    f, w, _ = trainer()
    other = shared(np.array([10.0, 20.0]), "other")
    g = f.copy(swap={w: other}, name="twin")
    assert g.name == "twin"
    assert g([1.0, 0.0])["w"].tolist() == [10.0, 20.0]
    assert other.get_value().tolist() == [10.0 - 0.125 * 20.0, 20.0]
    assert w.get_value().tolist() == [1.0, 2.0]
    assert g.get_shared() == [other]
    assert f([1.0, 0.0])["w"].tolist() == [1.0, 2.0]


def test_copy_exchanges_two_shared_variables() -> None:
    a, b = shared(1.0, "a"), shared(2.0, "b")
    f = function([], [a, b], updates={a: a * 10})
    g = f.copy(swap={a: b, b: a})
    assert [float(r) for r in g()] == [2.0, 1.0]
    assert (float(a.get_value()), float(b.get_value())) == (1.0, 20.0)


def test_copy_without_updates() -> None:
    f, _w, _step = trainer()
    g = f.copy(delete_updates=True)
    for _ in range(2):
        assert g([1.0, 1.0])["w"].tolist() == [1.0, 2.0]
    assert g["step"] == 0.125
    assert g.updates == ()
    assert f.updates != ()


def test_copy_shares_memory_of_private_state() -> None:
    f, _, step = trainer()
    own, common = f.copy(), f.copy(share_memory=True)
    f([0.0, 0.0])
    assert (float(f[step]), float(own[step]), float(common[step])) == (0.0625, 0.125, 0.0625)


def test_copy_takes_a_profile() -> None:
    f, _, _ = trainer()
    assert f.copy().profile is None
    g = f.copy(profile=True)
    g([1.0, 1.0])
    assert g.profile is not None
    assert g.profile.fcn_callcount == 1


def test_copy_refuses() -> None:
    f, w, _ = trainer()
    with pytest.raises(ValueError, match="not a shared variable of this function"):
        f.copy(swap={shared(1.0): w})
    with pytest.raises(TypeError, match="another type"):
        f.copy(swap={w: shared(1.0, "scalar")})
    with pytest.raises(TypeError, match="another type"):
        f.copy(swap={w: shared(np.ones(2, "float32"), "single")})
    with pytest.raises(TypeError, match="shared variable"):
        f.copy(swap={w: T.dvector("v")})
    assert f([1.0, 1.0])["w"].tolist() == [1.0, 2.0]
