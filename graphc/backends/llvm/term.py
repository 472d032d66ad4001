"""Formulas in Python's operators: a `Term` is a value in a register that writes an instruction when it is used.

    x = Term(builder, value)
    y = x * x + 1.0              # two instructions

Numbers become constants of the kind of the term they meet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from graphc.backends.llvm.emit import Builder, Kind, Value


@dataclass(frozen=True)
class Format:
    """What formulas need to know of a floating-point format of IEEE 754.

    Attributes
    ----------
    mantissa: the number of stored bits of the significand.
    bias: what is added to a stored exponent.
    """

    mantissa: int
    bias: int

    @property
    def precision(self) -> int:
        """The number of bits of the significand."""
        return self.mantissa + 1

    @property
    def tiny(self) -> float:
        """The smallest normal number."""
        return math.ldexp(1.0, 1 - self.bias)

    @property
    def magic(self) -> float:
        """Adding it to a number of moderate size rounds this to a whole one, and leaves it in the low bits."""
        return math.ldexp(1.5, self.mantissa)

    def head(self, number: float, bits: int) -> float:
        """The first `bits` bits of a number: what remains of it is exact in `number - head`."""
        fraction, exponent = math.frexp(number)
        return math.ldexp(float(round(math.ldexp(fraction, bits))), exponent - bits)


FORMATS = {"float64": Format(52, 1023), "float32": Format(23, 127)}


class Term:
    """A value with the operators of Python; floats, integers and bools alike."""

    __slots__ = ("builder", "value")

    def __init__(self, builder: Builder, value: Value) -> None:
        self.builder = builder
        self.value = value

    @property
    def kind(self) -> Kind:
        """The kind of the value."""
        return self.value.kind

    @property
    def format(self) -> Format:
        """The format of its floats."""
        return FORMATS[self.kind.dtype]

    @property
    def is_full_avx512(self) -> bool:
        """Whether this is a whole vector of AVX-512, whose instructions on exponents may be used."""
        return self.builder.target.has_avx512 and self.kind.lanes * self.kind.bits == 512

    def like(self, number: Number) -> Value:
        """The value of a term, or a number as a constant of this kind."""
        return number.value if isinstance(number, Term) else self.builder.constant(number, self.kind)

    def constant(self, number: float) -> Term:
        """A number in every lane."""
        return Term(self.builder, self.builder.constant(number, self.kind))

    # ---- arithmetic ----

    def __add__(self, other: Number) -> Term:
        return Term(self.builder, self.builder.add(self.value, self.like(other)))

    def __radd__(self, other: float) -> Term:
        return Term(self.builder, self.builder.add(self.like(other), self.value))

    def __sub__(self, other: Number) -> Term:
        return Term(self.builder, self.builder.sub(self.value, self.like(other)))

    def __rsub__(self, other: float) -> Term:
        return Term(self.builder, self.builder.sub(self.like(other), self.value))

    def __mul__(self, other: Number) -> Term:
        return Term(self.builder, self.builder.mul(self.value, self.like(other)))

    def __rmul__(self, other: float) -> Term:
        return self * other

    def __truediv__(self, other: Number) -> Term:
        return Term(self.builder, self.builder.div(self.value, self.like(other)))

    def __rtruediv__(self, other: float) -> Term:
        return Term(self.builder, self.builder.div(self.like(other), self.value))

    def __neg__(self) -> Term:
        return Term(self.builder, self.builder.neg(self.value))

    def fma(self, y: Number, z: Number) -> Term:
        """``self * y + z``, with one rounding where the processor can."""
        return Term(self.builder, self.builder.fma(self.value, self.like(y), self.like(z)))

    def intrinsic(self, name: str, *args: Number) -> Term:
        """One of LLVM's functions, such as "sqrt"."""
        return Term(self.builder, self.builder.intrinsic(name, self.value, *map(self.like, args)))

    def __abs__(self) -> Term:
        return self.intrinsic("fabs")

    def sqrt(self) -> Term:
        """The square root."""
        return self.intrinsic("sqrt")

    def with_sign_of(self, other: Term) -> Term:
        """The magnitude of this with the sign of another, that of a zero included."""
        return self.intrinsic("copysign", other)

    # ---- comparisons, false for nan ----

    def compare(self, predicate: str, other: Number) -> Term:
        """``fcmp`` or ``icmp``, whose predicates may treat nan otherwise."""
        return Term(self.builder, self.builder.compare(predicate, self.value, self.like(other)))

    def __lt__(self, other: Number) -> Term:
        return self.compare("olt", other)

    def __le__(self, other: Number) -> Term:
        return self.compare("ole", other)

    def __gt__(self, other: Number) -> Term:
        return self.compare("ogt", other)

    def __ge__(self, other: Number) -> Term:
        return self.compare("oge", other)

    def equals(self, other: Number) -> Term:
        """Whether two floats are equal."""
        return self.compare("oeq", other)

    # ---- bits ----

    def bits(self) -> Term:
        """The bits of floats as integers."""
        return Term(self.builder, self.builder.bits(self.value))

    def floats(self) -> Term:
        """Integers as the floats with these bits."""
        return Term(self.builder, self.builder.floats(self.value))

    def converted(self, instruction: str, dtype: str) -> Term:
        """``fpext`` or ``fptrunc`` to another dtype."""
        kind = self.kind.of(dtype)
        return Term(self.builder, self.builder.let(kind, f"{instruction} {self.value} to {kind}"))

    def __and__(self, other: Number) -> Term:
        return Term(self.builder, self.builder.binary("and", self.value, self.like(other)))

    def __or__(self, other: Number) -> Term:
        return Term(self.builder, self.builder.binary("or", self.value, self.like(other)))

    def __xor__(self, other: Number) -> Term:
        return Term(self.builder, self.builder.binary("xor", self.value, self.like(other)))

    def __lshift__(self, by: int) -> Term:
        return Term(self.builder, self.builder.shift("shl", self.value, by))

    def __rshift__(self, by: int) -> Term:
        """Zeros come in from the left."""
        return Term(self.builder, self.builder.shift("lshr", self.value, by))


Number: TypeAlias = "Term | float"


def choose(condition: Term, x: Number, y: Number) -> Term:
    """`x` where the condition holds, else `y`; one of them at least is a term."""
    kind = (x if isinstance(x, Term) else y).kind  # type: ignore[union-attr]
    b = condition.builder
    first, second = (n.value if isinstance(n, Term) else b.constant(n, kind) for n in (x, y))
    return Term(b, b.select(condition.value, first, second))


def clamp(x: Term, low: float, high: float) -> Term:
    """`x` limited to a range; nan stays nan."""
    return at_most(choose(x < low, low, x), high)  # two instructions, maxpd and minpd


def at_most(x: Term, high: float) -> Term:
    """`x` limited from above; nan stays nan."""
    return choose(x > high, high, x)


FEW_TERMS = 3


def polynomial(x: Term, coefficients: Sequence[float]) -> Term:
    """A polynomial, lowest coefficient first: its pairs are linear terms, and what is left is one in ``x**2``."""
    pairs = zip(coefficients[1::2], coefficients[::2], strict=False)
    last = coefficients[len(coefficients) // 2 * 2 :]
    terms = [*(x.fma(high, low) for high, low in pairs), *map(x.constant, last)]
    # Vectors of AVX-512 keep the multipliers busy: there one product less is worth more than not to wait.  Few terms
    # wait no longer; many would, and calls on a few numbers with them.
    return (horner if x.builder.target.has_avx512 and len(terms) <= FEW_TERMS else estrin)(x * x, terms)


def horner(x: Term, terms: list[Term]) -> Term:
    """A polynomial with the fewest products, each of which waits for the one before."""
    *lower, total = terms
    for term in reversed(lower):
        total = x.fma(total, term)
    return total


def estrin(x: Term, terms: list[Term]) -> Term:
    """The same by products that do not wait for each other, of pairs, pairs of pairs, and so on."""
    while len(terms) > 1:
        pairs = zip(terms[1::2], terms[::2], strict=False)
        terms = [*(x.fma(high, low) for high, low in pairs), *terms[len(terms) // 2 * 2 :]]
        x = x * x
    return terms[0]


def product(x: Term, y: Number) -> tuple[Term, Term]:
    """``x * y`` as a rounded product and its error, exactly (Dekker 1971 where there is no fused multiply-add)."""
    p = x * y
    if x.builder.target.fma:
        return p, x.fma(y, -p)
    y = y if isinstance(y, Term) else Term(x.builder, x.like(y))
    (xh, xl), (yh, yl) = halves(x), halves(y)
    return p, ((xh * yh - p) + xh * yl + xl * yh) + xl * yl


def leading(x: Term) -> Term:
    """`x` with fewer than half of its bits: the product of two such numbers is exact."""
    return (x.bits() & -(1 << (x.format.precision // 2 + 1))).floats()


def halves(x: Term) -> tuple[Term, Term]:
    """`x` as the sum of two numbers with about half of its bits.  Masked, as Veltkamp's product might overflow."""
    head = leading(x)
    return head, x - head


def sum_of_ordered(x: Term, y: Number) -> tuple[Term, Term]:
    """``x + y`` as a rounded sum and its error, exactly if ``|x| >= |y|`` or `x` is 0 (Dekker's Fast2Sum)."""
    s = x + y
    return s, (x - s) + y


def whole(x: Term) -> Term:
    """The nearest whole number of ``|x|``, halves to even.  SSE2 has no instruction for it."""
    x = abs(x)
    target = x.builder.target
    if target.fma or target.vector_bytes > 16:
        return x.intrinsic("rint")
    unit = math.ldexp(1.0, x.format.mantissa)
    return choose(x < unit, (x + unit) - unit, x)


def limited(x: Term, bound: float) -> Term:
    """`x` within ``-bound`` and `bound`, by one instruction of AVX-512 for whole vectors; nan becomes a number too."""
    return avx512("range", x, x.constant(bound), immediate=0b0010)  # the lesser magnitude, the sign of the first


def nearest(x: Term, parts: int = 1) -> tuple[Term, Term]:
    """The nearest multiple of ``1 / parts`` of an `x` of moderate size, and a float whose low bits say how many."""
    magic = x.format.magic / parts
    shifted = x + magic
    return shifted - magic, shifted


def power_of_two(shifted: Term, plus: int = 0) -> Term:
    """``2 ** (k + plus)`` for the `k` in the low bits of what `nearest` gives; it must be a normal number."""
    format = shifted.format
    return ((shifted.bits() + (format.bias + plus)) << format.mantissa).floats()


def scale(x: Term, k: Term) -> Term:
    """``x * 2 ** floor(k)`` for an `x` near 1, rounded once where the result is subnormal.

    But for whole vectors of AVX-512, `k` must be a whole number.
    """
    if x.is_full_avx512:
        return avx512("scalef", x, k)
    magic = x.format.magic
    half = k.fma(0.5, magic)
    rest = (k - (half - magic)) + magic
    return x * power_of_two(half) * power_of_two(rest)


def avx512(name: str, *args: Term, immediate: int | None = None) -> Term:
    """An instruction of AVX-512, unmasked: scalef, getexp, getmant, range."""
    b, kind = args[0].builder, args[0].kind
    mask = f"i{kind.lanes}"
    path = f"@llvm.x86.avx512.mask.{name}.{'pd' if kind.bits == 64 else 'ps'}.512"
    types = [str(kind)] * len(args) + ["i32"] * (immediate is not None) + [str(kind), mask, "i32"]
    values = [str(a.value) for a in args] + [f"i32 {immediate}"] * (immediate is not None)
    b.declare(f"{kind} {path}({', '.join(types)})")
    # The last operand says: round as the processor is set to.
    values += [f"{kind} zeroinitializer", f"{mask} -1", "i32 4"]
    return Term(b, b.let(kind, f"call {kind} {path}({', '.join(values)})"))


def looked_up(table: Sequence[float], shifted: Term) -> Term:
    """Numbers of a table, as many as a vector of AVX-512 has lanes, by the low bits of what `nearest` gave."""
    b, kind, index = shifted.builder, shifted.kind, shifted.bits()
    numbers = ", ".join(str(b.constant(number, Kind(kind.dtype))) for number in table)
    path = f"@llvm.x86.avx512.permvar.{'df' if kind.bits == 64 else 'sf'}.512"
    b.declare(f"{kind} {path}({kind}, {index.kind})")
    return Term(b, b.let(kind, f"call {kind} {path}({kind} <{numbers}>, {index.value})"))


def by_whole_vectors(formula: Callable[[Term], Term], x: Term) -> Term:
    """A formula for whole vectors of AVX-512, on more or fewer lanes."""
    lanes, whole = x.kind.lanes, 512 // x.kind.bits
    if lanes == whole:
        return formula(x)
    if lanes < whole:
        return some_lanes(formula(some_lanes(x, range(whole))), range(lanes))
    halves = (by_whole_vectors(formula, some_lanes(x, part)) for part in (range(lanes // 2), range(lanes // 2, lanes)))
    return some_lanes(next(halves), range(lanes), next(halves))


def some_lanes(x: Term, lanes: Sequence[int], beyond: Term | None = None) -> Term:
    """Some lanes of a vector, or a number; those beyond its last are of another one, or 0."""
    b, kind = x.builder, replace(x.kind, lanes=len(lanes))
    if kind.lanes == 1:
        return Term(b, b.let(kind, f"extractelement {x.value}, i64 {lanes[0]}"))
    if x.kind.lanes == 1:
        return Term(b, b.let(kind, f"insertelement {kind} zeroinitializer, {x.value}, i64 0"))
    other = f"{x.kind} zeroinitializer" if beyond is None else str(beyond.value)
    numbers = ", ".join(f"i32 {min(lane, 2 * x.kind.lanes - 1)}" for lane in lanes)
    return Term(b, b.let(kind, f"shufflevector {x.value}, {other}, <{len(lanes)} x i32> <{numbers}>"))
