"""Convolution and max pooling as a layer of a population.

    a = pool(x * W + b),   h = f(a)                                  (1)

``*`` is cross-correlation with zeros around the image. All activations rise, so pooling before f
and after it give the same h: a [R, B, O H' W'] is what is left after pooling, and a teaching signal
is one number for each of these values, as for any layer. On its way back it goes to the place that
the maximum came from.

Axes: R runs, B batch, O channels out, C channels in, I = C kernel^2 fan-in, H rows, W columns (H',
W' after pooling). Weights are matrices [R, I, O], as a dense layer's: initial distributions,
optimizers and feedback matrices need not know. Between layers images are flat, channel after
channel, row after row. The R networks are R groups of one grouped convolution.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d
from torch.nn.grad import conv2d_input, conv2d_weight

from fabench.model.layer.network import Layer

Shape = tuple[int, int, int]
"""Channels, rows, columns."""


@dataclass(frozen=True)
class Convolution(Layer):
    """One convolution: fan_in = C kernel^2, fan_out = O. ``pool``: side of the pooled squares, one
    every ``pool_stride`` places; 1: no pooling.

    The input is ``items`` images, one flat image after the other; side by side they are one image
    of shape ``images``.
    """

    images: Shape = (1, 1, 1)
    items: int = 1
    kernel: int = 1
    padding: int = 0
    pool: int = 1
    pool_stride: int = 1

    @property
    def convolved(self) -> Shape:
        """What comes out before pooling."""
        _, *sides = self.images
        rows, columns = (side + 2 * self.padding - self.kernel + 1 for side in sides)
        return self.fan_out, rows, columns

    @property
    def pooled(self) -> Shape:
        """What comes out."""
        if self.pool == 1:
            return self.convolved
        channels, *sides = self.convolved
        rows, columns = ((side - self.pool) // self.pool_stride + 1 for side in sides)
        return channels, rows, columns

    @property
    def n_inputs(self) -> int:
        return prod(self.images)

    @property
    def units(self) -> int:
        return prod(self.pooled)

    @property
    def width(self) -> int:
        return max(self.n_inputs, prod(self.convolved))

    @property
    def multiply_adds(self) -> int:
        return self.fan_in * prod(self.convolved)

    def preactivation(self, h: Tensor, W: Tensor, b: Tensor | None) -> tuple[Tensor, Tensor | None]:
        bias = None if b is None else b.flatten()
        a = conv2d(self._side_by_side(h), self._kernels(W.mT), bias, 1, self.padding,
                   groups=len(W))  # fmt: skip
        if self.pool == 1:
            return _flat(a, len(W)), None
        a, places = max_pool2d(a, self.pool, self.pool_stride, return_indices=True)  # (1)
        return _flat(a, len(W)), places

    def back(self, delta: Tensor, M: Tensor, places: Tensor | None) -> Tensor:
        shape = (delta.shape[1], len(M) * self.images[0], *self.images[1:])
        images = conv2d_input(
            shape, self._kernels(M), self._unpooled(delta, places), padding=self.padding,
            groups=len(M),
        )  # fmt: skip
        flat = _flat(images, len(M))
        if self.items == 1:
            return flat
        channels, rows, columns = self.images
        wide = flat.unflatten(2, (channels, rows, self.items, columns // self.items))
        return wide.movedim(4, 2).flatten(2)

    def gradient(
        self, h: Tensor, delta: Tensor, places: Tensor | None, out: Tensor | None = None
    ) -> Tensor:
        runs = len(h)
        shape = (runs * self.fan_out, self.images[0], self.kernel, self.kernel)
        kernels = conv2d_weight(
            self._side_by_side(h), shape, self._unpooled(delta, places), padding=self.padding,
            groups=runs,
        )  # fmt: skip
        return kernels.view(runs, self.fan_out, self.fan_in).mT

    def bias_gradient(self, delta: Tensor) -> Tensor:
        return delta.unflatten(2, (self.fan_out, -1)).sum((1, 3), dtype=torch.float32)[:, None]

    def _side_by_side(self, h: Tensor) -> Tensor:
        """The input h [R, B, n_inputs] as images with R groups of channels [B, R C, H, W]."""
        if self.items > 1:
            channels, rows, columns = self.images
            items = h.unflatten(2, (self.items, channels, rows, columns // self.items))
            h = items.movedim(2, 4).flatten(2)
        return _grouped(h, self.images)

    def _kernels(self, M: Tensor) -> Tensor:
        """M [R, O, I] as the kernels of R groups."""
        return M.reshape(-1, self.images[0], self.kernel, self.kernel)

    def _unpooled(self, delta: Tensor, places: Tensor | None) -> Tensor:
        """delta [R, B, units] where the maxima came from [B, R O, H, W]; squares may overlap."""
        pooled = _grouped(delta, self.pooled)
        if places is None:
            return pooled
        rows, columns = self.convolved[1:]
        flat = delta.new_zeros(*pooled.shape[:2], rows * columns)
        flat.scatter_add_(2, places.flatten(2), pooled.flatten(2))
        return flat.unflatten(2, (rows, columns))


def _grouped(h: Tensor, shape: Shape) -> Tensor:
    """h [R, B, C H W] as images with R groups of channels [B, R C, H, W]."""
    return h.unflatten(2, shape).transpose(0, 1).flatten(1, 2)


def _flat(images: Tensor, runs: int) -> Tensor:
    """[B, R C, H, W] as [R, B, C H W]."""
    return images.unflatten(1, (runs, -1)).transpose(0, 1).flatten(2)
