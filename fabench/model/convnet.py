"""Convolutional network: convolutions, each with max pooling, then dense layers.

Every convolution has square kernels, one every ``stride`` places, and ``padding`` zeros around the
image, and is followed by the maximum over squares of side ``pool``, one every ``pool_stride``
places. Images of one example lie side by side as one wide image.

References: Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998,
section II.B (model=lenet); A. Nøkland, "Direct feedback alignment provides learning in deep neural
networks", 2016, arXiv:1609.01596, and its code (model=nokland_conv).

Differences from the papers:
1. LeNet-5 averages where this takes the maximum, connects its second convolution sparsely and does
   not pad it (400 numbers, here 784, go into the first dense layer), and has radial units at the
   end.
2. Dropout comes after pooling; Nøkland's code has it before.
"""

from dataclasses import replace
from math import prod
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from fabench.model.base import Model
from fabench.model.layer.convolution import Convolution
from fabench.model.layer.network import Layer
from fabench.schema import STRICT, Count, UserError


@dataclass(frozen=True, config=STRICT)
class Convnet(Model):
    channels: list[Count]
    kernel: Count
    padding: Annotated[int, Field(ge=0)]
    pool: Count
    pool_stride: Count
    stride: Count = 1

    def layers(self, item: tuple[int, ...], items: int, n_outputs: int) -> tuple[Layer, ...]:
        if len(item) != 3:
            raise UserError(f"model={self.name}: convolutions need images; take model=mlp.")
        channels, rows, columns = item
        shape, convolutions = (channels, rows, items * columns), list[Layer]()
        for n_channels in self.channels:
            layer = Convolution(
                fan_in=shape[0] * self.kernel**2, fan_out=n_channels, images=shape,
                kernel=self.kernel, stride=self.stride, padding=self.padding, pool=self.pool,
                pool_stride=self.pool_stride, items=1 if convolutions else items,
                **self._settings(self.hidden_dropout),
            )  # fmt: skip
            if min(layer.convolved[1:]) < self.pool:
                raise UserError(f"model={self.name}: images of {shape[1]} x {shape[2]} pixels are "
                                "too small for so many convolutions.")  # fmt: skip
            convolutions.append(layer)
            shape = layer.shape
        first, *others = [*convolutions, *self.dense(prod(shape), n_outputs)]
        return replace(first, input_dropout=self.input_dropout), *others
