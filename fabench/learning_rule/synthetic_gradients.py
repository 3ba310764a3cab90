"""Synthetic gradients (DNI): a module beside every hidden layer predicts what will come back to it.

    g^_l = M_l(h_l, y),  or M_l(h_l)                                 (1)
    delta_L = e,  delta_l = g^_l ⊙ f'(a_l)                           (2)
    g_l = delta_{l+1} W_{l+1}^T                                      (3)
    dM_l = the gradient of ||g^_l - g_l||^2, g_l being a constant    (4)

e: dloss/da_L [B, C]; h_l: activity of layer l [B, n_l]; y: the label, which a ``conditioned``
module sees, too; M_l: a linear map, or a network of ReLUs in layers of ``module_hidden`` units,
whose last layer starts at 0. dM: what the optimizer descends, at ``feedback_rate`` times its
learning rate, a batch mean. (3) is bootstrapped: from the next module's prediction; or, with
``targets`` = backpropagated, from the true delta_{l+1}. A layer needs to wait for nothing but its
own h_l: with ``update_probability`` p it is taught in some steps, at random, and M_l in those in
which layer l+1 is.

Reference: M. Jaderberg, W. Czarnecki, S. Osindero, O. Vinyals, A. Graves, D. Silver,
K. Kavukcuoglu, "Decoupled neural interfaces using synthetic gradients", 2017, arXiv:1608.05343,
section 2 and appendix A.

Differences from the paper:
1. All layers take their steps after the forward pass, with the module's prediction of before.
2. Modules have no batch normalisation.
3. What is not taught in a step gets the gradient 0: an optimizer with momentum moves it on.
"""

from functools import partial
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import NoisyRule
from fabench.learning_rule.base.signal import SignalRule, Signals, chain_only, transposed
from fabench.model.layer.initialization import InitOfB, uniform, zeros
from fabench.model.layer.network import ForwardPass, Layer, Outer
from fabench.model.layer.parameter import Parameter
from fabench.schema import STRICT, Count, Rate


@dataclass(frozen=True, config=STRICT)
class SyntheticGradients(SignalRule, NoisyRule):
    name: str
    module_hidden: list[Count]
    conditioned: bool
    targets: Literal["bootstrapped", "backpropagated"]
    update_probability: Annotated[float, Field(gt=0, le=1)]
    feedback_rate: Rate

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return chain_only(layers)

    def parameters(self, layers: tuple[Layer, ...], init_of_B: InitOfB) -> dict[str, Parameter]:
        table = {}
        for layer in range(len(layers) - 1):
            *hidden, last = enumerate(self.module(layers, layer), layer * self.depth)
            for number, own in hidden:
                draw = partial(uniform, i=own.fan_in, o=own.fan_out)
                shape, stream = (own.fan_in, own.fan_out), f"synthetic gradients {number}"
                table[f"M{number}"] = Parameter(shape, draw, stream)
                table[f"m{number}"] = _zeros(1, own.fan_out)
            table[f"M{last[0]}"] = _zeros(last[1].fan_in, last[1].fan_out)
            table[f"m{last[0]}"] = _zeros(1, last[1].fan_out)
        return table

    @property
    def depth(self) -> int:
        """Layers of a module. Those of hidden layer l are M<l depth>, M<l depth + 1>, ..."""
        return len(self.module_hidden) + 1

    def module(self, layers: tuple[Layer, ...], layer: int) -> list[Layer]:
        """The layers of a hidden layer's module."""
        n = layers[layer].units
        widths = [n + layers[-1].units * self.conditioned, *self.module_hidden, n]
        return [Layer(i, o, "relu", bias_init="zeros") for i, o in pairwise(widths)]

    def predicted(self, part: Part, forward: ForwardPass, layer: int, y: Tensor) -> list[Tensor]:
        """The inputs of every layer of a module, then g^_l [R, B, n_l]: (1)."""
        h = forward.h[layer + 1]
        found = [torch.cat([h, y], 2) if self.conditioned else h]
        for number, own in enumerate(self.module(part.layers, layer), layer * self.depth):
            M, m = part.operand(f"M{number}"), part.operand(f"m{number}")
            a, _ = own.preactivation(found[-1], M, m)
            found.append(a.relu() if number % self.depth < self.depth - 1 else a)
        return found

    def taught(self, part: Part) -> Tensor:
        """1 for each layer that is taught in this step, else 0 [R, L, 1, 1]."""
        drawn = part.noise("synthetic gradients", (len(part.layers), 1, 1))
        chance = torch.special.ndtr(drawn.float())  # uniform in [0, 1]
        p = self.update_probability
        p = p[:, None] if isinstance(p, Tensor) else p
        return (chance <= p).type_as(drawn)

    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        return signals(e, forward, self.all_predicted(part, forward, y))

    def adapt_to_targets(
        self, part: Part, forward: ForwardPass, e: Tensor, y: Tensor, deltas: Signals
    ) -> None:
        W, taught, h = part.operands("W"), self.taught(part), self.all_predicted(part, forward, y)
        bootstrapped = self.targets == "bootstrapped"
        above = signals(e, forward, h) if bootstrapped else forward.carry(e, transposed(W))
        found = list[tuple[int, Outer]]()
        for layer, (*inputs, g) in enumerate(h):
            target = forward.back(layer + 1, above[layer + 1], W[layer + 1].mT)  # (3)
            d = part.as_operand(2 * (g - target) * taught[:, layer + 1])  # (4)
            modules = enumerate(self.module(part.layers, layer), layer * self.depth)
            for (number, own), x in zip(reversed(list(modules)), reversed(inputs), strict=True):
                found.append((number, Outer(own, x, d, d.shape[1])))
                if number % self.depth:  # through ReLUs
                    d = own.back(d, part.operand(f"M{number}").mT, None) * x.sign()
        for number, outer in found:
            part.descend(f"M{number}", outer, rate=self.feedback_rate)
            part.descend(f"m{number}", outer.of_bias(), rate=self.feedback_rate)
        deltas |= {layer: delta * taught[:, layer] for layer, delta in deltas.items()}

    def all_predicted(self, part: Part, forward: ForwardPass, y: Tensor) -> list[list[Tensor]]:
        """``predicted`` of every hidden layer."""
        return [self.predicted(part, forward, n, y) for n in range(len(part.layers) - 1)]


def signals(e: Tensor, forward: ForwardPass, h: list[list[Tensor]]) -> Signals:
    """delta_l of every layer, given what ``predicted`` returned: (2)."""
    hidden = {n: forward.pull(n, own[-1]) for n, own in enumerate(h)}
    return hidden | {len(h): e}


def _zeros(i: int, o: int) -> Parameter:
    return Parameter((i, o), partial(zeros, i=i, o=o), "synthetic gradients")
