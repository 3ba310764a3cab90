"""An optimizer's update in one sweep over a weight: compiled where there is a C++ compiler.

As single operations an update sweeps up to nine times over a weight's elements, and on a CPU the
sweeps take longer than the arithmetic. Compiled, the same function loads and stores each element
once.
"""

import logging
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace

import torch
from torch import Tensor

from fabench.optimizer.base import Optimizer, State

log = logging.getLogger(__name__)

Update = Callable[[Optimizer, Tensor, Tensor, State, SimpleNamespace, bool], None]


def update_(
    optimizer: Optimizer, W: Tensor, g: Tensor, state: State, h: SimpleNamespace, decays: bool
) -> None:
    """Add the weight decay to the gradient, in W's format, and take the optimizer's step."""
    g = g.to(W.dtype)
    if decays:
        g = g + h.weight_decay * W
    optimizer.update_(W, g, state, h)


@cache
def _compiled() -> Update:
    import torch._dynamo.config
    import torch._inductor.config as inductor

    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # "No CUDA runtime"
    inductor.cpp.threads = 1  # rows have threads of their own; one core saturates on memory
    inductor.compile_threads = 1  # no pool of processes for one kernel
    # Each optimizer, number of threads and place of a row in memory is a case; beyond the limit
    # cases are not compiled.
    torch._dynamo.config.recompile_limit = 256
    compiled: Update = torch.compile(update_, dynamic=True)
    return compiled


def compiled_update(
    optimizer: Optimizer, h: SimpleNamespace, gradients: torch.dtype
) -> Update | None:
    """``update_`` for weights [1, I, O], scalars as tensors []; None where it does not compile.

    ``h``: the optimizer's scalars as floats; ``gradients``: their format.
    """
    W = torch.ones(1, 16, 16)
    try:
        update = _compiled()
        state, of_step = optimizer.initial_state(W), as_tensors(optimizer.at_step(1, h))
        update(optimizer, W, W.to(gradients), state, of_step, False)
    except Exception as error:  # whatever a missing or broken compiler makes of it
        reason = str(error).strip().splitlines()[0]
        log.info("Updates are not compiled and take longer (%s).", reason)
        return None
    return update


def as_tensors(h: SimpleNamespace) -> SimpleNamespace:
    """Floats as float32 tensors []: numbers that may change without another compilation."""
    values = torch.tensor(list(vars(h).values())).unbind()
    return SimpleNamespace(**dict(zip(vars(h), values, strict=True)))
