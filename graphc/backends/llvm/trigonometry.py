"""Sine, cosine, tangent and their inverses.

Sources: Cody & Waite, Software Manual for the Elementary Functions (1980), chapters 8 to 11; Payne & Hanek, Radian
reduction for trigonometric functions (1983), for large angles; Muller, Elementary Functions (2016), chapter 11.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from graphc.backends.llvm.coefficients import ARCSIN, ARCTAN, COS, HALF_PI, HALF_PI_BITS, SIN, TWO_OVER_PI
from graphc.backends.llvm.emit import Builder, Kind, Value
from graphc.backends.llvm.target import Target
from graphc.backends.llvm.term import Term, choose, polynomial, product, sum_of_ordered


def pieces(*bits: int) -> tuple[float, ...]:
    """pi / 2 as a sum of numbers with so many bits each."""
    found = []
    used = 0
    for count in bits:
        used += count
        piece = (HALF_PI >> (HALF_PI_BITS - used)) & ((1 << count) - 1)
        found.append(math.ldexp(float(piece), 1 - used))
    return tuple(found)


@dataclass(frozen=True)
class Reduction:
    """The pieces of pi / 2 that multiples are subtracted of, and the largest angle for which they suffice.

    With a fused multiply-add every piece may be a full number; without it, products with a multiple must be exact.
    """

    pieces: tuple[float, ...]
    limit: float


REDUCTIONS = {
    ("float64", True): Reduction(pieces(53, 53, 53), 2.0**30),
    ("float32", True): Reduction(pieces(24, 24, 24), 2.0**16),
    ("float64", False): Reduction(pieces(33, 33, 33, 53), 2.0**20),
    ("float32", False): Reduction(pieces(12, 12, 12, 12, 24), 2.0**12),
}

# pi / 2 as the nearest number and what is missing from it.
RIGHT_ANGLE = {"float64": (1.5707963267948966, 6.123233995736766e-17), "float32": (1.5707963705062866, -4.371139e-08)}


def reduction(x: Term) -> Reduction:
    """How angles of this kind are reduced."""
    return REDUCTIONS[x.kind.dtype, x.builder.target.fma]


def reduced(x: Term) -> tuple[Term, Term, Term]:
    """``x = n pi / 2 + r + rest``, ``|r| <= pi / 4``: `r`, `rest`, and an integer whose last two bits are those of `n`.

    A branch that is hardly ever taken leads to the reduction of large angles.
    """
    b, kind = x.builder, x.kind
    fast, slow, done = (b.fresh().lstrip("%") for _ in range(3))
    b.write(f"br label %{fast}")
    b.label(fast)
    shifted = x.fma(2 / math.pi, x.format.magic)
    k = shifted - x.format.magic
    first, second, *others = reduction(x).pieces
    r = k.fma(-second, k.fma(-first, x))
    rest = x.constant(0.0)
    for piece in others:
        r, error = sum_of_ordered(r, k * -piece)
        rest = rest + error
    n = shifted.bits()
    is_large = abs(x) > reduction(x).limit
    any_is_large = is_large.value
    if kind.lanes > 1:
        name = f"@llvm.vector.reduce.or.v{kind.lanes}i1"
        b.declare(f"i1 {name}({is_large.kind})")
        any_is_large = b.let(Kind("bool"), f"call i1 {name}({is_large.value})")
    b.write(f"br {any_is_large}, label %{slow}, label %{done}")
    b.label(slow)
    pair = b.fresh()
    b.write(f"{pair} = call {{ {kind}, {n.kind} }} @{large_angles(kind)}({x.value}, {r.value}, {n.value})")
    slow_r = b.let(kind, f"extractvalue {{ {kind}, {n.kind} }} {pair}, 0")
    slow_n = b.let(n.kind, f"extractvalue {{ {kind}, {n.kind} }} {pair}, 1")
    slow_rest = choose(is_large, 0.0, rest).value
    b.write(f"br label %{done}")
    b.label(done)
    r = Term(b, b.let(kind, f"phi {kind} [ {r.value.text}, %{fast} ], [ {slow_r.text}, %{slow} ]"))
    rest = Term(b, b.let(kind, f"phi {kind} [ {rest.value.text}, %{fast} ], [ {slow_rest.text}, %{slow} ]"))
    n = Term(b, b.let(n.kind, f"phi {n.kind} [ {n.value.text}, %{fast} ], [ {slow_n.text}, %{slow} ]"))
    return r, rest, n


def sine(r: Term) -> tuple[Term, Term]:
    """The sine of a reduced angle, ``r`` and the rest."""
    z = r * r
    return r, r * z * polynomial(z, SIN[r.kind.dtype])


def cosine(r: Term) -> tuple[Term, Term]:
    """The cosine of a reduced angle, ``1 - z / 2`` and the rest."""
    z = r * r
    head, error = sum_of_ordered(r.constant(1.0), z * -0.5)
    return head, (z * z).fma(polynomial(z, COS[r.kind.dtype]), error)


def is_odd(n: Term) -> Term:
    """Whether integers are odd."""
    return (n & 1).compare("ne", 0)


def by_quadrant(r: Term, n: Term) -> Term:
    """``sin(r + n pi / 2)``."""
    odd = is_odd(n)
    (s, s_rest), (c, c_rest) = sine(r), cosine(r)
    magnitude = choose(odd, c, s) + choose(odd, c_rest, s_rest)
    return (magnitude.bits() ^ ((n & 2) << (r.kind.bits - 2))).floats()


def sin(x: Term) -> Term:
    """The sine."""
    r, _, n = reduced(x)
    return choose(x.equals(0.0), x, by_quadrant(r, n))


def cos(x: Term) -> Term:
    """The cosine."""
    r, _, n = reduced(x)
    return by_quadrant(r, n + 1)


def tan(x: Term) -> Term:
    """The tangent, ``sin(r) / cos(r)`` or ``-cos(r) / sin(r)``, put right by what its division left over."""
    r, rest, n = reduced(x)
    odd = is_odd(n)
    s, s_rest = sine(r)
    # The rest is more than nothing only beside a small r, whose tangent is about r.
    s, s_rest = sum_of_ordered(s, s_rest + rest)
    c, c_rest = sum_of_ordered(*cosine(r))
    above, above_rest = choose(odd, -c, s), choose(odd, -c_rest, s_rest)
    below, below_rest = choose(odd, s, c), choose(odd, s_rest, c_rest)
    reciprocal = 1.0 / below
    q = above * reciprocal
    p, p_error = product(q, below)
    left = ((above - p) - p_error) + (above_rest - q * below_rest)
    return choose(x.equals(0.0), x, left.fma(reciprocal, q))


def small_arctan(t: Term) -> Term:
    """``arctan(t) - t`` for ``|t| <= tan(pi / 8)``."""
    z = t * t
    return t * z * polynomial(z, ARCTAN[t.kind.dtype])


def angle(a: Term, b: Term, behind: Term | None = None) -> Term:
    """``arctan(a / b)`` of magnitudes, or pi minus it, as a number of eighths of a turn and a small angle.

    The small angle is that of the point turned back by this number.
    """
    tan_eighth = math.sqrt(2.0) - 1.0
    low = (a < b * tan_eighth) | a.equals(0.0)
    middle = a <= b * (1 / tan_eighth)
    above = choose(low, a, choose(middle, a - b, -b))
    below = choose(low, b, choose(middle, a + b, a))
    # On the diagonal the difference may be inf - inf and the sum inf, at the origin both are 0.
    t = choose(a.equals(b), 0.0, above / below)
    eighths = choose(low, 0.0, choose(middle, a.constant(1.0), 2.0))
    if behind is not None:
        t = choose(behind, -t, t)
        eighths = choose(behind, 4.0 - eighths, eighths)
    nearest, missing = (part / 2 for part in RIGHT_ANGLE[a.kind.dtype])
    return eighths.fma(nearest, t + eighths.fma(missing, small_arctan(t)))


def arctan(x: Term) -> Term:
    """The inverse of the tangent."""
    return angle(abs(x), x.constant(1.0)).with_sign_of(x)


def arctan2(y: Term, x: Term) -> Term:
    """The angle of the point (x, y); both are made smaller where their sum could overflow."""
    a, b = abs(y), abs(x)
    limit = math.ldexp(1.0, x.format.bias - 2)
    large = (a > limit) | (b > limit)
    a, b = choose(large, a * 0.125, a), choose(large, b * 0.125, b)
    return angle(a, b, (x.bits()).compare("slt", 0)).with_sign_of(y)


def arcsine_of_part(x: Term) -> tuple[Term, Term]:
    """Whether ``|x| <= 1/2``; then ``arcsin(|x|)``, else half of ``pi / 2 - arcsin(|x|)``."""
    a = abs(x)
    near = a <= 0.5
    z = choose(near, a * a, (1.0 - a) * 0.5)
    s = choose(near, a, z.sqrt())
    return near, (s * z).fma(polynomial(z, ARCSIN[x.kind.dtype]), s)


def arcsin(x: Term) -> Term:
    """The inverse of the sine."""
    nearest, missing = RIGHT_ANGLE[x.kind.dtype]
    near, part = arcsine_of_part(x)
    return choose(near, part, nearest - (part * 2.0 - missing)).with_sign_of(x)


def arccos(x: Term) -> Term:
    """The inverse of the cosine: a number of right angles and an arc sine."""
    nearest, missing = RIGHT_ANGLE[x.kind.dtype]
    near, part = arcsine_of_part(x)
    signed = part.with_sign_of(x)
    right_angles = choose(near, 1.0, choose(x < 0.0, x.constant(2.0), 0.0))
    return right_angles.fma(nearest, right_angles.fma(missing, choose(near, -signed, signed * 2.0)))


# ---- large angles, one by one ----


def large_angles(kind: Kind) -> str:
    """The name of the function that reduces the large angles of a vector."""
    return f"large_angles.{kind.suffix}"


# x = m 2**e.  Of 2 / pi only 192 bits matter: those before are worth multiples of four right angles, those behind are
# below the error of the result.  Their product with m is a count of right angles (two bits) and a fraction.
PAYNE_HANEK = """\
@two_over_pi = private unnamed_addr constant [{count} x i64] [{words}]

define internal {{ double, i64 }} @payne_hanek(double %x) noinline cold nounwind optnone {{
  %bits = bitcast double %x to i64
  %sign = ashr i64 %bits, 63
  %stored = lshr i64 %bits, 52
  %exponent = and i64 %stored, 2047
  %fraction = and i64 %bits, 4503599627370495
  %m = or i64 %fraction, 4503599627370496
  ; three words of 2 / pi from the bit that is worth 2 m on; the table begins with 64 zeros
  %position = sub i64 %exponent, 1013
  %word = lshr i64 %position, 6
  %shift = and i64 %position, 63
  %p0 = getelementptr i64, ptr @two_over_pi, i64 %word
  %p1 = getelementptr i64, ptr %p0, i64 1
  %p2 = getelementptr i64, ptr %p0, i64 2
  %p3 = getelementptr i64, ptr %p0, i64 3
  %w0 = load i64, ptr %p0
  %w1 = load i64, ptr %p1
  %w2 = load i64, ptr %p2
  %w3 = load i64, ptr %p3
  %a0 = call i64 @llvm.fshl.i64(i64 %w0, i64 %w1, i64 %shift)
  %a1 = call i64 @llvm.fshl.i64(i64 %w1, i64 %w2, i64 %shift)
  %a2 = call i64 @llvm.fshl.i64(i64 %w2, i64 %w3, i64 %shift)
  ; their product with m, modulo 2**192
  %m.wide = zext i64 %m to i128
  %a1.wide = zext i64 %a1 to i128
  %a2.wide = zext i64 %a2 to i128
  %low = mul i128 %m.wide, %a2.wide
  %carry.low = lshr i128 %low, 64
  %middle.product = mul i128 %m.wide, %a1.wide
  %middle = add i128 %middle.product, %carry.low
  %carry.middle = lshr i128 %middle, 64
  %c2 = trunc i128 %low to i64
  %c1 = trunc i128 %middle to i64
  %high.product = mul i64 %m, %a0
  %high.carry = trunc i128 %carry.middle to i64
  %c0 = add i64 %high.product, %high.carry
  ; the nearest count of right angles, and the signed fraction that is left
  %rounded = add i64 %c0, 2305843009213693952
  %count = lshr i64 %rounded, 62
  %f0 = call i64 @llvm.fshl.i64(i64 %c0, i64 %c1, i64 2)
  %f1 = call i64 @llvm.fshl.i64(i64 %c1, i64 %c2, i64 2)
  %below = ashr i64 %f0, 63
  %g0 = xor i64 %f0, %below
  %g1 = xor i64 %f1, %below
  ; its first 64 bits times pi / 2
  %zeros = call i64 @llvm.ctlz.i64(i64 %g0, i1 false)
  %first = call i64 @llvm.fshl.i64(i64 %g0, i64 %g1, i64 %zeros)
  %first.wide = zext i64 %first to i128
  %angle.wide = mul i128 %first.wide, {half_pi}
  %angle.high = lshr i128 %angle.wide, 65
  %angle.bits = trunc i128 %angle.high to i64
  %angle.whole = sitofp i64 %angle.bits to double
  %unit.exponent = sub i64 961, %zeros
  %unit.bits = shl i64 %unit.exponent, 52
  %unit = bitcast i64 %unit.bits to double
  %angle = fmul double %angle.whole, %unit
  ; the signs of x and of the fraction
  %signs = xor i64 %sign, %below
  %sign.bit = and i64 %signs, -9223372036854775808
  %angle.pattern = bitcast double %angle to i64
  %signed.pattern = xor i64 %angle.pattern, %sign.bit
  %signed = bitcast i64 %signed.pattern to double
  %count.flipped = xor i64 %count, %sign
  %n = sub i64 %count.flipped, %sign
  ; 0, or nan for infinity
  %nothing = fsub double %x, %x
  %r = fadd double %signed, %nothing
  %pair = insertvalue {{ double, i64 }} poison, double %r, 0
  %result = insertvalue {{ double, i64 }} %pair, i64 %n, 1
  ret {{ double, i64 }} %result
}}
"""


def payne_hanek() -> tuple[str, dict[str, None]]:
    """The reduction of one large angle in float64, and what it declares."""
    words = [0, *((TWO_OVER_PI >> shift) & (2**64 - 1) for shift in range(TWO_OVER_PI.bit_length() - 64, -1, -64))]
    declarations = dict.fromkeys(["declare i64 @llvm.fshl.i64(i64, i64, i64)", "declare i64 @llvm.ctlz.i64(i64, i1)"])
    half_pi = HALF_PI >> (HALF_PI_BITS - 64)
    text = PAYNE_HANEK.format(count=len(words), words=", ".join(f"i64 {w}" for w in words), half_pi=half_pi)
    return text, declarations


def large_angle(b: Builder, x: Value) -> tuple[Value, Value]:
    """Instructions that reduce one large angle."""
    double, long = Kind("float64"), Kind("int64")
    wide = x if x.kind == double else b.let(double, f"fpext {x} to double")
    pair = b.fresh()
    b.write(f"{pair} = call {{ double, i64 }} @payne_hanek({wide})")
    r = b.let(double, f"extractvalue {{ double, i64 }} {pair}, 0")
    n = b.let(long, f"extractvalue {{ double, i64 }} {pair}, 1")
    if x.kind == double:
        return r, n
    return b.let(x.kind, f"fptrunc {r} to float"), b.let(x.kind.integers, f"trunc {n} to i32")


def large_angles_function(kind: Kind, target: Target) -> tuple[str, dict[str, None]]:
    """The function that replaces `r` and `n` of the large angles of a vector, and what it declares."""
    b = Builder(target)
    scalar, integers = Kind(kind.dtype), kind.integers
    both = f"{{ {kind}, {integers} }}"
    b.label("entry")
    if kind.lanes == 1:
        r, n = large_angle(b, Value("%x", scalar))
    else:
        limit = b.constant(REDUCTIONS[kind.dtype, target.fma].limit, scalar)
        r, n = Value("%r.next", kind), Value("%n.next", integers)
        b.write("br label %loop")
        b.label("loop")
        b.write("%i = phi i32 [ 0, %entry ], [ %i.next, %next ]")
        b.write(f"%r.now = phi {kind} [ %r, %entry ], [ {r.text}, %next ]")
        b.write(f"%n.now = phi {integers} [ %n, %entry ], [ {n.text}, %next ]")
        x = b.let(scalar, f"extractelement {kind} %x, i32 %i")
        is_large = b.compare("ogt", b.intrinsic("fabs", x), limit)
        b.write(f"br {is_large}, label %large, label %next")
        b.label("large")
        one_r, one_n = large_angle(b, x)
        b.write(f"%r.new = insertelement {kind} %r.now, {one_r}, i32 %i")
        b.write(f"%n.new = insertelement {integers} %n.now, {one_n}, i32 %i")
        b.write("br label %next")
        b.label("next")
        b.write(f"{r.text} = phi {kind} [ %r.now, %loop ], [ %r.new, %large ]")
        b.write(f"{n.text} = phi {integers} [ %n.now, %loop ], [ %n.new, %large ]")
        b.write("%i.next = add i32 %i, 1")
        b.write(f"%more = icmp ult i32 %i.next, {kind.lanes}")
        b.write("br i1 %more, label %loop, label %done")
        b.label("done")
    b.write(f"%first = insertvalue {both} poison, {r}, 0")
    b.write(f"%both = insertvalue {both} %first, {n}, 1")
    b.write(f"ret {both} %both")
    arguments = f"{kind} %x, {kind} %r, {integers} %n"
    head = f"define internal {both} @{large_angles(kind)}({arguments}) noinline cold nounwind optnone {{"
    return "\n".join([head, *b.lines, "}", ""]), b.declarations
