"""``fabench ls``, ``show``, ``compare``, ``rm`` and ``watch``: the runs that are there."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.live import Live
from rich.table import Table

from fabench.run.catalogue import Entry, delete, select
from fabench.run.results import METRICS, console, interval, print_results, significant
from fabench.run.statistics import paired_p, summarize
from fabench.schema import UserError

EVERY = 1.0
"""Seconds between two looks at the runs that are at work."""

NO_RUN = "There is no such run."


def ls(args: Sequence[str]) -> int:
    """A line for every run, the newest last."""
    found = select(args)
    console.print(_table(found) if found else NO_RUN)
    return 0


def watch(args: Sequence[str]) -> int:
    """The runs that are at work: on a terminal until Ctrl-C, elsewhere once."""
    if not console.is_terminal:
        console.print(_at_work(args))
        return 0
    with Live(console=console, auto_refresh=False) as live:
        try:
            while True:
                live.update(_at_work(args), refresh=True)
                time.sleep(EVERY)
        except KeyboardInterrupt:
            return 0


def show(args: Sequence[str], conf: Path) -> int:
    """One run: how it stands, what it is, its results."""
    from fabench.command.defaults import overrides

    [entry] = _runs(args, 1)
    manifest = entry.manifest
    where: dict[str, Any] = manifest.get("environment", {})
    lines = {
        "folder": str(entry.path),
        "status": f"{entry.status}, epoch {reached(entry)}, {_age(entry)} ago",
        "reason": manifest.get("reason"),
        "command": manifest.get("command"),
        "settings": shlex.join(overrides(entry.settings, conf)),
        "data": manifest.get("data"),
        "machine": where.get("gpu") or where.get("cpu"),
        "fabench": f"{where.get('fabench')}, commit {where.get('commit')}" if where else None,
        "torch": where.get("libraries", {}).get("torch"),
    }
    for name, text in lines.items():
        if text:
            console.print(f"{name:>8}  {text}", soft_wrap=True)
    if entry.last:
        print_results(entry.summary)
    return 0


def compare(args: Sequence[str]) -> int:
    """Two runs side by side: settings that differ, metrics, and their paired difference."""
    runs = _runs(args, 2)
    first, second = (entry.settings for entry in runs)
    keys = [key for key in first | second if first.get(key) != second.get(key)]
    settings = Table("setting", *(entry.identity for entry in runs))
    for key in keys:
        settings.add_row(key, *(str(side.get(key, "-")) for side in (first, second)))
    console.print(settings if keys else "All settings are equal.")
    metrics = Table("metric", *(entry.identity for entry in runs), "difference", "p")
    one, other = (entry.summary for entry in runs)
    a, b = one["final"], other["final"]
    for name, (title, text) in METRICS.items():
        if name in a and name in b:
            differences = paired(one, other, name)
            s = summarize(differences)
            shown = interval({"mean": s.mean, "ci95": [s.low]}, text)
            p = significant(paired_p(differences))
            metrics.add_row(title, interval(a[name], text), interval(b[name], text), shown, p)
    console.print(metrics)
    epochs = " and ".join(str(entry.epoch) for entry in runs)
    console.print(
        f"Epochs {epochs}; mean ± 95 % interval, of the second minus the first over the seeds that "
        "both have (Student t)."
    )
    return 0


def paired(first: dict[str, Any], second: dict[str, Any], name: str) -> list[float]:
    """Of a metric in the summaries of two runs: the second minus the first, of every seed that both
    have and that has diverged in neither."""
    a, b = (
        {s: v for s, v in of["final"][name]["per_seed"].items() if s not in of["diverged"]}
        for of in (first, second)
    )
    pairs = ((a[seed], b[seed]) for seed in a if seed in b)
    return [y - x for x, y in pairs if x is not None and y is not None]


def rm(args: Sequence[str]) -> int:
    """Remove run folders; without --yes only say which. None that a process works on, and none that
    has another name than fabench gives: who knows whose it is."""
    words = [arg for arg in args if arg != "--yes"]
    if not any("output_dir=" not in word for word in words):
        raise UserError("fabench rm wants runs or filters: fabench rm status=interrupted.")
    found = select(words)
    ours = [entry for entry in found if entry.is_named_as_a_run]
    idle = [entry for entry in ours if entry.status != "running"]
    if not found:
        console.print(NO_RUN)
        return 0
    console.print(_table(found))
    if len(ours) < len(found):
        console.print(f"{len(found) - len(ours)} without a run's name: they stay.")
    if len(idle) < len(ours):
        console.print(f"{len(ours) - len(idle)} at work: they stay.")
    if "--yes" in args:
        for entry in idle:
            delete(entry)
        console.print(f"{len(idle)} removed.")
    elif idle:
        console.print(f"--yes removes {len(idle)} ({_bytes(idle) / 1e6:.1f} MB).")
    return 0


# -- Tables ----------------------------------------------------------------------------------


def _runs(args: Sequence[str], number: int) -> list[Entry]:
    """So many runs, by name. UserError if they are more or fewer."""
    names = [arg for arg in args if "=" not in arg]
    found = select(args) if len(names) == number else []
    if len(found) != number:
        one = "one run" if number == 1 else f"{number} different runs"
        raise UserError(f"Give {one} by name or by a part of it: fabench ls shows those there are.")
    return found


def _table(found: Sequence[Entry]) -> Table:
    scores = [entry.score for entry in found]
    titles = dict.fromkeys(METRICS[name][0] for name, statistics in scores if statistics)
    table = Table("age", "rule", "optimizer", "problem", "seeds", "epoch", "status", *titles, "run")
    for entry, (name, statistics) in zip(found, scores, strict=True):
        title, text = METRICS[name]
        result = interval(statistics, text) if statistics else "-"
        table.add_row(
            _age(entry), *_words(entry), str(len(entry.settings.get("seed", []))), reached(entry),
            entry.status, *(result if title == column else "-" for column in titles),
            entry.identity,
        )  # fmt: skip
    return table


def _at_work(args: Sequence[str]) -> RenderableType:
    at_work = select([*args, "status=running"])
    if not at_work:
        return "No run is at work."
    table = Table("for", "rule", "optimizer", "problem", "epoch", "left", "score", "run")
    for entry in at_work:
        name, statistics = entry.score
        result = interval(statistics, METRICS[name][1]) if statistics else "-"
        left = entry.seconds_left
        table.add_row(
            _age(entry), *_words(entry), reached(entry), "-" if left is None else _duration(left),
            result, entry.identity,
        )  # fmt: skip
    return table


def _words(entry: Entry) -> tuple[str, str, str]:
    """Its rule, its optimizer, and what it learns."""
    s = entry.settings
    return str(s.get("learning_rule", "-")), str(s.get("optimizer", "-")), problem(entry)


def problem(entry: Entry) -> str:
    """What a run learns: dataset, task, k; and whether validation data take the test's place."""
    s = entry.settings
    k = s.get("dataset.k", s.get("task.k"))
    words = [str(s.get("dataset", "-")), str(s.get("task", "-")), *([f"k={k}"] if k else [])]
    words += ["validation"] if s.get("trainer.evaluate_on") == "validation" else []
    return ", ".join(words)


def reached(entry: Entry) -> str:
    """Where it is: 7/20; where it has ended, when; a dash for what is not known."""
    done = str(entry.epoch) if entry.epoch >= 0 else "-"
    ended = entry.status == "finished" or entry.epoch == entry.epochs or not entry.epochs
    return done if ended else f"{done}/{entry.epochs}"


def _age(entry: Entry) -> str:
    return _duration((datetime.now(UTC) - entry.since).total_seconds())


def _duration(seconds: float) -> str:
    """In the largest unit that it has more than one of."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _bytes(found: Sequence[Entry]) -> int:
    files = (file for entry in found for file in entry.path.rglob("*") if not file.is_symlink())
    return sum(file.stat().st_size for file in files if file.is_file())
