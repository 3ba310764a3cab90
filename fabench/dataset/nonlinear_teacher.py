"""Nonlinear teacher: a network of two hidden tanh layers on thirty normal inputs.

    x ~ N(0, I_30),  y = tanh(tanh(x T_1) T_2) T_3                   (1)

T_1 is 30 x 20, T_2 20 x 10, T_3 10 x 10.

Reference: T. P. Lillicrap, D. Cownden, D. B. Tweed, C. J. Akerman, "Random synaptic feedback
weights support error backpropagation for deep learning", Nature Communications 7, 13276, 2016
(the nonlinear problem).

Ours: T_l ~ U(-1, 1) without biases, as in the linear problem.
"""

from pydantic.dataclasses import dataclass

from fabench.dataset.base.drawn import Teacher
from fabench.schema import STRICT, Count


@dataclass(frozen=True, config=STRICT)
class NonlinearTeacher(Teacher):
    name: str
    n_train: Count
    n_test: Count

    widths = (30, 20, 10, 10)
