"""Losses: the value per example and the error e, its gradient at the output's pre-activation.

Axes: R runs, B batch, C outputs.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, softplus


def binary_cross_entropy(a: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Sigmoid output with cross-entropy, from the logit: stable for any a.

        loss = sum_c (1 - y_c) log(1 + exp(a_c)) + y_c log(1 + exp(-a_c))    (1)
        e = sigmoid(a) - y                                                   (2)

    a, y: [R, B, C] (y in [0, 1]). Returns loss [R, B] and e [R, B, C]. Demirbilek 2021, appendix A.
    """
    loss = torch.lerp(softplus(a), softplus(-a), y).sum(-1)  # (1)
    return loss, torch.sigmoid(a) - y  # (2)


def softmax_cross_entropy(a: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax output with cross-entropy, from the logits: stable for any a.

        loss = -sum_c y_c log softmax(a)_c    (1)
        e = softmax(a) - y                    (2)

    a, y: [R, B, C] (y >= 0, of sum 1 over C). Returns loss [R, B] and e [R, B, C].
    """
    log_p = log_softmax(a, -1)
    return -(y * log_p).sum(-1), log_p.exp() - y  # (1), (2)


def squared_error(a: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Half the squared error of a linear output.

        e = a - y               (1)
        loss = sum_c e_c^2 / 2  (2)

    a, y: [R, B, C]. Returns loss [R, B] and e [R, B, C].
    """
    e = a - y  # (1)
    return (e * e).sum(-1) / 2, e  # (2)


LossName = Literal["softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error"]

LOSSES: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "softmax_cross_entropy": softmax_cross_entropy,
    "sigmoid_cross_entropy": binary_cross_entropy,
    "squared_error": squared_error,
}
"""The losses of a classifier, by the name that a configuration gives them."""
