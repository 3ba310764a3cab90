"""Number formats of matrix products: fp32, tf32, bf16; weights and sums are always float32."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from fabench.model.layer import kernel
from fabench.model.layer.network import Layer, largest_weight

Precision = Literal["fp32", "tf32", "bf16"]

PAYS_FROM = 2**18
"""Weights of a layer from which bf16 pays on a CPU (784 x 512 has more): below, a step is calls."""


def fastest(device: torch.device, layers: Sequence[Layer]) -> Precision:
    """The fastest format in which BP and DFA end within float32's interval of test accuracy
    (outputs/tables/table_precision.md: bf16 on a CPU; table_precision_cuda.md: tf32 and bf16)."""
    if device.type == "cuda":
        return "tf32"
    pays = device.type == "cpu" and largest_weight(layers) >= PAYS_FROM
    return "bf16" if pays and cpu_has_bf16() else "fp32"


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 matrices in hardware."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Numbers below 1.2e-38 are 0 on a CPU, in this thread and in those that it starts.

    The moments of a weight without gradients decay that far, as signals do on their way through a
    hundred layers, and there a CPU takes up to 30 times as long.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def has_float64(device: torch.device) -> bool:
    """MPS alone has none."""
    return device.type != "mps"


def where_float64_is(x: Tensor) -> Tensor:
    """x, on the CPU if its device has no float64."""
    return x if has_float64(x.device) else x.cpu()


class NumberFormat:
    """The number format of the operands of matrix products; sums are always float32.

    bf16 rounds operands to 8 significant bits. Where the device has no bf16 arithmetic the rounded
    values are multiplied in float32: the same operands, without the speed (only the signals that a
    deep network passes from layer to layer stay unrounded on their way).
    """

    def __init__(
        self,
        precision: Precision,
        device: torch.device,
        multiplications: int = 0,
        fp32_kernel: str | None = None,
    ) -> None:
        """``multiplications``: of the largest product, which decides on the kernel of float32 on a
        CPU; ``fp32_kernel``: the one to stay with."""
        self.precision, self.device = precision, device
        self.rounds = precision == "bf16"
        self.native = self.rounds and (device.type == "cuda" or cpu_has_bf16())
        self.dtype = torch.bfloat16 if self.native else torch.float32
        decides = device.type == "cpu" and not self.native
        self.fp32_kernel = kernel.chosen(multiplications if decides else 0, fp32_kernel)
        self.activate()

    def activate(self) -> None:
        """Have products of float32 operands computed in this format, by this kernel, from now
        on."""
        kernel.use(self.fp32_kernel)
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high" if self.precision == "tf32" else "highest")

    def __call__(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """x as an operand (x itself in float32); ``out``: memory that it may use, of ``dtype``."""
        if not self.rounds:
            return x
        if self.native:
            return x.bfloat16() if out is None else out.copy_(x)
        return x.bfloat16().float()
