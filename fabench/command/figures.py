"""``fabench figures``: compute what a figure or table needs and is missing, then draw it.

A recipe is a module of ``fabench.figure.recipe``, or of a plugin's: EXPERIMENTS names the sweeps in
conf/experiment whose runs it needs, and ``draw`` (a figure) or ``tabulate`` (a table) makes it from
their dataframe (figure/data.py), or from what the recipe's ``data`` makes of that. Intervals are
those of the mean over seeds, unless the recipe says so: INTERVAL.

A run whose networks have all diverged stops a recipe, unless that has DIVERGENCE: it counts them.

What it is made from is kept as outputs/data/<name>.csv, and ``--from-data`` makes it from that file
alone, but for recipes that need more of the runs than their metrics: FROM_RUNS says what. A recipe
whose runs are those of others has FIGURES, their names, and keeps nothing: theirs are its data.
"""

import functools
import importlib
import json
import shlex
from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from types import ModuleType

import pandas as pd
import torch
from hydra import compose
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig
from rich.table import Table

from fabench.command.bench.measure import alternate, repeated
from fabench.command.hydra_app import composing, plain
from fabench.command.overrides import check_number_of_jobs, checked, plugin_names
from fabench.figure import style
from fabench.figure.data import dataframe, kept, read
from fabench.figure.table import markdown
from fabench.population.precision import NumberFormat
from fabench.run import environment, plugins
from fabench.run.cluster import carry_out
from fabench.run.config import Config, resolve_device
from fabench.run.costs import multiply_adds
from fabench.run.execute import find, populations
from fabench.run.parsing import parse
from fabench.run.progress import console
from fabench.run.store import RunFolder, now, write_json, write_text
from fabench.schema import RunFailed, UserError, nearest

INTERVAL = "Student-t 95 % interval of the mean over seeds"
"""What a recipe's intervals are, if it does not say otherwise; "" where it has none."""

FROM_DATA = "--from-data"

PRODUCTS = 0.5
"""The part of a plan's time that matrix products take, roughly."""


def recipes() -> dict[str, ModuleType]:
    """Every recipe by name: fabench's, then those of plugins in use. Raises UserError."""
    names = plugins.own_options(plugins.FIGURE)
    known = {name: importlib.import_module(f"fabench.figure.recipe.{name}") for name in names}
    for plugin in plugins.USED.values():
        for name in plugin.options(plugins.FIGURE):
            known[name] = module = plugins.imported(f"{plugin.name}.figure.recipe.{name}")
            makes = hasattr(module, "draw") or hasattr(module, "tabulate")
            if not hasattr(module, "EXPERIMENTS") or not makes:
                raise UserError(f"{module.__name__} lacks EXPERIMENTS, or both draw and tabulate.")
    return known


def figures(args: Sequence[str], conf: Path) -> int:
    """Make the named recipes, with Hydra overrides for all their runs.

    ``all`` stands for every recipe but those that say ON_REQUEST.
    """
    command = shlex.join(["fabench", "figures", *args])
    overrides = [arg for arg in args if "=" in arg]
    names = [arg for arg in args if "=" not in arg and arg != FROM_DATA] or ["all"]
    plugins.use(plugin_names(overrides))
    if "--list" in args:
        plugins.use_all_installed()
    for name in names:
        if name not in plugins.own_options(plugins.FIGURE):
            plugins.use_installed(plugins.FIGURE, name)
    known = recipes()
    if "--list" in args:
        width = max(map(len, known))
        for name, module in known.items():
            title = (module.__doc__ or "").splitlines()[0]
            mark = " [not in all]" if hasattr(module, "ON_REQUEST") else ""
            console.print(f"{name:<{width}} {title}{mark}", soft_wrap=True)
        return 0
    from_data = FROM_DATA in args
    for override in overrides:
        if override.split("=")[0].strip("+~") == "experiment":
            raise UserError(f"{override}: a figure's experiments are its own; fabench run has it.")
    if names == ["all"]:
        names = [name for name, module in known.items() if not hasattr(module, "ON_REQUEST")]
    for name in names:
        if name not in known:
            raise UserError(f"There is no figure {name}{nearest(name, list(known))}")
    composed = functools.cache(lambda experiment: configs_of([experiment], overrides, conf))
    experiments = {name: () if from_data else known[name].EXPERIMENTS for name in names}
    needed = {
        name: _distinct(c for experiment in own for c in composed(experiment))
        for name, own in experiments.items()
    }
    every = [config for configs in needed.values() for config in configs]
    first = every[0] if every else composed("")[0]  # what is made may need no runs
    if from_data:
        for name in names:
            files = map(str, _files(name, known[name], first))
            console.print(f"{name}: from {', '.join(files)}", soft_wrap=True)
    else:
        _show_plan(needed)
    if first.general.dry_run:
        return 0
    errors = {o.config.identity(): o.error for o in carry_out(every, command) if o.error}
    failed = 0
    for name, configs in needed.items():
        try:
            for c in configs:
                error = errors.get(c.identity())
                counts = hasattr(known[name], "DIVERGENCE") and RunFolder(c).status == "failed"
                if error and not counts:
                    raise error
            whose = {  # the first that has the run
                c.identity(): experiment
                for experiment in reversed(experiments[name])
                for c in composed(experiment)
            }
            runs = None if from_data else dataframe(configs, whose)
            frame = _data(name, known[name], first, runs)
            for path in make(name, known[name], frame, first, command):
                console.print(f"{name}: {path}", soft_wrap=True)
        except (UserError, RunFailed) as error:
            console.print(f"{name}: not made: {error}", soft_wrap=True)
            failed += 1
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            if not from_data and all(override.startswith("plugins=") for override in overrides):
                raise  # what is wrong is the recipe
            source, advice = "its runs lack", ""
            if from_data:
                source, advice = f"{_file(name, first)} lacks", ": leave --from-data out"
            fault = f"{source} what is drawn ({error}){advice}."
            console.print(f"{name}: not made: {fault}", soft_wrap=True)
            failed += 1
    if failed:
        raise RunFailed(f"{failed} of {len(names)} figures could not be made.")
    return 0


def configs_of(experiments: Sequence[str], overrides: Sequence[str], conf: Path) -> list[Config]:
    """The runs of the experiments' sweeps ("": of none), each once; an override may sweep, too."""
    configs = []
    given = [checked(override, conf) for override in overrides]
    parsed = OverridesParser.create().parse_overrides(given)
    sweeps = [text for text, o in zip(given, parsed, strict=True) if o.is_sweep_override()]
    fixed = [text for text in given if text not in sweeps]
    with composing(conf):
        for experiment in experiments:
            base = [f"experiment={experiment}"] * bool(experiment) + fixed
            of_choices: dict[tuple[str, ...], DictConfig] = {}
            for job in _jobs(base, sweeps):
                configs.append(parse(plain(_composed(base, job, of_choices))))
    return _distinct(configs)


def _composed(
    base: list[str], job: list[str], of_choices: dict[tuple[str, ...], DictConfig]
) -> DictConfig:
    """What Hydra composes of a job. It takes long, and most jobs differ in numbers (a key with a
    dot) alone: these are set in what is composed once ``of_choices`` of options."""
    numbers = [override for override in job if "." in override.split("=")[0]]
    choices = tuple(override for override in job if override not in numbers)
    if choices not in of_choices:
        of_choices[choices] = compose("config", [*base, *choices])
    config = deepcopy(of_choices[choices])
    parsed = OverridesParser.create().parse_overrides(numbers)
    ConfigLoaderImpl._apply_overrides_to_config(parsed, config)
    return config


def _distinct(configs: Iterable[Config]) -> list[Config]:
    return list({config.identity(): config for config in configs}.values())


def _jobs(base: list[str], sweeps: Sequence[str] = ()) -> list[list[str]]:
    """The overrides of every job of an experiment's sweep, as Hydra's sweeper would list them;
    ``sweeps`` take the place of the experiment's own."""
    composed: DictConfig = compose("config", base, return_hydra_config=True)
    params = composed.hydra.sweeper.params or {}
    taken = {override.split("=")[0] for override in [*base, *sweeps]}
    own = [f"{key}={value}" for key, value in map(_strings, params.items()) if key not in taken]
    check_number_of_jobs([*own, *sweeps], composed.max_jobs)
    parsed = OverridesParser.create().parse_overrides([*own, *sweeps])
    [jobs] = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [list(job) for job in jobs]


def _strings(pair: tuple[object, object]) -> tuple[str, str]:
    return str(pair[0]), str(pair[1])


# -- The plan --------------------------------------------------------------------------------


def _show_plan(needed: dict[str, list[Config]]) -> None:
    """What is finished, what will train, and about how long that takes."""
    shown = Table("figure", "runs", "finished")
    for name, configs in needed.items():
        finished = sum(RunFolder(c).status == "finished" for c in configs)
        shown.add_row(name, str(len(configs)), str(finished))
    console.print(shown)
    every = {c.identity(): c for configs in needed.values() for c in configs}
    groups = populations(list(map(find, every.values())))
    waiting = [outcome for group in groups for outcome in group]
    epochs = sum(o.epochs_left * len(o.config.seeds) for o in waiting)
    text = f"{len(waiting)} runs to train in {len(groups)} populations: {epochs:,} network epochs"
    if waiting and waiting[0].config.general.cluster.name == "none":
        rate = PRODUCTS * _multiply_adds_per_second(waiting[0].config)
        minutes = sum(multiply_adds(o.config, o.epochs_left) for o in waiting) / rate / 60
        text += f", about {minutes:.0f} min on this machine"
    console.print(text + ".", soft_wrap=True)


def _multiply_adds_per_second(config: Config) -> float:
    """What this machine does on the shapes of a k=3 population, in the run's precision."""
    device = resolve_device(config)
    operand = NumberFormat(config.precision, device)
    x = operand(torch.randn(3, 128, 2352, device=device))
    W = operand(torch.randn(3, 2352, 512, device=device))
    [seconds] = alternate([repeated(lambda: x @ W)], 0.02, 5, device)
    return 3 * 128 * 2352 * 512 / seconds


# -- The figures -----------------------------------------------------------------------------


def _file(name: str, any_run: Config) -> Path:
    """Where is kept what a figure is drawn from."""
    return Path(any_run.general.output_dir) / "data" / f"{name}.csv"


def _files(name: str, module: ModuleType, any_run: Config) -> list[Path]:
    """What a recipe is made from: its own data, or those of the figures that have its runs."""
    return [_file(figure, any_run) for figure in getattr(module, "FIGURES", (name,))]


def _data(
    name: str, module: ModuleType, any_run: Config, frame: pd.DataFrame | None
) -> pd.DataFrame:
    """What the recipe draws from: of these runs, which is kept; None: what was kept.

    ``any_run`` says where files are. Raises UserError if there is none.
    """
    of_others = hasattr(module, "FIGURES")
    if not module.EXPERIMENTS:
        frame = dataframe([])
    elif frame is not None and not of_others:
        file = _file(name, any_run)
        frame = kept(module.data(frame) if hasattr(module, "data") else frame, file)
    elif frame is None and hasattr(module, "FROM_RUNS"):
        raise UserError(f"it needs {module.FROM_RUNS} of its runs: leave {FROM_DATA} out.")
    elif frame is None:
        frame = pd.concat(map(read, _files(name, module, any_run)))
        if of_others:  # two may have a run
            frame = frame.drop_duplicates(["folder", "seed", "epoch"])
    frame.attrs["data_dir"] = any_run.general.data_dir
    frame.attrs["output_dir"] = any_run.general.output_dir
    return frame


def _hardware(frame: pd.DataFrame, any_run: Config) -> str:
    """What computes here, or has computed the runs in a scheduler's jobs."""
    if any_run.general.cluster.name == "none" or "folder" not in frame:
        return environment.hardware(resolve_device(any_run))
    folders = [RunFolder.at(Path(folder)) for folder in frame.folder.unique()]
    computed = [folder.manifest()["environment"] for folder in folders]
    return ", ".join(sorted({of_run["gpu"] or of_run["cpu"] for of_run in computed}))


def _counts(frame: pd.DataFrame) -> str:
    """How many seeds a run has: one number, or from which to which."""
    if "folder" not in frame:
        return str(frame.seed.nunique())
    counts = frame.groupby("folder").seed.nunique()
    return " to ".join(str(n) for n in sorted({counts.min(), counts.max()}))


def make(
    name: str, module: ModuleType, frame: pd.DataFrame, any_run: Config, command: str
) -> list[Path]:
    """Draw or tabulate, and write the files with their caption data. Returns their paths.

    ``any_run`` says where files go, and what computes.
    """
    caption = {
        "Title": (module.__doc__ or "").splitlines()[0],
        "command": command,
        "runs": [Path(folder).name for folder in frame.get("folder", frame.seed).unique()],
        "seeds": sorted(set(frame.seed.tolist())),
        "interval": getattr(module, "INTERVAL", INTERVAL),
        "commit": environment.commit(),
        "hardware": _hardware(frame, any_run),
        "made": now(),
    }
    is_table = hasattr(module, "tabulate")
    folder = Path(any_run.general.output_dir) / ("tables" if is_table else "figures")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{kind}" for kind in (("csv", "md") if is_table else ("png", "pdf"))]
    if is_table:
        table = module.tabulate(frame)
        write_text(paths[0], table.to_csv(index=False))
        write_text(paths[1], markdown(table))
    else:
        figure = module.draw(frame)
        if not style.shows_data(figure):
            raise LookupError("the figure is empty")
        if caption["interval"] and caption["seeds"]:
            style.footnote(figure, f"{caption['interval']}; {_counts(frame)} seeds")
        texts = {key: v if isinstance(v, str) else json.dumps(v) for key, v in caption.items()}
        style.save(figure, paths[0], texts)
        subject = f"{command}; {caption['interval']}; commit {caption['commit']}"
        style.save(figure, paths[1], {"Title": texts["Title"], "Subject": subject})
    write_json(folder / f"{name}.json", caption)
    return paths
