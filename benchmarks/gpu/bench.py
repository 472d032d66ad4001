"""``python -m benchmarks.gpu.bench``: graphc's functions on a GPU, beside JAX, torch.compile and plain CuPy.

All arrays are on the GPU before the clock runs, float32 products are never TF32, and what the systems return is
compared.  A row has two medians: of the time that Python is busy with a call, and of a call altogether, when many are
made and then waited for.  ``--backend llvm --small`` shows on any machine that it runs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import graphc
import graphc.tensor as T
from benchmarks.measure import duration
from benchmarks.native import FLOAT32_MLP, mlp_data, mlp_function
from benchmarks.steps import T_AND, X_AND, and_function, installed

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

RATE = 0.01
BATCHES = (128, 4096)


@dataclass(frozen=True)
class System:
    """One way to do a piece of work: a call, how to wait for what it returns, and what says how many nodes it ran."""

    call: Callable[[], Any]
    wait: Callable[[Any], Any]
    nodes: Callable[[], int | None] = lambda: None


@dataclass
class Row:
    """One system at one piece of work; seconds are None, and `note` says why, if it could not do it.

    first: the numbers that the first call returned, the first of each result; bytes: that have to be moved; nodes: of
    the CUDA graph that a call of graphc runs.
    """

    work: str
    system: str
    seconds: float | None = None
    issue: float | None = None
    bytes: int = 0
    rate: float | None = None
    first: list[float] | None = None
    nodes: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Bench:
    """What is asked for: the backend of graphc, and whether sizes are small."""

    backend: str
    small: bool

    @property
    def gpu(self) -> bool:
        return self.backend == "cupy"

    def array(self, value: Any) -> Any:
        """For graphc and CuPy: where the backend has its arrays."""
        if not self.gpu:
            return value
        import cupy

        return cupy.asarray(value)

    def graphc(self, inputs: list[Any], outputs: Any, *values: Any) -> System:
        """A function of graphc."""
        f = graphc.function(inputs, outputs, backend=self.backend)
        return self.system(lambda: f(*values), f)

    def system(self, call: Callable[[], Any], f: Any = None) -> System:
        """Of graphc, which calls `f`, or CuPy."""
        return System(call, self.wait, lambda: nodes_of(f))

    def wait(self, result: Any) -> None:
        """Until the GPU is done."""
        if self.gpu:
            import cupy

            cupy.cuda.Device().synchronize()


def nodes_of(f: Any) -> int | None:
    """The nodes of the CUDA graph that the last call of a function of graphc ran; None if it ran none."""
    variants = [] if f is None else list(f.variants.values())
    return getattr(variants[-1].executable, "nodes", None) if variants else None


Builders = Mapping[str, Callable[[], System]]

# ---- JAX and PyTorch: the same step, derived by each ----


def jax() -> Any:
    """JAX with float64 and exact float32 products."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    return jax


def jax_step(loss: Callable[..., Any], start: list[Any], *data: Any) -> System:
    """A step of gradient descent; the parameters are given away, so that it may write in place."""
    library = jax()

    def step(parameters: Any, *data: Any) -> Any:
        value, gradients = library.value_and_grad(loss)(parameters, library.numpy, *data)
        return value, [p - p.dtype.type(RATE) * g for p, g in zip(parameters, gradients, strict=True)]

    jitted = library.jit(step, donate_argnums=0)
    data = tuple(library.numpy.asarray(value) for value in data)
    state = [[library.numpy.array(p) for p in start]]

    def call() -> Any:
        value, state[0] = jitted(state[0], *data)
        return value

    return System(call, library.block_until_ready)


def jax_call(f: Callable[..., Any], *values: Any) -> System:
    """A compiled function of JAX."""
    library = jax()
    jitted = library.jit(lambda *values: f(library.numpy, *values))
    values = tuple(library.numpy.asarray(value) for value in values)
    return System(lambda: jitted(*values), library.block_until_ready)


def torch_place() -> tuple[Any, str]:
    """PyTorch, with exact float32 products, and where its arrays are."""
    import torch

    torch.set_float32_matmul_precision("highest")
    return torch, "cuda" if torch.cuda.is_available() else "cpu"


def torch_call(f: Callable[..., Any], *values: Any, mode: str = "default") -> System:
    """A compiled function of PyTorch."""
    torch, place = torch_place()
    compiled = torch.compile(f, mode=mode)
    values = tuple(torch.tensor(value, device=place) for value in values)
    wait = torch.cuda.synchronize if place == "cuda" else int
    return System(lambda: compiled(*values), lambda result: wait())


def torch_step(loss: Callable[..., Any], start: list[Any], *data: Any, mode: str = "default") -> System:
    """A step of gradient descent that changes its parameters in place."""
    torch, place = torch_place()
    parameters = [torch.tensor(p, device=place) for p in start]

    def step(*data: Any) -> Any:
        derived = torch.func.grad_and_value(lambda parameters: loss(parameters, torch, *data))
        gradients, value = derived(parameters)
        for p, g in zip(parameters, gradients, strict=True):
            p.sub_(g, alpha=RATE)
        return value

    return torch_call(step, *data, mode=mode)


def torch_both(name: str, build: Callable[..., System]) -> Builders:
    """In the mode that compiles kernels, and in the one that records them as well."""
    return {name: build, f"{name} graphs": lambda: build(mode="reduce-overhead")}


# ---- the work ----


def and_loss(parameters: Any, library: Any, x: Any, target: Any) -> Any:
    """Article 000's neuron, for JAX and PyTorch."""
    w, b = parameters
    a = 1 / (1 + library.exp(-(x @ w + b)))
    return -(target * library.log(a) + (1 - target) * library.log(1 - a)).sum()


def and_by_hand(xp: Any, x: Any, target: Any, w: Any, b: Any) -> Any:
    """A step in plain CuPy."""
    a = 1 / (1 + xp.exp(-(x @ w + b)))
    cost = -(target * xp.log(a) + (1 - target) * xp.log(1 - a)).sum()
    error = a - target
    w -= RATE * (x.T @ error)
    b -= RATE * error.sum()
    return cost


def and_step(bench: Bench) -> tuple[int, Builders]:
    """Article 000's AND neuron: next to no work, so this is what a call costs."""
    start = [np.array([0.84, 0.76]), np.array(1.0)]

    def ours(place: Callable[[Any], Any]) -> System:
        f = and_function(graphc, T, T.grad, {"backend": bench.backend})
        x, target = place(X_AND), place(T_AND)
        return bench.system(lambda: f(x, target)[1], f)

    def cupy() -> System:
        import cupy

        x, target, w, b = map(cupy.asarray, (X_AND, T_AND, *start))
        return bench.system(lambda: and_by_hand(cupy, x, target, w, b))

    def torch(mode: str = "default") -> System:
        return torch_step(and_loss, start, X_AND, T_AND, mode=mode)

    return 0, {
        "graphc": lambda: ours(bench.array),
        "graphc from NumPy": lambda: ours(np.asarray),
        "jax": lambda: jax_step(and_loss, start, X_AND, T_AND),
        **torch_both("torch", torch),
        "cupy": cupy,
    }


def sigmoid(bench: Bench) -> tuple[int, Builders]:
    """``sigmoid(x + b)`` of 2^28 float32, beside a copy: as fast as memory is."""
    rows, columns = (64, 128) if bench.small else (1 << 18, 1024)
    rng = np.random.default_rng(0)
    x, b = rng.random((rows, columns), "float32"), rng.random(columns, "float32")

    def ours() -> System:
        vx, vb = T.fmatrix("x"), T.fvector("b")
        out = graphc.Out(T.nnet.sigmoid(vx + vb), borrow=True)
        return bench.graphc([vx, vb], out, bench.array(x), bench.array(b))

    def copy() -> System:
        source = bench.array(x)
        target = source.copy()

        def call() -> Any:
            target[...] = source
            return target

        return bench.system(call)

    def cupy() -> System:
        import cupy

        vx, vb = cupy.asarray(x), cupy.asarray(b)
        return bench.system(lambda: 1 / (1 + cupy.exp(-(vx + vb))))

    def torch(mode: str = "default") -> System:
        import torch

        return torch_call(lambda x, b: torch.sigmoid(x + b), x, b, mode=mode)

    return 2 * x.nbytes, {
        "graphc": ours,
        "copy": copy,
        "jax": lambda: jax_call(lambda jnp, x, b: 1 / (1 + jnp.exp(-(x + b))), x, b),
        "torch": torch,
        "cupy": cupy,
    }


def crossentropy(bench: Bench) -> tuple[int, Builders]:
    """Softmax and cross-entropy with their gradient: what is read and written once is the floor."""
    n = 32 if bench.small else 8192
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, n)).astype("float32"), rng.integers(0, n, n)

    def ours() -> System:
        vx, vy = T.fmatrix("x"), T.lvector("y")
        loss = T.nnet.categorical_crossentropy(T.nnet.softmax(vx), vy).mean()
        outputs = [graphc.Out(loss, borrow=True), graphc.Out(T.grad(loss, vx), borrow=True)]
        return bench.graphc([vx, vy], outputs, bench.array(x), bench.array(y))

    def with_jax(jnp: Any, x: Any, y: Any) -> Any:
        return jax().value_and_grad(lambda x: mlp_loss_jax([], jnp, x, y))(x)

    def torch(mode: str = "default") -> System:
        import torch

        def f(x: Any, y: Any) -> Any:
            return torch.func.grad_and_value(lambda x: mlp_loss_torch([], torch, x, y))(x)[::-1]

        return torch_call(f, x, y, mode=mode)

    def cupy() -> System:
        import cupy

        vx, vy, rows = cupy.asarray(x), cupy.asarray(y), cupy.arange(n)
        return bench.system(lambda: crossentropy_by_hand(cupy, vx, vy, rows))

    return 2 * x.nbytes, {"graphc": ours, "jax": lambda: jax_call(with_jax, x, y), "torch": torch, "cupy": cupy}


def crossentropy_by_hand(xp: Any, z: Any, y: Any, rows: Any) -> Any:
    """The mean loss and its gradient."""
    z = z - z.max(axis=1, keepdims=True)
    error = xp.exp(z)
    total = error.sum(axis=1, keepdims=True)
    loss = (xp.log(total[:, 0]) - z[rows, y]).mean()
    error /= total
    error[rows, y] -= 1
    error /= np.float32(len(y))
    return loss, error


def mlp_loss_jax(parameters: Any, jnp: Any, x: Any, y: Any) -> Any:
    """Rectified layers, and the cross-entropy of the last; without parameters, of x itself."""
    for i in range(0, len(parameters), 2):
        x = x @ parameters[i] + parameters[i + 1]
        x = jnp.maximum(x, 0) if i + 2 < len(parameters) else x
    return -jnp.take_along_axis(jax().nn.log_softmax(x), y[:, None], axis=1).mean()


def mlp_loss_torch(parameters: Any, torch: Any, x: Any, y: Any) -> Any:
    """The same for PyTorch."""
    for i in range(0, len(parameters), 2):
        x = torch.addmm(parameters[i + 1], x, parameters[i])
        x = torch.relu(x) if i + 2 < len(parameters) else x
    return torch.nn.functional.cross_entropy(x, y)


def mlp_by_hand(xp: Any, x: Any, y: Any, parameters: list[Any]) -> Callable[[], Any]:
    """A step in plain CuPy."""
    rows, rate = xp.arange(len(y)), np.float32(RATE)

    def step() -> Any:
        layers = [x]
        for w, b in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            layers.append(xp.maximum(layers[-1] @ w + b, 0))
        loss, error = crossentropy_by_hand(xp, layers[-1] @ parameters[-2] + parameters[-1], y, rows)
        for i in range(len(parameters) - 2, -1, -2):
            w, b = parameters[i : i + 2]
            hidden = layers[i // 2]
            back = (error @ w.T) * (hidden > 0) if i else None
            w -= rate * (hidden.T @ error)
            b -= rate * error.sum(axis=0)
            error = back
        return loss

    return step


def mlp(bench: Bench, batch: int) -> tuple[int, Builders]:
    """A step of a network of three layers."""
    sizes, batch = ((8, 6, 5, 3), 4) if bench.small else (FLOAT32_MLP, batch)
    x, y, start = mlp_data(sizes, batch)

    def ours() -> System:
        f = mlp_function(start, {"backend": bench.backend})
        vx, vy = bench.array(x), bench.array(y)
        return bench.system(lambda: f(vx, vy), f)

    def cupy() -> System:
        import cupy

        return bench.system(mlp_by_hand(cupy, cupy.asarray(x), cupy.asarray(y), [cupy.array(p) for p in start]))

    def torch(mode: str = "default") -> System:
        return torch_step(mlp_loss_torch, start, x, y, mode=mode)

    return 0, {
        "graphc": ours,
        "jax": lambda: jax_step(mlp_loss_jax, start, x, y),
        **torch_both("torch", torch),
        "cupy": cupy,
    }


def compilation(bench: Bench) -> tuple[int, Builders]:
    """A small graph, another one each time, from its expressions to its first result."""
    value = np.linspace(0.1, 1.0, 1000)

    def expression(library: Any, x: Any, b: Any, number: int) -> Any:
        for _ in range(6):
            number, kind = divmod(number, 5)
            x = [lambda x: x * b, lambda x: x + b, library.tanh, library.exp, lambda x: x - b * x][kind](x)
            x = library.sin(x)
        return x.sum()

    def ours() -> System:
        numbers = itertools.count(17, 7919)
        given = bench.array(value)

        def call() -> Any:
            x, b = T.dvectors("x", "b")
            out = expression(T, x, b, next(numbers))
            return graphc.function([x, b], [out, T.grad(out, x)], backend=bench.backend)(given, given)[0]

        return bench.system(call)

    def with_jax() -> System:
        library, numbers = jax(), itertools.count(17, 7919)
        given = library.numpy.asarray(value)

        def call() -> Any:
            number = next(numbers)
            f = library.value_and_grad(lambda x, b: expression(library.numpy, x, b, number))
            return library.jit(f)(given, given)[0]

        return System(call, library.block_until_ready)

    return 0, {"graphc": ours, "jax": with_jax}


WORK: dict[str, Callable[[Bench], tuple[int, Builders]]] = {
    "AND step": and_step,
    "sigmoid(x + b), 2^28 float32": sigmoid,
    "softmax + cross-entropy with gradient, 8192x8192 float32": crossentropy,
    **{f"MLP 784-512-512-10 float32, batch {n}": partial(mlp, batch=n) for n in BATCHES},
    "compile a small graph": compilation,
}

# ---- measuring ----


def first_numbers(result: Any) -> list[float]:
    """The first number of each result."""
    several = result if isinstance(result, list | tuple) else [result]
    return [float(value.reshape(-1)[0]) for value in several]


def measure(work: str, nbytes: int, builders: Builders, rounds: int, budget: float) -> list[Row]:
    """A row for each system; the rounds of all are interleaved, so that a busy moment hits them all."""
    rows, ready = [], []
    for name, build in builders.items():
        row = Row(work, name, bytes=nbytes)
        rows.append(row)
        try:
            system = build()
            row.first = first_numbers(system.call())
            seconds = min(timed(system, 1)[1] for _ in range(3))
            ready.append((row, system, max(1, min(500, round(budget / seconds)))))
        except Exception as error:  # a peer that is missing or fails is a row that says so
            lines = str(error).strip().splitlines()
            row.note = f"{type(error).__name__}: {lines[0] if lines else ''}"
    times: dict[int, list[tuple[float, float]]] = {id(row): [] for row, _, _ in ready}
    for _ in range(rounds):
        for row, system, count in ready:
            times[id(row)].append(timed(system, count))
    for row, system, _ in ready:
        row.nodes = system.nodes()
        row.issue, row.seconds = (statistics.median(column) for column in zip(*times[id(row)], strict=True))
        row.rate = nbytes / row.seconds / 1e9 if nbytes else None
    agree(rows)
    return rows


def agree(rows: list[Row]) -> None:
    """Note the systems whose first results are not those of graphc."""
    expected = rows[0].first
    for row in rows[1:]:
        if row.first and expected and row.system != "copy" and not np.allclose(row.first, expected, rtol=1e-3):
            row.note = f"returns {row.first}, and graphc {expected}"


def timed(system: System, count: int) -> tuple[float, float]:
    """The seconds per call until Python is free again, and until all is done."""
    start = time.perf_counter()
    for _ in range(count):
        result = system.call()
    free = time.perf_counter()
    system.wait(result)
    return (free - start) / count, (time.perf_counter() - start) / count


def text(row: Row) -> str:
    """One line."""
    cells = [f"{row.system:20}"]
    if row.seconds is not None and row.issue is not None:
        cells += [f"{duration(row.seconds):>10}", f"{duration(row.issue):>10} issue"]
        cells += [f"{row.rate:8.0f} GB/s"] if row.rate is not None else []
        cells += [f"{row.nodes} nodes"] if row.nodes is not None else []
    return "  ".join([*cells, row.note]).rstrip()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.bench", description=__doc__)
    parser.add_argument("--backend", default="cupy", help="of graphc (default: cupy)")
    parser.add_argument("--small", action="store_true", help="sizes at which the figures say nothing")
    parser.add_argument("--work", default="", help="only what has this in its name")
    parser.add_argument("--systems", default="", help="only these, with commas between them")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--budget", type=float, default=0.1, help="seconds of each round of a system")
    parser.add_argument("--json", metavar="FILE", help="write the rows to a file as well")
    options = parser.parse_args(arguments)
    bench = Bench(options.backend, options.small)
    found: list[Row] = []
    for work, build in WORK.items():
        if options.work not in work:
            continue
        nbytes, builders = build(bench)
        wanted = options.systems.split(",") if options.systems else builders
        builders = {name: builders[name] for name in builders if name in wanted and usable(name)}
        work = f"{work} (small)" if bench.small else work
        print(f"\n{work}", flush=True)
        for row in measure(work, nbytes, builders, options.rounds, options.budget):
            print("  " + text(row), flush=True)
            found.append(row)
        if options.json:  # after each piece of work: a run that is stopped has what it measured
            Path(options.json).write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n")
    if any(row.note and row.system.startswith("graphc") for row in found):
        sys.exit("graphc failed at something")


def usable(system: str) -> bool:
    """Whether the package of a system is installed; graphc and the copy always are."""
    package = system.split()[0]
    return package in ("graphc", "copy") or installed(package)


if __name__ == "__main__":
    main()
