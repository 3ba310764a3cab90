"""Tuning: the values of settings that give the highest accuracy over the last epochs.

The protocol of D. C. Demirbilek, "The Dynamics of Learning Beyond Stochastic Gradient Descent",
2021, section 2.1: train with every value of a grid, compare the mean accuracy of the last ten
epochs, take the highest. Differences from the thesis:
1. The accuracy is that on validation data (``tune.split=validation``); the thesis used test data.
2. The grid is refined around the best value, and extended where the best lies at an edge.
3. The smallest value within one standard error of the best mean wins (``tune.choose=smallest``); by
   ``best`` the best, of several with the highest accuracy (all examples right, say) the middle one.
4. Seeds are five that no result uses.

A regression's score is its normalized squared error, negated. A whole grid trains as one
population. That is ``search=grid``; the group's other options search several settings at once
(``fabench.command.search``). With ``tune.retrain=N`` the best N are trained again in the end, with
new seeds on all training data, and tested: what the search saw of them says too much, for they are
the best of many.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from matplotlib.figure import Figure
from omegaconf import DictConfig
from rich.table import Table

from fabench.command.hydra_app import JobRunner, application, plain
from fabench.command.overrides import TUNED_GROUPS, tuned_names
from fabench.command.search.base.method import PointScore, Search, best_of, shown, smallest_near
from fabench.command.search.base.space import Bounds, Space, SpaceSearch
from fabench.command.search.base.subject import Point, Subject, Tuning, Value, put
from fabench.command.search.evolution import EPOCHS, FORMULA
from fabench.figure import search_plots, style
from fabench.learning_rule.language.tree import parse, word_counts
from fabench.run.cluster import carry_out
from fabench.run.config import Config
from fabench.run.progress import console, percent
from fabench.run.registry import build, validated
from fabench.run.statistics import Summary, summarize
from fabench.run.store import write_text
from fabench.run.summary import score as score_column
from fabench.schema import RunFailed, UserError

NEAR = "the smallest within one standard error of the best mean"

MOST_SHOWN = 10
"""Points of a search of several settings that are printed."""


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
        tuning = validated(Tuning, raw.pop("tune"), prefix="tune.")
        try:
            search = build("command.search", raw.pop("search"))
        except ModuleNotFoundError:  # the one method whose library is an extra
            raise UserError("search=optuna needs Optuna: pip install 'fabench[optuna]'.") from None
        name = tuned_name(HydraConfig.get().runtime.choices)
        return run_search(Subject(raw, tuning), search, name, self.command, self.conf)

    def crashed(self, error: Exception) -> list[PointScore]:
        hydra = HydraConfig.get()
        if hydra.mode == RunMode.MULTIRUN:
            name = tuned_name(hydra.runtime.choices)
            console.print(f"Not tuned: {name}: {error}", soft_wrap=True)
        return []


def tuned_name(choices: Mapping[str, Any]) -> str:
    """Under which these choices' rate is kept: what is tuned within an experiment holds for it."""
    return tuned_names(choices)["tuned" if choices["experiment"] is None else "tuned@_global_"]


def run_search(subject: Subject, search: Search, name: str, command: str, conf: Path) -> PointScore:
    """Search, write table and picture, and keep the winner. Returns its score.

    Raises UserError for a bad request, RunFailed if every value diverges or the edge is never left.
    """
    tuning = subject.tuning
    raw = copy.deepcopy(subject.raw)
    raw["trainer"]["evaluate_on"] = tuning.split
    subject = Subject(raw, tuning)
    config = subject.config
    if config.general.dry_run:
        raise UserError("dry_run=true: what a search trains follows from results; fabench run -m.")
    old = set(config.seeds) & set(tuning.retrain_seeds)
    if tuning.retrain and old:
        raise UserError(
            f"tune.retrain_seeds={tuning.retrain_seeds}: seed={min(old)} is no new one."
        )
    if tuning.retrain and config.trainer.keep_best:
        raise UserError(
            "trainer.keep_best=true: tune.retrain trains on all data, and no weights are kept."
        )
    folder = Path(config.general.output_dir) / "tune"
    folder /= f"{name}_k{config.general.k}" if config.uses_k else name
    opened = search.start(subject, folder)
    space = search.dimensions(subject) if isinstance(search, SpaceSearch) else None
    folder.mkdir(parents=True, exist_ok=True)
    tried: dict[tuple[Value, ...], PointScore] = {}
    with opened as method:
        while points := method.ask():
            configs = [subject.changed(point) for point in points]
            found = _scores(configs, tuning, command, keep_weights=all(EPOCHS in p for p in points))
            for point, score in zip(points, found, strict=True):
                tried[tuple(point.values())] = PointScore(point, *score)
            scores = list(tried.values())
            method.tell(scores)
            numbers = _ascending(scores, space)
            frame = table(numbers or scores, subject, space)
            write_text(folder / "tune.csv", frame.to_csv(index=False))
    scores = search.finished(scores)
    best = best_of(scores)
    if best.mean == -np.inf:
        start = search.start_setting(tuning.key)
        raise RunFailed(
            f"Every value of {', '.join(best.point)} diverged: start lower with {start}=."
        )
    chosen = smallest_near(numbers, best) if numbers and tuning.choose == "smallest" else best
    if numbers:
        frame["chosen"] = [s is chosen for s in numbers]
        write_text(folder / "tune.csv", frame.to_csv(index=False))
    style.save(picture(frame, subject, space), folder / "tune.png")
    _show(numbers, scores, best, chosen, subject, folder)
    if reason := search.unsettled(scores, subject):
        raise RunFailed(reason)
    if tuning.save:
        if reason := _no_start(chosen.point, subject, name, conf):
            console.print(f"Not kept: {reason}")
        else:
            _save(conf / "tuned" / f"{name}.yaml", chosen, chosen is not best, subject, command)
    if tuning.retrain:
        _retrain(scores, subject, command, folder)
    return chosen


def _scores(
    configs: Sequence[Config], tuning: Tuning, command: str, keep_weights: bool = False
) -> list[tuple[Summary, int, float]]:
    """Train; of each configuration the score, how many seeds diverged, and the angle to BP.

    ``keep_weights``: for training that may go on for more epochs.
    """
    scores = []
    for outcome in carry_out(configs, command, keep_weights=keep_weights):
        if isinstance(outcome.error, UserError) or (outcome.error and not outcome.finished):
            raise outcome.error
        metrics = outcome.folder.metrics()
        n_last = _n_last(outcome.config, tuning)
        last_epochs = metrics[metrics.epoch > metrics.epoch.max() - n_last]
        last_epochs = last_epochs[last_epochs.epoch > 0]
        column, sign = score_column(metrics)
        per_seed = sign * last_epochs.groupby("seed")[column].mean()
        diverged = int(metrics.groupby("seed").diverged.max().sum())
        scores.append((summarize(per_seed.tolist()), diverged, angle_to_bp(metrics)))
    return scores


def angle_to_bp(metrics: pd.DataFrame) -> float:
    """Mean angle in degrees, over seeds and all weight matrices but the last, of what a rule wants
    of untrained networks and backpropagation's gradient; NaN where it wants nothing."""
    cosines = metrics[metrics.epoch == 0].filter(regex=r"^update_alignment_\d+$").iloc[:, :-1]
    angles = np.degrees(np.arccos(cosines.clip(-1, 1).to_numpy()))
    return summarize(angles.ravel().tolist()).mean


def _n_last(config: Config, tuning: Tuning) -> int:
    """How many of the last epochs count: of networks that stop early one, which has gone back."""
    return 1 if config.trainer.early_stopping else min(tuning.last_epochs, config.trainer.epochs)


def table(
    scores: Sequence[PointScore], subject: Subject, space: Space | None = None
) -> pd.DataFrame:
    """One row per point: its values, score, spread over seeds, diverged seeds, and how far it is
    from backpropagation: in the space's coordinates, where that is in it; a formula by the angle of
    its first updates."""
    frame = pd.DataFrame(
        {
            **s.point,
            "split": subject.config.trainer.evaluate_on,
            **s.summary.columns("score"),
            "seeds": s.summary.n,
            "diverged": s.diverged,
        }
        for s in scores
    )
    numbers = subject.config.learning_rule.backpropagation
    bp: Point = {f"learning_rule.{name}": value for name, value in numbers.items()}
    if space and all(key in bp and space[key].holds(bp[key]) for key in space):
        X, origin = (space.coordinates(points) for points in ([s.point for s in scores], [bp]))
        frame["distance_to_bp"] = np.sqrt(((X - origin) ** 2).sum(axis=1))
    if FORMULA in frame:
        frame["angle_to_bp"] = [s.angle_to_bp for s in scores]
    return frame


def picture(frame: pd.DataFrame, subject: Subject, space: Space | None) -> Figure:
    """Of one number the score against it; else how the search went on, and where it has been."""
    config = subject.config
    if "chosen" in frame:
        return search_plots.curve(frame, config, _n_last(config, subject.tuning))
    if FORMULA in frame:  # each that was trained to the end once, at its best rate
        whole = frame[frame[EPOCHS].isna()] if EPOCHS in frame else frame
        ranked = whole.sort_values(["diverged", "score_mean"], ascending=[False, True])
        frame = ranked.drop_duplicates(FORMULA, keep="last").sort_index()
        return search_plots.overview(frame, config, word_counts(map(parse, frame[FORMULA])))
    X = space.coordinates(frame[[*space]].to_dict("records")) if space else None
    return search_plots.overview(frame, config, X)


def _ascending(scores: Sequence[PointScore], space: Space | None) -> list[PointScore]:
    """By value, where one number was searched; [] otherwise."""
    dimensions = [] if space is None else [*space.values()]
    ordered = all(isinstance(dimension, Bounds) for dimension in dimensions)
    is_number = len(scores[0].point) == 1 and ordered
    return sorted(scores, key=lambda s: s.values) if is_number else []


def _text(score: float, config: Config) -> str:
    """A score for people: an accuracy in percent, -NSE as it is."""
    return f"{score:.4g}" if config.task.score == "nse" else percent(score)


def _show(
    numbers: Sequence[PointScore],
    scores: Sequence[PointScore],
    best: PointScore,
    chosen: PointScore,
    subject: Subject,
    folder: Path,
) -> None:
    config, split = subject.config, subject.tuning.split
    label = "-NSE" if config.task.score == "nse" else "accuracy %"
    listed = Table(*best.point, f"{split} {label}", "sd", "")
    highest = sorted(scores, key=lambda s: s.mean, reverse=True)[:MOST_SHOWN]
    for s in numbers or highest:
        notes = {f"{s.diverged} diverged": s.diverged, "best": s is best, "chosen": s is chosen}
        note = ", ".join(note for note, holds in notes.items() if holds)
        mean, sd = (_text(value, config) for value in (s.summary.mean, s.summary.sd))
        listed.add_row(*map(shown, s.values), mean, sd, note)
    console.print(listed)
    which = "validation data" if split == "validation" else "TEST data, as the thesis did"
    why = "" if chosen is best else f", {NEAR}"
    console.print(f"Chosen on {which}: {chosen}{why}")
    console.print(f"Table and picture: {folder}", soft_wrap=True)


def _retrain(scores: Sequence[PointScore], subject: Subject, command: str, folder: Path) -> None:
    """Train the best again, with new seeds on all training data; test; write retrain.csv."""
    tuning, raw = subject.tuning, copy.deepcopy(subject.raw)
    raw["seed"] = list(tuning.retrain_seeds)
    raw["trainer"]["evaluate_on"] = "test"
    again = Subject(raw, replace(tuning, last_epochs=1))
    fit = [s for s in scores if not s.diverged]
    highest: dict[tuple[Value, ...], PointScore] = {}  # of each point; of each formula
    for s in sorted(fit, key=lambda s: s.mean, reverse=True):
        highest.setdefault((s.point[FORMULA],) if FORMULA in s.point else s.values, s)
    best = list(highest.values())[: tuning.retrain]
    tested = _scores([again.changed(s.point) for s in best], again.tuning, command)
    frame = table([PointScore(s.point, *t) for s, t in zip(best, tested, strict=True)], again)
    frame.insert(len(best[0].point), f"{tuning.split}_score", [s.mean for s in best])
    write_text(folder / "retrain.csv", frame.to_csv(index=False))
    for s, (summary, diverged, _) in zip(best, tested, strict=True):
        result = _text(summary.mean, again.config)
        if summary.n > 1:
            result += f" ± {_text(summary.half_width, again.config)}"
        if diverged:
            result += f", {diverged} diverged"
        console.print(f"Trained again, on test data: {s}: {result}", soft_wrap=True)
    console.print(
        f"Mean ± 95 % interval over {len(again.config.seeds)} seeds: {folder}/retrain.csv"
    )


def _no_start(point: Point, subject: Subject, name: str, conf: Path) -> str:
    """Why runs that share these choices cannot start from a point; "" if they can: they are not
    shortened ones, and outside an experiment it has no setting that other groups' defaults lack."""
    if subject.changed(point).trainer.train_examples is not None:
        return "trainer.train_examples shortens these runs."
    if "/" in name:  # an experiment's
        return ""
    listed = yaml.safe_load((conf / "config.yaml").read_text())["defaults"]
    usual = {
        group: option for one in listed if isinstance(one, dict) for group, option in one.items()
    }
    for key in point:
        group, _, setting = key.partition(".")
        if group not in TUNED_GROUPS:
            option = yaml.safe_load((conf / group / f"{usual[group]}.yaml").read_text())
            if setting not in option:
                return f"{group}={usual[group]}, the default, has no {setting}."
    return ""


def _save(file: Path, best: PointScore, near: bool, subject: Subject, command: str) -> None:
    """Keep the winner as an option of group ``tuned``.

    ``near``: it is not the best itself, but the smallest near it.
    """
    config, tuning = subject.config, subject.tuning
    n, unit = best.summary.n, "of -NSE" if config.task.score == "nse" else "%"
    score = _text(best.summary.mean, config)
    score += f" ± {_text(best.summary.sd, config)} {unit} (mean ± sd)" if n > 1 else f" {unit}"
    text = (
        f"# @package _global_\n"
        f"# {', '.join(best.point)} chosen on {tuning.split} data of {config.problem}"
        f"{f', {NEAR}' if near else ''}.\n"
        f"# Score: {score}, {n} seed{'s' if n > 1 else ''}, last {_n_last(config, tuning)} of "
        f"{config.trainer.epochs} epochs.\n"
        f"# {' '.join(command.split())}\n"
        f"{yaml.safe_dump(put({}, best.point), sort_keys=False)}"
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text)
    except OSError as error:
        raise RunFailed(f"Cannot write {file} ({error.strerror}): tune.save=false.") from None
    console.print(f"Kept in {file}: runs with these choices start from it.", soft_wrap=True)
