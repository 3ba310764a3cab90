"""Tuning: the values of settings that give the highest accuracy over the last epochs.

The protocol of D. C. Demirbilek, "The Dynamics of Learning Beyond Stochastic Gradient Descent",
2021, section 2.1: train with every value of a grid, compare the mean accuracy of the last ten
epochs, take the highest. Differences from the thesis:
1. The accuracy is that on validation data (``tune.split=validation``); the thesis used test data.
2. The grid is refined around the best value, and extended where the best lies at an edge.
3. Of several values with the highest accuracy (all examples right, say) the middle one wins.

A regression's score is its normalized squared error, negated. A whole grid trains as one
population. With ``tune.method=optuna``, Optuna searches several settings at once instead
(search/optuna.py).
"""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from hydra.core.hydra_config import HydraConfig
from matplotlib.figure import Figure
from omegaconf import DictConfig
from rich.table import Table

from fabench.command.hydra_app import JobRunner, application, plain
from fabench.command.overrides import tuned_names
from fabench.command.search.base import Method, Point, PointScore, Search, best_of, rounded
from fabench.command.search.grid import EXTENSIONS, Grid
from fabench.figure import style
from fabench.run.cluster import carry_out
from fabench.run.config import Config, parse
from fabench.run.progress import console, percent
from fabench.run.registry import validated
from fabench.run.statistics import summarize
from fabench.run.store import write_text
from fabench.run.summary import score as score_column
from fabench.schema import RunFailed, UserError, largest, no_optimizer, switches

ALL = "all"
"""The ``tune.key`` of Optuna's search over the rule's numbers."""


def tune(args: list[str], conf: Path) -> int:
    """Compose and tune; return the exit code. Raises UserError, RunFailed, Interrupted."""
    code, task = application("tune", args, conf, "tune", partial(Tuner, conf))
    if task.crash is not None:
        raise task.crash
    return code or 0


class Tuner(JobRunner):
    """``fabench tune``: one search per job."""

    def __init__(self, conf: Path, command: str, mailbox: Path) -> None:
        super().__init__(command, mailbox)
        self.conf = conf
        self.files: set[tuple[str, Any]] = set()  # of the jobs so far

    def check(self, cfg: DictConfig) -> None:
        """Each job has files of its own."""
        name = tuned_name(cfg.hydra.runtime.choices)
        files = (name, None if cfg.tune.save else cfg.k)  # see run_search
        if files in self.files:
            raise UserError(
                f"Two searches of this sweep would write {name}: of what is not in that name, "
                "choose one value a command."
            )
        self.files.add(files)

    def job(self, cfg: DictConfig) -> PointScore:
        """Search, given the composed configuration."""
        raw = plain(cfg)
        search = validated(Search, raw.pop("tune"), prefix="tune.")
        name = tuned_name(HydraConfig.get().runtime.choices)
        return run_search(raw, search, name, self.command, self.conf)


def tuned_name(choices: Mapping[str, Any]) -> str:
    """Under which these choices' rate is kept: what is tuned within an experiment holds for it."""
    return tuned_names(choices)["tuned" if choices["experiment"] is None else "tuned@_global_"]


def run_search(
    raw: dict[str, Any], search: Search, name: str, command: str, conf: Path
) -> PointScore:
    """Search, write table and curve, and keep the winner. Returns its score.

    Raises UserError for a bad request, RunFailed if every value diverges or the edge is never left.
    """
    raw = copy.deepcopy(raw)
    raw["trainer"]["evaluate_on"] = search.split
    config = parse(raw)
    if config.general.dry_run:
        raise UserError("dry_run=true: what a search trains follows from results; fabench run -m.")
    folder = Path(config.general.output_dir) / "tune"
    folder /= f"{name}_k{config.general.k}" if config.uses_k else name
    opened = _method(raw, search, config, folder)
    folder.mkdir(parents=True, exist_ok=True)
    tried: dict[tuple[float, ...], PointScore] = {}
    with opened as method:
        while points := method.ask():
            tried |= {score.values: score for score in _scores(raw, search, points, command)}
            scores = [tried[values] for values in sorted(tried)]
            method.tell(scores)
    best = best_of(scores)
    keys = list(best.point)
    if best.mean == -np.inf:
        start = "tune.space" if search.space else search.key
        raise RunFailed(f"Every value of {', '.join(keys)} diverged: start lower with {start}=.")
    frame = table(scores, search)
    write_text(folder / "tune.csv", frame.to_csv(index=False))
    style.save(curve(frame, keys, search, config), folder / "tune.png")
    _show(scores, best, search, config, folder)
    if search.method == "grid" and best in (scores[0], scores[-1]):
        raise RunFailed(
            f"{best} is still the grid's edge after {EXTENSIONS} extensions: "
            f"start from another {search.key}=."
        )
    if search.save:
        _save(conf / "tuned" / f"{name}.yaml", best, search, config, command)
    return best


def _method(
    raw: dict[str, Any], search: Search, config: Config, folder: Path
) -> AbstractContextManager[Method]:
    if search.method == "grid":
        if search.key == ALL:
            raise UserError(f"tune.key={ALL} is several numbers: choose tune.method=optuna.")
        return nullcontext(Grid(search, _centre(config, search.key)))
    try:
        from fabench.command.search.optuna import trials
    except ModuleNotFoundError:
        raise UserError("tune.method=optuna needs Optuna: pip install 'fabench[optuna]'.") from None
    if search.space is None:
        keys = _numbers(config) if search.key == ALL else [search.key]
        centres = {key: _centre(config, key) for key in keys}
        space = {
            key: [
                rounded(centre / search.span),
                min(rounded(centre * search.span), _most(config, key)),
            ]
            for key, centre in centres.items()
        }
    else:
        space = search.space
        for key in space:
            _number(config, key, f"tune.space.{key}")
    lowest, _highest = (
        _changed(raw, dict(zip(space, corner, strict=True)))  # refuses what is out of range
        for corner in zip(*space.values(), strict=True)
    )
    comparable = json.dumps([lowest.identity(), space, search.last_epochs])
    study = hashlib.sha256(comparable.encode()).hexdigest()[:10]
    return trials(folder / "optuna.db", study, space, search.trials, search.batch)


def _most(config: Config, key: str) -> float:
    """The largest value that a setting takes."""
    group, _, name = key.partition(".")
    return largest(type(getattr(config, group)), name)


def _numbers(config: Config) -> list[str]:
    """The learning rate, where there is one, and every number of the rule that is positive, but for
    switches."""
    groups, numbers = ("optimizer.lr", "learning_rule."), config.scalars()
    for name in switches(type(config.learning_rule)):
        del numbers[f"learning_rule.{name}"]
    return [key for key, value in numbers.items() if key.startswith(groups) and value > 0]


def _centre(config: Config, key: str) -> float:
    value = _number(config, key, f"tune.key={key}")
    if value <= 0:
        raise UserError(f"tune.key={key}: its value {value} is no positive number to start from.")
    return value


def _number(config: Config, key: str, request: str) -> float:
    if config.optimizer is None and key.startswith("optimizer."):
        raise UserError(no_optimizer(request, config.learning_rule.name))
    node: Any = config.resolved()
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            raise UserError(f"{request} is not a setting.")
        node = node[part]
    if not isinstance(node, float):
        raise UserError(f"{request}: its value {node} is no real number, and only these are tuned.")
    return node


def _changed(raw: dict[str, Any], point: Point) -> Config:
    return parse(_put(copy.deepcopy(raw), point))


def _put(raw: dict[str, Any], point: Point) -> dict[str, Any]:
    for key, value in point.items():
        *path, last = key.split(".")
        node = raw
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return raw


def _scores(
    raw: dict[str, Any], search: Search, points: Sequence[Point], command: str
) -> list[PointScore]:
    configs = [_changed(raw, point) for point in points]
    scores = []
    outcomes = carry_out(configs, command, keep_weights=False)
    for point, outcome in zip(points, outcomes, strict=True):
        if isinstance(outcome.error, UserError) or (outcome.error and not outcome.finished):
            raise outcome.error
        metrics = outcome.folder.metrics()
        n_last = _n_last(outcome.config, search)
        last_epochs = metrics[metrics.epoch > metrics.epoch.max() - n_last]
        last_epochs = last_epochs[last_epochs.epoch > 0]
        column, sign = score_column(metrics)
        per_seed = sign * last_epochs.groupby("seed")[column].mean()
        diverged = int(metrics.groupby("seed").diverged.max().sum())
        scores.append(PointScore(point, summarize(per_seed.tolist()), diverged))
    return scores


def _n_last(config: Config, search: Search) -> int:
    """How many of the last epochs count: of networks that stop early one, which has gone back."""
    return 1 if config.trainer.early_stopping else search.last_epochs


def table(scores: Sequence[PointScore], search: Search) -> pd.DataFrame:
    """One row per point: its values, score, spread over seeds, diverged seeds."""
    return pd.DataFrame(
        {
            **s.point,
            "split": search.split,
            **s.summary.columns("score"),
            "seeds": s.summary.n,
            "diverged": s.diverged,
        }
        for s in scores
    )


def curve(frame: pd.DataFrame, keys: Sequence[str], search: Search, config: Config) -> Figure:
    """Score against the first setting: mean and standard deviation over seeds."""
    fit = frame[frame.diverged == 0]
    key, line = keys[0], "-" if len(keys) == 1 else "none"
    with style.canvas() as (figure, [[axes]]):
        axes.errorbar(
            fit[key], fit.score_mean, yerr=fit.score_sd.fillna(0), marker="o", linestyle=line,
            markersize=3, capsize=2, color=style.color(config.learning_rule.name),
        )  # fmt: skip
        for value in frame[key][frame.diverged > 0]:
            axes.axvline(value, color="0.7", linestyle=":", linewidth=0.8)
        style.chance_line(axes, config.task.chance * (-1 if config.task.score == "nse" else 1))
        style.log_axis(axes, frame[key].tolist())
        axes.set_xlabel(key + (" (dotted: diverged)" if len(fit) < len(frame) else ""))
        label = "-NSE" if config.task.score == "nse" else "accuracy"
        axes.set_ylabel(f"{search.split} {label}\n(mean ± sd over seeds)")
        axes.set_title(
            f"{config.method}, {config.problem}:\n"
            f"last {_n_last(config, search)} of {config.trainer.epochs} epochs",
            fontsize=7,
        )
        return figure


def _text(score: float, config: Config) -> str:
    """A score for people: an accuracy in percent, -NSE as it is."""
    return f"{score:.4g}" if config.task.score == "nse" else percent(score)


def _show(
    scores: Sequence[PointScore], best: PointScore, search: Search, config: Config, folder: Path
) -> None:
    label = "-NSE" if config.task.score == "nse" else "accuracy %"
    shown = Table(*best.point, f"{search.split} {label}", "sd", "")
    for s in scores:
        note = f"{s.diverged} diverged" if s.diverged else "best" if s is best else ""
        mean, sd = (_text(value, config) for value in (s.summary.mean, s.summary.sd))
        shown.add_row(*(f"{value:g}" for value in s.values), mean, sd, note)
    console.print(shown)
    which = "validation data" if search.split == "validation" else "TEST data, as the thesis did"
    console.print(f"Chosen on {which}: {best}")
    console.print(f"Table and curve: {folder}", soft_wrap=True)


def _save(file: Path, best: PointScore, search: Search, config: Config, command: str) -> None:
    """Keep the winner as an option of group ``tuned``, unless the runs were shortened ones."""
    if config.trainer.train_examples is not None:
        console.print("Not kept: trainer.train_examples shortens these runs.")
        return
    n, unit = best.summary.n, "of -NSE" if config.task.score == "nse" else "%"
    score = _text(best.summary.mean, config)
    score += f" ± {_text(best.summary.sd, config)} {unit} (mean ± sd)" if n > 1 else f" {unit}"
    text = (
        f"# @package _global_\n"
        f"# {', '.join(best.point)} chosen on {search.split} data of {config.problem}.\n"
        f"# Score: {score}, {n} seed{'s' if n > 1 else ''}, last {_n_last(config, search)} of "
        f"{config.trainer.epochs} epochs.\n"
        f"# {command}\n"
        f"{yaml.safe_dump(_put({}, best.point), sort_keys=False)}"
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text)
    except OSError as error:
        raise RunFailed(f"Cannot write {file} ({error.strerror}): tune.save=false.") from None
    console.print(f"Kept in {file}: runs with these choices start from it.", soft_wrap=True)
