"""Work that memory limits: how close it comes to what reading and copying the same bytes takes.

What memory can do is measured in the same rounds: a loop of machine code that only reads, and NumPy's copy into memory
that is there already.
"""

from __future__ import annotations

import ctypes
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import graphc
import graphc.tensor as T
from benchmarks.measure import BACKEND, Call, Figure, least, statement
from benchmarks.steps import installed
from graphc.backends.llvm.link import link
from graphc.backends.llvm.target import host

# 80 % of the bandwidth.
MOST = 1 / 0.8

# Reads `count` doubles, a multiple of 32, and does next to nothing with them.
READ = """
define double @read(ptr %from, i64 %count) {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  %a = phi <8 x double> [zeroinitializer, %entry], [%a1, %loop]
  %b = phi <8 x double> [zeroinitializer, %entry], [%b1, %loop]
  %c = phi <8 x double> [zeroinitializer, %entry], [%c1, %loop]
  %d = phi <8 x double> [zeroinitializer, %entry], [%d1, %loop]
  %pa = getelementptr double, ptr %from, i64 %i
  %pb = getelementptr double, ptr %pa, i64 8
  %pc = getelementptr double, ptr %pa, i64 16
  %pd = getelementptr double, ptr %pa, i64 24
  %xa = load <8 x double>, ptr %pa, align 8
  %xb = load <8 x double>, ptr %pb, align 8
  %xc = load <8 x double>, ptr %pc, align 8
  %xd = load <8 x double>, ptr %pd, align 8
  %a1 = fadd <8 x double> %a, %xa
  %b1 = fadd <8 x double> %b, %xb
  %c1 = fadd <8 x double> %c, %xc
  %d1 = fadd <8 x double> %d, %xd
  %next = add i64 %i, 32
  %more = icmp slt i64 %next, %count
  br i1 %more, label %loop, label %end
end:
  %ab = fadd <8 x double> %a1, %b1
  %cd = fadd <8 x double> %c1, %d1
  %all = fadd <8 x double> %ab, %cd
  %first = extractelement <8 x double> %all, i64 0
  ret double %first
}
"""


def reading() -> Callable[[int, int], float]:
    """A function that reads a number of doubles at an address."""
    code = link(READ, host(), ["read"])
    read = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_void_p, ctypes.c_int64)(code["read"])
    read.code = code  # type: ignore[attr-defined]
    return read


def hat_sum(quick: bool = False) -> list[Figure]:
    """A sum that reads one array and writes nothing."""
    n = 64 if quick else 10_000_000
    x, w = T.dvector("x"), T.dscalar("w")
    f = graphc.function([x, w], T.sum((1 - (w * x) ** 2) * T.exp(-((w * x) ** 2))), **BACKEND)
    data = np.random.default_rng(0).normal(size=n)
    systems = {
        "graphc": statement("f(x, 0.7)", f=f, x=data),
        "reading": statement("read(x, n)", read=reading(), x=data.ctypes.data, n=n),
    }
    seconds = least(systems, rounds=2 if quick else 40, clock=time.process_time)
    note = _bandwidth(8 * n, seconds["reading"])
    work = f"sum of (1-(wx)^2)exp(-(wx)^2), {n:,} float64"
    return [Figure(work, seconds["graphc"], MOST, "reading", seconds["reading"], note)]


def maps(quick: bool = False) -> list[Figure]:
    """Maps of two arrays to one, and to two: what is read and written at the speed of a copy."""
    n = 64 if quick else 10_000_000
    x, y = T.dvectors("x", "y")
    plain = graphc.function([x, y], x * y + 2 * x - y / 3, **BACKEND)
    gradient = graphc.function([x, y], T.grad(T.sum(T.tanh(x * y) ** 2), [x, y]), **BACKEND)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=n), rng.normal(size=n)
    out = np.empty(n)
    systems = {
        "map": statement("f(x, y)", f=plain, x=a, y=b),
        "gradient": statement("f(x, y)", f=gradient, x=a, y=b),
        "copy": statement("copy(out, x)", copy=np.copyto, out=out, x=a),
    }
    seconds = least(systems, rounds=2 if quick else 40, clock=time.process_time)
    note = _bandwidth(16 * n, seconds["copy"])
    return [
        Figure(f"x*y + 2x - y/3, {n:,} float64", seconds["map"], MOST, "copying 3/2", seconds["copy"] * 3 / 2, note),
        Figure(
            f"gradient of sum(tanh(xy)^2), {n:,} float64",
            seconds["gradient"],
            MOST,
            "copying 2",
            seconds["copy"] * 2,
            note,
        ),
    ]


def _bandwidth(count: int, seconds: float) -> str:
    return f"memory: {count / seconds / 1e9:.1f} GB/s"


# ---- softmax and cross-entropy ----


def crossentropy() -> Any:
    """The mean cross-entropy of softmax, and its gradient."""
    x, y = T.fmatrix("x"), T.lvector("y")
    loss = T.nnet.categorical_crossentropy(T.nnet.softmax(x), y).mean()
    return graphc.function([x, y], [loss, T.grad(loss, x)], **BACKEND)


def crossentropy_jax(data: Any, labels: Any) -> Call:
    """The same in JAX."""
    import jax

    jnp = jax.numpy

    def loss(x: Any, y: Any) -> Any:
        return -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], axis=1).mean()

    both = jax.jit(jax.value_and_grad(loss))
    on_device = jnp.asarray(data), jnp.asarray(labels)
    return lambda: jax.block_until_ready(both(*on_device))


def softmax(quick: bool = False) -> list[Figure]:
    """Softmax and cross-entropy: reads the matrix and writes the gradient."""
    f = crossentropy()
    found = []
    for rows, target in ((4, 2.0), (5, 1.4)) if quick else ((4096, 2.0), (65536, 1.4)):
        columns = 7 if quick else 1000
        rng = np.random.default_rng(0)
        data = rng.normal(size=(rows, columns)).astype("float32")
        labels = rng.integers(0, columns, size=rows)
        out = np.empty_like(data)
        ours = statement("f(x, y)", f=f, x=data, y=labels)
        copy = statement("copy(out, x)", copy=np.copyto, out=out, x=data)
        seconds = least({"graphc": ours, "copy": copy}, rounds=2 if quick else 30, clock=time.process_time)
        note = _bandwidth(2 * data.nbytes, seconds["copy"])
        work = f"softmax + cross-entropy, {rows}x{columns}, float32"
        found.append(Figure(work, seconds["graphc"], target, "copying", seconds["copy"], note))
        systems = {"graphc": ours}
        if installed("jax"):
            systems["jax"] = statement("f()", f=crossentropy_jax(data, labels))
        seconds = least(systems, rounds=2 if quick else 15)
        found.append(Figure(work, seconds["graphc"], 1.0, "jax", seconds.get("jax")))
    return found


# ---- batches out of a shared array ----


def regression(data: Any, labels: Any, batch: int) -> tuple[Any, Any]:
    """Steps of logistic regression on a batch: one of the shared array, one that is passed in."""
    x, y, i = T.fmatrix("x"), T.lvector("y"), T.lscalar("i")
    classes = int(labels.max()) + 1
    features, answers = graphc.shared(data, borrow=True), graphc.shared(labels, borrow=True)
    w = graphc.shared(np.zeros((data.shape[1], classes), "float32"))
    b = graphc.shared(np.zeros(classes, "float32"))
    loss = T.nnet.categorical_crossentropy(T.nnet.softmax(T.dot(x, w) + b), y).mean()
    rate = np.float32(0.1)
    updates = [(p, p - rate * g) for p, g in zip((w, b), T.grad(loss, [w, b]), strict=True)]
    part = slice(i * batch, (i + 1) * batch)
    sliced = graphc.function([i], loss, updates=updates, givens={x: features[part], y: answers[part]}, **BACKEND)
    return sliced, graphc.function([x, y], loss, updates=updates, **BACKEND)


def slices(quick: bool = False) -> list[Figure]:
    """Logistic regression on batches of a shared array, in turns, beside the same batches passed in."""
    count, features, batch = (20, 5, 4) if quick else (50_000, 784, 256)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(count, features)).astype("float32")
    labels = rng.integers(0, 10, size=count)
    sliced, passed = regression(data, labels, batch)
    numbers = range(count // batch)
    batches = [(data[i * batch : (i + 1) * batch], labels[i * batch : (i + 1) * batch]) for i in numbers]
    systems = {
        "graphc": statement("f(turn())", f=sliced, turn=itertools.cycle(numbers).__next__),
        "passed in": statement("f(*turn())", f=passed, turn=itertools.cycle(batches).__next__),
    }
    seconds = least(systems, rounds=2 if quick else 60)
    work = f"logistic regression, givens slices of {count}x{features}"
    return [Figure(work, seconds["graphc"], 1.1, "passed in", seconds["passed in"])]


WORK: list[Callable[[bool], list[Figure]]] = [hat_sum, maps, softmax, slices]
