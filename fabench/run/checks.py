"""What a run folder's files must be before they are believed.

A check returns what is wrong, to follow a file's name in a sentence, or None. What older versions
did not write is not asked for.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fabench.run.config import GROUPS, Config

Columns = Mapping[str, Sequence[float]]
"""The numbers of metrics.csv, by column."""

ENDED = ("finished", "failed")
STATUSES = ("running", "interrupted", *ENDED)

CHECKPOINT = {
    "epoch": int, "batches": int, "seconds": float, "steps": int, "examples": int,
    "loss": Tensor, "correct": Tensor, "tensors": dict,
}  # fmt: skip
"""What every checkpoint holds: see Training."""


def manifest_fault(manifest: Any) -> str | None:
    """Of the content of manifest.json."""
    whole = (
        isinstance(manifest, dict)
        and manifest.get("status", "running") in STATUSES
        and isinstance(manifest.get("sessions", []), list)
        and (manifest.get("status") != "failed" or "reason" in manifest)
    )
    return None if whole else "is no run's manifest"


def config_fault(raw: Any, config: Config) -> str | None:
    """Of the content of config.yaml: every setting in it that decides results is ``config``'s."""
    if not isinstance(raw, dict):
        return "is no configuration"
    science = json.loads(json.dumps(config.science()))  # lists for tuples
    groups = [group for group in GROUPS if group in science]
    same = raw.get("seed") == science["seed"] and all(
        isinstance(raw.get(group), dict)
        and all(raw[group].get(key, value) == value for key, value in science[group].items())
        for group in groups
    )
    return None if same else "is another run's"


def metrics_fault(
    columns: Columns, config: Config, status: str, epoch: int | None = None
) -> str | None:
    """Of metrics.csv of a run that has ended, or has come to ``epoch`` (what is later, it measures
    again): a row for every epoch that was to be measured and every seed, once, with a loss where
    the seed has not diverged. A failed run ends when its last seed diverges, one with early
    stopping when its last seed has stopped or diverges."""
    stops = config.trainer.early_stopping is not None
    splits = ["train", "test", *(["validation"] if stops else [])]
    losses, scores = ([f"{split}_{of}" for split in splits] for of in ("loss", config.task.score))
    names = {"seed", "epoch", "diverged", "seconds", "examples_per_second", *losses, *scores}
    missing = (names | ({"stopped"} if stops else set())) - columns.keys()
    if missing:
        return f"has no column {min(missing)}"
    every, last = config.trainer.metrics_every, config.trainer.epochs
    latest = int(max(columns["epoch"], default=0))
    if stops:
        marks = zip(*(columns[name] for name in ("epoch", "diverged", "stopped")), strict=True)
        last = latest if all(max(mark) for e, *mark in marks if e == latest) else last
    if epoch is None:
        end = latest if status == "failed" else last
        at_end = zip(columns["epoch"], columns["diverged"], strict=True)
        if all(diverged for e, diverged in at_end if e == end) != (status == "failed"):
            return f"is not that of a run that has {status}"
    else:
        end = epoch
    due = [e for e in range(min(end, last) + 1) if e % every == 0 or e == last]
    expected = [(e, seed) for e in due for seed in config.seeds]
    rows = zip(*(columns[name] for name in ("epoch", "seed", "diverged", *losses)), strict=True)
    kept = [row for row in rows if row[0] <= end or epoch is None]
    if [(e, seed) for e, seed, *_ in kept] != expected:
        return f"does not have every seed once in every epoch to {end}"
    for _, _, diverged, *values in kept:
        if diverged not in (0, 1) or (not diverged and not all(map(math.isfinite, values))):
            return "lacks values"
    return None


def checkpoint_fault(saved: Any, config: Config) -> str | None:
    """Of the content of checkpoint.pt, but for the shapes of what a population restores."""
    if not isinstance(saved, dict) or any(
        type(saved.get(key)) is not kind for key, kind in CHECKPOINT.items()
    ):
        return "is no checkpoint"
    if "sha256" in saved and saved["sha256"] != digest(saved):
        return "is damaged"
    seeds, identity = config.seeds, config.identity()
    rows = (len(seeds),)
    if (
        (saved.get("seeds", seeds), saved.get("run", identity)) != (seeds, identity)
        or (saved["loss"].shape, saved["correct"].shape) != (rows, rows)
        or any(not isinstance(t, Tensor) or t.shape[:1] != rows for t in saved["tensors"].values())
    ):
        return "is another run's"
    epoch, batches, steps = saved["epoch"], saved["batches"], saved["steps"]
    most = config.steps(1)
    of_epoch, rest = divmod(steps - batches, epoch) if epoch > 0 else (most, steps - batches)
    last = config.trainer.epochs
    whole_epochs = 0 <= epoch <= last and rest == 0 and 1 <= of_epoch <= most
    if not whole_epochs or not 0 <= batches <= (of_epoch if epoch < last else 0):
        return f"stands at no place of this run (epoch {epoch}, batch {batches}, step {steps})"
    return None


def digest(content: dict[str, Any]) -> str:
    """SHA-256 of a checkpoint's numbers and tensors, whatever their order."""
    sha = hashlib.sha256()
    flat = {**content, **{f"tensors {name}": t for name, t in content["tensors"].items()}}
    for name in sorted(flat.keys() - {"sha256", "tensors"}, key=str):
        value = flat[name]
        if isinstance(value, Tensor):
            sha.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            sha.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        else:
            sha.update(f"{name} {value!r}\n".encode())
    return sha.hexdigest()
