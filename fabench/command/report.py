"""``fabench report``: one page of a study, in a file that needs no other."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from fabench.command.defaults import overrides
from fabench.command.overrides import plugin_names
from fabench.command.runs import paired, reached
from fabench.figure import page, style
from fabench.figure.svg import Curve, Point, chart, confusion_map
from fabench.run import plugins
from fabench.run.catalogue import Entry, select
from fabench.run.results import METRICS, console, interval, significant
from fabench.run.statistics import holm, paired_p, summarize
from fabench.run.store import write_text
from fabench.schema import UserError

PALETTE = [
    style.BLUE, style.RED, style.GREEN, style.PURPLE, style.ORANGE, style.SKY, "#882255", "#999933",
]  # fmt: skip
DASHES = ["", "7 3", "2 2", "9 3 2 3"]
"""Of lines by number: first a colour each, then dashed."""

CHARTS = {
    "test_accuracy": "test accuracy",
    "train_accuracy": "train accuracy",
    "test_nse": "test NSE",
    "train_nse": "train NSE",
    "test_loss": "test loss",
    "weight_alignment": "weight alignment, cosine and angle",
    "gradient_alignment": "gradient alignment, cosine and angle",
    "update_alignment": "update alignment, cosine and angle",
    "dead_units": "dead units, share",
}


def report(args: Sequence[str], conf: Path) -> int:
    """Write the page of the runs that are named, or of an experiment's."""
    words, file = list(args), Path("report.html")
    if "-o" in words:
        at = words.index("-o")
        if words[at + 1 :] == []:
            raise UserError("-o wants a file: -o report.html.")
        file = Path(words.pop(at + 1))
        words.pop(at)
    title, wanted = _wanted(words, conf)
    runs = [entry for entry in wanted if entry.config]
    if not runs:
        raise UserError("None of these runs is there: fabench ls shows those that are.")
    study = Study(runs, conf)
    sections = {
        "Settings": study.settings(),
        "Results": study.results(),
        "Curves": study.curves(),
        "Test accuracy of each class, %": study.classes(),
        "Confusion of classes": study.confusion(),
        "Failures": study.failures(wanted),
        "Again": study.commands(),
        "Versions": study.versions(),
    }
    plural = "s" if len(runs) > 1 else ""
    text = page.page(title, f"{len(runs)} run{plural}", list(sections.items()))
    try:
        write_text(file, text)
    except OSError as error:
        raise UserError(
            f"Cannot write {file} ({error.strerror}): choose another file by -o."
        ) from None
    console.print(f"Report: {file}", soft_wrap=True)
    return 0


def _wanted(words: Sequence[str], conf: Path) -> tuple[str, list[Entry]]:
    """A title, and the runs, there or not. An experiment takes overrides, as a figure does."""
    names = [word for word in words if "=" not in word]
    plugins.use(plugin_names(words))
    folders = [conf, *(plugin.folder / "conf" for plugin in plugins.USED.values())]
    files = {file.stem for folder in folders for file in folder.glob("experiment/*.yaml")}
    experiments = [name for name in names if name in files]
    if not experiments:
        return "fabench report", select(words)
    if experiments != names:
        raise UserError("Give experiments, or runs: not both.")
    from fabench.command import figures
    from fabench.run.store import RunFolder

    settings = [word for word in words if "=" in word]
    configs = figures.configs_of(experiments, settings, conf)
    return ", ".join(experiments), [Entry(RunFolder(config).path) for config in configs]


class Study:
    """Runs beside one another. Each section of the page is HTML; "" where there is nothing."""

    def __init__(self, runs: Sequence[Entry], conf: Path) -> None:
        self.runs = runs
        self.words = [overrides(entry.settings, conf) for entry in runs]
        told = {word.split("=")[0] for words in self.words for word in words}
        keys = [
            key for key in dict.fromkeys(k for run in runs for k in run.settings) if key in told
        ]
        self.keys = [key for key in keys if len({str(run.settings.get(key)) for run in runs}) > 1]
        self.labels = [self._label(run) for run in runs]
        self.measured = [n for n, run in enumerate(runs) if run.last]

    def _label(self, run: Entry) -> str:
        """What it differs in from the others."""
        told = {key: run.settings[key] for key in self.keys if key in run.settings}
        option = {key for key, value in told.items() if "." not in key and isinstance(value, str)}
        parts = (v if k in option else f"{k.split('.')[-1]}={v}" for k, v in told.items())
        return ", ".join(parts) or run.identity

    def _rule(self, n: int) -> str:
        return str(self.runs[n].settings.get("learning_rule", ""))

    def _suits_as_base(self, n: int) -> tuple[bool, int, int, int]:
        """How well others compare to a run: BP, of several that of many seeds, then epochs; the
        first."""
        if self._rule(n) != "bp":
            return False, 0, 0, -n
        return True, len(self.runs[n].last), self.runs[n].epoch, -n

    @cached_property
    def summaries(self) -> dict[int, dict[str, Any]]:
        """Of every run that has metrics."""
        return {n: self.runs[n].summary for n in self.measured}

    def settings(self) -> str:
        """The settings that all share, as a difference to the defaults; then those that differ."""
        shared = [word for word in self.words[0] if all(word in words for words in self.words)]
        told = f"<p>All: <code>{escape(' '.join(shared)) or 'the defaults'}</code></p>"
        rows = [
            [*(str(run.settings.get(key, "-")) for key in self.keys), run.path.name]
            for run in self.runs
        ]
        return told + page.table([*self.keys, "run"], rows)

    def results(self) -> str:
        """A row for every run: the last epoch's metrics, and the difference to one of them that
        learns the same, BP if it is there, of most seeds and then epochs."""
        if not self.measured:
            return ""
        finals = {n: summary["final"] for n, summary in self.summaries.items()}
        names = [name for name in METRICS if any(name in final for final in finals.values())]
        problems = {n: _problem(self.runs[n]) for n in self.measured}
        bases: dict[str, int] = {}  # of a problem; the last that is put there is the best choice
        for n in sorted(self.measured, key=self._suits_as_base):
            bases[problems[n]] = n
        scores = {n: self.runs[n].score[0] for n in self.measured}
        differences = {
            n: paired(self.summaries[base], self.summaries[n], scores[n])
            for n, final in finals.items()
            for base in [bases[problems[n]]]
            if n != base and scores[n] == scores[base] and scores[n] in final
        }
        p = dict(zip(differences, holm(list(map(paired_p, differences.values()))), strict=True))
        rows = []
        for n, run in enumerate(self.runs):
            final = finals.get(n, {})
            cells = [interval(final[k], METRICS[k][1]) if k in final else "-" for k in names]
            beside = ["-", "-"]
            if n in differences:
                s, text = summarize(differences[n]), METRICS[scores[n]][1]
                beside = [interval({"mean": s.mean, "ci95": [s.low]}, text), significant(p[n])]
            seeds = str(final[scores[n]]["n"]) if scores.get(n) in final else "0"
            rows.append([self.labels[n], run.status, reached(run), seeds, *cells, *beside])
        titles = [METRICS[name][0] for name in names]
        of = " or ".join(dict.fromkeys(METRICS[name][0] for name in scores.values()))
        to = " or, of what learns the same, ".join(self.labels[n] for n in sorted(bases.values()))
        note = (
            "Last epoch, mean ± 95 % interval over the seeds that have not diverged (Student t). "
            f"Difference: {of}, to {to}, paired over common seeds; p: Student's paired test, "
            "corrected for the number of tests (Holm)."
        )
        heads = ["run", "status", "epoch", "seeds", *titles, "difference", "p"]
        return page.table(heads, rows) + f'<p class="quiet">{escape(note)}</p>'

    def curves(self) -> str:
        """Charts of the metrics against epochs, and a legend for all of them."""
        rules = list(map(self._rule, self.measured))
        own = len(set(rules)) == len(rules)
        looks = {}
        for place, (n, rule) in enumerate(zip(self.measured, rules, strict=True)):
            color = style.color(rule) if own else PALETTE[place % len(PALETTE)]
            color = "var(--text)" if color == style.BLACK else color
            looks[n] = (color, "" if own else DASHES[place // len(PALETTE) % len(DASHES)])
        charts = []
        for name, title in CHARTS.items():
            lines = {n: _points(self.runs[n].rows, name) for n in self.measured}
            curves = [
                Curve(n, self.labels[n], *looks[n], line) for n, line in lines.items() if line
            ]
            charts += [chart(title, "epoch", curves, name.endswith("alignment"))] if curves else []
        entries = [(n, self.labels[n], *look) for n, look in looks.items()]
        note = "Mean and 95 % interval over seeds. A click hides a run's curves."
        drawn = f'<div class="charts">{"".join(charts)}</div>'
        return f'{page.legend(entries)}{drawn}<p class="quiet">{note}</p>' if charts else ""

    def classes(self) -> str:
        """Of classifiers, the test accuracy among each class's examples."""
        found = {n: of.get("test_accuracy_of_class") for n, of in self.summaries.items()}
        rows = [(self.labels[n], of["mean"]) for n, of in found.items() if of]
        most = max((len(shares) for _, shares in rows), default=0)
        return page.heat_table(["run", *map(str, range(most))], rows) if rows else ""

    def confusion(self) -> str:
        """Of classifiers, what each class's test examples are taken for."""
        counts = {n: of.get("test_confusion", []) for n, of in self.summaries.items()}
        some = {n: of_run for n, of_run in counts.items() if any(map(any, of_run))}
        maps = [confusion_map(self.labels[n], of_run) for n, of_run in some.items()]
        note = "Test examples of a class by the network's answer, in %, of all seeds together."
        drawn = f'<div class="charts small">{"".join(maps)}</div>'
        return f'{drawn}<p class="quiet">{note}</p>' if maps else ""

    def failures(self, wanted: Sequence[Entry]) -> str:
        """Runs that have not finished, seeds that have diverged, runs that are not there."""
        said = []
        for n, run in enumerate(self.runs):
            if run.status != "finished":
                reason = run.manifest.get("reason", f"at epoch {reached(run)}")
                said.append(f"{self.labels[n]}: {run.status}, {reason}")
            elif n in self.summaries:
                lost = self.summaries[n]["diverged"].items()
                seeds = ", ".join(f"seed {seed} in epoch {epoch}" for seed, epoch in lost)
                said += [f"{self.labels[n]}: diverged, {seeds}"] if lost else []
        said += [f"{entry.path} is not there" for entry in wanted if not entry.config]
        return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in said)}</ul>" if said else ""

    def commands(self) -> str:
        """Those that were given, and one for each run."""
        given = dict.fromkeys(str(run.manifest.get("command", "")) for run in self.runs)
        own = (shlex.join(["fabench", "run", *words]) for words in self.words)
        each = "\n".join(own)
        return f"<pre>{escape(chr(10).join(filter(None, given)))}</pre><p>Each alone:</p>" + (
            f"<pre>{escape(each)}</pre>"
        )

    def versions(self) -> str:
        """Of software and machine, each once."""
        rows: dict[tuple[str, ...], None] = {}
        for run in self.runs:
            where: dict[str, Any] = run.manifest.get("environment", {})
            libraries = where.get("libraries", {})
            commit, *changed = str(where.get("commit")).split("-")
            told = [where.get("fabench"), "-".join([commit[:10], *changed]), where.get("python")]
            told += [libraries.get("torch"), libraries.get("numpy")]
            told += [where.get("gpu") or where.get("cpu"), run.manifest.get("data")]
            rows[tuple(map(str, told))] = None
        titles = ["fabench", "commit", "python", "torch", "numpy", "machine", "data"]
        return page.table(titles, list(rows))


def _problem(run: Entry) -> str:
    """What a run learns and is tested on: the settings of its dataset and task, and k."""
    groups, settings = ("dataset", "task", "k"), dict(run.settings)
    if settings.get("dataset.sha256"):
        settings.pop("dataset.path", None)  # the same wherever it lies
    told = sorted((k, str(v)) for k, v in settings.items() if k.split(".")[0] in groups)
    return str([*told, settings.get("trainer.evaluate_on", "test")])


def _points(rows: Sequence[dict[str, float]], name: str) -> list[Point]:
    """Of a metric, each epoch's mean and interval over the seeds that have not diverged."""
    by_epoch: dict[float, list[float]] = {}
    for row in rows:
        if not row["diverged"] and np.isfinite(row.get(name, np.nan)):
            by_epoch.setdefault(row["epoch"], []).append(row[name])
    summaries = {epoch: summarize(values) for epoch, values in sorted(by_epoch.items())}
    return [(epoch, s.mean, s.low, s.high) for epoch, s in summaries.items()]
