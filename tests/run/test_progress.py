"""What the terminal shows: the plan, progress, results.

Oracles: the text itself, with numbers worked out by hand.
"""

import io
import re
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import pandas as pd
import pytest
from rich.console import Console

from fabench.run import progress as report
from fabench.run.store import RunFolder


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """A wide terminal without colours of its own."""
    monkeypatch.setenv("COLUMNS", "160")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


# -- Plan ------------------------------------------------------------------------------------


def test_plan_names_every_choice(make_config):
    assert report.plan([make_config(k=3, optimizer__lr=0.05)], 965) == {
        "rule": "dfa",
        "optimizer": "sgd (lr=0.05)",
        "dataset": "digits, parity, k=3",
        "network": "192-5-1, 965 trained parameters",
        "feedback": "uniform",
        "seeds": "0, 1, 2",
        "device": "cpu, fp32",
    }


@pytest.mark.parametrize(
    "changes, key, text",
    [
        ({"learning_rule": "bp"}, "feedback", None),
        ({"trainer__weight_decay": 0.001}, "weight decay", "0.001"),
        ({"seed": [7]}, "seeds", "7"),
        ({"model__hidden": [5, 4]}, "network", "192-5-4-1, 1,234,567 trained parameters"),
        (
            {"optimizer": "momentum", "optimizer__lr": 0.1},
            "optimizer",
            "momentum (lr=0.1, momentum=0.9)",
        ),
    ],
)
def test_plan_of_other_choices(make_config, changes, key, text):
    assert report.plan([make_config(**changes)], 1234567).get(key) == text


def test_plan_of_a_population_lists_what_differs(make_config):
    configs = [
        make_config(optimizer__lr=lr, seed=seed) for lr in (0.1, 0.2) for seed in ([0], [1, 5])
    ]
    lines = report.plan(configs, 965)
    assert lines["optimizer"] == "sgd (lr=0.1|0.2)"
    assert lines["seeds"] == "0, 1, 5"


def test_plan_is_printed_a_line_an_entry(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    report.show_plan({"rule": "dfa", "seeds": ", ".join(map(str, range(50)))})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [
        ["rule", "dfa"],
        ["seeds", ", ".join(map(str, range(50)))],
    ]


# -- Progress --------------------------------------------------------------------------------


def epoch(number, train=(0.25, 0.75), test=(0.5, 0.75)):
    """Two rows of metrics.csv."""
    return pd.DataFrame({
        "seed": [0, 1],
        "epoch": number,
        "train_accuracy": train,
        "test_accuracy": test,
        "examples_per_second": 12345.6,
    })  # fmt: skip


@contextmanager
def one_population(left=1):
    """The reporter of a plan's only population, of which so much is to be done."""
    with report.shown([1], [left]) as plan:
        yield plan.population(0)


def test_lines_for_logs(capsys):
    with one_population() as lines:
        lines.start(epochs=2, batches=3, rows=2, done=0)
        lines.batch(16)
        lines.epoch(epoch(1))
        lines.epoch(epoch(2, train=(0.5, float("nan")), test=(float("nan"),) * 2))
        lines.finish()
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1/2  train 50.00 %  test 62.50 %  12,346 examples/s",
        "epoch 2/2  train 50.00 %  test - %  12,346 examples/s",
    ]


def test_lines_tell_that_a_run_continues(capsys):
    with one_population() as lines:
        lines.start(epochs=20, batches=3, rows=2, done=7)
    assert capsys.readouterr().out == "continuing after 2 of 20 epochs\n"


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(report.time, "perf_counter", lambda: clock.now)
    return clock


def test_lines_of_several_populations_tell_how_far_all_are(capsys, clock):
    with report.shown([10, 30], [10, 15]) as plan:  # of the second, half is done before
        lines = plan.population(0)
        lines.start(epochs=2, batches=1, rows=2, done=0)
        clock.now += 10
        lines.batch(16)
        lines.epoch(epoch(1))  # 20 of 40 are done, 5 of them in 10 seconds; 20 are left
        lines.finish()  # early: of a population that diverged, nothing is left
        lines = plan.population(1)
        lines.start(epochs=10, batches=1, rows=2, done=6)  # 10 + 18 are done, 12 are left
        clock.now += 10
        lines.batch(16)
        lines.epoch(epoch(7))  # 8 in 20 seconds; 9 are left
        lines.finish()
    ends = [line.split("examples/s")[1] for line in capsys.readouterr().out.splitlines()[::2]]
    assert ends == [
        "  (population 1 of 2: 50 % of the plan, 0:00:40 left)",
        "  (population 2 of 2: 78 % of the plan, 0:00:22 left)",
    ]


def test_the_clock_of_a_plan_starts_with_training(clock):
    plan = report.Plan([1, 1], [1, 1])
    clock.now += 1000  # loading data
    assert plan.time_left == "-:--:-- left"
    plan.population(0).finish()  # it could not even start
    population = plan.population(1)
    population.start(epochs=1, batches=4, rows=1, done=0)
    clock.now += 3600
    population.batch(16)
    assert plan.time_left == "3:00:00 left"
    assert plan.done == pytest.approx(5 / 8)
    population.finish()
    assert plan.done == 1
    assert plan.time_left == "0:00:00 left"


@pytest.fixture
def terminal(monkeypatch, clock):
    """A terminal that keeps what is written to it, and a clock that is set by hand."""
    screen = io.StringIO()
    monkeypatch.setattr(report, "console", Console(file=screen, force_terminal=True, width=160))
    return SimpleNamespace(
        clock=clock, text=screen.getvalue, lines=lambda: shown(screen.getvalue())
    )


def shown(text):
    """The lines that stand on a terminal after so much output, without colours."""
    lines, row = [""], 0
    for part in re.split(r"(\n|\x1b\[[\d;?]*\w)", text.replace("\r", "")):
        if part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            lines[row] = ""
        elif not part.startswith("\x1b"):
            lines[row] += part
    return [" ".join(line.split()) for line in lines]


def test_the_bar_shows_epoch_accuracies_and_throughput(terminal):
    with one_population() as bar:
        assert isinstance(bar, report.BarReporter)
        bar.start(epochs=2, batches=2, rows=3, done=0)
        terminal.clock.now += 4
        bar.batch(16)
        bar.batch(8)
        bar.epoch(epoch(1))
        bar.finish()  # stopped early: the bar stays where it is
    text = terminal.text()
    assert "epoch 2/2" in text
    assert "50%" in text  # two of four batches
    assert "train 50.00 %  test 62.50 %" in text
    assert "18 examples/s" in text  # 3 runs of 24 examples in 4 seconds
    assert "population" not in text and " left" not in text and "100%" not in text


def test_the_bar_of_a_continued_run_starts_where_it_stopped(terminal):
    with one_population(left=0.5) as bar:
        bar.start(epochs=4, batches=2, rows=1, done=5)
        terminal.clock.now += 2
        bar.batch(16)
    text = terminal.text()
    assert "epoch 3/4" in text
    assert "75%" in text  # six of eight batches
    assert "8 examples/s" in text  # what is done before does not count


def test_the_bar_stays_at_the_last_epoch(terminal):
    with one_population() as bar:
        bar.start(epochs=1, batches=1, rows=1, done=0)
        terminal.clock.now += 1
        bar.batch(16)
        bar.epoch(epoch(1))
    assert "epoch 1/1" in terminal.text() and "2/1" not in terminal.text()
    assert "100%" in terminal.text()


def test_a_bar_of_the_plan_stands_above_that_of_the_population(terminal):
    with suppress(KeyboardInterrupt), report.shown([1, 3], [1, 3]) as plan:
        bars = plan.population(0)
        bars.start(epochs=2, batches=1, rows=1, done=0)
        terminal.clock.now += 10
        bars.batch(16)
        bars.epoch(epoch(1))
        raise KeyboardInterrupt
    plan, population, *_ = terminal.lines()
    assert re.fullmatch("population 1 of 2 ━.* 12% 0:01:10 left", plan)
    assert re.match(".*epoch 2/2 ━.* 50% train 50.00 %", population)
    assert terminal.text().endswith("\x1b[?25h")  # the cursor is back


def test_a_population_leaves_its_bar_and_the_last_fills_that_of_the_plan(terminal):
    with report.shown([1, 1, 2], [1, 1, 2]) as plan:
        for place, batches in enumerate((4, 1)):  # the second diverges
            bars = plan.population(place)
            bars.start(epochs=4, batches=1, rows=1, done=0)
            report.console.print(f"{batches} to come")
            terminal.clock.now += 1
            for number in range(batches):
                bars.batch(16)
                bars.epoch(epoch(number + 1))
            bars.finish()
        plan.population(2).finish()  # it has no data
    patterns = [
        "4 to come",
        "epoch 4/4 .* 100% train 50.00 %",
        "1 to come",
        ".*epoch 2/4 .* 25% train 50.00 %",
        "population 3 of 3 .* 100% 0:00:00 left",
        "$",
    ]
    for line, pattern in zip(terminal.lines(), patterns, strict=True):
        assert re.match(pattern, line), line


def test_a_pipe_gets_lines(capsys):
    assert isinstance(report.shown([1], [1]).population(0), report.LineReporter)


def test_populations_side_by_side_have_a_bar_each(terminal):
    with suppress(KeyboardInterrupt), report.shown([2, 2], [2, 2]) as plan:
        first, second = plan.population(0), plan.population(1)
        for bars in (first, second):
            bars.start(epochs=2, batches=2, rows=1, done=0)
        terminal.clock.now += 1
        second.batch(32, count=2)
        second.epoch(epoch(1))
        first.batch(16)
        second.batch(32, count=2)
        second.finish()
        raise KeyboardInterrupt
    finished, whole, running, *_ = terminal.lines()
    assert re.match(".*epoch 2/2 ━.* 100% train 50.00 % .* 64 examples/s", finished)
    assert re.fullmatch("population 2 of 2 ━.* 62% 0:00:01 left", whole)  # 5 of 8 batches
    assert re.match(".*epoch 1/2 ━.* 25%", running)


# -- Results ---------------------------------------------------------------------------------


@pytest.fixture
def results(make_config, tmp_path, capsys):
    """The rows of the results table for test accuracies in the last epoch: {first cell: cells}."""

    def show(accuracies, diverged=(), trained=True):
        folder = RunFolder(make_config(output_dir=str(tmp_path)))
        folder.path.mkdir(parents=True)
        rows = [
            {
                "seed": seed,
                "epoch": epoch,
                "train_accuracy": 0.5 + 0 * accuracy,  # NaN if it is
                "test_loss": 0.25 + 0 * accuracy,
                "test_accuracy": accuracy if epoch else 0.4,
                "diverged": int(seed in diverged and epoch == 1),
            }
            for epoch in (0, 1)
            for seed, accuracy in enumerate(accuracies)
        ]
        folder.write_metrics(pd.DataFrame(rows))
        report.show_results(folder, trained)
        out = capsys.readouterr().out
        rows = [line.strip("│┃ ") for line in out.splitlines() if line[:1] in "│┃"]
        cells = [[cell.strip() for cell in row.replace("┃", "│").split("│")] for row in rows]
        return {first: rest for first, *rest in cells}, out, folder

    return show


def test_results_have_a_row_for_every_seed_and_the_mean_with_its_interval(results):
    table, out, folder = results([0.5, 0.6, 0.7])
    assert table == {
        "seed": ["train accuracy %", "test accuracy %", "test loss", "best epoch"],
        "0": ["50.00", "50.00", "0.2500", "1"],
        "1": ["50.00", "60.00", "0.2500", "1"],
        "2": ["50.00", "70.00", "0.2500", "1"],
        # 4.3027 (Student t, two degrees of freedom) * 10 / sqrt(3) = 24.84
        "mean": ["50.00 ± 0.00", "60.00 ± 24.84", "0.2500 ± 0.0000", "1"],
    }
    assert "95 % interval" in out and "Student" in out
    assert str(folder.path) in out


def test_results_of_one_seed_have_no_interval(results):
    table, _, _ = results([0.6])
    assert table["0"] == table["mean"] == ["50.00", "60.00", "0.2500", "1"]


def test_results_tell_which_seed_diverged(results):
    table, _, _ = results([0.5, float("nan"), 0.7], diverged=[1])
    assert table["1"] == ["-", "-", "-", "diverged in epoch 1"]
    # 12.7062 (one degree of freedom) * 14.142 / sqrt(2) = 127.06
    assert table["mean"][1] == "60.00 ± 127.06"


def test_results_of_seeds_that_all_diverged_have_no_best_epoch(results):
    table, _, _ = results([float("nan")] * 2, diverged=[0, 1])
    assert table["mean"] == ["-", "-", "-", "-"]


@pytest.mark.parametrize("trained", [True, False])
def test_results_say_if_nothing_was_trained(results, trained):
    _, out, _ = results([0.5], trained=trained)
    assert ("overwrite=true" in out) == (not trained)
