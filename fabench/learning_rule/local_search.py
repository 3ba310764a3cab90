"""Local search: change a few parameters at random; keep that where the loss is less than ever.

    theta' = theta, but theta'_i = theta_i + scale u_i for the next n indices i    (1)
    s' = the mean loss of theta' on the batch                                      (2)
    s' < best: theta <- theta', best <- s'                                         (3)
    else:      theta stays, best <- best (1 + decay), or best + decay              (4)

theta: all N weights and biases that learn; n: ``indices``; u_i ~ U(-1/2, 1/2); best [R, 1, 1]: at
first, the loss of the network as it was drawn. The indices are the next ones of a shuffled list of
all N, another one in every round of ceil(N / n) steps, of which the last may have fewer. Where the
batch is the same in every step, the loss rises by what best decays and no more.

Reference: A. Aly, G. Guadagni, J. B. Dugan, "Derivative-free optimization of neural networks using
local search", IEEE UEMCON 2019; the decay is multiplicative in the code of July 2019, additive in
that of January 2020.

Differences from the paper:
1. Batches are the trainer's. The paper has one of 5000 images for all steps, which
   conf/experiment/local_search.yaml has, too: among others the luckiest sets the best score.
2. A second forward pass in every step, of theta, is for the training loss that is reported.
3. The weights are float32, the paper's of half precision.
"""

from math import ceil
from typing import Literal

import numpy as np
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import NoisyRule, SearchRule, keep_statistics
from fabench.model.layer.initialization import InitOfB
from fabench.model.layer.network import Layer
from fabench.model.layer.parameter import Parameter, learning
from fabench.schema import STRICT, Count, NonNegative, Rate


@dataclass(frozen=True, config=STRICT)
class LocalSearch(SearchRule, NoisyRule):
    name: str
    indices: Count
    scale: Rate
    decay: NonNegative
    decay_kind: Literal["multiplicative", "additive"]

    def parameters(self, layers: tuple[Layer, ...], init_of_B: InitOfB) -> dict[str, Parameter]:
        infinity = np.full((1, 1), np.inf, np.float32)  # no score yet
        return {"best": Parameter((1, 1), lambda rng: infinity, "best", "put")}

    def outputs(self, part: Part, x: Tensor) -> Tensor:
        return part.forward(x).output

    def learn(self, part: Part, x: Tensor, y: Tensor) -> Tensor:
        passed = part.forward(x, training=True)
        before = passed.output
        changed = self.changed(part)
        score = _score(part, part.forward(x, training=True, changed=changed).output, y)  # (2)
        best = torch.where(part["best"].isinf(), _score(part, before, y), part["best"])
        better = score < best
        for name, value in changed.items():
            part.put(name, torch.where(better, value, part[name]))  # (3)
        additive = self.decay_kind == "additive"
        decayed = best + self.decay if additive else best * (1 + self.decay)  # (4)
        part.put("best", torch.where(better, score, decayed))
        keep_statistics(part, passed)
        return before

    def changed(self, part: Part) -> dict[str, Tensor]:
        """theta' of this step (1)."""
        flat = {name: part[name].flatten(1)[:, None] for name in learning(part.layers)}
        total = sum(theta.shape[2] for theta in flat.values())
        step = max(int(part.t), 1) - 1  # before training, metrics ask for a change, too
        shuffle, place = divmod(step, ceil(total / self.indices))
        here = slice(place * self.indices, (place + 1) * self.indices)
        order = part.drawn("search order", lambda rng: rng.permutation(total), shuffle)
        u = part.drawn("search change", lambda rng: rng.random(total, np.float32) - 0.5, shuffle)
        index, change = order[:, None, here], self.scale * u[:, None, here]
        changed, start = {}, 0
        for name, theta in flat.items():
            end = start + theta.shape[2]
            own = (start <= index) & (index < end)
            at = (index - start).clamp(0, theta.shape[2] - 1)  # where it is not, add 0
            changed[name] = theta.scatter_add(2, at, change * own).view_as(part[name])
            start = end
        return changed


def _score(part: Part, output: Tensor, y: Tensor) -> Tensor:
    """The mean loss of a batch [R, 1, 1]."""
    return part.loss(output, y).mean(1)[:, None, None]
