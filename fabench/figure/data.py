"""What figures and tables are made from: the metrics of runs beside their settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fabench.run.config import Config
from fabench.run.store import RunFolder, write_text
from fabench.schema import UserError

SETTINGS = ("parallel", "learning_rule", "optimizer", "dataset", "task", "model", "trainer")
"""The groups whose settings are columns; where names meet (momentum), the later group's."""

WHOLE = 2**53
"""Up to here a float tells whole numbers apart."""


def dataframe(
    configs: Sequence[Config], experiments: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """The metrics of all runs, one under the other, with their settings and, by identity, their
    experiments.

    A row is one of a metrics.csv. Beside the metrics there are columns learning_rule, optimizer,
    parallel, dataset, init_of_B, k, experiment and folder, and every other setting of the rule,
    optimizer, scheme, dataset, task, model and trainer under its own name (gamma, lr, p,
    weight_scale, epochs, ...; a list as text: [800, 800]).
    """
    if not configs:
        return pd.DataFrame({"seed": []})
    parts = []
    for config in configs:
        folder, resolved = RunFolder(config), config.resolved()
        settings = {
            key: str(value) if isinstance(value, list) else value
            for group in SETTINGS
            for key, value in resolved.get(group, {}).items()
            if key != "name" and value is not None
        }
        settings |= {
            "k": config.general.k,
            "learning_rule": config.learning_rule.name,
            "optimizer": config.optimizer.name if config.optimizer else None,
            "parallel": config.parallel.name,
            "dataset": config.dataset.name,
            "init_of_B": config.init_of_B.name if config.has_feedback else None,
            "experiment": (experiments or {}).get(config.identity()),
            "folder": str(folder.path),
        }
        metrics = folder.metrics()
        parts.append(pd.concat([metrics, pd.DataFrame(settings, index=metrics.index)], axis=1))
    return pd.concat(parts, ignore_index=True)


def endings(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """What each network ends with: these columns and its seed, last epoch, test accuracy and run
    folder."""
    last = frame.groupby(["folder", "seed"], sort=False).tail(1)
    return last[[*columns, "seed", "epoch", "test_accuracy", "folder"]]


def at_the_end(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of every run's last epoch."""
    return frame[frame.epoch == frame.groupby("folder").epoch.transform("max")]


def kept(frame: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Write what is drawn from; returns what the file says, so that it says all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, frame.to_csv(index=False, float_format=_digits))
    return read(file)


def _digits(value: Any) -> str:
    """Six of a float; near 1 twelve, or a cosine would not tell a small angle; all of a whole
    number, as a setting is that some runs lack."""
    if float(value).is_integer() and abs(value) < WHOLE:
        return str(int(value))
    return f"{value:.{12 if 0.99 < abs(value) < 1 else 6}g}"


def read(file: Path) -> pd.DataFrame:
    """What ``kept`` wrote. Raises UserError if it is not there, or no table."""
    try:
        frame = pd.read_csv(file, keep_default_na=False, na_values=[""])  # "None" is a word
        return frame.copy()  # in one piece: pandas warns of wide tables in many
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{file} cannot be read ({reason}): leave --from-data out.") from None
