"""Gaussian features (thesis): fixed ReLU layers with normal weights under a trained output layer.

    h_l = relu(h_{l-1} W_l),  W_l ~ N(0, 6 / (n_{l-1} + n_l)), fixed (1)

6 / (n_{l-1} + n_l) is the variance; it is the square of the bound of Glorot's uniform. W_l is
multiplied by ``model.weight_scale``.

Reference: D. C. Demirbilek, "The Dynamics of Learning Beyond Stochastic Gradient Descent", 2021,
section 1.3.2, and the code that goes with it.

Differences from the papers:
1. What Daniely and Malach (arXiv:2002.07400, section 5) call "Gaussian features" are random Fourier
   features: ``learning_rule=fourier_features``.
"""

from dataclasses import replace

from pydantic.dataclasses import dataclass

from fabench.learning_rule.base.signal import FrozenFeatures
from fabench.model.layer.network import Layer
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class GaussianFeatures(FrozenFeatures):
    name: str

    def hidden_layer(self, layer: Layer) -> Layer:
        return replace(layer, activation="relu", weight_init=self.name, trained=False)  # (1)
