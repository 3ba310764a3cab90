"""Local representation alignment (LRA): a layer's target is where the error above would be less.

    delta_L = e                                                      (1)
    u_0 = a_l;  u_k = u_{k-1} - beta d_l(u_{k-1}),  k = 1, ..., K    (2)
    t_l = f(u_K),  e_l = h_l - t_l                                   (3)
    learned, fixed   d_l(u) = e_{l+1}(u) E_{l+1}                     (4)
                     delta_l = e_l                                   (5)
    derivative       d_l(u) = (e_{l+1}(u) ⊙ f'(a_{l+1}(u)) W_{l+1}^T) ⊙ f'(u)   (6)
                     delta_l = e_l ⊙ f'(a_l)                         (7)
    learned          dE_{l+1} = delta_{l+1}^T h_l                    (8)

e: dloss/da_L [B, C]; t_l: target of the activity h_l [B, n_l]; E_{l+1}: error weights
[n_{l+1}, n_l]. a_{l+1}(u) = f(u) W_{l+1} + b_{l+1}, and e_{l+1}(u) is what layer l+1 would have for
an error with it: f(a_{l+1}(u)) - t_{l+1}, in the last layer dloss/da_L. So (6) is the derivative of
||f(a_{l+1}(u)) - t_{l+1}||^2 / 2, in the last layer of the loss, and (7) of ||h_l - t_l||^2 / 2.
K: ``steps``. (8) is the transposed update of W_{l+1}: LRA-E; it is descended at ``feedback_rate``
times the learning rate, a batch mean. Signals shrink by about ``beta`` from a layer to the one
below.

References: A. Ororbia, A. Mali, D. Kifer, C. L. Giles, "Conducting credit assignment by aligning
local representations", 2018, arXiv:1803.01834 (derivative, fixed); A. Ororbia, A. Mali,
"Biologically motivated algorithms for propagating local target representations", AAAI 2019,
arXiv:1805.11703 (learned). The poster's sketch, with the same letter for u_{k-1} and u_k, is (2).

Differences from the papers:
1. The local loss is the squared error; the paper of 2018 takes sum log(1 + (h - t)^2), too.
2. Neither changes in (2) nor updates are clipped to a norm.
3. E starts as ``init_of_B`` says; the papers' is N(0, 1) (init_of_B=standard_gaussian).
4. Several ``steps`` compare activities that are near: they want ``trainer.precision=fp32``.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import FeedbackRule, followed, standing_in
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.signal import Signals, no_sums
from fabench.learning_rule.base.target import activation, change, pulled
from fabench.model.layer.network import ForwardPass, Layer, masked
from fabench.schema import STRICT, Count, Rate


@dataclass(frozen=True, config=STRICT)
class LocalRepresentationAlignment(FeedbackRule):
    name: str
    feedback: Literal["learned", "fixed", "derivative"]
    beta: Rate
    steps: Count
    feedback_rate: Rate

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return no_sums(layers)

    def feedback_shapes(self, layers: tuple[Layer, ...]) -> list[tuple[int, int]]:
        above = layers[1:] if self.feedback != "derivative" else ()
        return [(layer.fan_out, layer.fan_in) for layer in above]

    def learned_feedback(self, layers: tuple[Layer, ...]) -> Sequence[int]:
        return followed(layers) if self.feedback == "learned" else ()

    def transported(self, W: list[Tensor]) -> list[Tensor]:
        return [w.mT for w in W[1:]] if self.feedback != "derivative" else []

    def alignment_pairs(
        self, W: list[Tensor], B: list[Tensor]
    ) -> list[tuple[Tensor, Tensor] | None]:
        return standing_in(B, W)

    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        last, error = len(part.layers) - 1, e
        deltas = {last: e}  # (1)
        for layer in reversed(range(last)):
            a, f = forward.a[layer], activation(part, layer)
            far = self.away(part, forward, layer, error, y)  # u_K - a_l
            error = -change(f, a, far)  # (3)
            delta = pulled(f, error, a) if self.feedback == "derivative" else error  # (5), (7)
            deltas[layer] = part.as_operand(delta)
        return deltas

    def away(
        self, part: Part, forward: ForwardPass, layer: int, error: Tensor, y: Tensor
    ) -> Tensor:
        """u_K - a_l [R, B, units] of a layer, given the error of the one above: (2)."""
        above, derivative = layer + 1, self.feedback == "derivative"
        own, mask, last = part.layers[above], forward.masks[above], above == len(part.layers) - 1
        M = part.operand(f"W{above}").mT if derivative else part.operand(f"B{layer}")
        b = part.operand(f"b{above}") if own.bias_init is not None else None
        a, f = forward.a[layer], activation(part, layer)
        # u_k - a_l, and of the layer above: a(u), what its pooling passes on, e(u)
        far, higher, places, now = a.new_zeros(()), forward.a[above], forward.places[above], error
        for step in range(self.steps):
            if step:
                h = part.as_operand(masked(f.f(a + far), mask))
                higher, places = own.preactivation(h, part.operand(f"W{above}"), b)
                rise = higher - forward.a[above]
                if last:
                    now = part.error(higher, y)
                else:
                    now = error + change(activation(part, above), forward.a[above], rise)
            e = now if last or not derivative else pulled(activation(part, above), now, higher)
            d = own.back(part.as_operand(e), M, places).reshape(a.shape)
            d = masked(d, mask)  # (4)
            far = far - self.beta * (pulled(f, d, a + far) if derivative else d)  # (6)
        return far

    def adapt(self, part: Part, forward: ForwardPass, e: Tensor, deltas: Signals) -> None:
        for number in self.learned_feedback(part.layers):
            gradient = forward.outer(number + 1, deltas[number + 1]).value().mT  # (8)
            part.descend(f"B{number}", gradient, rate=self.feedback_rate)
