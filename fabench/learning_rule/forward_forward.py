"""Forward-forward (FF): each layer tells inputs with the right label from those with a wrong one.

    x^c: x, its first K values replaced by label_scale u(c)          (1)
    n(h) = h / (the root of the mean of h^2)                         (2)
    h_l = f(n(h_{l-1}) W_l + b_l),  h_0 = x^c                        (3)
    G_l = sum_j h_lj^2,  p_l = sigmoid(G_l - threshold n_l)          (4)
    loss_l = -log p_l(x^y) - log(1 - p_l(x^z))                       (5)
    delta_l = -(1 - p_l) 2 h_l ⊙ f'(a_l) for x^y,  p_l 2 h_l ⊙ f'(a_l) for x^z   (6)
    a_L = n(h_{L-1}) W_L + b_L for x^neutral,  delta_L = e           (7)

u(c) [K]: 1 in the place of class c of K, else 0; neutral: 1/K everywhere; y: the label, z: a wrong
one; G_l: goodness of a layer of n_l units. (6) is (5)'s gradient at a_l, which stops there: what
comes in is a constant. What the weights descend is n(h_{l-1})^T delta_l, a batch mean. The last
layer reads the network's activity at the neutral label, and learns by the loss of the task.
``negatives``: z is drawn from what (7) predicts of the wrong classes (hard, which takes a loss of
probabilities), or uniformly.
``answer``: the sum of G_l(x^c) for every class c, of all layers but the first where there are
several (goodness), or (7) (readout). One output is the answer for label 1 less that for label 0.
Goodness takes a forward pass for every class; in training, too, where it is reported.

Reference: G. Hinton, "The forward-forward algorithm: some preliminary investigations", 2022,
arXiv:2212.13345, sections 2 and 3.3.

Differences from the paper:
1. The readout is the network's last layer, and so reads the last hidden layer only.
2. Inputs of a standardized dataset are not in [0, 1]; ``label_scale`` says what a label is there.
3. No peer normalisation.
4. The update alignment is with backpropagation through the plain network, which knows neither (1)
   nor (2): it says little here.
"""

from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import DescentRule, NoisyRule, sent_up, teach
from fabench.learning_rule.base.signal import chain_only, no_dropout
from fabench.model.layer.network import ACTIVATIONS, Layer, Outer
from fabench.schema import SMALLEST, STRICT, Rate
from fabench.task.base import SQUARED_ERROR, Task
from fabench.task.classification import Classification
from fabench.task.parity import Parity
from fabench.task.random_labels import RandomLabels


@dataclass(frozen=True, config=STRICT)
class ForwardForward(DescentRule, NoisyRule):
    name: str
    threshold: Rate
    label_scale: Rate
    negatives: Literal["hard", "uniform"]
    answer: Literal["goodness", "readout"]

    def task_refusal(self, task: Task) -> str | None:
        labelled = isinstance(task, Parity | Classification | RandomLabels)
        if not labelled:
            return "asks for an example's class"
        if task.label_smoothing:
            return "needs task.label_smoothing=0"
        if self.negatives == "hard" and task.objective is SQUARED_ERROR and task.n_outputs > 2:
            return "needs probabilities for negatives=hard, which task.loss=squared_error has not"
        return None

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        if len(layers) < 2:
            return "needs a hidden layer"
        if reason := no_dropout(layers):
            return reason
        if layers[0].n_inputs <= classes(layers):
            return "puts the label into the inputs, and needs more of them than classes"
        return chain_only(layers)

    def outputs(self, part: Part, x: Tensor) -> Tensor:
        if self.answer == "readout":
            return self.readout(part, x)[1]
        found = []
        for label in torch.eye(classes(part.layers), device=x.device, dtype=x.dtype):
            h = [own for *_, own in self.activities(part, x, label.expand(*x.shape[:2], -1))]
            goodness = [own.float().square().sum(2) for own in (h[1:] or h)]  # (4)
            found.append(torch.stack(goodness).sum(0))
        total = torch.stack(found, 2)
        return total if part.layers[-1].units > 1 else total[..., 1:] - total[..., :1]

    def learn(self, part: Part, x: Tensor, y: Tensor) -> Tensor:
        read, a = self.readout(part, x)
        before = self.outputs(part, x) if self.answer == "goodness" else a
        right = part.as_operand(y if y.shape[2] > 1 else torch.cat([1 - y, y], 2))
        labels = torch.cat([right, self.wrong(part, a, right)], 1)
        positive = labels.new_ones(2, y.shape[1], 1)
        positive[1] = 0
        positive = positive.flatten(0, 1)  # [2B, 1]
        for number, (below, a_l, h) in enumerate(
            self.activities(part, torch.cat([x, x], 1), labels)
        ):
            goodness = h.float().square().sum(2, keepdim=True)
            p = torch.sigmoid(goodness - self.threshold * h.shape[2])  # (4)
            f = ACTIVATIONS[part.layers[number].activation]
            delta = part.as_operand(f.pull((p - positive) * 2 * h, a_l, h))  # (6)
            self.teach(part, number, below, delta, y.shape[1])
        self.teach(part, len(part.layers) - 1, read, part.error(a, y), y.shape[1])  # (7)
        return before

    def teach(self, part: Part, number: int, h: Tensor, delta: Tensor, size: int) -> None:
        """Let a layer that learns descend."""
        if part.layers[number].trained:
            teach(part, number, Outer(part.layers[number], h, delta, size))

    def activities(
        self, part: Part, x: Tensor, labels: Tensor
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """n(h_{l-1}), a_l and h_l of every hidden layer, given labels u [R, B, K]."""
        h, found = torch.cat([self.label_scale * labels, x[..., labels.shape[2] :]], 2), []  # (1)
        for number, layer in enumerate(part.layers[:-1]):
            below, f = normalised(part, h), ACTIVATIONS[layer.activation]
            a = sent_up(part, number, below)
            h = f.f(a)  # (3)
            found.append((below, a, h))
        return found

    def readout(self, part: Part, x: Tensor) -> tuple[Tensor, Tensor]:
        """n(h_{L-1}) at the neutral label, and a_L [R, B, C]: (7)."""
        k = classes(part.layers)
        *_, (*_, h) = self.activities(part, x, x.new_full((*x.shape[:2], k), 1 / k))
        read = normalised(part, h)
        return read, sent_up(part, len(part.layers) - 1, read)

    def wrong(self, part: Part, a: Tensor, right: Tensor) -> Tensor:
        """u(z) [R, B, K] of wrong labels, given the readout's a_L and u(y)."""
        k = right.shape[2]
        if k == 2:
            return 1 - right
        drawn = part.noise("negatives", (right.shape[1], k)).float()
        scores = -(-torch.special.ndtr(drawn).log()).log()  # Gumbel's distribution
        if self.negatives == "hard":
            scores = scores + part.prediction(a).clamp_min(SMALLEST).log()
        z = scores.masked_fill(right > 0.5, -torch.inf).argmax(2, keepdim=True)
        return torch.zeros_like(right).scatter_(2, z, 1)


def classes(layers: tuple[Layer, ...]) -> int:
    """K: one output tells two classes apart."""
    return max(layers[-1].units, 2)


def normalised(part: Part, h: Tensor) -> Tensor:
    """n(h), an operand; where all is 0 it stays (2)."""
    size = h.float().square().mean(2, keepdim=True).sqrt()
    return part.as_operand(h / size.clamp_min(1e-8))
