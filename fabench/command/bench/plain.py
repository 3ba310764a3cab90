"""What ``fabench bench`` refuses: settings that only one side of a comparison would heed."""

from collections.abc import Sequence
from typing import Any

from fabench.run.config import Config
from fabench.schema import UserError

OTHERWISE = {
    "learning_rule": "bench.rules=",
    "k": "bench.k=",
    "trainer.precision": "bench.precisions=",
    "trainer.train_examples": "whole epochs",
    "dry_run": "no plans",
}
"""Settings of fabench run that it would not heed, and what it has instead."""

PLAIN: dict[str, Any] = {
    "trainer.weight_decay": 0.0,
    "trainer.clip_norm": None,
    "trainer.gradient_noise": 0.0,
    "trainer.adversarial": 0.0,
    "trainer.frozen_layers": [],
    "trainer.top_k": None,
    "model.activation": "relu",
    "model.batch_norm": False,
    "model.input_dropout": 0.0,
    "model.hidden_dropout": 0.0,
    "dataset.crop": 0,
    "dataset.flip": False,
    "schedule.name": "constant",
    "parallel.name": "serial",
}
"""What a step is without, whoever takes it."""


def check_heeded(args: Sequence[str]) -> None:
    """Raises UserError for an override that bench would not heed."""
    for arg in args:
        key = arg.partition("=")[0]
        if key in OTHERWISE:
            raise UserError(f"{arg}: fabench bench takes {OTHERWISE[key]}.")


def check_plain(config: Config, *keys: str) -> None:
    """Raises UserError for what only fabench's own steps would have, not those beside them.

    ``keys``: what the settings to look at begin with; all, without any.
    """
    resolved = config.resolved()
    for key, usual in PLAIN.items():
        group, _, name = key.partition(".")
        value = resolved.get(group, {}).get(name, usual)
        if key.startswith(keys or "") and value != usual:
            written = "null" if usual is None else str(usual).lower()
            raise UserError(f"fabench bench compares plain steps: {key}={written} only.")
