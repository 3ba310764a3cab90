"""Training steps as a CUDA graph: captured once, then replayed with a single launch each.

A step of small networks is dozens of kernels of a few microseconds each, less than a launch takes;
replayed, they follow one another without the CPU. What is captured must keep its addresses and
leave numbers to the device: weights and states are updated in place, and the number of the step and
the place in the epoch are tensors.
"""

from collections.abc import Callable

import torch

Function = Callable[[], object]

WARM_UP = 3
"""Calls that are computed as usual before the capture: libraries choose kernels and allocate
workspaces."""


def cuda_graph(function: Function) -> Function:
    """Record the kernels of ``function`` without running them; what comes back runs them."""
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


class Replayed:
    """A function of nothing, captured at its fourth call."""

    def __init__(
        self, function: Function, capture: Callable[[Function], Function] = cuda_graph
    ) -> None:
        self.function, self.capture, self.calls = function, capture, 0

    def __call__(self) -> None:
        """Do what the function does."""
        if self.calls == WARM_UP:
            self.function = self.capture(self.function)
        self.calls += 1
        self.function()
