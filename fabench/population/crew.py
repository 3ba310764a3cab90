"""The simulated workers of some rows, and how one of them takes a step in the centre's place.

Axes: R rows, p workers, I fan-in, O fan-out. See ``fabench.parallel.base``.
"""

import torch
from torch import Tensor

from fabench.optimizer.base import State
from fabench.parallel.base import WorkerScheme

OPTIMIZER = "optimizer "
"""What the names of a worker's own optimizer state begin with."""


def workers_of(scheme: WorkerScheme, x: Tensor, state: State) -> State:
    """What all workers have at the start, [R, p, I, O] each, of a parameter's first values x
    [R, I, O] and an optimizer's ``state``."""
    own = scheme.initial_state(x)
    own |= {OPTIMIZER + key: state[key] for key in scheme.owned(state)}
    return {key: torch.stack([tensor] * scheme.workers, 1) for key, tensor in own.items()}


class Crew:
    """The workers of rows that are computed together."""

    def __init__(
        self, scheme: WorkerScheme, tensors: dict[str, Tensor], state: dict[str, State],
        workers: dict[str, State],
    ) -> None:  # fmt: skip
        """``tensors``, ``state``: the population's, of these rows; ``workers``: of every parameter
        that descends, what the workers have, [R, p, I, O] each."""
        self.scheme, self.tensors, self.state, self.workers = scheme, tensors, state, workers
        self.centre: dict[str, Tensor] = {}
        self.worker: dict[str, State] = {}

    def begin(self, worker: Tensor) -> None:
        """Put each row's ``worker`` [R] in the place of its centre."""
        self.place = torch.arange(len(worker), device=worker.device), worker
        for name, of_all in self.workers.items():
            own = {key: tensor[self.place] for key, tensor in of_all.items()}
            for key in self.scheme.owned(self.state[name]):
                self.state[name][key].copy_(own[OPTIMIZER + key])
            self.worker[name], self.centre[name] = own, self.tensors[name].clone()
            self.tensors[name].copy_(self.scheme.position(own))

    def finish(self, n: int) -> None:
        """Let the workers, after their steps number ``n``, exchange, and put the centre back."""
        for name, of_all in self.workers.items():
            moved, state = self.tensors[name], self.state[name]
            x, own = self.scheme.exchange(self.centre[name], self.worker[name], moved, n)
            own |= {OPTIMIZER + key: state[key] for key in self.scheme.owned(state)}
            for key, tensor in own.items():
                of_all[key][self.place] = tensor
            moved.copy_(x)
