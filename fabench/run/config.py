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

from fabench.dataset.base.dataset import Dataset
from fabench.dataset.base.drawn import Teacher
from fabench.dataset.base.images import ImageDataset, held_out
from fabench.dataset.base.items import AUGMENTATION
from fabench.dataset.encoder import Encoder
from fabench.dataset.family_trees import FamilyTrees
from fabench.learning_rule.base.feedback import FeedbackRule
from fabench.learning_rule.base.rule import LazyRule, LearningRule, SearchRule
from fabench.learning_rule.base.signal import SignalRule
from fabench.model.base import Model
from fabench.model.layer.initialization import InitOfB
from fabench.model.layer.network import Layer
from fabench.optimizer.base import Optimizer
from fabench.parallel.base import ParallelScheme
from fabench.parallel.serial import Serial
from fabench.population.precision import Precision, fastest
from fabench.run import registry
from fabench.run.settings import General, Trainer
from fabench.schedule.base import Schedule, WholeRunSchedule
from fabench.schedule.constant import Constant
from fabench.schema import UserError, no_optimizer, scalars
from fabench.task.base import Task

ONLY = {
    "regression": (Teacher, "linear_teacher and nonlinear_teacher"),
    "multi_label": (FamilyTrees, "family_trees"),
}
"""Tasks whose targets the dataset has, and the datasets that have them instead of classes."""

GROUPS = (
    "learning_rule", "optimizer", "schedule", "parallel", "dataset", "task", "model", "init_of_B",
    "trainer",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Config:
    """A checked configuration: one object per group."""

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

    def steps(self, epochs: int) -> int:
        """Steps of so many epochs of training."""
        t, n_train = self.trainer, self.dataset.n_train
        if t.holds_out and isinstance(self.dataset, ImageDataset):
            n_train -= held_out(n_train)
        return epochs * math.ceil(min(t.train_examples or n_train, n_train) / t.batch_size)

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
        """Every setting as plain containers: what config.yaml holds."""
        chosen = {group: getattr(self, group) for group in GROUPS}
        groups = {g: dataclasses.asdict(option) for g, option in chosen.items() if option}
        return {**groups, **dataclasses.asdict(self.general)}

    def science(self) -> dict[str, Any]:
        """The settings that decide the results."""
        science = self.resolved()
        del science["k"]  # the task or the dataset has it
        for key in ("output_dir", "data_dir", "overwrite", "dry_run", "workers", "max_jobs"):
            del science[key]
        for key in ("device", "checkpoint_every"):
            del science["trainer"][key]
        for group in ("trainer", "learning_rule", "model"):
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
        if not stops and not whole and not isinstance(self.schedule, WholeRunSchedule):
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


def parse(raw: dict[str, Any]) -> Config:
    """Check a composed configuration (plain containers). Raises UserError naming the key."""
    before = {"schedule": {"name": "constant"}, "parallel": {"name": "serial"}}
    raw = before | raw  # folders from before there were others
    raw = {key: value for key, value in raw.items() if value is not None or key == "data_dir"}
    rule = registry.build("learning_rule", _group(raw, "learning_rule"))
    searches = isinstance(rule, SearchRule)
    if searches and "optimizer" in raw:
        given: dict[str, Any] = raw["optimizer"]
        key = f"={given['name']}" if "name" in given else f".{next(iter(given))}"
        raise UserError(no_optimizer(f"optimizer{key}", rule.name))
    for group in GROUPS:
        if group != "optimizer" or not searches:
            _group(raw, group)
    others = {k: v for k, v in raw.items() if k not in (*GROUPS, "scale")}  # to which others refer
    general = registry.validated(General, others)
    task, dataset_settings = dict(raw["task"]), dict(raw["dataset"])
    if dataset_settings.get("name") == "sparse_parity":
        dataset_settings["k"] = general.k
    dataset = registry.build("dataset", dataset_settings)
    for only, (kind, names) in ONLY.items():
        if isinstance(dataset, kind) != (task.get("name") == only):
            raise UserError(
                f"dataset={dataset.name}, task={task.get('name')}: {only} is the task of {names}, "
                "and no other is."
            )
    if task.get("name") == "reconstruction" and not isinstance(dataset, Encoder):
        raise UserError(
            f"dataset={dataset.name}, task=reconstruction: only encoder's patterns are "
            "reconstructed; choose dataset=encoder or another task."
        )
    if task.get("name") == "parity":  # an example is one vector, or k images
        task["k"] = general.k if isinstance(dataset, ImageDataset) else 1
    elif task.get("name") in ONLY:
        task["n_targets"] = dataset.n_targets
    elif task.get("name") == "reconstruction":
        task["n_inputs"] = dataset.n_inputs
    else:
        task["n_classes"] = dataset.n_classes
    config = Config(
        learning_rule=rule,
        optimizer=None if searches else registry.build("optimizer", raw["optimizer"]),
        schedule=registry.build("schedule", raw["schedule"]),
        parallel=registry.build("parallel", raw["parallel"]),
        dataset=dataset,
        task=registry.build("task", task),
        model=registry.build("model", raw["model"]),
        init_of_B=registry.validated(InitOfB, raw["init_of_B"], prefix="init_of_B."),
        trainer=registry.validated(Trainer, raw["trainer"], prefix="trainer."),
        general=general,
    )
    _check_that_the_rule_can_train(config)
    frozen, n_layers = config.trainer.frozen_layers, len(config.layers())
    if any(number > n_layers for number in frozen):
        raise UserError(f"trainer.frozen_layers={frozen}: the network has {n_layers} layers.")
    if not any(layer.trained for layer in config.layers()):
        raise UserError(f"trainer.frozen_layers={frozen} leaves no layer to train.")
    if config.trainer.precision != "auto":
        return config
    precision = fastest(device_of(config.trainer), config.layers())
    trainer = dataclasses.replace(config.trainer, precision=precision)
    return dataclasses.replace(config, trainer=trainer)


def _group(raw: dict[str, Any], group: str) -> dict[str, Any]:
    """A group's settings. Raises UserError where there are none."""
    settings = raw.get(group)
    if not isinstance(settings, dict):
        raise UserError(f"{group}={settings}: choose one option of the group.")
    return settings


def device_of(trainer: Trainer) -> torch.device:
    """Where a run trains; auto takes a GPU where there is one."""
    use_gpu = trainer.device != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if use_gpu else "cpu")


def resolve_device(config: Config) -> torch.device:
    """The device that ``trainer.device`` names; auto takes a GPU where there is one."""
    wanted = config.trainer.device
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("trainer.device=cuda: no CUDA GPU is available; use trainer.device=cpu.")
    device = device_of(config.trainer)
    if config.trainer.precision == "tf32" and device.type == "cpu":
        raise UserError("trainer.precision=tf32 needs a CUDA GPU; use fp32 or bf16.")
    return device


def _check_that_the_rule_can_train(config: Config) -> None:
    """Raises UserError: what stands in the way."""
    rule, layers = config.learning_rule, config.layers()
    reason = rule.refusal(layers)
    if reason:
        raise UserError(
            f"learning_rule={rule.name} {reason}: model.name={config.model.name} is not for it."
        )
    reason = rule.task_refusal(config.task)
    if reason:
        raise UserError(
            f"learning_rule={rule.name} {reason}: task.name={config.task.name} is not for it."
        )
    if isinstance(rule, FeedbackRule) and config.init_of_B.name == "transported":
        reason = rule.transport_refusal(layers)
        if reason:
            raise UserError(f"init_of_B=transported {reason} with learning_rule={rule.name}.")
    t = config.trainer
    if t.holds_out:
        config.dataset.check_validation()
    _check_the_order(config)
    if isinstance(rule, SearchRule):
        _check_that_no_gradient_is_asked_for(config)
    reason = config.parallel.refusal(config.optimizer) if config.optimizer else None
    if reason:
        raise UserError(f"parallel={config.parallel.name} {reason}.")
    if t.adversarial and (isinstance(rule, LazyRule) or not isinstance(rule, SignalRule)):
        raise UserError(
            f"trainer.adversarial={t.adversarial:g}: learning_rule={rule.name} sends "
            "no error back to the inputs."
        )


def _check_the_order(config: Config) -> None:
    """Raises UserError: what stands in the way of the training items' order."""
    t, k, data = config.trainer, config.task.items_per_example, config.dataset
    curriculum = f"trainer.curriculum={t.curriculum}"
    if k > 1 and not (t.shuffle and t.curriculum == "none"):
        request = "trainer.shuffle=false" if not t.shuffle else curriculum
        raise UserError(f"{request}: examples of k={k} images are drawn; choose k=1.")
    if t.curriculum == "none":
        return
    if t.curriculum_by not in data.difficulties:
        there = f"has {' and '.join(data.difficulties)}" if data.difficulties else "has nothing"
        raise UserError(
            f"trainer.curriculum_by={t.curriculum_by or 'null'}: dataset={data.name} {there} to "
            "sort its items by."
        )
    if t.same_examples:
        raise UserError(f"{curriculum} has other items in every epoch: trainer.same_examples=true.")


def _check_that_no_gradient_is_asked_for(config: Config) -> None:
    """Raises UserError: what a rule that searches has no use for."""
    t, rule = config.trainer, config.learning_rule.name
    for key, value in (("clip_norm", t.clip_norm), ("gradient_noise", t.gradient_noise)):
        if value:
            raise UserError(no_optimizer(f"trainer.{key}={value:g}", rule))
    if not isinstance(config.schedule, Constant):
        raise UserError(no_optimizer(f"schedule={config.schedule.name}", rule))
    if not isinstance(config.parallel, Serial):
        raise UserError(no_optimizer(f"parallel={config.parallel.name}", rule))
    if t.weight_decay:
        raise UserError(
            f"trainer.weight_decay={t.weight_decay:g}: learning_rule={rule} searches, and has "
            "no gradient to add it to."
        )
