"""Linear teacher: ten linear functions of thirty normal inputs.

    x ~ N(0, I_30),  y = x T,  T ~ U(-1, 1)^{30 x 10}                (1)

Reference: T. P. Lillicrap, D. Cownden, D. B. Tweed, C. J. Akerman, "Random synaptic feedback
weights support error backpropagation for deep learning", Nature Communications 7, 13276, 2016
(the linear problem).
"""

from pydantic.dataclasses import dataclass

from fabench.dataset.base.drawn import Teacher
from fabench.schema import STRICT, Count


@dataclass(frozen=True, config=STRICT)
class LinearTeacher(Teacher):
    name: str
    n_train: Count
    n_test: Count

    widths = (30, 10)
