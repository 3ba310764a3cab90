"""``logger=tensorboard``: event files in the run folder; ``tensorboard --logdir outputs/runs``.

A folder for each seed, tensorboard/seed_0. Opened again it is written anew, from metrics.csv: an
event file cannot take back what a killed process had measured after its last checkpoint.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from fabench.run.logger.base import SeedLog, Subject
from fabench.run.store import remove


class Tensorboard(SeedLog):
    """One seed's event file."""

    def __init__(self, subject: Subject, fresh: bool) -> None:
        folder = subject.folder / "tensorboard" / f"seed_{subject.seed}"
        remove(folder)
        self.writer = SummaryWriter(str(folder))
        values = {
            key: value if isinstance(value, int | float | str) else str(value)
            for key, value in subject.settings.items()
        }
        for summary in hparams(values, {"test_loss": None}):
            self.writer._get_file_writer().add_summary(summary)

    def add(self, epoch: int, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def attach(self, plot: Path) -> None:
        pixels = np.asarray(Image.open(plot).convert("RGB"))
        self.writer.add_image(plot.stem, pixels, self.last, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()
