"""Contrastive divergence: a restricted Boltzmann machine over inputs and classes.

    E(x, y, h) = -x W h^T - h U y^T - v x^T - c h^T - d y^T          (1)
    o = x W + c,  o_k = o + U_k
    a_k = d_k + sum_j softplus(o_kj) - softplus(o_j)                 (2)
    discriminative    dU_k = o_k'^T e_k,  dd = e                      (3)
                      (dW, dc) = (x, 1)^T sum_k e_k (o_k' - o')      (4)
    generative        p = sigmoid(x W + c + y U^T),  h ~ p           (5)
                      x ~ sigmoid(h W^T + v),  y ~ softmax(h U + d)  (6)
                      dW = x_n^T p_n - x_0^T p_0,  dU, dv, ... alike (7)
    hybrid            (3) and (4) + alpha (7)

W [I, H], U [H, C], U_k: its column of class k; c, d: biases of the network's layers, v [I] of the
inputs; x in [0, 1]^I (``dataset.scaling=unit``); y: one of C classes, or one bit where there is one
output (6: its sigmoid); h: H hidden bits; ': sigmoid of; e = dloss/da [B, C]; d...: what the
optimizer descends, batch means. a_k, the network's answer, is the free energy of no class less that
of class k, so that softmax a is p(y|x), and (3) and (4) are the gradient of the loss. (7) is
contrastive divergence, an estimate of the gradient of -log p(x, y): the chain starts at an example
(x_0, y_0), takes ``steps`` times (5) and (6), and ends at (x_n, y_n), where p_n needs no h.

References: G. E. Hinton, "Training products of experts by minimizing contrastive divergence",
Neural Computation 14(8), 2002; H. Larochelle, Y. Bengio, "Classification using discriminative
restricted Boltzmann machines", ICML 2008.

Differences from the papers:
1. v starts at 0, c and d as the model says; Hinton's practical guide starts v at the log odds of
   the inputs.
2. Larochelle and Bengio take one example a step.
"""

import dataclasses
from functools import reduce
from typing import Literal

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn.functional import one_hot

from fabench.dataset.base.dataset import Dataset
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import DescentRule, NoisyRule, sent_down, sent_up, teach
from fabench.learning_rule.base.signal import chain_only, no_dropout
from fabench.model.layer.initialization import InitOfB
from fabench.model.layer.kernel import at_full
from fabench.model.layer.network import Layer, Outer
from fabench.model.layer.parameter import Parameter
from fabench.schema import STRICT, Count, Rate
from fabench.task.base import BINARY_CROSS_ENTROPY, SOFTMAX_CROSS_ENTROPY, Task


@dataclass(frozen=True, config=STRICT)
class ContrastiveDivergence(DescentRule, NoisyRule):
    name: str
    objective: Literal["generative", "discriminative", "hybrid"]
    alpha: Rate
    steps: Count

    def parameters(self, layers: tuple[Layer, ...], init_of_B: InitOfB) -> dict[str, Parameter]:
        if self.objective == "discriminative":
            return {}
        shape = (1, layers[0].n_inputs)
        return {"v0": Parameter(shape, lambda rng: np.zeros(shape, np.float32), "input biases")}

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        fits = len(layers) == 2 and layers[0].activation == "sigmoid"
        reason = no_dropout(layers) or chain_only(layers)
        return reason or (None if fits else "needs one hidden layer, of sigmoid units")

    def task_refusal(self, task: Task) -> str | None:
        needed = SOFTMAX_CROSS_ENTROPY if task.n_outputs > 1 else BINARY_CROSS_ENTROPY
        if task.objective is not needed:
            return "needs one softmax, or one sigmoid"
        return "needs task.label_smoothing=0" if task.label_smoothing else None

    def dataset_refusal(self, dataset: Dataset) -> str | None:
        fits = self.objective == "discriminative" or dataset.within_0_and_1
        return None if fits else "needs inputs in [0, 1] (images: dataset.scaling=unit)"

    def outputs(self, part: Part, x: Tensor) -> Tensor:
        return answer(part, at_full(sent_up(part, 0, x)))

    def learn(self, part: Part, x: Tensor, y: Tensor) -> Tensor:
        o = at_full(sent_up(part, 0, x))
        output, terms = answer(part, o), []
        if self.objective != "generative":
            terms.append(discriminative(part, x, o, part.error(output, y)))
        if self.objective != "discriminative":
            alpha = self.alpha if self.objective == "hybrid" else 1.0
            terms.append(generative(part, x, y, o, self.steps, alpha))
        x, delta = (
            torch.cat(parts, 1) for parts in ([t.x for t in terms], [t.delta for t in terms])
        )
        first, second = part.layers
        if first.trained:
            teach(part, 0, Outer(first, part.as_operand(x), part.as_operand(delta), y.shape[1]))
        if second.trained:
            part.descend("W1", reduce(torch.add, [t.U for t in terms]))
            if second.bias_init is not None:
                part.descend("b1", reduce(torch.add, [t.d for t in terms]))
        for t in terms:
            if t.v is not None:
                part.descend("v0", t.v)
        return output


@dataclasses.dataclass(frozen=True)
class Term:
    """What one of the two objectives has descend: W the outer product of x [R, N, I] and delta
    [R, N, H], summed, and c the sum of delta, both divided by the batch's size; U, d and v as they
    stand here [R, H, C], [R, 1, C], [R, 1, I]."""

    x: Tensor
    delta: Tensor
    U: Tensor
    d: Tensor
    v: Tensor | None = None


def answer(part: Part, o: Tensor) -> Tensor:
    """a [R, B, C], for o [R, B, H]: (2).

    softplus(o + U) - softplus(o) is the logarithm of sigmoid(-o) + sigmoid(o) e^U: a fifth of the
    time.
    """
    on, off = torch.sigmoid(o), torch.sigmoid(-o)
    a = torch.stack([torch.addcmul(off, on, U.exp()).log_().sum(-1) for U in columns(part)], -1)
    return a if part.layers[1].bias_init is None else a + part["b1"]


def columns(part: Part) -> list[Tensor]:
    """U_k [R, 1, H] of every class."""
    return [U.mT for U in part["W1"].split(1, 2)]


def discriminative(part: Part, x: Tensor, o: Tensor, e: Tensor) -> Term:
    """What descends the loss, whose gradient at a is e [R, B, C]."""
    none, delta, of_U = torch.sigmoid(o), torch.zeros_like(o), []
    for U, e_k in zip(columns(part), at_full(e).split(1, 2), strict=True):
        on = torch.sigmoid(o + U)
        of_U.append((on * e_k).mean(1))  # (3)
        delta += e_k * (on - none)  # (4)
    return Term(at_full(x), delta, torch.stack(of_U, 2), at_full(e).mean(1, keepdim=True))


def generative(
    part: Part, x: Tensor, y: Tensor, o: Tensor, steps: int, alpha: float | Tensor
) -> Term:
    """Contrastive divergence of so many steps, times alpha."""
    p_0 = torch.sigmoid(o + at_full(sent_down(part, 1, y)))
    x_n, y_n, p_n = x, y, p_0
    for n in range(steps):
        h = bits(part, f"hidden {n}", p_n)  # (5)
        x_n = bits(part, f"inputs {n}", torch.sigmoid(at_full(sent_down(part, 0, h)) + part["v0"]))
        y_n = one_of(part, f"class {n}", at_full(sent_up(part, 1, h)))  # (6)
        p_n = torch.sigmoid(at_full(sent_up(part, 0, x_n)) + at_full(sent_down(part, 1, y_n)))
    p, signed = torch.cat([p_0, p_n], 1), torch.cat([-y, y_n], 1)
    U = Outer(part.layers[1], part.as_operand(p), part.as_operand(signed), x.shape[1])
    return Term(
        torch.cat([at_full(x), x_n], 1),
        torch.cat([-alpha * p_0, alpha * p_n], 1),
        alpha * U.value(part.as_operand),
        alpha * (y_n - y).mean(1, keepdim=True),
        alpha * (x_n - at_full(x)).mean(1, keepdim=True),
    )  # (7)


def bits(part: Part, stream: str, p: Tensor) -> Tensor:
    """Bits [R, B, N] that are 1 with probability p."""
    return (uniform(part, stream, p.shape[1:]) < p).type_as(p)


def one_of(part: Part, stream: str, a: Tensor) -> Tensor:
    """A class [R, B, C] ~ softmax(a), as one bit of C; of one output a bit ~ sigmoid(a)."""
    n_classes = a.shape[2]
    if n_classes == 1:
        return bits(part, stream, torch.sigmoid(a))
    below = uniform(part, stream, (a.shape[1], 1)) > a.softmax(-1).cumsum(-1)
    return one_hot(below.sum(-1).clamp(max=n_classes - 1), n_classes).type_as(a)


def uniform(part: Part, stream: str, shape: tuple[int, ...]) -> Tensor:
    """Numbers [R, *shape] ~ U(0, 1) of this step."""

    def draw(rng: Generator) -> NDArray[np.float32]:
        return rng.random(shape, np.float32)

    return part.drawn(stream, draw, int(part.t))
