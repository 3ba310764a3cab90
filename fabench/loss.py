"""Losses: the value per example, and the error e, its gradient at the output's pre-activation.

Axes: R runs, B batch, C outputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, softplus


@dataclass(frozen=True)
class Loss:
    """What an output a [R, B, C] costs, given the target y [R, B, C].

    value(a, y): the loss of every example [R, B]; error(a, y): e, its gradient at a [R, B, C];
    prediction(a): what it says that y is [R, B, C].
    """

    value: Callable[[Tensor, Tensor], Tensor]
    error: Callable[[Tensor, Tensor], Tensor]
    prediction: Callable[[Tensor], Tensor]


BINARY_CROSS_ENTROPY = Loss(
    value=lambda a, y: torch.lerp(softplus(a), softplus(-a), y).sum(-1),  # (1)
    error=lambda a, y: torch.sigmoid(a) - y,  # (2)
    prediction=torch.sigmoid,
)
"""Sigmoid outputs with cross-entropy, from the logits: stable for any a, y in [0, 1].

    loss = sum_c (1 - y_c) log(1 + exp(a_c)) + y_c log(1 + exp(-a_c))    (1)
    e = sigmoid(a) - y                                                   (2)

Demirbilek 2021, appendix A.
"""

SOFTMAX_CROSS_ENTROPY = Loss(
    value=lambda a, y: -(y * log_softmax(a, -1)).sum(-1),  # (1)
    error=lambda a, y: log_softmax(a, -1).exp() - y,  # (2)
    prediction=lambda a: log_softmax(a, -1).exp(),
)
"""A softmax output with cross-entropy, from the logits: stable for any a; y >= 0, of sum 1 over C.

    loss = -sum_c y_c log softmax(a)_c    (1)
    e = softmax(a) - y                    (2)
"""

SQUARED_ERROR = Loss(
    value=lambda a, y: (a - y).square().sum(-1) / 2,  # (2)
    error=lambda a, y: a - y,  # (1)
    prediction=lambda a: a,
)
"""Half the squared error of a linear output.

    e = a - y               (1)
    loss = sum_c e_c^2 / 2  (2)
"""

SIGMOID_SQUARED_ERROR = Loss(
    value=lambda a, y: (torch.sigmoid(a) - y).square().sum(-1) / 2,  # (1)
    error=lambda a, y: (torch.sigmoid(a) - y) * torch.sigmoid(a) * torch.sigmoid(-a),  # (2)
    prediction=torch.sigmoid,
)
"""Half the squared error of sigmoid outputs.

    loss = sum_c (sigmoid(a_c) - y_c)^2 / 2                                   (1)
    e = (sigmoid(a) - y) ⊙ sigmoid'(a),  sigmoid'(a) = sigmoid(a) sigmoid(-a) (2)

Lillicrap et al. 2016, arXiv:1411.0247 (MNIST).
"""

LossName = Literal[
    "softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error", "sigmoid_squared_error"
]

LOSSES: dict[str, Loss] = {
    "softmax_cross_entropy": SOFTMAX_CROSS_ENTROPY,
    "sigmoid_cross_entropy": BINARY_CROSS_ENTROPY,
    "squared_error": SQUARED_ERROR,
    "sigmoid_squared_error": SIGMOID_SQUARED_ERROR,
}
"""The losses of a classifier, by the name that a configuration gives them."""
