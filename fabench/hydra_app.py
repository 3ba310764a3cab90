"""``fabench run`` as a Hydra application: overrides in, composed configurations out."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from fabench.errors import RunFailed, UserError

if TYPE_CHECKING:
    from fabench.config import Config
    from fabench.execute import Outcome
    from fabench.sweep import Job

NUMBERED = ("k", "seed")
"""Groups that take any number besides the options that have a YAML file."""


class RunTask:
    """What Hydra calls for every job of one command, and, before a sweep, with all its jobs."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.jobs: list[Job] = []
        self.sweep = False
        self.prepared: dict[str, Outcome] = {}

    def __call__(self, cfg: DictConfig) -> None:
        """Execute one job, unless ``prepare`` has."""
        from fabench.execute import execute
        from fabench.sweep import Job

        self.sweep = HydraConfig.get().mode == RunMode.MULTIRUN
        overrides = _words(HydraConfig.get().overrides.task)
        try:
            config = _config(cfg)
        except UserError as error:
            self.jobs.append(Job(overrides, None, error))
            return
        outcome = self.prepared.get(config.identity())
        if outcome is None:
            outcome = self._dry(config) or execute([config], self.command)[0]
        self.jobs.append(Job(overrides, outcome))

    def prepare(self, cfgs: Sequence[DictConfig]) -> None:
        """Train all jobs of a sweep that can be trained, in as few populations as possible."""
        from fabench.execute import execute

        configs = []
        for cfg in cfgs:
            with suppress(UserError):  # its own job reports it
                config = _config(cfg)
                if not config.general.dry_run:
                    configs.append(config)
        for outcome in execute(configs, self.command):
            self.prepared[outcome.config.identity()] = outcome

    def _dry(self, config: Config) -> Outcome | None:
        from fabench.execute import Outcome
        from fabench.store import RunFolder

        return Outcome(config, RunFolder(config)) if config.general.dry_run else None


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
    task = RunTask(shlex.join(["fabench", "run", *args]))
    code = application("run", args, conf, "config", task)
    if code is not None:
        return code
    if not task.jobs:
        raise UserError("The sweep is empty: no option matches.")
    _report(task.jobs, task.sweep)
    return 0


def tune(args: list[str], conf: Path) -> int:
    """Compose and tune; return the exit code. Raises UserError, RunFailed, Interrupted."""
    from fabench.tune import TuneTask

    task = TuneTask(shlex.join(["fabench", "tune", *args]), conf)
    code = application("tune", args, conf, "tune", task)
    if code is None and not task.searches:
        raise UserError("The sweep is empty: no option matches.")
    return code or 0


def application(verb: str, args: list[str], conf: Path, config_name: str, task: Any) -> int | None:
    """Run a Hydra application: ``task`` is called with every job's composed configuration.

    Returns an exit code if Hydra answered a question (--help, --cfg, ...), None if the task ran.
    Raises UserError for what Hydra refuses, and what the task raises.
    """
    program = "fabench" if args[:1] == ["-sc"] else f"fabench {verb}"
    arguments = [numbered_override(arg, conf) for arg in args]
    if args[:1] != ["-sc"]:  # argparse wants overrides in one piece: flags first
        arguments.sort(key=lambda arg: "=" in arg and not arg.startswith("-"))
    with _arguments([program, *arguments]), _hydra_raises(), refusals():
        try:
            hydra.main(version_base="1.3", config_path=str(conf), config_name=config_name)(task)()
        except SystemExit as stop:
            return int(stop.code or 0)
    return 0 if any(map(_is_query, args)) else None


def _report(jobs: Sequence[Job], sweep: bool) -> None:
    """Show results. Raises what ended the only job; RunFailed if any job of a sweep failed."""
    from fabench import sweep as sweeps
    from fabench.report import show_results

    outcomes = [job.outcome for job in jobs if job.outcome is not None]
    if any(outcome.config.general.dry_run for outcome in outcomes):
        sweeps.show_dry_run(jobs)
    elif sweep and outcomes:
        sweeps.report(jobs, outcomes[0].config.general.output_dir)
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

    Hydra refuses numbers as names of options. Other arguments come back as they are.
    """
    if arg.split("=")[0] not in NUMBERED:
        return arg
    try:
        override: Override = OverridesParser.create().parse_override(arg)
    except HydraException:
        return arg  # Hydra will say what is wrong with it
    values = list(override.sweep_iterator()) if override.is_sweep_override() else [override.value()]
    return f"{override.key_or_group}=" + ",".join(
        _option(override.key_or_group, value, conf) for value in values
    )


def _option(group: str, value: Any, conf: Path) -> str:
    """The quoted name of the option that stands for ``value``, registered if it is a number."""
    if isinstance(value, QuotedString):
        value = int(value.text) if value.text.isdecimal() else value.text
    if isinstance(value, int | float | list) and not isinstance(value, bool):
        numbers = value if isinstance(value, list) else [value]
        node = {group: numbers if group == "seed" else value}
        value = "_".join(map(str, numbers))
        if not (conf / group / f"{value}.yaml").exists():
            ConfigStore.instance().store(group=group, name=value, node=node, package="_global_")
    return f"'{value}'"


# -- Hydra's habits --------------------------------------------------------------------------


@contextmanager
def _arguments(argv: list[str]) -> Iterator[None]:
    before, sys.argv = sys.argv, argv
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _hydra_raises() -> Iterator[None]:
    """Let Hydra raise its errors instead of printing a traceback and leaving."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


@contextmanager
def refusals() -> Iterator[None]:
    """What Hydra refuses, as a UserError of one sentence."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(sentence(error)) from error
    except ValueError as error:
        if not str(error).startswith("Config group override"):
            raise
        raise UserError(sentence(error)) from error


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
