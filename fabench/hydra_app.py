"""``fabench run`` as a Hydra application: overrides in, composed configurations out."""

from __future__ import annotations

import argparse
import os
import pickle
import shlex
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, QuotedString
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from fabench.errors import RunFailed, UserError, refused

if TYPE_CHECKING:
    from fabench.config import Config
    from fabench.execute import Job, Outcome

NUMBERED = ("k", "seed")
"""Groups that take any number besides the options that have a YAML file."""


class Task(ABC):
    """What Hydra calls for every job of one command: ``results`` collects what the jobs return.

    The first error is kept in ``crash`` and does not stop the other jobs: Hydra would print it.
    Launchers may run jobs in processes of their own: these leave word in ``mailbox``, a folder.
    """

    def __init__(self, command: str, mailbox: Path) -> None:
        self.command, self.mailbox, self.process = command, mailbox, os.getpid()
        self.results: list[Any] = []
        self.crash: Exception | None = None

    def __call__(self, cfg: DictConfig) -> None:
        """Do one job."""
        try:
            self.results.append(self.job(cfg))
        except Exception as error:
            self.crash = self.crash or error
        if os.getpid() != self.process:
            letter = self.mailbox / f"{HydraConfig.get().job.num:06}"
            letter.write_bytes(pickle.dumps((self.results[-1:], self.crash)))

    def collect(self) -> None:
        """Take in what other processes have left."""
        for letter in sorted(self.mailbox.iterdir()):
            results, crash = pickle.loads(letter.read_bytes())
            self.results += results
            self.crash = self.crash or crash

    @abstractmethod
    def job(self, cfg: DictConfig) -> Any:
        """Do one job, given its composed configuration."""


class RunTask(Task):
    """``fabench run``: before a sweep, our launcher calls it with all jobs at once."""

    def __init__(self, command: str, mailbox: Path) -> None:
        super().__init__(command, mailbox)
        self.prepared: dict[Path, Outcome] = {}

    def job(self, cfg: DictConfig) -> Job:
        """Execute one job, unless ``prepare`` has."""
        from fabench.execute import Job, execute, find
        from fabench.store import RunFolder

        overrides = _words(HydraConfig.get().overrides.task)
        try:
            config = _config(cfg)
        except UserError as error:
            return Job(overrides, None, error)
        outcome = self.prepared.get(RunFolder(config).path)
        if outcome is None:
            dry = config.general.dry_run
            outcome = find(config) if dry else execute([config], self.command)[0]
        return Job(overrides, outcome)

    def prepare(self, cfgs: Sequence[DictConfig]) -> None:
        """Train all jobs of a sweep that can be trained, in as few populations as possible."""
        from fabench.execute import execute

        configs = []
        for cfg in cfgs:
            with suppress(UserError):  # its own job reports it
                config = _config(cfg)
                if not config.general.dry_run:
                    configs.append(config)
        try:
            for outcome in execute(configs, self.command):
                self.prepared[outcome.folder.path] = outcome
        except Exception as error:
            self.crash = error


def _words(overrides: Sequence[str]) -> dict[str, str]:
    """Overrides by key, as their user wrote the values."""
    pairs = (override.split("=", 1) for override in overrides if "=" in override)
    return {key: value.strip("'") for key, value in pairs}


def _config(cfg: DictConfig) -> Config:
    from fabench.config import parse

    return parse(plain(cfg))


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A composed configuration as plain containers, without Hydra's own part."""
    raw = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(raw, dict)
    return {str(key): value for key, value in raw.items() if key != "hydra"}


def run(args: list[str], conf: Path) -> int:
    """Compose and execute; return the exit code. Raises UserError, RunFailed, Interrupted."""
    code, jobs = application("run", args, conf, "config", RunTask)
    if code is None:
        _report(jobs)
    return code or 0


def tune(args: list[str], conf: Path) -> int:
    """Compose and tune; return the exit code. Raises UserError, RunFailed, Interrupted."""
    from fabench.tune import TuneTask

    code, _ = application("tune", args, conf, "tune", partial(TuneTask, conf))
    return code or 0


def application(
    verb: str,
    args: list[str],
    conf: Path,
    config_name: str,
    make_task: Callable[[str, Path], Task],
) -> tuple[int | None, list[Any]]:
    """Run a Hydra application: a task is called with every job's composed configuration.

    Returns an exit code if Hydra answered a question (--help, --cfg, ...), None if jobs ran, and
    their results. Raises UserError for what Hydra refuses, and what a job raised first.
    """
    program = "fabench" if args[:1] == ["-sc"] else f"fabench {verb}"
    command = shlex.join(["fabench", verb, *args])
    with refusals(), TemporaryDirectory(prefix="fabench-") as mailbox:
        task = make_task(command, Path(mailbox))
        arguments = [numbered_override(arg, conf) for arg in args]
        if args[:1] != ["-sc"]:  # argparse wants the overrides in one piece
            arguments = _overrides_first(arguments)
        with _hydra_as_we_like_it([program, *arguments]):
            try:
                hydra.main(version_base="1.3", config_path=str(conf), config_name=config_name)(
                    task
                )()
            except SystemExit as stop:
                return int(stop.code or 0), []
        task.collect()
    if task.crash is not None:
        raise task.crash
    if any(map(_is_query, args)):
        return 0, []
    if not task.results:
        raise UserError("The sweep is empty: no option matches.")
    return None, task.results


def _overrides_first(args: list[str]) -> list[str]:
    """Overrides before flags; a flag's own value stays behind it."""
    overrides = [arg for arg in args if "=" in arg and not arg.startswith("-")]
    return [*overrides, *(arg for arg in args if arg not in overrides)]


def _report(jobs: Sequence[Job]) -> None:
    """Show results. Raises what ended the only job; RunFailed if any job of a sweep failed."""
    from fabench.report import show_results

    outcomes = [job.outcome for job in jobs if job.outcome is not None]
    if any(outcome.config.general.dry_run for outcome in outcomes):
        from fabench import sweep

        sweep.show_dry_run(jobs)
    elif len(jobs) > 1 and outcomes:
        from fabench import sweep

        sweep.report(jobs, outcomes[0].config.general.output_dir)
    else:
        for outcome in outcomes:
            if outcome.folder.has_metrics():
                show_results(outcome.folder, outcome.trained)
    failures = [job.error for job in jobs if job.error is not None]
    if failures and len(jobs) == 1:
        raise failures[0]
    if failures:
        raise RunFailed(f"{len(failures)} of {len(jobs)} jobs failed; the first: {failures[0]}")


def _is_query(arg: str) -> bool:
    """Whether the argument asks Hydra for information instead of a run."""
    flags = ("--cfg", "-c", "--info", "-i", "--help", "-h", "--hydra-help", "--version", "-sc")
    return arg.split("=")[0] in flags


# -- Numbers as options of a group -----------------------------------------------------------


def numbered_override(arg: str, conf: Path) -> str:
    """``k=7`` and ``seed=[0,5]`` as choices of an option that this call registers.

    Hydra refuses numbers as names of options. Other arguments come back as they are. Raises
    HydraException if the override cannot be parsed.
    """
    group = arg.split("=")[0]
    if group not in NUMBERED:
        return arg
    override: Override = OverridesParser.create().parse_override(arg)
    value = override.value()
    if isinstance(value, Glob):
        values: list[Any] = value.filter(sorted(file.stem for file in (conf / group).iterdir()))
    elif override.is_interval_sweep():
        raise HydraException(f"{arg}: only choices and ranges can be swept")
    elif override.is_sweep_override():
        values = list(override.sweep_iterator())
    else:
        values = [value]
    if not values:
        raise HydraException(f"{arg}: no option matches")
    return f"{group}=" + ",".join(_option(group, value, conf) for value in values)


def _option(group: str, value: Any, conf: Path) -> str:
    """The quoted name of the option that stands for ``value``, registered if it is a number."""
    if isinstance(value, QuotedString):
        value = value.text
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, int | float | list) and not isinstance(value, bool):
        numbers = value if isinstance(value, list) else [value]
        node = {group: numbers if group == "seed" else value}
        value = "_".join(map(str, numbers)) or "empty"
        if not (conf / group / f"{value}.yaml").exists():
            ConfigStore.instance().store(group=group, name=value, node=node, package="_global_")
    return f"'{value}'"


# -- Hydra's habits --------------------------------------------------------------------------


@contextmanager
def _hydra_as_we_like_it(argv: list[str]) -> Iterator[None]:
    """Give Hydra its arguments; let it and argparse raise errors instead of printing them."""

    def error(parser: argparse.ArgumentParser, message: str) -> None:
        raise UserError(f"{message}: see {parser.prog} --help.")

    environment = {**os.environ, "HYDRA_FULL_ERROR": "1"}
    with (
        patch.object(sys, "argv", argv),
        patch.dict(os.environ, environment),
        patch.object(argparse.ArgumentParser, "error", error),
    ):
        yield


@contextmanager
def refusals() -> Iterator[None]:
    """What Hydra refuses, as a UserError of one sentence."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(sentence(error)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{mark.name}, line {mark.line + 1}" if mark else "a configuration file"
        raise UserError(f"{where}: this is not YAML.") from error
    except OSError as error:
        raise UserError(refused(error)) from error


def sentence(error: Exception) -> str:
    """One sentence from Hydra's or OmegaConf's paragraph."""
    from fabench.registry import nearest

    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        known = [str(option) for option in error.options]
        extra = " (any integer works)" if group in NUMBERED else ""
        return f"{group}={name} is not an option{extra}{nearest(name, known)}"
    text = " ".join(str(getattr(cause, "msg", None) or cause).split("\n")[0].split())
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.parent_node is not None:
        key = str(cause.full_key)
        path = key.rpartition(".")[0]
        known = [f"{path}.{name}".lstrip(".") for name in cause.parent_node]
        return f"{key} is not a setting{nearest(key, known)}"
    return f"{text.rstrip('.')}."
