"""Contrastive Hebbian learning: a network with feedback settles, freely and with outputs clamped.

    s_k = f(s_{k-1} W_k + b_k + γ s_{k+1} W_{k+1}^T),  s_0 = x       (1)
    a_L = s_{L-1} W_L + b_L;  s_L = g(a_L), or y where it is clamped (2)
    s_k <- s_k + dt (f(...) - s_k),  a_L likewise                    (3)
    dW_k = γ^{k-L} (s^-_{k-1}^T s^-_k - s^+_{k-1}^T s^+_k)           (4)
    db_k = γ^{k-L} (s^-_k - s^+_k)                                   (5)

s_k [B, n_k]: the activity of layer k = 1, ..., L; f: its activation; g: what the output predicts
(its sigmoid, its softmax, or itself); y: targets [B, C]; dW, db: what the optimizer descends, batch
means. ``steps`` times (3), all layers at once, lead from the forward pass to the free state s^-,
whose a_L is the network's answer, and on to the clamped one, s^+. With ``gamma`` = 1 the network is
Movellan's symmetric one; as γ goes to 0, as Xie and Seung have it, (4) goes to backpropagation's
gradient.

References: J. R. Movellan, "Contrastive Hebbian learning in the continuous Hopfield model",
Connectionist Models, 1991. X. Xie, H. S. Seung, "Equivalence of backpropagation and contrastive
Hebbian learning in a layered network", Neural Computation 15(2), 2003.

Differences from the papers:
1. The output predicts as ``task.loss`` says. Clamping knows no g', so (4) goes to the gradient of
   the cross-entropy where the loss is the squared error of sigmoids, too.
2. In Movellan's network inputs of units relax, here their activities, as in Xie and Seung's.
3. (4) is computed from means and differences of the two states, which are float32: it divides
   differences by γ^{L-k}. Smaller γ and deeper networks want ``trainer.precision=fp32``.
"""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import sent_down
from fabench.learning_rule.base.settling import SettlingRule, States, clamped, hebbian_difference
from fabench.model.layer.network import Outer
from fabench.schema import STRICT, Count, Rate


@dataclass(frozen=True, config=STRICT)
class ContrastiveHebbian(SettlingRule):
    name: str
    gamma: Rate
    dt: Annotated[float, Field(gt=0, le=1)]
    steps: Count

    def relax(
        self, part: Part, drive: Tensor, states: States | None = None, target: Tensor | None = None
    ) -> States:
        def feedback(k: int, s: Tensor) -> Tensor:
            return sent_down(part, k, s)

        return clamped(  # (1) to (3)
            part, drive, states, target, self.steps, self.dt, feedback, self.gamma
        )

    def contrast(
        self, part: Part, x: Tensor, minus: States, plus: States
    ) -> dict[int, tuple[Outer, Tensor]]:
        minus, last = [*minus[:-1], part.prediction(minus[-1])], len(plus) - 1
        return {
            k: hebbian_difference(part, k, x, minus, plus, self.gamma ** (last - k))  # (4), (5)
            for k in range(last + 1)
        }
