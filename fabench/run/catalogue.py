"""The runs that lie in an output folder, as their files tell them, whatever state these are in.

Nothing is believed or checked as for training (see store.py), and torch is not needed: a thousand
runs are listed in two seconds.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import isnan
from pathlib import Path
from typing import Any

import yaml

from fabench.run.lease import is_held, take
from fabench.run.statistics import summarize
from fabench.schema import UserError, nearest

OF_A_COMMAND = (
    "output_dir", "data_dir", "overwrite", "dry_run", "workers", "max_jobs", "logger",
)  # fmt: skip
"""Settings of a command, not of the run that it gave: the keys of no group that leave results
alone."""

DERIVED = (
    "task.k", "task.n_classes", "task.n_targets", "task.n_inputs", "dataset.k",
    "model.weights_sha256",
)  # fmt: skip
"""Settings of a run that follow from others: no command has them."""

COLUMNS = {"seed", "epoch", "diverged", "seconds"}
SCORES = {"test_accuracy", "test_nse"}
"""Columns of every metrics.csv, and those of which it has one."""

STATUSES = ("finished", "interrupted", "running", "diverged", "damaged")


@dataclass(frozen=True)
class Entry:
    """One run folder. ``status``: finished, interrupted (a killed run included), running, diverged
    (every seed has) or damaged (its settings or its manifest cannot be read, or of a finished one
    epochs are gone)."""

    path: Path

    @property
    def identity(self) -> str:
        """The hash at the end of its name."""
        return self.path.name.rpartition("-")[2]

    @property
    def is_named_as_a_run(self) -> bool:
        """Whether its name ends as fabench lets it: in a hash."""
        return re.fullmatch(r"[0-9a-f]{10}", self.identity) is not None

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.yaml; {} if it cannot be read, or is no run's."""
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
        try:
            content = yaml.load((self.path / "config.yaml").read_text(), loader)
        except (OSError, ValueError, yaml.YAMLError):
            return {}
        try:
            is_a_runs = isinstance(content["seed"], list) and content["trainer"]["epochs"] >= 0
        except (KeyError, TypeError):
            return {}
        return content if is_a_runs else {}

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """manifest.json; {} if it cannot be read."""
        return _json(self.path / "manifest.json")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Every setting by the key that a command line has for it: see ``flat``."""
        return flat(self.config)

    @cached_property
    def status(self) -> str:
        said = self.manifest.get("status")
        if not self.config or said is None:
            return "damaged"
        if said == "running":
            return "running" if is_held(self.path) else "interrupted"
        if said == "finished" and self.epoch < _json(self.path / "summary.json").get("epochs", 0):
            return "damaged"
        return "diverged" if said == "failed" else str(said)

    @property
    def since(self) -> datetime:
        """When its last session ended, or began if it has not."""
        try:
            return datetime.fromisoformat(list(self.manifest["sessions"][-1].values())[-1])
        except (KeyError, IndexError, TypeError, ValueError):
            return datetime.fromtimestamp(self.path.stat().st_mtime).astimezone()

    @property
    def epochs(self) -> int:
        """That it is to train."""
        return int(self.settings.get("trainer.epochs", 0))

    @cached_property
    def rows(self) -> list[dict[str, float]]:
        """The rows of metrics.csv; none if it cannot be read, or is no run's."""
        try:
            with (self.path / "metrics.csv").open(newline="") as file:
                reader = csv.DictReader(file)
                names = set(reader.fieldnames or ())
                if not names >= COLUMNS or not names & SCORES:
                    return []
                rows = [
                    {name: _number(name, value) for name, value in row.items()} for row in reader
                ]
        except (OSError, ValueError, TypeError):
            return []
        return [] if any(isnan(row["epoch"]) for row in rows) else rows

    @cached_property
    def epoch(self) -> int:
        """The last one that was measured; -1 if none was."""
        return int(max((row["epoch"] for row in self.rows), default=-1))

    @property
    def last(self) -> list[dict[str, float]]:
        """That epoch's rows."""
        return [row for row in self.rows if row["epoch"] == self.epoch]

    @property
    def summary(self) -> dict[str, Any]:
        """What summary.json says, or would say if the run ended now. UserError if there is no
        metric."""
        content = _json(self.path / "summary.json")
        if self.status in ("finished", "diverged") and content:
            return content
        if not self.last:
            raise UserError(f"{self.path} has no metrics yet.")
        import pandas as pd

        from fabench.run.summary import summary

        return summary(pd.DataFrame(self.rows).astype({"seed": int, "epoch": int}))

    @property
    def score(self) -> tuple[str, dict[str, Any] | None]:
        """The metric that runs are compared by, and its statistics in the last epoch."""
        name = "test_nse" if any("test_nse" in row for row in self.last) else "test_accuracy"
        s = summarize([row[name] for row in self.last if not row["diverged"]])
        return name, {"mean": s.mean, "ci95": [s.low, s.high]} if s.n else None

    @property
    def seconds_left(self) -> float | None:
        """Until its last epoch, at the pace of its last session; None if that has not finished an
        epoch."""
        try:
            session = self.manifest["sessions"][-1]
            started = datetime.fromisoformat(session["started"])
            done = self.epoch - session.get("epoch", 0)
            measured = (self.path / "metrics.csv").stat().st_mtime
        except (OSError, KeyError, IndexError, TypeError, ValueError):
            return None
        if done <= 0:
            return None
        return (self.epochs - self.epoch) * (measured - started.timestamp()) / done


def flat(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run by the keys that a command line has for them; a group's own is its
    option's name."""
    settings: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            named = {key: value["name"]} if "name" in value else {}
            settings |= named | {f"{key}.{k}": v for k, v in value.items() if k != "name"}
        elif key not in OF_A_COMMAND:
            settings[key] = value
    return settings


def _number(column: str, text: str) -> float:
    """A value of metrics.csv; seeds are too large for floats."""
    return int(text) if column in COLUMNS - {"seconds"} else float(text or "nan")


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def delete(entry: Entry) -> None:
    """The run folder and all that is in it. UserError if a process works on it."""
    if entry.path.is_symlink():
        entry.path.unlink()
        return
    lease = take(entry.path)
    for name in ("manifest.json", "checkpoint.pt"):  # first: without them it is no run
        (entry.path / name).unlink(missing_ok=True)
    shutil.rmtree(entry.path)
    lease.give_back()


# -- Which runs ------------------------------------------------------------------------------


def entries(output_dir: str) -> list[Entry]:
    """All runs there, the newest last."""
    runs = Path(output_dir, "runs")
    folders = runs.iterdir() if runs.is_dir() else []
    known = (Entry(path) for path in folders if path.is_dir() and _is_a_run(path))
    return sorted(known, key=lambda entry: (entry.since, entry.path.name))


def _is_a_run(path: Path) -> bool:
    return any((path / name).exists() for name in ("config.yaml", "manifest.json", "metrics.csv"))


def select(args: Sequence[str]) -> list[Entry]:
    """The runs that a command names: by folder, name or a part of it, and by filters, which are
    settings as a command has them, also with several values, and ``status=``.

    ``output_dir=`` says where they lie. Without a name: all that the filters leave. Raises
    UserError for a name of none or of several, and for a key that no run has.
    """
    filters = [arg.partition("=")[::2] for arg in args if "=" in arg]
    output_dir = dict(filters).get("output_dir", "outputs")
    names = [arg for arg in args if "=" not in arg]
    known = entries(output_dir)
    chosen = [named(name, known) for name in names] if names else known
    for key, text in filters:
        if key == "seed" and text[:1].isalpha():
            raise UserError(f"seed={text}: of runs, seeds are numbers: seed=[0,1,2].")
        if key == "status" and not set(text.split(",")) <= set(STATUSES):
            raise UserError(f"status={text}: there are {', '.join(STATUSES)}.")
        if key != "output_dir":
            chosen = [entry for entry in chosen if _matches(entry, key, text)]
            if not any(key in ("status", *entry.settings) for entry in known) and known:
                keys = sorted({key for entry in known for key in entry.settings} | {"status"})
                raise UserError(f"No run has a setting {key}{nearest(key, keys)}")
    return list({entry.path: entry for entry in chosen}.values())


def named(name: str, known: Sequence[Entry]) -> Entry:
    """The run that a word means: a folder, a name or a part of only one. UserError otherwise."""
    if not name:
        raise UserError("An empty word names no run.")
    if any((Path(name) / file).exists() for file in ("config.yaml", "manifest.json")):
        return Entry(Path(name))
    exact = [entry for entry in known if entry.path.name == name]
    found = exact or [entry for entry in known if name in entry.path.name]
    if not found:
        raise UserError(f"{name} is no run: fabench ls shows those that there are.")
    if len(found) > 1:
        some = f"{found[0].path.name} and {found[1].path.name}"
        raise UserError(
            f"{name} is a part of {len(found)} runs' names, {some} among them: say more."
        )
    return found[0]


def _matches(entry: Entry, key: str, text: str) -> bool:
    """Whether a run has the value that a filter has, or one of several, separated by commas; of a
    list of one, that one will do."""
    value = entry.status if key == "status" else entry.settings.get(key)
    values = [value, *value] if isinstance(value, list) and len(value) == 1 else [value]
    texts = [text] if text.startswith("[") else [text, *text.split(",")]
    return any(v == _value(text) or str(v) == text for v in values for text in texts)


def _value(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text
