"""Configuration is data: what a file of the user's may say, checked while Hydra composes it.

Hydra would run what ``hydra.callbacks`` names, set environment variables and write where it is
told. Here, options come from fabench's groups, also those of ``--config-dir``, and set fabench's
settings; of Hydra's own they may set ``hydra.mode`` and ``hydra.sweeper.params`` and choose
``hydra/launcher`` by name. For overrides: overrides.py.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from fabench.command.overrides import PATHS, check_number_of_jobs, checked, groups, tuned_names
from fabench.run import plugins
from fabench.schema import UserError, short

USERS = ("command-line", "plugin")
"""Who provides options that are not fabench's: --config-dir, and plugins in their folder conf."""

MOST_NODES, MOST_LEVELS, MOST_BYTES = 10_000, 50, 2**20
"""Of a user's file, aliases written out."""

POPULATION = "hydra_plugins.fabench_launcher.PopulationLauncher"
"""Trains a sweep's jobs side by side: hydra/launcher=population, unless another one is chosen."""

OF_HYDRA = {
    "hydra/config", "hydra/output/default", "hydra/sweeper/basic", "hydra/env/default",
    "hydra/help/default", "hydra/hydra_help/default", "hydra/hydra_logging/none",
    "hydra/job_logging/none",
}  # fmt: skip
"""The options of Hydra's own groups that fabench runs with, whatever the launcher."""


Check = Callable[[DictConfig], None]


def _nothing(_: DictConfig) -> None:
    pass


@contextmanager
def closed(check: Check = _nothing) -> Iterator[None]:
    """Within this context Hydra composes what is data, and refuses the rest; of a sweep it composes
    every job, for ``check`` to raise UserErrors, before it runs the first."""
    with patch("hydra._internal.hydra.ConfigLoaderImpl", partial(Loader, check)):
        yield


class Repository(ConfigRepository):
    """Hydra's store of options: a path has one spelling, a user's file is read with care, and once
    for all jobs of a command."""

    def __init__(self, config_search_path: Any) -> None:
        super().__init__(config_search_path)
        self.loaded: dict[str, ConfigResult] = {}

    def initialize_sources(self, config_search_path: Any) -> None:
        super().initialize_sources(config_search_path)
        for plugin in plugins.USED.values():
            self._add(plugin)

    def _add(self, plugin: plugins.Plugin) -> None:
        """The options in a plugin's folder conf, before Hydra's schemas, which stand last."""
        self.sources.insert(-1, FileConfigSource("plugin", f"file://{plugin.folder / 'conf'}"))

    def _find_object_source(
        self, config_path: str, object_type: ObjectType | None
    ) -> ConfigSource | None:
        found = super()._find_object_source(config_path, object_type)
        if found is None and object_type == ObjectType.CONFIG:
            plugin = plugins.use_installed(*config_path.rpartition("/")[::2])
            if plugin is not None:
                self._add(plugin)
                found = super()._find_object_source(config_path, object_type)
        return found

    def __deepcopy__(self, memo: Any) -> "Repository":
        return copy(self)  # Hydra composes every job with a copy

    def load_config(self, config_path: str) -> ConfigResult | None:
        if config_path in self.loaded:
            known = self.loaded[config_path]
            return replace(known, config=deepcopy(known.config))  # Hydra merges into it
        group, _, name = config_path.partition("/")
        parts = config_path.split("/")
        if ({"", ".", ".."} & set(parts) and name) or name.endswith((".yaml", ".yml")):
            raise UserError(f"{group}={name} is no option's name: fabench list {group} has them.")
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        file = f"{config_path}.yaml"
        if source is not None and source.provider in USERS:
            check_file(Path(source.path, file))
        elif source is not None:
            for other in self.sources:
                if other.provider in USERS and (other_file := Path(other.path, file)).exists():
                    raise UserError(
                        f"{other_file}: fabench has a {config_path} of its own; rename yours."
                    )
        result = super().load_config(config_path)
        if result is not None:
            self.loaded[config_path] = replace(result, config=deepcopy(result.config))
        return result


class Loader(ConfigLoaderImpl):
    """Hydra's composer: an option sets what it may, and one that was chosen exists."""

    def __init__(self, check: Check, config_search_path: Any) -> None:
        self.check = check
        self.jobs: dict[tuple[str, ...], DictConfig] = {}
        self.config_search_path = config_search_path
        self.repository = Repository(config_search_path)
        [self.conf] = [Path(s.path) for s in self.get_sources() if s.provider == "main"]

    def list_groups(self, parent_name: str) -> list[str]:
        """For --help, which would list hundreds of tuned rates: these are not chosen by name."""
        return [name for name in super().list_groups(parent_name) if name != "tuned"]

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        asks_for_mode = run_mode == RunMode.MULTIRUN and not validate_sweep_overrides
        if asks_for_mode and not self._may_have_mode(overrides):
            return OmegaConf.create({"hydra": {"mode": None}})
        try:
            cfg: DictConfig = super().load_configuration(
                config_name, overrides, run_mode, from_shell, validate_sweep_overrides
            )
        except (
            AssertionError,
            AttributeError,
            TypeError,
        ) as error:  # a list's item x, say
            ours = ("hydra.mode", "hydra.sweep.dir")
            given = " ".join(o for o in overrides if not o.startswith(ours))
            raise UserError(f"{short(given)}: one of these cannot be set so.") from error
        if config_name is None:  # --hydra-help
            return cfg
        if cfg.hydra.runtime.choices["hydra/launcher"] == "basic" and not any(
            override.startswith("hydra/launcher=") for override in overrides
        ):  # nobody has chosen one: config.yaml's choice would win over an experiment's
            cfg.hydra.launcher = {"_target_": POPULATION}
        if run_mode == RunMode.RUN:  # before a sweep choices may be several
            self._check_tuned(cfg.hydra.runtime.choices)
        elif not asks_for_mode:  # there Hydra takes no no
            self._check_sweep(cfg)
        for key in PATHS:
            if not OmegaConf.is_interpolation(cfg, key) and str(cfg.get(key)).startswith("~"):
                path = cfg[key]
                cfg[key] = os.path.expanduser(path)
                if cfg[key] == path:
                    raise UserError(f"{key}={path}: there is no such user's home.")
        return cfg

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """Once to be checked; our launcher, which holds all of them, takes what was checked."""
        key = tuple(sweep_overrides)
        if key in self.jobs:
            return self.jobs.pop(key)
        cfg = super().load_sweep_config(master_config, sweep_overrides)
        self.check(cfg)
        if master_config.hydra.launcher._target_ == POPULATION:
            self.jobs[key] = cfg
        return cfg

    def _may_have_mode(self, overrides: list[str]) -> bool:
        """Whether hydra.mode may be set: if not, nothing is composed to see it. Of fabench's own
        files experiments have it; where Hydra finds none, flags decide."""
        users = any(source.provider in USERS for source in self.get_sources())
        return users or any(re.search(r"experiment|hydra\.mode", o) for o in overrides)

    def _check_tuned(self, choices: Mapping[str, Any]) -> None:
        """The rates that belong to a run's choices are taken where there are any: Hydra ignores
        what it does not find, also where it was asked for."""
        for key, own in tuned_names(choices).items():
            name = choices.get(key)
            if name not in (None, own) and not self.repository.config_exists(f"tuned/{name}"):
                raise UserError(f"{key}={name} is not an option: fabench list tuned has them.")

    def _check_sweep(self, cfg: DictConfig) -> None:
        """An option's own sweep is made of overrides, too."""
        params = cfg.hydra.sweeper.get("params") or {}
        own = [checked(f"{key}={value}", self.conf) for key, value in params.items()]
        with open_dict(cfg.hydra.sweeper):
            cfg.hydra.sweeper.params = dict(override.split("=", 1) for override in own)
        given: Any = OmegaConf.to_container(cfg.hydra.overrides.task)
        check_number_of_jobs([*own, *given], cfg.max_jobs)

    def _load_single_config(self, default: ResultDefault, repo: Any) -> ConfigResult:
        result = super()._load_single_config(default, repo)
        path, users = str(default.config_path), result.provider in USERS
        where = str(Path(result.path.removeprefix("file://"), path)) + ".yaml" if users else path
        group, _, _ = path.partition("/")
        if result.provider == "main" and group == path and not default.package:
            return result  # conf/config.yaml and the like, in their place
        if group == "hydra" and not users:
            if path in OF_HYDRA or path.startswith("hydra/launcher/"):
                return result
            raise UserError(f"{path} is closed: of Hydra's groups choose hydra/launcher only.")
        if group not in groups(self.conf):
            raise UserError(f"{where}: {group} is no group of fabench; see fabench list.")
        settings = OmegaConf.to_container(result.config)
        if users and isinstance(settings, dict) and "plugins" in settings:
            raise UserError(
                f"{where} sets plugins: they are code, and only the command line can name them."
            )
        if users and group == "experiment" and isinstance(settings, dict) and "k" in settings:
            raise UserError(
                f"{where} sets k, which is a group, for good: write - override /k: "
                f'"{settings["k"]}" into its defaults.'
            )
        hydra = settings.get("hydra") if isinstance(settings, dict) else None
        for key in _keys(hydra):
            if not re.fullmatch(r"hydra\.mode|hydra\.sweeper\.params(\..+)?", key):
                raise UserError(
                    f"{where} sets {key}: configuration is data, and of Hydra's settings an option "
                    "has hydra.mode and hydra.sweeper.params, and a launcher by name."
                )
        return result


def _keys(node: Any, prefix: str = "hydra") -> Iterator[str]:
    """The dotted keys of a configuration's leaves."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _keys(value, f"{prefix}.{key}")
    elif node is not None:
        yield prefix


def check_file(file: Path) -> None:
    """Raises UserError if a YAML file names code or is larger than any configuration, its aliases
    written out: before these are, by OmegaConf. YAMLError if it is none."""
    if file.stat().st_size > MOST_BYTES:
        raise UserError(f"{file} is larger than any configuration.")
    sizes: dict[str, int] = {}  # of what an anchor stands for
    open_nodes: list[tuple[str | None, int]] = []  # their anchors, and the nodes before them
    nodes = 0
    with file.open(encoding="utf-8") as stream:
        for event in yaml.parse(stream, Loader=yaml.SafeLoader):
            before = nodes
            if isinstance(event, yaml.CollectionEndEvent):
                anchor, before = open_nodes.pop()
            elif isinstance(event, yaml.AliasEvent):
                nodes += sizes.get(str(event.anchor), MOST_NODES)  # its own part: without end
                continue
            elif isinstance(event, yaml.NodeEvent):
                nodes, anchor = nodes + 1, event.anchor
                if isinstance(event, yaml.CollectionStartEvent):
                    open_nodes.append((anchor, before))
                    anchor = None
                elif isinstance(event, yaml.ScalarEvent) and event.value == "_target_":
                    raise UserError(f"{file}: _target_ names code, and configuration is data.")
            else:
                continue
            if anchor is not None:
                sizes[anchor] = nodes - before
            if nodes > MOST_NODES or len(open_nodes) > MOST_LEVELS:
                raise UserError(f"{file} is larger or deeper than any configuration.")
