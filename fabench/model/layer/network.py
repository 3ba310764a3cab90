"""The forward pass of a population of networks.

Axes: R runs, B batch, I fan-in, O fan-out. Layers are counted from 0; ``W[l]`` is the paper's
W_{l+1}. Rows never mix: every product is batched over R. Between layers every signal is flat,
[R, B, units], whatever the layers are: see ``fabench.model.layer.convolution``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fabench.model.layer.kernel import product

ActivationName = Literal["relu", "tanh", "sigmoid", "linear"]
GateName = Literal["sigmoid", "step"]


@dataclass(frozen=True)
class Activation:
    """A nonlinearity h = f(a) and its derivative f'(a), given a and h."""

    f: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor, Tensor], Tensor]


ACTIVATIONS = {
    "relu": Activation(torch.relu, lambda a, h: h.sign()),  # h >= 0
    "tanh": Activation(torch.tanh, lambda a, h: 1 - h * h),
    "sigmoid": Activation(torch.sigmoid, lambda a, h: h * (1 - h)),
    "linear": Activation(lambda a: a, lambda a, h: torch.ones_like(h)),
    "cos": Activation(torch.cos, lambda a, h: -torch.sin(a)),
}

GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "step": lambda g: (g > 0).to(g.dtype),
}


@dataclass(frozen=True)
class Layer:
    """One dense layer: h = f(x W + b), or, gated, h = (x W + b) ⊙ gate(x G) with G fixed.

    W and G are drawn from ``weight_init`` times ``weight_scale``, a factor or the key of a setting
    of which every row has its own. In training each of its inputs is
    dropped with probability ``input_dropout`` and divided by 1 - input_dropout where it stays
    (Srivastava et al., "Dropout", JMLR 15, 2014, section 10).
    """

    fan_in: int
    fan_out: int
    activation: str = "linear"
    weight_init: str = "torch_uniform"
    bias_init: str | None = None
    weight_scale: float | str = 1.0
    gate: GateName | None = None
    trained: bool = True
    input_dropout: float = 0.0

    @property
    def n_inputs(self) -> int:
        """Values of an example that come in."""
        return self.fan_in

    @property
    def units(self) -> int:
        """Values of an example that go out."""
        return self.fan_out

    @property
    def width(self) -> int:
        """Values of an example at the widest place: for memory."""
        return max(self.n_inputs, self.units)

    @property
    def multiply_adds(self) -> int:
        """Of the forward pass of one example."""
        return self.fan_in * self.fan_out

    def preactivation(self, h: Tensor, W: Tensor, b: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """a = h W + b [R, B, units], and what ``back`` and ``gradient`` need to know of it."""
        return product(h, W, b), None

    def back(self, delta: Tensor, M: Tensor, places: Tensor | None) -> Tensor:
        """A signal [R, B, units] sent back through M [R, O, I], W's transpose or what stands in
        for it: [R, B, n_inputs]."""
        return product(delta, M)

    def gradient(
        self, h: Tensor, delta: Tensor, places: Tensor | None, out: Tensor | None = None
    ) -> Tensor:
        """sum over examples of h^T delta [R, I, O], for input h [R, B, n_inputs]; ``out``: memory
        that it may use."""
        return product(h.mT, delta, out=out)

    def bias_gradient(self, delta: Tensor) -> Tensor:
        """sum over examples of delta [R, 1, O], in float32."""
        return delta.sum(1, keepdim=True, dtype=torch.float32)


def largest_weight(layers: Sequence[Layer]) -> int:
    """Elements of the largest weight matrix."""
    return max(layer.fan_in * layer.fan_out for layer in layers)


@dataclass(frozen=True)
class Outer:
    """What a layer's weights descend for teaching signal ``delta`` [R, N, units], not yet computed:
    the sum over examples of h^T delta, divided by ``size``.

    ``h`` [R, N, n_inputs] is the layer's input, ``places`` what its forward pass has said of it.
    """

    layer: Layer
    h: Tensor
    delta: Tensor
    size: int
    places: Tensor | None = None

    def value(
        self, operand: Callable[[Tensor], Tensor] = lambda t: t, out: Tensor | None = None
    ) -> Tensor:
        """[R, I, O], delta / size having the number format of ``operand``; ``out``: memory that it
        may use."""
        return self.layer.gradient(self.h, operand(self.delta / self.size), self.places, out)

    def of_bias(self) -> Tensor:
        """What the layer's biases descend [R, 1, O]."""
        return self.layer.bias_gradient(self.delta) / self.size


@dataclass
class ForwardPass:
    """What a forward pass leaves behind: ``h[l]`` [R, B, I] is the input of layer l (h[0] = x).

    ``f[l]`` is layer l's activation before dropout, ``masks[l]`` the factors 0 or 1 / (1 - p) of
    layer l's inputs, ``places[l]`` which inputs a pooling layer passed on.
    """

    layers: tuple[Layer, ...]
    h: list[Tensor]
    a: list[Tensor]
    f: list[Tensor]
    gates: list[Tensor | None]
    masks: list[Tensor | None]
    places: list[Tensor | None]

    @property
    def output(self) -> Tensor:
        """a_L, the last layer's pre-activation (logits) [R, B, O]."""
        return self.a[-1]

    def derivative(self, layer: int) -> Tensor:
        """f'(a) of a hidden layer [R, B, units], times its dropout's factors; of a gated layer, the
        gate's value."""
        slope = self.gates[layer]
        if slope is None:
            f = ACTIVATIONS[self.layers[layer].activation]
            slope = f.derivative(self.a[layer], self.f[layer])
        mask = self.masks[layer + 1]
        return slope if mask is None else (slope * mask).type_as(slope)

    def back(self, layer: int, delta: Tensor, M: Tensor) -> Tensor:
        """``delta`` sent back through ``layer`` by M [R, O, I], as by its transposed weights."""
        return self.layers[layer].back(delta, M, self.places[layer])

    def carry(self, e: Tensor, backward: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The teaching signals of the layers that ``e`` [R, B, C] reaches on its way back from the
        output: through layer l by backward[l] [R, O, I], its transposed weights or what stands in
        for them, then through f' of the layer below."""
        deltas = {len(self.layers) - 1: e}
        for layer in sorted(backward, reverse=True):
            carried = self.back(layer, deltas[layer], backward[layer])
            deltas[layer - 1] = carried * self.derivative(layer - 1)
        return deltas

    def outer(self, layer: int, delta: Tensor) -> Outer:
        """What ``layer``'s weights descend for teaching signal ``delta``, a batch mean."""
        h = self.h[layer]
        return Outer(self.layers[layer], h, delta, h.shape[1], self.places[layer])


def forward(
    layers: tuple[Layer, ...],
    parameters: Mapping[str, Tensor],
    x: Tensor,
    operand: Callable[[Tensor], Tensor] = lambda h: h,
    masks: list[Tensor | None] | None = None,
) -> ForwardPass:
    """Run x [R, B, I] through the layers, by their ``parameters`` W<l>, b<l>, G<l>, which are
    operands as x is; the last one's output stays linear.

    ``operand`` gives every hidden h the number format of a product's operand; ``masks``: dropout's
    factors of every layer's inputs, in training.
    """
    masks = masks or [None] * len(layers)
    result = ForwardPass(layers, [], [], [], [], masks, [])
    h = x
    for number, (layer, mask) in enumerate(zip(layers, masks, strict=True)):
        if mask is not None:
            h = operand(h * mask)
        b = parameters[f"b{number}"] if layer.bias_init else None
        a, places = layer.preactivation(h, parameters[f"W{number}"], b)
        gate = None
        if layer.gate:
            gate = GATES[layer.gate](product(h, parameters[f"G{number}"]))
        result.h.append(h)
        result.a.append(a)
        result.gates.append(gate)
        result.places.append(places)
        if layer is not layers[-1]:
            h = operand(ACTIVATIONS[layer.activation].f(a) if gate is None else a * gate)
            result.f.append(h)
    return result
