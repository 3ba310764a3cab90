"""Product feedback alignment (PFA): the feedback is a fixed matrix times a learned one.

    delta_L = e                                                      (1)
    r_{l+1} = delta_{l+1} B_{l+1}                                    (2)
    delta_l = (r_{l+1} R_{l+1}) ⊙ f'(a_l)                            (3)
    dR_{l+1} = r_{l+1}^T h_l                                         (4)

e: dloss/da_L [B, C]; B_{l+1}: fixed [n_{l+1}, m]; R_{l+1}: learns [m, n_l]; m = expand n_{l+1};
r_{l+1}: the error of the m units between them; dR: what the optimizer descends, a batch mean. No
single matrix of the feedback path resembles the weights, but B R does: (4) changes it by B B^T
times the transposed change of W_{l+1}, and with weight decay (``trainer.weight_decay``) B R comes
to B B^T W_{l+1}^T. B B^T is the identity for ``init_of_B=orthogonal``, and close to a third of it
for uniform.

Reference: L. Ji-An, M. Benna, "Deep learning without weight symmetry", 2024, arXiv:2405.20594.

Differences from the paper:
1. B and R are drawn as ``init_of_B`` says; the authors' code draws B with variance 1/m, so that
   B B^T is the identity in the mean.
2. Weight decay is constant.
3. ``trainer.clip_norm`` and ``trainer.gradient_noise`` change W's step alone.
"""

from collections.abc import Sequence

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import FeedbackRule, followed, mean_outer
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.signal import Signals, chain_only
from fabench.model.layer.network import ForwardPass, Layer
from fabench.schema import STRICT, Count


@dataclass(frozen=True, config=STRICT)
class ProductFeedback(FeedbackRule):
    name: str
    expand: Count

    def feedback_shapes(self, layers: tuple[Layer, ...]) -> list[tuple[int, int]]:
        """Of B_2, R_2, B_3, R_3, ..."""
        shapes = []
        for layer in layers[1:]:
            m = self.expand * layer.fan_out
            shapes += [(layer.fan_out, m), (m, layer.fan_in)]
        return shapes

    def learned_feedback(self, layers: tuple[Layer, ...]) -> Sequence[int]:
        return [2 * number + 1 for number in followed(layers)]

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return chain_only(layers)

    def transported(self, W: list[Tensor]) -> list[Tensor]:
        feedback = []
        for w in W[1:]:
            rows, _, n = w.shape
            B = torch.eye(n, self.expand * n, dtype=w.dtype, device=w.device).repeat(rows, 1, 1)
            feedback += [B, B.mT @ w.mT]
        return feedback

    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        B, last = part.operands("B"), len(part.layers) - 1
        deltas = {last: e}  # (1)
        for layer in reversed(range(last)):
            r = deltas[layer + 1] @ B[2 * layer]  # (2)
            deltas[layer] = forward.pull(layer, r @ B[2 * layer + 1])  # (3)
        return deltas

    def adapt(self, part: Part, forward: ForwardPass, e: Tensor, deltas: Signals) -> None:
        B = part.operands("B")
        for layer in followed(part.layers):
            r = deltas[layer + 1] @ B[2 * layer]  # (2)
            part.descend(f"B{2 * layer + 1}", mean_outer(r, forward.h[layer + 1]))  # (4)

    def alignment_pairs(
        self, W: list[Tensor], B: list[Tensor]
    ) -> list[tuple[Tensor, Tensor] | None]:
        return [(b @ r, w.mT) for b, r, w in zip(B[::2], B[1::2], W[1:], strict=True)]
