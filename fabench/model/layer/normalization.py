"""Batch normalisation of a layer's sum, each network by itself.

    n = gain (s - mean) / sqrt(variance + EPSILON) + shift           (1)
    running <- (1 - MOMENTUM) running + MOMENTUM (of the batch)      (2)

Per unit of a dense layer, per channel of a convolution. In training mean and (biased) variance are
the batch's, over examples and places, and the running ones follow, the variance without bias; in
test the running ones are used.

Axes: R rows, B batch, C units or channels. gain, shift, mean and variance are [R, 1, C].

Reference: S. Ioffe, C. Szegedy, "Batch normalization", 2015, arXiv:1502.03167, algorithms 1 and 2.

Differences from the paper:
1. Running averages are exponential, as torch's are, with torch's constants; a batch that has only
   one value of a unit leaves the running variance as it is.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

MOMENTUM, EPSILON = 0.1, 1e-5

LEARNED = {"gain": 1.0, "shift": 0.0}
"""What descends, and where it begins."""

STATISTICS = {"mean": 0.0, "variance": 1.0}
"""What runs along, and where it begins."""

aten = torch.ops.aten


@dataclass
class Normalized:
    """A normalised sum: ``output`` [R, B, *shape], ``running`` the statistics after it, by name.

    ``slopes``: what gain and shift descend [R, 1, C], sums over the batch, from when a signal has
    come ``back``.
    """

    output: Tensor
    running: dict[str, Tensor]
    s: Tensor
    saved: list[Tensor]
    training: bool
    slopes: dict[str, Tensor] = field(default_factory=dict)

    def back(self, delta: Tensor) -> Tensor:
        """The signal at the sum for a signal at ``output``, both [R, B, *shape]."""
        rows = len(delta)
        below, *slopes = aten.native_batch_norm_backward(
            _together(delta), _together(self.s), *self.saved, self.training, EPSILON, [True] * 3
        )
        self.slopes = {
            name: slope.view(rows, 1, -1) for name, slope in zip(LEARNED, slopes, strict=True)
        }
        return _apart(below, rows)


def normalize(
    s: Tensor, gain: Tensor, shift: Tensor, mean: Tensor, variance: Tensor, training: bool
) -> Normalized:
    """(1) of s [R, B, *shape]."""
    flat = [t.flatten() for t in (gain, shift)]
    running = [t.flatten().clone() if training else t.flatten() for t in (mean, variance)]
    output, *own = aten.native_batch_norm(
        _together(s), *flat, *running, training, MOMENTUM, EPSILON
    )
    if training and s[0].numel() == s.shape[2]:  # an unbiased variance of one value there is not
        running[1] = variance.flatten()
    after = {n: t.view_as(mean) for n, t in zip(STATISTICS, running, strict=True)}
    saved = [flat[0], *running, *own]
    return Normalized(_apart(output, len(s)), after, s, saved, training)


def _together(s: Tensor) -> Tensor:
    """[R, B, C, ...] as [B, R C, ...]."""
    return s.transpose(0, 1).flatten(1, 2)


def _apart(s: Tensor, rows: int) -> Tensor:
    """[B, R C, ...] as [R, B, C, ...]."""
    return s.unflatten(1, (rows, -1)).transpose(0, 1)
