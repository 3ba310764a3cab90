"""Predictive coding (PC): every layer predicts the next; activities settle, then weights learn.

    E = loss(a_L, y) + sum_{l<L} ||s_l - f(a_l)||^2 / 2              (1)
    a_l = s_{l-1} W_l + b_l,  s_0 = x                                (2)
    delta_L = e,  delta_l = (f(a_l) - s_l) ⊙ f'(a_l)                 (3)
    s_l <- s_l - dt (s_l - f(a_l) + delta_{l+1} W_{l+1}^T)           (4)
    dW_l = s_{l-1}^T delta_l                                         (5)

s_l [B, n_l]: the activity of hidden layer l; e: dloss/da_L at the present activities [B, C]; dW:
what the optimizer descends, a batch mean; biases descend the same without s_{l-1}. (3) is the
gradient of (1) at a_l, (4) descends it in s_l, (5) in W_l. Without a target nothing differs from
what is predicted, and the network answers by a forward pass, from which ``steps`` of (4), all
layers at once, lead to the activities of (5). At rest delta_l = (delta_{l+1} W_{l+1}^T) ⊙ f'(a_l):
backpropagation's of what activities have left of the error.

References: R. Rao, D. Ballard, "Predictive coding in the visual cortex", Nature Neuroscience 2,
1999; J. Whittington, R. Bogacz, "An approximation of the error backpropagation algorithm in a
predictive coding network with local Hebbian synaptic plasticity", Neural Computation 29, 2017.

Differences from the papers:
1. The loss is the task's; the papers' last layer is one of (1)'s squares, which is the squared
   error.
2. Activities stand behind f, those of Whittington and Bogacz before it. All variances are 1.
3. Activities are float32, products of the run's format: a small error wants
   ``trainer.precision=fp32``.
"""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import DescentRule, sent_down, sent_up, teach
from fabench.learning_rule.base.settling import feedforward
from fabench.learning_rule.base.signal import chain_only, no_dropout
from fabench.model.layer.kernel import at_full
from fabench.model.layer.network import ACTIVATIONS, Layer, Outer
from fabench.schema import STRICT, Count


@dataclass(frozen=True, config=STRICT)
class PredictiveCoding(DescentRule):
    name: str
    dt: Annotated[float, Field(gt=0, le=1)]
    steps: Count

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return no_dropout(layers) or chain_only(layers)

    def outputs(self, part: Part, x: Tensor) -> Tensor:
        return part.forward(x).output

    def learn(self, part: Part, x: Tensor, y: Tensor) -> Tensor:
        drive = at_full(sent_up(part, 0, x))
        *s, output = feedforward(part, drive)  # nothing differs from what is predicted
        for _ in range(self.steps):
            missing, deltas = surprise(part, drive, s, y)
            s = [
                own + self.dt * (missing[k] - sent_down(part, k + 1, deltas[k + 1]))  # (4)
                for k, own in enumerate(s)
            ]
        _, deltas = surprise(part, drive, s, y)
        for number, (layer, h, delta) in enumerate(zip(part.layers, [x, *s], deltas, strict=True)):
            if layer.trained:
                h, delta = part.as_operand(h), part.as_operand(delta)
                teach(part, number, Outer(layer, h, delta, h.shape[1]))  # (5)
        return output


def surprise(
    part: Part, drive: Tensor, s: list[Tensor], y: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """f(a_l) - s_l of every hidden layer, and delta_l of all."""
    above = [at_full(sent_up(part, number, h)) for number, h in enumerate(s, 1)]  # (2)
    missing, deltas = [], []
    for layer, a, own in zip(part.layers, [drive, *above], s, strict=False):
        f = ACTIVATIONS[layer.activation]
        h = f.f(a)
        missing.append(h - own)
        deltas.append(f.pull(missing[-1], a, h))  # (3)
    return missing, [*deltas, part.error([drive, *above][-1], y)]
