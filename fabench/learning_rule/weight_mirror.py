"""Weight mirror (WM): feedback alignment whose feedback learns the weights from noise.

    delta_L = e                                                      (1)
    delta_l = (delta_{l+1} B_{l+1}) ⊙ f'(a_l)                        (2)
    y = f(xi W_{l+1}),  xi ~ N(0, 1)                                 (3)
    dB_{l+1} = feedback_decay B_{l+1} - y^T xi                       (4)

e: dloss/da_L [B, C]; W_{l+1} [n_l, n_{l+1}]; B_{l+1}: feedback matrix [n_{l+1}, n_l]; xi: noise
[B, n_l], fresh for every layer and training batch; f: the layer's activation, none in the output
layer; dB: what the optimizer descends, at ``feedback_rate`` times its learning rate, a batch mean.

The mean of y^T xi is W_{l+1}^T, each row times its unit's mean f' (Stein's lemma); over
feedback_decay, it is where B_{l+1} comes to. In a convolution it is a mean over places, too: but
for its zeros around the image, and for maxima that are pooled, it is as W.

Reference: M. Akrout, C. Wilson, P. Humphreys, T. Lillicrap, D. Tweed, "Deep learning without weight
transport", 2019, arXiv:1904.05391, equation 7 (numbered as in the authors' code).

Differences from the paper:
1. Every training batch is followed by one mirror batch of its size, with the optimizer's step; the
   paper has phases of mirroring.
2. Noise is normal with variance 1 and passes the weights alone, without the biases.
3. Decay keeps B from growing; the authors' code for MNIST rescales B instead.
4. B has the optimizer of W; ``feedback_rate`` is a factor on its learning rate.
"""

from collections.abc import Sequence

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import LayerwiseFeedback
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import NoisyRule
from fabench.learning_rule.base.signal import Signals
from fabench.model.layer.network import ACTIVATIONS, ForwardPass, Layer
from fabench.schema import STRICT, NonNegative, Rate


@dataclass(frozen=True, config=STRICT)
class WeightMirror(LayerwiseFeedback, NoisyRule):
    name: str
    feedback_rate: Rate
    feedback_decay: NonNegative

    def learned_feedback(self, layers: tuple[Layer, ...]) -> Sequence[int]:
        return range(len(layers) - 1)

    def backward(self, part: Part) -> list[Tensor]:
        return part.operands("B")  # (1), (2)

    def adapt(self, part: Part, forward: ForwardPass, e: Tensor, deltas: Signals) -> None:
        W, B, size = part.operands("W"), part.operands("B"), e.shape[1]
        for layer, b in enumerate(B, 1):
            mirrored = part.layers[layer]
            n = mirrored.n_inputs if mirrored.shares_weights else mirrored.fan_in
            xi = mirrored.taken(part.noise(f"mirror {layer}", (size, n)))
            y, places = mirrored.preactivation(xi, W[layer], None)  # (3)
            if layer < len(B):
                y = ACTIVATIONS[mirrored.activation].f(y)
            n_places = mirrored.units // mirrored.fan_out
            product = mirrored.gradient(xi, y, places).mT / (size * n_places)
            gradient = self.feedback_decay * b - product
            part.descend(f"B{layer - 1}", gradient, rate=self.feedback_rate)  # (4)
