"""Hogwild: workers step on shared parameters without waiting for one another.

    g = gradient at x_w, as the worker read it                       (1)
    x <- x + (the optimizer's step for g)                            (2)
    x_w <- x                                                         (3)

x: the shared parameters, x_w: worker w's copy, p (setting ``workers``): how many workers there are.
With one worker this is the optimizer alone, to the last digit. All equations are DelayedScheme's.

Reference: F. Niu, B. Recht, C. Re, S. J. Wright, "Hogwild!: a lock-free approach to parallelizing
stochastic gradient descent", NIPS 2011, arXiv:1106.5730, Algorithm 1.

Differences from the paper
1. A worker reads and writes all parameters at once: of lock-free access the delay is left, and no
   write is lost. The paper's gradients are sparse, so that writes seldom meet; ours are dense.
2. Any optimizer takes the step, with one state that all workers share; the paper has SGD.
3. The rate is the optimizer's and the schedule's; the paper's falls by 0.9 in every epoch.
"""

from pydantic.dataclasses import dataclass

from fabench.parallel.base import DelayedScheme
from fabench.schema import STRICT, Count


@dataclass(frozen=True, config=STRICT)
class Hogwild(DelayedScheme):
    name: str
    workers: Count
