"""``fabench run``: train a configuration, or a sweep of them, and show what came of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from fabench.command.hydra_app import JobRunner, application, plain
from fabench.schema import RunFailed, UserError, WrongValue

if TYPE_CHECKING:
    from fabench.run.config import Config
    from fabench.run.execute import Job, Outcome
    from fabench.run.store import RunFolder

log = logging.getLogger(__name__)


def run(args: list[str], conf: Path) -> int:
    """Compose and execute; return the exit code. Raises UserError, RunFailed, Interrupted."""
    code, task = application("run", args, conf, "config", Runner)
    if code is not None:
        return code
    _show(task.results)
    if task.crash is not None:
        raise task.crash
    _raise_failures(task.results)
    return 0


class Runner(JobRunner):
    """``fabench run``: before a sweep, our launcher calls it with all jobs at once."""

    def __init__(self, command: str, mailbox: Path) -> None:
        super().__init__(command, mailbox)
        self.prepared: dict[Path, Outcome] = {}

    def job(self, cfg: DictConfig) -> Job:
        """Execute one job, unless ``prepare`` has."""
        from fabench.run.cluster import carry_out
        from fabench.run.execute import Job, find
        from fabench.run.store import RunFolder

        try:
            config = _config(cfg)
        except UserError as error:
            return Job(_words(), None, error)
        outcome = self.prepared.get(RunFolder(config).path)
        if outcome is None:
            dry = config.general.dry_run
            outcome = find(config) if dry else carry_out([config], self.command)[0]
            if not dry:
                finish(outcome)
        return Job(_words(), outcome)

    def check(self, cfg: DictConfig) -> None:
        """A job that cannot be combined does not stop the others, a value that is none does."""
        try:
            _config(cfg)
        except WrongValue:
            raise
        except UserError:
            pass  # its own job reports it

    def crashed(self, error: Exception) -> list[Job]:
        """Its row in the sweep's table."""
        from fabench.run.execute import Job

        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return [Job(_words(), None, RunFailed(reason))]

    def prepare(self, cfgs: Sequence[DictConfig]) -> None:
        """Train all jobs of a sweep that can be trained, in as few populations as possible."""
        from fabench.run.cluster import carry_out

        configs = []
        for cfg in cfgs:
            with suppress(UserError):  # its own job reports it
                config = _config(cfg)
                if not config.general.dry_run:
                    configs.append(config)
        if configs:
            Path(configs[0].general.output_dir, "sweeps").mkdir(parents=True, exist_ok=True)
        try:
            for outcome in carry_out(configs, self.command):
                self.prepared[outcome.folder.path] = outcome
                finish(outcome)
        except Exception as error:
            self.crash = error


def _words() -> dict[str, str]:
    """The job's overrides by key, as their user wrote the values."""
    overrides: Any = OmegaConf.to_container(HydraConfig.get().overrides.task)  # ${...} as it is
    pairs = (override.split("=", 1) for override in overrides if "=" in override)
    return {key: value.strip("'") for key, value in pairs}


def _config(cfg: DictConfig) -> Config:
    from fabench.run.parsing import parse

    return parse(plain(cfg))


def _show(jobs: Sequence[Job]) -> None:
    """Show results."""
    from fabench.run.progress import show_results

    outcomes = [job.outcome for job in jobs if job.outcome is not None]
    if any(outcome.config.general.dry_run for outcome in outcomes):
        from fabench.command import sweep

        sweep.show_dry_run(jobs)
    elif len(jobs) > 1 and outcomes:
        from fabench.command import sweep

        sweep.report(jobs, outcomes[0].config.general.output_dir)
    else:
        for outcome in outcomes:
            if outcome.finished and not isinstance(outcome.error, UserError):
                show_results(outcome.folder, outcome.trained)


def _raise_failures(jobs: Sequence[Job]) -> None:
    """Raises what ended the only job; RunFailed if any job of a sweep failed."""
    failures = [job.error for job in jobs if job.error is not None]
    if failures and len(jobs) == 1:
        raise failures[0]
    if failures:
        raise RunFailed(f"{len(failures)} of {len(jobs)} jobs failed; the first: {failures[0]}")


def finish(outcome: Outcome) -> None:
    """What a finished run has beside its results: plots, and logs that have them, too."""
    if not outcome.finished or isinstance(outcome.error, UserError):
        return
    if _plots_are_due(outcome):
        draw(outcome)
    if outcome.config.general.logger:
        publish(outcome.folder)


def publish(folder: RunFolder) -> None:
    """A finished run's metrics, where a log lacks some, and its plots."""
    from fabench.run.logger.base import Logs, opened

    logs = Logs(folder)
    history = [rows for _, rows in folder.metrics().groupby("epoch")]
    with suppress(UserError), folder.locked(), opened([(logs, history)]):
        logs.attach(sorted((folder.path / "plots").glob("*.png")))


def draw(outcome: Outcome) -> None:
    """A finished run's plots. One that cannot be drawn costs a warning."""
    folder = outcome.folder
    metrics = folder.metrics()
    try:
        from fabench.figure.run_plots import write_plots

        with folder.locked():  # what a kill has left goes
            folder.make_room_for_plots()
            write_plots(folder.path, metrics, outcome.config)
    except UserError:
        pass  # another process has the folder, and draws
    except Exception as error:  # of whatever kind: the run is there
        reason = " ".join(str(error).split()) or type(error).__name__
        log.warning("The plots of %s could not be drawn: %s", folder.path, reason)


def _plots_are_due(outcome: Outcome) -> bool:
    """Whether a plot is missing, or older than the metrics."""
    metrics = outcome.folder.path / "metrics.csv"
    with metrics.open() as file:
        columns = file.readline().strip().split(",")
    config = outcome.config
    names = [config.task.score, *(["alignment"] if "weight_alignment" in columns else [])]
    names += ["formula"] if config.learning_rule.name == "formula" else []
    plots = [outcome.folder.path / "plots" / f"{name}.png" for name in names]
    written = metrics.stat().st_mtime_ns
    return not all(plot.exists() and plot.stat().st_mtime_ns >= written for plot in plots)
