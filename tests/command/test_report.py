"""``fabench report``: numbers on the page, and the page in a browser.

Oracles: the accuracies that the runs were given, scipy's paired t-test, Chromium's DOM.
"""

import errno
import os
import re
import shlex
import shutil
import subprocess
from html import unescape
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

from fabench.command import cli, figures
from fabench.figure.svg import Curve, chart, confusion_map
from fabench.run.store import write_json

pytestmark = pytest.mark.usefixtures("workdir")

BP, DFA = (0.8, 0.9, 0.85), (0.5, 0.7, 0.75)


@pytest.fixture
def study(put_run):
    """Three runs: BP, DFA, and one that has diverged; the first has accuracies of classes."""
    bp = put_run(accuracies=BP, k=1, learning_rule="bp", task="classification")
    put_run(accuracies=DFA, k=1, task="classification", stopped="2026-02-01T00:00:00+00:00")
    put_run("failed", k=1, task="classification", optimizer__lr=9.0,
            stopped="2026-03-01T00:00:00+00:00")  # fmt: skip
    of_class = {"mean": [0.25] * 9 + [None], "per_seed": {}}
    counts = (np.eye(10) * 4 + 1).astype(int).tolist()
    own = {"test_accuracy_of_class": of_class, "test_confusion": counts}
    write_json(bp.path / "summary.json", bp.summary() | own)
    bp.update_manifest(environment={"fabench": "0.1", "libraries": {"torch": "2.x"}}, data="<b>&")
    return bp


def sections(*args):
    """The page's headings, each with its text, cells apart."""
    assert cli.main(["report", *args, "-o", "page.html"]) == 0
    text = Path("page.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=|https?:|@import|url\(", text), "it needs another file"
    parts = re.findall(r"<h2>(.*?)</h2>(.*?)</section>", text, re.S)
    cells = re.compile(r"</t[dh]>|</tr>|</li>|<[^>]*>")
    return {
        h: unescape(cells.sub(lambda tag: "|" * (tag[0][:3] in ("</t", "</l")), t))
        for h, t in parts
    }


def test_the_page_tells_what_was_found(study, capsys):
    told = sections("k=1")
    assert capsys.readouterr().out == "Report: page.html\n"
    assert told.keys() == {
        "Settings", "Results", "Curves", "Test accuracy of each class, %", "Confusion of classes",
        "Failures", "Again", "Versions",
    }  # fmt: skip
    shared = told["Settings"].split("learning_rule|")[0]
    assert "dataset=digits" in shared and "model.hidden=[5]" in shared
    assert "learning_rule|optimizer.lr|seed|run|" in told["Settings"]
    t = ttest_rel(DFA, BP)
    half = (t.confidence_interval(0.95).high - t.confidence_interval(0.95).low) / 2
    assert "bp, lr=0.018, seed=[0, 1, 2]|finished|2|3|85.00 ± 12.42|" in told["Results"]
    assert f"|-20.00 ± {100 * half:.2f}|{t.pvalue:.3g}|" in told["Results"]
    assert "|diverged|2|0|-|-|" in told["Results"]
    assert (
        "bp, lr=0.018, seed=[0, 1, 2]|" + 9 * "25.0|" + "-|"
        in told["Test accuracy of each class, %"]
    )
    assert told["Confusion of classes"].startswith("bp, lr=0.018, seed=[0, 1, 2]")
    assert "9, answer 8: 1 of 14" in told["Confusion of classes"]
    assert "lr=9.0, seed=[0, 1]: diverged, every seed diverged." in told["Failures"]
    assert "fabench run learning_rule=bp dataset=digits" in told["Again"]
    assert "|0.1|" in told["Versions"] and "|2.x|" in told["Versions"]
    assert "|<b>&|" in told["Versions"]


def test_what_learns_the_same_is_compared(study, put_run):
    """Beside BP on parity, runs of another problem are compared with each other alone."""
    for rule, accuracies, month in (("fa", (0.1, 0.2, 0.4), 4), ("dfa", (0.3, 0.5, 0.3), 5)):
        put_run(accuracies=accuracies, k=1, learning_rule=rule,
                stopped=f"2026-0{month}-01T00:00:00+00:00")  # fmt: skip
    told = sections("status=finished")["Results"]
    t = ttest_rel((0.3, 0.5, 0.3), (0.1, 0.2, 0.4))
    assert f"|{100 * (1.1 - 0.7) / 3:.2f} ± " in told
    assert told.count("|-|-|") >= 2  # BP's row and FA's, with which the others are compared
    p = sorted([t.pvalue, ttest_rel(DFA, BP).pvalue])
    assert f"|{2 * p[0]:.3g}|" in told and f"|{max(2 * p[0], p[1]):.3g}|" in told
    assert "of what learns the same, fa, parity" in told


def test_only_what_learns_the_same_is_compared(put_run):
    """Two sizes of a dataset are two problems, each with BP."""
    of = {
        ("bp", 5): (0.5, 0.7),
        ("dfa", 5): (0.4, 0.7),
        ("bp", 9): (0.1, 0.4),
        ("dfa", 9): (0.3, 0.3),
    }
    for (rule, d), accuracies in of.items():
        put_run(accuracies=accuracies, learning_rule=rule, dataset="clusters", dataset__d=d,
                task="classification", model__hidden=[3])  # fmt: skip
    told = sections()["Results"]
    assert told.count("|-5.00 ± ") == 1 and told.count("|5.00 ± ") == 1
    assert told.count("|-|-|") == 2


def test_what_validation_data_say_is_another_problem(put_run):
    put_run(accuracies=(0.5, 0.7), learning_rule="bp", k=1)
    put_run(accuracies=(0.4, 0.7), learning_rule="dfa", k=1, trainer__evaluate_on="validation")
    assert sections()["Results"].count("|-|-|") == 2


def test_the_same_data_are_one_problem_wherever_they_lie(put_run):
    rng = np.random.default_rng(0)
    data = {f"{split}_x": rng.random((20, 4)) for split in ("train", "test")}
    data |= {f"{split}_y": np.arange(20) % 2 for split in ("train", "test")}
    for rule in ("bp", "dfa"):
        np.savez(f"{rule}.npz", **data)
        put_run(learning_rule=rule, dataset="arrays", dataset__path=f"{rule}.npz",
                task="classification", model__hidden=[3])  # fmt: skip
    assert "|0.00 ± 0.00|" in sections()["Results"]


def test_others_are_compared_to_the_bp_of_most_seeds(put_run):
    for seeds, rate in (([0, 1], 0.1), ([0, 1, 2], 0.2), ([0], 0.3)):
        put_run(accuracies=[0.5] * len(seeds), seed=seeds, learning_rule="bp", optimizer__lr=rate,
                k=1)  # fmt: skip
    put_run(accuracies=(0.5, 0.6, 0.7), learning_rule="dfa", k=1)
    told = sections()["Results"]
    assert "to bp, lr=0.2, seed=[0, 1, 2], paired" in told
    assert f"|{10:.2f} ± {100 * 0.1 * 4.302653 / 3**0.5:.2f}|" in told


def test_settings_are_told_as_a_shell_takes_them(put_run):
    pixels = np.zeros((4, 2, 2), np.uint8)
    labels = np.array([0, 1, 0, 1])
    np.savez("run (1).npz", train_x=pixels, train_y=labels, test_x=pixels, test_y=labels)
    put_run(dataset="arrays", dataset__path="run (1).npz", task="classification")
    own = sections()["Again"].rpartition("fabench run ")[2]
    assert cli.main(["run", *shlex.split(own), "dry_run=true", "output_dir=new"]) == 0


def test_of_a_changed_checkout_the_versions_say_so(study):
    where = study.manifest()["environment"]
    study.update_manifest(environment=where | {"commit": "0123456789abcdef-dirty"})
    assert "|0123456789-dirty|" in sections("k=1")["Versions"]


def test_a_page_that_cannot_be_written_leaves_the_one_before(study, monkeypatch, capsys):
    sections("k=1")
    before = Path("page.html").read_bytes()

    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    assert cli.main(["report", "k=1", "-o", "page.html"]) == 2
    assert "Cannot write page.html (No space left on device)" in capsys.readouterr().err
    assert Path("page.html").read_bytes() == before


def test_a_damaged_run_has_no_epoch(study):
    (study.path / "metrics.csv").unlink()
    told = sections("k=1")
    assert "bp, lr=0.018, seed=[0, 1, 2]|damaged|-/2|0|" in told["Results"]
    assert "damaged, at epoch -/2" in told["Failures"]


def test_an_experiments_page_says_which_runs_are_not_there(study, make_config, monkeypatch):
    missing = make_config(k=1, learning_rule="fa", task="classification")
    asked = []
    monkeypatch.setattr(figures, "configs_of", lambda *args: asked.append(args) or [
        study.config, missing])  # fmt: skip
    told = sections("fig_3_1", "seed=ten")
    assert [args[:2] for args in asked] == [(["fig_3_1"], ["seed=ten"])]
    assert told["Failures"] == f"outputs/runs/{missing.name()} is not there|"
    assert told["Results"].count("|finished|") == 1
    assert "<title>fig_3_1</title>" in Path("page.html").read_text()


def test_wrong_requests(study, capsys):
    for args, sentence in (
        (["-o"], "fabench: -o wants a file: -o report.html.\n"),
        (["fig_3_1", study.path.name], "fabench: Give experiments, or runs: not both.\n"),
        (["k=1", "-o", "no/x.html"], "fabench: Cannot write no/x.html (No such file or directory): "
         "choose another file by -o.\n"),
        (["k=7"], "fabench: None of these runs is there: fabench ls shows those that are.\n"),
    ):  # fmt: skip
        assert cli.main(["report", *args]) == 2
        assert capsys.readouterr().err == sentence


def test_a_chart_puts_values_where_they_belong():
    nan = float("nan")
    points = [(0, 1.0, 0.0, 2.0), (5, 3.0, 2.0, 4.0), (10, 2.0, nan, nan)]
    drawn = chart("a < b", "epoch", [Curve(3, "mine", "#123456", "7 3", points)])
    assert "a &lt; b" in drawn and 'data-run="3"' in drawn and "mine, 5: 3 ± 1" in drawn
    [line] = re.findall(r'<polyline points="(.*?)"', drawn)
    (x0, y0), (x1, y1), (x2, y2) = (map(float, pair.split(",")) for pair in line.split())
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.1) and x0 == 52
    assert (y0 - y2) == pytest.approx(y2 - y1, abs=0.1) and y1 < y2 < y0  # upwards
    [band] = re.findall(r'<polygon points="(.*?)"', drawn)
    assert len(band.split()) == 4
    ticks = {
        float(v): float(y) for y, v in re.findall(r'y="([\d.]+)" text-anchor="end">(.*?)<', drawn)
    }
    assert ticks[3.0] - 4 == pytest.approx(y1, abs=0.1)


@pytest.mark.parametrize("low, high", [(0.69312, 0.69317), (-0.9278, -0.9277), (2e6, 7e6)])
def test_a_charts_ticks_are_told_apart(low, high):
    nan = float("nan")
    drawn = chart(
        "loss", "epoch", [Curve(0, "", "", "", [(0, low, nan, nan), (1, high, nan, nan)])]
    )
    ticks = [float(tick) for tick in re.findall(r'text-anchor="end">(.*?)<', drawn)]
    assert len(set(ticks)) == len(ticks) >= 2 and low <= min(ticks) < max(ticks) <= high


def test_a_chart_of_one_late_point_has_it():
    drawn = chart("loss", "epoch", [Curve(0, "", "", "", [(5, 0.5, 0.4, 0.6)])])
    [place] = re.findall(r'<circle cx="([\d.]+)"', drawn)
    assert float(place) == 448  # at the right end of an axis from 0


def test_a_charts_axis_is_logarithmic_where_values_span_decades():
    points = [(e, 10.0**-e, float("nan"), float("nan")) for e in range(5)]
    drawn = chart("loss", "epoch", [Curve(0, "", "", "", points)])
    [line] = re.findall(r'<polyline points="(.*?)"', drawn)
    heights = [float(pair.split(",")[1]) for pair in line.split()]
    steps = [b - a for a, b in pairwise(heights)]
    assert steps == pytest.approx([steps[0]] * 4, abs=0.11) and steps[0] > 0


def test_a_chart_of_cosines_has_angles_on_its_right():
    points = [(0, 0.0, -0.1, 0.1), (1, 0.6, 0.5, 0.7)]
    drawn = chart("alignment", "epoch", [Curve(0, "", "", "", points)], angles=True)
    [line] = re.findall(r'<polyline points="(.*?)"', drawn)
    (_, y0), (_, y1) = (map(float, pair.split(",")) for pair in line.split())
    angles = {float(a): float(y) - 4 for y, a in re.findall(r'y="([\d.]+)">([\d.]+)°<', drawn)}
    assert angles[90] == pytest.approx(y0, abs=0.1)
    assert angles[60] == pytest.approx(y0 + (y1 - y0) * 0.5 / 0.6, abs=0.2)


def test_a_map_of_classes_has_their_examples_in_rows():
    drawn = confusion_map("a < b", [[3, 1], [0, 5]])
    assert "a &lt; b" in drawn
    told = re.findall(r"<title>(.*?)</title></rect><text[^>]*>(.*?)<", drawn)
    assert told == [
        ("0, answer 0: 3 of 4", "75"), ("0, answer 1: 1 of 4", "25"), ("1, answer 1: 5 of 5", "100")
    ]  # fmt: skip
    places = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)"', drawn)
    (x0, y0), (x1, y1), (x2, y2) = (map(float, place) for place in places)
    assert x0 < x1 == x2 and y0 == y1 < y2  # a class below the other, an answer beside it
    many = confusion_map("", (np.eye(100) * 7).astype(int).tolist())
    assert many.count("<rect") == 100 and ">100<" not in many


# -- In a browser ----------------------------------------------------------------------------

PROBE = """<script>
window.onerror = message => { document.title = message; };
window.addEventListener("load", () => {
  const shown = () => [...document.querySelectorAll(".chart [data-run='1']")].filter(
    g => g.getBoundingClientRect().width > 0).length;
  const before = shown();
  document.querySelector(".legend button[value='1']").click();
  const hidden = shown();
  document.querySelector(".legend button[value='1']").click();
  const axes = [...document.querySelectorAll(".axes path")].filter(
    a => a.getBoundingClientRect().height > 50).length;
  const wide = document.documentElement.scrollWidth > window.innerWidth;
  document.body.dataset.probe = [before, hidden, shown(), axes, wide].join(" ");
});
</script></head>"""
"""What a reader would do, told in an attribute; an error becomes the title."""


@pytest.mark.parametrize("width", [1400, 400])
def test_a_browser_draws_it_and_a_click_hides_a_curve(study, width, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium")
    sections("k=1")
    page = tmp_path / "page.html"
    page.write_text(page.read_text().replace("</head>", PROBE))
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900",
         f"--user-data-dir={tmp_path}/profile", "--enable-logging=stderr", "--dump-dom",
         page.as_uri()],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert "<title>fabench report</title>" in done.stdout, done.stderr
    assert not re.search(r"CONSOLE.*rror", done.stderr)
    [probe] = re.findall('data-probe="(.*?)"', done.stdout)
    assert probe == "2 0 2 3 false"
