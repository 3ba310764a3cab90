"""``fabench bench``: seconds per epoch and network, side by side with other ways to train.

Contenders take turns in one process and the median counts. An epoch is extrapolated from as many
steps as fit into ``bench.seconds``. Evaluation is not timed.
"""

import copy
import functools
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import pandas as pd
import torch
from hydra import compose
from pydantic import Field
from pydantic.dataclasses import dataclass
from rich.table import Table

from fabench.command.bench.contenders import CONTENDERS, Contender, Problem, available
from fabench.command.bench.loops import LoopName
from fabench.command.bench.measure import alternate, bound_of_step, peak_bytes, reset_peak
from fabench.command.bench.networks import beside_others
from fabench.command.bench.plain import check_heeded, check_plain
from fabench.command.hydra_app import composing, plain
from fabench.command.overrides import checked, plugin_names
from fabench.dataset.base.dataset import Dataset
from fabench.dataset.base.items import Data
from fabench.figure.table import markdown
from fabench.population.cuda_graph import Replayed
from fabench.population.examples import Examples, Feed
from fabench.population.metrics import evaluate
from fabench.population.population import Row
from fabench.population.precision import Precision, cpu_has_bf16
from fabench.run import plugins
from fabench.run.config import Config, resolve_device
from fabench.run.costs import check_memory
from fabench.run.environment import describe
from fabench.run.parsing import parse
from fabench.run.progress import console
from fabench.run.registry import validated
from fabench.run.store import now, write_json, write_text
from fabench.run.trainer import population_of
from fabench.schema import STRICT, Count, Rate, UserError

ContenderName = Literal["fabench", "autograd", "compiled", "dataloader", "vmap", "jax"]

MOST_ONE_BY_ONE = 24
"""Networks up to which contenders are measured that train one after the other."""

AT_LEAST_ONE = Field(min_length=1)


@dataclass(frozen=True, config=STRICT)
class Settings:
    """What to measure; see conf/bench.yaml."""

    rules: list[Literal["bp", "dfa"]]  # none: only what scaling measures
    k: Annotated[list[Count], AT_LEAST_ONE]
    populations: Annotated[list[Count], AT_LEAST_ONE] | None
    contenders: Annotated[list[ContenderName], AT_LEAST_ONE]
    precisions: Annotated[list[Precision], AT_LEAST_ONE] | None
    seconds: Rate
    repetitions: Annotated[int, Field(ge=1)]
    scaling: bool
    models: list[str]
    products: list[str]
    loops: list[LoopName]


def bench(args: Sequence[str], conf: Path) -> int:
    """Measure, print tables, write them to outputs/tables. Returns the exit code."""
    check_heeded(args)
    raw = composed(args, conf)
    settings = validated(Settings, raw.pop("bench"), prefix="bench.")
    config = parse(raw)
    if config.optimizer is None or config.optimizer.name != "sgd":
        raise UserError("fabench bench compares plain SGD; the other optimizers have a row each.")
    if config.general.cluster.name != "none":
        raise UserError("fabench bench measures this machine: cluster=none only.")
    if config.task.name != "parity":
        raise UserError("fabench bench compares one output's cross-entropy: task=parity only.")
    device = resolve_device(config)
    populations = settings.populations or [1, 3, 24, *_large(device)]
    for k in settings.k:
        check_memory(parse(_changed(raw, "dfa", k)), max(populations))
    precisions = settings.precisions or _precisions(device)
    contenders = list(available(settings.contenders))
    command = shlex.join(["fabench", "bench", *args])
    folder = Path(config.general.output_dir) / "tables"
    suffix = "" if device.type == "cpu" else f"_{device.type}"
    rows: list[dict[str, Any]] = []
    for rule, k, n in product(settings.rules, settings.k, populations):
        compared = compare(_changed(raw, rule, k), n, contenders, precisions, settings)
        _show(compared)
        rows += compared
        _write(folder / f"bench{suffix}", pd.DataFrame(rows), command, device)
    if settings.scaling:
        scaling = [
            *start_up(conf, args),
            *start_up_of_a_finished_run(settings.repetitions),
            *parts_of_an_epoch(raw, settings),
            *against_size(raw, settings, lambda name: composed([*args, f"optimizer={name}"], conf)),
        ]
        table = Table("", "", "seconds", title="start-up; per epoch and network (dfa)")
        for row in scaling:
            table.add_row(row["what"], str(row["value"]), f"{row['seconds']:.3g}")
        console.print(table)
        _write(folder / f"bench_scaling{suffix}", pd.DataFrame(scaling), command, device)
    own = [arg for arg in args if arg.startswith(("trainer.", "bench.", "plugins="))]

    def chosen(*choices: str) -> Config:
        config = parse(composed([*own, *choices], conf) | {"bench": None})
        check_plain(config, "trainer.", "model.input_dropout", "model.hidden_dropout")
        return config

    networks = beside_others(
        chosen,
        settings.models,
        settings.products,
        settings.loops,
        settings.seconds,
        settings.repetitions,
    )
    if networks:
        _write(folder / f"bench_networks{suffix}", pd.DataFrame(networks), command, device)
    console.print(f"Tables: {folder}/bench*.csv", soft_wrap=True)
    return 0


def composed(args: Sequence[str], conf: Path) -> dict[str, Any]:
    """conf/bench.yaml with overrides, as plain containers. Raises UserError."""
    flags = [arg for arg in args if "=" not in arg]
    if flags:
        raise UserError(
            f"fabench bench takes settings, not {flags[0]}: bench.rules=, bench.k=, "
            "bench.populations=, ... (conf/bench.yaml) and those of fabench run."
        )
    plugins.use(plugin_names(args))
    with composing(conf):
        return plain(compose("bench", [checked(arg, conf) for arg in args]))


def _large(device: torch.device) -> list[int]:
    """Populations for a GPU alone."""
    return [96, 384] if device.type == "cuda" else []


def _precisions(device: torch.device) -> list[Precision]:
    if device.type == "cuda":
        return ["fp32", "tf32", "bf16"]
    return ["fp32", "bf16"] if cpu_has_bf16() else ["fp32"]


def _shared_precision(device: torch.device) -> Precision:
    """What contenders of one precision compute in: the fastest that takes and gives float32."""
    return "tf32" if device.type == "cuda" else "fp32"


def _changed(raw: dict[str, Any], rule: str, k: int) -> dict[str, Any]:
    changed = copy.deepcopy(raw)
    changed["learning_rule"], changed["k"] = {"name": rule}, k
    return changed


# -- One comparison --------------------------------------------------------------------------


def problem(raw: dict[str, Any], n_networks: int, precision: Precision | None = None) -> Problem:
    """``n_networks`` networks of up to three seeds, in a sweep of learning rates."""
    raw = copy.deepcopy(raw)
    raw.pop("bench", None)
    if precision is not None:
        raw["trainer"]["precision"] = precision
    config = parse(raw)
    if len(config.model.hidden) != 1 or config.model.bias:
        raise UserError("fabench bench compares networks of one hidden layer, without biases.")
    check_plain(config)
    device, seeds = resolve_device(config), config.seeds[:n_networks]
    scalars, key = config.scalars(), "optimizer.lr"
    rows = [
        Row(seeds[i % len(seeds)], {**scalars, key: scalars[key] / (1 + i // 3)})
        for i in range(n_networks)
    ]
    population = population_of(config, rows, device)
    data = _data(config.dataset, config.general.data_dir)
    own = [row.seed for row in rows]
    examples = Examples(data, config.task, own, device, population.operand)
    epoch = examples.epoch("train", 1)
    if len(epoch) < config.trainer.batch_size:
        raise UserError(
            f"trainer.batch_size={config.trainer.batch_size}: fabench bench counts whole batches, "
            f"and an epoch has {len(epoch)} examples."
        )
    return Problem(config, population, examples, epoch)


@functools.cache
def _data(dataset: Dataset, data_dir: str | None) -> Data:
    """Read and verified once."""
    return dataset.load(data_dir)


def compare(
    raw: dict[str, Any],
    n_networks: int,
    names: Sequence[str],
    precisions: Sequence[Precision],
    settings: Settings,
) -> list[dict[str, Any]]:
    """One row per contender (and precision, for those of every precision), measured in turns."""
    built: list[Contender] = []
    peaks: list[int | None] = []
    device = resolve_device(parse(raw))
    for name in names:
        if CONTENDERS[name].one_by_one and n_networks > MOST_ONE_BY_ONE:
            continue
        every = CONTENDERS[name].every_precision
        for precision in precisions if every else [_shared_precision(device)]:
            before = reset_peak()
            built.append(CONTENDERS[name](problem(raw, n_networks, precision)))
            built[-1].train(2)
            unseen = name == "jax" and device.type == "cuda"  # it has an allocator of its own
            peaks.append(None if unseen else peak_bytes() - before)
    steps = alternate([c.train for c in built], settings.seconds, settings.repetitions, device)
    rows = []
    for contender, step, peak in zip(built, steps, peaks, strict=True):
        p = contender.problem
        precision = p.config.precision
        epoch = step * p.n_batches / n_networks
        bound = bound_of_step(p) * p.n_batches
        rows.append(
            {
                "contender": _name(contender),
                "learning_rule": p.config.learning_rule.name,
                "k": p.config.general.k,
                "population": n_networks,
                "precision": precision,
                "device": device.type,
                "seconds_per_epoch_per_network": epoch,
                "examples_per_second": p.n_batches * p.batch_size / epoch,
                "peak_bytes": peak,
                "bound_seconds": bound,
                "fraction_of_bound": bound / epoch,
            }
        )
    return rows


def _name(contender: Contender) -> str:
    return next(name for name, cls in CONTENDERS.items() if type(contender) is cls)


# -- Start-up and scaling --------------------------------------------------------------------

STAGES = """
import time; t = [time.perf_counter()]; mark = lambda: t.append(time.perf_counter())
import fabench.run.trainer, fabench.command.bench.bench; mark()
from pathlib import Path; from fabench.command.bench.bench import composed
raw = composed({args!r}, Path({conf!r})); mark()
p = fabench.command.bench.bench.problem(raw, 3); mark()
from fabench.command.bench.contenders import Fabench; Fabench(p).train(1); mark()
import json; print(json.dumps([b - a for a, b in zip(t, t[1:])]))
"""


def start_up(conf: Path, args: Sequence[str]) -> list[dict[str, Any]]:
    """Seconds from a new process to the first step."""
    code = STAGES.format(args=list(args), conf=str(conf))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds = json.loads(done.stdout.splitlines()[-1])
    stages = ("import", "configuration", "data and weights", "first step")
    return [
        {"what": "start-up", "value": stage, "seconds": s}
        for stage, s in zip(stages, seconds, strict=True)
    ]


def start_up_of_a_finished_run(repetitions: int) -> list[dict[str, Any]]:
    """Seconds that ``fabench run`` takes where nothing is to be done, beside ``import torch``: both
    in turns, the least of each."""
    with TemporaryDirectory() as folder:
        run = ["-m", "fabench", "run", "debug=smoke", "dataset=digits", f"output_dir='{folder}'"]
        subprocess.run([sys.executable, *run], capture_output=True, check=True)  # it trains
        commands = (["-c", "import torch"], run)
        seconds: list[list[float]] = [[], []]
        for _ in range(repetitions):
            for command, taken in zip(commands, seconds, strict=True):
                began = time.perf_counter()
                subprocess.run([sys.executable, *command], capture_output=True, check=True)
                taken.append(time.perf_counter() - began)
    torch_alone, finished = map(min, seconds)
    times = f"a finished run, {finished / torch_alone:.2f} times import torch"
    return [
        {"what": "start-up", "value": "import torch", "seconds": torch_alone},
        {"what": "start-up", "value": times, "seconds": finished},
    ]


def parts_of_an_epoch(raw: dict[str, Any], settings: Settings) -> list[dict[str, Any]]:
    """Seconds per epoch and network that three networks (k=3) take to train, to gather the
    training data (a part of it), and to be evaluated on the test data."""
    p = problem(_changed(raw, "dfa", 3), 3)
    test = p.examples.epoch("test", 1)
    feed = Feed(p.examples, p.epoch, p.batch_size)
    take = Replayed(feed.take)

    def gather(n: int) -> None:
        if p.population.replays:
            feed.load(p.epoch, 0)
            for _ in range(n):
                take()
            return
        some = p.epoch.first(min(n, p.n_batches) * p.batch_size)
        for _ in p.examples.batches(some, p.batch_size):
            pass

    def test_once(n: int) -> None:
        evaluate(p.population, p.examples, test.first(n * p.batch_size))

    parts = {"train": CONTENDERS["fabench"](p).train, "gather": gather, "evaluate": test_once}
    counts = {"train": p.n_batches, "gather": p.n_batches, "evaluate": len(test) // p.batch_size}
    steps = alternate(
        list(parts.values()), settings.seconds, settings.repetitions, p.population.device,
        list(counts.values()),
    )  # fmt: skip
    return [
        {"what": "part of an epoch", "value": part, "seconds": step * counts[part] / 3}
        | _precision(p)
        for part, step in zip(parts, steps, strict=True)
    ]


def against_size(
    raw: dict[str, Any], settings: Settings, with_optimizer: Callable[[str], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Seconds per epoch and network against optimizer, networks in a sweep, k, hidden units."""
    cases: list[tuple[str, int | str, dict[str, Any], int]] = []
    for name in ("sgd", "momentum", "rmsprop", "adam", "adadelta"):
        cases.append(("optimizer", name, _changed(with_optimizer(name), "dfa", 3), 3))
    device = resolve_device(parse(raw))
    for n in (3, 6, 12, 24, *_large(device)):
        cases.append(("networks", n, _changed(raw, "dfa", 3), n))
    for k in (1, 2, 3, 5):
        cases.append(("k", k, _changed(raw, "dfa", k), 3))
    for width in (128, 256, 512, 1024):
        changed = _changed(raw, "dfa", 3)
        changed["model"]["hidden"] = [width]
        cases.append(("hidden units", width, changed, 3))
    problems = [problem(changed, n) for _, _, changed, n in cases]
    functions = [CONTENDERS["fabench"](p).train for p in problems]
    steps = alternate(functions, settings.seconds, settings.repetitions, device)
    return [
        {"what": what, "value": value, "seconds": step * p.n_batches / n, **_precision(p)}
        for (what, value, _, n), p, step in zip(cases, problems, steps, strict=True)
    ]


def _precision(p: Problem) -> dict[str, str]:
    return {"precision": p.config.precision}


# -- Tables ----------------------------------------------------------------------------------


def _show(rows: Sequence[dict[str, Any]]) -> None:
    """A comparison, fastest first, with fabench's speed in the same precision as the unit."""
    ours = [r for r in rows if r["contender"] == "fabench"]
    unit = {r["precision"]: r["seconds_per_epoch_per_network"] for r in ours}
    first = rows[0]
    table = Table(
        "contender", "precision", "s per epoch and network", "times fabench", "MB", "of bound",
        title=f"{first['learning_rule']}, k={first['k']}, {first['population']} networks, "
        f"{first['device']}",
    )  # fmt: skip
    for row in sorted(rows, key=lambda r: r["seconds_per_epoch_per_network"]):
        seconds, peak = row["seconds_per_epoch_per_network"], row["peak_bytes"]
        own = unit.get(row["precision"])
        table.add_row(
            row["contender"], row["precision"], f"{seconds:.3g}",
            f"{seconds / own:.2f}" if own else "-",
            "-" if peak is None else f"{peak / 1e6:,.0f}", f"{row['fraction_of_bound']:.2f}",
        )  # fmt: skip
    console.print(table)


def _write(path: Path, frame: pd.DataFrame, command: str, device: torch.device) -> None:
    """The table as CSV and Markdown, and the machine beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path.with_suffix(".csv"), frame.to_csv(index=False))
    write_text(path.with_suffix(".md"), markdown(frame))
    about = {"command": command, "made": now(), "environment": describe(device)}
    write_json(path.with_suffix(".json"), about)
