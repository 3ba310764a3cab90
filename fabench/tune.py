"""Tuning: the value of one number that gives the highest accuracy over the last epochs.

The protocol of D. C. Demirbilek, "The Dynamics of Learning Beyond Stochastic Gradient Descent",
2021, section 2.1: train with every value of a grid, compare the mean accuracy of the last ten
epochs, take the highest. Differences from the thesis:
1. The accuracy is that on validation data (``tune.split=validation``); the thesis used test data.
2. The grid is refined around the best value, and extended where the best lies at an edge.

A whole grid trains as one population.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from hydra.core.hydra_config import HydraConfig
from matplotlib.figure import Figure
from omegaconf import DictConfig
from pydantic import Field
from pydantic.dataclasses import dataclass
from rich.table import Table

from fabench.config import Config, parse
from fabench.errors import RunFailed, UserError
from fabench.execute import execute
from fabench.figure import style
from fabench.hydra_app import Task, plain
from fabench.registry import validated
from fabench.report import console, percent
from fabench.schema import STRICT, Count, Rate
from fabench.statistics import Summary, summarize
from fabench.store import write_text

EXTENSIONS = 4
"""How often a grid may grow beyond an edge before the search gives up."""


@dataclass(frozen=True, config=STRICT)
class Search:
    """How to search; see conf/tune.yaml."""

    key: str
    values: Annotated[list[Rate], Field(min_length=2)] | None
    span: Annotated[float, Field(gt=1)]
    points: Annotated[int, Field(ge=2)]
    refinements: Annotated[int, Field(ge=0)]
    split: Literal["validation", "test"]
    last_epochs: Count
    save: bool

    def first_grid(self, centre: float) -> list[float]:
        """The values to begin with, ascending; rounded to three digits."""
        if self.values is not None:
            return sorted(self.values)
        exponents = np.linspace(-1, 1, self.points)
        return [_round(centre * self.span**x) for x in exponents]


@plain_dataclass(frozen=True)
class Score:
    """A value's score: mean accuracy over the last epochs, summarized over seeds.

    ``diverged`` seeds make a value unfit whatever the others reach.
    """

    value: float
    accuracy: Summary
    diverged: int

    @property
    def mean(self) -> float:
        return -np.inf if self.diverged else self.accuracy.mean


def next_grid(scores: Sequence[Score], refinements_left: int, extensions_left: int) -> list[float]:
    """The values to try next, given ``scores`` in ascending order of value; [] when done.

    At an edge: two more values beyond it, in the grid's steps. Inside: the geometric midpoints to
    both neighbours of the best value.
    """
    values = [s.value for s in scores]
    best = int(np.argmax([s.mean for s in scores]))
    if best in (0, len(values) - 1):
        if not extensions_left:
            return []
        inner = values[1] if best == 0 else values[-2]
        step = values[best] / inner
        return [_round(values[best] * step), _round(values[best] * step**2)]
    if not refinements_left:
        return []
    sides = (values[best - 1], values[best + 1])
    return [v for v in (_round((values[best] * side) ** 0.5) for side in sides) if v not in values]


def _round(value: float) -> float:
    return float(f"{value:.3g}")


class TuneTask(Task):
    """``fabench tune``: one search per job."""

    def __init__(self, conf: Path, command: str, mailbox: Path) -> None:
        super().__init__(command, mailbox)
        self.conf = conf

    def job(self, cfg: DictConfig) -> Score:
        """Search, given the composed configuration."""
        raw = plain(cfg)
        search = validated(Search, raw.pop("tune"), prefix="tune.")
        choices = HydraConfig.get().runtime.choices
        name = tuned_name({group: str(choices[group]) for group in TUNED_GROUPS})
        return tune(raw, search, name, self.command, self.conf)


TUNED_GROUPS = ("dataset", "task", "learning_rule", "optimizer", "init_of_B")


def tuned_name(choices: dict[str, str]) -> str:
    """The option of group ``tuned`` that belongs to these choices; config.yaml names it too."""
    return "_".join(choices[group] for group in TUNED_GROUPS)


def tune(raw: dict[str, Any], search: Search, name: str, command: str, conf: Path) -> Score:
    """Search, write table and curve, and keep the winner. Returns its score.

    Raises UserError for a bad request, RunFailed if every value diverges or the edge is never left.
    """
    raw = copy.deepcopy(raw)
    raw["trainer"]["evaluate_on"] = search.split
    centre = _lookup(raw, search.key)
    config = parse(raw)
    tried: dict[float, Score] = {}
    grid, refinements, extensions = search.first_grid(centre), search.refinements, EXTENSIONS
    while grid:
        for score in _scores(raw, search, grid, command):
            tried[score.value] = score
        scores = [tried[value] for value in sorted(tried)]
        best = max(scores, key=lambda s: s.mean)
        at_edge = best in (scores[0], scores[-1])
        grid = next_grid(scores, refinements, extensions)
        if grid and at_edge:
            extensions -= 1
            console.print(f"{search.key}={best.value:g} is the best and the grid's edge: extending")
        elif grid:
            refinements -= 1
    if best.mean == -np.inf:
        raise RunFailed(f"Every value of {search.key} diverged: start lower with {search.key}=.")
    folder = Path(config.general.output_dir) / "tune" / f"{name}_k{config.general.k}"
    folder.mkdir(parents=True, exist_ok=True)
    frame = table(scores, search)
    write_text(folder / "tune.csv", frame.to_csv(index=False))
    style.save_png(curve(frame, search, config), folder / "tune.png")
    _show(scores, best, search, folder)
    if at_edge:
        raise RunFailed(
            f"{search.key}={best.value:g} is still the grid's edge after {EXTENSIONS} extensions: "
            f"start from another {search.key}=."
        )
    if search.save:
        _save(conf / "tuned" / f"{name}.yaml", best, search, config, command)
    return best


def _lookup(raw: dict[str, Any], key: str) -> float:
    node: Any = raw
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            raise UserError(f"tune.key={key} is not a setting.")
        node = node[part]
    if isinstance(node, bool) or not isinstance(node, int | float) or node <= 0:
        raise UserError(f"tune.key={key}: its value {node} is no positive number to start from.")
    return float(node)


def _scores(raw: dict[str, Any], search: Search, grid: list[float], command: str) -> list[Score]:
    configs = []
    for value in grid:
        changed = copy.deepcopy(raw)
        node = changed
        *path, last = search.key.split(".")
        for part in path:
            node = node[part]
        node[last] = value
        configs.append(parse(changed))
    scores = []
    for value, outcome in zip(grid, execute(configs, command), strict=True):
        if outcome.error is not None and outcome.folder.status != "failed":
            raise outcome.error
        metrics = outcome.folder.metrics()
        last_epochs = metrics[metrics.epoch > metrics.epoch.max() - search.last_epochs]
        last_epochs = last_epochs[last_epochs.epoch > 0]
        per_seed = last_epochs.groupby("seed").test_accuracy.mean()
        diverged = int(metrics.groupby("seed").diverged.max().sum())
        scores.append(Score(value, summarize(per_seed.tolist()), diverged))
    return scores


def table(scores: Sequence[Score], search: Search) -> pd.DataFrame:
    """One row per value: score, spread over seeds, diverged seeds."""
    return pd.DataFrame(
        {
            search.key: s.value,
            "split": search.split,
            "score_mean": s.accuracy.mean,
            "score_sd": s.accuracy.sd,
            "score_ci95_low": s.accuracy.low,
            "score_ci95_high": s.accuracy.high,
            "seeds": s.accuracy.n,
            "diverged": s.diverged,
        }
        for s in scores
    )


def curve(frame: pd.DataFrame, search: Search, config: Config) -> Figure:
    """Score against value: mean and standard deviation over seeds."""
    fit = frame[frame.diverged == 0]
    with style.canvas() as (figure, [[axes]]):
        axes.errorbar(
            fit[search.key], fit.score_mean, yerr=fit.score_sd.fillna(0), marker="o",
            markersize=3, capsize=2, color=style.color(config.learning_rule.name),
        )  # fmt: skip
        for value in frame[search.key][frame.diverged > 0]:
            axes.axvline(value, color="0.7", linestyle=":", linewidth=0.8)
        style.chance_line(axes, config.task.chance)
        axes.set_xscale("log")
        axes.set_xlabel(search.key + (" (dotted: diverged)" if len(fit) < len(frame) else ""))
        axes.set_ylabel(f"{search.split} accuracy\n(mean ± sd over seeds)")
        axes.set_title(
            f"{config.learning_rule.name}, {config.optimizer.name}, k={config.general.k}: "
            f"last {search.last_epochs} of {config.trainer.epochs} epochs",
            fontsize=7,
        )
        return figure


def _show(scores: Sequence[Score], best: Score, search: Search, folder: Path) -> None:
    shown = Table(search.key, f"{search.split} accuracy %", "sd", "")
    for s in scores:
        note = f"{s.diverged} diverged" if s.diverged else "best" if s is best else ""
        shown.add_row(f"{s.value:g}", percent(s.accuracy.mean), percent(s.accuracy.sd), note)
    console.print(shown)
    which = "validation data" if search.split == "validation" else "TEST data, as the thesis did"
    console.print(f"Chosen on {which}: {search.key}={best.value:g}")
    console.print(f"Table and curve: {folder}", soft_wrap=True)


def _save(file: Path, best: Score, search: Search, config: Config, command: str) -> None:
    """Keep the winner as an option of group ``tuned``, unless the runs were shortened ones."""
    if config.trainer.train_examples is not None:
        console.print("Not kept: trainer.train_examples shortens these runs.")
        return
    group, _, name = search.key.partition(".")
    score = f"{percent(best.accuracy.mean)} ± {percent(best.accuracy.sd)} %"
    text = (
        f"# @package _global_\n"
        f"# {search.key} chosen on {search.split} data: {score} (mean ± sd, "
        f"{best.accuracy.n} seeds, last {search.last_epochs} of {config.trainer.epochs} epochs).\n"
        f"# {command}\n"
        f"{group}:\n  {name}: {best.value:g}\n"
    )
    try:
        file.parent.mkdir(exist_ok=True)
        write_text(file, text)
    except OSError as error:
        raise RunFailed(f"Cannot write {file} ({error.strerror}): tune.save=false.") from None
    console.print(f"Kept in {file}: runs with these choices start from it.", soft_wrap=True)
