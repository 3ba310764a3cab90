"""Evolution strategy: the gradient of the loss, smoothed by noise, from losses alone.

    theta_i = theta + sigma eps_i,   theta_i' = theta - sigma eps_i   (1)
    g = sum_i (F(theta_i) - F(theta_i')) eps_i / (2 n sigma)          (2)

theta: all weights and biases that learn; eps_i ~ N(0, I), i = 1, ..., n (``pairs``), are drawn in
every step; F: the mean loss on the batch, or with ``shaping=ranks`` its rank among all 2n, from
-1/2 to 1/2, so that only their order counts. The optimizer descends g, whose mean is the gradient
of the loss of (1), averaged over noise. Pairs of opposite signs cancel what is of even order.

References: T. Salimans, J. Ho, X. Chen, S. Sidor, I. Sutskever, "Evolution strategies as a scalable
alternative to reinforcement learning", 2017, arXiv:1703.03864; X. Zhang, J. Clune, K. O. Stanley,
"On the relationship between the OpenAI evolution strategy and stochastic gradient descent", 2017,
arXiv:1712.06564, for MNIST.

Differences from the papers:
1. Noise is drawn, not taken from a table.
2. A pass of theta comes first in every step: its output is reported.
"""

from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import DescentRule, NoisyRule, keep_statistics
from fabench.learning_rule.base.search import losses, scaled
from fabench.learning_rule.base.signal import no_dropout
from fabench.model.layer.network import Layer
from fabench.model.layer.parameter import learning
from fabench.schema import STRICT, Count, Rate


@dataclass(frozen=True, config=STRICT)
class EvolutionStrategy(DescentRule, NoisyRule):
    name: str
    pairs: Count
    sigma: Rate
    shaping: Literal["none", "ranks"]

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return no_dropout(layers)

    def outputs(self, part: Part, x: Tensor) -> Tensor:
        return part.forward(x).output

    def learn(self, part: Part, x: Tensor, y: Tensor) -> Tensor:
        passed = part.forward(x, training=True)
        eps = {
            name: part.noise(f"individuals {name}", (self.pairs, *part[name].shape[1:])).float()
            for name in learning(part.layers)
        }
        around = {}
        for name, own in eps.items():
            step, theta = scaled(self.sigma, own), part[name][:, None]
            around[name] = torch.cat([theta + step, theta - step], 1)  # (1)
        F = losses(part, x, y, around)
        if self.shaping == "ranks":
            F = F.argsort(1).argsort(1) / (2 * self.pairs - 1) - 0.5
        there, opposite = F.split(self.pairs, 1)
        weights = (there - opposite)[:, :, None, None] / (2 * self.pairs)
        for name, own in eps.items():
            part.descend(name, (weights * own).sum(1) / self.sigma)  # (2)
        keep_statistics(part, passed)
        return passed.output
