"""Regression on a teacher's targets, with a linear output.

    loss = sum_c (a_c - y_c)^2 / 2                                   (1)
    NSE = sum |a - y|^2 / sum |y - mean y|^2                         (2)

An example is one item; the sums of (2), the normalized squared error, run over an epoch's examples
and outputs. There is no accuracy: runs are compared by NSE, the smaller the better; 1 is what the
targets' mean reaches.

Reference: T. P. Lillicrap, D. Cownden, D. B. Tweed, C. J. Akerman, "Random synaptic feedback
weights support error backpropagation for deep learning", Nature Communications 7, 13276, 2016.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.schema import STRICT, Count
from fabench.task.base import SQUARED_ERROR, Loss, SingleItemTask


@dataclass(frozen=True, config=STRICT)
class Regression(SingleItemTask):
    name: str
    n_targets: Count

    score = "nse"

    @property
    def n_outputs(self) -> int:
        return self.n_targets

    @property
    def chance(self) -> float:
        return 1.0

    def targets(self, labels: Tensor) -> Tensor:
        return labels.squeeze(-2)

    @property
    def objective(self) -> Loss:
        return SQUARED_ERROR  # (1)

    def variance(self, y: Tensor) -> Tensor:
        return y.cpu().double().var(1, correction=0).sum(1)
