"""Shallow learning: only the output layer learns; the layers below it stay as they were drawn.

    delta_L = e                                                      (1)

e: dloss/da_L [B, C]. What every other rule has to beat.

Reference: C. Frenkel, M. Lefebvre, D. Bol, "Learning without feedback: fixed random learning
signals allow for feedforward training of deep neural networks", 2021, arXiv:1909.01311, where it
is the baseline.

Differences from the paper: none.
"""

from dataclasses import replace

from pydantic.dataclasses import dataclass

from fabench.learning_rule.base.signal import FrozenFeatures
from fabench.model.layer.network import Layer
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Shallow(FrozenFeatures):
    name: str

    def hidden_layer(self, layer: Layer) -> Layer:
        return replace(layer, trained=False)
