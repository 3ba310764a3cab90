"""Losses: the value per example and the error e, its gradient at the output's pre-activation.

Axes: R runs, B batch, C outputs.
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus


def binary_cross_entropy(a: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Sigmoid output with cross-entropy, from the logit: stable for any a.

        loss = sum_c (1 - y_c) log(1 + exp(a_c)) + y_c log(1 + exp(-a_c))    (1)
        e = sigmoid(a) - y                                                   (2)

    a, y: [R, B, C] (y in [0, 1]). Returns loss [R, B] and e [R, B, C]. Demirbilek 2021, appendix A.
    """
    loss = ((1 - y) * softplus(a) + y * softplus(-a)).sum(-1)  # (1)
    return loss, torch.sigmoid(a) - y  # (2)
