"""``fabench run`` as a Hydra application: overrides in, composed configurations out."""

from __future__ import annotations

import argparse
import io
import logging
import os
import pickle
import re
import shlex
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import hydra
import yaml
from hydra import initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException
from omegaconf import Container, DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from fabench.command.doors import closed
from fabench.command.overrides import NUMBERED, checked, plugin_names
from fabench.run import plugins
from fabench.schema import UserError, no_optimizer, refused, short

MOST_INTERPOLATIONS = 20
"""Of all settings: one that leads to others multiplies them."""


class JobRunner(ABC):
    """What Hydra calls for every job of one command: ``results`` collects what the jobs return.

    The first error is kept in ``crash`` and does not stop the other jobs: Hydra would print it.
    Launchers may run jobs in processes of their own: these leave word in ``mailbox``, a folder.
    """

    def __init__(self, command: str, mailbox: Path) -> None:
        self.command, self.mailbox, self.process = command, mailbox, os.getpid()
        self.results: list[Any] = []
        self.crash: Exception | None = None
        self.plugins: list[str] = []

    def __call__(self, cfg: DictConfig) -> None:
        """Do one job."""
        try:
            if os.getpid() != self.process:
                plugins.use(self.plugins)
            self.results.append(self.job(cfg))
        except Exception as error:
            self.crash = self.crash or error
            self.results += self.crashed(error)
        if os.getpid() != self.process:
            letter = self.mailbox / f"{HydraConfig.get().job.num:06}"
            letter.write_bytes(pickle.dumps((self.results[-1:], self.crash)))

    def collect(self) -> None:
        """Take in what other processes have left."""
        for letter in sorted(self.mailbox.iterdir()):
            results, crash = pickle.loads(letter.read_bytes())
            self.results += results
            self.crash = self.crash or crash

    def crashed(self, error: Exception) -> list[Any]:
        """What a job leaves that raised."""
        return []

    def check(self, cfg: DictConfig) -> None:
        """Raises UserError for what no sweep may hold, called with every job before the first."""
        return

    @abstractmethod
    def job(self, cfg: DictConfig) -> Any:
        """Do one job, given its composed configuration."""


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A composed configuration as plain containers, without Hydra's own part. Raises UserError."""
    with refusals():
        raw = OmegaConf.to_container(cfg, resolve=False)
        assert isinstance(raw, dict)
        raw.pop("hydra", None)
        if str(raw).count("${") > MOST_INTERPOLATIONS:
            raise UserError(f"More than {MOST_INTERPOLATIONS} interpolations are no configuration.")
        raw = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(raw, dict)
    if "experiment" in raw:
        raise UserError("An experiment's file begins with # @package _global_.")
    return {str(key): value for key, value in raw.items() if key != "hydra"}


@contextmanager
def composing(conf: Path) -> Iterator[None]:
    """For Hydra's ``compose``: fabench's configuration, and refusals as UserErrors."""
    with refusals(), closed(), initialize_config_dir(str(conf), version_base="1.3"):
        yield


def application(
    verb: str,
    args: list[str],
    conf: Path,
    config_name: str,
    make_task: Callable[[str, Path], JobRunner],
) -> tuple[int | None, JobRunner]:
    """Run a Hydra application: a task is called with every job's composed configuration.

    Returns an exit code if Hydra answered a question (--help, --cfg, ...), None if jobs ran, and
    the task with their results and the first error. Raises UserError for what Hydra refuses.
    """
    completes = args[:1] == ["-sc"]
    if "COMP_LINE" not in os.environ and any(arg.startswith("query=") for arg in args):
        raise UserError("query= is the shell's own question, with COMP_LINE: fabench -sc install=.")
    program = "fabench" if completes else f"fabench {verb}"
    command = shlex.join(["fabench", verb, *args])
    aside = partial(TemporaryDirectory, prefix="fabench-")
    with refusals(), aside() as mailbox, aside() as scratch:
        task = make_task(command, Path(mailbox))
        try:
            with closed(task.check), _hydra_as_we_like_it(program), ExitStack() as stack:
                arguments, asks = (args, True) if completes else _arguments(args, conf)
                task.plugins = plugin_names(arguments)
                plugins.use(task.plugins)
                if asks:
                    stack.enter_context(_own_log())
                    stack.enter_context(_one_sentence())
                else:
                    arguments = [_sweeps_folder(scratch), *arguments]
                sys.argv[1:] = arguments
                hydra.main(version_base="1.3", config_path=str(conf), config_name=config_name)(
                    task
                )()
        except SystemExit as stop:
            return int(stop.code or 0), task
        task.collect()
    if asks:
        return 0, task
    if not task.results and task.crash is None:
        raise UserError("The sweep is empty: no option matches.")
    return None, task


def _arguments(args: list[str], conf: Path) -> tuple[list[str], bool]:
    """Hydra's arguments, checked: overrides in one piece, as argparse wants them, then flags. And
    whether they ask Hydra for information instead of a run. Raises UserError."""
    overrides = [arg for arg in args if arg.startswith("~") or ("=" in arg and arg[0] != "-")]
    flags = [arg for arg in args if arg not in overrides]
    asked = get_args_parser().parse_args([*overrides, *flags])
    if asked.experimental_rerun is not None:
        raise UserError("--experimental-rerun runs what a pickle holds: give the overrides again.")
    if asked.config_path is not None:
        raise UserError(
            f"--config-path={asked.config_path} leaves out fabench's own groups: "
            "--config-dir adds yours to them."
        )
    if asked.config_name is not None:
        raise UserError(
            f"--config-name={asked.config_name}: fabench has its own; put yours as an option into "
            "DIR/experiment, and give --config-dir DIR experiment=NAME."
        )
    # what is no override either stands behind them, and is refused like them
    checked_ones = [checked(override, conf) for override in asked.overrides]
    if asked.hydra_help:  # of no configuration of ours: with Hydra's logging, which doors.py closes
        return ["hydra/hydra_logging=none", "hydra/job_logging=none", "--hydra-help"], True
    if asked.package is not None and asked.cfg is None:
        raise UserError(f"--package={asked.package} is a part of what --cfg shows: give it, too.")
    queries = (asked.cfg, asked.info, asked.help, asked.shell_completion)
    return [*checked_ones, *flags], any(queries)


# -- Hydra's habits --------------------------------------------------------------------------


@contextmanager
def _hydra_as_we_like_it(program: str) -> Iterator[None]:
    """Give Hydra a name; let it and argparse raise errors instead of printing them."""

    def error(parser: argparse.ArgumentParser, message: str) -> None:
        raise UserError(f"{message}: see {parser.prog} --help.")

    environment = {**os.environ, "HYDRA_FULL_ERROR": "1"}
    with (
        patch.object(sys, "argv", [program]),
        patch.dict(os.environ, environment),
        patch.object(argparse.ArgumentParser, "error", error),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", r"\s*Running Hydra app with --multirun")
        yield


@contextmanager
def _own_log() -> Iterator[None]:
    """Let Hydra log to standard output, where --info answers, and there only."""
    root = logging.getLogger()
    level = root.level
    try:
        with patch.object(root, "handlers", []):
            yield
    finally:
        root.setLevel(level)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Where Hydra writes to standard error that a question has no answer, and exits: a UserError
    that says so (-p of a package that is not there)."""
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            yield
    except SystemExit as stop:
        if stop.code == 1 and said.getvalue():
            raise UserError(f"{said.getvalue().strip()}.") from None
        raise
    sys.stderr.write(said.getvalue())


def _sweeps_folder(scratch: str) -> str:
    """The override of the folder where Hydra writes multirun.yaml, which nobody reads."""
    return f"hydra.sweep.dir={QuotedString(scratch, Quote.single).with_quotes()}"


@contextmanager
def refusals() -> Iterator[None]:
    """What Hydra refuses, as a UserError of one sentence."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise UserError("A configuration file is not UTF-8.") from error
    except RecursionError as error:
        raise UserError("A configuration file leads to itself.") from error
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
    from fabench.schema import nearest

    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        known = [str(option) for option in error.options]
        extra = " (any integer works)" if group in NUMBERED else ""
        if group in NUMBERED:  # not those that this process has registered
            known = [option for option in known if not option.isdigit()] or ["3"]
        return f"{group}={name} is not an option{extra}{nearest(name, known)}"
    composing = re.match(r"In '(.*)': \w+ raised while composing config:\n(.*)", str(error))
    if composing:
        found = re.search(r"full_key: (\S+)", str(error))
        place = f"{composing[1]}: {found[1]}" if found else composing[1]
        return f"{place}: {composing[2].rstrip('.')}."
    text = " ".join(str(getattr(cause, "msg", None) or cause).split("\n")[0].split())
    sweep = re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.*)'", text)
    if sweep:
        return f"{short(sweep[1])}: several values are a sweep, which needs -m."
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.parent_node is not None:
        if cause.full_key == "optimizer":  # a group like all others, which only such a rule lacks
            request = re.search(r"optimizer[\w.]*", str(error))
            assert request
            return no_optimizer(request[0], cause.parent_node._get_root().learning_rule.name)
        return (
            f"{cause.full_key} is not a setting{_instead(str(cause.full_key), cause.parent_node)}"
        )
    text = re.sub(r"^\w+ raised while resolving interpolation: ", "", text).rstrip(".")
    if text.startswith("invalid literal"):
        text = "a list's items have numbers, not names"
    key = getattr(cause, "full_key", None)
    return f"{text}." if key is None or key in text else f"{key}: {text}."


def _instead(key: str, parent: Container) -> str:
    """A sentence's end: the setting of this name elsewhere, the closest beside it, or all there."""
    from fabench.schema import nearest

    path, _, name = key.rpartition(".")
    root: Any = OmegaConf.to_container(parent._get_root(), resolve=False)
    for group, settings in root.items():
        if group != "hydra" and isinstance(settings, dict) and name in settings:
            return f"; did you mean {group}.{name}?"
    beside = [str(other) for other in parent if other not in ("name", "hydra")]
    if not beside:
        option = root.get(path)  # of a group, which has no settings
        named = isinstance(option, dict) and "name" in option
        return f": {path}={option['name']} has none." if named else f": {path} is a value."
    return nearest(key, [f"{path}.{other}".lstrip(".") for other in beside])
