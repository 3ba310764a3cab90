"""Run folders: one per scientific configuration, found again by its hash.

    config.yaml      every setting, resolved
    metrics.csv      one row per seed and epoch (epoch 0: before training)
    manifest.json    status, command, versions, hardware, timings
    summary.json     final mean, standard deviation and 95 % interval of every metric
    checkpoint.pt    weights, feedback and optimizer state to continue from
    plots/

Files are written whole or not at all.
"""

from __future__ import annotations

import io
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import filelock
import torch
import yaml

from fabench.config import Config, parse
from fabench.errors import UserError
from fabench.statistics import summarize

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

INTEGERS = ["seed", "epoch", "diverged"]
"""The columns of metrics.csv that hold whole numbers."""

TIMES = ["seconds", "examples_per_second"]
"""The columns of metrics.csv that differ between two executions of the same run."""


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write: it appears at ``path`` complete, or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        error.filename = str(path)  # a full disk's does not say which
        raise
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    with whole_file(path) as file:
        file.write(text.encode())


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class RunFolder:
    """The folder of one run, and the only code that reads or writes its files."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.path = Path(config.general.output_dir) / "runs" / config.name()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, made if it is new. UserError if another process has it or disk says no.

        The lock ends with the process, however that ends.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.path / ".lock")
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise UserError(
                f"Another process is working on {self.path}: wait for it, or stop it."
            ) from None
        except OSError as error:
            raise UserError(
                f"Cannot write to {self.path} ({error.strerror}): choose another output_dir=."
            ) from None
        for part in self.path.glob(".*.part"):  # of a process that was killed while writing
            part.unlink()
        try:
            yield
        finally:
            lock.release()

    @classmethod
    def at(cls, path: Path) -> RunFolder:
        """The folder <output_dir>/runs/<name> of a run that has begun, from its config.yaml."""
        raw = yaml.safe_load((path / "config.yaml").read_text())
        return cls(parse(raw | {"output_dir": str(path.parents[1])}))

    # -- Status ------------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        """The manifest; {} if the run is new."""
        file = self.path / "manifest.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def update_manifest(self, **changes: Any) -> None:
        """Set keys of the manifest."""
        text = json.dumps({**self.manifest(), **changes}, indent=2)
        write_text(self.path / "manifest.json", text + "\n")

    @property
    def status(self) -> str:
        """new, running, interrupted, finished or failed (running without a lock: was killed)."""
        return str(self.manifest().get("status", "new"))

    def clear(self) -> None:
        """Remove everything but the lock, the manifest first: a half-cleared folder is new."""
        (self.path / "manifest.json").unlink(missing_ok=True)
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != ".lock":
                entry.unlink()

    def go_on_from(self, shorter: RunFolder) -> None:
        """Begin with what a shorter run has trained: its checkpoint and metrics."""
        metrics, every = shorter.metrics(), self.config.trainer.metrics_every
        saved = shorter.checkpoint()
        assert saved is not None
        self.write_metrics(metrics[metrics.epoch % every == 0])  # its last epoch is always there
        self.update_manifest(goes_on_from=shorter.path.name)
        self.write_checkpoint(saved)

    def place(self) -> tuple[int, int]:
        """Where training stands: whole epochs (-1: not begun) and batches of the next one."""
        saved = self.checkpoint()
        return (saved["epoch"], saved["batches"]) if saved else (-1, 0)

    # -- Content -----------------------------------------------------------------------------

    def write_config(self) -> None:
        """config.yaml: ``fabench run`` with these settings gives this run."""
        text = yaml.safe_dump(self.config.resolved(), sort_keys=False)
        write_text(self.path / "config.yaml", text)

    def has_metrics(self) -> bool:
        """Whether there are metrics yet."""
        return (self.path / "metrics.csv").exists()

    def metrics(self) -> pd.DataFrame:
        """metrics.csv exactly as it was written (floats round-trip)."""
        import pandas as pd  # here, for it costs a third of torch and a finished run needs none

        text = pd.read_csv(self.path / "metrics.csv", dtype=str)  # parsed by Python: exact
        types = {name: int if name in INTEGERS else float for name in text}
        return text.astype(types)

    def write_metrics(self, metrics: pd.DataFrame) -> None:
        """metrics.csv, ordered by epoch and seed."""
        write_text(self.path / "metrics.csv", metrics.to_csv(index=False))

    def checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint; None if there is none."""
        file = self.path / "checkpoint.pt"
        if not file.exists():
            return None
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            raise UserError(
                f"{file} cannot be read ({type(error).__name__}): start the run over with "
                "overwrite=true."
            ) from None

    def write_checkpoint(self, content: dict[str, Any]) -> None:
        """checkpoint.pt: tensors and numbers."""
        buffer = io.BytesIO()  # writing to a full disk itself, torch raises no OSError
        torch.save(content, buffer)
        with whole_file(self.path / "checkpoint.pt") as file:
            file.write(buffer.getbuffer())

    def remove_checkpoint(self) -> None:
        """Of a finished run whose weights nobody asks for."""
        (self.path / "checkpoint.pt").unlink(missing_ok=True)

    def summary(self) -> dict[str, Any]:
        """What summary.json says; of a run that has not ended, what it would say."""
        try:
            content: dict[str, Any] = json.loads((self.path / "summary.json").read_text())
        except (FileNotFoundError, ValueError):
            return summary(self.metrics())
        return content

    def write_summary(self, class_accuracy: NDArray[np.float64] | None = None) -> None:
        """summary.json, from metrics.csv and the test accuracy of each class [S, C], if any."""
        content = summary(self.metrics())
        if class_accuracy is not None:
            import pandas as pd

            by_seed = pd.DataFrame(class_accuracy, index=list(map(str, self.config.seeds)))
            by_seed = by_seed.drop(index=list(content["diverged"]))
            content["test_accuracy_of_class"] = {
                "mean": list(map(_number, by_seed.mean())),
                "per_seed": {seed: list(map(_number, row)) for seed, row in by_seed.T.items()},
            }
        write_text(self.path / "summary.json", json.dumps(content, indent=2) + "\n")


def score(metrics: pd.DataFrame) -> tuple[str, int]:
    """The column that runs are compared by, and its sign: 1 where more is better, else -1."""
    return ("test_nse", -1) if "test_nse" in metrics else ("test_accuracy", 1)


def summary(metrics: pd.DataFrame) -> dict[str, Any]:
    """Statistics over seeds of every metric at the last epoch, and the best epochs.

    Diverged seeds count in no statistic; ``diverged`` tells them and their epoch.
    """
    diverged = metrics[metrics.diverged == 1].groupby("seed").epoch.min()
    last = metrics[metrics.epoch == metrics.epoch.max()].set_index("seed")
    counted = last.drop(index=diverged.index)
    result: dict[str, Any] = {
        "epochs": int(metrics.epoch.max()),
        "seeds": last.index.tolist(),
        "diverged": dict(zip(map(str, diverged.index), diverged.tolist(), strict=True)),
        "final": {},
    }
    for name in last.columns.drop(["epoch", "diverged"]):
        values = last[name]
        s = summarize(counted[name].tolist())
        result["final"][name] = {
            "n": s.n,
            "mean": _number(s.mean),
            "sd": _number(s.sd),
            "ci95": [_number(s.low), _number(s.high)],
            "per_seed": {str(seed): _number(v) for seed, v in values.items()},
        }
    best = metrics[~metrics.seed.isin(diverged.index)]
    column, sign = score(metrics)
    mean = best.groupby("epoch")[column].mean()
    at = int((sign * mean).argmax()) if len(mean) else None
    best = best.loc[(sign * best[column]).groupby(best.seed).idxmax()].set_index("seed")
    result["best_epoch"] = {
        "epoch": None if at is None else int(mean.index[at]),
        f"{column}_mean": None if at is None else _number(mean.iloc[at]),
        "per_seed": {
            str(seed): {"epoch": int(epoch), column: _number(value)}
            for seed, epoch, value in zip(best.index, best.epoch, best[column], strict=True)
        },
    }
    return result


def _number(value: float) -> float | None:
    """JSON has no NaN and no infinity: null."""
    return float(value) if math.isfinite(value) else None
