"""Sweeps: jobs fused into populations give what they give alone; the table and the plot.

Oracles: the runs of Hydra's own launcher, which knows no populations; hand-made tables.
"""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch

from fabench.command import cli
from fabench.command import sweep as sweeps
from fabench.dataset.mnist import Mnist
from fabench.figure.sweep_plot import sweep_plot
from fabench.population.examples import Examples
from fabench.population.precision import NumberFormat
from fabench.run.costs import STEP, cost, multiply_adds, row_bytes
from fabench.run.execute import Outcome, execute, find, populations
from fabench.run.store import TIMES, RunFolder
from fabench.run.trainer import data_of
from fabench.schema import UserError

TINY = [
    "dataset=digits",
    "trainer.device=cpu",
    "trainer.epochs=2",
    "trainer.batch_size=16",
    "trainer.train_examples=40",
    "trainer.test_examples=24",
    "model.hidden=[5]",
]


@pytest.fixture
def sweep(workdir, capsys):
    """``fabench run -m ARGS``: exit code, stdout, stderr."""

    def call(*overrides):
        code = cli.main(["run", "-m", *TINY, *overrides])
        return code, *capsys.readouterr()

    return call


def runs(folder):
    """Every run's metrics without its times, and its weights, by folder name."""
    found = {}
    for path in sorted((folder / "runs").iterdir()):
        saved = torch.load(path / "checkpoint.pt", weights_only=True)["tensors"]
        found[path.name] = (pd.read_csv(path / "metrics.csv").drop(columns=TIMES), saved)
    return found


def table(folder):
    [path] = (folder / "sweeps").glob("*/sweep.csv")
    return pd.read_csv(path)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_job_in_a_sweep_is_the_job_alone(sweep, tmp_path, optimizer):
    args = [
        f"optimizer={optimizer}",
        "optimizer.lr=0.01,0.1",
        "k=1,2",
        "seed=0,[1,2]",
        "trainer.weight_decay=0,1e-2",
    ]
    assert sweep(*args, "output_dir=fused")[0] == 0
    assert sweep(*args, "output_dir=alone", "hydra/launcher=basic")[0] == 0
    fused, alone = runs(tmp_path / "fused"), runs(tmp_path / "alone")
    assert len(fused) == 16
    assert fused.keys() == alone.keys()
    for name, (metrics, weights) in fused.items():
        pd.testing.assert_frame_equal(metrics, alone[name][0], rtol=1e-6, atol=1e-7)
        for key, value in weights.items():
            torch.testing.assert_close(value, alone[name][1][key], rtol=1e-6, atol=1e-7)


def test_jobs_in_processes_of_their_own_are_reported_too(sweep, tmp_path):
    layers = "trainer.frozen_layers=[],[1,2]"
    code, out, err = sweep("optimizer.lr=0.01,0.1", layers, "hydra/launcher=joblib")
    assert code == 1
    assert "2 of 4 jobs failed; the first: trainer.frozen_layers=[1, 2] leaves no layer" in err
    assert table(tmp_path / "outputs").status.tolist() == ["finished"] * 2 + ["refused"] * 2
    assert out.count("refused: ") == 2


def test_jobs_that_differ_in_seeds_and_scalars_are_one_population(make_config):
    def outcome(**changes):
        config = make_config(**changes)
        return Outcome(config, RunFolder(config))

    together = [outcome(optimizer__lr=lr, seed=[s]) for lr in (0.1, 0.2) for s in (0, 1)]
    together.append(outcome(trainer__weight_decay=0.1))
    apart = [
        outcome(learning_rule="bp"),
        outcome(k=2),
        outcome(optimizer="adam"),
        outcome(model__hidden=[6]),
        outcome(trainer__epochs=3),
        outcome(trainer__batch_size=8),
        outcome(init_of_B="xavier"),
        outcome(trainer__precision="bf16"),
    ]
    assert populations([*together, *apart]) == [together, *([o] for o in apart)]


def test_a_population_is_cut_where_memory_ends(make_config, monkeypatch):
    configs = [make_config(optimizer__lr=0.1 * n, seed=[0, 1]) for n in range(1, 6)]
    outcomes = [Outcome(c, RunFolder(c)) for c in configs]
    monkeypatch.setattr("fabench.run.costs.CPU_BYTES", 5 * row_bytes(configs[0]))
    assert [len(group) for group in populations(outcomes)] == [2, 2, 1]


@pytest.mark.parametrize(
    "changes, forward, gradient",
    [
        ({"k": 1}, 64 * 5 + 5, 64 * 5 + 5),
        ({"k": 3}, 192 * 5 + 5, 192 * 5 + 5),
        ({"k": 1, "learning_rule": "relu_features"}, 64 * 5 + 5, 5),
        ({"k": 1, "learning_rule": "ntk"}, 2 * 64 * 5 + 5, 64 * 5 + 5),
    ],
)
def test_work_is_that_of_the_matrix_products(make_config, changes, forward, gradient):
    expected = 40 * (forward + gradient) + 24 * forward  # training and test examples
    assert multiply_adds(make_config(seed=[0], **changes), epochs=1) == expected
    assert multiply_adds(make_config(seed=[0, 1], **changes), epochs=7) == 14 * expected


def test_a_run_costs_no_examples_that_are_not_there(make_config):
    small = {"dataset": "clusters", "task": "classification"}
    every = {"trainer__train_examples": None, "trainer__test_examples": None}
    more = dict.fromkeys(every, 10**6)
    costs = {multiply_adds(make_config(**small, **wanted), 1) for wanted in (every, more)}
    assert len(costs) == 1


@pytest.mark.parametrize("settings", [{"evaluate_on": "validation"}, {"early_stopping": "GL"}, {}])
def test_a_run_costs_what_its_data_leave_when_some_are_held_out(make_config, settings):
    every = {"trainer__train_examples": None, "trainer__test_examples": None}
    config = make_config(**every, **{f"trainer__{key}": value for key, value in settings.items()})
    number = NumberFormat("fp32", torch.device("cpu"))
    examples = Examples(data_of(config), config.task, (0,), torch.device("cpu"), number)
    sizes = [len(examples.epoch(split, 1)) for split in ("train", "test")]
    assert [config.train_examples, config.test_examples] == sizes


def test_a_run_costs_its_products_and_its_steps(make_config):
    config = make_config(seed=[0, 1])  # 40 examples in batches of 16
    assert cost(config, epochs=7) == multiply_adds(config, epochs=7) + 2 * 7 * 3 * STEP["cpu"]


def plan_shares(out):
    """After every epoch of a sweep: the population and the percentage of the plan."""
    found = re.findall(r"\(population (\d) of 2: (\d+) % of the plan, \d:\d\d:\d\d left\)", out)
    return [(int(number), int(share)) for number, share in found]


def test_populations_count_in_the_plan_as_much_as_they_cost(sweep):
    _, out, _ = sweep("trainer.batch_size=16,8")  # 3 and 5 steps in each of two epochs
    assert plan_shares(out) == [(1, 19), (1, 38), (2, 69), (2, 100)]


def test_what_goes_on_from_another_run_counts_its_own_epochs(sweep):
    _, out, _ = sweep("trainer.epochs=3,4")
    assert plan_shares(out) == [(1, 25), (1, 50), (1, 75), (2, 100)]


def test_a_population_that_ends_early_counts_whole(sweep):
    args = ["learning_rule=bp", "model.activation=linear", "optimizer.lr=1e30"]
    _, out, _ = sweep("trainer.batch_size=16,8", *args)  # both diverge in the first epoch
    assert plan_shares(out) == [(1, 19), (2, 69)]


def test_a_population_that_cannot_train_counts_whole(sweep, monkeypatch):
    def load(self, data_dir):
        raise UserError("There is no MNIST.")

    monkeypatch.setattr(Mnist, "load", load)
    _, out, _ = sweep("dataset=mnist,digits")  # as many steps
    assert plan_shares(out) == [(2, 75), (2, 100)]


def test_one_population_has_no_place_in_a_plan(sweep):
    _, out, _ = sweep("optimizer.lr=0.01,0.1")
    assert out.count("epoch 2/2") == 1
    assert "of the plan" not in out


def test_finished_jobs_are_skipped_and_the_rest_trains(sweep, tmp_path):
    sweep("optimizer.lr=0.01,0.1")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("**/checkpoint.pt")}
    code, out, _ = sweep("optimizer.lr=0.01,0.1,0.2")
    assert code == 0
    assert "population 1 of 1: 1 job\n" in out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(tmp_path.glob("outputs/runs/*/summary.json"))) == 3


def test_one_bad_job_does_not_stop_the_others(sweep, tmp_path):
    code, out, err = sweep("trainer.frozen_layers=[],[1,2],[1]")
    assert code == 1
    refusal = "trainer.frozen_layers=[1, 2] leaves no layer to train."
    assert f"1 of 3 jobs failed; the first: {refusal}" in err
    assert f"refused: trainer.frozen_layers=[1,2]: {refusal}" in out
    found = table(tmp_path / "outputs")
    assert found.status.tolist() == ["finished", "finished", "refused"]
    assert found["trainer.frozen_layers"].tolist()[-1] == "[1,2]"
    assert np.isnan(found.test_accuracy_mean.iloc[-1])


@pytest.mark.parametrize("launcher", ["population", "basic", "joblib"])
def test_a_value_that_is_none_stops_a_sweep_before_it_begins(sweep, tmp_path, launcher):
    code, out, err = sweep("k=1,2", "optimizer.lr=0.1,-1", f"hydra/launcher={launcher}")
    assert (code, out) == (2, "")
    assert err == "fabench: optimizer.lr=-1: it should be greater than 0.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_diverging_job_fails_and_the_others_are_what_they_are_alone(sweep, tmp_path):
    args = ["learning_rule=bp", "model.activation=linear", "output_dir=both"]
    code, out, err = sweep("optimizer.lr=0.01,1e30", *args)
    assert code == 1
    assert "every seed diverged" in err
    assert "failed: optimizer.lr=1e+30: every seed diverged" in out
    sweep("optimizer.lr=0.01", *args[:-1], "output_dir=alone")
    [(name, (alone, _))] = runs(tmp_path / "alone").items()
    pd.testing.assert_frame_equal(runs(tmp_path / "both")[name][0], alone)


def test_table_is_sorted_and_says_what_it_measured(sweep, tmp_path):
    code, out, _ = sweep("optimizer.lr=0.01,0.5,0.1", "learning_rule=bp", "k=1")
    found = table(tmp_path / "outputs")
    assert code == 0
    assert found.test_accuracy_mean.is_monotonic_decreasing
    for _, row in found.iterrows():
        last = pd.read_csv(tmp_path / row.folder / "metrics.csv").query("epoch == 2")
        assert row.test_accuracy_mean == pytest.approx(last.test_accuracy.mean())
        assert row.test_accuracy_sd == pytest.approx(last.test_accuracy.std())
        assert f"lr{row['optimizer.lr']:g}-" in row.folder
    assert list(tmp_path.glob("outputs/sweeps/*/sweep.png"))
    assert "95 % interval" in out


def test_a_diverged_seed_counts_in_no_statistic(make_config, tmp_path, capsys):
    config = make_config(seed=[0, 1, 2], output_dir=str(tmp_path))
    folder = RunFolder(config)
    folder.path.mkdir(parents=True)
    last = {"epoch": 2, "seconds": 1.0, "diverged": 0, "train_loss": 0.5, "test_loss": 0.5}
    rows = [{**last, "seed": seed, "test_accuracy": a} for seed, a in enumerate((0.6, 0.9, 0.7))]
    rows[1]["diverged"] = 1  # its loss has become finite again
    folder.write_metrics(pd.DataFrame(rows))
    jobs = [sweeps.Job({}, Outcome(config, folder))]
    [row] = sweeps.table(jobs).to_dict("records")
    sweeps.report(jobs, str(tmp_path))
    assert ", 1 diverged" in capsys.readouterr().out
    assert (row["seeds"], row["diverged"]) == (2, 1)
    assert row["test_accuracy_mean"] == pytest.approx(0.65)


def test_dry_run_trains_nothing(sweep, tmp_path):
    sweep("optimizer.lr=0.01")
    code, out, _ = sweep("optimizer.lr=0.01,0.1", "k=3,1", "dry_run=true")
    assert code == 0
    assert "3 of 4 jobs would train, in 2 populations of 6, 3 networks." in out
    assert len(list(tmp_path.glob("outputs/runs/*"))) == 1


@pytest.mark.parametrize("launcher", ["population", "basic", "joblib"])
def test_a_dry_run_writes_nothing(sweep, tmp_path, launcher):
    code, out, _ = sweep("k=1,2", "dry_run=true", f"hydra/launcher={launcher}")
    assert code == 0 and "2 of 2 jobs would train" in out
    assert list(tmp_path.iterdir()) == []


def test_a_repeated_job_trains_once(sweep, tmp_path):
    code, out, _ = sweep("learning_rule=bp", "init_of_B=uniform,gaussian")  # bp has no B
    assert code == 0
    assert "population 1 of 1: 1 job\n" in out
    assert table(tmp_path / "outputs").folder.nunique() == 1


# -- The plot --------------------------------------------------------------------------------


def frame(**columns):
    n = len(next(iter(columns.values())))
    accuracy = np.linspace(0.5, 0.9, n)
    return pd.DataFrame(
        {
            **columns,
            "test_accuracy_mean": accuracy,
            "test_accuracy_ci95_low": accuracy - 0.01,
            "test_accuracy_ci95_high": accuracy + 0.01,
        }
    )


def test_one_number_is_a_curve_in_order():
    figure = sweep_plot(frame(lr=["0.1", "0.001", "0.01"]), ["lr"])
    [axes] = figure.axes
    x, y = axes.lines[0].get_data()
    assert list(x) == [0.001, 0.01, 0.1]
    assert list(y) == pytest.approx([0.7, 0.9, 0.5])
    assert axes.get_xscale() == "log"


def test_two_keys_are_a_heat_map_with_the_right_cells():
    figure = sweep_plot(frame(rule=["bp", "bp", "dfa", "dfa"], lr=["1", "0.1", "0.1", "1"]),
                        ["rule", "lr"])  # fmt: skip
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("lr", "rule")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1", "1"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["bp", "dfa"]
    [image] = axes.get_images()
    expected = [[0.5 + 0.4 / 3, 0.5], [0.5 + 0.8 / 3, 0.9]]  # rows bp, dfa; columns 0.1, 1
    np.testing.assert_allclose(image.get_array(), expected)


def test_three_keys_are_a_curve_per_choice_of_the_others():
    keys = {"rule": ["bp", "dfa"] * 4, "k": ["1", "1", "3", "3"] * 2, "lr": ["1"] * 4 + ["2"] * 4}
    figure = sweep_plot(frame(**keys), ["rule", "k", "lr"])
    legend = figure.axes[0].get_legend()
    assert len(legend.get_texts()) == 4


def test_words_are_bars():
    figure = sweep_plot(frame(rule=["bp", "dfa", "fa"]), ["rule"])
    assert [bar.get_width() for bar in figure.axes[0].patches] == pytest.approx([0.5, 0.7, 0.9])


def test_nothing_to_draw():
    assert sweep_plot(frame(lr=["1"]), []) is None
    assert sweep_plot(pd.DataFrame({"lr": ["1"]}), ["lr"]) is None


# -- Longer runs -----------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False], ids=["", "without the shorter run's weights"])
def test_a_longer_run_goes_on_from_a_shorter_one(make_config, tmp_path, kept):
    """And is in every file but for times what it would be alone."""

    def run(folder, *epochs):
        configs = [
            make_config(learning_rule=rule, trainer__epochs=n, trainer__metrics_every=2,
                        optimizer="adam", output_dir=str(tmp_path / folder))
            for n in epochs for rule in ("dfa", "fa")
        ]  # fmt: skip
        return execute(configs, "a test", keep_weights=kept)[0].folder

    alone, after = run("alone", 5), run("after", 5, 3)
    assert alone.metrics().epoch.unique().tolist() == [0, 2, 4, 5]
    pd.testing.assert_frame_equal(
        after.metrics().drop(columns=TIMES), alone.metrics().drop(columns=TIMES), check_exact=True
    )
    assert (after.path / "config.yaml").read_text() == (
        (alone.path / "config.yaml").read_text().replace("alone", "after")
    )
    summaries = [json.loads((f.path / "summary.json").read_text()) for f in (alone, after)]
    for name in TIMES:
        for found in summaries:
            del found["final"][name]
    assert summaries[0] == summaries[1]
    shorter = next(path for path in after.path.parent.glob("dfa*") if path != after.path)
    assert after.manifest().get("goes_on_from") == (shorter.name if kept else None)
    assert "goes_on_from" not in alone.manifest()
    if kept:
        one, other = alone.checkpoint(), after.checkpoint()
        assert one["steps"] == other["steps"]
        torch.testing.assert_close(other["tensors"], one["tensors"], rtol=0, atol=0)


def test_runs_that_began_with_different_kernels_are_not_side_by_side(make_config, tmp_path):
    configs = [make_config(seed=[seed], output_dir=str(tmp_path)) for seed in range(4)]
    outcomes = [find(config) for config in configs]
    for outcome, kernel in zip(outcomes[1:], ("onednn", "torch", "onednn"), strict=True):
        outcome.folder.path.mkdir(parents=True)
        outcome.folder.update_manifest(status="interrupted", fp32_kernel=kernel)
    groups = populations(outcomes)
    assert [[o.config.seeds for o in group] for group in groups] == [[[0]], [[1], [3]], [[2]]]


def test_what_goes_on_comes_after_what_it_goes_on_from(make_config):
    configs = {
        (epochs, lr): make_config(trainer__epochs=epochs, optimizer__lr=lr)
        for epochs in (9, 2, 4) for lr in (0.1, 0.2)
    }  # fmt: skip
    configs[7, 0.3] = make_config(trainer__epochs=7, optimizer__lr=0.3)  # has no shorter run
    outcomes = {key: Outcome(c, RunFolder(c)) for key, c in configs.items()}
    groups = populations(list(outcomes.values()))
    keys = {o.folder.path: key for key, o in outcomes.items()}
    assert [[keys[o.folder.path] for o in group] for group in groups] == [
        [(2, 0.1), (2, 0.2)], [(7, 0.3)], [(4, 0.1), (4, 0.2)], [(9, 0.1), (9, 0.2)],
    ]  # fmt: skip
    assert [group[0].epochs_left for group in groups] == [2, 7, 2, 5]


def test_a_run_that_has_begun_goes_on_from_its_own_place(make_config):
    short, long = (make_config(trainer__epochs=n) for n in (2, 4))
    begun = Outcome(long, RunFolder(long), place=(1, 3))
    populations([Outcome(short, RunFolder(short)), begun])
    assert (begun.beginning, begun.place) == (None, (1, 3))


SAME = {"learning_rule": "dfa", "trainer__metrics_every": 2, "optimizer": "adam"}


def test_more_epochs_of_one_run_go_on_from_the_longest_shorter_one(make_config, tmp_path, caplog):
    """And are in metrics.csv what they would be alone."""

    def run(folder, epochs, **changes):
        settings = SAME | {"trainer__epochs": epochs, "output_dir": str(tmp_path / folder)}
        [outcome] = execute([make_config(**settings | changes)], "a test")
        assert outcome.error is None
        return outcome.folder

    caplog.set_level("INFO", "fabench")
    alone = run("alone", 5)
    for epochs in (2, 3):
        shorter = run("after", epochs)
    run("after", 4, trainer__batch_size=8)  # another course
    run("after", 1)
    assert caplog.text.count("It goes on from") == 1  # 3 from 2
    with (shorter.path.parent / f"{shorter.path.name[:-10]}0123456789").open("w"):
        pass  # no folder
    after = run("after", 5)
    assert caplog.text.count(f"It goes on from {shorter.path} after 3 epochs.") == 1
    assert after.manifest()["goes_on_from"] == shorter.path.name
    pd.testing.assert_frame_equal(
        after.metrics().drop(columns=TIMES), alone.metrics().drop(columns=TIMES), check_exact=True
    )


@pytest.mark.parametrize("damage", ["metrics.csv", "checkpoint.pt", "config.yaml", "manifest.json"])
def test_a_shorter_run_that_is_not_whole_is_no_beginning(make_config, tmp_path, damage):
    settings = SAME | {"output_dir": str(tmp_path)}
    [shorter] = execute([make_config(**settings, trainer__epochs=1)], "a test")
    (shorter.folder.path / damage).write_text("{")
    [longer] = execute([make_config(**settings, trainer__epochs=2)], "a test")
    assert longer.error is None
    assert "goes_on_from" not in longer.folder.manifest()


def test_what_starts_over_has_no_beginning(make_config, tmp_path):
    settings = SAME | {"output_dir": str(tmp_path)}
    execute([make_config(**settings, trainer__epochs=1)], "a test")
    config = make_config(**settings, trainer__epochs=2, overwrite=True)
    [longer] = execute([config], "a test")
    assert "goes_on_from" not in longer.folder.manifest()
