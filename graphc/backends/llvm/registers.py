"""Constants that stay in registers while a loop runs.

Vector math has a dozen constants, for which AVX-512 has the registers.  LLVM takes constants out of a loop as long as
it believes that registers are left, and counts those of the loops before it as well: of several loops over a row, the
last ones read their constants from memory, each time.  What a volatile load has found, before all loops, is no constant
to LLVM any more.
"""

from __future__ import annotations

from graphc.backends.llvm.emit import Value
from graphc.backends.llvm.vectors import VectorRenderer, computes
from graphc.kernels.loopir import Loop


class RegisterRenderer(VectorRenderer):
    """Writes a kernel with vectors; in loops inside of others constants stay in registers."""

    _pins: dict[Value, Value]
    """Those of the outermost loop at hand."""

    def _loop(self, loop: Loop) -> None:
        if loop not in self.kernel.body:
            super()._loop(loop)
            return
        place = len(self.b.lines)
        self._pins = {}
        super()._loop(loop)
        self.b.lines[place:place] = [self._loaded(number, to) for number, to in self._pins.items()]

    def _by_vectors(self, loop: Loop, start: Value, limit: Value, lanes: int) -> list[Value]:
        if self.target.has_avx512 and computes(loop) and loop not in self.kernel.body:
            self.b.pinned = self._pins
        found = super()._by_vectors(loop, start, limit, lanes)
        self.b.pinned = None
        return found

    def _loaded(self, number: Value, to: Value) -> str:
        name = f"@pinned.{number.kind.suffix}.{''.join(filter(str.isalnum, number.text))}"
        self.b.define(f"{name} = private unnamed_addr constant {number}")
        return f"  {to.text} = load volatile {to.kind}, ptr {name}"
