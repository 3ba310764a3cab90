"""The forward pass of a population of networks.

Axes: R rows, B batch, I fan-in, O fan-out. Layers are counted from 0; ``W[l]`` is the paper's
W_{l+1}. Rows never mix: every product is batched over R.

    s_l = a_l + sum of s_j, j in adds_l,   a_l = h_l W_l (+ b_l)     (1)
    h_l = f_j(norm_j(s_j)),   j = reads_l                            (2)

A chain reads the layer before, h_0 = x, and adds nothing; in a residual network sums are carried
on. What comes out of a convolution are images, [R, B, C, H, W]: see
``fabench.model.layer.convolution``; everything else is flat, [R, B, units].
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from fabench.model.layer.kernel import at_full, product
from fabench.model.layer.normalization import LEARNED, STATISTICS, Normalized, normalize

ActivationName = Literal[
    "relu", "tanh", "sigmoid", "linear", "leaky_relu", "elu", "gelu", "softplus", "hard_sigmoid"
]
GateName = Literal["sigmoid", "step"]


@dataclass(frozen=True)
class Activation:
    """A nonlinearity h = f(a), and a signal s pulled through it, s ⊙ f'(a), given a and h."""

    f: Callable[[Tensor], Tensor]
    pull: Callable[[Tensor, Tensor, Tensor], Tensor]


aten = torch.ops.aten
ACTIVATIONS = {
    "relu": Activation(torch.relu, lambda s, a, h: aten.threshold_backward(s, h, 0)),
    "tanh": Activation(torch.tanh, lambda s, a, h: aten.tanh_backward(s, h)),
    "sigmoid": Activation(torch.sigmoid, lambda s, a, h: aten.sigmoid_backward(s, h)),
    "linear": Activation(lambda a: a, lambda s, a, h: s),
    # torch's, with torch's constants
    "leaky_relu": Activation(
        functional.leaky_relu, lambda s, a, h: aten.leaky_relu_backward(s, a, 0.01, False)
    ),
    "elu": Activation(functional.elu, lambda s, a, h: aten.elu_backward(s, 1, 1, 1, False, a)),
    "gelu": Activation(functional.gelu, lambda s, a, h: aten.gelu_backward(s, a)),
    "softplus": Activation(
        functional.softplus, lambda s, a, h: aten.softplus_backward(s, a, 1, 20)
    ),
    "hard_sigmoid": Activation(
        functional.hardsigmoid, lambda s, a, h: aten.hardsigmoid_backward(s, a)
    ),
    "cos": Activation(torch.cos, lambda s, a, h: -s * torch.sin(a)),
}

GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "step": lambda g: (g > 0).to(g.dtype),
}


@dataclass(frozen=True)
class Layer:
    """One dense layer, and what its sum goes through, (1) and (2); gated, f(s) is s ⊙ gate(h G)
    with G fixed.

    ``reads``: the layer whose f comes in, by default the one before (layer 0 alone reads the
    network's input); ``adds``: the layers whose sums are added; ``batch_norm``: whether the sum is
    normalised before f. A layer whose sum is only added has a linear f.

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
    reads: int | None = None
    adds: tuple[int, ...] = ()
    batch_norm: bool = False

    shares_weights: ClassVar[bool] = False
    """Whether many places share a weight, so that gradients are smaller than signals."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what comes out for an example."""
        return (self.fan_out,)

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

    def taken(self, h: Tensor) -> Tensor:
        """The input as products take it: of a dense layer, flat [R, B, n_inputs]."""
        return h.flatten(2)

    def preactivation(self, h: Tensor, W: Tensor, b: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """a = h W + b [R, B, *shape] of any input, and what ``back`` and ``gradient`` need to know
        of it."""
        return product(self.taken(h), W, b), None

    def back(self, delta: Tensor, M: Tensor, places: Tensor | None) -> Tensor:
        """A signal [R, B, *shape] sent back through M [R, O, I], W's transpose or what stands in
        for it: [R, B, n_inputs], of a convolution images."""
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


def is_chain(layers: Sequence[Layer]) -> bool:
    """Whether every layer reads the one before, and nothing else comes in."""
    numbers = range(len(layers))
    return all(source(layers, n) == n - 1 and not layers[n].adds for n in numbers)


def source(layers: Sequence[Layer], number: int) -> int:
    """The layer that a layer reads; -1: the network's input."""
    reads = layers[number].reads
    return number - 1 if reads is None else reads


def readers(layers: Sequence[Layer], number: int) -> list[int]:
    """The layers that read a layer, in order."""
    return [n for n in range(len(layers)) if source(layers, n) == number]


def masked(h: Tensor, mask: Tensor | None) -> Tensor:
    """h [R, B, *shape] times factors [R, B, units], such as dropout's; None: as it is."""
    return h if mask is None else h * mask.view(h.shape)


@dataclass(frozen=True)
class Outer:
    """What a layer's weights descend for teaching signal ``delta`` [R, N, *shape], not yet
    computed: the sum over examples of h^T delta, divided by ``size``.

    ``h`` is the layer's input, as it takes it, ``places`` what its forward pass has said of it.
    """

    layer: Layer
    h: Tensor
    delta: Tensor
    size: float
    places: Tensor | None = None

    def value(
        self, operand: Callable[[Tensor], Tensor] = lambda t: t, out: Tensor | None = None
    ) -> Tensor:
        """[R, I, O], of a signal that has the number format of ``operand``; ``out``: memory that it
        may use."""
        if self.layer.shares_weights:
            return self.layer.gradient(self.h, operand(self.delta), self.places, out) / self.size
        return self.layer.gradient(self.h, operand(self.delta / self.size), self.places, out)

    def of_bias(self) -> Tensor:
        """What the layer's biases descend [R, 1, O]."""
        return self.layer.bias_gradient(self.delta) / self.size


@dataclass
class ForwardPass:
    """What a forward pass leaves behind: ``h[l]`` is the input of layer l, as it takes it (h[0] is
    x), ``a[l]`` [R, B, *shape] its sum s_l.

    ``f[l]`` is layer l's f before dropout, ``masks[l]`` the factors 0 or 1 / (1 - p) of layer l's
    inputs, ``places[l]`` which inputs a pooling layer passed on, ``normalized[l]`` the sum after
    its normalisation, ``readers[l]`` the layers that read l, in order.
    """

    layers: tuple[Layer, ...]
    masks: Sequence[Tensor | None]
    h: list[Tensor] = field(default_factory=list)
    a: list[Tensor] = field(default_factory=list)
    f: list[Tensor] = field(default_factory=list)
    gates: list[Tensor | None] = field(default_factory=list)
    places: list[Tensor | None] = field(default_factory=list)
    normalized: dict[int, Normalized] = field(default_factory=dict)
    readers: dict[int, list[int]] = field(default_factory=dict)

    @property
    def output(self) -> Tensor:
        """s_L, the last layer's pre-activation (logits) [R, B, O]."""
        return self.a[-1]

    def activity(self, layer: int) -> Tensor:
        """What a hidden layer shows its readers, dropout included: flat, [R, B, units]."""
        f = self.f[layer].flatten(2)
        return masked(f, self._mask(layer)).type_as(f)

    def normalization_slopes(self, layer: int) -> dict[str, Tensor]:
        """What a layer's gain and shift descend [R, 1, O], batch means, by name: of the teaching
        signal that was pulled through them last."""
        slopes = self.normalized[layer].slopes if layer in self.normalized else {}
        return {f"{name}{layer}": g / self.h[layer].shape[1] for name, g in slopes.items()}

    def _mask(self, layer: int) -> Tensor | None:
        """Dropout's factors of a hidden layer's f [R, B, units]."""
        return self.masks[self.readers[layer][0]] if layer in self.readers else None

    def pull(self, layer: int, signal: Tensor) -> Tensor:
        """A signal at what a hidden layer shows, flat or in its shape, pulled through dropout, f
        (of a gated layer, its gate) and normalisation: the layer's teaching signal
        [R, B, *shape]."""
        return self.pull_to_sum(layer, self.pull_to_f(layer, signal))

    def pull_to_f(self, layer: int, signal: Tensor) -> Tensor:
        """The first half of ``pull``: through dropout and f, to what f takes."""
        h, gate = self.f[layer], self.gates[layer]
        signal = masked(signal.reshape(h.shape), self._mask(layer)).type_as(signal)
        if gate is not None:
            return signal * gate
        return ACTIVATIONS[self.layers[layer].activation].pull(signal, self.into_f(layer), h)

    def pull_to_sum(self, layer: int, signal: Tensor) -> Tensor:
        """The second half of ``pull``: through normalisation, from what f takes to the sum."""
        norm = self.normalized.get(layer)
        return norm.back(signal) if norm else signal

    def into_f(self, layer: int) -> Tensor:
        """What a hidden layer's f takes [R, B, *shape]: its sum, normalised where it is."""
        norm = self.normalized.get(layer)
        return norm.output if norm else self.a[layer]

    def back(self, layer: int, delta: Tensor, M: Tensor) -> Tensor:
        """``delta`` sent back through ``layer`` by M [R, O, I], as by its transposed weights."""
        return self.layers[layer].back(delta, M, self.places[layer])

    def sent_back(
        self, layer: int, deltas: Mapping[int, Tensor], backward: Mapping[int, Tensor]
    ) -> Tensor | None:
        """What the layers that read ``layer`` send back to it, of their ``deltas`` [R, B, *shape]:
        each by its backward[l] [R, O, I], if there is one. None if none does."""
        below: dict[int, Tensor] = {}
        for reader in reversed(self.readers.get(layer, [])):
            if reader in deltas and reader in backward:
                _join(below, layer, self.back(reader, deltas[reader], backward[reader]))
        return below.get(layer)

    def carry(
        self,
        e: Tensor,
        backward: Mapping[int, Tensor],
        factors: Mapping[int, Tensor] = MappingProxyType({}),
    ) -> dict[int, Tensor]:
        """The teaching signals of the layers that ``e`` [R, B, C] reaches on its way back from the
        output: through layer l by backward[l] [R, O, I], its transposed weights or what stands in
        for them, to the layer that it reads, there through f' and normalisation; and as they are to
        the layers that are added. What has arrived at the sum of layer l is multiplied by
        factors[l] [R, B, units], if there are any."""

        def pulled(layer: int, deltas: dict[int, Tensor]) -> Tensor | None:
            signal = self.sent_back(layer, deltas, backward)
            return None if signal is None else self.pull(layer, signal)

        return self.spread(e, pulled, factors)

    def spread(
        self,
        e: Tensor,
        brought: Callable[[int, dict[int, Tensor]], Tensor | None],
        factors: Mapping[int, Tensor] = MappingProxyType({}),
    ) -> dict[int, Tensor]:
        """``carry``, where ``brought`` says what comes to the sum of a layer [R, B, *shape] from
        those that read it, of the teaching signals of the layers above."""
        deltas: dict[int, Tensor] = {len(self.layers) - 1: e}
        for layer in reversed(range(len(self.layers))):
            signal = brought(layer, deltas)
            if signal is not None:
                _join(deltas, layer, signal)
            if layer in deltas:
                delta = deltas[layer]
                deltas[layer] = masked(delta, factors.get(layer)).type_as(delta)
                for added in self.layers[layer].adds:
                    _join(deltas, added, deltas[layer])
        return deltas

    def outer(self, layer: int, delta: Tensor) -> Outer:
        """What ``layer``'s weights descend for teaching signal ``delta``, a batch mean."""
        h = self.h[layer]
        return Outer(self.layers[layer], h, delta, h.shape[1], self.places[layer])


def _join(signals: dict[int, Tensor], layer: int, signal: Tensor) -> None:
    """Add a signal to what has arrived at a layer."""
    before = signals.get(layer)
    signals[layer] = signal if before is None else before + signal.reshape(before.shape)


def forward(
    layers: tuple[Layer, ...],
    parameters: Mapping[str, Tensor],
    x: Tensor,
    operand: Callable[[Tensor], Tensor] = lambda h: h,
    masks: Sequence[Tensor | None] | None = None,
    training: bool = False,
) -> ForwardPass:
    """Run x [R, B, I] through the layers, by their ``parameters`` W<l>, b<l>, G<l>, which are
    operands as x is, and those of their normalisation; the last one's output stays linear.

    ``operand`` gives every hidden h the number format of a product's operand; ``masks``: dropout's
    factors of every layer's inputs, in training; ``training``: whether a batch is normalised by its
    own mean and variance.
    """
    passed, sums = ForwardPass(layers, masks or [None] * len(layers)), list[Tensor]()
    for number, layer in enumerate(layers):
        below = source(layers, number)
        h = passed.f[below] if below >= 0 else x
        together = passed.readers.setdefault(below, [])
        together.append(number)
        mask = passed.masks[together[0]]
        if mask is not None:
            h = operand(h * mask.view(h.shape))
        h = layer.taken(h)
        b = parameters[f"b{number}"] if layer.bias_init else None
        a, places = layer.preactivation(h, parameters[f"W{number}"], b)
        for added in layer.adds:
            a = at_full(a) + sums[added]
        sums.append(a)  # bf16 would lose what small blocks add
        a = a.type_as(h)
        gate = None
        if layer.gate:
            gate = GATES[layer.gate](product(h, parameters[f"G{number}"]))
        passed.h.append(h)
        passed.a.append(a)
        passed.gates.append(gate)
        passed.places.append(places)
        if number == len(layers) - 1:
            break
        if layer.batch_norm:
            own = {name: parameters[f"{name}{number}"] for name in (*LEARNED, *STATISTICS)}
            passed.normalized[number] = norm = normalize(a, **own, training=training)
            a = norm.output
        passed.f.append(operand(ACTIVATIONS[layer.activation].f(a) if gate is None else a * gate))
    return passed
