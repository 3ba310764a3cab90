"""Sweeps: the table and the plot of all jobs of one ``fabench run -m``."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.table import Table

from fabench.figure import style
from fabench.figure.sweep_plot import scored, sweep_plot
from fabench.run.execute import Job, populations
from fabench.run.progress import console, percent, significant
from fabench.run.store import write_text
from fabench.run.summary import score, summary
from fabench.schema import UserError

LONGEST_NAME = 200
"""Characters of the swept keys that a folder's name has; a file system takes 255."""


def swept_keys(jobs: Sequence[Job]) -> list[str]:
    """The overrides that differ between jobs."""
    keys = dict.fromkeys(key for job in jobs for key in job.overrides)
    return [key for key in keys if len({job.overrides.get(key) for job in jobs}) > 1]


def table(jobs: Sequence[Job]) -> pd.DataFrame:
    """One row per job: swept values, status, test accuracy at the last epoch (of regression: test
    NSE), seconds, folder.

    Sorted by it, the best first; failures last with their reason.
    """
    keys = swept_keys(jobs)
    rows = []
    for job in jobs:
        row: dict[str, object] = {key: job.overrides.get(key, "") for key in keys}
        row["status"] = job.status
        usable = job.outcome and not isinstance(job.error, UserError)
        if job.outcome and usable and job.outcome.folder.has_metrics():
            metrics = job.outcome.folder.metrics()
            column, _ = score(metrics)
            summarized = summary(metrics)
            final = summarized["final"][column]
            low, high = final["ci95"]
            row |= {
                "seeds": final["n"],
                "diverged": len(summarized["diverged"]),
                f"{column}_mean": final["mean"],
                f"{column}_sd": final["sd"],
                f"{column}_ci95_low": low,
                f"{column}_ci95_high": high,
                "seconds": metrics.groupby("epoch").seconds.first().sum(),
            }
        row["reason"] = str(job.error) if job.error else ""
        row["folder"] = str(job.outcome.folder.path) if job.outcome else ""
        rows.append(row)
    frame = pd.DataFrame(rows)
    name = scored(frame)
    if name is not None:
        columns = [key for key in map(str, frame.columns) if key.startswith(name)]
        frame[columns] = frame[columns].astype(float)  # a missing number is NaN, not None
        less_is_better = name == "test_nse"
        frame = frame.sort_values(f"{name}_mean", ascending=less_is_better, na_position="last")
    return frame.reset_index(drop=True)


def show_dry_run(jobs: Sequence[Job]) -> None:
    """What would run: every job's status and its population."""
    fresh = {j.outcome.folder.path: j.outcome for j in jobs if j.outcome and not j.error}
    groups = populations(list(fresh.values()))
    number = {o.folder.path: n for n, group in enumerate(groups, 1) for o in group}
    keys = swept_keys(jobs)
    shown = Table(*keys, "status", "population", "seeds", "epochs")
    for job in jobs:
        values = [job.overrides.get(key, "") for key in keys]
        if job.outcome is None:
            shown.add_row(*values, job.status, "-", "-", "-")
            continue
        config = job.outcome.config
        shown.add_row(
            *values,
            job.outcome.folder.status,
            str(number.get(job.outcome.folder.path, "-")),
            str(len(config.seeds)),
            str(config.trainer.epochs),
        )
    console.print(shown)
    rows = [sum(len(o.config.seeds) for o in group) for group in groups]
    console.print(
        f"{sum(map(len, groups))} of {len(jobs)} jobs would train, in {len(groups)} populations "
        f"of {', '.join(map(str, rows)) or 'no'} networks."
    )


def report(jobs: Sequence[Job], output_dir: str) -> None:
    """Print the table, and write it as CSV and as a plot under ``output_dir``/sweeps."""
    frame, keys = table(jobs), swept_keys(jobs)
    name = scored(frame) or "test_accuracy"
    label, text = ("test NSE", significant) if name == "test_nse" else ("test accuracy %", percent)
    shown = Table(*keys, "status", label, "seconds")
    for _, row in frame.iterrows():
        cells = [str(row[key]) for key in keys]
        mean, high = row.get(f"{name}_mean"), row.get(f"{name}_ci95_high")
        result = text(mean)
        if mean is not None and high is not None and pd.notna(high):
            result += f" ± {text(high - mean)}"
        if row.get("diverged", 0) > 0:
            result += f", {row['diverged']:.0f} diverged"
        seconds = row.get("seconds")
        time = "-" if seconds is None or pd.isna(seconds) else f"{seconds:.1f}"
        shown.add_row(*cells, str(row["status"]), result, time)
    console.print(shown)
    for _, row in frame[frame.reason != ""].iterrows():
        job = ", ".join(f"{key}={row[key]}" for key in keys)
        console.print(f"{row['status']}: {job}: {row['reason']}", soft_wrap=True)
    folder = Path(output_dir) / "sweeps" / _name(jobs, keys)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "sweep.csv", frame.to_csv(index=False))
    figure = sweep_plot(frame, keys)
    if figure is not None:
        style.save(figure, folder / "sweep.png")
    console.print("Mean over seeds ± 95 % interval (Student t), last epoch.")
    console.print(f"Sweep folder: {folder}", soft_wrap=True)


def _name(jobs: Sequence[Job], keys: Sequence[str]) -> str:
    runs = [j.outcome.config.identity() if j.outcome else str(j.overrides) for j in jobs]
    digest = hashlib.sha256(" ".join(sorted(runs)).encode()).hexdigest()[:10]
    words = "+".join(key.replace("/", ".") for key in keys)
    return f"{words[:LONGEST_NAME]}-{digest}"
