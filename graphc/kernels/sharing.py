"""Sigmoids and softplus of one number, or of it and its negative, from one exponential.

With ``e = exp(-|z|)``, which never overflows:

    sigmoid(z)  = q - q d,  q = (1 if z >= 0 else e) / (1 + e)        softplus(z)  = max(z, 0) + log1p(e)

and for -z as much; d is what ``1 + e`` lacks.  A logistic regression with its gradient needs all four of one z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphc.graph.op import Op
from graphc.kernels.loopir import Kernel, Let, Loop, Number, Statement, Value
from graphc.ops.elementwise import add, ge, maximum, mul, neg, sub, switch, true_div
from graphc.ops.nnet import decay
from graphc.ops.transcendental import log1p


def shared(kernel: Kernel) -> Kernel:
    """The kernel with such exponentials computed once."""
    return replace(kernel, body=_shared(kernel.body))


def _shared(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    negated = {s.out: s.args[0] for s in statements if isinstance(s, Let) and s.op is neg}
    users: dict[Value, list[Let]] = {}
    for s in statements:
        if isinstance(s, Let) and s.op.name in ("sigmoid", "softplus"):
            users.setdefault(negated.get(s.args[0], s.args[0]), []).append(s)
    common: dict[Value, _Common] = {}
    result: list[Statement] = []
    for s in statements:
        if isinstance(s, Loop):
            result.append(replace(s, body=_shared(s.body)))
            continue
        base = negated.get(s.args[0], s.args[0]) if isinstance(s, Let) and s.args else None
        if isinstance(s, Let) and base is not None and s in users.get(base, ()) and len(users[base]) > 1:
            if base not in common:
                common[base] = _Common(base, result)
            common[base].write(s, result)
        else:
            result.append(s)
    return tuple(result)


class _Common:
    """What several functions of one number have in common."""

    def __init__(self, base: Value, body: list[Statement]) -> None:
        self.dtype = base.dtype
        self.zero, self.one = (Value(self.dtype) for _ in range(2))
        body += [Number(self.zero, 0), Number(self.one, 1)]
        self.e = self._let(body, decay, base)
        self._below: tuple[Value, Value] | None = None
        self._log: Value | None = None

    def _let(self, body: list[Statement], op: Op, *args: Value, dtype: str | None = None) -> Value:
        out = Value(dtype or self.dtype)
        body.append(Let(out, op, args))
        return out

    def write(self, s: Let, body: list[Statement]) -> None:
        """One of the functions, into the value it had."""
        (z,) = s.args
        if s.op.name == "sigmoid":
            if self._below is None:
                total = self._let(body, add, self.one, self.e)
                self._below = total, self._let(body, sub, self.e, self._let(body, sub, total, self.one))
            total, missing = self._below
            positive = self._let(body, ge, z, self.zero, dtype="bool")
            top = self._let(body, switch, positive, self.one, self.e)
            quotient = self._let(body, true_div, top, total)
            body.append(Let(s.out, sub, (quotient, self._let(body, mul, quotient, missing))))
        else:
            if self._log is None:
                self._log = self._let(body, log1p, self.e)
            body.append(Let(s.out, add, (self._let(body, maximum, z, self.zero), self._log)))
