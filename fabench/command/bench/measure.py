"""Seconds and bytes of functions measured in turns, and the least that a training step needs.

The bound of a step is the longer of two times: that of its bare matrix products by the fastest
kernel found here, and that of the bytes which must move (a weight read twice and written once, the
inputs written and read twice) at the bandwidth measured here.
"""

import ctypes
import functools
import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from fabench.command.bench.contenders import Problem
from fabench.model.layer.kernel import has_onednn, onednn
from fabench.population.cuda_graph import Replayed
from fabench.population.precision import Precision


def alternate(
    functions: Sequence[Callable[[int], None]],
    seconds: float,
    repetitions: int,
    device: torch.device,
    most: Sequence[int] | None = None,
) -> list[float]:
    """Median seconds per step of functions that take a number of steps, measured in turns.

    ``most``: the most steps that each can take at a time.
    """

    def measure(function: Callable[[int], None], n: int) -> float:
        start = time.perf_counter()
        function(n)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / n

    counts = []
    for number, function in enumerate(functions):
        measure(function, 2)  # warm, and what is compiled for two steps
        count = max(2, round(seconds / measure(function, 2)))
        counts.append(min(count, most[number]) if most else count)
        measure(function, counts[-1])  # compiled for this many
    turns = [
        [measure(f, n) for f, n in zip(functions, counts, strict=True)] for _ in range(repetitions)
    ]
    return [float(median) for median in np.median(turns, axis=0)]


def reset_peak() -> int:
    """Forget the highest memory use so far; return the present one, in bytes."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # else what was freed before counts as present
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError, TypeError):
        return 0  # no glibc, no Linux: the process's peak, whole
    return _status("VmRSS")


def peak_bytes() -> int:
    """The highest memory use since ``reset_peak``, in bytes."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return _status("VmHWM")


def _status(key: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def bound_of_step(p: Problem) -> float:
    """The least seconds per network and step: see above."""
    device, n_rows = p.population.device, len(p.population.rows)
    p.population.operand.activate()
    n_bytes, seconds = 0, 0.0
    for layer in p.config.layers():
        i, o = layer.fan_in, layer.fan_out
        seconds += product_seconds(p.batch_size, i, o, p.config.precision, device, n_rows)
        n_bytes += 4 * (3 * i * o + 3 * p.batch_size * i)
    return max(seconds, n_bytes / bandwidth(device))


def product_seconds(
    batch: int, i: int, o: int, precision: Precision, device: torch.device, n_rows: int
) -> float:
    """Seconds that x W and x^T delta take for one of ``n_rows`` networks, x [batch, i], W [i, o],
    by the fastest kernel there is: on a GPU all networks at once."""
    rows = n_rows if device.type == "cuda" else 1
    return sum(_product_seconds(batch, i, o, precision, device, rows)) / rows


@functools.cache
def _product_seconds(
    batch: int, i: int, o: int, precision: Precision, device: torch.device, n_rows: int
) -> tuple[float, float]:
    """Seconds of x W and of x^T delta, of all rows."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    x, W, delta = (
        torch.randn((n_rows, *shape), device=device).to(dtype)
        for shape in ((batch, i), (i, o), (batch, o))
    )
    a, g = torch.empty_like(delta), torch.empty_like(W)
    forward: list[Callable[[], object]] = [lambda: torch.bmm(x, W, out=a)]
    gradient: list[Callable[[], object]] = [lambda: torch.bmm(x.mT, delta, out=g)]
    if device.type == "cuda":
        gradient.append(lambda: g.baddbmm_(x.mT, delta))
    else:
        x0, W0, delta0 = x[0], W[0], delta[0]
        forward.append(lambda: torch.mm(x0, W0, out=a[0]))
        gradient.append(lambda: torch.mm(x0.T, delta0, out=g[0]))
        if has_onednn():
            forward.append(lambda: onednn(x, W))
            gradient.append(lambda: onednn(x.mT, delta))
            x_, W_ = x0.to_mkldnn(), W0.T.contiguous().to_mkldnn()
            xT_, dT_ = x0.T.contiguous().to_mkldnn(), delta0.T.contiguous().to_mkldnn()
            forward.append(lambda: torch.nn.functional.linear(x_, W_))
            gradient.append(lambda: torch.nn.functional.linear(xT_, dT_))
        if dtype == torch.float32:
            arrays = [t.numpy() for t in (x0, W0, delta0, a[0], g[0])]
            forward.append(lambda: np.matmul(arrays[0], arrays[1], out=arrays[3]))
            gradient.append(lambda: np.matmul(arrays[0].T, arrays[2], out=arrays[4]))
    at_once = 20 if device.type == "cuda" else 1  # a launch may take longer than a product
    return tuple(  # type: ignore[return-value]
        min(alternate([repeated(kernel, at_once) for kernel in kernels], 0.05, 5, device)) / at_once
        for kernels in (filter(_runs, forward), filter(_runs, gradient))
    )


def _runs(kernel: Callable[[], object]) -> bool:
    """Whether this processor has the kernel: oneDNN's for bf16 asks for instructions of its own."""
    try:
        kernel()
    except RuntimeError:
        return False
    return True


def repeated(kernel: Callable[[], object], at_once: int = 1) -> Callable[[int], None]:
    """A function that calls ``kernel`` n times ``at_once`` times: several as one CUDA graph."""
    step = kernel if at_once == 1 else Replayed(lambda: [kernel() for _ in range(at_once)])

    def run(n: int) -> None:
        for _ in range(n):
            step()

    return run


@functools.cache
def bandwidth(device: torch.device) -> float:
    """Bytes a second that a copy larger than any cache reads and writes."""
    source = torch.zeros(2**26, device=device)
    target = torch.empty_like(source)
    [seconds] = alternate([repeated(lambda: target.copy_(source))], 0.2, 5, device)
    return 2 * source.nbytes / seconds
