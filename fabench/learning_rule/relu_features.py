"""ReLU features: hidden layers stay as they were drawn; only the output layer learns.

    h_l = relu(h_{l-1} W_l),  W_l as the model draws it, fixed       (1)

References: D. C. Demirbilek, "The Dynamics of Learning Beyond Stochastic Gradient Descent", 2021,
section 1.3.2; A. Daniely, E. Malach, "Learning parities with neural networks", 2020,
arXiv:2002.07400, section 5.

Differences from the papers:
1. Weights are drawn by the model's init, U(±1/sqrt(fan_in)) as in the thesis; Daniely and Malach
   use Glorot's uniform (``model.weight_init=xavier_uniform``) and biases.
"""

from dataclasses import replace

from pydantic.dataclasses import dataclass

from fabench.learning_rule.base.signal import FrozenFeatures
from fabench.model.layer.network import Layer
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class ReluFeatures(FrozenFeatures):
    name: str

    def hidden_layer(self, layer: Layer) -> Layer:
        return replace(layer, activation="relu", trained=False)  # (1)
