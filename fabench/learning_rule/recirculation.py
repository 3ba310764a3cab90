"""Recirculation: an autoencoder's activities, sent round a second time, say what to change.

    h_1 = f(x W + c)                                                 (1)
    u = h_1 V + b                                                    (2)
    x_2 = lambda x + (1 - lambda) g(u)                               (3)
    h_3 = lambda h_1 + (1 - lambda) f(x_2 W + c)                     (4)
    dV = h_1^T (x_2 - x),  db = x_2 - x                              (5)
    dW = x_2^T (h_3 - h_1),  dc = h_3 - h_1                          (6)

x [B, n]: the inputs, which are the targets, too; f: the hidden layer's activation; g: what the
output predicts (its sigmoid, or itself); W [n, h], V [h, n]: the network's two layers, c, b their
biases; lambda: ``regression``; d...: what the optimizer descends, batch means. The network's answer
is u. Every connection changes by what it sends and by how what it sends to changes in time. Where V
is W^T, and the more lambda is near 1, (6) is (1 - lambda)^2 times backpropagation's gradient of the
cross-entropy; (5) is always 1 - lambda times it.

Reference: G. E. Hinton, J. L. McClelland, "Learning representations by recirculation", Neural
Information Processing Systems, 1988.

Differences from the paper:
1. The visible units answer by g, as ``task.loss`` says; of logistic ones it is the sigmoid.
2. Means over the batch; the paper sums.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import DescentRule, sent_up, teach
from fabench.learning_rule.base.settling import activity
from fabench.learning_rule.base.signal import chain_only, no_dropout
from fabench.model.layer.kernel import at_full
from fabench.model.layer.network import Layer, Outer
from fabench.schema import STRICT, Fraction
from fabench.task.base import Task
from fabench.task.reconstruction import Reconstruction


@dataclass(frozen=True, config=STRICT)
class Recirculation(DescentRule):
    name: str
    regression: Fraction

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        reason = no_dropout(layers) or chain_only(layers)
        return reason or ("needs one hidden layer" if len(layers) != 2 else None)

    def task_refusal(self, task: Task) -> str | None:
        return None if isinstance(task, Reconstruction) else "reconstructs its inputs"

    def outputs(self, part: Part, x: Tensor) -> Tensor:
        return sent_up(part, 1, encoded(part, x))  # (2)

    def learn(self, part: Part, x: Tensor, y: Tensor) -> Tensor:
        h_1, keep = encoded(part, x), self.regression
        u = at_full(sent_up(part, 1, h_1))  # (2)
        x_2 = keep * at_full(x) + (1 - keep) * part.prediction(u)  # (3)
        h_3 = keep * h_1 + (1 - keep) * encoded(part, x_2)  # (4)
        pairs = ((x_2, h_3 - h_1), (h_1, x_2 - at_full(x)))
        for number, (layer, (h, d)) in enumerate(zip(part.layers, pairs, strict=True)):
            if layer.trained:
                outer = Outer(layer, part.as_operand(h), part.as_operand(d), x.shape[1])
                teach(part, number, outer, d.mean(1, keepdim=True))  # (5), (6)
        return u


def encoded(part: Part, x: Tensor) -> Tensor:
    """The hidden activities [R, B, h] of inputs [R, B, n]: (1)."""
    return activity(part, 0, at_full(sent_up(part, 0, x)))
