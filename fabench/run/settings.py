"""The settings of a run that belong to no option: how it trains, and the keys of no group."""

import os
import re
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.dataclasses import dataclass

from fabench.population.order import Order
from fabench.schema import (
    STRICT,
    Count,
    CountFrom0,
    NonNegative,
    Rate,
    WrongValue,
    check_distinct,
    short,
)


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", value):
        raise ValueError("should be auto, cpu, mps, cuda or one GPU of several: cuda:0, cuda:1")
    return value


Device = Annotated[str, AfterValidator(_device)]


def _word(value: str) -> str:
    if not re.fullmatch(r"[\w.,:+@&|*()\[\]-]+", value):
        raise ValueError("should be a name that Slurm knows, without spaces")
    return value


Word = Annotated[str, AfterValidator(_word)]
"""A name that Slurm knows, or several: it stands in a script of the shell's."""

LoggerName = Literal["tensorboard", "mlflow", "wandb"]


def _listed(value: object) -> object:
    """A single word as a list of one."""
    return [value] if isinstance(value, str) else value


Seed = Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True, config=STRICT)
class Trainer:
    """How long, in what portions and on what the network trains; ``None``: all examples."""

    epochs: Count
    batch_size: Count
    weight_decay: NonNegative
    precision: Literal["auto", "fp32", "tf32", "bf16"]
    device: Device
    checkpoint_every: Count
    metrics_every: Count
    evaluate_on: Literal["test", "validation"]
    frozen_layers: list[Count]
    adversarial: NonNegative
    train_examples: Count | None
    test_examples: Count | None
    same_examples: bool = False
    clip_norm: Rate | None = None
    gradient_noise: NonNegative = 0.0
    gradient_noise_decay: NonNegative = 0.55
    shuffle: bool = True
    curriculum: Literal["none", "easy_first", "hard_first"] = "none"
    curriculum_by: str | None = None
    curriculum_epochs: Count | None = None
    early_stopping: Literal["GL", "PQ", "UP"] | None = None
    early_stopping_threshold: Rate = 2.0
    early_stopping_strip: Count = 5
    keep_best: bool = False
    top_k: Count | None = None

    def __post_init__(self) -> None:
        check_distinct("trainer.frozen_layers", self.frozen_layers, "layer")
        s = self.early_stopping_threshold
        if self.early_stopping == "UP" and not s.is_integer():
            raise WrongValue(
                f"trainer.early_stopping_threshold={s:g}: UP counts strips, a whole number of them."
            )

    def unused(self) -> list[str]:
        """The settings of what is not chosen."""
        unused = [] if self.early_stopping else ["early_stopping_threshold", "early_stopping_strip"]
        unused += [] if self.gradient_noise else ["gradient_noise_decay"]
        return unused + ["curriculum_by", "curriculum_epochs"] * (self.curriculum == "none")

    @property
    def order(self) -> Order:
        """Of training items."""
        by = None if self.curriculum == "none" else self.curriculum_by
        last = self.curriculum_epochs or self.epochs
        return Order(self.shuffle, by, self.curriculum == "hard_first", last)

    @property
    def holds_out(self) -> bool:
        """Whether a part of the training images is validation data."""
        return self.evaluate_on == "validation" or self.early_stopping is not None


@dataclass(frozen=True, config=STRICT)
class Cluster:
    """Where runs train, and what a job of a scheduler asks it for, by submitit's names."""

    name: Literal["none", "local", "slurm"] = "none"
    wait: bool = True
    array_parallelism: Count | None = None
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    gpus_per_node: Annotated[int, Field(ge=0, le=1)] | None = None  # a population trains on one
    cpus_per_task: Count | None = None
    mem_gb: Rate | None = None
    timeout_min: Count = 240
    signal_delay_s: Count = 90
    max_num_timeout: CountFrom0 = 10


@dataclass(frozen=True, config=STRICT)
class General:
    """The keys that belong to no group."""

    k: Count
    seed: Annotated[list[Seed], Field(min_length=1)]
    output_dir: str
    data_dir: str | None
    overwrite: bool
    dry_run: bool
    workers: Count | None = None
    max_jobs: Count = 10_000
    plugins: list[str] = field(default_factory=list)
    cluster: Cluster = Cluster()
    logger: Annotated[list[LoggerName], BeforeValidator(_listed)] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_distinct("seed", self.seed, "seed")
        check_distinct("logger", self.logger, "logger")
        for key, path in (("output_dir", self.output_dir), ("data_dir", self.data_dir)):
            _check_path(key, path)


def _check_path(key: str, path: str | None) -> None:
    """Raises WrongValue if the system can name no file in a run folder there."""
    if path == "":
        raise WrongValue(f"{key}= is empty: . is the working folder.")
    try:
        os.lstat(Path(path or ".", "runs", "x" * 255))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # it may come, and who needs it says so
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise WrongValue(f"{key}={short(str(path))}: {reason}.") from None
