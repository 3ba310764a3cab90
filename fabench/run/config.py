"""What a run is: the schema of a composed configuration, its checks, and its identity.

A run is a configuration, of one or more seeds, and has a folder. A row is one network of a
population, in which the networks of several runs may train side by side.
"""

import dataclasses
import hashlib
import json
import math
from typing import Any

import torch
from torch import Tensor

from fabench.dataset.base.dataset import Dataset
from fabench.dataset.base.given import GivenDataset
from fabench.dataset.base.images import ImageDataset, held_out
from fabench.dataset.base.items import AUGMENTATION
from fabench.learning_rule.base.rule import LazyRule, LearningRule
from fabench.model.base import Model
from fabench.model.layer.initialization import InitOfB
from fabench.model.layer.network import Layer
from fabench.model.layer.weights_file import digest, weights_of, wrong
from fabench.optimizer.base import Optimizer
from fabench.parallel.base import ParallelScheme
from fabench.parallel.serial import Serial
from fabench.population.precision import Precision
from fabench.run import plugins
from fabench.run.catalogue import OF_A_COMMAND
from fabench.run.plugins import Plugin
from fabench.run.settings import General, Trainer
from fabench.schedule.base import Schedule, WholeRunSchedule
from fabench.schedule.constant import Constant
from fabench.schema import UserError, scalars
from fabench.task.base import Task

GROUPS = (*plugins.GROUPS, "init_of_B", "trainer")


@dataclasses.dataclass(frozen=True)
class Config:
    """A checked configuration: one object per group; plugins: that these come from, by name."""

    learning_rule: LearningRule
    optimizer: Optimizer | None  # a SearchRule has none
    schedule: Schedule
    parallel: ParallelScheme
    dataset: Dataset
    task: Task
    model: Model
    init_of_B: InitOfB
    trainer: Trainer
    general: General
    plugins: dict[str, Plugin]

    @property
    def seeds(self) -> list[int]:
        return self.general.seed

    @property
    def precision(self) -> Precision:
        """``trainer.precision``, which ``parse`` leaves at auto in no configuration."""
        assert self.trainer.precision != "auto"
        return self.trainer.precision

    @property
    def has_feedback(self) -> bool:
        return self.learning_rule.has_feedback

    @property
    def uses_k(self) -> bool:
        """Whether examples depend on k: images lie side by side, of bits k count."""
        of_images = isinstance(self.dataset, ImageDataset) and hasattr(self.task, "k")
        return of_images or hasattr(self.dataset, "k")

    @property
    def method(self) -> str:
        """What learns, in words."""
        chosen = (self.learning_rule, self.optimizer)
        return ", ".join(option.name for option in chosen if option)

    @property
    def problem(self) -> str:
        """What is learned, in words."""
        words = f"{self.dataset.name}, {self.task.name}"
        return f"{words}, k={self.general.k}" if self.uses_k else words

    def layers(self) -> tuple[Layer, ...]:
        """The network that this run trains, as the learning rule wants it."""
        items, n_outputs = self.task.items_per_example, self.task.n_outputs
        layers = self.model.layers(self.dataset.item_shape, items, n_outputs)
        if isinstance(self.learning_rule, LazyRule):
            layers = (*map(self.learning_rule.hidden_layer, layers[:-1]), layers[-1])
        frozen = self.trainer.frozen_layers
        return tuple(
            dataclasses.replace(layer, trained=layer.trained and number not in frozen)
            for number, layer in enumerate(layers, 1)
        )

    def weights(self) -> dict[str, Tensor]:
        """What every network begins with that is not drawn, by name. Raises UserError."""
        path, expected = self.model.weights, self.model.weights_sha256
        if path is None:
            return {}
        weights = weights_of(path, self.layers())
        if expected not in (None, digest(weights)):
            raise wrong(path, f"it holds other weights than SHA-256 {expected}")
        return weights

    @property
    def train_examples(self) -> int:
        """That an epoch trains on."""
        t, there = self.trainer, self.dataset.n_train
        if t.holds_out and isinstance(self.dataset, ImageDataset):
            there -= held_out(there)
        return min(t.train_examples or there, there)

    @property
    def test_examples(self) -> int:
        """That an epoch's network is tested on."""
        t, there = self.trainer, self.dataset.n_test
        if t.evaluate_on == "validation" and isinstance(self.dataset, ImageDataset):
            there = held_out(self.dataset.n_train)
        return min(t.test_examples or there, there)

    def steps(self, epochs: int) -> int:
        """Steps of so many epochs of training."""
        return epochs * math.ceil(self.train_examples / self.trainer.batch_size)

    def scalars(self) -> dict[str, float]:
        """What every row of a population has its own of: the numbers of these settings, by key."""
        of_rows: dict[str, list[str]] = {
            "learning_rule": scalars(type(self.learning_rule)),
            "optimizer": scalars(type(self.optimizer)) if self.optimizer else [],
            "trainer": ["weight_decay"],
            "model": ["weight_scale"],
            "init_of_B": ["scale"],
        }
        return {
            f"{group}.{name}": getattr(getattr(self, group), name)
            for group, names in of_rows.items()
            for name in names
        }

    def resolved(self) -> dict[str, Any]:
        """Every setting but the scheduler's as plain containers: what config.yaml holds."""
        chosen = {group: getattr(self, group) for group in GROUPS}
        groups = {g: dataclasses.asdict(option) for g, option in chosen.items() if option}
        general = dataclasses.asdict(self.general)
        del general["cluster"]
        return {**groups, **general}

    def science(self) -> dict[str, Any]:
        """The settings that decide the results."""
        science = self.resolved()
        del science["k"]  # the task or the dataset has it
        del science["model"]["weights"]  # the file: its SHA-256 is there
        if isinstance(self.dataset, GivenDataset):
            for key in self.dataset.reading:  # what was read counts, by its SHA-256
                del science["dataset"][key]
        for key in OF_A_COMMAND:
            del science[key]
        del science["plugins"]  # those that are chosen from count
        if self.plugins:
            science["plugins"] = {name: plugin.digest for name, plugin in self.plugins.items()}
        for key in ("device", "checkpoint_every"):
            del science["trainer"][key]
        groups = {"trainer", "learning_rule", "optimizer", "model", "task"}
        for group in groups & science.keys():
            for field in dataclasses.fields(getattr(self, group)):
                name = field.name  # a later setting at its default: as before there was such one
                if name in science[group] and science[group][name] == field.default:
                    del science[group][name]
        for name in self.trainer.unused():
            science["trainer"].pop(name, None)
        for name, neutral in AUGMENTATION.items():
            if science["dataset"].get(name) == neutral:
                del science["dataset"][name]
        if not self.has_feedback:
            del science["init_of_B"]
        if isinstance(self.schedule, Constant):  # as before there were others
            del science["schedule"]
        if isinstance(self.parallel, Serial):
            del science["parallel"]
        return science

    def course(self) -> str:
        """Equal for runs of which the longer goes, at first, as the shorter does."""
        science = self.science()
        t = self.trainer
        stops = t.early_stopping is not None  # in its last epoch none goes back
        whole = t.curriculum != "none" and t.curriculum_epochs is None
        between = t.keep_best and t.epochs % t.metrics_every > 0  # a longer one does not measure it
        later = isinstance(self.schedule, WholeRunSchedule)
        if not (stops or whole or between or later):
            del science["trainer"]["epochs"]
        return json.dumps(science, sort_keys=True)

    def architecture(self) -> str:
        """Equal for runs that can train as one population: seeds and scalars may differ."""
        shared = {**self.science(), "device": self.trainer.device}
        del shared["seed"]
        for key in self.scalars():
            group, name = key.split(".")
            shared.get(group, {}).pop(name, None)  # science may not have it
        return json.dumps(shared, sort_keys=True)

    def identity(self) -> str:
        """Ten hexadecimal digits: equal for equal science."""
        text = json.dumps(self.science(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def name(self) -> str:
        """The run folder's name: readable, then the identity."""
        chosen = (self.learning_rule, self.optimizer, self.dataset)
        parts = [option.name for option in chosen if option]
        if self.task.name != "parity":
            parts.append(self.task.name)
        if self.uses_k:
            parts.append(f"k{self.general.k}")
        if self.has_feedback:
            parts.append(self.init_of_B.name)
        if self.optimizer:
            parts.append(f"lr{self.optimizer.lr:g}")
        return "_".join(parts) + "-" + self.identity()


def device_of(config: Config) -> torch.device:
    """Where a run trains; auto takes a CUDA GPU if there is one: in a job of Slurm if it asks."""
    if config.trainer.device == "mps":
        return torch.device("mps")
    cluster = config.general.cluster
    there = bool(cluster.gpus_per_node) if cluster.name == "slurm" else torch.cuda.is_available()
    wanted = config.trainer.device.replace("auto", "cuda")
    return torch.device(wanted if there else "cpu")


def resolve_device(config: Config) -> torch.device:
    """The device that ``trainer.device`` names; auto takes a CUDA GPU if there is one. UserError if
    it is not here, unless a job of Slurm is to find it elsewhere."""
    wanted, here = config.trainer.device, config.general.cluster.name != "slurm"
    if here and wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(
            f"trainer.device={wanted}: no CUDA GPU is available; use trainer.device=cpu."
        )
    if here and wanted == "mps" and not torch.backends.mps.is_available():
        raise UserError("trainer.device=mps: this torch has no MPS; use trainer.device=cpu.")
    device = device_of(config)
    if here and (device.index or 0) >= max(1, torch.cuda.device_count()):
        raise UserError(
            f"trainer.device={wanted}: the last of the GPUs here is "
            f"cuda:{torch.cuda.device_count() - 1}."
        )
    if device.type == "mps" and config.precision != "fp32":
        raise UserError(
            f"trainer.device=mps computes in fp32, not trainer.precision={config.precision}."
        )
    if config.trainer.precision == "tf32" and device.type == "cpu":
        raise UserError("trainer.precision=tf32 needs a CUDA GPU; use fp32 or bf16.")
    return device
