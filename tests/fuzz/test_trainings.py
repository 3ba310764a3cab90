"""Tiny trainings of random combinations of everything that conf/ lists, with random settings.

Oracles: the schema of the settings, json, the run's own config.yaml, the same run in a sweep.
"""

import json
import re
from dataclasses import astuple
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import annotated_types as at
import numpy as np
import pandas as pd
import yaml
from asking import CONF, LONG, TINY, ask, check, metrics, options, run_folders, sandbox, settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from fabench.dataset.base.drawn import DrawnDataset
from fabench.model.layer.initialization import InitOfB
from fabench.run import registry
from fabench.run.config import Trainer
from fabench.run.lease import is_of_a_lease

EMPTY = "examples_per_second|.*alignment.*|.*_nse"
"""The columns of metrics.csv that need not have a number: before training there is no rate, signals
that are zero have no direction, and a single target has no variance."""

MAY_OVERFLOW = r"signal_norm_\d+"
"""Those that may be infinite: a frozen layer's signal may be, and does no harm."""


class Training(NamedTuple):
    """Overrides of a run and, if it is compared with itself in a sweep, those of the sweep."""

    overrides: list[str]
    sweep: list[str] | None
    plots: bool


# -- Random settings that are valid one by one -----------------------------------------------


def values(annotation: Any, limits: list[Any]) -> st.SearchStrategy[Any]:
    """Values that the type of a setting allows."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        fields = [field for field in args[1:] if isinstance(field, FieldInfo)]
        return values(args[0], [m for field in fields for m in field.metadata])
    if origin in (Union, UnionType):
        return st.one_of([values(arg, limits) for arg in args])
    if origin is Literal:
        return st.sampled_from(args)
    if origin is list:
        fewest = _limit(limits, at.MinLen, 0)
        return st.lists(values(args[0], []), min_size=fewest, max_size=3)
    if annotation is int:
        low, high = _limit(limits, at.Ge, 0), _limit(limits, at.Lt, 100)
        return st.one_of(st.integers(low, min(high - 1, low + 7)), st.integers(low, high - 1))
    if annotation is float:
        low, high = _limit(limits, at.Ge, _limit(limits, at.Gt, 0.0)), _limit(limits, at.Lt, None)
        usual = [x for x in (0.0, 1e-8, 1e-3, 0.1, 0.5, 0.999, 1.0, 3.0) if low <= x]
        usual = [x for x in usual if high is None or x < high]
        extreme = st.floats(low, high, exclude_max=high is not None, allow_infinity=False)
        drawn = st.one_of(st.sampled_from(usual), extreme)
        return drawn.filter(lambda x: x > low or at.Gt not in map(type, limits))
    names = st.sampled_from(["irrelevant", "margin", "variety"])  # of difficulties
    return {bool: st.booleans(), type(None): st.none(), str: names}[annotation]


def _limit(limits: list[Any], kind: type, default: Any) -> Any:
    found = [limit for limit in limits if type(limit) is kind]
    return astuple(found[0])[0] if found else default


def fields(group: str, option: str) -> dict[str, Any]:
    """The settings of an option by dotted key, but for those that others decide."""
    name = yaml.safe_load((CONF / group / f"{option}.yaml").read_text()).get("name", "convnet")
    known = {"trainer": Trainer, "init_of_B": InitOfB}
    cls = known[group] if group in known else registry.find(group, name)
    found = {f"{group}.{key}": field for key, field in cls.__pydantic_fields__.items()}
    return {key: field for key, field in found.items() if key in settings()}


def text(value: Any) -> str:
    """A value as an override has it."""
    return value if isinstance(value, str) else json.dumps(value).replace(" ", "")


KEPT = ("trainer.device", "trainer.epochs", "model.hidden", "model.channels", "optimizer.lr")
"""Settings that are drawn from less than what their type allows, or not at all."""


DRAWN = [d for d in options()["dataset"] if issubclass(registry.find("dataset", d), DrawnDataset)]
"""Datasets that need no files, besides digits."""

rarely = st.integers(0, 4).map(lambda n: n == 4)
usual_rates = st.sampled_from([1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0])
rates = st.one_of(*[usual_rates] * 3, st.floats(0, exclude_min=True, allow_infinity=False))


@st.composite
def trainings(draw) -> Training:
    """One option of every group, some of their settings, a learning rate, one or two seeds."""
    dataset = draw(st.sampled_from(["digits"] * 6 + DRAWN))
    fitting = {
        **{group: options()[group] for group in ("learning_rule", "optimizer", "task")},
        "model": ["mlp"] * 4 + ["convnet"] * 3 + options()["model"],
        **{group: options()[group] for group in ("init_of_B", "trainer")},
        "schedule": ["constant"] * 6 + options()["schedule"],
        "parallel": ["serial"] * 6 + options()["parallel"],
    }
    if "teacher" in dataset:
        fitting["task"] = ["regression"]
    if dataset == "family_trees":
        fitting["task"] = ["multi_label"]
    chosen = {group: draw(st.sampled_from(names)) for group, names in fitting.items()}
    chosen["dataset"] = dataset
    known: dict[str, Any] = {}
    for group, option in chosen.items():
        known |= fields(group, option)
    own = [f"{group}={option}" for group, option in chosen.items()]
    own.append(f"k={draw(st.integers(1, 3))}")
    own.append(f"model.hidden={text(draw(st.lists(st.integers(1, 5), max_size=3)))}")
    if "model.channels" in known:
        own.append(f"model.channels={text(draw(st.lists(st.integers(1, 3), max_size=2)))}")
    for key in draw(st.sets(st.sampled_from(sorted(set(known) - set(KEPT))), max_size=6)):
        own.append(f"{key}={text(draw(values(known[key].annotation, known[key].metadata)))}")
    own.append(f"trainer.epochs={draw(st.integers(1, 3))}")
    seeds, rate = draw(st.sampled_from(["0", "[0,3]"])), draw(rates)
    sweep = [*own, f"seed={seeds},1", f"optimizer.lr={rate},{rate / 2}"] if draw(rarely) else None
    return Training([*own, f"seed={seeds}", f"optimizer.lr={rate}"], sweep, draw(rarely))


# -- What becomes of them --------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    """A run folder's files, but for plots, which are drawn every time, and who holds it."""
    files = (file for file in folder.iterdir() if file.is_file() and not is_of_a_lease(file))
    return {file.name: file.read_bytes() for file in files}


def _no_constant(name: str) -> None:
    raise AssertionError(f"summary.json holds {name}, which is no JSON")


def check_folder(folder: Path) -> None:
    """metrics.csv has all that is due, finite unless it says diverged; the summary is JSON."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    seeds, trainer = config["seed"], config["trainer"]
    table = pd.read_csv(folder / "metrics.csv")
    status = json.loads((folder / "manifest.json").read_text())["status"]
    assert status in ("finished", "failed"), status
    last = table.epoch.max()
    due = sorted({*range(0, last + 1, trainer["metrics_every"]), last})
    assert table[["epoch", "seed"]].values.tolist() == [[e, s] for e in due for s in seeds]
    ends = table[table.epoch == last].diverged
    over = ends | table[table.epoch == last].get("stopped", 0)
    assert last == trainer["epochs"] or over.all(), "it ends early"
    assert ends.all() == (status == "failed")
    assert set(table.diverged) <= {0, 1}
    healthy = table[table.diverged == 0]
    healthy = healthy.fillna({name: 0 for name in healthy if re.fullmatch(EMPTY, str(name))})
    healthy = healthy.loc[:, [not re.fullmatch(MAY_OVERFLOW, str(name)) for name in healthy]]
    bad = [str(name) for name in healthy if not np.isfinite(healthy[name]).all()]
    assert not bad, f"not finite, yet not diverged: {bad}"
    json.loads((folder / "summary.json").read_text(), parse_constant=_no_constant)


def check_training(training: Training) -> None:
    """Refused in a sentence, or trained: whole, shown again as it is, and the same in a sweep."""
    with sandbox():
        command = ["run", *TINY, *training.overrides]
        answer = ask(*command, "output_dir=out", plots=training.plots)
        check(answer)
        folders = run_folders(Path("out"))
        if answer.code == 2:
            assert not folders, f"refused, yet there is {folders}"
            return
        [folder] = folders
        if "memory" in answer.err:
            return  # its data are more than it may take
        check_folder(folder)
        before = contents(folder)
        again = ask(*command, "output_dir=out", plots=training.plots)
        assert (again.code, again.err) == (answer.code, answer.err), again
        assert "overwrite=true" in again.out
        assert contents(folder) == before, "shown again, it has changed"
        if training.sweep:
            check(ask("run", "-m", *TINY, *training.sweep, "output_dir=swept"))
            compare(metrics(folder), metrics(Path("swept/runs") / folder.name))


def compare(alone: pd.DataFrame, swept: pd.DataFrame) -> None:
    """Equal up to the rounding of sums, as long as numbers are of a usual size."""
    usual = (alone.train_loss < 100) & (alone.test_loss < 100)
    for name in ("seed", "epoch", "train_loss", "test_loss"):
        np.testing.assert_allclose(swept[name][usual], alone[name][usual], rtol=0.02, err_msg=name)


@hypothesis_settings(max_examples=2000 if LONG else 35)
@given(trainings())
def test_random_trainings(training):
    check_training(training)
