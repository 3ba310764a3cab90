"""Figures and tables: which runs a recipe needs, and what it draws from their dataframe.

Oracles: the experiments' own text, hand-made dataframes, SciPy.
"""

import functools
import json
import re
from itertools import chain, takewhile

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image
from scipy import stats

from fabench.command import cli, figures, hydra_app
from fabench.figure.recipe import (
    fig_3_1,
    fig_3_2,
    fig_3_3,
    fig_3_4,
    fig_align_then_memorise,
    fig_frozen_first_layer,
    fig_hidden_activations,
    fig_random_data,
    fig_slides_dfa,
    fig_slides_fa,
    table_alignment_family,
    table_bias_correction,
    table_nokland,
    table_parity,
    table_precision,
    table_published,
    table_random_data,
)
from fabench.figure.table import errors_beside_bp, of_images
from fabench.model.layer.initialization import WEIGHT_INITS
from fabench.randomness import generator
from fabench.run.execute import execute
from fabench.run.parsing import parse
from fabench.schema import UserError

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


@functools.cache
def composed(experiment):
    """The runs of an experiment, for the tests that change nothing."""
    return figures.configs_of([experiment], [], cli.conf_dir())


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


EXPERIMENTS = sorted((cli.conf_dir() / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda file: file.stem)
def test_an_experiments_header_has_its_command_a_number_a_time_and_a_machine(file):
    lines = file.read_text(encoding="utf-8").splitlines()
    header = "\n".join(takewhile(lambda line: line.startswith("#"), lines))
    rest = header.partition(f"fabench run experiment={file.stem}")[2]
    for recipe, of_recipe in re.findall(r"^# fabench figures (\w+): (.*)", header, re.M | re.S):
        assert file.stem in RECIPES[recipe].EXPERIMENTS
        rest = of_recipe
    duration = r"(\d (s|min|h)|(a|half a) minute)\b"
    assert re.search(rf"\d.*{duration}.*\b(cores?|GPU|H100)\b", rest, re.S)


@pytest.mark.parametrize(
    "experiment, n, expected",
    [
        ("fig_2_1", 10, {("ntk", "adadelta", 1, 20), ("linear_features", "adadelta", 3, 20)}),
        ("fig_3_1", 4, {("bp", "sgd", 1, 20), ("dfa", "sgd", 3, 20)}),
        ("fig_3_2", 2, {("dfa", "sgd", 3, 50), ("dfa", "rmsprop", 3, 50)}),
        ("fig_3_2_bp", 2, {("bp", "sgd", 3, 50), ("bp", "rmsprop", 3, 50)}),
        ("fig_3_3", 4, {("dfa", "sgd", 3, 20)}),
        ("fig_3_4", 20, {("bp", "nadam", 3, 20), ("dfa", "amsgrad", 3, 20)}),
        ("fig_lillicrap", 3, {("bp", "sgd", 3, 40), ("fa", "sgd", 3, 40)}),
        ("fig_random_data_d", 30, {("dfa", "sgd", 3, 500), ("relu_features", "rmsprop", 3, 500)}),
        ("fig_random_data_n", 30, {("bp", "rmsprop", 3, 500)}),
        ("table_precision", 4, {("bp", "sgd", 3, 20), ("dfa", "sgd", 3, 20)}),
        ("fig_sparse_parity", 20, {("ntk", "sgd", 3, 20), ("dfa", "sgd", 3, 20)}),
        ("fig_slides_fa", 2, {("bp", "sgd", 3, 50), ("fa", "sgd", 3, 50)}),
        ("fig_slides_dfa", 3, {("fa", "sgd", 3, 50), ("dfa", "sgd", 3, 50)}),
        ("fig_frozen_first_layer", 6, {("bp", "rmsprop", 3, 10), ("dfa", "rmsprop", 3, 10)}),
        ("fig_align_then_memorise", 10, {("dfa", "sgd", 3, 100)}),
        ("table_nokland", 9, {("bp", "rmsprop", 3, 10)}),
        ("table_alignment_family", 26, {("shallow", "sgd", 3, 20), ("drtp", "sgd", 3, 20)}),
        ("table_published_lillicrap", 2, {("fa", "sgd", 3, 25)}),
        ("table_published_nokland", 3, {("bp", "rmsprop", 3, 40), ("dfa", "rmsprop", 3, 40)}),
        ("table_published_akrout", 4, {("kolen_pollack", "sgd", 3, 100)}),
        ("table_published_frenkel", 3, {("drtp", "nesterov", 3, 100)}),
        ("table_published_sanfiz", 6, {("brsf", "momentum", 3, 10)}),
        ("fig_encoders", 3, {("bp", "sgd", 3, 200), ("contrastive_hebbian", "sgd", 3, 200)}),
        ("fig_encoders_midpoint", 1, {("generec", "sgd", 3, 200)}),
        ("fig_encoders_eight", 3, {("equilibrium_propagation", "sgd", 3, 500)}),
        ("fig_encoders_eight_recirculation", 1, {("recirculation", "sgd", 3, 500)}),
        ("fig_encoders_xor", 3, {("bp", "sgd", 3, 500)}),
        ("fig_encoders_xor_symmetric", 1, {("generec", "sgd", 3, 500)}),
        ("fig_encoders_recirculation", 1, {("recirculation", "sgd", 3, 200)}),
        ("fig_equilibrium_propagation", 32, {("equilibrium_propagation", "sgd", 3, 1)}),
        ("fig_equilibrium_hebbian", 16, {("contrastive_hebbian", "sgd", 3, 1)}),
        ("fig_equilibrium_generec", 12, {("generec", "sgd", 3, 1)}),
        ("fig_equilibrium_weights", 15, {("contrastive_hebbian", "sgd", 3, 1)}),
        ("table_rbm_discriminative", 1, {("contrastive_divergence", "sgd", 3, 15)}),
        ("table_rbm_generative", 1, {("contrastive_divergence", "sgd", 3, 10)}),
        ("table_rbm_hybrid", 1, {("contrastive_divergence", "sgd", 3, 10)}),
        ("fig_parallel_sgd", 3, {("bp", "sgd", 3, 10)}),
        ("fig_parallel_sgd_downpour", 6, {("bp", "sgd", 3, 10)}),
        ("fig_parallel_sgd_easgd", 6, {("bp", "sgd", 3, 10)}),
        ("fig_parallel_sgd_eamsgd", 6, {("bp", "sgd", 3, 10)}),
        ("fig_parallel_sgd_adagrad", 3, {("bp", "adagrad", 3, 10)}),
        ("fig_parallel_sgd_delay_tolerant", 3, {("bp", "adagrad", 3, 10)}),
        ("table_lra", 2, {("local_representation_alignment", "sgd", 3, 10)}),
        ("table_lra_bp", 2, {("bp", "sgd", 3, 10)}),
        ("table_lra_rate", 3, {("local_representation_alignment", "sgd", 3, 10)}),
        ("table_lra_rate_bp", 3, {("bp", "sgd", 3, 10)}),
        ("table_lra_scale", 2, {("local_representation_alignment", "sgd", 3, 10)}),
        ("table_lra_scale_bp", 2, {("bp", "sgd", 3, 10)}),
        ("fig_batch_normalisation", 8, {("bp", "sgd", 3, 10), ("dfa", "sgd", 3, 10)}),
        ("fig_gradient_noise_good", 4, {("bp", "sgd", 3, 12)}),
        ("fig_gradient_noise_large", 2, {("bp", "sgd", 3, 12)}),
        ("fig_6_1", 1, {("bp", "nesterov", 3, 4)}),
        ("fig_6_1_gaussian_process", 1, {("pblf", "nesterov", 3, 4)}),
        ("fig_6_1_random", 1, {("pblf", "nesterov", 3, 4)}),
        ("fig_6_2", 2, {("bp", "nesterov", 3, 12), ("bp", "nesterov", 3, 30)}),
        ("fig_6_2_gaussian_process", 2, {("pblf", "nesterov", 3, 12), ("pblf", "nesterov", 3, 30)}),
        ("fig_6_2_random", 2, {("pblf", "nesterov", 3, 12), ("pblf", "nesterov", 3, 30)}),
        ("table_bias_correction", 2, {("bp", "adam", 3, 20), ("dfa", "adam", 3, 20)}),
        ("table_bias_correction_thesis", 4, {("bp", "adam", 3, 20), ("dfa", "adam", 3, 20)}),
        ("table_pblf_residual", 1, {("bp", "nesterov", 3, 10)}),
        ("table_pblf_residual_random", 1, {("pblf", "nesterov", 3, 10)}),
        ("table_pblf_residual_gaussian_process", 1, {("pblf", "nesterov", 3, 10)}),
        ("fig_curriculum", 8, {("bp", "sgd", 3, 1)}),
        ("fig_curriculum_none", 2, {("bp", "sgd", 3, 1)}),
        ("fig_curriculum_shapes", 2, {("bp", "sgd", 3, 32)}),
        ("fig_curriculum_shapes_4", 2, {("bp", "sgd", 3, 32)}),
        ("fig_curriculum_shapes_8", 2, {("bp", "sgd", 3, 32)}),
        ("fig_curriculum_shapes_16", 2, {("bp", "sgd", 3, 32)}),
    ],
)
def test_experiments_list_their_runs(experiment, n, expected):
    configs = composed(experiment)
    found = {
        (c.learning_rule.name, c.optimizer.name, c.general.k, c.trainer.epochs) for c in configs
    }
    assert len(configs) == n
    assert expected <= found


@pytest.mark.parametrize(
    "experiment", ["fig_equilibrium_propagation", "table_lra_scale", "fig_3_1"]
)
def test_a_sweep_of_numbers_is_what_hydra_composes(experiment):
    base = [f"experiment={experiment}"]
    with hydra_app.composing(cli.conf_dir()):
        jobs = figures._jobs(base)
        one_by_one = [parse(hydra_app.plain(compose("config", [*base, *job]))) for job in jobs]
    assert composed(experiment) == one_by_one


def test_overrides_reach_every_run_and_replace_what_is_swept():
    configs = figures.configs_of(["fig_3_1"], ["seed=[7,8]", "k=2"], cli.conf_dir())
    assert {c.learning_rule.name for c in configs} == {"bp", "dfa"}
    assert all(c.seeds == [7, 8] and c.general.k == 2 for c in configs)


def test_the_tilde_is_the_home_of_a_figure_too(monkeypatch):
    monkeypatch.setenv("HOME", "/home/of/mine")
    configs = figures.configs_of(["fig_3_1"], ["output_dir=~/outs", "k=1"], cli.conf_dir())
    assert {c.general.output_dir for c in configs} == {"/home/of/mine/outs"}


def test_an_override_may_sweep():
    given = ["trainer.precision=fp32,bf16", "k=1,2", "learning_rule=bp"]
    configs = figures.configs_of(["fig_3_1"], given, cli.conf_dir())
    assert len(configs) == 4
    assert {(c.precision, c.general.k) for c in configs} == {
        (precision, k) for precision in ("fp32", "bf16") for k in (1, 2)
    }
    assert {c.learning_rule.name for c in configs} == {"bp"}


def test_the_dfa_papers_table_has_every_network_with_its_initial_weights():
    """Zeros for FA and DFA wherever the units saturate, and one run of every kind."""
    found = [
        (
            "-".join(map(str, c.model.hidden)),
            c.model.activation,
            c.model.hidden_dropout,
            c.trainer.adversarial,
            c.learning_rule.name,
            c.model.weight_init,
        )
        for c in figures._distinct(chain(*map(composed, table_nokland.EXPERIMENTS)))
    ]
    deep = [("-".join(["240"] * n), "tanh", 0, 0) for n in (7, 100)]
    wide = [("-".join(["800"] * n), "tanh", 0, 0) for n in (1, 2, 3, 4)]
    others = [("800-800", *x) for x in (("sigmoid", 0, 0), ("relu", 0, 0), ("tanh", 0.5, 0),
                                        ("tanh", 0, 0.08))]  # fmt: skip
    expected = [
        (*net, rule, "torch_uniform" if rule == "bp" or net[1] == "relu" else "zeros")
        for net in deep + wide + others
        for rule in ("bp", "fa", "dfa")
    ]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("recipe", [fig_slides_fa, fig_slides_dfa])
def test_the_slides_grids_are_five_by_five(recipe):
    with initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
        for experiment in recipe.EXPERIMENTS[1:]:
            assert len(figures._jobs([f"experiment={experiment}"])) == 2 * 25


def test_the_slides_settings_reach_the_whole_grid():
    configs = figures.configs_of(fig_slides_dfa.EXPERIMENTS, ["optimizer.lr=0.5"], cli.conf_dir())
    assert len(configs) == 3 + 2 * 9  # the two grids share the runs of the slides' settings
    for c in configs:
        assert (c.model.hidden, c.model.activation) == ([200, 100], "tanh")
        assert (c.init_of_B.name, c.init_of_B.scale) == ("truncated_normal", 0.2)
        assert (c.trainer.batch_size, c.trainer.evaluate_on) == (1000, "validation")
        assert c.dataset.scaling == "unit"
    settings = {(c.optimizer.lr, c.model.weight_scale, c.trainer.weight_decay) for c in configs}
    assert tuple(fig_slides_dfa.CENTRE.values()) in settings


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


def test_the_list_has_every_recipe_and_marks_those_that_all_leaves_out(capsys):
    assert cli.main(["figures", "--list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines.keys() == RECIPES.keys()
    for name, module in RECIPES.items():
        assert lines[name].endswith("[not in all]") == hasattr(module, "ON_REQUEST")


SMOKE = {
    "fig_slides_fa": ["optimizer.lr=0.5", "trainer.weight_decay=1e-5"],
    "fig_slides_dfa": ["optimizer.lr=0.5", "model.weight_scale=0.2", "trainer.weight_decay=1e-4"],
    "fig_frozen_first_layer": [],
    "fig_hidden_activations": [],
    "fig_align_then_memorise": ["task.p=0.5"],
    "table_nokland": [],
    "table_nokland_cifar10": ["model.hidden=[5],[4,3]"],
    "table_alignment_family": [],
    "table_published": [],
    "table_rbm": [],
    "fig_rbm": ["model.hidden=[60]"],
    "table_lra": [],
    "fig_batch_normalisation": [],
    "fig_gradient_noise": ["optimizer.lr=0.01"],
    "table_backprop_evolution_residual": ["model.hidden=[]", "optimizer.lr=0.3,1.0"],
    "fig_gradient_free": [],
    "fig_parallel_sgd": ["parallel.workers=1,3"],
    "table_backprop_evolution": ["dataset.downsample=1", "optimizer.lr=0.1,1e30"],
}


@pytest.mark.parametrize("name", SMOKE)
def test_recipes_run_in_smoke_mode(name, workdir, tmp_path, capsys):
    assert cli.main(["figures", name, *SMALL, "seed=[0,1]", *SMOKE[name]]) == 0, capsys.readouterr()
    assert list(tmp_path.glob(f"outputs/*/{name}.json"))


def test_what_was_made_is_made_again_from_its_data_alone(workdir, tmp_path, capsys):
    assert cli.main(["figures", "table_precision", *SMALL, "seed=[0,1]"]) == 0, capsys.readouterr()
    table = tmp_path / "outputs" / "tables" / "table_precision.csv"
    made = table.read_text()
    table.unlink()
    (tmp_path / "outputs" / "runs").rename(tmp_path / "gone")
    assert cli.main(["figures", "table_precision", "--from-data"]) == 0
    assert table.read_text() == made
    assert not (tmp_path / "outputs" / "runs").exists()
    assert cli.main(["figures", "fig_b_2", "--from-data"]) == 1
    assert "it needs weights of its runs: leave --from-data out" in capsys.readouterr().out


def test_pblf_without_numbers_of_its_own_is_not_drawn(workdir, capsys):
    assert cli.main(["figures", "fig_6_1", *SMALL, "dataset.downsample=1", "seed=[0,1]"]) == 1
    out = capsys.readouterr().out
    assert "fig_6_1: not made: PBLF has no numbers of its own for digits" in out
    assert "conf/experiment/fig_6_1_random.yaml says how" in out


def test_a_figure_with_a_failed_run_is_not_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bad = ["optimizer.lr=1e30", "model.activation=linear"]
    assert cli.main(["figures", "fig_3_1", *SMALL, *bad]) == 1
    out, err = capsys.readouterr()
    assert "fig_3_1: not made: every seed diverged" in out
    assert "1 of 1 figures could not be made." in err
    assert not (tmp_path / "outputs/figures").exists()


def test_a_figure_of_runs_that_lack_its_metric_leaves_the_others(workdir, tmp_path, capsys):
    targets = ["dataset=linear_teacher", "task=regression", "trainer.epochs=1", "seed=0"]
    assert cli.main(["figures", "fig_3_1", "fig_3_2", *targets, "trainer.train_examples=64"]) == 1
    out, err = capsys.readouterr()
    for name in ("fig_3_1", "fig_3_2"):
        assert f"{name}: not made: its runs lack what is drawn" in out
    assert "2 of 2 figures could not be made." in err


def test_a_figure_without_what_it_compares_is_not_made(workdir, capsys):
    assert cli.main(["figures", "fig_3_1", *SMALL, "seed=[0,1]", "learning_rule=drtp"]) == 1
    out = capsys.readouterr().out
    assert "fig_3_1: not made: its runs lack what is drawn (the figure is empty)." in out


def test_wrong_requests(capsys):
    assert cli.main(["figures", "fig_9"]) == 2
    assert "There is no figure fig_9" in capsys.readouterr().err
    for value in ("1", "1,2"):
        assert cli.main(["figures", "fig_3_1", f"optimizer.rl={value}"]) == 2
        assert "optimizer.lr" in capsys.readouterr().err
    assert cli.main(["figures", "fig_3_1", "optimizer.lr.x=1,2"]) == 2
    assert "optimizer.lr.x is not a setting" in capsys.readouterr().err


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
    optimizers = list(fig_3_4.OPTIMIZERS)
    parts = [
        runs(rule, optimizer, level=(0.7 if rule == "bp" else 0.6) + 0.01 * i)
        for rule in ("bp", "dfa")
        for i, optimizer in enumerate(optimizers)
    ]
    bars, gaps = fig_3_4.draw(pd.concat(parts)).axes
    patches = sorted(bars.patches, key=lambda p: p.get_x())
    heights = [p.get_height() for p in patches]
    expected = [v + 0.01 + 0.01 * i for i in range(10) for v in (0.7, 0.6)]
    assert heights == pytest.approx(expected)
    means = [container.lines[0].get_ydata()[0] for container in gaps.containers]
    assert means == pytest.approx([-10] * 10)  # points
    for axes in (bars, gaps):
        assert [t.get_text() for t in axes.get_xticklabels()] == optimizers


def grid(rule, epochs, **level_of):
    """Runs of the slides' settings with others for one of them: setting -> {value: level}."""
    centre = fig_slides_fa.CENTRE
    return [
        runs(rule, epochs=epochs, level=level, alignment=0.3).assign(**centre | {key: value})
        for key, levels in level_of.items()
        for value, level in levels.items()
    ]


def test_fig_slides_fa_has_the_long_curves_and_the_short_grid():
    frame = pd.concat(
        [
            *grid("bp", 50, lr={0.5: 0.95}),
            *grid("fa", 50, lr={0.5: 0.9}),
            *grid("bp", 10, weight_scale={0.02: 0.7, 2.0: 0.6}, weight_decay={0.0: 0.8}),
            *grid("fa", 10, weight_scale={0.02: 0.5, 2.0: 0.4}, lr={5.0: 0.3}),
        ]
    )
    figure = fig_slides_fa.draw(frame)
    accuracy, bp_scale, fa_scale, alignment, bp_decay, fa_decay = figure.axes[:6]
    assert ends(accuracy) == pytest.approx({"BP": 96, "FA": 91})
    assert accuracy.get_xlim()[1] == 50
    assert ends(alignment) == pytest.approx({"FA": 0.3})
    for axes, title, rows, columns, cells in (
        (bp_scale, "BP", ["2", "0.02"], ["0.5"], [[61], [71]]),
        (bp_decay, "BP", ["0"], ["0.5"], [[81]]),
        (fa_scale, "FA", ["2", "0.2", "0.02"], ["0.5", "5"],
         [[41, np.nan], [np.nan, 31], [51, np.nan]]),
        (fa_decay, "FA", ["1e-05"], ["5"], [[31]]),
    ):  # fmt: skip
        assert axes.get_title().startswith(title)
        assert [t.get_text() for t in axes.get_yticklabels()] == rows
        assert [t.get_text() for t in axes.get_xticklabels()] == columns
        [image] = axes.get_images()
        np.testing.assert_allclose(image.get_array().filled(np.nan), cells)


def test_fig_frozen_first_layer_has_errors_left_of_the_frozen_network():
    parts = [
        runs(rule, level=level).assign(frozen_layers=frozen, train_accuracy=level)
        for frozen, levels in (("[1]", (0.8, 0.7, 0.7)), ("[]", (0.9, 0.86, 0.85)))
        for rule, level in zip(("bp", "fa", "dfa"), levels, strict=True)
    ]
    frozen, trained = fig_frozen_first_layer.draw(pd.concat(parts)).axes
    assert "frozen" in frozen.get_title()
    bp, others = stats.gmean([20, 19, 18]), stats.gmean([30, 29, 28])
    assert ends(frozen) == pytest.approx({
        "BP, test": bp, "BP, training": 20, "FA, test": others, "FA, training": 30,
        "DFA, test": others, "DFA, training": 30})  # fmt: skip
    assert ends(trained)["DFA, test"] == pytest.approx(stats.gmean([15, 14, 13]))
    assert frozen.get_ylim() == trained.get_ylim()


def test_fig_align_then_memorise_counts_examples():
    parts = [
        runs("dfa", level=1 - p, alignment=0.5 - p / 2 - 0.1 * (activation == "tanh"), epochs=4)
        .assign(activation=activation, p=p, train_examples=50, train_accuracy=0.25)
        for activation in ("relu", "tanh")
        for p in (0.0, 0.2)
    ]  # fmt: skip
    relu, tanh, *rest = fig_align_then_memorise.draw(pd.concat(parts)).axes
    assert (relu.get_title(), tanh.get_title()) == ("relu", "tanh")
    assert ends(relu) == pytest.approx({"p=0": 0.5, "p=0.2": 0.4})
    assert ends(tanh) == pytest.approx({"p=0": 0.4, "p=0.2": 0.3})
    assert relu.lines[0].get_xdata() == pytest.approx([50, 100, 150, 200])
    assert ends(rest[-1]) == pytest.approx({"p=0": 0.25, "p=0.2": 0.25})


def test_fig_hidden_activations_are_those_of_the_trained_network(make_config, tmp_path):
    config = make_config(
        learning_rule="bp", task="classification", model__hidden=[6, 5], model__activation="tanh",
        optimizer__lr=1.0, seed=[3, 4], output_dir=str(tmp_path),
    )  # fmt: skip
    [outcome] = execute([config], "a test")
    both = fig_hidden_activations.hidden_layers(outcome.folder.path)
    assert len(both) == 2 and np.abs(both[1][0][0] - both[0][0][0]).max() > 0.01
    trained, untrained, labels = both[0]
    images = config.dataset.load()
    order = generator(3, "test", 0).permutation(len(images.test_labels))
    x = images.test_images.numpy().reshape(len(order), -1)[order]
    x = (x - images.pixel_mean) / images.pixel_std
    np.testing.assert_array_equal(labels, images.test_labels.numpy()[order])
    tensors = outcome.folder.checkpoint()["tensors"]
    h = x
    for layer in (0, 1):
        h = np.tanh(h @ tensors[f"W{layer}"][0].numpy())
        np.testing.assert_allclose(trained[layer], h, atol=1e-5)
        assert np.abs(untrained[layer] - h).max() > 0.01
    drawn = WEIGHT_INITS["torch_uniform"](generator(3, "weights 0"), 64, 6)
    np.testing.assert_allclose(untrained[0], np.tanh(x @ drawn), atol=1e-5)


def random_data():
    """Errors of d / 100 + 1 / n, 0.1 more for DFA; two labelings."""
    return pd.concat(
        runs(rule, optimizer, level=1 - d / 100 - 1 / n - 0.1 * (rule == "dfa"))
        .query("seed < 2")
        .assign(d=d, n_train=n, folder=f"{rule} {optimizer} {d} {n}")
        for rule in ("bp", "dfa", "relu_features")
        for optimizer in ("sgd", "rmsprop")
        for d, n in ((5, 256), (15, 256), (15, 32))
    )


def test_fig_random_data_has_error_against_d_and_against_n():
    against_d, against_n, *differences = fig_random_data.draw(
        fig_random_data.data(random_data())
    ).axes
    for axes in differences:
        assert len(axes.containers) == 4
        for container in axes.containers:
            name = container.get_label()
            expected = 0.1 if name.startswith("DFA") else 0.0
            assert container.lines[0].get_ydata() == pytest.approx([expected] * 2), name
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
    drawn = random_data().assign(zeros=None)
    authors = drawn.query("d == 5").assign(zeros="[0, 5, 7, 8]", lr=0.5)
    authors = authors.assign(
        test_accuracy=authors.test_accuracy - 0.01, folder=authors.folder + "a"
    )
    table = table_random_data.tabulate(table_random_data.data(pd.concat([drawn, authors])))
    assert len(table) == 18 + 6
    where = "n == {} and learning_rule == 'dfa' and optimizer == 'sgd' and labels == '{}'"
    [row] = table.query(where.format(32, "drawn")).to_dict("records")
    assert row["test_error_mean"] == pytest.approx(0.15 + 1 / 32 + 0.1 - 0.005)
    assert row["test_error_sd"] == pytest.approx(np.std([0, 0.01], ddof=1))
    assert (row["draws"], row["difference_to_bp_mean"]) == (2, pytest.approx(0.1))
    [row] = table.query(where.format(256, "[0, 5, 7, 8]")).to_dict("records")
    assert row["test_error_mean"] == pytest.approx(0.05 + 1 / 256 + 0.1 - 0.005 + 0.01)
    assert row["lr"] == 0.5
    assert table[table.learning_rule == "bp"].difference_to_bp_mean.isna().all()


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
        "test_accuracy_ci95_high", "test_accuracy_binomial_error", "weight_alignment_mean",
        "best_epoch_mean", "difference_to_bp_mean", "difference_to_bp_ci95_low",
        "difference_to_bp_ci95_high", "p", "p_holm",
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
    p = [stats.ttest_1samp(d, 0).pvalue for d in (difference, [-0.09, -0.09, -0.12])]
    both = table.query("learning_rule == 'dfa' and epochs == 20").set_index("optimizer")
    assert both.p.loc[["sgd", "adam"]].tolist() == pytest.approx(p)
    least, other = sorted(p)
    assert sorted(both.p_holm) == pytest.approx([2 * least, max(2 * least, other)])
    [long] = table.query("epochs == 50").to_dict("records")
    assert np.isnan([long["difference_to_bp_mean"], long["p"], long["p_holm"]]).all()  # no such BP
    bp = table.query("learning_rule == 'bp'")
    assert bp[["difference_to_bp_mean", "p", "p_holm"]].isna().all(axis=None)


def test_table_bias_correction_pairs_with_the_tuned_rate():
    tuned, thesis = table_bias_correction.EXPERIMENTS
    parts = [
        runs("dfa", "adam", level=0.70, lr=2e-4).assign(experiment=tuned, bias_correction="step"),
        runs("dfa", "adam", level=0.68, lr=6e-4).assign(experiment=thesis, bias_correction="step"),
        runs("dfa", "adam", level=0.65, lr=6e-4).assign(experiment=thesis, bias_correction="epoch"),
    ]
    parts[2].loc[parts[2].seed == 1, "test_accuracy"] += 0.01
    table = table_bias_correction.tabulate(pd.concat(parts)).set_index(["rate", "bias_correction"])
    assert table.lr.loc[("tuned", "step")] == 2e-4 and (table.seeds == 3).all()
    assert table.difference_to_tuned_mean.loc[("the thesis's", "step")] == pytest.approx(-0.02)
    row, difference = table.loc[("the thesis's", "epoch")], [-0.05, -0.04, -0.05]
    low, _ = stats.t.interval(0.95, 2, np.mean(difference), stats.sem(difference))
    assert row.difference_to_tuned_ci95_low == pytest.approx(low)
    assert row.p == pytest.approx(stats.ttest_1samp(difference, 0).pvalue)
    assert table.loc[("tuned", "step"), ["difference_to_tuned_mean", "p"]].isna().all()


def test_a_footnote_says_how_many_seeds_each_run_has():
    five, three = ([{"folder": name, "seed": seed} for seed in range(n)] for name, n in
                   (("one", 5), ("other", 3)))  # fmt: skip
    assert figures._counts(pd.DataFrame(five + three)) == "3 to 5"
    assert figures._counts(pd.DataFrame(five)) == "5"
    assert figures._counts(pd.DataFrame({"seed": [0, 1, 1]})) == "2"


def test_table_nokland_puts_rules_side_by_side_at_three_epochs():
    net = {"hidden": "[800, 800]", "activation": "tanh", "hidden_dropout": 0.0, "adversarial": 0.0}
    frame = pd.concat(
        [
            runs("bp", level=0.97).assign(**net),
            runs("dfa", level=0.95).assign(**net),
            runs("fa", level=0.96).assign(**net | {"hidden_dropout": 0.5}),
            runs("fa", level=0.94).assign(**net | {"adversarial": 0.08}),
            runs("bp", level=0.9).assign(**net | {"hidden": "[4]", "activation": "relu"}),
        ]
    )
    table = table_nokland.tabulate(frame)
    assert list(table.columns) == [
        "network", "epochs", "seeds", "bp", "bp_sd", "bp_paper", "fa", "fa_sd", "fa_paper", "dfa",
        "dfa_sd", "dfa_paper",
    ]  # fmt: skip
    plain = table[table.network == "2x800 tanh"]
    assert plain.epochs.tolist() == [5, 10, 20]
    final = plain.iloc[-1]
    assert (final.bp, final.bp_sd) == pytest.approx((2, 1))
    assert final.dfa == pytest.approx(4)
    assert np.isnan(final.fa)
    assert [final.bp_paper, final.fa_paper, final.dfa_paper] == [
        "1.60 ± 0.06", "1.64 ± 0.03", "1.74 ± 0.08"]  # fmt: skip
    assert plain.bp.iloc[0] == pytest.approx(100 * (0.5 - 0.48 / 4))
    last = table[table.epochs == 20].set_index("network")
    assert last.fa["2x800 tanh, dropout"] == pytest.approx(3)
    assert last.fa["2x800 tanh, adversarial"] == pytest.approx(5)
    assert last.bp_paper["1x4 relu"] == ""


def test_table_alignment_family_is_paired_with_bp_of_the_same_dataset():
    parts = [
        runs(rule, level=level).assign(dataset=dataset, gradient_alignment=level)
        for dataset, bp, fa in (("mnist", 0.95, 0.93), ("fashion_mnist", 0.85, 0.80))
        for rule, level in (("bp", bp), ("fa", fa))
    ]
    frame = pd.concat(parts)
    frame.loc[(frame.learning_rule == "fa") & (frame.seed == 2), "test_accuracy"] -= 0.03
    table = table_alignment_family.tabulate(frame).set_index(["dataset", "learning_rule"])
    fa = table.loc["mnist", "fa"]
    error, difference = [7, 6, 8], [2, 2, 5]
    assert fa.test_error_mean == pytest.approx(np.mean(error))
    assert fa.test_error_sd == pytest.approx(np.std(error, ddof=1))
    low, high = stats.t.interval(0.95, 2, np.mean(difference), stats.sem(difference))
    assert fa.difference_to_bp_mean == pytest.approx(np.mean(difference))
    assert fa.difference_to_bp_ci95_low == pytest.approx(low)
    assert fa.difference_to_bp_ci95_high == pytest.approx(high)
    assert fa.gradient_alignment_mean == pytest.approx(0.93)
    assert (fa.published_mlp, fa.published_lenet) == (2.2, 1.7)
    fashion = table.loc["fashion_mnist", "fa"]
    assert fashion.difference_to_bp_mean == pytest.approx(6)
    assert (np.isnan(fashion.published_mlp), fashion.published_lenet) == (True, 13.06)
    assert np.isnan(table.loc["mnist", "bp"].difference_to_bp_mean)
    assert fa.p_holm == pytest.approx(stats.ttest_1samp(difference, 0).pvalue)  # the only rule


def test_rules_of_a_dataset_are_corrected_together():
    """Of three rules beside BP, Holm's by hand: the smallest p times 3, the next times 2."""
    rules = ("bp", "fa", "dfa", "drtp")
    of_one = pd.concat([runs(rule, level=0.9) for rule in rules])
    frame = pd.concat([of_one.assign(dataset=name) for name in ("mnist", "fashion_mnist")])
    off = {"fa": [0.01, 0.011, 0.0], "dfa": [0.03, 0.031, 0.029], "drtp": [0.02, 0.021, 0.017]}
    for rule, by_seed in off.items():
        for seed, less in enumerate(by_seed):
            of = (frame.learning_rule == rule) & (frame.seed == seed)
            frame.loc[of & (frame.dataset == "mnist"), "test_accuracy"] -= less
    found = {key: columns["p_holm"] for key, _, columns in errors_beside_bp(frame)}
    fa, dfa, drtp = (stats.ttest_1samp(by_seed, 0).pvalue for by_seed in off.values())
    assert dfa < drtp < fa
    expected = [3 * dfa, max(3 * dfa, 2 * drtp), max(2 * drtp, fa)]
    mnist = [found["mnist", rule] for rule in ("dfa", "drtp", "fa")]
    assert mnist == pytest.approx(expected)
    assert np.isnan([found["mnist", "bp"], found["fashion_mnist", "fa"]]).all()


@pytest.mark.parametrize(
    ("accuracies", "settings", "expected"),
    [
        ([0.99, 0.9901, 0.9899], {}, np.sqrt(0.99 * 0.01 / 10_000)),
        ([0.99, 0.9901, 0.9899], {"test_examples": 400.0}, np.sqrt(0.99 * 0.01 / 400)),
        ([0.99, 0.98, 0.97], {}, np.nan),  # seeds differ more than another draw of images would
        ([0.99], {}, np.sqrt(0.99 * 0.01 / 10_000)),  # no interval over seeds
    ],
)
def test_tables_say_what_test_images_are_worth_where_seeds_differ_less(
    accuracies, settings, expected
):
    frame = pd.DataFrame({"test_accuracy": accuracies}).assign(**settings)
    for name, per_cent, unit in (("error", True, 100), ("accuracy", False, 1)):
        [(column, found)] = of_images(name, frame, per_cent).items()
        assert column == f"{name}_binomial_error"
        np.testing.assert_allclose(found, unit * expected)


def test_table_published_has_a_row_per_run_beside_its_papers_number():
    net = {"hidden": "[500]", "activation": "sigmoid"}
    frame = pd.concat(
        [
            runs("fa", level=0.97).assign(**net, folder="a"),
            runs("fa", level=0.95).assign(**net | {"hidden": "[1000]"}, folder="b"),
            runs("drtp", level=0.9).assign(**net | {"hidden": "[4]"}, folder="c"),
        ]
    )
    table = table_published.tabulate(table_published.data(frame))
    assert table.paper.tolist() == ["A", "L", ""]
    assert table.test_error_mean.tolist() == pytest.approx([2, 4, 9])
    assert table.test_error_sd.tolist() == pytest.approx([1, 1, 1])
    assert table.epochs.tolist() == [20, 20, 20]
    np.testing.assert_equal(table.published.tolist(), [2.2, 2.1, np.nan])


def test_published_networks_are_told_apart():
    """Every run of the table has its paper, and every published number its run."""
    found = [
        ((str(c.model.hidden), c.model.activation), c.learning_rule.name)
        for c in figures._distinct(chain(*map(composed, table_published.EXPERIMENTS)))
    ]
    named = {(net, rule) for net, (_, rules) in table_published.PAPERS.items() for rule in rules}
    assert len(set(found)) == len(found)
    assert {net for net, _ in found} == table_published.PAPERS.keys()
    assert named <= set(found)


def test_markdown_has_a_row_per_row():
    text = figures.markdown(pd.DataFrame({"a": ["x", None], "b": [0.123456, np.nan]}))
    assert text == "| a | b |\n| --- | --- |\n| x | 0.1235 |\n|  |  |\n"
    odd = figures.markdown(pd.DataFrame({"a|b": ["x|y"], "n": pd.array([None], "Int64")}))
    assert odd == "| a\\|b | n |\n| --- | --- |\n| x\\|y |  |\n"


def test_a_figure_that_cannot_be_drawn_does_not_stop_the_others(workdir, monkeypatch, capsys):
    def make(name, *args):
        if name == "fig_3_1":
            raise UserError("The weights are missing.")
        return ["drawn"]

    monkeypatch.setattr(figures, "carry_out", lambda *args, **options: [])
    monkeypatch.setattr(figures, "dataframe", lambda *args: pd.DataFrame({"seed": []}))
    monkeypatch.setattr(figures, "_show_plan", lambda needed: None)
    monkeypatch.setattr(figures, "make", make)
    assert cli.main(["figures", "fig_3_1", "fig_b_2", *SMALL]) == 1
    out, err = capsys.readouterr()
    assert "fig_3_1: not made: The weights are missing." in out and "fig_b_2: drawn" in out
    assert "1 of 2 figures" in err
