"""Figures and tables: which runs a recipe needs, and what it draws from their dataframe.

Oracles: the experiments' own text, hand-made dataframes, SciPy.
"""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import stats

from fabench import cli, figures
from fabench.dataset.mnist import Mnist
from fabench.recipe import (
    fig_3_1,
    fig_3_2,
    fig_3_3,
    fig_3_4,
    fig_b_2,
    fig_random_data,
    fig_sparse_parity,
    table_parity,
    table_precision,
    table_random_data,
)

RECIPES = figures.recipes()
SMALL = [
    "trainer.epochs=2",
    "trainer.train_examples=32",
    "trainer.test_examples=24",
    "trainer.batch_size=16",
    "model.hidden=[4]",
    "dataset=digits",
    "trainer.device=cpu",
]


def runs(rule, optimizer="sgd", k=3, epochs=20, init=None, level=0.7, lr=0.1, alignment=None):
    """Metrics of three seeds that climb from 0.5 to about ``level``."""
    rows = []
    for seed in range(3):
        for epoch in range(epochs + 1):
            rows.append(
                {
                    "seed": seed, "epoch": epoch, "learning_rule": rule, "optimizer": optimizer,
                    "init_of_B": init, "k": k, "epochs": epochs, "lr": lr,
                    "test_accuracy": 0.5 + (level + 0.01 * seed - 0.5) * epoch / epochs,
                    "weight_alignment": alignment, "gradient_alignment": alignment,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def test_every_recipe_says_what_it_is_and_names_its_experiments():
    for name, module in RECIPES.items():
        assert module.__doc__.splitlines()[0].endswith("."), name
        assert hasattr(module, "draw") != hasattr(module, "tabulate")
        for experiment in module.EXPERIMENTS:
            assert (cli.conf_dir() / "experiment" / f"{experiment}.yaml").exists()


@pytest.mark.parametrize(
    "experiment, n, expected",
    [
        ("fig_2_1", 10, {("ntk", "adadelta", 1, 20), ("linear_features", "adadelta", 3, 20)}),
        ("fig_3_1", 4, {("bp", "sgd", 1, 20), ("dfa", "sgd", 3, 20)}),
        ("fig_3_2", 2, {("dfa", "sgd", 3, 50), ("dfa", "rmsprop", 3, 50)}),
        ("fig_3_3", 4, {("dfa", "sgd", 3, 20)}),
        ("fig_3_4", 20, {("bp", "nadam", 3, 20), ("dfa", "amsgrad", 3, 20)}),
        ("fig_lillicrap", 3, {("bp", "sgd", 3, 40), ("fa", "sgd", 3, 40)}),
        ("fig_random_data_d", 30, {("dfa", "sgd", 3, 500), ("relu_features", "rmsprop", 3, 500)}),
        ("fig_random_data_n", 30, {("bp", "rmsprop", 3, 500)}),
        ("table_precision", 4, {("bp", "sgd", 3, 20), ("dfa", "sgd", 3, 20)}),
        ("fig_sparse_parity", 20, {("ntk", "sgd", 3, 20), ("dfa", "sgd", 3, 20)}),
    ],
)
def test_experiments_list_their_runs(experiment, n, expected):
    configs = figures._configs([experiment], [], cli.conf_dir())
    found = {
        (c.learning_rule.name, c.optimizer.name, c.general.k, c.trainer.epochs) for c in configs
    }
    assert len(configs) == n
    assert expected <= found


def test_overrides_reach_every_run_and_replace_what_is_swept():
    configs = figures._configs(["fig_3_1"], ["seed=[7,8]", "k=2"], cli.conf_dir())
    assert {c.learning_rule.name for c in configs} == {"bp", "dfa"}
    assert all(c.seeds == [7, 8] and c.general.k == 2 for c in configs)


def test_an_experiment_starts_as_a_sweep_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "experiment=fig_3_1", *SMALL]) == 0
    found = pd.read_csv(next(tmp_path.glob("outputs/sweeps/*/sweep.csv")))
    assert sorted(zip(found.learning_rule, found.k, strict=True)) == [
        ("bp", 1), ("bp", 3), ("dfa", 1), ("dfa", 3),
    ]  # fmt: skip


def test_figures_train_what_is_missing_and_draw(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["figures", "fig_3_1", *SMALL]) == 0
    first = {path: path.stat().st_mtime_ns for path in tmp_path.glob("**/checkpoint.pt")}
    assert len(first) == 4
    with Image.open(tmp_path / "outputs/figures/fig_3_1.png") as image:
        assert image.text["command"].startswith("fabench figures fig_3_1")
        assert "95 %" in image.text["interval"]
        assert json.loads(image.text["seeds"]) == [0, 1, 2]
        assert len(json.loads(image.text["runs"])) == 4
    assert (tmp_path / "outputs/figures/fig_3_1.pdf").read_bytes().startswith(b"%PDF")
    assert cli.main(["figures", "fig_3_1", *SMALL]) == 0
    out = capsys.readouterr().out
    assert "0 runs to train" in out
    assert {path: path.stat().st_mtime_ns for path in first} == first


def test_a_figure_with_a_failed_run_is_not_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bad = ["optimizer.lr=1e30", "model.activation=linear"]
    assert cli.main(["figures", "fig_3_1", *SMALL, *bad]) == 1
    out, err = capsys.readouterr()
    assert "fig_3_1: not made: every seed diverged" in out
    assert "1 of 1 figures could not be made." in err
    assert not (tmp_path / "outputs/figures").exists()


def test_wrong_requests(capsys):
    assert cli.main(["figures", "fig_9"]) == 2
    assert "There is no figure fig_9" in capsys.readouterr().err
    assert cli.main(["figures", "fig_3_1", "optimizer.rl=1"]) == 2
    assert "optimizer.lr" in capsys.readouterr().err


# -- Drawing ---------------------------------------------------------------------------------


def ends(axes):
    """Label -> last y of every labelled line."""
    return {
        line.get_label(): line.get_ydata()[-1]
        for line in axes.lines
        if not line.get_label().startswith("_")
    }


def test_fig_3_1_has_a_panel_per_k():
    parts = [runs("bp", k=1, level=0.98), runs("dfa", k=1, level=0.96),
             runs("bp", level=0.76), runs("dfa", level=0.68)]  # fmt: skip
    one, three = fig_3_1.draw(pd.concat(parts)).axes
    assert ends(one) == pytest.approx({"BP": 0.99, "DFA": 0.97})
    assert ends(three) == pytest.approx({"BP": 0.77, "DFA": 0.69})


def test_fig_3_2_takes_the_long_dfa_runs_and_shows_cosines():
    parts = [
        runs(rule, optimizer, epochs=epochs, level=level, alignment=alignment)
        for rule, epochs, level, alignment in (("bp", 20, 0.7, None), ("dfa", 20, 0.6, 0.4),
                                               ("dfa", 50, 0.65, 0.5))
        for optimizer in ("sgd", "rmsprop")
    ]  # fmt: skip
    accuracy, weights, gradients = fig_3_2.draw(pd.concat(parts)).axes
    assert ends(accuracy) == pytest.approx(
        {"BP, SGD": 0.71, "DFA, SGD": 0.66, "BP, RMSprop": 0.71, "DFA, RMSprop": 0.66}
    )
    assert accuracy.get_xlim()[1] == 50
    assert ends(weights) == pytest.approx({"DFA, SGD": 0.5, "DFA, RMSprop": 0.5})
    assert ends(gradients) == ends(weights)


def test_fig_3_3_names_each_matrix_with_its_learning_rate():
    levels = dict(zip(fig_3_3.MATRICES, (0.6, 0.65, 0.7, 0.75), strict=True))
    parts = [runs("dfa", init=i, level=v, lr=v / 10) for i, v in levels.items()]
    curves, bars = fig_3_3.draw(pd.concat(parts)).axes
    assert ends(curves)["standard gaussian, lr=0.075"] == pytest.approx(0.76)
    assert [p.get_height() for p in bars.patches] == pytest.approx([0.61, 0.66, 0.71, 0.76])


def test_fig_3_4_puts_bp_beside_dfa_for_every_optimizer():
    optimizers = [o for panel in fig_3_4.PANELS.values() for o in panel]
    parts = [
        runs(rule, optimizer, level=(0.7 if rule == "bp" else 0.6) + 0.01 * i)
        for rule in ("bp", "dfa")
        for i, optimizer in enumerate(optimizers)
    ]
    first, _ = fig_3_4.draw(pd.concat(parts)).axes
    bars = sorted(first.patches, key=lambda p: p.get_x())
    heights = [p.get_height() for p in bars]
    expected = [v + 0.01 + 0.01 * i for i in range(5) for v in (0.7, 0.6)]
    assert heights == pytest.approx(expected)
    assert [t.get_text() for t in first.get_xticklabels()] == optimizers[:5]


def test_fig_b_2_represents_a_digit_by_its_place_in_the_weights(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 5, 784)).astype(np.float32)
    W = rng.normal(size=(2352, 6)).astype(np.float32)
    h = fig_b_2.represent(x, W)
    alone = np.zeros((5, 2352), np.float32)
    alone[:, 784:1568] = x[1]  # the digit in the middle place, nothing beside it
    np.testing.assert_allclose(h[5:10], alone @ W, rtol=1e-4, atol=1e-4)

    weights = torch.arange(3.0)[:, None, None].expand(3, 2, 2).clone()
    torch.save({"tensors": {"W0": weights}}, tmp_path / "checkpoint.pt")
    frame = runs("bp").assign(folder=str(tmp_path), seed=lambda f: (f.seed + 2) % 3)
    assert (fig_b_2.first_weights(frame, "bp") == 1).all()  # seeds stand as 2, 0, 1


def test_fig_b_2_samples_are_the_digits_that_their_labels_say(monkeypatch, make_images):
    images = make_images(n_test=4000)
    monkeypatch.setattr(Mnist, "load", lambda self, data_dir: images)
    x, digits = fig_b_2.samples(None)
    pixels = np.rint(x * images.pixel_std + images.pixel_mean).astype(np.uint8).reshape(7500, 64)
    by_pixels = {row.tobytes(): int(label) for row, label in zip(
        images.test_images.numpy().reshape(-1, 64), images.test_labels, strict=True)}  # fmt: skip
    assert [by_pixels[row.tobytes()] for row in pixels] == digits.tolist()


def test_neighbour_accuracy_tells_order_from_noise():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 50)
    assert fig_b_2.neighbour_accuracy(np.eye(4)[labels] + 0.01, labels) == 1
    assert fig_b_2.neighbour_accuracy(rng.normal(size=(200, 3)), labels) < 0.5


def random_data():
    """Errors of d / 100 + 1 / n, 0.1 more for DFA; two labelings."""
    return pd.concat(
        runs(rule, optimizer, level=1 - d / 100 - 1 / n - 0.1 * (rule == "dfa"))
        .query("seed < 2")
        .assign(d=d, n_train=n)
        for rule in ("bp", "dfa", "relu_features")
        for optimizer in ("sgd", "rmsprop")
        for d, n in ((5, 256), (15, 256), (15, 32))
    )


def test_fig_random_data_has_error_against_d_and_against_n():
    against_d, against_n = fig_random_data.draw(random_data()).axes
    for axes, held, values in ((against_d, "n=256", [5, 15]), (against_n, "d=15", [32, 256])):
        assert axes.get_title() == held
        _, labels = against_d.get_legend_handles_labels()
        assert len(labels) == 6
        lines = [c.lines[0] for c in axes.containers]
        assert all(line.get_xdata().tolist() == values for line in lines)
        bp, dfa = (lines[labels.index(f"{rule}, SGD")].get_ydata() for rule in ("BP", "DFA"))
        errors = [d / 100 + 1 / n for d, n in (
            [(5, 256), (15, 256)] if axes is against_d else [(15, 32), (15, 256)])]  # fmt: skip
        assert bp == pytest.approx(np.array(errors) - 0.005)
        assert dfa - bp == pytest.approx([0.1, 0.1])


def test_table_random_data():
    table = table_random_data.tabulate(random_data())
    assert list(table.columns) == ["d", "n", "learning_rule", "optimizer", "test_error_mean",
                                   "test_error_sd", "draws"]  # fmt: skip
    assert len(table) == 18
    [row] = table.query("d == 15 and n == 32 and learning_rule == 'dfa' and optimizer == 'sgd'")[
        ["test_error_mean", "test_error_sd", "draws"]
    ].values.tolist()
    assert row == pytest.approx([0.15 + 1 / 32 + 0.1 - 0.005, np.std([0, 0.01], ddof=1), 2])


def test_table_precision_pairs_with_fp32():
    parts = [runs(rule, level=0.7 + d).assign(precision=p)
             for rule in ("bp", "dfa") for p, d in (("fp32", 0), ("bf16", 0.02))]  # fmt: skip
    table = table_precision.tabulate(pd.concat(parts)).set_index(["learning_rule", "precision"])
    bf16 = table.loc["dfa", "bf16"]
    assert bf16.test_accuracy_mean == pytest.approx(0.73)
    assert bf16.difference_to_fp32_mean == pytest.approx(0.02)
    assert bf16.difference_to_fp32_ci95_low == pytest.approx(0.02)
    assert table.loc["bp", "fp32"].difference_to_fp32_mean == 0
    assert (table.seeds == 3).all()


def test_what_is_made_on_request_is_not_part_of_all(capsys, monkeypatch):
    few = {name: RECIPES[name] for name in ("fig_3_1", "table_precision")}
    monkeypatch.setattr(figures, "recipes", lambda: few)
    assert cli.main(["figures", "all", "dry_run=true"]) == 0
    assert "table_precision" not in capsys.readouterr().out
    assert cli.main(["figures", "table_precision", "dry_run=true"]) == 0
    assert "table_precision" in capsys.readouterr().out


def test_fig_sparse_parity_has_accuracy_against_bits():
    parts = [runs(rule, level=1 - n / 100).assign(n=n)
             for rule in fig_sparse_parity.RULES for n in (10, 20)]  # fmt: skip
    [axes] = fig_sparse_parity.draw(pd.concat(parts)).axes
    _, labels = axes.get_legend_handles_labels()
    assert labels == list(fig_sparse_parity.RULES.values())
    for container in axes.containers:
        assert container.lines[0].get_xdata().tolist() == [10, 20]
        assert container.lines[0].get_ydata() == pytest.approx([0.91, 0.81])


# -- The table -------------------------------------------------------------------------------


def test_table_parity_is_paired_with_bp_of_the_same_optimizer():
    frame = pd.concat(
        [
            runs("bp", "sgd", level=0.75),
            runs("bp", "adam", level=0.79),
            runs("dfa", "sgd", init="uniform", level=0.68, alignment=0.4),
            runs("dfa", "adam", init="uniform", level=0.70, alignment=0.3),
            runs("dfa", "sgd", init="uniform", epochs=50, level=0.72),
        ]
    )
    frame.loc[(frame.learning_rule == "dfa") & (frame.seed == 2), "test_accuracy"] -= 0.03
    table = table_parity.tabulate(frame)
    assert list(table.columns) == [
        "learning_rule", "optimizer", "init_of_B", "k", "epochs", "lr", "seeds",
        "test_accuracy_mean", "test_accuracy_sd", "test_accuracy_ci95_low",
        "test_accuracy_ci95_high", "weight_alignment_mean", "best_epoch_mean",
        "difference_to_bp_mean", "difference_to_bp_ci95_low", "difference_to_bp_ci95_high",
    ]  # fmt: skip
    [dfa] = table.query("learning_rule == 'dfa' and optimizer == 'sgd' and epochs == 20").to_dict(
        "records"
    )
    accuracy, difference = [0.68, 0.69, 0.67], [-0.07, -0.07, -0.10]
    assert dfa["test_accuracy_mean"] == pytest.approx(np.mean(accuracy))
    assert dfa["test_accuracy_sd"] == pytest.approx(np.std(accuracy, ddof=1))
    low, high = stats.t.interval(0.95, 2, np.mean(difference), stats.sem(difference))
    assert dfa["difference_to_bp_mean"] == pytest.approx(np.mean(difference))
    assert dfa["difference_to_bp_ci95_low"] == pytest.approx(low)
    assert dfa["difference_to_bp_ci95_high"] == pytest.approx(high)
    assert dfa["weight_alignment_mean"] == pytest.approx(0.4)
    assert dfa["best_epoch_mean"] == 20
    [long] = table.query("epochs == 50").to_dict("records")
    assert np.isnan(long["difference_to_bp_mean"])  # no BP run of 50 epochs
    assert table.query("learning_rule == 'bp'").difference_to_bp_mean.isna().all()


def test_markdown_has_a_row_per_row():
    text = figures.markdown(pd.DataFrame({"a": ["x", None], "b": [0.123456, np.nan]}))
    assert text == "| a | b |\n| --- | --- |\n| x | 0.1235 |\n|  |  |\n"
