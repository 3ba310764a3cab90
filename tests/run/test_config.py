import dataclasses
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from safetensors.torch import save_file

from fabench.command.overrides import numbered_override
from fabench.population.precision import fastest
from fabench.run import plugins, registry
from fabench.run.config import GROUPS, resolve_device
from fabench.run.parsing import parse
from fabench.schema import UserError

CONF = Path(__file__).parents[2] / "conf"
FOLDERS = [
    folder
    for folder in sorted(CONF.iterdir())
    if folder.is_dir() and folder.name != "search"  # of fabench tune: test_tune.py
]
OPTIONS = [f"{file.parent.name}={file.stem}" for d in FOLDERS for file in sorted(d.glob("*.yaml"))]
PARTNERS = {  # an option that not everything goes with, and one that does
    "dataset=family_trees": ["task=multi_label"],
    "parallel=delay_tolerant": ["optimizer=adagrad"],
    "learning_rule=contrastive_divergence": ["model.activation=sigmoid", "dataset.scaling=unit"],
    "learning_rule=recirculation": ["dataset=encoder", "task=reconstruction"],
    "dataset=linear_teacher": ["task=regression"],
    "dataset=nonlinear_teacher": ["task=regression"],
    "task=multi_label": ["dataset=family_trees"],
    "task=regression": ["dataset=linear_teacher"],
    "task=reconstruction": ["dataset=encoder"],
}


@pytest.fixture(autouse=True)
def a_plugin_is_named_and_weights_are_there(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    weights = {"W0": torch.ones(1, 192, 5), "W1": torch.ones(1, 5, 1)}
    save_file(weights, tmp_path / "w.safetensors")
    monkeypatch.setitem(plugins.USED, "named", plugins.Plugin("named", Path("named"), {}))


def composed(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", [numbered_override(override, CONF) for override in overrides])
    return OmegaConf.to_container(cfg, resolve=True)


# -- Composition -----------------------------------------------------------------------------


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes_and_parses(option, own_data, workdir):
    group, name = option.split("=")
    own = [f"dataset.path={own_data[name]}"] if name in own_data else []
    raw = composed(f"{group}='{name}'", *PARTNERS.get(option, []), *own)
    config = parse(raw)
    if group in GROUPS and group != "trainer":
        chosen = getattr(config, group).name
        assert chosen == name or (group == "model" and chosen in registry.names(group))  # a preset
    assert config.layers()[-1].fan_out == config.task.n_outputs


@pytest.mark.parametrize(
    "group", ["learning_rule", "optimizer", "schedule", "parallel", "dataset", "task", "model"]
)
def test_every_implementation_has_its_yaml(group):
    options = {file.stem for file in (CONF / group).glob("*.yaml")}
    assert options >= set(registry.names(group))
    assert group == "model" or options <= set(registry.names(group))  # models have presets


PRESETS = {
    "mlp_100": ([784, 100, 10], "sigmoid"),
    "mlp_200_100": ([784, 200, 100, 10], "tanh"),
    "mlp_7x240": ([784, *[240] * 7, 10], "tanh"),
    "mlp_100x240": ([784, *[240] * 100, 10], "tanh"),
    "mlp_1x800": ([784, 800, 10], "tanh"),
    "mlp_2x800": ([784, 800, 800, 10], "tanh"),
    "mlp_3x800": ([784, *[800] * 3, 10], "tanh"),
    "mlp_4x800": ([784, *[800] * 4, 10], "tanh"),
    "mlp_2x800_logistic": ([784, 800, 800, 10], "sigmoid"),
    "mlp_2x800_relu": ([784, 800, 800, 10], "relu"),
    "mlp_2x800_dropout": ([784, 800, 800, 10], "tanh"),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_published_networks(preset):
    widths, activation = PRESETS[preset]
    config = parse(composed(f"model={preset}", "task=classification"))
    layers = config.layers()
    assert [layer.fan_in for layer in layers] == widths[:-1]
    assert [layer.fan_out for layer in layers] == widths[1:]
    assert {layer.activation for layer in layers} == {activation}
    assert all(layer.bias_init for layer in layers)
    slides = ("truncated_normal", 0.2)
    drawn = slides if preset in ("mlp_100", "mlp_200_100") else ("torch_uniform", 1.0)
    assert {layer.weight_init for layer in layers} == {drawn[0]}
    assert {layer.weight_scale for layer in layers} == {"model.weight_scale"}
    assert config.model.weight_scale == drawn[1]


def test_every_feedback_matrix_has_its_yaml(make_raw):
    for file in (CONF / "init_of_B").glob("*.yaml"):
        assert OmegaConf.load(file).name == file.stem
    with pytest.raises(UserError) as error:
        parse(make_raw(init_of_B__name="?"))
    known = str(error.value).partition("there are ")[2].rstrip(".").split(", ")
    assert sorted(known) == sorted(file.stem for file in (CONF / "init_of_B").glob("*.yaml"))


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("k=7", "k", 7),
        ("k=3", "k", 3),
        ("seed=5", "seed", [5]),
        ("seed=[3,0]", "seed", [3, 0]),
        ("seed=three", "seed", [0, 1, 2]),
    ],
)
def test_numbers_are_options(override, key, value):
    raw = composed(override)
    assert raw[key] == value
    config = parse(raw)
    assert config.task.k == config.general.k == raw["k"]
    assert config.seeds == raw["seed"]


def test_the_default_is_the_theses_network(make_raw):
    config = parse(composed())
    shapes = [(layer.fan_in, layer.fan_out, layer.activation) for layer in config.layers()]
    assert shapes == [(3 * 784, 512, "relu"), (512, 1, "relu")]
    assert all(layer.bias_init is None for layer in config.layers())
    assert (config.learning_rule.name, config.optimizer.name) == ("dfa", "sgd")
    assert config.seeds == [0, 1, 2]
    assert (config.trainer.epochs, config.trainer.batch_size) == (20, 128)


# -- Identity --------------------------------------------------------------------------------

BASE = {"learning_rule": "dfa", "optimizer": "adam", "optimizer__lr": 1.0}

CURRICULUM = {
    "dataset": "irrelevant_inputs", "trainer__curriculum": "easy_first",
    "trainer__curriculum_by": "margin",
}  # fmt: skip
SCIENCE = [
    {"seed": [0, 1]},
    {"seed": [0, 1, 3]},
    {"k": 5},
    {"dataset": "mnist"},
    {"dataset__scaling": "unit"},
    {"dataset__scaling": "standardized_per_channel"},
    {"dataset__downsample": 2},
    {"dataset__crop": 2},
    {"dataset__flip": True},
    {"task": "classification"},
    {"task": "classification", "task__loss": "squared_error"},
    {"task": "random_labels"},
    {"task": "random_labels", "task__p": 0.5},
    {"optimizer__lr": 1.5},
    {"optimizer__beta1": 0.8},
    {"optimizer__bias_correction": "epoch"},
    {"optimizer": "nadam"},
    {"schedule": "step"},
    {"schedule": "cosine"},
    {"parallel": "hogwild"},
    {"parallel": "hogwild", "parallel__workers": 2},
    {"parallel": "downpour", "parallel__period": 2},
    {"parallel": "elastic_averaging"},
    {"parallel": "elastic_averaging", "parallel__moving_rate": 0.5},
    {"parallel": "elastic_averaging", "parallel__momentum": 0.5},
    {"learning_rule": "fa"},
    {"learning_rule": "bp"},
    {"init_of_B": "xavier"},
    {"init_of_B__scale": 2.0},
    {"model__hidden": [5, 5]},
    {"model__activation": "tanh"},
    {"model__bias": True},
    {"model__weight_init": "he_normal"},
    {"model__weight_scale": 2.0},
    {"model__input_dropout": 0.1},
    {"model__hidden_dropout": 0.5},
    {"model__batch_norm": True},
    {"model__weights": "w.safetensors"},
    {"model": "lenet"},
    {"model": "lenet", "model__channels": [3, 4]},
    {"trainer__adversarial": 0.1},
    {"trainer__clip_norm": 1.0},
    {"trainer__gradient_noise": 0.01},
    {"trainer__gradient_noise": 0.1, "trainer__gradient_noise_decay": 0.5},
    {"trainer__epochs": 3},
    {"trainer__batch_size": 8},
    {"trainer__weight_decay": 0.1},
    {"trainer__precision": "bf16"},
    {"trainer__evaluate_on": "validation"},
    {"trainer__metrics_every": 2},
    {"trainer__frozen_layers": [1]},
    {"trainer__train_examples": None},
    {"trainer__same_examples": True},
    {"trainer__test_examples": 10},
    {"k": 1, "trainer__shuffle": False},
    CURRICULUM,
    {**CURRICULUM, "trainer__curriculum": "hard_first"},
    {**CURRICULUM, "trainer__curriculum_by": "irrelevant"},
    {**CURRICULUM, "trainer__curriculum_epochs": 1},
    {"trainer__early_stopping": "GL"},
    {"trainer__early_stopping": "GL", "trainer__early_stopping_threshold": 3.0},
    {"trainer__early_stopping": "GL", "trainer__early_stopping_strip": 4},
    {"trainer__early_stopping": "GL", "trainer__keep_best": True},
    {"task": "classification", "trainer__top_k": 5},
    {"task": "classification", "task__label_smoothing": 0.1},
    {"optimizer": "nadamw"},
    {"model__hidden": [5, 5], "model__activation": ["tanh", "relu"]},
    {"model__hidden": [5, 5], "model__activation": ["relu", "tanh"]},
]
NOT_SCIENCE = [
    {"trainer__device": "auto"},
    {"trainer__checkpoint_every": 7},
    {"output_dir": "elsewhere"},
    {"data_dir": "here"},
    {"overwrite": True},
    {"dry_run": True},
    {"workers": 2},
    {"max_jobs": 5},
    {"logger": ["tensorboard"]},
    {"plugins": ["named"]},  # and nothing chosen from it
    {"cluster": "local"},
    {"trainer__early_stopping_threshold": 3.0},
    {"trainer__gradient_noise_decay": 0.5},
    {"trainer__early_stopping_strip": 2},
    {"trainer__curriculum_by": "variety"},
    {"trainer__curriculum_epochs": 3},
]
SAME_NUMBERS = [
    {"optimizer__lr": 1},
    {"trainer__weight_decay": 0},
    {"init_of_B__scale": 1},
    {"model__weight_scale": 1},
    {"optimizer__beta1": 9e-1},
]


def test_results_decide_the_identity(make_config):
    configs = [make_config(**{**BASE, **change}) for change in [{}, *SCIENCE]]
    assert len({config.identity() for config in configs}) == len(configs)
    assert len({config.name() for config in configs}) == len(configs)


@pytest.mark.parametrize("change", NOT_SCIENCE + SAME_NUMBERS, ids=str)
def test_nothing_else_decides_the_identity(make_config, change):
    base = make_config(**BASE)
    config = make_config(**{**BASE, **change})
    assert config.identity() == base.identity()
    assert config.name() == base.name()


def test_every_key_is_either(make_raw):
    """A new key must be put into one of the lists above."""
    raw = make_raw(**BASE)
    keys = {f"{group}__{key}" for group in GROUPS for key in raw[group] if key != "name"}
    keys |= {key for key in raw if key not in GROUPS}
    tried = {key for change in SCIENCE + NOT_SCIENCE for key in change}
    of_adam = {"optimizer__beta2", "optimizer__epsilon"}  # as beta1
    assert keys - tried == of_adam


def test_the_name_is_readable_and_ends_with_the_identity(make_config):
    config = make_config(**BASE)
    assert config.name() == f"dfa_adam_digits_k3_uniform_lr1-{config.identity()}"
    assert len(config.identity()) == 10


@pytest.mark.parametrize("rule", ["bp", "ntk", "relu_features"])
def test_feedback_matrices_are_ignored_where_there_are_none(make_config, rule):
    one = make_config(learning_rule=rule, init_of_B="uniform")
    other = make_config(learning_rule=rule, init_of_B="xavier", init_of_B__scale=3.0)
    assert not one.has_feedback
    assert one.identity() == other.identity()
    assert one.name() == other.name()
    assert "uniform" not in one.name()


@pytest.mark.parametrize("rule", ["dfa", "fa", "ifa"])
def test_feedback_matrices_count_where_there_are_some(make_config, rule):
    one = make_config(learning_rule=rule, init_of_B="uniform")
    other = make_config(learning_rule=rule, init_of_B="xavier")
    assert one.has_feedback
    assert one.identity() != other.identity()


def test_resolved_settings_parse_to_the_same_run(make_config):
    """config.yaml can be given back."""
    config = make_config(**BASE, k=4)
    raw = config.resolved()
    raw["task"] = {"name": "parity"}  # k stands at the top
    assert parse(raw) == config
    assert parse(config.resolved()) == config


# -- What runs share -------------------------------------------------------------------------


def test_runs_that_differ_in_seeds_and_numbers_of_rows_train_together(make_config):
    base = make_config(**BASE).architecture()
    for change in [{"seed": [8]}, {"optimizer__lr": 0.5}, {"optimizer__beta1": 0.5},
                   {"trainer__weight_decay": 0.1}, {"model__weight_scale": 2.0},
                   {"init_of_B__scale": 2.0}, *NOT_SCIENCE[1:]]:  # fmt: skip
        assert make_config(**{**BASE, **change}).architecture() == base, change
    of_rows = {"seed", *(key.replace(".", "__") for key in make_config(**BASE).scalars())}
    apart = [change for change in SCIENCE if not change.keys() & of_rows]
    apart.append({"trainer__device": "auto"})
    architectures = [make_config(**{**BASE, **change}).architecture() for change in apart]
    assert len({base, *architectures}) == 1 + len(apart)


def test_rows_have_the_numbers_of_their_settings(make_config):
    config = make_config(optimizer="adam", optimizer__lr=1, trainer__weight_decay=0.5)
    assert config.scalars() == {
        "optimizer.lr": 1, "optimizer.beta1": 0.9, "optimizer.beta2": 0.999,
        "optimizer.epsilon": 1e-8, "trainer.weight_decay": 0.5, "model.weight_scale": 1,
        "init_of_B.scale": 1,
    }  # fmt: skip
    assert all(isinstance(value, float) for value in config.scalars().values())


def test_layers_follow_model_task_and_rule(make_config):
    config = make_config(model__hidden=[7, 3], k=2, model__bias=True)
    assert [(layer.fan_in, layer.fan_out) for layer in config.layers()] == [
        (128, 7), (7, 3), (3, 1),
    ]  # fmt: skip
    assert {layer.bias_init for layer in config.layers()} == {"torch_uniform"}
    settings = {"model__bias": True, "model__weight_init": "he_normal"}
    assert {layer.bias_init for layer in make_config(**settings).layers()} == {"zeros"}
    assert make_config(model__hidden=[], k=1).layers()[0].fan_in == 64
    ntk = make_config(learning_rule="ntk", learning_rule__gate="step", model__hidden=[7, 3])
    assert [layer.gate for layer in ntk.layers()] == ["step", "step", None]
    features = make_config(learning_rule="relu_features", model__hidden=[7, 3])
    assert [layer.trained for layer in features.layers()] == [False, False, True]
    frozen = make_config(model__hidden=[7, 3], trainer__frozen_layers=[1])
    assert [layer.trained for layer in frozen.layers()] == [False, True, True]


# -- Refusals --------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")
COUNT = [0, -1, 1.5, "3", True, [1]]
POSITIVE = [0, -1.0, NAN, INF, "1", True]
WRONG = {
    "k": [*COUNT, None],
    "seed": [[], [-1], [0, 1.5], ["0"], [True], 3, "three", None],
    "output_dir": [3],
    "data_dir": [3],
    "overwrite": [1, "yes", None],
    "dry_run": [1, "yes", None],
    "workers": COUNT,
    "max_jobs": COUNT,
    "logger": ["csv", ["csv"], [1], 1, True, ["tensorboard", "tensorboard"]],
    "plugins": [3, "named", ["other"], [3]],
    "cluster.name": ["pbs", 3, None],
    "cluster.wait": [1, "yes", None],
    "cluster.array_parallelism": COUNT,
    **{
        f"cluster.{key}": ["", "a b", "a\n#SBATCH --x", "a\n", "$(ls)", "a'", 3]
        for key in (
            "partition",
            "account",
            "qos",
            "constraint",
        )
    },
    "cluster.gpus_per_node": [-1, 2, "1", True],
    "cluster.cpus_per_task": COUNT,
    "cluster.mem_gb": POSITIVE,
    "cluster.timeout_min": [*COUNT, None],
    "cluster.signal_delay_s": [*COUNT, None],
    "cluster.max_num_timeout": [-1, 1.5, "3", True, None],
    "trainer.epochs": [*COUNT, None],
    "trainer.batch_size": [*COUNT, None],
    "trainer.clip_norm": POSITIVE,
    "trainer.gradient_noise": [-1e-9, NAN, INF, "0", True, None],
    "trainer.gradient_noise_decay": [-1e-9, NAN, INF, "0", True, None],
    "trainer.adversarial": [-1e-9, NAN, INF, "0", True, None],
    "trainer.weight_decay": [-1e-9, NAN, INF, "0", True, None],
    "trainer.precision": ["fp16", 32, None],
    "trainer.device": ["gpu", "mps:0", "cuda:", "cuda:x", "cpu:0", "cuda:0\n", 0, None],
    "trainer.checkpoint_every": [*COUNT, None],
    "trainer.metrics_every": [*COUNT, None],
    "trainer.evaluate_on": ["train", 1, None],
    "trainer.frozen_layers": [1, "1", [0], ["1"], [1, 3], [1, 2], [1, 1], None],
    "trainer.train_examples": COUNT,
    "trainer.test_examples": COUNT,
    "trainer.same_examples": [1, "yes", None],
    "trainer.shuffle": [0, "no", None],
    "trainer.curriculum": ["easy", 1, None],
    "trainer.curriculum_by": [1, "difficulty", "variety"],
    "trainer.curriculum_epochs": COUNT,
    "trainer.early_stopping": ["gl", "LG", 1],
    "trainer.early_stopping_threshold": [*POSITIVE, None],
    "trainer.early_stopping_strip": [*COUNT, None],
    "trainer.top_k": [*COUNT, 5],  # parity has no classes
    "trainer.keep_best": [True, 1, "yes", None],  # there is no validation data
    "model.hidden": [3, "3", None],
    "model.activation": ["cos", "swish", 1, None, [], ["cos"], ["relu", "tanh"], [["relu"]]],
    "model.bias": [1, "yes", None],
    "model.batch_norm": [1, "yes", None],
    "model.weights": [3, True, "nowhere.safetensors", ""],
    "model.weight_init": ["xavier", "gaussian_features", None],
    "model.weight_scale": [*POSITIVE, None],
    "model.input_dropout": [-0.1, 1.0, NAN, "0", True, None],
    "model.hidden_dropout": [-0.1, 1.0, NAN, "0", True, None],
    "model.channels": [3, "3", None],
    "model.kernel": [*COUNT, None],
    "model.stride": [*COUNT, None],
    "model.depth": [9, 1.5, "16", 11, None],
    "model.width": [*COUNT, None],
    "model.padding": [-1, 1.5, "3", True, None],
    "model.pool": [*COUNT, None],
    "model.pool_stride": [*COUNT, None],
    "dataset.scaling": ["none", 1, None],
    "dataset.downsample": [*COUNT, None, 3],
    "dataset.crop": [-1, 1.5, "3", True, None, 8],
    "dataset.flip": [1, "yes", None],
    "init_of_B.name": ["ones", "unifrom", 1, None],
    "init_of_B.scale": [*POSITIVE, None],
    "learning_rule.scale": [*POSITIVE, None],
    "learning_rule.gate": ["hard", 1, None],
    "learning_rule.feedback_rate": [*POSITIVE, None],
    "learning_rule.feedback_decay": [-1e-9, NAN, INF, "0", True, None],
    "learning_rule.expand": [*COUNT, None],
    "learning_rule.indices": [*COUNT, None],
    "learning_rule.decay": [-1e-9, NAN, INF, "0", True, None],
    "learning_rule.decay_kind": ["exponential", 1, None],
    "learning_rule.stepsize": [*POSITIVE, None],
    "learning_rule.noise": [-1e-9, NAN, INF, "0", True, None],
    "learning_rule.feedback_steps": [-1, 1.5, "3", True, None],
    "learning_rule.feedback_scale": [*POSITIVE, None],
    "learning_rule.feedback": ["random", 1, None],
    "learning_rule.beta": [*POSITIVE, None],
    "learning_rule.module_hidden": [3, "3", [0], [2.5], None],
    "learning_rule.conditioned": [1, "yes", None],
    "learning_rule.targets": ["true", 1, None],
    "learning_rule.update_probability": [0.0, 1.5, NAN, "0", True, None],
    "learning_rule.threshold": [*POSITIVE, None],
    "learning_rule.label_scale": [*POSITIVE, None],
    "learning_rule.negatives": ["random", 1, None],
    "learning_rule.answer": ["softmax", 1, None],
    "learning_rule.inverse_loss": ["denoising", 1, None],
    "learning_rule.pretraining_epochs": [-1, 1.5, "3", True, None],
    "learning_rule.gamma": [*POSITIVE, None],
    "learning_rule.dt": [0.0, 1.5, NAN, "0", True, None],
    "learning_rule.steps": [*COUNT, None],
    "learning_rule.variant": ["chl", 1, None],
    "learning_rule.regression": [-0.1, 1.0, NAN, "0", True, None],
    "learning_rule.objective": ["joint", 1, None],
    "learning_rule.alpha": [*POSITIVE, None],
    "learning_rule.nudging": ["negative", 1, None],
    "learning_rule.nudged_steps": [*COUNT, None],
    "learning_rule.perturbed": ["both", 1, None],
    "learning_rule.directions": [*COUNT, None],
    "learning_rule.pairs": [*COUNT, None],
    "learning_rule.sigma": [*POSITIVE, None],
    "learning_rule.shaping": ["rank", 1, None],
    "learning_rule.weights": [*COUNT, None],
    "learning_rule.individuals": [*COUNT, None],
    "learning_rule.parents": [*COUNT, None],
    "learning_rule.elites": [-1, 1.5, "3", True, None],
    "learning_rule.children": [-1, 1.5, "3", True, None],
    **{
        f"learning_rule.{key}": [2e30, NAN, -INF, "1", True, None]
        for key in (
            "w1",
            "b1",
            "w2",
            "b2",
        )
    },
    "learning_rule.mode": [-1, 16, 1.5, NAN, "1111", True, None],
    "learning_rule.psi": ["cos", 1, None],
    "learning_rule.formula": ["", "g.T", "g / f(g)", 1, None],
    "schedule.gamma": [*POSITIVE, None],
    "schedule.every": [*COUNT, None],
    "schedule.decay": [-1e-9, NAN, INF, "0", True, None],
    "schedule.warmup": [*POSITIVE, None],
    "schedule.start": [-1e-9, NAN, INF, "0", True, None],
    "schedule.final": [-1e-9, NAN, INF, "0", True, None],
    "parallel.workers": [*COUNT, None],
    "parallel.period": [*COUNT, None],
    "parallel.moving_rate": [0.0, 1.5, NAN, "0", True, None],
    "parallel.momentum": [-0.1, 1.0, NAN, "0", True, None],
    "optimizer.lr": [*POSITIVE, None],
}
MACHINE = {
    "learning_rule": "contrastive_divergence", "model__activation": "sigmoid",
    "dataset__scaling": "unit",
}  # fmt: skip
RECIRCULATION = {
    "learning_rule": "recirculation", "dataset": "encoder", "task": "reconstruction"
}  # fmt: skip
HAS = {  # keys that not every option has, and an option that has them
    "learning_rule.scale": {"learning_rule": "fourier_features"},
    "trainer.curriculum_by": CURRICULUM,
    "learning_rule.gate": {"learning_rule": "ntk"},
    "learning_rule.feedback_rate": {"learning_rule": "weight_mirror"},
    "learning_rule.feedback_decay": {"learning_rule": "weight_mirror"},
    "learning_rule.expand": {"learning_rule": "product_feedback"},
    **{f"learning_rule.{key}": {"learning_rule": "local_search"} for key in (
        "indices", "decay", "decay_kind",
    )},
    **{f"learning_rule.{key}": {"learning_rule": "difference_target_propagation"} for key in (
        "stepsize", "noise", "feedback_steps", "pretraining_epochs", "inverse_loss",
    )},
    "learning_rule.feedback_scale": {"learning_rule": "pepita"},
    **{f"learning_rule.{key}": {"learning_rule": "local_representation_alignment"} for key in (
        "feedback", "beta",
    )},
    **{f"learning_rule.{key}": {"learning_rule": "synthetic_gradients"} for key in (
        "module_hidden", "conditioned", "targets", "update_probability",
    )},
    **{f"learning_rule.{key}": {"learning_rule": "forward_forward"} for key in (
        "threshold", "label_scale", "negatives", "answer",
    )},
    **{f"learning_rule.{key}": {"learning_rule": "contrastive_hebbian"} for key in (
        "gamma", "dt", "steps",
    )},
    "learning_rule.variant": {"learning_rule": "generec"},
    "learning_rule.regression": RECIRCULATION,
    **{f"learning_rule.{key}": MACHINE for key in ("objective", "alpha")},
    **{f"learning_rule.{key}": {"learning_rule": "equilibrium_propagation"} for key in (
        "beta", "nudging", "nudged_steps",
    )},
    **{f"learning_rule.{key}": {"learning_rule": "forward_gradient"} for key in (
        "perturbed", "directions",
    )},
    **{f"learning_rule.{key}": {"learning_rule": "evolution_strategy"} for key in (
        "pairs", "sigma", "shaping",
    )},
    "learning_rule.weights": {"learning_rule": "weight_search"},
    **{f"learning_rule.{key}": {"learning_rule": "pblf"} for key in (
        "w1", "b1", "w2", "b2", "mode", "psi",
    )},
    "learning_rule.formula": {"learning_rule": "formula"},
    **{f"learning_rule.{key}": {"learning_rule": "genetic_algorithm"} for key in (
        "individuals", "parents", "elites", "children",
    )},
    **{f"schedule.{key}": {"schedule": "step"} for key in ("gamma", "every")},
    **{f"cluster.{key}": {"cluster": "slurm"} for key in (
        "wait", "array_parallelism", "partition", "account", "qos", "constraint", "gpus_per_node",
        "cpus_per_task", "mem_gb", "timeout_min", "signal_delay_s", "max_num_timeout",
    )},
    "schedule.decay": {"schedule": "inverse_time"},
    **{f"schedule.{key}": {"schedule": "warmup_cosine"} for key in ("warmup", "start", "final")},
    **{f"parallel.{key}": {"parallel": "elastic_averaging"} for key in (
        "workers", "period", "moving_rate", "momentum",
    )},
    **{f"model.{key}": {"model": "wide_resnet", "model__hidden": []} for key in (
        "depth", "width",
    )},
    **{f"model.{key}": {"model": "convnet"} for key in (
        "channels", "kernel", "stride", "padding", "pool", "pool_stride",
    )},
}  # fmt: skip
CASES = [(key, value) for key, values in WRONG.items() for value in values]


def put(raw, key, value):
    *path, last = key.split(".")
    node = raw
    for part in path:
        node = node[part]
    node[last] = value
    return raw


@pytest.mark.parametrize(("key", "value"), CASES, ids=str)
def test_values_out_of_range_are_refused_by_name(make_raw, key, value):
    raw = make_raw(**HAS.get(key, {}))
    parse(raw)  # fine so far
    with pytest.raises(UserError, match=rf"^{key}(\.\d+)?(=| is missing)"):
        parse(put(raw, key, value))


@pytest.mark.parametrize("value", [0, -5, 1.5, "3"], ids=str)
def test_a_width_is_refused_by_name(make_raw, value):
    with pytest.raises(UserError, match=r"^model\.hidden\.1="):
        parse(make_raw(model__hidden=[4, value]))


def test_every_key_is_refused_something(make_raw):
    """A new key must be put into WRONG; the optimizers' own are in their contract test."""
    keys = set()
    rules = [{"learning_rule": rule} for rule in registry.names("learning_rule")]
    schedules = [{"schedule": schedule} for schedule in registry.names("schedule")]
    parallel = {"parallel": "elastic_averaging"}  # that has all keys of the others
    others = [{"cluster": "slurm"}, {"model": "convnet"}, {"model": "wide_resnet"}]
    for options in [*rules, *schedules, parallel, *others]:
        raw = make_raw(**options)
        for group, value in raw.items():
            keys |= {f"{group}.{key}" for key in value} if isinstance(value, dict) else {group}
    names = {f"{group}.name" for group in GROUPS} - {"init_of_B.name"}
    assert keys - names == WRONG.keys()


def test_one_gpu_of_several_can_be_chosen(make_config, monkeypatch):
    settings = {"trainer__device": "cuda:1", "trainer__precision": "fp32"}
    with pytest.raises(UserError, match=r"trainer\.device=cuda:1: no CUDA GPU is available"):
        resolve_device(make_config(**settings))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device(make_config(**settings)) == torch.device("cuda", 1)
    for anyone in ("auto", "cuda"):
        anywhere = make_config(**{**settings, "trainer__device": anyone})
        assert resolve_device(anywhere) == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=r"cuda:1: the last of the GPUs here is cuda:0\."):
        resolve_device(make_config(**settings))


def test_mps_is_taken_where_it_is_asked_for_and_there(make_config, make_raw, monkeypatch):
    settings = {"trainer__device": "mps", "trainer__precision": "auto", "model__hidden": [2**15]}
    config = make_config(**settings)
    assert config.precision == "fp32", "on whatever CPU"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"^trainer\.device=mps: this torch has no MPS"):
        resolve_device(config)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device(config) == torch.device("mps")
    for device in ("auto", "cpu"):
        assert resolve_device(make_config(trainer__device=device)) == torch.device("cpu")
    for precision in ("bf16", "tf32"):
        wrong = make_config(**settings | {"trainer__precision": precision})
        with pytest.raises(UserError, match=f"mps computes in fp32, not .*={precision}"):
            resolve_device(wrong)
    on_cpu = settings | {"trainer__device": "cpu", "trainer__precision": "fp32"}
    assert make_config(**on_cpu).identity() == config.identity()


def test_several_images_an_example_have_no_order(make_config):
    assert not make_config(k=1, trainer__shuffle=False).trainer.shuffle
    with pytest.raises(UserError, match=r"^trainer\.shuffle=false: examples of k=3 images"):
        make_config(k=3, trainer__shuffle=False)
    with pytest.raises(UserError, match=r"^trainer\.curriculum=hard_first: examples of k=3 images"):
        make_config(k=3, trainer__curriculum="hard_first")


def test_a_curriculum_needs_something_to_sort_by(make_config):
    hard = {"trainer__curriculum": "hard_first"}
    for changes, sentence in (
        ({"k": 1}, "=null: dataset=digits has nothing to sort its items by"),
        (
            {"dataset": "irrelevant_inputs", "trainer__curriculum_by": "variety"},
            "=variety: dataset=irrelevant_inputs has irrelevant and margin to sort",
        ),
    ):
        with pytest.raises(UserError, match=rf"^trainer\.curriculum_by{sentence}"):
            make_config(**hard, **changes)
    with pytest.raises(UserError, match="same_examples=true"):
        make_config(**CURRICULUM, trainer__same_examples=True)
    for epochs, same in ((None, False), (2, True)):
        settings = CURRICULUM | {"trainer__curriculum_epochs": epochs}
        courses = {make_config(**settings, trainer__epochs=n).course() for n in (3, 5)}
        assert (len(courses) == 1) == same, "whether the longer one begins as the shorter one"


@pytest.mark.parametrize("seed", [[0, 0], [3, 1, 3]], ids=str)
def test_a_seed_stands_there_once(make_raw, seed):
    with pytest.raises(UserError, match=r"^seed=.*twice"):
        parse(make_raw(seed=seed))


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_is_needed(make_raw, group):
    raw = make_raw()
    for value in (None, "some", 3):
        with pytest.raises(UserError, match=rf"^{group}="):
            parse(raw | {group: value})
    del raw[group]
    if group in ("schedule", "parallel"):  # folders from before there was one
        assert parse(raw) == parse(make_raw())
        return
    with pytest.raises(UserError, match=rf"^{group}="):
        parse(raw)


@pytest.mark.parametrize("group", GROUPS)
def test_unknown_settings_are_refused_by_name(make_raw, group):
    with pytest.raises(UserError, match=rf"^{group}\.bogus is not a setting"):
        parse(put(make_raw(), f"{group}.bogus", 1))


def test_unknown_keys_are_refused_by_name(make_raw):
    with pytest.raises(UserError, match=r"^overwirte is not a setting; did you mean overwrite\?$"):
        parse(make_raw() | {"overwirte": True})


@pytest.mark.parametrize("group", ["learning_rule", "optimizer", "dataset", "task", "model"])
@pytest.mark.parametrize("name", ["bogus", "base", None, 3, "os", "__init__"], ids=str)
def test_only_registered_names_are_built(make_raw, group, name):
    with pytest.raises(UserError, match=rf"^{group}\.name={name} is unknown"):
        parse(put(make_raw(), f"{group}.name", name))


def test_a_slip_is_answered_with_the_nearest_name(make_raw):
    with pytest.raises(UserError, match=r"did you mean rmsprop\?$"):
        parse(put(make_raw(), "optimizer.name", "rmsporp"))
    with pytest.raises(UserError, match=r"did you mean optimizer\.lr\?$"):
        parse(put(make_raw(), "optimizer.lrr", 1.0))


def test_a_configuration_cannot_be_changed(make_config):
    config = make_config()
    for part in (config, *(getattr(config, group) for group in GROUPS), config.general):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, dataclasses.fields(part)[0].name, None)


@pytest.mark.parametrize(
    "hidden, has_bf16, precision",
    [([512], True, "bf16"), ([512], False, "fp32"), ([5], True, "fp32")],
    ids=["bf16 arithmetic", "none", "too small to pay"],
)
def test_auto_takes_the_fastest_precision_of_the_device(
    make_config, monkeypatch, hidden, has_bf16, precision
):
    monkeypatch.setattr("fabench.population.precision.cpu_has_bf16", lambda: has_bf16)
    config = make_config(dataset="mnist", model__hidden=hidden, trainer__device="cpu")
    assert config.resolved()["trainer"]["precision"] == precision
    same = make_config(
        dataset="mnist", model__hidden=hidden, trainer__device="cpu", trainer__precision=precision
    )
    assert config.identity() == same.identity()
    other = make_config(dataset="mnist", model__hidden=hidden, trainer__precision="fp32")
    assert other.precision == "fp32"


def test_auto_takes_tf32_on_a_gpu(make_config):
    layers = make_config(dataset="mnist").layers()
    assert fastest(torch.device("cuda"), layers) == "tf32"
