"""Everything graphc shows of an expression and of a compiled function."""

import tempfile
from pathlib import Path

import graphc
import graphc.tensor as T
from graphc.printing import latex, to_svg

x, y = T.dvector("x"), T.dvector("y")
cost = T.sum(T.log(T.nnet.sigmoid(x)) * y)
gradient = T.grad(cost, x)
f = graphc.function([x, y], [cost, gradient], name="f")

print("pp      ", graphc.pp(cost))
print("math    ", graphc.pp(cost, style="math"))
print("latex   ", latex(cost))
print("\ndebugprint, as written\n")
graphc.debugprint(cost)
print("\ndebugprint, compiled\n")
graphc.debugprint(f)
print("\nrewrites\n")
for applied in f.rewrites:
    print(applied)
print("\nschedule\n")
print(f.schedule)
print("\nsource\n")
print(f.source)
print("\nsource, in NumPy\n")
print(graphc.function([x, y], [cost, gradient], name="f", backend="numpy").source)

picture = Path(tempfile.mkdtemp()) / "f.svg"
picture.write_text(to_svg(f, title="f"))
print(f"picture: {picture.stat().st_size > 1000}")
