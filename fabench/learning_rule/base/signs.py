"""Feedback with the signs of the weights: what the sign-symmetry rules share.

Reference: Q. Liao, J. Leibo, T. Poggio, "How important is weight symmetry in backpropagation?",
AAAI 2016, arXiv:1510.05067.
"""

from collections.abc import Sequence

from torch import Tensor


def concordant(magnitudes: Sequence[Tensor], W: Sequence[Tensor]) -> list[Tensor]:
    """Feedback with given magnitudes and the signs of the transposed weights."""
    return [m * w.mT.sign() for m, w in zip(magnitudes, W[1:], strict=True)]


def root_mean_squares(B: Sequence[Tensor]) -> list[Tensor]:
    """Of each matrix's elements, [R, 1, 1]."""
    return [b.square().mean((1, 2), keepdim=True).sqrt() for b in B]
