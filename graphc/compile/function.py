"""Function: what `function` returns: a callable with its graph, schedule and source."""

from __future__ import annotations

import itertools
import keyword
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from graphc.backends.base import Callee, Calling, Executable, FastEntry, GuardFailed
from graphc.backends.base import backend as backend_named
from graphc.compile.entry import Entry
from graphc.compile.inspect import Maker, Profile
from graphc.compile.pipeline import Variant, compile_variant
from graphc.compile.signature import In, OutputForm, Signature, Updates, signature
from graphc.compile.state import State
from graphc.compile.variants import Ones, Variants
from graphc.configuration import BACKENDS, MATMUL_PRECISIONS, MODES, NUMERICS, config
from graphc.errors import describe, explain
from graphc.graph.bindings import ops
from graphc.graph.collector import collector_paused
from graphc.graph.fgraph import FunctionGraph
from graphc.graph.flat import FlatGraph, flatten
from graphc.graph.op import Op
from graphc.graph.shared import Cell, SharedVariable
from graphc.graph.traverse import inputs_of, rebuild
from graphc.graph.variable import Variable, operand
from graphc.rewrites.engine.rule import Applied
from graphc.schedule.schedule import RESERVED, Schedule
from graphc.schedule.transfers import transfers


class Function(Callee):
    """A compiled function.  Call it with the values of its inputs, by position or by name.

    Attributes
    ----------
    name; inputs: the `In` entries; updates: pairs of a variable and its new value.
    graph: the rewritten FunctionGraph; schedule: its steps; source: the generated code; rewrites: the rules applied.
    variants: one compilation for each broadcast pattern that occurred, last used last.
    trust_input: True skips the check of the arguments, which must then be arrays of the right dtype and rank.
    """

    def __init__(
        self,
        spec: Signature,
        backend: str,
        numerics: str,
        name: str | None,
        profile: bool = False,
        matmul_precision: str = "highest",
    ) -> None:
        self.name = name
        self.inputs = spec.inputs
        self.backend = backend
        self.numerics = numerics
        self.matmul_precision = matmul_precision
        self.profile = Profile(self) if profile else None
        self._spec = spec
        self._backend = backend_named(backend)
        self._cells = [entry.cell for entry in spec.inputs]
        self._positions = {e.name: i for i, e in enumerate(spec.inputs) if e.name is not None}
        self._state_cells = [cell for cell in self._cells if cell is not None]
        self._variants = Variants(self._compile)
        self.variants = self._variants.kept
        self._plain = type(self)
        self._fast: dict[Ones, tuple[Executable, FastEntry | None]] = {}
        self._use(self._variants.first(spec.shared))
        self.trust_input = False

    def _use(self, variant: Variant) -> None:
        """Make `variant` the one that calls run first."""
        self._latest = variant
        self.run: Callable[[Sequence[Any]], tuple[Any, ...]] = variant.executable.run
        fast = self._fast_entry(variant) if self.profile is None else None  # which counts calls by way of Python
        if fast is None:
            self.__class__ = self._plain
        else:
            fast.take(self, self._plain)

    def _fast_entry(self, variant: Variant) -> FastEntry | None:
        """The entry of an executable, if it has one of its own: calls go straight into it."""
        known, fast = self._fast.get(variant.ones, (None, None))
        if known is not variant.executable:
            offered = getattr(variant.executable, "entry", None)
            fast = None if offered is None else offered(self._calling())
            kept = {ones: entry for ones, entry in self._fast.items() if ones in self.variants}
            self._fast = kept | {variant.ones: (variant.executable, fast)}
        return fast

    def _calling(self) -> Calling:
        """How this function is called."""

        def slow(*args: Any, **kwargs: Any) -> Any:
            return Function.__call__(self, *args, **kwargs)

        spec = self._spec
        inputs = spec.inputs
        types, strict = [entry.variable.type for entry in inputs], [entry.strict for entry in inputs]
        shared = [x.container for x in spec.shared]
        return Calling(types, strict, shared, self._targets(), spec.form.kind, spec.form.pack, slow)

    def _targets(self) -> list[Cell]:
        """The cells that the updates go into."""
        spec = self._spec
        cell_of = {x: x.container for x in spec.shared} | {
            e.variable: e.cell for e in spec.inputs if e.cell is not None
        }
        return [cell_of[target] for target, _ in spec.updates]

    @property
    def trust_input(self) -> bool:
        """Whether arguments are taken as they are."""
        return self._trust_input

    @trust_input.setter
    def trust_input(self, value: bool) -> None:
        self._trust_input = bool(value)
        self.__dict__.pop("_entry", None)

    @cached_property
    def _entry(self) -> Callable[..., Any]:
        """The way in and out by Python; where calls go straight into machine code, hardly any needs it."""
        spec = self._spec
        entry = Entry(
            [e.variable.type for e in spec.inputs],
            [x.container for x in spec.shared],
            [out.type for out in (*spec.outputs, *(new for _, new in spec.updates))],
            self._targets(),
            spec.form,
            check=not self._trust_input or bool(self._state_cells),
            on_host=not hasattr(self._latest.executable, "described"),
        ).compile(self)
        return entry if self.profile is None else self.profile.timed(entry)

    # ---- calling ----

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != len(self._cells):
            args = self._bind(args, kwargs)
        return self._entry(*args)

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Values for all inputs from positional and keyword arguments and defaults."""
        count = len(self.inputs)
        if len(args) > count:
            raise TypeError(
                f"{self}: takes {count} argument{'s' * (count != 1)}, got {len(args)}; inputs: {self._input_names()}"
            )
        values: list[Any] = [*args, *[_MISSING] * (count - len(args))]
        for name, value in kwargs.items():
            position = self._positions.get(name)
            if position is None:
                raise TypeError(f"{self}: unknown input or state: {name!r}; inputs: {self._input_names()}")
            namesakes = sum(entry.name == name for entry in self.inputs)
            if namesakes > 1:
                raise TypeError(f"{self}: {name!r} is the name of {namesakes} inputs: pass them by position")
            if position < len(args):
                raise TypeError(f"{self}: multiple values for input {name!r}")
            values[position] = value
        for i, value in enumerate(values):
            if value is _MISSING and self._cells[i] is None:
                x = self.inputs[i].variable
                raise TypeError(explain(f"{self}: missing required input: {self._input_name(i)}", [operand(x)], x.site))
        return tuple(values)

    def checked(self, position: int, value: Any) -> Any:
        """An argument as an array of its input's type, or TypeError; a missing one is the input's own value."""
        entry = self.inputs[position]
        described = getattr(self._latest.executable, "described", None)
        if value is _MISSING and entry.cell is not None:
            return entry.cell.value if described else entry.cell.data
        try:
            found = described(value) if described else None
            if found is not None:
                dtype, shape = found
                entry.variable.type.check(dtype, shape, entry.allow_downcast, entry.strict)
                return value
            return entry.variable.type.filter(value, entry.allow_downcast, entry.strict)
        except TypeError as error:
            x = entry.variable
            raise TypeError(
                explain(
                    f"{self}: bad argument for input {position} ({self._input_name(position)}): {error}",
                    [operand(x), f"got {describe(value)}"],
                    x.site,
                )
            ) from None

    def _input_name(self, position: int) -> str:
        return self.inputs[position].name or f"number {position}"

    def _input_names(self) -> str:
        return ", ".join(self._input_name(i) for i in range(len(self.inputs))) or "none"

    # ---- variants ----

    def _compile(self, ones: Ones) -> Variant:
        """The variant in which some axes have size 1."""
        with collector_paused():
            name = _identifier(self.name)
            made = compile_variant(self._spec, self._backend, self.numerics, name, ones, self.matmul_precision)
        attach = getattr(made.executable, "attach", None)
        if attach is not None:
            attach(self._calling())
        return made

    def other_variant(self, values: Sequence[Any], failure: GuardFailed) -> tuple[Any, ...]:
        """Run the variant that fits these values, compiling it if need be; ShapeError if none can."""
        variant, results = self._variants.run(self._latest, values, failure, self)
        self._use(variant)
        return results

    # ---- looking inside ----

    @property
    def graph(self) -> FunctionGraph:
        """The rewritten graph of the variant used last."""
        return self._latest.graph

    @property
    def built(self) -> FunctionGraph:
        """The graph of the variant used last as it was before rewriting; ``debugprint(f, diff=True)`` compares."""
        return self._latest.built

    @property
    def schedule(self) -> Schedule:
        """The steps of the variant used last, with the shared variables that the next call moves to a GPU or back."""
        steps = self._latest.schedule
        shared = self._spec.shared
        names = [buffer.name for buffer in steps.inputs[len(steps.inputs) - len(shared) :]]
        cells = {name: x.container for name, x in zip(names, shared, strict=True)}
        return replace(steps, transfers=transfers(cells, self._targets(), steps.side))

    @property
    def source(self) -> str:
        """The generated code of the variant used last."""
        return self._latest.executable.source

    @property
    def kernels(self) -> list[Any]:
        """The fused kernels of the variant used last, as loops, in the order they run; NumPy's backend has none."""
        return list(getattr(self._latest.executable, "kernels", []))

    @property
    def llvm(self) -> str:
        """LLVM's text of the kernels; empty if there are none."""
        return str(getattr(self._latest.executable, "llvm", ""))

    @property
    def assembly(self) -> str:
        """The machine code of the kernels, as the assembly of this processor; empty if there are none."""
        return str(getattr(self._latest.executable, "assembly", ""))

    @property
    def cuda(self) -> str:
        """The CUDA C of the kernels for the sizes of the last call; empty on other backends, and before a call."""
        return str(getattr(self._latest.executable, "cuda", ""))

    @property
    def called(self) -> frozenset[Op]:
        """The ops that are no part of a kernel, though there are kernels: calls into Python compute them."""
        from graphc.kernels.steps import Call

        plan = getattr(self.schedule, "plan", None)
        return frozenset() if plan is None else frozenset(s.node.op for s in plan.steps if isinstance(s, Call))

    @property
    def rewrites(self) -> tuple[Applied, ...]:
        """Every rule that was applied, in order."""
        return self._latest.rewrites

    @property
    def updates(self) -> tuple[tuple[Variable, Variable], ...]:
        """Pairs of a variable and its new value."""
        return self._spec.updates

    @property
    def updates_of(self) -> dict[int, Variable]:
        """Which outputs of the graph are new values, and of which variable."""
        first = len(self._spec.outputs)
        return {first + i: target for i, (target, _) in enumerate(self._spec.updates)}

    @property
    def n_returned_outputs(self) -> int:
        """The number of values a call returns."""
        return len(self._spec.outputs)

    @property
    def maker(self) -> Maker:
        """Theano's way to the graph: ``f.maker.fgraph.toposort()``."""
        return Maker(self)

    def get_shared(self) -> list[SharedVariable]:
        """The shared variables that are read or updated."""
        return list(self._spec.shared)

    def free(self) -> None:
        """Forget all variants but the last used, and give back the memory that is kept from call to call."""
        self._variants.forget()
        for _, fast in self._fast.values():
            if fast is not None:
                fast.free()

    def __repr__(self) -> str:
        return f"<graphc.Function {self.name}>" if self.name else "<graphc.Function>"

    def _repr_svg_(self) -> str:
        return str(ops.to_svg(self))

    # ---- private state ----

    @property
    def container(self) -> State:
        """The cells of inputs with a value."""
        return State(self, cells=True)

    @property
    def value(self) -> State:
        """The values of inputs with a value: ``f.value[x]``."""
        return State(self)

    def __getitem__(self, key: Variable | str) -> Any:
        return self.value[key]

    def __setitem__(self, key: Variable | str, value: Any) -> None:
        self.value[key] = value

    # ---- copies ----

    def copy(
        self,
        share_memory: bool = False,
        swap: Mapping[SharedVariable, SharedVariable] | None = None,
        delete_updates: bool = False,
        name: str | None = None,
        profile: bool | None = None,
    ) -> Function:
        """A function with the same graph.

        swap: shared variables to be replaced by others of the same type; delete_updates: the copy updates nothing;
        private state is copied unless `share_memory`.
        """
        exchange: dict[Variable, Variable] = dict((swap or {}).items())
        for old, new in exchange.items():
            if old not in self._spec.shared:
                raise ValueError(f"{self}.copy: {old} is not a shared variable of this function")
            if not isinstance(new, SharedVariable):
                raise TypeError(f"{self}.copy: {old} can be swapped for another shared variable only, got {new!r}")
            if not old.type.accepts(new.type):
                raise TypeError(explain(f"{self}.copy: {new} has another type than {old}", map(operand, (old, new))))
        spec = self._spec
        pairs = () if delete_updates else spec.updates
        roots = rebuild([*spec.outputs, *(new for _, new in pairs)], exchange)
        count = len(spec.outputs)
        targets = [exchange.get(t, t) for t, _ in pairs]
        inputs = tuple(_copied(entry, share_memory) for entry in spec.inputs)
        used = [x for x in inputs_of(roots) if isinstance(x, SharedVariable)]
        shared = dict.fromkeys([*used, *(t for t in targets if isinstance(t, SharedVariable))])
        copied = Signature(
            inputs, tuple(roots[:count]), spec.form, tuple(zip(targets, roots[count:], strict=True)), tuple(shared)
        )
        keep = self.profile is not None if profile is None else profile
        return Function(copied, self.backend, self.numerics, name or self.name, keep, self.matmul_precision)

    def __copy__(self) -> Function:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Function:
        import copy

        rebuild_function, arguments = self.__reduce__()
        made: Function = rebuild_function(*copy.deepcopy(arguments, memo))
        return made

    def __reduce__(self) -> Any:
        spec = self._spec
        flat = flatten([*(e.variable for e in spec.inputs), *spec.outputs, *_interleaved(spec.updates), *spec.shared])
        entries = [(e.name, e.cell, e.strict, e.allow_downcast) for e in spec.inputs]
        counts = (len(spec.inputs), len(spec.outputs), len(spec.updates))
        options = (self.backend, self.numerics, self.name, self.profile is not None, self.matmul_precision)
        return _rebuild, (flat, entries, counts, spec.form, options)


class _Missing:
    """Stands for an argument that was not passed."""


_MISSING = _Missing()


def _interleaved(updates: Sequence[tuple[Variable, Variable]]) -> Iterator[Variable]:
    return itertools.chain.from_iterable(updates)


def _copied(entry: In, share: bool) -> In:
    cell = entry.cell if share or entry.cell is None else Cell(entry.cell.value.copy())
    copied = In(entry.variable, entry.name, cell, None, None, entry.strict, entry.allow_downcast, autoname=False)
    copied.update = entry.update
    return copied


def _rebuild(
    flat: FlatGraph,
    entries: Sequence[tuple[Any, ...]],
    counts: tuple[int, int, int],
    form: OutputForm,
    options: tuple[str, str, str | None, bool, str],
) -> Function:
    """A function from what its pickle holds: the user's graph and the options, not machine code."""
    variables = iter(flat.build())
    inputs = []
    for name, cell, strict, allow_downcast in entries:
        inputs.append(In(next(variables), name, cell, None, None, strict, allow_downcast, autoname=False))
    outputs = tuple(itertools.islice(variables, counts[1]))
    updates = tuple((next(variables), next(variables)) for _ in range(counts[2]))
    state = dict(updates)
    for entry in inputs:
        entry.update = state.get(entry.variable)
    shared = tuple(x for x in variables if isinstance(x, SharedVariable))
    return Function(Signature(tuple(inputs), outputs, form, updates, shared), *options)


def _identifier(name: str | None) -> str:
    """The name of a function as an identifier, for its source."""
    cleaned = re.sub(r"\W", "_", name or "function", flags=re.ASCII)
    taken = not cleaned.isidentifier() or keyword.iskeyword(cleaned) or cleaned in RESERVED
    return f"f_{cleaned}" if taken else cleaned


def function(
    inputs: Any,
    outputs: Any = None,
    mode: str | None = None,
    updates: Updates = None,
    givens: Updates = None,
    no_default_updates: bool | Sequence[Variable] = False,
    accept_inplace: bool = False,
    name: str | None = None,
    rebuild_strict: bool = True,
    allow_input_downcast: bool | None = None,
    profile: bool | None = None,
    on_unused_input: str | None = None,
    *,
    backend: str | None = None,
    numerics: str | None = None,
    matmul_precision: str | None = None,
) -> Function:
    """Compile a function that computes `outputs` from `inputs`.

    Parameters
    ----------
    inputs: a list of variables or `In` entries.
    outputs: an expression, a list, a dictionary of them, or None.  One expression gives one array, a list a list.
    mode: "FAST_RUN" or "FAST_COMPILE" (less time spent on compiling; never other numbers).
    updates: new values for shared variables: a dictionary, or a list of pairs.  They are computed from the old values,
        together with the outputs, and take effect all at once after everything has been computed, or not at all.
    givens: variables to be replaced by expressions before compiling.
    no_default_updates: True, or a list of shared variables whose `default_update` is not to be used.
    name: shown in errors and profiles.
    allow_input_downcast: accept arguments that lose precision; None accepts Python floats for a float32 floatX.
    profile: count calls and their time in ``f.profile``.
    on_unused_input: "raise", "warn" or "ignore" an input that nothing depends on.
    backend: "auto", "numpy", ...; numerics: "default", "ieee" or "algebraic" (docs/rewrites.md).
    matmul_precision: "highest", or "tf32": products of float32 matrices on a GPU round their factors to 11 bits.
    accept_inplace, rebuild_strict: accepted for Theano programs; nothing changes with them.

    Returns a `Function`.

        >>> x = T.dscalar("x")
        >>> f = function([x], x ** 2)
        >>> f(3)
        array(9.)
    """
    mode = _choice("mode", config.mode if mode is None else mode, MODES)
    chosen = _choice("backend", config.backend if backend is None else backend, BACKENDS)
    if mode == "FAST_COMPILE" and chosen == "auto":
        chosen = "numpy"
    numerics = _choice("numerics", config.numerics if numerics is None else numerics, NUMERICS)
    precision = config.matmul_precision if matmul_precision is None else matmul_precision
    precision = _choice("matmul_precision", precision, MATMUL_PRECISIONS)
    unused = config.on_unused_input if on_unused_input is None else on_unused_input
    with collector_paused():
        spec = signature(inputs, outputs, updates, givens, no_default_updates, unused, allow_input_downcast)
        return Function(spec, chosen, numerics, name, bool(profile), precision)


def _choice(what: str, value: Any, choices: Sequence[str]) -> str:
    if value not in choices:
        raise ValueError(f"function: unknown {what} {value!r}; it is one of {', '.join(map(repr, choices))}")
    return str(value)
