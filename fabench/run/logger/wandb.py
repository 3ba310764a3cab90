"""``logger=wandb``: a Weights & Biases run for each seed, those of a run in one group.

Nothing leaves the machine unless $WANDB_MODE is online: files lie in the run folder, and
``wandb sync outputs/runs/NAME/wandb/offline-run-*`` sends them. The project is $WANDB_PROJECT, else
fabench. Opened again, an online run goes on where its last epoch is, an offline one is written
anew, from metrics.csv: sent, it is one run.
"""

import os
from pathlib import Path
from typing import Any

import wandb

from fabench.run.logger.base import SeedLog, Subject
from fabench.run.store import remove


class Wandb(SeedLog):
    """One seed's run."""

    def __init__(self, subject: Subject, fresh: bool) -> None:
        identity = f"{subject.folder.name.rpartition('-')[2]}-{subject.seed}"
        for earlier in subject.folder.glob(f"wandb/offline-run-*-{identity}"):
            remove(earlier)
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "fabench"),
            group=subject.folder.name,
            name=f"seed_{subject.seed}",
            id=identity,
            config={**subject.settings, "seed": subject.seed},
            dir=str(subject.folder.absolute()),  # written by a process of W&B's
            mode=mode,
            resume=None if fresh else "allow",
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )
        self.last = self.run.step - 1

    def add(self, epoch: int, metrics: dict[str, float]) -> None:
        self.run.log(metrics, step=epoch, commit=True)

    def attach(self, plot: Path) -> None:
        self.run.summary[plot.stem] = wandb.Image(str(plot))

    def close(self) -> None:
        self.run.finish()
