"""Random Fourier features: fixed cosines under a trained output layer.

    h_l = cos(h_{l-1} W_l + b_l)                                     (1)
    W_l ~ N(0, (4 scale / sqrt(n_{l-1}))^2),  b_l ~ U(0, 2 pi), fixed    (2)

scale: standard deviation s of the pixels p in [0, 1], 0.3081 for MNIST. Daniely and Malach feed p
with scale 1; here inputs are (p - mean) / s, and p W = ((p - mean) / s) (s W) plus a shift that the
uniform phase absorbs: with this scale the features have the original's distribution.
``model.weight_scale`` is of the output layer.

The features approximate a Gaussian kernel. Daniely and Malach call them "Gaussian features".

References: A. Rahimi, B. Recht, "Random features for large-scale kernel machines", NIPS 2007,
algorithm 1; A. Daniely, E. Malach, "Learning parities with neural networks", 2020,
arXiv:2002.07400, section 5, for the scale in (2).

Differences from the papers:
1. No factor sqrt(2 / n_l) on the features: it is absorbed by the learning rate.
2. They have no convolutions. Of one, n_{l-1} is a kernel's fan-in, and pooling comes before cos.
"""

from dataclasses import replace

from pydantic.dataclasses import dataclass

from fabench.learning_rule.base.signal import FrozenFeatures
from fabench.model.layer.network import Layer
from fabench.schema import STRICT, Rate


@dataclass(frozen=True, config=STRICT)
class FourierFeatures(FrozenFeatures):
    name: str
    scale: Rate

    def hidden_layer(self, layer: Layer) -> Layer:
        return replace(
            layer,
            activation="cos",  # (1)
            weight_init=self.name,  # (2)
            bias_init=self.name,
            weight_scale="learning_rule.scale",
            trained=False,
        )
