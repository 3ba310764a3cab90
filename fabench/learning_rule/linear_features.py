"""Linear features: fixed random hidden layers without a nonlinearity under a trained output layer.

    h_l = h_{l-1} W_l,  W_l as the model draws it, fixed             (1)

The network is a linear classifier on a random projection of its input.

Reference: D. C. Demirbilek, "The Dynamics of Learning Beyond Stochastic Gradient Descent", 2021,
section 1.3.2.

Differences from the paper: none (U(±1/sqrt(fan_in)) is the default of ``model.weight_init``).
"""

from dataclasses import replace

from pydantic.dataclasses import dataclass

from fabench.learning_rule.base.signal import FrozenFeatures
from fabench.model.layer.network import Layer
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class LinearFeatures(FrozenFeatures):
    name: str

    def hidden_layer(self, layer: Layer) -> Layer:
        return replace(layer, activation="linear", trained=False)  # (1)
