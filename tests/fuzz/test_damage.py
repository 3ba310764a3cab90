"""Run folders that something has damaged, and the same command again.

Oracle: metrics.csv of the undamaged run. Outside the run folder, files stay as they are.
"""

import io
import json
import os
import signal
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pandas as pd
import torch
from asking import LONG, TIMES, Answer, ask, check, run_folders, sandbox
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fabench.run.lease import is_of_a_lease
from fabench.run.progress import LineReporter

RUN = [
    "run",
    "dataset=digits",
    "task=classification",
    "optimizer=adam",
    "trainer.device=cpu",
    "trainer.epochs=3",
    "trainer.batch_size=16",
    "trainer.train_examples=40",  # three batches
    "trainer.test_examples=24",
    "model.hidden=[5]",
    "seed=[0,1]",
    "output_dir=out",
]

OTHERS = {
    "rate": ["optimizer.lr=0.1"],
    "seeds": ["seed=[2,3]"],
    "fewer": ["seed=0"],
    "wider": ["model.hidden=[7]"],
    "longer": ["trainer.epochs=5"],
    "sparser": ["trainer.metrics_every=2"],
    "rule": ["learning_rule=bp"],
}
"""Runs whose files may end up in this one's folder."""

BASES = ("finished", "interrupted in epoch 1", "interrupted in epoch 3", "killed")
WRITTEN = ("metrics.csv", "manifest.json", "config.yaml", "summary.json", "checkpoint.pt")

Files = dict[str, bytes]
"""A folder's files by their relative path."""


def read(folder: Path) -> Files:
    files = (f for f in folder.rglob("*") if f.is_file() and not is_of_a_lease(f))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def trained(*overrides: str, stop_after: int = 0) -> tuple[str, Files]:
    """The name and the files of a run; stopped by Ctrl-C after so many batches."""
    batches = 0

    def stop(self: LineReporter, examples: int, count: int = 1) -> None:
        nonlocal batches
        batches += count
        if batches == stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    with sandbox(), patch.object(LineReporter, "batch", stop):
        answer = ask(*RUN, *overrides)
        assert answer.code == (130 if stop_after else 0), answer
        [folder] = run_folders(Path("out"))
        return folder.name, read(folder)


@cache
def base(kind: str) -> tuple[str, Files]:
    """A run in one of the states that its command may find it in."""
    if kind == "finished":
        return trained()
    if kind.startswith("interrupted"):
        return trained(stop_after=2 if kind.endswith("1") else 8)
    name, files = base("interrupted in epoch 3")
    manifest = json.loads(files["manifest.json"]) | {"status": "running"}
    return name, files | {"manifest.json": json.dumps(manifest).encode()}


@cache
def other(kind: str, finished: bool) -> Files:
    """Another run's files."""
    return trained(*OTHERS[kind], stop_after=0 if finished else 8)[1]


# -- Damage ----------------------------------------------------------------------------------


class Damage(NamedTuple):
    """What happens to a folder: a function's name in KINDS and its arguments."""

    kind: str
    arguments: tuple[Any, ...]


def delete(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)


def truncate(folder: Path, name: str, part: float) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(part * len(content))])


def double(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes() * 2)


def noise(folder: Path, name: str, part: float, bits: bytes) -> None:
    content = (folder / name).read_bytes()
    at = int(part * len(content))
    (folder / name).write_bytes(content[:at] + bits + content[at + len(bits) :])


def replace(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


def swap(folder: Path, name: str, run: str, finished: bool) -> None:
    """Another run's file; "": all of them."""
    files = other(run, finished)
    write(folder, {key: value for key, value in files.items() if key == name or not name})


def become_folder(folder: Path, name: str) -> None:
    (folder / name).rename(folder / "kept")
    (folder / name).mkdir()


def become_link(folder: Path, name: str, target: str) -> None:
    """To where it is now; "": to nothing."""
    moved = folder.absolute().parents[2] / "outside" / (target or name)
    (folder / name).rename(moved)
    (folder / name).symlink_to(moved if target else moved.with_name("nowhere"))


def edit_json(folder: Path, name: str, key: str, value: Any) -> None:
    """A key's new value; ...: without the key."""
    content = json.loads((folder / name).read_text()) | {key: value}
    content = {k: v for k, v in content.items() if v is not ...}
    (folder / name).write_text(json.dumps(content))


ROWS: dict[str, Any] = {
    "without the first epoch": lambda t: t[t.epoch > 0],
    "without the last epoch": lambda t: t[t.epoch < t.epoch.max()],
    "without epoch 1": lambda t: t[t.epoch != 1],
    "without seed 0": lambda t: t[t.seed != 0],
    "without a row": lambda t: t.iloc[:-1],
    "without rows": lambda t: t.iloc[:0],
    "doubled": lambda t: pd.concat([t, t]),
    "with a row twice": lambda t: pd.concat([t, t.iloc[-1:]]),
    "upside down": lambda t: t.iloc[::-1],
    "of other seeds": lambda t: t.assign(seed=t.seed + 5),
    "of later epochs": lambda t: t.assign(epoch=t.epoch + 1),
    "without test_loss": lambda t: t.drop(columns="test_loss"),
    "without seed": lambda t: t.drop(columns="seed"),
    "without diverged": lambda t: t.drop(columns="diverged"),
    "with words": lambda t: t.assign(test_loss="high"),
    "with nothing": lambda t: t.assign(test_loss=None),
    "with half seeds": lambda t: t.assign(seed=t.seed + 0.5),
    "diverged": lambda t: t.assign(diverged=1),
}


def edit_rows(folder: Path, change: str) -> None:
    table = pd.read_csv(folder / "metrics.csv", dtype=str, keep_default_na=False)
    table = table.astype({"seed": int, "epoch": int})
    ROWS[change](table).to_csv(folder / "metrics.csv", index=False)


def edit_checkpoint(folder: Path, key: str, value: Any) -> None:
    """A key's new value; ...: without the key; no key: the value in place of everything."""
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    content = {k: v for k, v in (content | {key: value}).items() if v is not ...} if key else value
    torch.save(content, folder / "checkpoint.pt")


TENSORS: dict[str, Any] = {
    "nan": lambda t: t * torch.nan,
    "wider": lambda t: torch.cat([t, t], -1),
    "of one row": lambda t: t[:1],
    "of no row": lambda t: t[:0],
    "of whole numbers": lambda t: t.long(),
    "changed": lambda t: t + 1,
    "gone": lambda t: None,
}


def edit_tensors(folder: Path, change: str, which: int) -> None:
    """One of the checkpoint's tensors, wherever it is in there."""
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    places = list(_tensors(content))
    node, key = places[which % len(places)]
    node[key] = TENSORS[change](node[key])
    torch.save(content, folder / "checkpoint.pt")


def _tensors(node: Any):
    for key in node if isinstance(node, dict) else range(len(node)):
        if isinstance(node[key], torch.Tensor):
            yield node, key
        elif isinstance(node[key], dict | list):
            yield from _tensors(node[key])


def leave_part(folder: Path, name: str) -> None:
    """What a process that was killed while it wrote may leave."""
    (folder / f".{name}.12345.part").write_bytes(b"half")


def link_run(folder: Path) -> None:
    """The whole folder lies elsewhere."""
    moved = folder.absolute().parents[2] / "elsewhere"
    folder.rename(moved)
    folder.symlink_to(moved)


def spoil_plots(folder: Path, how: str) -> None:
    outside = folder.absolute().parents[2] / "outside"
    if (folder / "plots").is_symlink():
        (folder / "plots").unlink()
    for file in (folder / "plots").glob("*"):
        file.unlink()
    if (folder / "plots").is_dir():
        (folder / "plots").rmdir()
    if how == "file":
        (folder / "plots").write_text("")
    elif how != "gone":
        (folder / "plots").symlink_to(outside if how == "link" else outside / "nowhere")


KINDS = {f.__name__: f for f in (
    delete, truncate, double, noise, replace, swap, become_folder, become_link, edit_json,
    edit_rows, edit_checkpoint, edit_tensors, leave_part, link_run, spoil_plots,
)}  # fmt: skip

names = st.sampled_from(WRITTEN)
important = st.sampled_from(["metrics.csv", "manifest.json", "checkpoint.pt"])
odd = st.sampled_from([..., None, [], [1], {}, "x", -5, 10000, 10**6, 0.5, float("nan"), True])
statuses = ["finished", "running", "interrupted", "failed", "new", "x", None, ..., 1]


def _damage(kind: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Damage]:
    return st.tuples(*arguments).map(lambda drawn: Damage(kind, drawn))


bits = st.binary(min_size=1, max_size=30).map(lambda some: bytes(byte | 128 for byte in some) * 3)
texts = st.sampled_from(["", "[]", "{}", "null", "1", '"x"', "NaN", "\n", "a: [", "\0"])
of_manifest = st.sampled_from(
    ["command", "environment", "data", "parameters", "population", "compiled_update", "sessions"]
)
of_checkpoint = st.sampled_from(
    ["", "epoch", "batches", "seconds", "steps", "examples", "loss", "correct", "tensors"]
)
ANY = [
    _damage("delete", names),
    _damage("truncate", names, st.sampled_from([0.1, 0.5, 0.9, 0.99])),
    _damage("double", names),
    _damage("noise", important, st.floats(0, 1), bits),
    _damage("replace", names, texts),
    _damage("swap", st.sampled_from(["", *WRITTEN]), st.sampled_from([*OTHERS]), st.booleans()),
    _damage("become_folder", important),
    _damage("become_link", important, st.sampled_from(["", "moved"])),
    _damage("edit_json", st.just("manifest.json"), st.just("status"), st.sampled_from(statuses)),
    _damage("edit_json", st.just("manifest.json"), of_manifest, odd),
    *[_damage("edit_rows", st.sampled_from([*ROWS]))] * 2,
    _damage("edit_checkpoint", of_checkpoint, odd),
    _damage("edit_tensors", st.sampled_from([*TENSORS]), st.integers(0, 50)),
    _damage("leave_part", names),
    _damage("link_run"),
    _damage("spoil_plots", st.sampled_from(["gone", "file", "link", "broken link"])),
]

damages = st.tuples(st.sampled_from(BASES), st.lists(st.one_of(ANY), min_size=1, max_size=2))


# -- What becomes of it ----------------------------------------------------------------------


def as_written(content: bytes) -> pd.DataFrame:
    """metrics.csv as text, without the columns that differ between two executions."""
    return pd.read_csv(io.BytesIO(content), dtype=str).drop(columns=TIMES)


def check_same(answer: Answer, folder: Path) -> None:
    """The run is finished, as if nothing had happened to it."""
    assert answer.code == 0, answer
    expected = as_written(base("finished")[1]["metrics.csv"])
    found = as_written((folder / "metrics.csv").read_bytes())
    found = found.sort_values(["epoch", "seed"], ignore_index=True)
    pd.testing.assert_frame_equal(found, expected)


def check_damage(case: tuple[str, list[Damage]]) -> None:
    """The same result or a sentence that names the file; the same result with overwrite=true."""
    kind, damages = case
    name, files = base(kind)
    with sandbox() as work:
        folder, outside = work / "out" / "runs" / name, work / "outside"
        outside.mkdir()
        (outside / "mine").write_text("mine")
        write(folder, files)
        for damage in damages:
            with suppress(Exception):  # one damage may make the other impossible
                KINDS[damage.kind](folder, *damage.arguments)
        answer = ask(*RUN)
        check(answer)
        if answer.code == 0:
            check_same(answer, folder)
        else:
            known = (*WRITTEN, "plots", ".lease-", name)
            assert any(word in answer.err for word in known), f"names no file: {answer}"
        check_same(ask(*RUN, "overwrite=true"), folder)
        assert (outside / "mine").read_text() == "mine"


@hypothesis_settings(max_examples=500 if LONG else 25)
@given(damages)
def test_damaged_folders(case):
    check_damage(case)
