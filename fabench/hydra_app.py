"""``fabench run`` as a Hydra application: overrides in, composed configurations out."""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from fabench.errors import RunFailed, UserError
from fabench.registry import nearest

NUMBERED = ("k", "seed")
"""Groups that take any number besides the options that have a YAML file."""


@dataclass
class Job:
    """One job's outcome: its overrides, and the error that ended it, if one did."""

    overrides: list[str]
    error: UserError | RunFailed | None = None


def run(args: list[str], conf: Path) -> int:
    """Compose and execute; return the exit code. Raises UserError, RunFailed, Interrupted."""
    from hydra.core.hydra_config import HydraConfig

    jobs: list[Job] = []
    command = shlex.join(["fabench", "run", *args])

    def job(cfg: DictConfig) -> None:
        from fabench.execute import execute

        jobs.append(Job(list(HydraConfig.get().overrides.task)))
        try:
            raw = OmegaConf.to_container(cfg, resolve=True)
            assert isinstance(raw, dict)
            execute({str(key): value for key, value in raw.items()}, command)
        except (UserError, RunFailed) as error:
            jobs[-1].error = error

    asked_to_train = not any(_is_query(arg) for arg in args)
    arguments = [numbered_override(arg, conf) for arg in args]
    with _arguments(["fabench run", *arguments]), _hydra_raises():
        try:
            hydra.main(version_base="1.3", config_path=str(conf), config_name="config")(job)()
        except SystemExit as stop:
            return int(stop.code or 0)
        except (UserError, RunFailed):
            raise
        except Exception as error:
            if jobs and not isinstance(error, HydraException | OmegaConfBaseException):
                raise  # not the request's fault: our own
            raise UserError(sentence(error)) from None
    if asked_to_train and not jobs:
        raise UserError("The sweep is empty: no option matches.")
    failures = [job for job in jobs if job.error is not None]
    if len(jobs) > 1 and failures:
        for failed in failures:
            print(f"failed: {' '.join(failed.overrides)}: {failed.error}", file=sys.stderr)
        raise RunFailed(f"{len(failures)} of {len(jobs)} jobs failed.")
    for failed in failures:
        assert failed.error is not None
        raise failed.error
    return 0


def _is_query(arg: str) -> bool:
    """Whether the argument asks Hydra for information instead of a run."""
    flags = ("--cfg", "-c", "--info", "-i", "--help", "-h", "--hydra-help", "--version")
    return arg.split("=")[0] in (*flags, "-sc", "--shell-completion", "--shell_completion")


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


def sentence(error: Exception) -> str:
    """One sentence from Hydra's or OmegaConf's paragraph."""
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
