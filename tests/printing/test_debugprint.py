"""The layout of debugprint, which is Theano's, and its options."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.gradient import grad
from graphc.graph.fgraph import FunctionGraph
from graphc.graph.op import Op
from graphc.graph.shared import shared
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Variable
from graphc.ops.control import ifelse
from graphc.ops.elementwise import lt, sqr
from graphc.ops.matmul import dot
from graphc.ops.nnet import softmax
from graphc.ops.transcendental import tanh
from graphc.printing import debugprint, min_informative_str
from graphc.printing.debug import letters

Golden = Callable[[str], Any]

matrix = TensorType("float64", shape=(None, None))
A, B, D, E = (matrix(name) for name in "ABDE")


def network() -> FunctionGraph:
    """The forward pass of the article's network."""
    X = matrix("X")
    W1, W2 = shared(np.ones((2, 4)), "W1"), shared(np.ones((4, 2)), "W2")
    b1, b2 = shared(np.zeros(4), "b1"), shared(np.zeros(2), "b2")
    y_hat = softmax(dot(tanh(dot(X, W1) + b1), W2) + b2)
    return FunctionGraph.build([X, W1, b1, W2, b2], [y_hat])


def text(obj: Any, **options: Any) -> str:
    out = debugprint(obj, file="str", **options)
    assert isinstance(out, str)
    return out


ARTICLE = """\
SoftmaxWithBias [id A] ''   4
 |Dot22 [id B] ''   3
 | |Elemwise{Composite{tanh((i0 + i1))}}[(0, 0)] [id C] ''   2
 | | |Dot22 [id D] ''   1
 | | | |X [id E]
 | | | |W1 [id F]
 | | |InplaceDimShuffle{x,0} [id G] ''   0
 | |   |b1 [id H]
 | |W2 [id I]
 |b2 [id J]
"""


class Named(Op):
    """An op that prints as one of Theano's."""

    def __init__(self, name: str) -> None:
        self.name = name

    def make_node(self, *inputs: Any) -> Apply:
        return Apply(self, inputs, [matrix])

    def infer_shape(self, sizes: Any, inputs: Any, shapes: Any) -> Any:
        return [(None, None)]

    def text(self) -> str:
        return self.name


def test_the_layout_of_the_article() -> None:
    X, W1, b1, W2, b2 = (matrix(name) for name in ("X", "W1", "b1", "W2", "b2"))
    row = Named("InplaceDimShuffle{x,0}")(b1)
    product = Named("Dot22")
    hidden = Named("Elemwise{Composite{tanh((i0 + i1))}}[(0, 0)]")(product(X, W1), row)
    y_hat = Named("SoftmaxWithBias")(product(hidden, W2), b2)

    def without_numbers(listing: str) -> list[str]:
        return [re.sub(r"\d+$", "", line) for line in listing.splitlines()]

    assert without_numbers(text(y_hat)) == without_numbers(ARTICLE)


def test_the_network_of_the_article(golden: Golden) -> None:
    golden("printing/debugprint_network").check(text(network()))


def test_a_gradient(golden: Golden) -> None:
    cost = sqr(dot(A, B) - 1).sum()
    golden("printing/debugprint_gradient").check(text(grad(cost, [A, B])))


# ---- Theano's own examples ----

C = A + B
C.name = "C"
G = C + (D + E)


@pytest.mark.parametrize("ids, names", [("CHAR", "ABCDEFG"), ("int", "0123456")])
def test_ids(ids: str, names: str) -> None:
    assert text(G, ids=ids) == (
        f"add [id {names[0]}] ''   \n |add [id {names[1]}] 'C'   \n | |A [id {names[2]}]\n | |B [id {names[3]}]\n"
        f" |add [id {names[4]}] ''   \n   |D [id {names[5]}]\n   |E [id {names[6]}]\n"
    )


def test_no_ids() -> None:
    expected = "add  ''   \n |add  'C'   \n | |A \n | |B \n |add  ''   \n   |D \n   |E \n"
    assert text(G, ids="") == expected


def test_python_ids() -> None:
    assert text(A, ids="id") == f"A [id {id(A)}]\n"


def test_stop_on_name() -> None:
    assert text(G, stop_on_name=True) == (
        "add [id A] ''   \n |add [id B] 'C'   \n |add [id C] ''   \n   |D [id D]\n   |E [id E]\n"
    )


def test_clients() -> None:
    graph = FunctionGraph.build([A, B, D], [A + B, A + B - D])
    assert text(graph, print_clients=True) == (
        "add [id A] ''   0 clients:[('[id B]', 1), ('output', '')]\n"
        " |A [id C]\n"
        " |B [id D]\n"
        "sub [id B] ''   1\n"
        " |add [id A] ''   0 clients:[('[id B]', 1), ('output', '')]\n"
        " |D [id E]\n"
    )


def test_depth() -> None:
    assert text(G, depth=0) == ""
    assert text(G, depth=1) == "add [id A] ''   \n"
    assert text(G, depth=2) == "add [id A] ''   \n |add [id B] 'C'   \n |add [id C] ''   \n"
    assert text(G, depth=3) == text(G, depth=-1) == text(G)


def test_types_and_shapes() -> None:
    x = TensorType("float32", shape=(3, None))("x")
    assert text(-x, print_type=True, print_shape=True) == (
        "neg [id A] <TensorType(float32, (3, ?))> shape=(3, ?) ''   \n"
        " |x [id B] <TensorType(float32, (3, ?))> shape=(3, ?)\n"
    )


def test_storage() -> None:
    x, w = TensorType("float64", ())("x"), shared(0.5, "w")
    assert text(FunctionGraph.build([x], [x * w + 1]), print_storage=True, ids="") == (
        "add  ''   1 [None]\n |mul  ''   0 [None]\n | |x  [None]\n | |w  [0.5]\n |TensorConstant{1.0}  [1.0]\n"
    )


class Overwriting(Named):
    """An op that says, in Theano's words, what it overwrites and what it returns views of."""

    destroy_map = {0: [1]}  # noqa: RUF012


def test_views_and_destroyed_inputs() -> None:
    out = Overwriting("Overwriting")(A.T, B)
    assert text(out, print_view_map=True, print_destroy_map=True).splitlines()[:2] == [
        "Overwriting [id A] '' d={0: [1]}  ",
        " |DimShuffle{1,0} [id B] ''  v={0: [0]} ",
    ]


# ---- what is printed ----


class Compiled:
    """What a compiled function looks like from here."""

    def __init__(self, graph: FunctionGraph, updates_of: dict[int, Variable]) -> None:
        self.graph = graph
        self.updates_of = updates_of


def test_updates_say_what_they_update() -> None:
    x, w = TensorType("float64", ())("x"), shared(0.5, "w")
    f = Compiled(FunctionGraph.build([x], [x + w, w * 2, x]), {1: w, 2: w})
    assert text(f) == (
        "add [id A] ''   0\n |x [id B]\n |w [id C]\n"
        "mul [id D] ''   1 -> w\n |w [id C]\n |TensorConstant{2.0} [id E]\n"
        "x [id B] -> w\n"
    )


def test_a_shared_node_is_printed_once() -> None:
    a = tanh(A)
    assert text(a + a) == "add [id A] ''   \n |tanh [id B] ''   \n | |A [id C]\n |tanh [id B] ''   \n"
    assert text(A + A) == "add [id A] ''   \n |A [id B]\n |A [id B]\n"


def test_several_outputs() -> None:
    first, second = ifelse(lt(A[0, 0], 0), [A, B], [B, A])
    assert text([second, first], depth=1) == "if.1 [id A] ''   \nif.0 [id A] ''   \n"


def test_lists_numbers_and_nodes() -> None:
    assert text([A, (-A).owner, 3, np.arange(2)], ids="") == "A \nneg  ''   \n |A \n3\n[0 1]\n"


def test_calls_that_share_identifiers() -> None:
    done: dict[Any, str] = {}
    assert text(-A, done=done) == "neg [id A] ''   \n |A [id B]\n"
    assert text(A + B, done=done) == "add [id C] ''   \n |A [id B]\n |B [id D]\n"


def test_names_that_are_empty_or_strange() -> None:
    nameless = matrix("") + matrix()
    nameless.name = "größe\u2003%"
    assert text(nameless, ids="") == (
        "add  'größe\u2003%'   \n |<TensorType(float64, matrix)> \n |<TensorType(float64, matrix)> \n"
    )


def test_where_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    assert debugprint(A) is None
    assert capsys.readouterr().out == "A [id A]\n"
    file = io.StringIO()
    assert debugprint(A, file=file) is file
    assert file.getvalue() == "A [id A]\n"


def test_what_rewriting_changed() -> None:
    class Compiled:
        built = FunctionGraph.build([A, B], [tanh(A) + B])
        graph = FunctionGraph.build([A, B], [A + B])

    file = io.StringIO()
    assert debugprint(Compiled, file=file, diff=True) is file
    assert file.getvalue() == text(Compiled, diff=True)
    assert file.getvalue().splitlines() == [
        "--- as written",
        "+++ as compiled",
        "@@ -1,4 +1,3 @@",
        "-add  ''   1",
        "- |tanh  ''   0",
        "- | |A ",
        "+add  ''   0",
        "+ |A ",
        "  |B ",
    ]
    with pytest.raises(TypeError, match="compares the graphs of a compiled function, got A"):
        debugprint(A, diff=True)


def test_what_cannot_be_printed() -> None:
    with pytest.raises(TypeError, match="cannot print object"):
        debugprint(object())
    with pytest.raises(ValueError, match=r"ids is 'letters'\. Use one of 'CHAR', 'int', 'id', ''"):
        debugprint(A, ids="letters")
    with pytest.raises(TypeError, match="depth is '3'"):
        debugprint(A, depth="3")  # type: ignore[arg-type]


def test_letters_are_those_of_theano() -> None:
    assert [letters(n) for n in (0, 1, 25, 26, 27, 701)] == ["A", "B", "Z", "BA", "BB", "BAZ"]


# ---- long graphs ----


def chain(length: int) -> Variable:
    out: Variable = A
    for _ in range(length):
        out = tanh(out)
    return out


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def test_a_deep_graph_starts_its_indentation_anew() -> None:
    lines = text(chain(205), ids="").splitlines()
    assert lines[99] == "  " * 98 + " |tanh  ''   "
    assert lines[100] == " +100 |tanh  ''   "
    assert lines[101] == " +100   |tanh  ''   "
    assert lines[200] == " +200 |tanh  ''   "
    assert lines[205] == " +200" + "  " * 5 + " |A "


@pytest.mark.parametrize("printer", [text, min_informative_str])
def test_a_long_chain(printer: Callable[[Variable], str]) -> None:
    short, long = chain(20_000), chain(100_000)
    assert printer(long).count("tanh") == 100_000
    assert seconds(lambda: printer(long)) < 20 * seconds(lambda: printer(short)) + 1


# ---- min_informative_str ----


def test_min_informative_str() -> None:
    assert min_informative_str(G) == "A. add\n B. C\n C. add\n  D. D\n  E. E"
    assert min_informative_str(tanh(A) + A, indent_level=1) == " A. add\n  B. tanh\n   C. A\n  <C>"
    assert min_informative_str(np.ones(2)) == "A. <ndarray>"
