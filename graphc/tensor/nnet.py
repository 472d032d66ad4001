"""``T.nnet``: the functions of neural networks."""

from graphc.ops.nnet import (
    binary_crossentropy,
    categorical_crossentropy,
    elu,
    hard_sigmoid,
    logsoftmax,
    relu,
    selu,
    sigmoid,
    sigmoid_binary_crossentropy,
    softmax,
    softplus,
    softsign,
)

__all__ = [
    "binary_crossentropy", "categorical_crossentropy", "elu", "hard_sigmoid", "logsoftmax", "relu", "selu", "sigmoid",
    "sigmoid_binary_crossentropy", "softmax", "softplus", "softsign",
]  # fmt: skip
