"""Downpour SGD: workers go alone for a while, then push what they moved and pull the centre.

    x_w <- x_w + (the worker's optimizer's step)                     (1)
    every tau steps of the worker, then:
    x <- x + (x_w - b_w)                                             (2)
    x_w, b_w <- x                                                    (3)

x: the centre, the paper's parameter server; x_w: worker w's parameters; b_w: what it pulled last;
tau (setting ``period``): its steps between two pushes. With one worker x_w is the optimizer alone,
to the last digit, and x follows it every tau steps.

Reference: J. Dean et al., "Large scale distributed deep networks", NIPS 2012, section 4.1.

Differences from the paper
1. Every worker has an optimizer of its own, and the server adds what it is sent; the paper's server
   has Adagrad and is sent sums of gradients. With SGD both are the same.
2. Pushes and pulls have one period (the paper's n_push = n_fetch), and parameters are not sharded.
3. Workers are equally fast: all push in the same rounds, one after the other.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import State
from fabench.parallel.base import LocalScheme
from fabench.schema import STRICT, Count


@dataclass(frozen=True, config=STRICT)
class Downpour(LocalScheme):
    name: str
    workers: Count
    period: Count

    def initial_state(self, x: Tensor) -> State:
        return {"parameters": x, "pulled": x}

    def position(self, own: State) -> Tensor:
        return own["parameters"]

    def exchange(self, x: Tensor, own: State, moved: Tensor, n: int) -> tuple[Tensor, State]:
        if n % self.period:
            return x, own | {"parameters": moved}  # (1)
        x = moved + (x - own["pulled"])  # (2)
        return x, {"parameters": x, "pulled": x}  # (3)
