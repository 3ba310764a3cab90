"""Multi-label classification: several of the outputs may be right.

    y in {0, 1}^C, as the dataset has it                             (1)
    right: every output's prediction is on y's side of 1/2           (2)

An example is one item. ``loss``: a sigmoid with cross-entropy for every output, or half the squared
error of the linear output or of sigmoids. All outputs of an example must be right, so that nothing
is won by guessing: the chance is 0.

Reference: G. E. Hinton, "Learning distributed representations of concepts", Proceedings of the
Eighth Annual Conference of the Cognitive Science Society, 1986.

Differences from the paper:
1. There an output is right above 0.8 and below 0.2.
"""

from typing import Literal

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.schema import STRICT, Count
from fabench.task.base import LOSSES, Loss, SingleItemTask


@dataclass(frozen=True, config=STRICT)
class MultiLabel(SingleItemTask):
    name: str
    loss: Literal["sigmoid_cross_entropy", "squared_error", "sigmoid_squared_error"]
    n_targets: Count

    @property
    def n_outputs(self) -> int:
        return self.n_targets

    @property
    def chance(self) -> float:
        return 0.0

    def targets(self, labels: Tensor) -> Tensor:
        return labels.squeeze(-2)  # (1)

    @property
    def objective(self) -> Loss:
        return LOSSES[self.loss]

    def correct(self, output: Tensor, y: Tensor) -> Tensor:
        return ((self.objective.prediction(output) > 0.5) == (y > 0.5)).all(-1)  # (2)
