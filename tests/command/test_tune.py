"""Tuning: which values are tried, what is scored, on which images, and what is kept.

Oracles: grids worked out by hand, a made-up score with a known peak, pandas.
"""

import json
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from fabench.command import cli
from fabench.command.search.base.method import PointScore, smallest_near
from fabench.command.search.base.subject import Subject, Tuning
from fabench.command.search.grid import EXTENSIONS, first_grid, next_grid
from fabench.command.search.optuna import Optuna
from fabench.command.tune import angle_to_bp
from fabench.command.tune import run_search as start
from fabench.run import registry
from fabench.run.statistics import summarize

TINY = [
    "dataset=digits",
    "trainer.device=cpu",
    "trainer.epochs=3",
    "trainer.batch_size=64",
    "trainer.test_examples=100",
    "model.hidden=[8]",
    "k=1",
    "tune.last_epochs=2",
]


def scores(accuracy_of_value, diverged=()):
    return [
        PointScore({"optimizer.lr": value}, summarize([accuracy]), int(value in diverged))
        for value, accuracy in accuracy_of_value.items()
    ]


def test_first_grid_is_log_spaced_around_the_centre():
    assert first_grid(0.02, 100.0, 5) == [0.0002, 0.002, 0.02, 0.2, 2.0]
    assert first_grid(0.02, 100.0, 5, most=0.999) == [0.0002, 0.002, 0.02, 0.2, 0.999]


def test_inside_the_grid_is_refined_to_geometric_midpoints():
    assert next_grid(scores({0.01: 0.6, 0.1: 0.9, 1: 0.7}), 1, 4) == [0.0316, 0.316]
    assert next_grid(scores({0.01: 0.6, 0.1: 0.9, 1: 0.7}), 0, 4) == []


@pytest.mark.parametrize(
    "peak, grid", [(0.01, [0.001, 0.0001]), (1, [10, 100])], ids=["low edge", "high edge"]
)
def test_an_edge_is_extended(peak, grid):
    found = scores({value: 0.9 if value == peak else 0.6 for value in (0.01, 0.1, 1)})
    assert next_grid(found, 1, 1) == grid
    assert next_grid(found, 1, 0) == []


def test_no_edge_is_extended_beyond_what_a_setting_takes():
    climbing = scores({0.1: 0.6, 0.3: 0.7, 0.9: 0.8})
    assert next_grid(climbing, 1, 4, most=0.999) == [0.999]
    assert next_grid([*climbing, *scores({0.999: 0.9})], 1, 4, most=0.999) == []


def test_the_largest_value_that_a_setting_takes_can_be_the_best(tune, monkeypatch):
    def climbing(configs, tuning, command, keep_weights):
        return [(summarize([config.optimizer.momentum]), 0) for config in configs]

    monkeypatch.setattr("fabench.command.tune._scores", climbing)
    grid = ["search.values=[0.1,0.3,0.9]", "tune.key=optimizer.momentum"]
    code, out, _ = tune("optimizer=momentum", *grid)
    assert (code, "Chosen on validation data: optimizer.momentum=0.999" in out) == (0, True)


def test_a_diverging_value_is_no_winner():
    found = scores({0.01: 0.6, 0.1: 0.8, 1: 0.95}, diverged=[1])
    assert next_grid(found, 1, 4) == [0.0316, 0.316]  # 0.1 is the best, and inside


def test_the_middle_of_equals_wins():
    """Where every example is right the first would be the one that is closest to failing."""
    found = scores({0.01: 0.5, 0.1: 1, 1: 1, 10: 1})
    assert next_grid(found, 1, 4) == [0.316, 3.16]
    found = scores({0.01: 1, 0.1: 0.5, 1: 0.6}, diverged=[0.01, 0.1, 1])
    assert next_grid(found, 1, 4) == [0.001, 0.0001]  # nothing else is known of these


def test_the_smallest_near_the_best_wins():
    def found(of, sd, n=4):
        points = {}
        for value, mean in of.items():
            values = mean + sd * np.array([-1, 1, -1, 1][:n]) * (3 / 4) ** 0.5 if n > 1 else [mean]
            points[value] = PointScore({"optimizer.lr": value}, summarize(list(values)), 0)
        return points

    means = {0.01: 0.78, 0.1: 0.79, 0.5: 0.81, 1.0: 0.8}
    points = found(means, sd=0.03)  # standard error 0.015
    assert points[0.5].summary.sd == pytest.approx(0.03)
    assert smallest_near(list(points.values()), points[0.5]) is points[0.5]
    points = found(means, sd=0.05)
    assert smallest_near(list(points.values()), points[0.5]) is points[0.1]
    points = found(means, sd=0.0, n=1)
    assert smallest_near(list(points.values()), points[0.5]) is points[0.5]
    diverged = PointScore({"optimizer.lr": 0.001}, points[0.5].summary, 1)
    assert smallest_near([diverged, *points.values()], points[0.5]) is points[0.5]


def tuning(**changes):
    defaults = {
        "key": "optimizer.lr", "span": 10.0, "split": "validation", "last_epochs": 10,
        "choose": "best", "save": True, "retrain": 0, "retrain_seeds": [200],
    }  # fmt: skip
    return Tuning(**{**defaults, **changes})


@pytest.fixture
def tune(workdir, tmp_path, monkeypatch, capsys):
    """``fabench tune ARGS`` with a copy of conf/ to write to: exit code, stdout, stderr."""
    conf = tmp_path / "conf"
    shutil.copytree(cli.conf_dir(), conf, ignore=shutil.ignore_patterns("tuned"))
    monkeypatch.setattr(cli, "conf_dir", lambda: conf)

    def call(*overrides, verb="tune"):
        tiny = [o for o in TINY if verb == "tune" or not o.startswith("tune.")]
        code = cli.main([verb, *tiny, *overrides])
        return code, *capsys.readouterr()

    return call


def test_the_score_is_the_mean_of_the_last_epochs_on_held_out_images(tune, tmp_path):
    code, out, _ = tune("search.values=[0.01,0.1,1000]")
    assert code == 0
    assert "Chosen on validation data: optimizer.lr=" in out
    found = pd.read_csv(next(tmp_path.glob("outputs/tune/*/tune.csv")))
    assert next(tmp_path.glob("outputs/tune/*/tune.png")).exists()
    for _, row in found.iterrows():
        [run] = tmp_path.glob(f"outputs/runs/*_lr{row['optimizer.lr']:g}-*")
        metrics = pd.read_csv(run / "metrics.csv")
        assert not (run / "plots").exists(), "drawn when `fabench run` shows it"
        assert not (run / "checkpoint.pt").exists(), "nobody asks for a search's weights"
        config = yaml.safe_load((run / "config.yaml").read_text())
        assert config["trainer"]["evaluate_on"] == "validation"
        expected = metrics[metrics.epoch.isin([2, 3])].groupby("seed").test_accuracy.mean()
        assert row.score_mean == pytest.approx(expected.mean())
        assert row.score_sd == pytest.approx(expected.std())
    fit = found[found.diverged == 0]
    best = fit.loc[fit.score_mean.idxmax()]
    near = fit.score_mean >= best.score_mean - best.score_sd / best.seeds**0.5
    chosen = fit["optimizer.lr"][near].min()
    assert found["optimizer.lr"][found.chosen].tolist() == [chosen]
    kept = tmp_path / "conf/tuned/digits_parity_dfa_sgd_uniform.yaml"
    assert yaml.safe_load(kept.read_text()) == {"optimizer": {"lr": pytest.approx(chosen)}}
    assert "# optimizer.lr chosen on validation data of digits, parity, k=1" in kept.read_text()


def test_runs_start_from_what_was_kept_and_overrides_win(tune, tmp_path, capsys):
    (tmp_path / "conf/tuned").mkdir()
    kept = tmp_path / "conf/tuned/digits_parity_dfa_adam_gaussian.yaml"
    kept.write_text("# @package _global_\n# A test.\noptimizer:\n  lr: 0.0123\n")

    def lr(*overrides):
        _, out, _ = tune("--cfg", "job", *overrides, verb="run")
        return yaml.safe_load(out)["optimizer"]["lr"]

    assert lr("optimizer=adam", "init_of_B=gaussian") == 0.0123
    assert lr("optimizer=adam", "init_of_B=gaussian", "optimizer.lr=0.5") == 0.5
    assert lr("optimizer=adam") == 6e-4


def test_what_is_tuned_within_an_experiment_holds_there_only(tune, tmp_path):
    folder = tmp_path / "conf/experiment"
    (folder / "short.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /learning_rule: bp\n"
        "optimizer:\n  lr: 0.2\ntrainer:\n  batch_size: 64\n"
    )
    assert tune("experiment=short", "search.values=[0.01,0.1,10]")[0] == 0
    [kept] = tmp_path.glob("conf/tuned/**/*.yaml")
    assert kept == tmp_path / "conf/tuned/short/digits_parity_bp_sgd_uniform.yaml"
    best = yaml.safe_load(kept.read_text())["optimizer"]["lr"]
    for verb, override, lr in (
        ("run", "experiment=short", best),
        ("run", "learning_rule=bp", 0.018),
        ("tune", "experiment=short", 0.2),  # a search starts where the first one did
    ):
        _, out, _ = tune("--cfg", "job", override, verb=verb)
        assert yaml.safe_load(out)["optimizer"]["lr"] == lr


def test_a_number_of_a_search_is_tuned_as_one_population(tune, tmp_path):
    words = ["tune.key=learning_rule.scale", "search.values=[0.01,1,100]", "search.refinements=0"]
    assert tune("learning_rule=local_search", *words, "seed=0")[0] == 0
    manifests = tmp_path.glob("outputs/runs/local_search_digits_k1-*/manifest.json")
    assert [json.loads(m.read_text())["population"] for m in manifests] == [3, 3, 3]
    [kept] = tmp_path.glob("conf/tuned/*.yaml")
    assert kept.name == "digits_parity_local_search_None_uniform.yaml"
    rule = yaml.safe_load(kept.read_text())["learning_rule"]
    assert rule["scale"] in (0.01, 1, 100)
    _, out, _ = tune("--cfg", "job", "learning_rule=local_search", verb="run")
    found = yaml.safe_load(out)
    assert found["learning_rule"]["scale"] == rule["scale"] and "optimizer" not in found


def test_the_thesis_choice_is_labelled(tune, tmp_path):
    code, out, _ = tune("tune.split=test", "search.values=[0.01,0.1,10]", "search.refinements=0")
    assert code == 0
    assert "Chosen on TEST data, as the thesis did" in out
    assert "chosen on test data" in next(tmp_path.glob("conf/tuned/*.yaml")).read_text()


def test_short_runs_are_not_kept(tune, tmp_path):
    code, out, _ = tune("trainer.train_examples=128", "search.values=[0.01,0.1,10]")
    assert code == 0
    assert "Not kept" in out
    assert not (tmp_path / "conf/tuned").exists()


def test_what_other_runs_lack_is_not_kept(tune, tmp_path):
    shared = ["parallel=elastic_averaging", "parallel.workers=2", "tune.key=parallel.moving_rate"]
    code, out, _ = tune(*shared, "search.values=[0.1,0.2]", "search.refinements=0", "seed=0")
    assert code == 0
    assert "Not kept: parallel=serial, the default, has no moving_rate." in out
    assert not (tmp_path / "conf/tuned").exists()
    code, out, _ = tune("search=random", "search.trials=2", "seed=0",
                        "search.space={trainer.train_examples:{choices:[64,128]}}")  # fmt: skip
    assert (code, "Not kept: trainer.train_examples" in out) == (0, True)


def test_of_values_without_an_order_the_best_is_chosen(tune, monkeypatch):
    """9 is the best mode, and 1, the smallest number, within one standard error of it."""

    def alike(configs, tuning, command, keep_weights):
        modes = [config.learning_rule.mode for config in configs]
        return [(summarize([0.5 + (mode == 9) / 100, 0.9]), 0) for mode in modes]

    monkeypatch.setattr("fabench.command.tune._scores", alike)
    for values in ("bits:[1,15]", "choices:[1.0,9.0]"):
        code, out, _ = tune("learning_rule=pblf", "search=random", "search.trials=40",
                            f"search.space={{learning_rule.mode:{{{values}}}}}")  # fmt: skip
        assert (code, "Chosen on validation data: learning_rule.mode=9\n" in out) == (0, True)


def test_a_setting_that_is_0_has_a_grid_of_given_values(tune):
    words = ["tune.key=trainer.weight_decay", "search.values=[1e-5,1e-4,1e-3]", "seed=0"]
    assert tune(*words, "search.refinements=0")[0] in (0, 1)  # 1: the best is the edge


def test_a_command_of_several_lines_is_kept(tune, tmp_path):
    formula = "learning_rule.formula=g * (1 +\n 1)"
    words = ["learning_rule=formula", formula, "search.values=[0.01,0.1,1]", "seed=0"]
    assert tune(*words, "tune.choose=best", "search.refinements=0", "task=classification")[0] == 0
    kept = yaml.safe_load(next(tmp_path.glob("conf/tuned/*.yaml")).read_text())
    assert kept["optimizer"]["lr"] in (0.01, 0.1, 1)


def test_every_search_that_failed_is_told(tune):
    words = ["-m", "learning_rule=bp,dfa", "optimizer.lr=1e28", "search.points=2", "tune.span=2"]
    code, out, _ = tune(*words, "task=classification", "seed=0")
    assert code == 1
    for rule in ("bp", "dfa"):
        name = f"digits_classification_{rule}_sgd_uniform"
        assert f"Not tuned: {name}: Every value of optimizer.lr diverged" in out


def test_every_value_is_trained_once_and_a_second_call_trains_nothing(tune, tmp_path):
    tune("search.values=[0.01,0.1,10]")
    first = {path: path.stat().st_mtime_ns for path in tmp_path.glob("**/checkpoint.pt")}
    _, out, _ = tune("search.values=[0.01,0.1,10]")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("**/checkpoint.pt")} == first
    assert "population" not in out


def test_all_numbers_of_a_rule_are_searched_beside_its_rate(tune, tmp_path):
    words = ["tune.key=all", "tune.span=4", "search.trials=2", "search.batch=2", "seed=0"]
    optuna = ["search=optuna", "learning_rule=weight_mirror", "learning_rule.feedback_decay=0"]
    assert tune(*words, *optuna)[0] == 0
    found = pd.read_csv(next(tmp_path.glob("outputs/tune/*/tune.csv")))
    assert set(found) & {"optimizer.lr", "learning_rule.feedback_rate"} == set(found.columns[:2])
    assert found["learning_rule.feedback_rate"].between(0.25, 4).all()


def test_switches_are_no_number_to_search(make_raw):
    subject = Subject(make_raw(learning_rule="pblf"), tuning(key="all"))
    assert subject.searched() == ["learning_rule.b2", "optimizer.lr"]


def test_all_numbers_stay_within_what_they_may_be(tune, tmp_path):
    words = ["tune.key=all", "search.trials=2", "search.batch=2", "seed=0", "search=optuna"]
    assert tune(*words, "learning_rule=predictive_coding", "learning_rule.steps=1")[0] == 0
    found = pd.read_csv(next(tmp_path.glob("outputs/tune/*/tune.csv")))
    assert found["learning_rule.dt"].between(0.02, 1).all()
    code, _, err = tune("tune.key=all")
    assert (code, "choose search=random" in err) == (2, True)


@pytest.mark.parametrize("swept", ["model.hidden=[2],[3]", "k=1,3"])
def test_two_searches_do_not_write_one_file(tune, tmp_path, swept):
    code, _, err = tune("-m", swept)
    assert (code, not list(tmp_path.glob("outputs/*"))) == (2, True)
    assert "would write digits_parity_dfa_sgd_uniform" in err


def test_an_edge_that_never_ends_is_said(tune, monkeypatch):
    asked = []

    def climbing(configs, tuning, command, keep_weights):
        asked.append([config.optimizer.lr for config in configs])
        return [(summarize([np.log(config.optimizer.lr)]), 0) for config in configs]

    monkeypatch.setattr("fabench.command.tune._scores", climbing)
    code, _, err = tune("search.values=[1,2]")
    assert code == 1
    assert "still the grid's edge" in err
    assert len(asked) == 1 + EXTENSIONS
    assert asked[1] == [4, 8]


@pytest.mark.parametrize(
    "override, key",
    [
        ("tune.key=optimizer.rl", "tune.key=optimizer.rl"),
        ("tune.key=learning_rule.name", "tune.key=learning_rule.name"),
        ("search.points=1", "search.points=1"),
        ("search.values=[0.1]", "search.values"),
        ("tune.span=1.0001", "tune.span=1.0001: it leaves less than two values"),
        ("tune.split=train", "tune.split=train"),
        ("search=annealing", "search=annealing"),
        ("tune.method=optuna", "tune.method= is now search="),
        ("tune.values=[0.1,1]", "did you mean search.values?"),
        ("tune.key=trainer.epochs", "tune.key=trainer.epochs"),
        ("tune.key=trainer.weight_decay", "tune.key=trainer.weight_decay"),  # 0
        ("search.space={optimizer.lr:[0.1,1]}", "search.space is not a setting"),
        ("+tune.foo=1", "tune.foo"),
        ("+search.foo=1", "search.foo"),
    ],
)
def test_wrong_requests(tune, override, key):
    code, _, err = tune(override)
    assert code == 2
    assert key in err
    assert "Traceback" not in err


# -- Optuna ----------------------------------------------------------------------------------

SPACE = "search.space={optimizer.lr:[0.001,10],trainer.weight_decay:[1e-6,0.01]}"


def test_optuna_chooses_several_numbers_and_keeps_them(tune, tmp_path):
    request = ["search=optuna", SPACE, "search.batch=4"]
    code, out, _ = tune(*request, "search.trials=4")
    assert code == 0
    assert out.count("population 1 of 1: 4 jobs") == 1
    first = set(tmp_path.glob("outputs/runs/*"))
    code, out, _ = tune(*request, "search.trials=8")
    assert code == 0
    assert out.count("population 1 of 1: 4 jobs") == 1
    assert "Trials 5 to 8 of 8" in out
    assert set(tmp_path.glob("outputs/runs/*")) > first

    found = pd.read_csv(next(tmp_path.glob("outputs/tune/*/tune.csv")))
    assert found.columns[:3].tolist() == ["optimizer.lr", "trainer.weight_decay", "split"]
    assert len(found) == 8
    best = found.loc[found.score_mean.idxmax()]
    kept = tmp_path / "conf/tuned/digits_parity_dfa_sgd_uniform.yaml"
    lr, weight_decay = best["optimizer.lr"], best["trainer.weight_decay"]
    assert yaml.safe_load(kept.read_text()) == {
        "optimizer": {"lr": lr}, "trainer": {"weight_decay": weight_decay},
    }  # fmt: skip
    assert "# optimizer.lr, trainer.weight_decay chosen on validation data" in kept.read_text()
    [run] = tmp_path.glob(f"outputs/runs/*_lr{lr:g}-*")  # what is kept is what was trained
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["optimizer"]["lr"] == lr
    assert config["trainer"]["weight_decay"] == weight_decay
    assert best.score_mean > 0.8


def test_optuna_keeps_no_diverged_value(tune, tmp_path):
    code, _, _ = tune(
        "search=optuna", "search.space={optimizer.lr:[0.01,1e30]}", "search.trials=5", "seed=0"
    )
    assert code == 0
    found = pd.read_csv(next(tmp_path.glob("outputs/tune/*/tune.csv"))).set_index("optimizer.lr")
    assert (found.diverged == 1).any()
    kept = tmp_path / "conf/tuned/digits_parity_dfa_sgd_uniform.yaml"
    lr = yaml.safe_load(kept.read_text())["optimizer"]["lr"]
    assert lr == found.score_mean[found.diverged == 0].idxmax()


def test_what_decides_the_scores_names_the_search(tmp_path, make_raw, monkeypatch):
    class Stop(Exception):
        pass

    def trials(file, name, space, first, total, batch):
        raise Stop(name, {key: dimension.ends() for key, dimension in space.items()})

    monkeypatch.setattr("fabench.command.search.optuna.trials", trials)

    def asked(changes, last_epochs=10, **of_run):
        """The name and the space of the search that Optuna is asked for."""
        search = Optuna(**{"name": "optuna", "space": None, "trials": 20, "batch": 5} | changes)
        split = of_run.pop("split", "validation")
        raw = make_raw(output_dir=str(tmp_path), **of_run)
        subject = Subject(raw, tuning(last_epochs=last_epochs, split=split))
        with pytest.raises(Stop) as stop:
            start(subject, search, "", "", tmp_path)
        return stop.value.args

    name, space = asked({}, optimizer__lr=0.2)
    assert space == {"optimizer.lr": [0.02, 2.0]}
    same = {"space": space}
    assert asked({**same, "trials": 9, "batch": 2}) == (name, space)
    others = [
        asked({"space": {"optimizer.lr": [0.02, 3.0]}}),
        asked({"space": {"optimizer.lr": {"linear": [0.02, 2.0]}}}),
        asked({"space": {**space, "trainer.weight_decay": [1e-6, 1e-3]}}),
        asked(same, split="test"),
        asked(same, last_epochs=3),
        asked(same, seed=[0]),
        asked(same, trainer__weight_decay=0.1),
        asked(same, learning_rule="fa"),
    ]
    assert len({name, *(other for other, _ in others)}) == 1 + len(others)


def test_without_optuna(tune, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "fabench.command.search.optuna", raising=False)
    code, _, err = tune("search=optuna")
    assert code == 2
    assert err == "fabench: search=optuna needs Optuna: pip install 'fabench[optuna]'.\n"


@pytest.mark.parametrize(
    "override, key",
    [
        ("search.values=[0.1,1]", "search.values is not a setting"),
        ("search.space={}", "search.space="),
        ("search.space={k:[1,3]}", "search.space.k: search settings of groups, such as optimizer"),
        ("search.space={dry_run:{choices:[true,false]}}", "search.space.dry_run: search settings"),
        ("search.space={learning_rule.name:{choices:[bp,dfa]}}", "search.space.learning_rule.name"),
        ("search.space={trainer.evaluate_on:{choices:[test,validation]}}", "tune.split names"),
        ("tune.retrain_seeds=[7,7]", "tune.retrain_seeds=[7, 7]: a seed stands there twice."),
        ("search.space={optimizer.rl:[0.1,1]}", "search.space.optimizer.rl is not a setting"),
        ("search.space={trainer.epochs:[1,9]}", "search.space.trainer.epochs: its value 3"),
        ("search.space={model.activation:[1,9]}", "search.space.model.activation: its value relu"),
        ("search.space={optimizer.lr:[1,0.1]}", "search.space.optimizer.lr=[1,0.1]"),
        ("search.space={optimizer.lr:[1,1]}", "search.space.optimizer.lr=[1,1]"),
        ("search.space={optimizer.lr:[0,1]}", "optimizer.lr=0"),
        ("search.space={optimizer.lr:1}", "search.space.optimizer.lr=1: write [low,high]"),
        ("search.space={optimizer.lr:{log:[1,2]}}", "search.space.optimizer.lr={log:[1,2]}: write"),
        ("search.space={optimizer.lr:{bits:[0.5,2]}}", "bits are whole numbers"),
        ("search.space={model.activation:{choices:[relu]}}", "choices are several"),
        ("search.space={model.activation:{choices:[relu,swish]}}", "model.activation=swish"),
        ("search.space={optimizer.lr:[1]}", "search.space.optimizer.lr="),
        ("search.space={optimizer.beta1:[0.5,1.5]}", "optimizer.beta1=1.5"),
        ("tune.key=optimizer.rl", "tune.key=optimizer.rl"),
        ("search.trials=0", "search.trials=0"),
        ("search.batch=0", "search.batch=0"),
    ],
)
def test_wrong_requests_of_optuna(tune, override, key, tmp_path):
    code, _, err = tune("optimizer=adam", "search=optuna", override)
    assert code == 2
    assert key in err
    assert err.count("\n") == 1 and "Traceback" not in err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("name", registry.names("command.search"))
def test_every_option_of_group_search_composes(name, make_raw):
    with initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
        cfg = OmegaConf.to_container(compose("tune", [f"search={name}"]))
    assert registry.build("command.search", cfg["search"]).name == name
    assert Tuning(**cfg["tune"]).retrain == 0


def test_every_search_has_its_yaml():
    options = {file.stem for file in (cli.conf_dir() / "search").glob("*.yaml")}
    assert options == set(registry.names("command.search"))


# -- Spaces, and the best trained again --------------------------------------------------------

PBLF = [
    "learning_rule=pblf", "search=random", "search.batch=2", "seed=[0,1]", "trainer.epochs=2",
    "search.space={learning_rule.w1:[-1,1],learning_rule.b2:{linear:[0.5,1]},"
    "learning_rule.mode:{bits:[1,15]}}",
]  # fmt: skip


def test_a_search_goes_on_and_its_best_are_trained_again_with_new_seeds(tune, tmp_path):
    assert tune(*PBLF, "search.trials=2")[0] == 0
    first = {path: path.stat().st_mtime_ns for path in tmp_path.glob("**/metrics.csv")}
    code, out, _ = tune(*PBLF, "search.trials=4", "tune.retrain=2", "tune.retrain_seeds=[7,8,9]")
    assert code == 0
    assert out.count("population 1 of 1: 2 jobs") == 2  # the new points, and the best
    assert {path: path.stat().st_mtime_ns for path in first} == first
    [folder] = tmp_path.glob("outputs/tune/*")
    found = pd.read_csv(folder / "tune.csv")
    assert len(found) == 4 and not found["learning_rule.w1"].is_monotonic_increasing
    bits = [[int(bit) for bit in f"{int(mode):04b}"] for mode in found["learning_rule.mode"]]
    squares = (found["learning_rule.w1"] / 2) ** 2 + (2 - 2 * found["learning_rule.b2"]) ** 2
    expected = np.sqrt(squares + (1 - np.array(bits)).sum(axis=1))
    np.testing.assert_allclose(found.distance_to_bp, expected)
    assert (folder / "tune.png").exists()

    again = pd.read_csv(folder / "retrain.csv")
    assert (again.split == "test").all() and (again.seeds == 3).all()
    best = found.sort_values("score_mean", ascending=False)[:2]
    for (_, tested), (_, searched) in zip(again.iterrows(), best.iterrows(), strict=True):
        assert tested["learning_rule.w1"] == searched["learning_rule.w1"]
        assert tested.validation_score == pytest.approx(searched.score_mean)
    runs = {path.parent: pd.read_csv(path) for path in tmp_path.glob("outputs/runs/*/metrics.csv")}
    tests = {
        metrics.test_accuracy[metrics.epoch == 2].mean()
        for folder, metrics in runs.items()
        if set(metrics.seed) == {7, 8, 9}
        and yaml.safe_load((folder / "config.yaml").read_text())["trainer"]["evaluate_on"] == "test"
    }
    assert sorted(tests) == pytest.approx(sorted(again.score_mean))


def test_the_angle_to_bp_is_that_of_hidden_layers_before_training():
    metrics = pd.DataFrame(
        {
            "seed": [0, 0, 1], "epoch": [0, 1, 0], "update_alignment": 0.3,
            "update_alignment_1": [1.0, 0.7, 0.5], "update_alignment_2": [0.0, 0.7, np.nan],
            "update_alignment_3": [1.0, 1.0, 1.0],
        }
    )  # fmt: skip
    assert angle_to_bp(metrics) == pytest.approx((0 + 60 + 90) / 3)


@pytest.mark.parametrize("seeds", ["0", "[0,1]"])
@pytest.mark.parametrize("words", [
    ["optimizer.lr=1e28"],
    ["search=random", "search.trials=2", "search.space={optimizer.lr:[1e28,1e30]}"],
], ids=str)  # fmt: skip
def test_where_no_value_ends_its_first_epoch_the_sentence_says_so(tune, words, seeds):
    code, _, err = tune(*words, f"seed={seeds}", "task=classification")
    setting = "search.space" if "search=random" in words else "optimizer.lr"
    sentence = f"Every value of optimizer.lr diverged: start lower with {setting}=."
    assert (code, sentence in err) == (1, True), err


def test_seeds_of_the_search_are_no_new_ones(tune, tmp_path):
    code, _, err = tune(*PBLF, "tune.retrain=1", "tune.retrain_seeds=[1,2]")
    assert (code, "seed=1 is no new one" in err) == (2, True)
    code, _, err = tune(*PBLF, "tune.retrain=1", "trainer.keep_best=true")
    assert (code, "trainer.keep_best=true" in err) == (2, True)
    assert not (tmp_path / "outputs").exists()


def test_where_bp_is_not_in_the_space_there_is_no_distance(tune, tmp_path):
    space = "search.space={learning_rule.w1:[0.1,1],learning_rule.mode:{bits:[1,7]}}"
    assert tune("learning_rule=pblf", "search=random", space, "search.trials=2", "seed=0")[0] == 0
    found = pd.read_csv(next(tmp_path.glob("outputs/tune/*/tune.csv")))
    assert len(found) == 2 and "distance_to_bp" not in found


def test_a_gaussian_process_searches_choices_too(tune, tmp_path):
    space = "search.space={optimizer.lr:[0.01,1],model.activation:{choices:[relu,tanh]}}"
    words = ["search=gaussian_process", "search.random_points=2", "search.trials=4"]
    assert tune(space, *words, "search.batch=2", "search.random_beside=0", "seed=0")[0] == 0
    found = pd.read_csv(next(tmp_path.glob("outputs/tune/*/tune.csv")))
    assert len(found) == 4 and set(found["model.activation"]) <= {"relu", "tanh"}
    kept = yaml.safe_load(next(tmp_path.glob("conf/tuned/*.yaml")).read_text())
    best = found.loc[found.score_mean.idxmax()]
    assert kept["model"]["activation"] == best["model.activation"]
