"""Convolution and max pooling as a layer of a population.

    a = pool(x * W + b),   h = f(a)                                  (1)

``*`` is cross-correlation with zeros around the image. Where f rises (gelu does not below -0.75)
pooling before f and after it give the same h: a [R, B, O H' W'] is what is left after pooling, and
a teaching signal is one number for each of these values, as for any layer. On its way back it goes
to the place that the maximum came from.

Axes: R rows, B batch, O channels out, C channels in, I = C kernel^2 fan-in, H pixels high, W wide
(H', W' after pooling). Weights are matrices [R, I, O], as a dense layer's: initial distributions,
optimizers and feedback matrices need not know. Between convolutions images stay images, [R, B, C,
H, W]; dense layers and feedback see them flat, channel after channel, row after row. The R networks
are R groups of one grouped convolution. On a CPU a pixel's channels lie side by side in memory.
"""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from fabench.model.layer.kernel import product
from fabench.model.layer.network import Layer

Shape = tuple[int, int, int]
"""Channels, rows, columns."""

aten = torch.ops.aten


@dataclass(frozen=True)
class Convolution(Layer):
    """One convolution: fan_in = C kernel^2, fan_out = O; kernels every ``stride`` places. ``pool``:
    side of the pooled squares, one every ``pool_stride`` places; 1: no pooling.

    The input is ``items`` images, one flat image after the other; side by side they are one image
    of shape ``images``.
    """

    images: Shape = (1, 1, 1)
    items: int = 1
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    pool: int = 1
    pool_stride: int = 1

    shares_weights: ClassVar[bool] = True

    @property
    def convolved(self) -> Shape:
        """What comes out before pooling."""
        _, *sides = self.images
        rows, columns = (
            (side + 2 * self.padding - self.kernel) // self.stride + 1 for side in sides
        )
        return self.fan_out, rows, columns

    @property
    def shape(self) -> Shape:
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
        return prod(self.shape)

    @property
    def width(self) -> int:
        return max(self.n_inputs, prod(self.convolved))

    @property
    def multiply_adds(self) -> int:
        return self.fan_in * prod(self.convolved)

    def taken(self, h: Tensor) -> Tensor:
        """The input, flat or images, as images [R, B, C, H, W]: its items side by side."""
        if h.dim() == 3:
            channels, rows, columns = self.images
            items = h.unflatten(2, (self.items, channels, rows, columns // self.items))
            h = items.movedim(2, 4).flatten(4)
        return _ungrouped(_pixels(_grouped(h)), len(h))

    def preactivation(self, h: Tensor, W: Tensor, b: Tensor | None) -> tuple[Tensor, Tensor | None]:
        bias = None if b is None else b.flatten()
        images = self._grouped_input(h)
        a = conv2d(images, self._kernels(W.mT), bias, self.stride, self.padding, groups=len(W))
        if self.pool == 1:
            return _ungrouped(a, len(W)), None
        a, places = max_pool2d(a, self.pool, self.pool_stride, return_indices=True)  # (1)
        return _ungrouped(a, len(W)), places

    def back(self, delta: Tensor, M: Tensor, places: Tensor | None) -> Tensor:
        shape = (delta.shape[1], len(M) * self.images[0], *self.images[1:])
        unpooled = self._unpooled(delta, places)
        like = _unwritten(unpooled, shape)
        images, *_ = self._backward(unpooled, like, self._kernels(M), (True, False, False))
        images = _ungrouped(images, len(M))
        if self.items == 1:
            return images
        _, _, columns = self.images
        return images.unflatten(4, (self.items, columns // self.items)).movedim(4, 2).flatten(2)

    def gradient(
        self, h: Tensor, delta: Tensor, places: Tensor | None, out: Tensor | None = None
    ) -> Tensor:
        rows = len(h)
        shape = (rows * self.fan_out, self.images[0], self.kernel, self.kernel)
        unpooled, images = self._unpooled(delta, places), self._grouped_input(h)
        like = _unwritten(unpooled, shape)
        _, kernels, _ = self._backward(unpooled, images, like, (False, True, False))
        return kernels.reshape(rows, self.fan_out, self.fan_in).mT

    def bias_gradient(self, delta: Tensor) -> Tensor:
        channels = delta.unflatten(2, self.shape) if delta.dim() == 3 else delta
        return channels.sum((1, 3, 4), dtype=torch.float32)[:, None]

    def _grouped_input(self, h: Tensor) -> Tensor:
        """The input as images with R groups of channels [B, R C, H, W]."""
        return _pixels(_grouped(self.taken(h)))

    def _kernels(self, M: Tensor) -> Tensor:
        """M [R, O, I] as the kernels of R groups."""
        return _pixels(M.reshape(-1, self.images[0], self.kernel, self.kernel))

    def _backward(
        self, delta: Tensor, images: Tensor, kernels: Tensor, wanted: tuple[bool, bool, bool]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients in images, kernels and biases, as far as they are wanted, for the gradient
        delta [B, R O, H, W]."""
        settings = [self.stride] * 2, [self.padding] * 2, [1, 1], False, [0, 0]
        groups = delta.shape[1] // self.fan_out
        backward: tuple[Tensor, Tensor, Tensor] = aten.convolution_backward(
            delta, images, kernels, None, *settings, groups, wanted
        )
        return backward

    def _unpooled(self, delta: Tensor, places: Tensor | None) -> Tensor:
        """delta, flat or images, where the maxima came from [B, R O, H, W]; squares may overlap."""
        images = delta.unflatten(2, self.shape) if delta.dim() == 3 else delta
        pooled = _pixels(_grouped(images))
        if places is None:
            return pooled
        like = _unwritten(pooled, (*pooled.shape[:2], *self.convolved[1:]))
        settings = [self.pool] * 2, [self.pool_stride] * 2, [0, 0], [1, 1], False
        unpooled: Tensor = aten.max_pool2d_with_indices_backward(pooled, like, *settings, places)
        return unpooled


@dataclass(frozen=True)
class Averaging(Layer):
    """A dense layer that reads each channel's mean over ``places`` pixels: global average pooling,
    then a product. fan_in = C."""

    places: int = 1

    @property
    def n_inputs(self) -> int:
        return self.fan_in * self.places

    def taken(self, h: Tensor) -> Tensor:
        """The input, flat or images, as means [R, B, C]."""
        if h.shape[2:] == (self.fan_in,):
            return h
        return h.unflatten(2, (self.fan_in, -1)).mean(3) if h.dim() == 3 else h.mean((3, 4))

    def back(self, delta: Tensor, M: Tensor, places: Tensor | None) -> Tensor:
        of_means = product(delta, M) / self.places
        return of_means[..., None].expand(*of_means.shape, self.places).flatten(2)


def _grouped(images: Tensor) -> Tensor:
    """[R, B, C, H, W] as images with R groups of channels [B, R C, H, W]."""
    return images.transpose(0, 1).flatten(1, 2)


def _ungrouped(images: Tensor, rows: int) -> Tensor:
    """[B, R C, H, W] as [R, B, C, H, W]."""
    return images.unflatten(1, (rows, -1)).transpose(0, 1)


def _unwritten(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Memory for images or kernels of which only shape, format and order of memory count."""
    order = torch.channels_last if like.device.type == "cpu" else torch.contiguous_format
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=order)


def _pixels(images: Tensor) -> Tensor:
    """Images [B, C, H, W] in the order of memory that the device likes: on a CPU a pixel's channels
    side by side. One channel lies so anyway: torch only has to be told."""
    if images.device.type != "cpu":
        return images
    if images.shape[1] > 1:
        return images.contiguous(memory_format=torch.channels_last)
    images = images.contiguous()
    _, _, rows, columns = images.shape
    return images.as_strided(images.shape, (rows * columns, 1, columns, 1))
