"""NumPy's broadcasting at run time: values, shapes of gradients, how many variants are compiled, and the errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import Variable, function, grad, shared
from graphc.errors import MAX_LINES, ShapeError

HERE = Path(__file__).name

SHAPES = [(), (1,), (3,), (0,), (1, 1), (1, 3), (2, 1), (2, 3), (0, 3), (2, 0), (0, 1), (1, 0), (2, 1, 3), (1, 2, 1)]


def compatible(*shapes: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


def summed_to(g: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """The gradient of a broadcast operand: `g` summed over the axes along which it was repeated."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return np.asarray(g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True))


def of(shape: tuple[int, ...], seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("ranks", list(itertools.product(range(4), repeat=2)), ids=str)
def test_every_pair_of_shapes(ranks: tuple[int, int]) -> None:
    """One function for each pair of ranks meets all pairs of shapes, in an order that changes the pattern often."""
    x, y = (T.tensor("float64", (False,) * n, name=name) for n, name in zip(ranks, "xy", strict=True))
    out = x * y + y
    weight = T.tensor("float64", (False,) * max(ranks), name="w")
    gx, gy = grad((out * weight).sum(), [x, y])
    assert (gx.ndim, gy.ndim) == ranks
    f = function([x, y], out)
    df = function([x, y, weight], [gx, gy])
    pairs = [(a, b) for a, b in itertools.product(SHAPES, repeat=2) if (len(a), len(b)) == ranks]
    assert pairs
    for a, b in pairs:
        xv, yv = of(a, 1), of(b, 2)
        if not compatible(a, b):
            derivative: Callable[..., Any] = lambda p, q: df(p, q, p + 0 if p.ndim >= q.ndim else q + 0)
            for g in (f, derivative):
                with pytest.raises(ShapeError) as caught:
                    g(xv, yv)
                text = str(caught.value)
                assert HERE in text
                assert "sizes" in text
                assert len(text.splitlines()) <= MAX_LINES
            continue
        expected = xv * yv + yv
        got = f(xv, yv)
        np.testing.assert_array_equal(got, expected)
        assert got.shape == expected.shape
        wv = of(expected.shape, 3)
        got_x, got_y = df(xv, yv, wv)
        assert (got_x.shape, got_y.shape) == (a, b)
        np.testing.assert_allclose(got_x, summed_to(wv * yv, a), atol=1e-12)
        np.testing.assert_allclose(got_y, summed_to(wv * (xv + 1), b), atol=1e-12)


def test_number_of_variants() -> None:
    """One compilation for each pattern of ones that cannot be run by another; never one for a size."""
    x, y = T.dmatrix("x"), T.dmatrix("y")
    f = function([x, y], x + y)
    assert len(f.variants) == 1
    for n in (2, 3, 5, 1, 0, 100):
        f(np.ones((n, 4)), np.ones((n, 4)))
    assert len(f.variants) == 1, "equal sizes, whatever they are"
    f(np.ones((1, 4)), np.ones((3, 4)))
    assert len(f.variants) == 2
    for n in (2, 7):
        f(np.ones((1, n)), np.ones((n, n)))
    assert len(f.variants) == 2
    f(np.ones((3, 4)), np.ones((1, 4)))
    assert len(f.variants) == 3
    f(np.ones((3, 1)), np.ones((1, 4)))
    assert len(f.variants) in (4, 5), "two axes differ: at most one step between"
    f(np.ones((2, 2)), np.ones((2, 2)))
    assert len(f.variants) <= 5


def test_few_variants_are_kept() -> None:
    many = [T.dvector(f"x{i}") for i in range(6)]
    f = function(many, sum(many[1:], many[0]))
    for ones in itertools.product([1, 3], repeat=6):
        out = f(*(np.full(n, 1.0) for n in ones))
        assert out.tolist() == [6.0] * max(ones)
    assert len(f.variants) == 8


def test_the_first_call_decides_nothing() -> None:
    x, y = T.dvector("x"), T.dvector("y")
    shapes = [(1, 1), (1, 4), (4, 1), (4, 4)]
    for order in itertools.permutations(shapes):
        f = function([x, y], [x - y, *grad((x * y).sum(), [x, y])])
        for n, m in order:
            a, b = of((n,), 1), of((m,), 2)
            difference, gx, gy = f(a, b)
            np.testing.assert_array_equal(difference, a - b)
            np.testing.assert_allclose(gx, summed_to(np.broadcast_to(b, (max(n, m),)), (n,)))
            np.testing.assert_allclose(gy, summed_to(np.broadcast_to(a, (max(n, m),)), (m,)))


def test_three_operands_and_a_chain() -> None:
    x, y, z = T.dvector("x"), T.dvector("y"), T.dmatrix("z")
    out = T.tanh(x + y) * z - y
    g = grad(out.sum(), [x, y, z])
    f = function([x, y, z], [out, *g])
    for n, m, k in itertools.product([1, 4], repeat=3):
        for rows in (1, 3):
            a, b, c = of((n,), 1), of((m,), 2), of((rows, k), 3)
            t = np.tanh(a + b)
            value, gx, gy, gz = f(a, b, c)
            np.testing.assert_allclose(value, t * c - b)
            full = np.ones(np.broadcast_shapes(a.shape, b.shape, c.shape))
            inner = (1 - t**2) * c * full
            np.testing.assert_allclose(gx, summed_to(inner, a.shape))
            np.testing.assert_allclose(gy, summed_to(inner - full, b.shape))
            np.testing.assert_allclose(gz, summed_to(t * full, c.shape))


@pytest.mark.parametrize("order", [1, -1])
def test_known_sizes_that_contradict_a_guess(order: int) -> None:
    """`v` may be 1 long: then `v * pair` broadcasts and `dot(v, row)` is right.  The order of outputs is no matter."""
    v, pair, row = T.dvector("v"), np.array([1.0, 2.0]), T.constant(np.ones((1, 2)))
    f = function([v], [v * pair, T.dot(v, row)][::order])
    product, dot = f([3.0])[::order]
    assert product.tolist() == [3.0, 6.0]
    assert dot.tolist() == [3.0, 3.0]
    for wrong in ([1.0, 2.0], [1.0, 2.0, 3.0], []):
        with pytest.raises(ShapeError, match=HERE):
            f(wrong)
    assert f([1.0])[::order][0].tolist() == [1.0, 2.0]


def test_present_sizes_of_shared_variables_that_no_call_could_use() -> None:
    """They may be set before the first call."""
    w, x = shared(np.ones((1, 2)), "w"), T.tensor("float64", shape=(3,), name="x")
    f = function([x], T.dot(x, w))
    with pytest.raises(ShapeError, match=HERE):
        f(np.ones(3))
    w.set_value(np.ones((3, 2)))
    assert f(np.ones(3)).tolist() == [3.0, 3.0]


def test_declared_ones_need_no_variant() -> None:
    x, r, c = T.dmatrix("x"), T.drow("r"), T.dcol("c")
    f = function([x, r, c], [x + r * c, *grad((x * r + c).sum(), [r, c])])
    out, gr, gc = f(np.ones((2, 3)), np.ones((1, 3)), np.ones((2, 1)))
    assert (out.shape, gr.shape, gc.shape) == ((2, 3), (1, 3), (2, 1))
    assert len(f.variants) == 1
    with pytest.raises(TypeError, match="expected size 1 on axis 0"):
        f(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 1)))


def test_reductions_and_dots_do_not_broadcast() -> None:
    """Only elementwise ops stretch a 1; the inner sizes of a product must be equal."""
    x, y = T.dmatrix("x"), T.dmatrix("y")
    f = function([x, y], T.dot(x, y))
    assert f(np.ones((2, 1)), np.ones((1, 3))).shape == (2, 3)
    for a, b in (((2, 1), (3, 3)), ((2, 3), (1, 3)), ((2, 3), (2, 3))):
        with pytest.raises(ShapeError, match=rf"dot: sizes(.|\n)*{HERE}"):
            f(np.ones(a), np.ones(b))
    assert len(f.variants) == 1


def test_shape_error_tells() -> None:
    x, y = T.dmatrix("left"), T.dvector("right")
    f = function([x, y], T.tanh(x) * y, name="model")
    with pytest.raises(ShapeError) as caught:
        f(np.ones((2, 3)), np.ones(4))
    assert isinstance(caught.value, ValueError)
    text = str(caught.value)
    parts = ("model", "mul: sizes", "3 and 4", "float64", "right", "shape (4,)", HERE, "test_shape_error_tells")
    for part in (*parts, "1 to broadcast"):
        assert part in text, part
    assert f(np.ones((2, 3)), np.ones(1)).shape == (2, 3), "the function still works"


def test_shape_error_when_the_graph_is_built() -> None:
    a, b = T.constant(np.ones((2, 3))), T.constant(np.ones((2, 4)))
    with pytest.raises(ShapeError, match=rf"add: sizes 3 and 4 do not agree(.|\n)*{HERE}"):
        a + b


# ---- shared variables ----


def test_a_shared_variable_brings_the_pattern_of_its_value() -> None:
    w, x = shared(np.ones((1, 3)), "w"), T.dmatrix("x")
    f = function([x], [x + w, grad((x * w).sum(), w)])
    assert len(f.variants) == 1
    out, g = f(np.ones((4, 3)))
    assert (out.shape, g.shape) == ((4, 3), (1, 3))
    assert g.tolist() == [[4.0] * 3]
    assert len(f.variants) == 1, "a 1 is a 1 from the start"


def test_set_value_from_1_to_n_and_back() -> None:
    w, x = shared(np.full((1, 2), 2.0), "w"), T.dmatrix("x")
    cost = (x * w).sum()
    step = function([x], cost, updates={w: w - 0.5 * grad(cost, w)})
    for rows in (1, 3, 1, 3, 2, 1):
        w.set_value(np.full((rows, 2), 2.0))
        for given in {rows, 1, 3} if rows == 1 else {rows, 1}:
            before, value = w.get_value(), of((given, 2), 5)
            got = step(value)
            np.testing.assert_allclose(got, (value * before).sum())
            g = summed_to(np.broadcast_to(value, np.broadcast_shapes(value.shape, before.shape)), before.shape)
            np.testing.assert_allclose(w.get_value(), before - 0.5 * g)
            assert w.get_value().shape == (rows, 2)
    assert len(step.variants) <= 4


def test_an_update_that_grows_its_variable_through_a_1() -> None:
    s = shared(np.ones(1), "s")
    x = T.dvector("x")
    f = function([x], s * 2, updates={s: s + x})
    assert f([1.0, 2.0]).tolist() == [2.0]
    assert f([1.0, 2.0]).tolist() == [4.0, 6.0]
    assert s.get_value().tolist() == [3.0, 5.0]
    with pytest.raises(ShapeError):
        f([1.0, 2.0, 3.0])
    assert s.get_value().tolist() == [3.0, 5.0]


# ---- sizes that only running tells ----


def masked(x: Variable, y: Variable) -> Variable:
    out: Variable = x[x > 0] + y
    return out


@pytest.mark.parametrize("kept", [0, 1, 3])
@pytest.mark.parametrize("length", [0, 1, 3])
def test_data_dependent_sizes(kept: int, length: int) -> None:
    x, y = T.dvector("x"), T.dvector("y")
    s = shared(0.0, "s")
    out = masked(x, y)
    f = function([x, y], [out, grad(out.sum(), y)], updates={s: s + out.sum()})
    a = np.array([1.0] * kept + [-1.0] * 2)
    b = np.arange(float(length))
    if not compatible((kept,), (length,)):
        with pytest.raises(ShapeError, match=rf"add: sizes(.|\n)*{HERE}"):
            f(a, b)
        assert s.get_value() == 0.0
        return
    for _ in range(2):
        value, g = f(a, b)
        np.testing.assert_array_equal(value, a[a > 0] + b)
        np.testing.assert_array_equal(g, summed_to(np.ones(value.shape), b.shape))
    assert s.get_value() == 2 * (a[a > 0] + b).sum()


def test_two_masks_of_equal_length_by_luck() -> None:
    x, y = T.dvector("x"), T.dvector("y")
    f = function([x, y], x[x > 0] * y[y > 0])
    assert f([1.0, -1.0, 2.0], [3.0, 4.0]).tolist() == [3.0, 8.0]
    assert f([1.0, -1.0, -2.0], [3.0, 4.0]).tolist() == [3.0, 4.0]
    assert f([1.0, 5.0], [-3.0, 4.0]).tolist() == [4.0, 20.0]
    with pytest.raises(ShapeError, match=HERE):
        f([1.0, 2.0, 3.0], [3.0, 4.0])
    assert f([], []).tolist() == []


def test_sizes_from_values() -> None:
    n, x = T.lscalar("n"), T.dvector("x")
    f = function([n, x], T.zeros((n,)) + x)
    assert f(3, [1.0, 2.0, 3.0]).tolist() == [1.0, 2.0, 3.0]
    assert f(3, [1.0]).tolist() == [1.0] * 3
    assert f(1, [1.0, 2.0]).tolist() == [1.0, 2.0]
    with pytest.raises(ShapeError, match=HERE):
        f(3, [1.0, 2.0])


def test_slices_that_must_agree() -> None:
    x, n = T.dvector("x"), T.lscalar("n")
    f = function([x, n], x[:n] + x[n:])
    assert f([1.0, 2.0, 3.0, 4.0], 2).tolist() == [4.0, 6.0]
    assert f([1.0, 2.0, 3.0], 1).tolist() == [3.0, 4.0]
    assert f([1.0, 2.0], -1).tolist() == [3.0]
    with pytest.raises(ShapeError, match=HERE):
        f(np.ones(6), 2)


def test_alloc_broadcasts_its_value_only() -> None:
    x, k = T.dvector("x"), T.lscalar("k")
    f = function([x, k], T.alloc(x, 2, k))
    g = function([x], T.alloc(x, 2, 1))
    for length, wanted in [(3, 3), (1, 3), (1, 1), (1, 0), (0, 0)]:
        np.testing.assert_array_equal(f(np.ones(length), wanted), np.ones((2, wanted)))
    np.testing.assert_array_equal(g([5.0]), [[5.0], [5.0]])
    for length, wanted in [(3, 1), (0, 1), (3, 2)]:
        with pytest.raises(ShapeError, match=HERE):
            f(np.ones(length), wanted)
        with pytest.raises(ShapeError, match=HERE):
            g(np.ones(length))


def test_a_slice_of_an_axis_that_a_variant_takes_to_be_1() -> None:
    x, n, k = T.dmatrix("x"), T.lscalar("n"), T.lscalar("k")
    row = x[0:1]
    f = function([x, n, k], T.fill(row[n:n], T.alloc(row, 2, 1, k)))
    for shape, wanted in [((3, 4), 4), ((3, 1), 4), ((3, 1), 1), ((1, 4), 4)]:
        assert f(np.ones(shape), 0, wanted).shape == (2, 0, wanted)
    with pytest.raises(ShapeError, match=HERE):
        f(np.ones((0, 4)), 0, 4)


def test_what_is_put_into_a_part_broadcasts_and_the_part_does_not() -> None:
    x, y, n = T.dvector("x"), T.dvector("y"), T.lscalar("n")
    one = T.tensor("float64", shape=(1,), name="one")
    for put in (T.set_subtensor, T.inc_subtensor):
        f = function([x, y, n], put(x[:n], y))
        for length, given in [(3, 1), (1, 1), (3, 3), (0, 0), (0, 1)]:
            assert f(np.zeros(5), np.ones(given), length).sum() == length
        with pytest.raises(ShapeError, match=HERE):
            f(np.zeros(5), np.ones(3), 1)
        for part in (one[:], one[:1], one[::-1], one[[0]], x[:1], x[2:3], x[[0]]):
            g = function([one, x, y], put(part, y), on_unused_input="ignore")
            assert g(np.zeros(1), np.zeros(5), np.ones(1)).sum() == 1
            for given in (0, 2, 3):
                with pytest.raises(ValueError, match=HERE):
                    g(np.zeros(1), np.zeros(5), np.ones(given))


def test_what_is_put_into_all_of_an_array_does_not_grow_it() -> None:
    x, y = T.dmatrices("x", "y")
    for put in (T.set_subtensor, T.inc_subtensor):
        f = function([x, y], put(x[:], y))
        for rows, given in [(3, 3), (1, 1), (3, 1), (0, 0), (0, 1), (1, 1)]:
            assert f(np.zeros((rows, 2)), np.ones((given, 2))).shape == (rows, 2)
        for given in (0, 2):
            with pytest.raises(ShapeError, match=HERE):
                f(np.zeros((1, 2)), np.ones((given, 2)))
