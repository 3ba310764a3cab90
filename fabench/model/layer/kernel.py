"""Matrix products of a population, and what computes those of float32 on a CPU.

torch has two kernels for them: that of the library behind its own products (MKL or OpenBLAS) and
oneDNN's. The processor decides which is faster: on an AMD EPYC of 2024 oneDNN's is twice as fast as
MKL's, on one of 2022 they are equal. So it is measured, once a process.

Axes: R rows (networks), A rows of the product, B what is summed over, C columns.
"""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

Kernel = Literal["torch", "onednn"]

LARGE = 2**23
"""Multiplications of a product from which oneDNN's kernel may pay (2^16 weights, 128 examples):
below, its call takes longer than torch's."""

MARGIN = 1.2
"""How many times as fast it must be: where it is close every process shall choose the same."""

BLOCK = 2**18
"""Elements of a weight that a CPU computes or updates at a time (1 MiB): small enough for a block,
its gradient and its states to stay in the cache, large enough for two threads to pay."""

_in_use: Kernel = "torch"


def use(kernel: Kernel) -> None:
    """Have large products of float32 on a CPU computed by this kernel from now on."""
    global _in_use
    _in_use = kernel


def product(x: Tensor, M: Tensor, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
    """x M (+ bias) [R, A, C] of x [R, A, B], M [R, B, C] and bias [R, 1, C]; ``out``: memory that
    a product without bias may use."""
    if _in_use == "onednn" and _suits_onednn(x, M):
        if out is None:
            return onednn(x, M, bias)
        size = max(1, BLOCK // M.shape[2])
        for rows, block in zip(x.split(size, 1), out.split(size, 1), strict=True):
            block.copy_(onednn(rows, M))  # it takes no ``out``
        return out
    if bias is not None:
        return torch.baddbmm(bias, x, M)
    return x @ M if out is None else torch.bmm(x, M, out=out)


def plus(x: Tensor, scale: float | Tensor, y: Tensor) -> Tensor:
    """x + scale y, in one pass; ``scale``: a float, or a tensor [R, 1, 1]."""
    if isinstance(scale, Tensor):
        return torch.addcmul(x, scale.to(x.dtype), y)
    return torch.add(x, y, alpha=scale)


def at_full(a: Tensor) -> Tensor:
    """What a product has given, in float32 where it is less."""
    return a.float() if a.dtype == torch.bfloat16 else a


def _suits_onednn(x: Tensor, M: Tensor) -> bool:
    """Whether this is a large product of float32 on a CPU, of one network."""
    on_cpu = x.dtype == torch.float32 and x.device.type == "cpu"
    return on_cpu and len(x) == len(M) == 1 and x.numel() * M.shape[2] >= LARGE


def has_onednn() -> bool:
    """Whether this torch has oneDNN's kernel."""
    return hasattr(torch.ops.mkldnn, "_linear_pointwise")


def onednn(x: Tensor, M: Tensor, bias: Tensor | None = None) -> Tensor:
    """``product`` of one network by the operator that torch's compiler takes for linear layers."""
    b = None if bias is None else bias.flatten()
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, M[0].T, b, "none", [], "")
    return product


def chosen(multiplications: int, before: str | None = None) -> Kernel:
    """The kernel for networks whose largest product has so many; ``before``: that of the session
    that their training goes on from, so that sums round as they did."""
    if not has_onednn():
        return "torch"
    if before is not None:
        return "onednn" if before == "onednn" else "torch"
    return _faster() if multiplications >= LARGE else "torch"


@contextmanager
def threads_an_operation(number: int) -> Iterator[None]:
    """Let torch use so many threads for an operation, then as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@functools.cache
def _faster() -> Kernel:
    """The faster kernel on this processor, measured in ten milliseconds the first time."""
    x, M = torch.ones(1, 128, 512), torch.ones(1, 512, 512)
    kernels = (torch.bmm, onednn)
    with threads_an_operation(1):
        turns = [[_seconds(kernel, x, M) for kernel in kernels] for _ in range(6)]
    of_torch, of_onednn = map(min, zip(*turns, strict=True))
    return "onednn" if of_torch > MARGIN * of_onednn else "torch"


def _seconds(kernel: Callable[[Tensor, Tensor], object], x: Tensor, M: Tensor) -> float:
    """Of this thread alone, whatever else the processor does."""
    start = time.thread_time()
    kernel(x, M)
    return time.thread_time() - start
