"""Packages of a user's own options: which are found, and what a run that used one leaves.

Oracles: the runs of the built-in options that they copy, SHA-256 of files, marker files.
"""

import hashlib
import json
import pickle
import shlex
import shutil
import sys

import pandas as pd
import pytest
import yaml
from tiny import TINY

from fabench.command import cli, contract
from fabench.run import plugins
from fabench.run.store import RunFolder
from fabench.schema import UserError

RULE = """
from pathlib import Path
from pydantic.dataclasses import dataclass
from fabench.learning_rule.dfa import Dfa
from fabench.schema import STRICT

Path("imported").touch()

@dataclass(frozen=True, config=STRICT)
class MyRule(Dfa):
    factor: float = 1.0

    def teaching_signals(self, e, y, forward, part):
        deltas = super().teaching_signals(e, y, forward, part)
        return deltas | {0: self.factor * deltas[0]}
"""
OTHERS = {
    "optimizer": "from fabench.optimizer.sgd import Sgd\nclass MyStep(Sgd): pass\n",
    "dataset": "from fabench.dataset.digits import Digits\nclass MyData(Digits): pass\n",
    "task": "from fabench.task.classification import Classification\n"
    "class MyTask(Classification): pass\n",
    "model": "from fabench.model.mlp import Mlp\nclass MyNet(Mlp): pass\n",
}
OPTIONS = {"optimizer": "my_step", "dataset": "my_data", "task": "my_task", "model": "my_net"}
RUN = [*TINY, "seed=0", "learning_rule=my_rule"]


@pytest.fixture
def package(workdir, tmp_path, monkeypatch):
    """my_package in the working folder, with a rule and its YAML; forgotten afterwards."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    folder = tmp_path / "my_package"
    write(folder / "learning_rule/my_rule.py", RULE)
    write(folder / "conf/learning_rule/my_rule.yaml", "# Mine.\nname: my_rule\nfactor: 1.0\n")
    forget()
    yield folder
    forget()


def forget():
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        del sys.modules[name]


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def fabench(*args):
    assert cli.main(["run", *args]) == 0


def runs(folder):
    return sorted((folder / "outputs/runs").iterdir())


def identity(package, *args):
    """Of a run, which must be new; the package's modules are read anew."""
    forget()
    before = set(package.parent.glob("outputs/runs/*"))
    fabench("plugins=[my_package]", *RUN, *args)
    [run] = set(runs(package.parent)) - before
    return run.name.rpartition("-")[2]


def refused(capsys, *args):
    assert cli.main(["run", *args]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "Traceback" not in err
    return err


def test_a_rule_of_the_users_trains_like_the_one_that_it_copies(package, tmp_path):
    fabench("plugins=[my_package]", *RUN)
    fabench(*TINY, "seed=0", "learning_rule=dfa")
    (theirs, ours) = (pd.read_csv(run / "metrics.csv") for run in runs(tmp_path))
    times = ["seconds", "examples_per_second"]
    pd.testing.assert_frame_equal(theirs.drop(columns=times), ours.drop(columns=times))


def test_its_numbers_are_of_rows_and_its_sweep_is_one_population(package, tmp_path):
    fabench("-m", "plugins=[my_package]", *RUN, "learning_rule.factor=1,0.5")
    one, other = (json.loads((run / "manifest.json").read_text()) for run in runs(tmp_path))
    assert one["population"] == other["population"] == 2
    assert one["command"] == other["command"]


def test_a_worker_has_the_identity_though_it_names_no_plugin(package, tmp_path):
    fabench("plugins=[my_package]", *RUN)
    config = RunFolder.at(runs(tmp_path)[0]).config
    sent = pickle.dumps(config)
    plugins.USED.clear()
    assert pickle.loads(sent).name() == config.name() == runs(tmp_path)[0].name


def test_an_error_in_it_is_told_with_its_place(package, tmp_path, capsys):
    text = RULE + '        raise KeyError("mine")\n'
    text = text.replace("        return deltas", "        # return deltas")
    write(package / "learning_rule/my_rule.py", text)
    assert cli.main(["run", "plugins=[my_package]", *RUN]) == 1
    line, file = text.count("\n"), package / "learning_rule/my_rule.py"
    assert capsys.readouterr().err.endswith(f"KeyError: 'mine' ({file}, line {line}).\n")


def test_feedback_that_it_puts_has_to_be_named(package, tmp_path, capsys):
    putting = (
        RULE
        + """
    def adapt(self, part, forward, e, deltas):
        part.put("B0", 2 * part["B0"])
"""
    )
    write(package / "learning_rule/my_rule.py", putting)
    assert "puts B0, of which it says that it never changes" in refused(
        capsys, "plugins=[my_package]", *RUN
    )
    named = (
        putting
        + """
    def put_feedback(self, layers):
        return [0]
"""
    )
    write(package / "learning_rule/my_rule.py", named)
    forget()
    config = contract.composed("plugins=[my_package]", *RUN, "model.hidden=[5]")
    for check in contract.CHECKS:
        check(config)
    assert "B0" in contract.population(config).snapshot(slice(None))


@pytest.mark.slow
def test_populations_in_other_processes_have_the_plugin(package, tmp_path):
    fabench("-m", "plugins=[my_package]", *RUN, "k=1,2", "workers=2")
    fabench("-m", "plugins=[my_package]", *RUN, "k=4,5", "hydra/launcher=joblib")
    assert len(runs(tmp_path)) == 4


def test_every_other_group_takes_options_too(package, tmp_path):
    for group, text in OTHERS.items():
        write(package / group / f"{OPTIONS[group]}.py", text)
        inherited = {"task": "classification", "dataset": "digits", "model": "mlp"}
        base = yaml.safe_load((cli.conf_dir() / group / f"{inherited.get(group, 'sgd')}.yaml")
                              .read_text())  # fmt: skip
        own = base | {"name": OPTIONS[group]}
        write(package / "conf" / group / f"{OPTIONS[group]}.yaml", yaml.safe_dump(own))
    chosen = [f"{group}={option}" for group, option in OPTIONS.items()]
    fabench("plugins=[my_package]", *TINY, "seed=0", *chosen)
    [run] = runs(tmp_path)
    assert run.name.startswith("dfa_my_step_my_data_my_task")


# -- Identity --------------------------------------------------------------------------------


def test_its_source_is_in_the_identity_and_its_text_in_the_folder(package, tmp_path):
    first = identity(package)
    [run] = runs(tmp_path)
    assert (run / "plugins/my_package/learning_rule/my_rule.py").read_text() == RULE
    digest = hashlib.sha256(f"learning_rule/my_rule.py {len(RULE)}\n{RULE}".encode()).hexdigest()
    assert RunFolder.at(run).config.science()["plugins"] == {"my_package": digest}
    write(package / "tests/test_my_rule.py", "no part of it")
    write(package / "figure/recipe/my_figure.py", "nor this")
    forget()
    fabench("plugins=[my_package]", *RUN)
    assert runs(tmp_path) == [run]
    copy = shutil.copytree(run, tmp_path / "a_copy")
    assert RunFolder.at(copy).config.identity() == RunFolder.at(run).config.identity()
    write(package / "helper.py", "")
    assert identity(package) != first
    for folder in (run, copy):
        with pytest.raises(UserError, match="another version of my_package"):
            RunFolder.at(folder)


def test_show_tells_the_settings_of_a_run_of_it(package, tmp_path, capsys):
    fabench("plugins=[my_package]", *RUN)
    [run] = runs(tmp_path)
    capsys.readouterr()
    plugins.USED.clear()  # as in a command of its own
    assert cli.main(["show", str(run)]) == 0
    [line] = [row for row in capsys.readouterr().out.splitlines() if row.startswith("settings")]
    forget()
    assert cli.main(["run", *shlex.split(line)[1:], "dry_run=true"]) == 0
    assert "finished" in capsys.readouterr().out


def test_a_plugin_named_twice_is_used_once(package, tmp_path):
    fabench("plugins=[my_package,my_package]", *RUN)
    assert len(runs(tmp_path)) == 1


def test_a_plugin_that_nothing_comes_from_leaves_identities_alone(package, tmp_path):
    fabench(*TINY, "seed=0", "learning_rule=bp")
    fabench("plugins=[my_package]", *TINY, "seed=0", "learning_rule=bp")
    [run] = runs(tmp_path)
    assert not (run / "plugins").exists()
    assert not (tmp_path / "imported").exists()


# -- When it is used -------------------------------------------------------------------------


def test_config_dir_may_hold_its_yaml(package, tmp_path):
    shutil.move(package / "conf", tmp_path / "my_conf")
    fabench("--config-dir", "my_conf", "plugins=[my_package]", *RUN)
    assert len(runs(tmp_path)) == 1


def test_an_installed_one_is_used_when_its_name_is_chosen(package, tmp_path, monkeypatch):
    install(package, tmp_path, monkeypatch, "[fabench.learning_rule]\nmy_rule = my_package\n")
    fabench(*TINY, "seed=0", "learning_rule=bp")
    assert not (tmp_path / "imported").exists()
    fabench(*RUN)
    assert (tmp_path / "imported").exists()
    run = runs(tmp_path)[-1]
    assert RunFolder.at(run).config.plugins.keys() == {"my_package"}


def test_a_file_names_no_plugin(package, tmp_path, capsys):
    write(tmp_path / "own/experiment/mine.yaml", "# @package _global_\nplugins: [my_package]\n")
    write(tmp_path / "own/experiment/other.yaml", "# @package plugins\na: my_package\n")
    sweep = {"hydra": {"mode": "MULTIRUN", "sweeper": {"params": {"plugins": "[my_package]"}}}}
    text = "# @package _global_\n" + yaml.safe_dump(sweep)
    write(tmp_path / "own/experiment/sweep.yaml", text)
    for name, word in (("mine", "sets plugins"), ("other", "plugins"), ("sweep", "command line")):
        assert word in refused(capsys, "--config-dir", "own", f"experiment={name}", *TINY)
    assert not (tmp_path / "imported").exists() and not (tmp_path / "outputs").exists()


def test_a_run_folder_names_no_plugin(package, tmp_path):
    fabench("plugins=[my_package]", *RUN)
    (tmp_path / "imported").unlink()
    [run] = runs(tmp_path)
    fabench(*TINY, "seed=0", "learning_rule=bp")  # a command without it
    forget()
    with pytest.raises(UserError, match=r"plugins=\[my_package\] is code"):
        RunFolder.at(run)
    assert not (tmp_path / "imported").exists()


# -- Figures and lists -----------------------------------------------------------------------

RECIPE = """\"\"\"Accuracies.\"\"\"
EXPERIMENTS = ("my_table",)
def tabulate(frame):
    return frame[frame.epoch == frame.epoch.max()][["learning_rule", "seed", "test_accuracy"]]
"""
SWEEP = "# @package _global_\n# Two rules.\n" + yaml.safe_dump(
    {"hydra": {"mode": "MULTIRUN", "sweeper": {"params": {"learning_rule": "bp,my_rule"}}}}
)


def install(package, tmp_path, monkeypatch, entries):
    """Entry points, as pip writes them."""
    site = tmp_path / "site"
    site.mkdir()
    package.rename(site / "my_package")
    dist = site / "my_package-1.0.dist-info"
    write(dist / "METADATA", "Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
    write(dist / "entry_points.txt", entries)
    monkeypatch.syspath_prepend(str(site))


@pytest.fixture
def with_a_table(package):
    write(package / "figure/recipe/my_table.py", RECIPE)
    write(package / "conf/experiment/my_table.yaml", SWEEP)
    return package


def test_a_recipe_of_the_users_is_made_from_its_runs(with_a_table, tmp_path, capsys):
    given = ["my_table", "plugins=[my_package]", *TINY, "seed=[0,1]"]
    assert cli.main(["figures", *given]) == 0, capsys.readouterr()
    table = pd.read_csv(tmp_path / "outputs/tables/my_table.csv")
    found = {(row.learning_rule, row.seed): row.test_accuracy for row in table.itertuples()}
    assert found.keys() == {(rule, seed) for rule in ("bp", "my_rule") for seed in (0, 1)}
    for run in runs(tmp_path):
        last = pd.read_csv(run / "metrics.csv").query("epoch == epoch.max()")
        rule = "bp" if run.name.startswith("bp") else "my_rule"
        for row in last.itertuples():
            assert found[rule, row.seed] == pytest.approx(row.test_accuracy, rel=1e-5)
    assert cli.main(["report", *given, "-o", "page.html"]) == 0
    assert "<title>my_table</title>" in (tmp_path / "page.html").read_text()
    contract.a_recipe_is_made(*given, f"output_dir={tmp_path}/other")
    capsys.readouterr()
    assert cli.main(["figures", "--list", "plugins=[my_package]"]) == 0
    assert capsys.readouterr().out.endswith("Accuracies.\n")
    assert cli.main(["figures", "my_table"]) == 2  # without the package
    assert "There is no figure my_table" in capsys.readouterr().err


def test_an_installed_recipe_is_drawn_by_its_name(with_a_table, tmp_path, monkeypatch, capsys):
    entries = "[fabench.figure]\nmy_table = my_package\n"
    install(with_a_table, tmp_path, monkeypatch, entries)
    assert cli.main(["figures", "my_table", *TINY, "seed=0", "dry_run=true"]) == 0
    assert "2 runs to train" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nosuch_module", "my_package.figure.recipe.my_table cannot be imported"),
        ("def draw(frame): pass", "my_package.figure.recipe.my_table lacks EXPERIMENTS"),
        ("EXPERIMENTS = ()", "my_package.figure.recipe.my_table lacks EXPERIMENTS, or both"),
    ],
)
def test_a_recipe_that_cannot_be_made_is_named(with_a_table, capsys, text, words):
    write(with_a_table / "figure/recipe/my_table.py", text)
    assert cli.main(["figures", "my_table", "plugins=[my_package]"]) == 2
    assert words in capsys.readouterr().err


def test_a_list_has_options_of_plugins_named_or_installed(package, tmp_path, monkeypatch, capsys):
    def listed(*args):
        assert cli.main(["list", "learning_rule", *args]) == 0
        return capsys.readouterr().out.splitlines()

    assert "Mine." not in " ".join(listed())
    assert listed("plugins=[my_package]")[-1] == "  my_rule            Mine. [my_package]"
    install(package, tmp_path, monkeypatch, "[fabench.learning_rule]\nmy_rule = my_package\n")
    assert listed()[-1] == "  my_rule            Mine. [my_package]"
    assert not (tmp_path / "imported").exists()


# -- Refusals --------------------------------------------------------------------------------

WRONG = {
    "no list": ("plugins=my_package", "plugins=[my_package]"),
    "a sweep": ("plugins=[my_package],[]", "plugins=[my_package]"),
    "not there": ("plugins=[nosuch]", "no package nosuch"),
    "a path": ("plugins=[./my_package]", "no package ./my_package"),
    "no options": ("plugins=[yaml]", "yaml has none of the folders learning_rule"),
    "a module": ("plugins=[this]", "this has none of the folders"),
    "fabench": ("plugins=[fabench]", "fabench has learning_rule=bp"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_plugin_is_refused(package, capsys, name):
    override, words = WRONG[name]
    assert words in refused(capsys, override, *RUN)


def test_a_script_is_no_plugin(package, capsys, monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    assert "no package __main__" in refused(capsys, "plugins=[__main__]", *RUN)


MODULES = {
    "an error": ("import nosuch_module", "ModuleNotFoundError"),
    "no class": ("class My_rule: pass", "has no class MyRule"),
    "a function": ("def MyRule(): pass", "has no class MyRule"),
    "another class": ("class MyRule: pass", "fabench.learning_rule.base"),
    "no UTF-8": (b"# \xff", "not UTF-8"),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_that_cannot_be_used_is_named(package, capsys, name):
    text, words = MODULES[name]
    file = package / "learning_rule/my_rule.py"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert words in refused(capsys, "plugins=[my_package]", *RUN)


def test_an_option_has_one_package(package, tmp_path, capsys):
    write(package / "learning_rule/dfa.py", RULE)
    assert "fabench has learning_rule=dfa" in refused(capsys, "plugins=[my_package]", *RUN)
    (package / "learning_rule/dfa.py").unlink()
    shutil.copytree(package, tmp_path / "other_package")
    words = refused(capsys, "plugins=[my_package,other_package]", *RUN)
    assert "my_package has learning_rule=my_rule, too" in words
