"""Multilayer perceptron: hidden layers of given widths and one linear output layer.

    a_l = h_{l-1} W_l (+ b_l),   h_l = f(a_l),   h_0 = x             (1)

The thesis's network is 784k-512-1 with ReLU, without biases, weights U(±1/sqrt(fan_in)).
"""

from itertools import pairwise
from typing import Literal

from pydantic.dataclasses import dataclass

from fabench.network import ActivationName, Layer
from fabench.schema import STRICT, Count, Rate

WeightInit = Literal["torch_uniform", "xavier_uniform", "he_normal", "lecun_normal", "zeros"]


@dataclass(frozen=True, config=STRICT)
class Mlp:
    name: str
    hidden: list[Count]
    activation: ActivationName
    bias: bool
    weight_init: WeightInit
    weight_scale: Rate

    def layers(self, n_inputs: int, n_outputs: int) -> tuple[Layer, ...]:
        """The network's layers from input to output."""
        widths = [n_inputs, *self.hidden, n_outputs]
        bias_init = None
        if self.bias:  # PyTorch draws biases as it draws weights; the other inits start them at 0
            bias_init = "torch_uniform" if self.weight_init == "torch_uniform" else "zeros"
        return tuple(
            Layer(i, o, self.activation, self.weight_init, bias_init, self.weight_scale)
            for i, o in pairwise(widths)
        )
