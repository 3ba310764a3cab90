"""Residual multilayer perceptron: blocks of two dense layers whose result is added to what came in.

    s_0 = x W_0                                                      (1)
    s_{l+2} = s_l + f(s_{l+1}) W_{l+2},   s_{l+1} = f(s_l) W_{l+1}   (2)
    y = f(s_L) W_{L+1}                                               (3)

The activation comes first, and ``batch_norm`` before it.

Reference: K. He, X. Zhang, S. Ren, J. Sun, "Identity mappings in deep residual networks", 2016,
arXiv:1603.05027, figure 1b.

Differences from the paper:
1. Dense layers instead of convolutions.
"""

from dataclasses import replace
from math import prod

from pydantic.dataclasses import dataclass

from fabench.model.base import Model
from fabench.model.layer.network import Layer
from fabench.schema import STRICT, UserError


@dataclass(frozen=True, config=STRICT)
class ResidualMlp(Model):
    def layers(self, item: tuple[int, ...], items: int, n_outputs: int) -> tuple[Layer, ...]:
        if len(self.hidden) % 2 == 0 or len(set(self.hidden)) > 1:
            raise UserError(
                f"model.hidden={self.hidden}: model={self.name} has one layer and then two a block,"
                " all of one width."
            )
        first, *others = self.dense(items * prod(item), n_outputs)
        for second in range(2, len(self.hidden), 2):
            others[second - 1] = replace(others[second - 1], adds=(second - 2,))  # (2)
        return replace(first, input_dropout=self.input_dropout), *others
