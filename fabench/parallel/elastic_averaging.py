"""Elastic averaging SGD (EASGD) and, with momentum, EAMSGD: springs between workers and centre.

    every tau steps of the worker, before the step:
    d = alpha (x_w - x),  alpha = beta / p;  else d = 0              (1)
    x <- x + d                                                       (2)
    x_w' = x_w + delta v_w + (the worker's optimizer's step there)   (3)
    v_w <- x_w' - x_w                                                (4)
    x_w <- x_w' - d                                                  (5)

x: the centre; x_w: worker w's parameters; v_w: its velocity, 0 at the start; p (``workers``): the
number of workers; tau (``period``): a worker's steps between two exchanges; beta (``moving_rate``):
how far the centre goes, in p exchanges, to the workers' mean; alpha: what one exchange closes of
the worker's distance; delta (``momentum``): Nesterov's momentum, 0 for EASGD. With SGD (3) and (4)
are v_w <- delta v_w - lr g(x_w + delta v_w). (2) and (5) leave the sum of the centre and all
workers as it was.

Reference: S. Zhang, A. Choromanska, Y. LeCun, "Deep learning with elastic averaging SGD", NIPS
2015, arXiv:1412.6651, Algorithms 1 and 2; (1) to (5) in the order of the authors' code.

Differences from the paper
1. Any optimizer takes the step of (3), each worker with its own state.
2. Workers are equally fast: all exchange in the same rounds, one after the other.
"""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import State
from fabench.parallel.base import LocalScheme
from fabench.schema import STRICT, Count, Fraction, InFloat32


@dataclass(frozen=True, config=STRICT)
class ElasticAveraging(LocalScheme):
    name: str
    workers: Count
    period: Count
    moving_rate: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False), InFloat32]
    momentum: Fraction

    def initial_state(self, x: Tensor) -> State:
        velocity = {"velocity": 0 * x} if self.momentum else {}
        return {"parameters": x, **velocity}

    def position(self, own: State) -> Tensor:
        if not self.momentum:
            return own["parameters"]
        return own["parameters"] + self.momentum * own["velocity"]  # (3)

    def exchange(self, x: Tensor, own: State, moved: Tensor, n: int) -> tuple[Tensor, State]:
        x_w = own["parameters"]
        velocity = {"velocity": moved - x_w} if self.momentum else {}  # (4)
        if (n - 1) % self.period == 0:
            d = self.moving_rate / self.workers * (x_w - x)  # (1): nobody else was here meanwhile
            x, moved = x + d, moved - d  # (2), (5)
        return x, {"parameters": moved, **velocity}
