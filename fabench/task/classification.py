"""Classification: which of the dataset's C classes?

    y_c = (1 - s) [c is the item's class] + s / C                    (1)
    the answer: the class of the largest output                      (2)

An example is one item, whatever k is; an epoch is a permutation of the items. ``loss``: softmax
with cross-entropy; a sigmoid with cross-entropy for every class; half the squared error of the
linear output or of sigmoids. s: ``label_smoothing``, in [0, 1), of training and test targets: the
losses, the error and rules that learn from the target itself see the smoothed one.

References: A. Nøkland, "Direct feedback alignment provides learning in deep neural networks", 2016,
arXiv:1609.01596 (its code: ten sigmoids with cross-entropy on MNIST). C. Szegedy, V. Vanhoucke, S.
Ioffe, J. Shlens, Z. Wojna, "Rethinking the Inception architecture for computer vision", 2016,
arXiv:1512.00567, section 7 (label smoothing).
"""

import dataclasses

from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn.functional import one_hot

from fabench.schema import STRICT, Count, Fraction
from fabench.task.base import LOSSES, Loss, LossName, SingleItemTask


@dataclass(frozen=True, config=STRICT)
class Classification(SingleItemTask):
    name: str
    loss: LossName
    n_classes: Count
    label_smoothing: Fraction = dataclasses.field(default=0.0, kw_only=True)

    @property
    def n_outputs(self) -> int:
        return self.n_classes

    @property
    def chance(self) -> float:
        return 1 / self.n_classes

    def targets(self, labels: Tensor) -> Tensor:
        s = self.label_smoothing
        y = one_hot(labels.squeeze(-1).long(), self.n_classes).float()
        return y if s == 0 else (1 - s) * y + s / self.n_classes  # (1)

    @property
    def objective(self) -> Loss:
        return LOSSES[self.loss]

    def classes(self, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return output.argmax(-1), y.argmax(-1)  # (2)
