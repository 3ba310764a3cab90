"""What no refactoring may change: names of runs, their metrics, what is refused, old run folders.

    python tests/frozen/record.py check            today's code and the record, to the last digit
    python tests/frozen/record.py compare OLD NEW  the runs of two output folders, to the last digit

Both are for work that must not change a result: on the machine that made the record (or OLD) a
difference is a change, on another one sums are rounded otherwise. test_frozen.py compares on any
machine: names and refusals exactly, metrics within RTOL and ATOL.

    python tests/frozen/record.py names metrics refusals

makes any of the three anew. It is for a change that is meant to change a result, which the commit
then explains: names, where runs now have another identity (and those made before are not found
again) or conf/tuned another learning rate; metrics, where a rule computes something else or in
another order; refusals, where more or less can be asked for. A rule that is added is recorded, too.

    python tests/frozen/record.py steadiness

marks what this processor's rounding moves, so that it is not compared within RTOL and ATOL any
more. It is for code that gives the record on the machine that made it.

    python tests/frozen/record.py runs

writes the run folders in runs/ anew. They stand for all those that users have: do this only where
old folders are not to be continued any more.

names.yaml has the commands; another one can be added there, without names, before recording.
"""

import contextlib
import csv
import functools
import io
import itertools
import math
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from unittest.mock import patch

import torch
import yaml
from omegaconf import OmegaConf

from fabench.command.hydra_app import application
from fabench.command.overrides import NUMBERED
from fabench.command.run import Runner
from fabench.learning_rule.base.rule import SearchRule
from fabench.run import registry
from fabench.run.execute import execute
from fabench.run.parsing import parse
from fabench.run.store import TIMES, RunFolder
from fabench.run.trainer import Interrupted, Training
from fabench.schema import UserError

HERE = Path(__file__).absolute().parent
CONF = HERE.parents[1] / "conf"
NAMES, METRICS, REFUSALS = HERE / "names.yaml", HERE / "metrics.csv", HERE / "refusals.yaml"
RUNS = HERE / "runs"

RTOL = 1e-5
ATOL = 1e-6
OF_ALIGNMENTS = 5e-5
"""Instead of ATOL: of differences between settled states, which nearly cancel."""

torch.set_num_threads(1)

# -- Names -----------------------------------------------------------------------------------

PINNED = "trainer.precision=fp32"
"""``auto``, which is the default, takes what is fastest on a machine, and a run's identity has what
it took. A command may name another one."""


def names(command: str) -> list[str]:
    """The run folders of ``fabench run <command>``, job by job."""
    args = [PINNED, *shlex.split(command), "dry_run=true"]
    _, task = application("run", args, CONF, "config", Runner)
    assert not any(job.error for job in task.results), command
    return [job.outcome.folder.path.name for job in task.results]


# -- Metrics ---------------------------------------------------------------------------------

TINY = (
    "dataset=digits seed=[0,1] trainer.batch_size=16 trainer.train_examples=40 "
    "trainer.test_examples=24 trainer.precision=fp32 trainer.device=cpu"
)
"""Two networks side by side; an epoch is two batches and a short one."""

DEFAULTS = "optimizer=sgd task=classification k=1 model=mlp init_of_B=uniform trainer=default"
RELU = "model.hidden=[7,6,5]"
TANH = f"{RELU} model.activation=tanh model.bias=true"
CONVNET = "model=convnet model.channels=[2,3] model.hidden=[5]"
LENET = "model=lenet model.channels=[2,3] model.hidden=[6,5]"
DEEP = f"model.hidden={[5] * 17} model.activation=tanh".replace(", ", ",")
PROBLEMS = {
    "parity": f"task=parity k=2 {RELU}",
    "parity, tanh": f"task=parity k=2 {TANH}",
    "parity, one hidden layer": "task=parity k=2 model.hidden=[6]",
    "parity, deep": f"task=parity {DEEP}",
    "parity, convnet": f"task=parity k=2 {CONVNET}",
    "classification": TANH,
    "classification, lenet": LENET,
    "classification, adversarial": f"{RELU} model.hidden_dropout=0.2 trainer.adversarial=0.1 "
    "trainer.frozen_layers=[1]",
    "random labels": f"task=random_labels {RELU} trainer.weight_decay=0.01",
    "random labels, convnet": f"task=random_labels {CONVNET} trainer.weight_decay=0.01",
    "linear teacher": f"dataset=linear_teacher task=regression {RELU}",
    "nonlinear teacher": f"dataset=nonlinear_teacher task=regression {TANH}",
    "clusters": f"dataset=clusters task=parity {RELU}",
    "sparse parity": f"dataset=sparse_parity task=parity k=3 {TANH}",
}
OPTIMIZERS = {
    "sgd": "optimizer=sgd optimizer.lr=0.1",
    "adam": "optimizer=adam optimizer.lr=0.01",
}
RULES = registry.names("learning_rule")
CASE = ["rule", "optimizer", "problem"]
LAYERS = 5
"""Columns of layers beyond are not recorded: in the deep network they are many and alike."""

Row = dict[str, str]
"""A row of metrics.csv, as it stands there, but for its times; "nan" where there is no number."""

ELSEWHERE = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}
"""Lets the libraries round as on another processor: one without vector instructions."""

MARGIN = 3
"""A network is steady if what is rounded otherwise moves it by this much less than RTOL and ATOL.
Others have a unit or a pooled maximum that may fall either way, or gradients near 0 under Adam."""


@functools.cache
def option(group: str, name: str) -> dict:
    """The settings of an option, with those that its file starts from."""
    settings = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml"))
    for parent in settings.pop("defaults", []):
        if isinstance(parent, str):  # else it is another group's option
            settings = option(group, parent) | settings
    return settings


def raw_config(overrides: str, output_dir: str = "outputs") -> dict:
    """What Hydra composes from a command without sweeps, or nearly; it would take too long."""
    raw = {"output_dir": output_dir, "data_dir": None, "overwrite": False, "dry_run": False}
    pairs = [override.split("=") for override in f"{DEFAULTS} {TINY} {overrides}".split()]
    for key, value in sorted(pairs, key=lambda pair: "." in pair[0]):  # options come first
        group, _, name = key.rpartition(".")
        if (CONF / key).is_dir() and key not in NUMBERED:
            raw[key] = dict(option(key, value))
        else:
            (raw[group] if group else raw)[name] = yaml.safe_load(value)
    if "optimizer=" not in overrides and searches(raw["learning_rule"]["name"]):
        del raw["optimizer"]
    return raw


def searches(rule: str) -> bool:
    """Whether a learning rule has no optimizer."""
    return issubclass(registry.find("learning_rule", rule), SearchRule)


def metrics(rule: str) -> list[Row]:
    """What a rule does with both optimizers on every problem that it takes: the last epoch."""
    cases, configs = [], []
    with tempfile.TemporaryDirectory() as output_dir:
        optimizers = {"": ""} if searches(rule) else OPTIMIZERS
        for optimizer, problem in itertools.product(optimizers, PROBLEMS):
            chosen = f"learning_rule={rule} {optimizers[optimizer]} {PROBLEMS[problem]}"
            raw = raw_config(f"{chosen} trainer.epochs=2 trainer.metrics_every=2", output_dir)
            with contextlib.suppress(UserError):  # see refusals
                configs.append(parse(raw))
                cases.append(dict(zip(CASE, (rule, optimizer, problem), strict=True)))
        with (  # each takes as long as training such a network
            patch("fabench.run.trainer.describe", return_value={}),
            patch.object(RunFolder, "write_summary"),
            patch.object(RunFolder, "write_config"),
            patch.object(RunFolder, "write_checkpoint"),
        ):
            outcomes = execute(configs, "", keep_weights=False)
        return [
            case | row
            for case, outcome in zip(cases, outcomes, strict=True)
            for row in rows(outcome.folder.path)
            if row["epoch"] != "0"
        ]


def all_metrics() -> list[Row]:
    """What every rule does."""
    with contextlib.redirect_stdout(io.StringIO()):
        return [row for rule in RULES for row in metrics(rule)]


def rows(folder: Path) -> Iterator[Row]:
    """A run's."""
    with (folder / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            yield {
                column: value or "nan"
                for column, value in row.items()
                if column not in TIMES and int(re.search(r"(\d*)$", column)[0] or 0) <= LAYERS
            }


def recorded_metrics() -> list[Row]:
    """metrics.csv of this folder, where a row has nothing in the columns that are not its own."""
    with METRICS.open() as file:
        return [{c: v for c, v in row.items() if v} for row in csv.DictReader(file)]


def differences(was: list[Row], now: list[Row], rtol: float = 0.0, atol: float = 0.0) -> list[str]:
    """Where two tables differ in the first one's columns, a line each: more may be measured.

    Unsteady rows are compared to the last digit only.
    """
    if len(was) != len(now):
        return [f"{len(was)} rows were recorded, there are {len(now)}"]
    found = []
    for old, new in zip(was, now, strict=True):
        place = " ".join(old[c] for c in (*CASE, "seed", "epoch") if c in old)
        if rtol and old.get("steady") == "no":
            continue
        for column in old.keys() - {"steady"}:
            a, b = old.get(column, "nothing"), new.get(column, "nothing")
            least = OF_ALIGNMENTS if atol and "alignment" in column else atol
            if a != b and not _close(a, b, rtol, least):
                found.append(f"{place} {column}: {a} was recorded, there is {b}")
    return found


def _close(a: str, b: str, rtol: float, atol: float) -> bool:
    try:
        return math.isclose(float(a), float(b), rel_tol=rtol, abs_tol=atol)
    except ValueError:
        return False


# -- Refusals --------------------------------------------------------------------------------


def refusals() -> dict[str, str]:
    """What is refused of the combinations below, and the sentence up to its colon."""
    asked = [
        f"learning_rule=bp dataset={dataset} task={task} {model}"
        for dataset in ("digits", "clusters", "sparse_parity", "linear_teacher")
        for task in ("parity", "classification", "random_labels", "regression")
        for model in (RELU, CONVNET)
    ]
    settings = [
        "model.hidden=[6]",
        "model.hidden=[]",
        f"{RELU} model.activation=sigmoid",
        f"{RELU} model.hidden_dropout=0.2",
        f"{RELU} trainer.adversarial=0.1",
        f"{RELU} trainer.frozen_layers=[1]",
        f"{RELU} trainer.frozen_layers=[4]",
        f"{RELU} trainer.frozen_layers=[5]",
        CONVNET,
        *(
            f"{model} init_of_B={file.stem}"
            for file in sorted((CONF / "init_of_B").iterdir())
            for model in ("model.hidden=[6]", RELU, CONVNET)
        ),
    ]
    asked += [f"learning_rule={rule} {words}" for rule in RULES for words in settings]
    return {words: reason for words in asked if (reason := _refusal(words))}


def _refusal(overrides: str) -> str | None:
    try:
        parse(raw_config(overrides))
    except UserError as error:
        return str(error).split(":")[0]
    return None


# -- Run folders -----------------------------------------------------------------------------

SMALL = f"task=classification k=1 {TINY} trainer.epochs=3"
CONVOLUTION = "model=lenet model.channels=[2] model.hidden=[]"
FINISHED = f"learning_rule=dfa optimizer=sgd model.hidden=[4] {SMALL}"
INTERRUPTED = {  # command: the batches after which it was stopped, of nine
    f"learning_rule=dkp optimizer=adam model.hidden=[4] model.bias=true {SMALL}": 4,
    f"learning_rule=fa optimizer=momentum {CONVOLUTION} {SMALL}": 8,
}


class Stop:
    """A training's reporter that interrupts it after so many batches."""

    def __init__(self, batches: float) -> None:
        self.left = batches

    def batch(self, examples: int, count: int = 1) -> None:
        self.left -= count
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)

    def introduce(self, *_: object) -> None:
        pass

    start = epoch = introduce


def write_run(command: str, batches: float) -> None:
    """The run folder of a command that is stopped after so many batches, in the working folder."""
    folder = RunFolder(parse(raw_config(command)))
    with folder.locked(), contextlib.suppress(Interrupted):
        Training([folder], f"fabench run {command}").run(Stop(batches))


# -- The commands ----------------------------------------------------------------------------


def record_names() -> None:
    """Write names.yaml."""
    found = {command: names(command) for command in yaml.safe_load(NAMES.read_text())}
    NAMES.write_text(yaml.safe_dump(found, sort_keys=False, width=math.inf))


def record_metrics() -> None:
    """Write metrics.csv."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as pool:
        with patch.dict(os.environ, ELSEWHERE):  # the process starts here
            elsewhere = pool.submit(all_metrics)
        found = all_metrics()
        for row, other in zip(found, elsewhere.result(), strict=True):
            moved = differences([row], [other], RTOL / MARGIN, ATOL / MARGIN)
            row["steady"] = "no" if moved else "yes"
    write_metrics(found)


def record_steadiness() -> None:
    """Mark in metrics.csv the rows that this processor moves."""
    found = recorded_metrics()
    for rule, of_rule in itertools.groupby(found, lambda row: row["rule"]):
        for row, now in zip(of_rule, metrics(rule), strict=True):
            if differences([row], [now], RTOL / MARGIN, ATOL / MARGIN):
                row["steady"] = "no"
    write_metrics(found)


def write_metrics(found: list[Row]) -> None:
    """Write metrics.csv."""
    with METRICS.open("w") as file:
        columns = dict.fromkeys([*CASE, "seed", "epoch", "steady", *itertools.chain(*found)])
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)


def record_refusals() -> None:
    """Write refusals.yaml."""
    REFUSALS.write_text(yaml.safe_dump(refusals(), sort_keys=False, width=math.inf))


def record_runs() -> None:
    """Write runs/."""
    for command, batches in {FINISHED: math.inf, **INTERRUPTED}.items():
        write_run(command, batches)
    shutil.rmtree(RUNS, ignore_errors=True)
    shutil.copytree("outputs/runs", RUNS, ignore=shutil.ignore_patterns(".lease-*"))


def check() -> list[str]:
    """Differences of today's code from the record."""
    found = []
    for command, was in yaml.safe_load(NAMES.read_text()).items():
        if names(command) != was:
            found.append(f"names of {command}")
    was, now = yaml.safe_load(REFUSALS.read_text()), refusals()
    found += [f"refusal of {key}" for key in was | now if was.get(key) != now.get(key)]
    for rule, table in itertools.groupby(recorded_metrics(), lambda row: row["rule"]):
        found += differences(list(table), metrics(rule))
    return found


def compare(old: Path, new: Path) -> list[str]:
    """Differences between the runs of two output folders."""
    was, now = ({path.name: path for path in (o / "runs").iterdir()} for o in (old, new))
    found = [f"{name} is in one of the two only" for name in sorted(was.keys() ^ now.keys())]
    for name in sorted(was.keys() & now.keys()):
        lines = differences(list(rows(was[name])), list(rows(now[name])))
        found += [f"{name} {line}" for line in lines]
    return found


RECORD = {
    "names": record_names,
    "metrics": record_metrics,
    "steadiness": record_steadiness,
    "refusals": record_refusals,
    "runs": record_runs,
}


def main(args: list[str]) -> int:
    """See the module's docstring; 1 where there are differences."""
    found: list[str] = []
    folders = [Path(arg).absolute() for arg in args[1:]]
    with (
        contextlib.redirect_stdout(io.StringIO()),
        tempfile.TemporaryDirectory() as cwd,
        contextlib.chdir(cwd),
    ):
        if args == ["check"]:
            found = check()
        elif args[:1] == ["compare"] and len(folders) == 2:
            found = compare(*folders)
        elif args and RECORD.keys() >= set(args):
            for name in args:
                RECORD[name]()
        else:
            sys.exit(__doc__)
    print(*found[:20], f"{len(found)} differences", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
