"""First functions: a product, a square, and a derivative in print."""

from __future__ import annotations

import numpy as np

import graphc
import graphc.tensor as T
from graphc.demo.example import Check, Outcome

DERIVATIVE = (
    "(((fill(sinh(((x ** TensorConstant{7}) + exp((y * arccosh(z))))), TensorConstant{1.0}) * "
    "cosh(((x ** TensorConstant{7}) + exp((y * arccosh(z)))))) * TensorConstant{7}) * "
    "(x ** (TensorConstant{7} - TensorConstant{1})))"
)


def first_functions(quick: bool) -> Outcome:
    """Scalars, vectors, a gradient with respect to one of three variables."""
    a, b = T.dscalar("a"), T.dscalar("b")
    product = graphc.function([a, b], a * b)
    v = T.dvector("v")
    square = graphc.function([v], v**2)

    x, y, z = T.dscalars("x", "y", "z")
    func = T.sinh(x**7 + T.exp(y * T.arccosh(z)))
    derivative = T.grad(func, wrt=x)
    at = {x: 0.9, y: 0.3, z: 1.7}
    step = 1e-6
    slope = (func.eval({**at, x: 0.9 + step}) - func.eval({**at, x: 0.9 - step})) / (2 * step)

    return Outcome(
        checks=(
            Check("f(2, 3), f = a*b", repr(product(2, 3)), "array(6.)"),
            Check("v**2 of np.repeat(2, 3)", square(np.repeat(2, 3)), [4.0, 4.0, 4.0]),
            Check("pp(grad(func, x)) as in Theano", graphc.pp(derivative), DERIVATIVE),
            Check("that derivative - finite difference", derivative.eval(at) - slope, 0.0, 1e-6),
        ),
        graphs=(("derivative.svg", "d/dx sinh(x**7 + exp(y*arccosh(z)))", derivative),),
    )
