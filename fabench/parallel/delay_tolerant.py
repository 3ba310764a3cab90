"""Delay-tolerant Adagrad (AdaptiveRevision): Hogwild's workers, with steps that mind the delay.

For a gradient g, computed at what a worker read, that finds the sum g_b of gradients that have
arrived since:

    z <- z + g^2 + 2 g g_b                                           (1)
    z' <- max(z', z)                                                 (2)
    eta = lr / sqrt(z' + epsilon)                                    (3)
    x <- x - eta g + (eta_old - eta) g_b                             (4)

eta_old: eta before (2); z, z': shaped like x, 0 at the start; g_b is the sum of all gradients now
less that sum when the worker read. (4) takes back what the gradients of the meantime went too far.
With one worker, or no delay, g_b = 0, z' = z, and this is Adagrad, to the last digit. lr and
epsilon are Adagrad's, epsilon in the place that optimizer.epsilon_place says.

Reference: H. B. McMahan, M. Streeter, "Delay-tolerant algorithms for asynchronous distributed
online learning", NIPS 2014, Algorithm AdaptiveRevision.

Differences from the paper
1. epsilon, and no projection onto a feasible set.
2. A worker reads and writes all parameters at once, right after one another.
"""

from dataclasses import dataclass as plain_dataclass
from types import SimpleNamespace

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.adagrad import Adagrad
from fabench.optimizer.base import Optimizer, State, add_ratio_
from fabench.parallel.base import DelayedScheme
from fabench.schema import STRICT, Count


@dataclass(frozen=True, config=STRICT)
class DelayTolerant(DelayedScheme):
    name: str
    workers: Count

    def refusal(self, optimizer: Optimizer) -> str | None:
        if not isinstance(optimizer, Adagrad):
            return "revises Adagrad's steps: choose optimizer=adagrad"
        if optimizer.epsilon == 0:
            return "divides by roots that begin at optimizer.epsilon: it is to be positive"
        return None

    def optimizer(self, optimizer: Optimizer) -> Optimizer:
        assert isinstance(optimizer, Adagrad)
        return AdaptiveRevision(optimizer)

    def owned(self, state: State) -> list[str]:
        return ["sum_when_read"]


@plain_dataclass(frozen=True)
class AdaptiveRevision(Optimizer):
    """Equations (1) to (4): a step that depends on gradients alone, wherever x is meanwhile."""

    adagrad: Adagrad

    def initial_state(self, W: Tensor) -> State:
        names = ("z", "largest_z", "sum_of_gradients", "sum_when_read")
        return {name: torch.zeros_like(W) for name in names}

    def update_(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        z, largest, arrived = state["z"], state["largest_z"], state["sum_of_gradients"]
        g_b = arrived - state["sum_when_read"]
        z.addcmul_(g, g).addcmul_(g, g_b, value=2)  # (1)
        old = self.adagrad.root(largest, h)  # (3)
        torch.maximum(largest, z, out=largest)  # (2)
        root = self.adagrad.root(largest, h)  # (3)
        add_ratio_(W, -h.lr, g, root)  # (4)
        W.addcmul_(h.lr / old - h.lr / root, g_b)  # (4)
        arrived += g
        state["sum_when_read"].copy_(arrived)  # the worker reads what it has written
