"""Weight search: one weight at a time moves at random, and stays where the batch's loss falls.

    delta ~ N(0, scale sd(W_l))                                      (1)
    w <- that of w, w + delta, w - delta with the least loss         (2)

w: the next ``weights`` weights of all, each for one batch: those of the last layer come first, then
its biases', then the layer's before; after the first layer begins another pass, in which the scale
is ``decay`` times what it was. sd(W_l): the standard deviation of the layer's weights as the
network begins; a bias has its layer's. Of a weight that changes, only what it feeds is computed
anew.

Reference: R. Tripathi, B. Singh, "RSO: a gradient free sampling based approach for training deep
neural networks", 2020, arXiv:2005.05955.

Differences from the paper:
1. The paper draws another batch for every weight: ``weights=1`` does.
2. The paper lets the scale fall linearly over the training, to a tenth, and has no biases.
3. Losses that are near are compared: a small scale wants ``trainer.precision=fp32``.
"""

from bisect import bisect
from collections.abc import Mapping
from functools import partial
from itertools import accumulate

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import NoisyRule, SearchRule
from fabench.learning_rule.base.signal import chain_only, no_dropout
from fabench.model.layer.initialization import InitOfB
from fabench.model.layer.kernel import product
from fabench.model.layer.network import ACTIVATIONS, Layer
from fabench.model.layer.parameter import Parameter, learning, network_parameters
from fabench.schema import STRICT, Count, Rate


@dataclass(frozen=True, config=STRICT)
class WeightSearch(SearchRule, NoisyRule):
    name: str
    weights: Count
    scale: Rate
    decay: Rate

    def parameters(self, layers: tuple[Layer, ...], init_of_B: InitOfB) -> dict[str, Parameter]:
        table, own = network_parameters(layers), {}
        for number in range(len(layers)):
            W = table[f"W{number}"]
            draw = partial(spread, W)
            own[f"sd{number}"] = Parameter((1, 1), draw, W.stream, "never", W.scale)
        return own

    def started_with(
        self, layers: tuple[Layer, ...], weights: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        W = [weights[f"W{number}"] for number in range(len(layers))]
        return {f"sd{number}": w.std(correction=0).view(1, 1, 1) for number, w in enumerate(W)}

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        if any(layer.trained and layer.weight_init == "zeros" for layer in layers):
            return "moves weights by a part of their initial spread, and zeros have none"
        return no_dropout(layers) or chain_only(layers)

    def outputs(self, part: Part, x: Tensor) -> Tensor:
        return part.forward(x).output

    def learn(self, part: Part, x: Tensor, y: Tensor) -> Tensor:
        passed = part.forward(x)
        h, a = list(passed.h), list(passed.a)
        theta = {name: part[name].clone() for name in network_parameters(part.layers)}
        names = order(part.layers)
        ends = list(accumulate(theta[name][0].numel() for name in names))
        drawn = part.noise("weight search", (self.weights, 1)).float()
        first = (max(int(part.t), 1) - 1) * self.weights
        for number in range(self.weights):
            rounds, place = divmod(first + number, ends[-1])
            which = bisect(ends, place)
            name, before = names[which], [0, *ends][which]
            scale = self.scale * self.decay**rounds * part[f"sd{name[1:]}"]
            delta = scale * drawn[:, number : number + 1]  # (1)
            at = divmod(place - before, theta[name].shape[2])
            self.move(part, theta, name, at, delta, h, a, y)
        for name in names:
            part.put(name, theta[name])
        return passed.output

    def move(
        self,
        part: Part,
        theta: dict[str, Tensor],
        name: str,
        at: tuple[int, int],
        delta: Tensor,
        h: list[Tensor],
        a: list[Tensor],
        y: Tensor,
    ) -> None:
        """(2): change theta, and the inputs h and sums a of all layers with it."""
        (i, o), layer, B = at, int(name[1:]), y.shape[1]
        kick = delta * (h[layer][..., i : i + 1] if name[0] == "W" else 1.0)
        kicks = torch.cat([torch.zeros_like(kick), kick, -kick], 1)
        if name[0] == "b":
            kicks = kicks.repeat_interleave(B, 1)
        tried = {layer: a[layer].repeat(1, 3, 1)}
        tried[layer][..., o : o + 1] += kicks
        inputs = {}
        for above in range(layer + 1, len(part.layers)):
            f = ACTIVATIONS[part.layers[above - 1].activation].f
            inputs[above] = part.as_operand(f(tried[above - 1]))
            tried[above] = product(inputs[above], part.as_operand(theta[f"W{above}"]))
            if part.layers[above].bias_init is not None:
                tried[above] = tried[above] + theta[f"b{above}"]
        loss = part.loss(tried[len(part.layers) - 1], y.repeat(1, 3, 1))
        best = loss.unflatten(1, (3, B)).mean(2).argmin(1)
        rows = torch.arange(len(best), device=best.device)
        for found, kept in ((tried, a), (inputs, h)):
            for number, values in found.items():
                kept[number] = values.unflatten(1, (3, B))[rows, best]
        sign = torch.tensor([0.0, 1.0, -1.0], device=best.device)[best]
        theta[name][:, i, o] += sign * delta[:, 0, 0]


def order(layers: tuple[Layer, ...]) -> list[str]:
    """The parameters that learn, as their turns come: the last layer's first, W before b."""
    return sorted(learning(layers), key=lambda name: (-int(name[1:]), name[0] != "W"))


def spread(weights: Parameter, rng: Generator) -> NDArray[np.float32]:
    """The standard deviation [1, 1] of weights as they are drawn."""
    return np.full((1, 1), weights.draw(rng).std(), np.float32)
