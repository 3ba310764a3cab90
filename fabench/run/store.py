"""Run folders: one per scientific configuration, found again by its hash.

    config.yaml      every setting, resolved
    metrics.csv      one row per seed and epoch (epoch 0: before training)
    job.json         of a run that a scheduler's job trains: which one, and what ended it
    manifest.json    status, command, versions, hardware, timings
    summary.json     final mean, standard deviation and 95 % interval of every metric
    checkpoint.pt    weights, feedback and optimizer state to continue from
    plots/
    plugins/         the text of the modules of own rules, ...: see fabench.run.plugins

Files are written whole or not at all, and checked before they are believed: fabench.run.checks.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch
import yaml

from fabench.run.checks import (
    ENDED,
    Columns,
    checkpoint_fault,
    config_fault,
    digest,
    manifest_fault,
    metrics_fault,
)
from fabench.run.config import Config
from fabench.run.lease import Lease, is_of_a_lease, take
from fabench.run.parsing import parse
from fabench.run.plugins import sources_in
from fabench.run.summary import of_classes, summary
from fabench.schema import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

INTEGERS = ["seed", "epoch", "diverged", "stopped"]
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


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole, a list of numbers in one line. JSON has no NaN and no infinity: see
    ``number``."""
    text = json.dumps(content, indent=2, allow_nan=False)  # no line breaks within a string
    text = re.sub(r"\[\n[\s\d.,eE+-]+\]", lambda m: f"[{' '.join(m[0][1:-1].split())}]", text)
    write_text(path, text + "\n")


def remove(path: Path) -> None:
    """A file, a link (not what it leads to) or a folder with all that is in it; or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class RunFolder:
    """The folder of one run, and the only code that reads or writes its files."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.path = Path(config.general.output_dir) / "runs" / config.name()
        self.lease: Lease | None = None  # while it is locked

    @contextmanager
    def locked(self, patience: float = 0.0) -> Iterator[None]:
        """Hold the folder, made if it is new. UserError if another process has it, still after
        ``patience`` seconds, or disk says no.

        The lease ends with the process, however that ends: fabench.run.lease.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lease = self.lease = take(self.path, patience)
        except OSError as error:
            raise UserError(
                f"Cannot write to {self.path} ({error.strerror or error}): choose another "
                "output_dir=."
            ) from None
        try:
            for part in self.path.rglob(".*.part"):  # of a process that was killed while writing
                remove(part)
            yield
        finally:
            self.lease = None
            lease.give_back()
            with suppress(OSError):
                if list(self.path.iterdir()) == [lease.file]:  # nothing has come of it
                    lease.file.unlink()
                    self.path.rmdir()

    @classmethod
    def at(cls, path: Path) -> RunFolder:
        """The folder <output_dir>/runs/<name> of a run that has begun, from its config.yaml.
        Raises UserError if that is none."""
        try:
            raw = yaml.safe_load((path / "config.yaml").read_text())
        except (ValueError, yaml.YAMLError):
            raw = None
        if not isinstance(raw, dict):
            raise UserError(f"{path / 'config.yaml'} holds no run's settings.")
        folder = cls(parse(raw | {"output_dir": str(path.parent.parent)}))
        for name, plugin in folder.config.plugins.items():
            kept = path / "plugins" / name
            if sources_in(kept) != plugin.sources:
                raise UserError(f"{path} is a run of another version of {name}, kept in {kept}.")
        return folder

    def _ours(self, name: str) -> Path:
        """A file to write. RunFailed if another process has taken the folder over."""
        if self.lease:
            self.lease.check()
        return self.path / name

    def unusable(self, name: str, fault: str) -> UserError:
        """What to say of a file with a fault."""
        return UserError(f"{self.path / name} {fault}: start the run over with overwrite=true.")

    @contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        """A file to read and understand; whatever stands in the way becomes a UserError."""
        try:
            yield self.path / name
        except FileNotFoundError:
            raise self.unusable(name, "is missing") from None
        except Exception as error:
            raise self.unusable(name, f"cannot be read ({type(error).__name__})") from None

    def _believe(self, name: str, fault: str | None) -> None:
        if fault is not None:
            raise self.unusable(name, fault)

    # -- Status ------------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        """The manifest; {} if the run is new."""
        with self._reading("manifest.json") as file:
            manifest = json.loads(file.read_text()) if file.exists() else {}
        self._believe("manifest.json", manifest_fault(manifest))
        return dict(manifest)

    def update_manifest(self, **changes: Any) -> None:
        """Set keys of the manifest."""
        write_json(self._ours("manifest.json"), {**self.manifest(), **changes})

    @property
    def status(self) -> str:
        """new, running, interrupted, finished or failed (running without a lock: was killed);
        damaged where the manifest does not tell."""
        try:
            return str(self.manifest().get("status", "new"))
        except UserError:
            return "damaged"

    @property
    def fp32_kernel(self) -> str | None:
        """What computed its products of float32 on a CPU (earlier versions: always torch); None if
        the run is new."""
        manifest = self.manifest()
        return str(manifest.get("fp32_kernel", "torch")) if manifest else None

    def clear(self) -> None:
        """Remove everything but the lease, the manifest and the checkpoint first: a half-cleared
        folder is new."""
        for name in ("manifest.json", "checkpoint.pt"):
            remove(self.path / name)
        for entry in self.path.iterdir():
            if not is_of_a_lease(entry):
                remove(entry)

    def go_on_from(self, shorter: RunFolder) -> None:
        """Begin with what a shorter run has trained: its checkpoint and metrics."""
        metrics, every = shorter.metrics(), self.config.trainer.metrics_every
        saved = shorter.weights()
        self.write_metrics(metrics[metrics.epoch % every == 0])  # its last epoch is always there
        self.update_manifest(goes_on_from=shorter.path.name, fp32_kernel=shorter.fp32_kernel)
        self.write_checkpoint(saved)

    def place(self) -> tuple[int, int]:
        """Where training stands: whole epochs (-1: not begun) and batches of the next one.

        Raises UserError if what it is known from is not whole, or another run's.
        """
        manifest = self.manifest()
        status = manifest.get("status", "new")
        if status != "new" or (self.path / "config.yaml").exists():
            with self._reading("config.yaml") as file:
                raw = yaml.safe_load(file.read_text())
            self._believe("config.yaml", config_fault(raw, self.config))
        if status in ENDED:
            columns = self._believed_metrics(manifest, status)
            return int(max(columns["epoch"])), 0
        saved = self.checkpoint()  # before the metrics: a process that writes writes it after them
        if saved is None:
            return -1, 0
        self._believed_metrics(saved, status, saved["epoch"])
        return _place(saved)

    def _believed_metrics(
        self, witness: dict[str, Any], status: str, epoch: int | None = None
    ) -> Columns:
        """metrics.csv, checked; ``witness``: what has seen it, with ``metrics_seal``.

        A finished run is shown without pandas, which costs a third of torch.
        """
        with self._reading("metrics.csv") as file:
            names, *rows = csv.reader(io.StringIO(file.read_text()))
            columns = {
                name: list(map(int if name in INTEGERS else float, (v or "nan" for v in column)))
                for name, column in zip(names, zip(*rows, strict=True), strict=True)
            }
        self._believe("metrics.csv", metrics_fault(columns, self.config, status, epoch))
        if "metrics_sha256" in witness:
            seal = self.metrics_seal(witness.get("metrics_bytes"))
            same = seal["metrics_sha256"] == witness["metrics_sha256"]
            self._believe("metrics.csv", None if same else "has been changed")
        return columns

    # -- Content -----------------------------------------------------------------------------

    def job(self) -> dict[str, Any]:
        """job.json: the job of a scheduler that the run was last submitted as; {} if there is none
        (that can be read)."""
        with suppress(OSError, ValueError):
            note = json.loads((self.path / "job.json").read_text())
            return note if isinstance(note, dict) else {}
        return {}

    def note_job(self, **note: Any) -> None:
        """Write job.json."""
        write_json(self.path / "job.json", note)

    def write_config(self) -> None:
        """config.yaml: ``fabench run`` with these settings gives this run; plugins/."""
        text = yaml.safe_dump(self.config.resolved(), sort_keys=False)
        write_text(self._ours("config.yaml"), text)
        for plugin in self.config.plugins.values():
            for path, source in plugin.sources.items():
                file = self.path / "plugins" / plugin.name / path
                file.parent.mkdir(parents=True, exist_ok=True)
                write_text(file, source)

    def has_metrics(self) -> bool:
        """Whether there are metrics yet."""
        return (self.path / "metrics.csv").exists()

    def metrics(self) -> pd.DataFrame:
        """metrics.csv exactly as it was written (floats round-trip)."""
        import pandas as pd  # not at the top: a finished run needs none

        with self._reading("metrics.csv") as file:
            written = file.read_text()
            frame = pd.read_csv(io.StringIO(written), dtype=str)  # parsed by Python: exact
            types = {name: int if name in INTEGERS else float for name in frame}
            frame = frame.astype(types)
        self._believe("metrics.csv", None if written.endswith("\n") else "is cut off")
        return frame

    def metrics_seal(self, n_bytes: int | None = None) -> dict[str, Any]:
        """What shows later that metrics.csv as it is now (its first ``n_bytes``) has only grown."""
        with self._reading("metrics.csv") as file:
            written = file.read_bytes()[:n_bytes]
        digest = hashlib.sha256(written).hexdigest()
        return {"metrics_bytes": len(written), "metrics_sha256": digest}

    def write_metrics(self, metrics: pd.DataFrame) -> None:
        """metrics.csv, ordered by epoch and seed."""
        write_text(self._ours("metrics.csv"), metrics.to_csv(index=False))

    def checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint; None if there is none."""
        with self._reading("checkpoint.pt") as file:
            if not file.exists():
                return None
            saved = torch.load(file, map_location="cpu", weights_only=True)
        self._believe("checkpoint.pt", checkpoint_fault(saved, self.config))
        return dict(saved)

    def weights(self) -> dict[str, Any]:
        """The checkpoint, for who wants its tensors. UserError if it is not where training is."""
        saved = self.checkpoint()
        if saved is None:
            raise self.unusable("checkpoint.pt", "is missing, and the run's weights are wanted")
        if _place(saved) != self.place():
            raise self.unusable("checkpoint.pt", "is older than the run")
        return saved

    def write_checkpoint(self, content: dict[str, Any]) -> None:
        """checkpoint.pt: tensors and numbers, whose they are, and checksums, of metrics.csv too."""
        owner = {"run": self.config.identity(), "seeds": self.config.seeds}
        content = {**content, **owner, **self.metrics_seal()}
        buffer = io.BytesIO()  # writing to a full disk itself, torch raises no OSError
        torch.save({**content, "sha256": digest(content)}, buffer)
        with whole_file(self._ours("checkpoint.pt")) as file:
            file.write(buffer.getbuffer())

    def has_checkpoint(self, place: tuple[int, int]) -> bool:
        """Whether the checkpoint, if there is one, stands at this place: see ``place``."""
        saved = self.checkpoint()
        return saved is not None and _place(saved) == place

    def remove_checkpoint(self) -> None:
        """Of a finished run whose weights nobody asks for."""
        self._ours("checkpoint.pt").unlink(missing_ok=True)

    def summary(self) -> dict[str, Any]:
        """What summary.json says; of a run that has not ended, what it would say."""
        try:
            content: dict[str, Any] = json.loads((self.path / "summary.json").read_text())
        except (FileNotFoundError, ValueError):
            return summary(self.metrics())
        return content

    def write_summary(self, confusion: NDArray[np.int64] | None = None) -> None:
        """summary.json, from metrics.csv and, of a classifier, the numbers of test examples
        [S, class, answer]."""
        content = summary(self.metrics())
        if confusion is not None:
            content |= of_classes(confusion, self.config.seeds, content["diverged"])
        write_json(self._ours("summary.json"), content)

    def make_room_for_plots(self) -> None:
        """plots/ is a folder of this folder: a link or a file in its place goes."""
        plots = self.path / "plots"
        if plots.is_symlink() or not plots.is_dir():
            remove(plots)


def _place(checkpoint: dict[str, Any]) -> tuple[int, int]:
    return checkpoint["epoch"], checkpoint["batches"]
