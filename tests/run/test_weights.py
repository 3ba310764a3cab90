"""Networks out of run folders. Oracle: the population that the trainer restores, on the test set;
files are read back by their own libraries."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import fabench
from fabench.population.examples import Examples
from fabench.population.population import Row
from fabench.run import weights
from fabench.run.execute import execute
from fabench.run.parsing import parse
from fabench.run.store import RunFolder
from fabench.run.trainer import data_of, population_of, trained
from fabench.schema import UserError

CPU = torch.device("cpu")
ONE = {"task": "classification", "k": 1}


@pytest.fixture
def run(make_config, workdir):
    """The folder of a run of two seeds after one short epoch."""

    def train(**settings):
        settings = {"seed": [3, 1], "trainer__epochs": 1, "output_dir": "out"} | settings
        config = make_config(**settings)
        [outcome] = execute([config], "test")
        assert outcome.error is None
        return RunFolder(config)

    return train


def answers(folder):
    """Of both seeds: examples of the test set, items as stored, and what the population says."""
    config, people = folder.config, trained(folder)
    examples = Examples(data_of(config), config.task, config.seeds, CPU, people.operand)
    epoch = examples.epoch("test", 1, config.trainer.test_examples)
    [(x, _)] = examples.batches(epoch, 10_000)
    outputs = people.outputs(x)
    for row, seed in enumerate(config.seeds):
        table = epoch.table[examples.stream_of_row[row]]
        yield seed, epoch.pool.values[table], outputs[row]


MODELS = {
    "mlp": {"model__hidden": [6, 5], "model__bias": True, "learning_rule": "fa"},
    "normalised": {"model__batch_norm": True, "model__hidden_dropout": 0.3, "learning_rule": "bp"},
    "convnet": {"model": "convnet", **ONE},
    "lenet": {"model": "lenet", **ONE},
    "residual_mlp": {"model": "residual_mlp"},
    "wide_resnet": {"model": "wide_resnet", "model__depth": 10, "model__width": 1,
                    "model__hidden": [], **ONE},
}  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_every_model_answers_as_in_its_run(run, model):
    folder = run(**MODELS[model])
    for seed, x, expected in answers(folder):
        network = fabench.load(folder.path, seed)
        torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(network(x[:2]), expected[:2], rtol=0, atol=1e-6)
    assert not torch.allclose(fabench.load(folder.path)(x), expected, atol=1e-3)  # the first seed's


SMALL = {"model__activation": "sigmoid", **ONE}
RULES = {
    "ntk": {}, "relu_features": {}, "dkp": {}, "pepita": ONE, "forward_forward": ONE,
    "generec": SMALL, "equilibrium_propagation": SMALL | {"learning_rule__nudging": "random"},
    "predictive_coding": ONE, "contrastive_divergence": SMALL | {"dataset__scaling": "unit"},
    "local_search": {}, "difference_target_propagation": {},
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_every_kind_of_rule_answers_as_in_its_run(run, rule):
    folder = run(learning_rule=rule, **RULES[rule])
    for seed, x, expected in answers(folder):
        found = weights.load(folder.path, seed)(x)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"dataset": "xor", "task": "parity"},
        {"dataset": "two_gaussians", "dataset__n_train": 40, "dataset__n_test": 24, **ONE},
        {"k": 2, "dataset__downsample": 2, "dataset__scaling": "unit"},
    ],
    ids=str,
)
def test_inputs_are_the_datasets_own(run, settings):
    folder = run(**settings)
    for seed, x, expected in answers(folder):
        torch.testing.assert_close(weights.load(folder.path, seed)(x), expected, rtol=0, atol=1e-6)


def test_it_is_a_module_that_torch_trains(run):
    """Its gradient at the output's weights, by hand; what does not learn is no parameter."""
    folder = run(learning_rule="dfa", trainer__frozen_layers=[1])
    network = weights.load(folder.path, 1)
    assert {name for name, _ in network.named_parameters()} == {"W1"}
    assert {name for name, _ in network.named_buffers()} >= {"W0", "B0"}
    _, x, _ = next(answers(folder))
    network(x).sum().backward()
    h = ((x.flatten(1) - network.input_mean) / network.input_std @ network.W0[0]).relu()
    torch.testing.assert_close(network.W1.grad[0], h.sum(0)[:, None])


# -- Files -----------------------------------------------------------------------------------


def test_safetensors_hold_all_weights(run, tmp_path):
    folder = run(learning_rule="ntk", model__batch_norm=False, model__bias=True)
    weights.export(folder.path, 1, tmp_path / "x.safetensors")
    found, people = load_file(tmp_path / "x.safetensors"), trained(folder)
    assert found.keys() == people.tensors.keys() | {"input_mean", "input_std"}
    assert found.keys() >= {"W0", "W1", "b0", "G0"}
    for name, tensor in people.tensors.items():
        assert torch.equal(found[name], tensor[1:])


@pytest.mark.parametrize("model", ["normalised", "lenet"])
def test_a_program_answers_alike_for_every_batch(run, tmp_path, model):
    folder = run(**MODELS[model])
    weights.export(folder.path, 1, tmp_path / "x.pt2")
    program = torch.export.load(tmp_path / "x.pt2").module()
    *_, (_, x, expected) = answers(folder)
    for n in (len(x), 5):
        found = program(x[:n].flatten(1).float())
        torch.testing.assert_close(found, expected[:n], rtol=0, atol=1e-6)


# -- Refusals --------------------------------------------------------------------------------


def test_refusals(run, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no run's folder"):
        weights.load(tmp_path)
    folder = run()
    with pytest.raises(UserError, match=r"seed=7 is not in this run; it has \[3, 1\]"):
        weights.load(folder.path, 7)
    with pytest.raises(UserError, match="ends in .safetensors"):
        weights.export(folder.path, 1, tmp_path / "x.onnx")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(UserError, match=r"pip install 'fabench\[safetensors\]'"):
        weights.export(folder.path, 1, tmp_path / "x.safetensors")
    folder.remove_checkpoint()
    with pytest.raises(UserError, match="checkpoint.pt is missing"):
        weights.load(folder.path)
    for damage in (b"", b"a: [", b"\xa3", b"- 1"):
        (folder.path / "config.yaml").write_bytes(damage)
        with pytest.raises(UserError, match="config.yaml holds no run's settings"):
            weights.load(folder.path)


# -- To begin with ---------------------------------------------------------------------------

LIKE = {"learning_rule": "ntk", "model__bias": True, "trainer__epochs": 2}


@pytest.fixture
def written(run):
    """A file of the weights that seed 1 of a run ended with, and these."""
    folder = run(**LIKE)
    weights.export(folder.path, 1, Path("w.safetensors"))
    return {name: tensor[1] for name, tensor in trained(folder).tensors.items()}


@pytest.mark.parametrize("frozen", [[], [1]])
def test_every_network_begins_with_a_files_weights(run, make_config, written, frozen):
    """Also what does not learn, gates and frozen layers, whose operands are cast once."""
    config = make_config(**LIKE, model__weights="w.safetensors", trainer__frozen_layers=frozen)
    rows = [Row(seed, config.scalars()) for seed in (7, 8)]
    people = population_of(config, rows, CPU)
    assert written.keys() == people.tensors.keys() == {"W0", "W1", "b0", "b1", "G0"}
    for name, tensor in people.tensors.items():
        for row in tensor:
            assert torch.equal(row, written[name])
    for name in ("W0", "G0"):
        assert torch.equal(people.part(slice(0, 1)).operand(name)[0], written[name])


@pytest.mark.parametrize("variant", ["generec", "midpoint"])
def test_generecs_way_back_begins_as_a_files_weights(run, make_config, variant):
    settings = SMALL | {"learning_rule": "generec", "learning_rule__variant": variant}
    weights.export(run(**settings).path, 1, Path("w.safetensors"))
    config = make_config(**settings, model__weights="w.safetensors")
    people = population_of(config, [Row(7, config.scalars())], CPU)
    W, V = people.matrices("W"), people.matrices("V")
    assert V and all(torch.equal(v, w.mT) for w, v in zip(W[1:], V, strict=True))


def test_every_individual_begins_with_a_files_weights(run, make_config):
    """The first generation's elites are what the file says."""
    settings = {"learning_rule": "genetic_algorithm", "learning_rule__individuals": 8, **ONE}
    settings |= {"learning_rule__parents": 3, "learning_rule__elites": 2}
    settings["learning_rule__children"] = 3
    weights.export(run(learning_rule="bp", **ONE).path, 1, Path("w.safetensors"))
    config = make_config(**settings, model__weights="w.safetensors")
    people = population_of(config, [Row(7, config.scalars())], CPU)
    W = people.tensors["W0"].clone()
    people.step(torch.rand(1, 5, 64), config.task.targets(torch.arange(5).view(1, 5, 1)))
    assert torch.equal(people.tensors["W0"], W)
    individuals = people.tensors["individuals_W0"].unflatten(1, (8, -1))[0]
    same = [torch.equal(w, W[0]) for w in individuals]
    assert same == [True] * 5 + [False] * 3  # elites and children of alike; mutants


def test_such_a_run_starts_where_the_other_ended_and_draws_its_own_feedback(run):
    settings = {"learning_rule": "fa", "trainer__test_examples": None, **ONE}
    first = run(trainer__epochs=2, seed=[1], **settings)
    weights.export(first.path, 1, Path("w.safetensors"))
    second = run(model__weights="w.safetensors", seed=[5], **settings)
    before, after = first.metrics().iloc[-1], second.metrics().iloc[0]
    assert after.test_loss == pytest.approx(before.test_loss, rel=1e-6)
    assert after.test_loss != pytest.approx(first.metrics().iloc[0].test_loss, rel=1e-4)
    own, drawn = trained(second).tensors["B0"], trained(run(seed=[5], **settings)).tensors["B0"]
    assert torch.equal(own, drawn)


def test_identity_follows_the_weights(make_config, written, tmp_path):
    def identity(**changes):
        return make_config(**LIKE, **changes).identity()

    first = identity(model__weights="w.safetensors")
    (tmp_path / "w.safetensors").rename(tmp_path / "other.safetensors")
    assert identity(model__weights="other.safetensors") == first != identity()
    config = make_config(**LIKE, model__weights="other.safetensors")
    found = load_file("other.safetensors")
    save_file(found | {"W0": found["W0"] + 1}, "other.safetensors")
    assert identity(model__weights="other.safetensors") != first
    with pytest.raises(UserError, match="holds other weights"):
        config.weights()
    (tmp_path / "other.safetensors").unlink()
    assert parse(config.resolved()).identity() == first  # what has finished can be shown


NO_WEIGHTS = {
    "no file": (None, "No such file"),
    "another file": (b"x" * 100, "no .safetensors file"),
    "a matrix is missing": ({"W0": torch.ones(1, 192, 5)}, "no W1 for this network"),
    "another shape": ({"W0": torch.ones(192, 5)}, r"W0 is \[192, 5\], not \[1, 192, 5\]"),
    "no numbers": ({"W0": torch.full((1, 192, 5), torch.nan)}, "W0 has values that are no numbers"),
    "whole numbers": ({"W0": torch.ones(1, 192, 5, dtype=torch.int64)}, "W0 is"),
}


@pytest.mark.parametrize("case", NO_WEIGHTS)
def test_what_are_no_weights_is_refused(make_config, workdir, case):
    content, words = NO_WEIGHTS[case]
    if isinstance(content, bytes):
        Path("w.safetensors").write_bytes(content)
    elif content is not None:
        save_file(content, "w.safetensors")
    with pytest.raises(UserError, match=words):
        make_config(learning_rule="bp", model__weights="w.safetensors")
