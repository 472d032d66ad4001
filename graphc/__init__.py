"""graphc: a compiler for array expressions, in the manner of Theano.

    >>> import graphc
    >>> import graphc.tensor as T
    >>> x = T.dscalar("x")
    >>> f = graphc.function([x], T.grad(x**2, x))
    >>> f(3)
    array(6.)
"""

from graphc import gradient, printing, tensor
from graphc.compile.function import Function, function
from graphc.compile.signature import In, Out, Param
from graphc.configuration import config
from graphc.evaluator import evaluate
from graphc.gradient import Lop, Rop, grad, verify_grad
from graphc.graph.bindings import ops as _ops
from graphc.graph.fgraph import FunctionGraph
from graphc.graph.op import Op
from graphc.graph.shared import SharedVariable, shared
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Constant, Variable
from graphc.printing import debugprint, pp, pprint

__version__ = "0.1.0"

_ops.bind("eval", "graphc.compile.evaluation:evaluated")
_ops.bind("elsewhere", "graphc.backends.cupy.resident:elsewhere")

__all__ = [
    "Apply", "Constant", "Function", "FunctionGraph", "In", "Lop", "Op", "Out", "Param", "Rop", "SharedVariable",
    "TensorType", "Variable", "config", "debugprint", "evaluate", "function", "grad", "gradient", "pp", "pprint",
    "printing", "shared", "tensor", "verify_grad",
]  # fmt: skip
