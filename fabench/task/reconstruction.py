"""Reconstruction: the target is the input, a pattern of the encoder problem.

    y = x, whose unit c is 1 if c is the pattern's label, else 0     (1)
    right: every output's prediction is on y's side of 1/2           (2)

An example is one pattern. ``loss``: a sigmoid with cross-entropy for every output, or half the
squared error of the linear output or of sigmoids. The problem is solved at an accuracy of 1.

Reference: D. H. Ackley, G. E. Hinton, T. J. Sejnowski, "A learning algorithm for Boltzmann
machines", Cognitive Science 9, 1985, section 4.
"""

from typing import Literal

from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn.functional import one_hot

from fabench.schema import STRICT, Count
from fabench.task.base import LOSSES, Loss, SingleItemTask


@dataclass(frozen=True, config=STRICT)
class Reconstruction(SingleItemTask):
    name: str
    loss: Literal["sigmoid_cross_entropy", "squared_error", "sigmoid_squared_error"]
    n_inputs: Count

    @property
    def n_outputs(self) -> int:
        return self.n_inputs

    @property
    def chance(self) -> float:
        return 1 / self.n_inputs

    def targets(self, labels: Tensor) -> Tensor:
        return one_hot(labels.squeeze(-1).long(), self.n_inputs).float()  # (1)

    @property
    def objective(self) -> Loss:
        return LOSSES[self.loss]

    def correct(self, output: Tensor, y: Tensor) -> Tensor:
        return ((self.objective.prediction(output) > 0.5) == (y > 0.5)).all(-1)  # (2)
