"""``fabench new``: what it writes passes as it is, and no longer when its module is wrong."""

import importlib.util
import os
import sys

import pytest
from matplotlib.figure import Figure

from fabench.command import cli, contract
from fabench.command.new import TEMPLATES
from fabench.run import plugins

pytestmark = pytest.mark.usefixtures("workdir")

SAVEFIG = Figure.savefig

WRONG = {  # of a group's module: a mistake that the test must find
    "learning_rule": ("self.gain * delta", "-delta"),
    "optimizer": ("-h.lr", "h.lr"),
    "schedule": ("1 + self.decay", "1 - self.decay"),
    "parallel": ("x + (moved - x)", "x - (moved - x)"),
    "dataset": ("x[:, 0] + x[:, 1] > 0", "x[:, 0] - x[:, 1] > 0"),
    "task": (">= self.n_classes", "<= self.n_classes"),
    "model": ('activation="linear"', 'activation="relu"'),
    "figure": ('"test_accuracy"', '"epoch"'),
}


@pytest.fixture
def tested(tmp_path, monkeypatch):
    """Call every test of a package's option; the package is forgotten before and after."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(Figure, "savefig", SAVEFIG)  # workdir's draws no pixels

    def forget():
        for name in [name for name in sys.modules if name.partition(".")[0] == "things"]:
            del sys.modules[name]

    def call(name):
        forget()
        spec = importlib.util.spec_from_file_location(
            "t", tmp_path / f"things/tests/test_{name}.py"
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if hasattr(module, "config"):
            config = contract.composed(*module.OVERRIDES)
            for check in contract.CHECKS:
                module.test_contract(config, check)
        else:
            config = None
            module.test_contract(tmp_path)
        [own] = [f for key, f in vars(module).items() if key not in ("test_contract",)
                 and key.startswith("test_")]  # fmt: skip
        own(*[config] * own.__code__.co_argcount)

    yield call
    forget()
    plugins.USED.clear()


@pytest.mark.parametrize("group", TEMPLATES)
def test_what_it_writes_passes_and_finds_a_mistake(tested, tmp_path, capsys, group):
    assert cli.main(["new", group, "own_thing", "things"]) == 0
    out = capsys.readouterr().out
    use = "figures plugins=[things] " if group == "figure" else f"run plugins=[things] {group}="
    assert f"fabench {use}own_thing\n" in out
    written = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.*") if file.is_file()}
    assert written == set(out.splitlines()[:3])
    tested("own_thing")
    module = tmp_path / "things" / plugins.FOLDERS[group] / "own_thing.py"
    right, wrong = WRONG[group]
    assert right in module.read_text()
    module.write_text(module.read_text().replace(right, wrong))
    os.utime(module, (1, 1))  # or bytecode of the same second and size is taken for it
    with pytest.raises(AssertionError):
        tested("own_thing")


def test_a_package_that_is_the_working_folder_is_used_from_its_parent(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "things").mkdir()
    monkeypatch.chdir(tmp_path / "things")
    assert cli.main(["new", "optimizer", "own_thing", "."]) == 0
    assert f"Then, in {tmp_path}:" in capsys.readouterr().out


REFUSED = {
    "no name": (["learning_rule"], "takes a group, a name"),
    "too much": (["learning_rule", "a", "b", "c"], "takes a group, a name"),
    "no group": (
        ["rules", "my_rule"],
        "there are learning_rule, optimizer, schedule, parallel, dataset",
    ),
    "no module": (["learning_rule", "my-rule"], "my-rule is no name"),
    "a keyword": (["learning_rule", "lambda"], "lambda is no name"),
    "no package": (["learning_rule", "my_rule", "My Package"], "My Package is no name"),
    "fabench's": (["learning_rule", "dfa"], "fabench has learning_rule dfa"),
    "fabench's option": (["model", "lenet"], "fabench has model lenet"),
    "a number": (["model", "nan"], "nan means something else"),
    "fabench's figure": (["figure", "fig_3_1"], "fabench has experiment fig_3_1"),
    "fabench": (["learning_rule", "mine", "fabench"], "fabench is no name"),
    "null": (["learning_rule", "null"], "null means something else"),
    "true": (["learning_rule", "on"], "on means something else"),
    "a class None": (["learning_rule", "none"], "none means something else"),
    "all figures": (["figure", "all"], "all means something else"),
    "its own folder": (["learning_rule", "base"], "base means something else"),
    "an installed package": (
        ["learning_rule", "mine", "torch"],
        "There is a package torch already",
    ),
    "a built-in one": (["learning_rule", "mine", "sys"], "There is a package sys already"),
    "there": (["dataset", "there"], "there.py is there already"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(tmp_path, capsys, case):
    args, words = REFUSED[case]
    (tmp_path / "my_package/dataset").mkdir(parents=True)
    (tmp_path / "my_package/dataset/there.py").touch()
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["new", *args]) == 2
    assert words in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
