"""``fabench bench``: its tables on a tiny problem, its refusals."""

import json

import pandas as pd
import pytest

from fabench.command import cli
from fabench.command.bench.contenders import available

TINY = [
    "dataset=digits",
    "model.hidden=[4]",
    "trainer.batch_size=16",
    "trainer.device=cpu",
    "bench.seconds=0.001",
    "bench.repetitions=1",
    "bench.models=[]",
    "bench.products=[]",
    "bench.loops=[]",
]
COLUMNS = [
    "contender", "learning_rule", "k", "population", "precision", "device",
    "seconds_per_epoch_per_network", "examples_per_second", "peak_bytes", "bound_seconds",
    "fraction_of_bound",
]  # fmt: skip


def test_one_row_per_contender_and_case(workdir, tmp_path, capsys):
    wanted = ["bench.populations=[1,2]", "bench.k=[1]", "bench.scaling=false"]
    contenders = "bench.contenders=[fabench,autograd,vmap]"
    assert cli.main(["bench", *TINY, *wanted, contenders, "bench.precisions=[fp32,bf16]"]) == 0
    table = pd.read_csv(tmp_path / "outputs/tables/bench.csv")
    assert list(table.columns) == COLUMNS
    cases = table.groupby(["learning_rule", "k", "population"])
    assert set(cases.groups) == {(rule, 1, n) for rule in ("bp", "dfa") for n in (1, 2)}
    for _, rows in cases:
        assert list(zip(rows.contender, rows.precision, strict=True)) == [
            ("fabench", "fp32"), ("fabench", "bf16"), ("autograd", "fp32"), ("vmap", "fp32"),
        ]  # fmt: skip
    seconds = table.seconds_per_epoch_per_network
    assert (table.examples_per_second * seconds).round().eq(1437 // 16 * 16).all()
    assert table.fraction_of_bound.to_numpy() == pytest.approx(table.bound_seconds / seconds)
    about = json.loads((tmp_path / "outputs/tables/bench.json").read_text())
    assert about["command"].startswith("fabench bench dataset=digits")
    assert about["environment"]["cpu"]
    out = capsys.readouterr().out
    assert "dfa, k=1, 2 networks, cpu" in out and "times fabench" in out


def test_scaling_and_start_up(workdir, tmp_path):
    wanted = ["bench.rules=[]", "bench.contenders=[fabench]", "bench.precisions=[fp32]"]
    assert cli.main(["bench", *TINY, *wanted]) == 0
    table = pd.read_csv(tmp_path / "outputs/tables/bench_scaling.csv")
    found = table.groupby("what", sort=False).value.apply(list).to_dict()
    *stages, finished = found.pop("start-up")
    assert stages == ["import", "configuration", "data and weights", "first step", "import torch"]
    torch_alone, seconds = table[table.what == "start-up"].seconds.iloc[-2:]
    assert finished == f"a finished run, {seconds / torch_alone:.2f} times import torch"
    assert found == {
        "part of an epoch": ["train", "gather", "evaluate"],
        "optimizer": ["sgd", "momentum", "rmsprop", "adam", "adadelta"],
        "networks": ["3", "6", "12", "24"],
        "k": ["1", "2", "3", "5"],
        "hidden units": ["128", "256", "512", "1024"],
    }
    assert (table.seconds > 0).all()


def test_jax_is_skipped_with_a_line_where_it_is_missing(monkeypatch, capsys):
    import builtins

    original = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "jax":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert list(available(["jax", "vmap"])) == ["vmap"]
    assert "jax is not installed: skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong, key",
    [
        ("bench.rules=[ntk]", "bench.rules"),
        ("bench.k=[0]", "bench.k"),
        ("bench.seconds=0", "bench.seconds"),
        ("bench.rule=[bp]", "bench.rule"),
        ("model.hidden=[4,4]", "one hidden layer"),
        ("model.bias=true", "without biases"),
        ("dataset.crop=2", "dataset.crop=0 only"),
        ("dataset.flip=true", "dataset.flip=false only"),
        ("model.activation=tanh", "model.activation=relu only"),
        ("model.batch_norm=true", "model.batch_norm=false only"),
        ("model.hidden_dropout=0.5", "model.hidden_dropout=0.0 only"),
        ("trainer.weight_decay=0.1", "trainer.weight_decay=0.0 only"),
        ("trainer.clip_norm=1", "trainer.clip_norm=null only"),
        ("schedule=cosine", "schedule.name=constant only"),
        ("parallel=hogwild", "parallel.name=serial only"),
        ("trainer.batch_size=2000", "trainer.batch_size=2000: fabench bench counts whole batches"),
        ("learning_rule=fa", "bench.rules="),
        ("k=5", "bench.k="),
        ("trainer.precision=bf16", "bench.precisions="),
        ("trainer.train_examples=64", "whole epochs"),
        ("dry_run=true", "no plans"),
        ("optimizer=adam", "plain SGD"),
        ("task=classification", "task=parity only"),
    ],
)
def test_wrong_requests(workdir, capsys, wrong, key):
    assert cli.main(["bench", *TINY, "bench.contenders=[fabench]", wrong]) == 2
    assert key in capsys.readouterr().err


def test_networks_of_torchs_have_what_fabenchs_have(workdir, capsys):
    nothing = ["bench.rules=[]", "bench.scaling=false", "bench.products=[]", "bench.loops=[]"]
    for own, words in (
        (["bench.models=[mlp_2x800_dropout]"], "model.input_dropout=0.0 only"),
        (["bench.models=[lenet]", "trainer.weight_decay=0.1"], "trainer.weight_decay=0.0 only"),
    ):
        assert cli.main(["bench", *nothing, *own]) == 2
        assert words in capsys.readouterr().err
