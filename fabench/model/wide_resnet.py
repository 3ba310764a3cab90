"""Wide residual network (WRN-depth-width): convolutions in three stages of residual blocks.

    s' = s + conv(f(conv(f(s))))                                     (1)
    s' = conv1x1(f(s)) + conv(f(conv(f(s))))                         (2)

(1) is a block, (2) one that changes the number of channels; f normalises and then takes the
positive part. One convolution of 16 channels, then three stages of 16, 32 and 64 times ``width``
channels, with (depth - 4) / 6 blocks each, of which the first of the second and third stage
halves rows and columns; then f, each channel's mean, and a dense output layer. Convolutions have
kernels of 3 x 3 and no biases.

Reference: S. Zagoruyko, N. Komodakis, "Wide residual networks", 2016, arXiv:1605.07146, section 2.

Differences from the paper:
1. ``weight_init`` draws the output layer, too, and He's variance is 2 over a unit's inputs; in the
   authors' code 2 over a kernel's outputs, and the output layer has torch's default.
2. Images of one example lie side by side, as for model=convnet.
"""

from dataclasses import replace
from math import prod
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from fabench.model.base import Model
from fabench.model.layer.convolution import Averaging, Convolution
from fabench.model.layer.network import Layer
from fabench.schema import STRICT, Count, UserError

CHANNELS = (16, 32, 64)
"""Of the stages of a network of width 1; of the first convolution, of every one, the first."""


@dataclass(frozen=True, config=STRICT)
class WideResnet(Model):
    depth: Annotated[int, Field(ge=10)]
    width: Count

    def layers(self, item: tuple[int, ...], items: int, n_outputs: int) -> tuple[Layer, ...]:
        blocks, rest = divmod(self.depth - 4, 6)
        if rest:
            raise UserError(f"model.depth={self.depth}: model={self.name} has a depth of 6 n + 4.")
        if self.hidden:
            raise UserError(f"model.hidden={self.hidden}: model={self.name} has no dense layers.")
        if len(item) != 3:
            raise UserError(f"model={self.name}: convolutions need images; take model=mlp.")
        channels, rows, columns = item
        images = (channels, rows, items * columns)
        first = self._convolution(images, CHANNELS[0], 3, 1, items=items)
        network: list[Layer] = [replace(first, input_dropout=self.input_dropout)]
        shape, carries = first.shape, 0  # the layer whose sum is carried on
        for stage, channels in enumerate(CHANNELS):
            for block in range(blocks):
                wide, stride = channels * self.width, 2 if stage and not block else 1
                before, n = carries, len(network)
                inner = self._convolution(shape, wide, 3, stride, reads=before)
                network.append(inner)
                if inner.shape != shape:  # (2)
                    changed = self._convolution(shape, wide, 1, stride, reads=before)
                    network.append(replace(changed, activation="linear", batch_norm=False))
                    before = n + 1
                outer = self._convolution(inner.shape, wide, 3, 1, reads=n, adds=(before,))
                network.append(replace(outer, input_dropout=self.hidden_dropout))
                shape, carries = outer.shape, len(network) - 1
        n, *sides = shape
        settings = self._settings(0.0) | {"batch_norm": False}
        return *network, Averaging(n, n_outputs, places=prod(sides), **settings)

    def _convolution(
        self, images: tuple[int, int, int], channels: int, kernel: int, stride: int,
        items: int = 1, reads: int | None = None, adds: tuple[int, ...] = (),
    ) -> Convolution:  # fmt: skip
        settings = self._settings(0.0) | {"bias_init": None}
        return Convolution(
            fan_in=images[0] * kernel**2, fan_out=channels, images=images, kernel=kernel,
            stride=stride, padding=kernel // 2, items=items, reads=reads, adds=adds, **settings,
        )  # fmt: skip
