"""From a composed configuration to a run: every setting checked, alone and beside the others."""

import dataclasses
from typing import Any

from fabench.dataset.base.drawn import Teacher
from fabench.dataset.base.images import ImageDataset
from fabench.dataset.encoder import Encoder
from fabench.dataset.family_trees import FamilyTrees
from fabench.learning_rule.base.feedback import FeedbackRule
from fabench.learning_rule.base.rule import LazyRule, SearchRule
from fabench.learning_rule.base.signal import SignalRule
from fabench.model.layer.initialization import InitOfB
from fabench.model.layer.weights_file import digest
from fabench.parallel.serial import Serial
from fabench.population.precision import fastest
from fabench.run import plugins, registry
from fabench.run.config import GROUPS, Config, device_of
from fabench.run.settings import Cluster, General, Trainer
from fabench.schedule.constant import Constant
from fabench.schema import UserError, no_optimizer
from fabench.task.classification import Classification

ONLY = {
    "regression": (Teacher, "linear_teacher and nonlinear_teacher"),
    "multi_label": (FamilyTrees, "family_trees"),
}
"""Tasks whose targets the dataset has, and the datasets that have them instead of classes."""


def parse(raw: dict[str, Any]) -> Config:
    """Check a composed configuration (plain containers). Raises UserError naming the key."""
    neutral = {"schedule": "constant", "parallel": "serial", "cluster": "none"}
    before = {group: {"name": name} for group, name in neutral.items()}
    raw = before | raw  # folders from before there were others
    raw = {key: value for key, value in raw.items() if value is not None or key == "data_dir"}
    named = raw.get("plugins")
    for name in named if isinstance(named, list) else []:
        if name not in plugins.USED:
            raise UserError(f"plugins=[{name}] is code: name it on the command line, too.")
    rule = registry.build("learning_rule", _group(raw, "learning_rule"))
    searches = isinstance(rule, SearchRule)
    if searches and "optimizer" in raw:
        given: dict[str, Any] = raw["optimizer"]
        key = f"={given['name']}" if "name" in given else f".{next(iter(given))}"
        raise UserError(no_optimizer(f"optimizer{key}", rule.name))
    for group in GROUPS:
        if group != "optimizer" or not searches:
            _group(raw, group)
    cluster = registry.validated(Cluster, _group(raw, "cluster"), prefix="cluster.")
    others = {k: v for k, v in raw.items() if k not in (*GROUPS, "scale")}  # to which others refer
    general = registry.validated(General, others | {"cluster": cluster})
    task, dataset_settings = dict(raw["task"]), dict(raw["dataset"])
    if dataset_settings.get("name") == "sparse_parity":
        dataset_settings["k"] = general.k
    drawn_from = registry.find("dataset", str(dataset_settings.get("name")))
    for only, (kind, names) in ONLY.items():  # before its files are read
        if issubclass(drawn_from, kind) != (task.get("name") == only):
            raise UserError(
                f"dataset={dataset_settings['name']}, task={task.get('name')}: {only} is the task "
                f"of {names}, and no other is."
            )
    dataset = registry.build("dataset", dataset_settings)
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
    chosen = {
        "learning_rule": rule,
        "optimizer": None if searches else registry.build("optimizer", raw["optimizer"]),
        "schedule": registry.build("schedule", raw["schedule"]),
        "parallel": registry.build("parallel", raw["parallel"]),
        "dataset": dataset,
        "task": registry.build("task", task),
        "model": registry.build("model", raw["model"]),
        "init_of_B": registry.validated(InitOfB, raw["init_of_B"], prefix="init_of_B."),
        "trainer": registry.validated(Trainer, raw["trainer"], prefix="trainer."),
    }
    config = Config(**chosen, general=general, plugins=plugins.of(list(chosen.values())))
    _check_that_the_rule_can_train(config)
    frozen, n_layers = config.trainer.frozen_layers, len(config.layers())
    if any(number > n_layers for number in frozen):
        raise UserError(f"trainer.frozen_layers={frozen}: the network has {n_layers} layers.")
    if not any(layer.trained for layer in config.layers()):
        raise UserError(f"trainer.frozen_layers={frozen} leaves no layer to train.")
    if config.model.weights is not None and config.model.weights_sha256 is None:
        model = dataclasses.replace(config.model, weights_sha256=digest(config.weights()))
        config = dataclasses.replace(config, model=model)
    if config.trainer.precision != "auto":
        return config
    precision = fastest(device_of(config), config.layers())
    trainer = dataclasses.replace(config.trainer, precision=precision)
    return dataclasses.replace(config, trainer=trainer)


def _group(raw: dict[str, Any], group: str) -> dict[str, Any]:
    """A group's settings. Raises UserError where there are none."""
    settings = raw.get(group)
    if not isinstance(settings, dict):
        raise UserError(f"{group}={settings}: choose one option of the group.")
    return settings


def _check_that_the_rule_can_train(config: Config) -> None:
    """Raises UserError: what stands in the way."""
    rule, layers = config.learning_rule, config.layers()
    reasons = {
        "model": rule.refusal(layers),
        "task": rule.task_refusal(config.task),
        "dataset": rule.dataset_refusal(config.dataset),
    }
    for group, reason in reasons.items():
        if reason:
            name = getattr(config, group).name
            raise UserError(
                f"learning_rule={rule.name} {reason}: {group}.name={name} is not for it."
            )
    if isinstance(rule, FeedbackRule) and config.init_of_B.name == "transported":
        reason = rule.transport_refusal(layers)
        if reason:
            raise UserError(f"init_of_B=transported {reason} with learning_rule={rule.name}.")
    t = config.trainer
    if t.holds_out:
        config.dataset.check_validation()
    elif t.keep_best:
        raise UserError(
            "trainer.keep_best=true: there is no validation data to tell the best epoch by; choose "
            "trainer.evaluate_on=validation or trainer.early_stopping."
        )
    classes = config.task.n_outputs if isinstance(config.task, Classification) else 0
    if t.top_k and t.top_k >= classes:
        raise UserError(
            f"trainer.top_k={t.top_k}: it takes a classifier of more classes, and task="
            f"{config.task.name} has {classes or 'none'}."
        )
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
