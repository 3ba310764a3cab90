"""What runs take: memory, and time in multiplications."""

import os
from dataclasses import replace

import torch

from fabench.dataset.base.drawn import DrawnDataset
from fabench.parallel.base import WorkerScheme
from fabench.run.config import Config, resolve_device
from fabench.schema import UserError

CPU_BYTES = 4 * 2**30
"""The most memory that a population may take on a CPU."""

STEP = {"cpu": 2**26, "cuda": 2**30, "mps": 2**30}
"""Multiplications in whose time a step (on a CPU, of one network) does everything else, roughly."""


def memory_of(device: torch.device) -> int:
    """Bytes that a population may take: on a GPU, most of what is free."""
    if device.type == "cuda":
        return int(0.8 * torch.cuda.mem_get_info(device)[0])
    return CPU_BYTES


def check_memory(config: Config, networks: int = 1) -> None:
    """Raises UserError if so many networks, or the vectors that are drawn for them, cannot fit into
    this machine's memory, however little of ``row_bytes`` they need."""
    data, t = config.dataset, config.trainer
    batch_size = min(t.batch_size, max(data.n_train, data.n_test))
    least = replace(config, trainer=replace(t, batch_size=batch_size))
    drawn = len(config.seeds) if isinstance(data, DrawnDataset) else 0
    vectors = 4 * drawn * data.n_train * data.n_inputs
    needed = networks * row_bytes(least) // 2 + vectors
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise UserError(
            f"{sizes(config)}: this takes {needed / 2**30:.3g} GiB of memory at least, and this "
            f"machine has {there / 2**30:.3g}."
        )


def sizes(config: Config) -> str:
    """The settings that decide how much memory a network takes, as the user may give them."""
    channels = getattr(config.model, "channels", None)
    sizes = {"model.channels": channels, "model.hidden": config.model.hidden}
    sizes |= {"trainer.batch_size": config.trainer.batch_size}
    sizes |= {"parallel.workers": getattr(config.parallel, "workers", None)}
    if config.uses_k:
        sizes["k"] = config.general.k
    names = ("n", "d", "n_train", "n_test") if isinstance(config.dataset, DrawnDataset) else ()
    sizes |= {f"dataset.{name}": getattr(config.dataset, name, None) for name in names}
    return ", ".join(f"{key}={value}" for key, value in sizes.items() if value is not None)


def row_bytes(config: Config) -> int:
    """Memory of one network in training, roughly: four float32 copies of its weights (weight,
    gradient, two states), two of every worker's, and its inputs and activations of a batch."""
    layers = config.layers()
    weights = sum(layer.fan_in * layer.fan_out for layer in layers)
    widths = layers[0].n_inputs + 3 * sum(layer.width for layer in layers)
    copies = config.parallel.workers if isinstance(config.parallel, WorkerScheme) else 0
    return 4 * ((4 + 2 * copies) * weights + 2 * config.trainer.batch_size * widths)


def cost(config: Config, epochs: int) -> float:
    """What so many epochs of a run take, in multiplications: those of its matrix products, and
    those in whose time its steps do everything else."""
    device = resolve_device(config).type
    networks = len(config.seeds) if device == "cpu" else 1
    return multiply_adds(config, epochs) + config.steps(epochs) * networks * STEP[device]


def multiply_adds(config: Config, epochs: int) -> float:
    """Multiplications of matrix products in so many epochs of a run: forward for training and
    test, and gradients."""
    layers = config.layers()
    forward = sum(la.multiply_adds * (2 if la.gate else 1) for la in layers)
    gradient = sum(la.multiply_adds for la in layers if la.trained)
    epoch = config.train_examples * (forward + gradient) + config.test_examples * forward
    return float(epoch * epochs * len(config.seeds))
