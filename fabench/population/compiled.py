"""An optimizer's update in one sweep over a weight: compiled where there is a C++ compiler.

As single operations an update sweeps up to nine times over a weight's elements, and the sweeps take
longer than the arithmetic. Compiled, the same function loads and stores each element once.
"""

import logging
import warnings
from collections.abc import Callable
from functools import cache
from types import FunctionType, SimpleNamespace

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
def _compiled(optimizer: type[Optimizer]) -> Update:
    import torch._dynamo.config
    import torch._inductor.config as inductor

    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # "No CUDA runtime"
    warnings.filterwarnings("ignore", "TensorFloat32")  # fp32 is the user's choice
    inductor.cpp.threads = 1  # rows have threads of their own; one core saturates on memory
    inductor.compile_threads = 1  # no pool of processes for one kernel
    # Each optimizer, number of threads and place of a row in memory is a case; beyond the limit
    # cases are not compiled.
    torch._dynamo.config.recompile_limit = 256
    # The compiler keeps cases by code object, and fails to compare them where optimizers have
    # different numbers: each has a code object of its own.
    code = update_.__code__.replace(co_name=f"update_{optimizer.__name__}")
    function = FunctionType(code, update_.__globals__)
    compiled: Update = torch.compile(function, dynamic=True)
    return compiled


def compiled_update(
    optimizer: Optimizer, h: SimpleNamespace, W: Tensor, gradients: torch.dtype
) -> Update | None:
    """``update_`` for weights [R, I, O], its numbers ``as_tensors``; None where it does not
    compile.

    ``h``: the optimizer's scalars; ``W``: a small example of the weights, with as many rows and on
    the same device; ``gradients``: their format.
    """
    try:
        update = _compiled(type(optimizer))
        state, of_step = optimizer.initial_state(W), as_tensors(optimizer.at_step(1, h))
        update(optimizer, W, torch.ones_like(W, dtype=gradients), state, of_step, False)
    except Exception as error:  # whatever a missing or broken compiler makes of it
        reason = str(error).strip().splitlines()[0]
        log.info("Updates are not compiled and take longer (%s).", reason)
        return None
    return update


def as_tensors(h: SimpleNamespace) -> SimpleNamespace:
    """Floats as float32 tensors []: numbers that may change without another compilation.

    What rows do not share is a tensor [R, 1, 1] already.
    """
    floats = {name: value for name, value in vars(h).items() if not isinstance(value, Tensor)}
    tensors = dict(zip(floats, torch.tensor(list(floats.values())).unbind(), strict=True))
    return SimpleNamespace(**vars(h) | tensors)
