"""Multilayer perceptron: hidden layers of given widths and one linear output layer.

    a_l = h_{l-1} W_l (+ b_l),   h_l = f(a_l),   h_0 = x             (1)

The thesis's network is 784k-512-1 with ReLU, without biases, weights U(±1/sqrt(fan_in)).
"""

from dataclasses import replace
from math import prod

from pydantic.dataclasses import dataclass

from fabench.model.base import Model
from fabench.model.layer.network import Layer
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Mlp(Model):
    def layers(self, item: tuple[int, ...], items: int, n_outputs: int) -> tuple[Layer, ...]:
        first, *others = self.dense(items * prod(item), n_outputs)
        return replace(first, input_dropout=self.input_dropout), *others
