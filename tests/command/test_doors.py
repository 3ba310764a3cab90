"""Configuration is data: what files and overrides may not do, each with a marker that it would set.

Oracles: the marker file, the working folder's listing, the words of the sentence.
"""

import os
import pickle
import time
from pathlib import Path

import pytest
import yaml

from fabench.command import cli, doors
from fabench.schema import UserError

CONF = Path(__file__).parents[2] / "conf"
DRY = ["dataset=digits", "seed=0", "dry_run=true"]

pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture
def refused(capsys, tmp_path):
    """``fabench run ARGS``, which must be refused and leave nothing: its one sentence."""

    def call(*args):
        before = sorted(tmp_path.rglob("*"))
        code = cli.main(["run", *args])
        err = capsys.readouterr().err
        assert code == 2, err
        assert err.startswith("fabench: ") and err.count("\n") == 1 and "Traceback" not in err
        assert sorted(tmp_path.rglob("*")) == before
        return err

    return call


@pytest.fixture
def own(tmp_path):
    """Write a file of the user's, own/PATH; ``--config-dir own`` finds it."""

    def write(path, text):
        file = tmp_path / "own" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
        return ["--config-dir", "own"]

    return write


# -- Files -----------------------------------------------------------------------------------

WRITE = {"_target_": "pathlib.Path.touch", "_args_": [{"_target_": "pathlib.Path"}]}
FILES = {  # in experiment/mine.yaml, with words of the sentence
    "callback": ({"hydra": {"callbacks": {"x": WRITE}}}, ["_target_"]),
    "callback without code": ({"hydra": {"callbacks": {"x": {"a": 1}}}}, ["hydra.callbacks"]),
    "environment": ({"hydra": {"job": {"env_set": {"PATH": "/x"}}}}, ["hydra.job.env_set.PATH"]),
    "run folder": ({"hydra": {"run": {"dir": "x"}}}, ["hydra.run.dir"]),
    "sweep folder": ({"hydra": {"sweep": {"dir": "x"}}}, ["hydra.sweep.dir"]),
    "output folder": ({"hydra": {"output_subdir": "x"}}, ["hydra.output_subdir"]),
    "working folder": ({"hydra": {"job": {"chdir": True}}}, ["hydra.job.chdir"]),
    "search path": ({"hydra": {"searchpath": ["x"]}}, ["hydra.searchpath"]),
    "launcher's settings": ({"hydra": {"launcher": {"n_jobs": 2}}}, ["hydra.launcher.n_jobs"]),
    "sweeper's settings": ({"hydra": {"sweeper": {"max_batch_size": 2}}}, ["max_batch_size"]),
    "logging": ({"defaults": ["/hydra/job_logging/default"]}, ["hydra/job_logging"]),
    "sweeper": ({"defaults": [{"override /hydra/sweeper": "mine"}]}, ["hydra/sweeper"]),
    "other group": ({"defaults": ["/other/mine"]}, ["other"]),
    "package": ("# @package hydra.callbacks.x\na: 1\n", ["hydra.callbacks.x"]),
    "package of a default": ({"defaults": [{"/seed@hydra.callbacks.x": "ten"}]}, ["callbacks"]),
    "a sweep over Hydra": (
        {"hydra": {"mode": "MULTIRUN", "sweeper": {"params": {"hydra.run.dir": "x,y"}}}},
        ["hydra.run.dir"],
    ),
    "a rate that is not there": ({"defaults": [{"override /tuned": "nosuch"}]}, ["tuned=nosuch"]),
    "k for good": ({"k": 5}, ["k, which is a group", '- override /k: "5"']),
    "a path": ({"defaults": [{"override /optimizer": "../optimizer/sgd"}]}, ["../optimizer/sgd"]),
    "code anywhere": ({"trainer": {"epochs": WRITE}}, ["_target_"]),
    "interpolations of interpolations": (
        {"model": {f"a{n}": f"${{model.a{n - 1}}}" * 3 for n in range(1, 20)} | {"a0": "x" * 99}},
        ["interpolations"],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_users_does_no_more_than_set(refused, own, name):
    content, words = FILES[name]
    own("other/mine.yaml", "a: 1\n")
    own("hydra/sweeper/mine.yaml", "max_batch_size: 2\n")
    if isinstance(content, dict):
        content = "# @package _global_\n" + yaml.safe_dump(content)
    err = refused(*own("experiment/mine.yaml", content), "experiment=mine", *DRY)
    for word in words:
        assert word in err


@pytest.mark.parametrize("name", ["learning_rule/dfa", "experiment/fig_3_1"])
def test_an_option_of_the_users_has_a_name_of_its_own(refused, own, name):
    group, _, option = name.partition("/")
    err = refused(*own(f"{name}.yaml", "name: bp\n"), f"{group}={option}", *DRY)
    assert f"{name}.yaml: fabench has a {name} of its own; rename yours." in err


def test_an_experiment_of_the_users_sweeps_over_options_of_the_users(own, capsys):
    content = {
        "defaults": [{"override /model": "mine"}],
        "optimizer": {"lr": 0.5},
        "hydra": {"mode": "MULTIRUN", "sweeper": {"params": {"k": "1,3"}}},
    }
    flags = own("experiment/mine.yaml", "# @package _global_\n" + yaml.safe_dump(content))
    own("model/mine.yaml", {"defaults": ["mlp"], "hidden": [3]})
    assert cli.main(["run", *flags, "experiment=mine", *DRY]) == 0, capsys.readouterr().err
    assert "2 of 2 jobs would train" in capsys.readouterr().out


@pytest.mark.parametrize("launcher", [None, "joblib", "population"])
def test_an_experiment_of_the_users_chooses_a_launcher_by_name(own, capsys, launcher):
    """Fabench's own where none is chosen; joblib's jobs run in processes that train apart."""
    content = {"hydra": {"mode": "MULTIRUN", "sweeper": {"params": {"k": "1,3"}}}}
    if launcher:
        content["defaults"] = [{"override /hydra/launcher": launcher}]
    flags = own("experiment/mine.yaml", "# @package _global_\n" + yaml.safe_dump(content))
    assert cli.main(["run", *flags, "experiment=mine", *DRY, "--cfg", "hydra"]) == 0
    target = yaml.safe_load(capsys.readouterr().out)["hydra"]["launcher"]["_target_"]
    assert ("joblib" in target) == (launcher == "joblib")
    assert ("PopulationLauncher" in target) == (launcher != "joblib")


@pytest.mark.parametrize(
    "name", ["../mine", "/mine", "./mine", "mine.yaml", "x/../mine", "x//mine"]
)
def test_an_option_has_one_name(refused, own, name):
    own("experiment/x/mine.yaml", "{}")
    assert name in refused(*own("experiment/mine.yaml", "{}"), f"experiment={name}", *DRY)


BOMB = "a0: &a0 [x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
LARGE = {
    "aliases": BOMB,
    "merged aliases": BOMB.replace("a11: &a11 [", "m:\n  <<: {b: 1}\na11: &a11 ["),
    "an alias of itself": "a: &a [*a]\n",
    "depth": "a: " + "[" * 5000 + "]" * 5000 + "\n",
    "length": "a: [" + "1, " * 20_000 + "1]\n",
    "bytes": "a: " + "x" * 2**21 + "\n",
}


@pytest.mark.parametrize("name", LARGE)
def test_a_file_larger_than_any_configuration_is_refused_at_once(refused, own, name):
    begin = time.monotonic()
    assert "mine.yaml" in refused(*own("optimizer/mine.yaml", LARGE[name]), "optimizer=mine", *DRY)
    assert time.monotonic() - begin < 5


def test_aliases_count_as_what_they_stand_for(tmp_path, monkeypatch):
    file = tmp_path / "mine.yaml"
    file.write_text("a: &a [1, 2]\nb: [*a, *a]\nc: &c {d: *a}\ne: *c\n")
    nodes = 1 + 4 + 3 + 1 + 2 * 3 + 1 + 1 + 3 + 1 + 1 + 1 + 3  # the mapping, keys and values
    monkeypatch.setattr(doors, "MOST_NODES", nodes)
    doors.check_file(file)
    monkeypatch.setattr(doors, "MOST_NODES", nodes - 8)
    with pytest.raises(UserError):
        doors.check_file(file)


def test_fabenchs_own_files_pass():
    for file in CONF.rglob("*.yaml"):
        doors.check_file(file)


# -- The command line ------------------------------------------------------------------------

HYDRA = [
    "hydra.run.dir=x",
    "hydra.sweep.dir=x",
    "hydra.output_subdir=x",
    "hydra.job.chdir=true",
    "+hydra.job.env_set.PATH=/x",
    "++hydra.callbacks.x._target_=os.getcwd",
    "+hydra.callbacks.x=1",
    "hydra.callbacks={}",
    "hydra.searchpath=[/x]",
    "hydra/job_logging=default",
    "hydra/callbacks=x",
    "hydra/sweeper=basic",
    "hydra.launcher._target_=os.getcwd",
    "hydra.launcher={}",
    "+hydra/launcher@hydra.callbacks.x=basic",
    "+seed@hydra.callbacks.x=ten",
    "hydra={}",
    "~hydra.run",
]


@pytest.mark.parametrize("flags", [[], ["-m"]], ids=["run", "sweep"])
@pytest.mark.parametrize("override", HYDRA)
def test_an_override_sets_nothing_of_hydra_that_runs_or_writes(refused, override, flags):
    assert "hydra" in refused(*flags, *DRY, override)


@pytest.mark.parametrize(
    "override", ["+x._target_=os.getcwd", "trainer.epochs={_target_:os.getcwd}"]
)
def test_an_override_names_no_code(refused, override):
    assert "_target_ names code" in refused(*DRY, override)


def test_a_name_may_hold_the_word(capsys):
    assert cli.main(["run", *DRY, "learning_rule=difference_target_propagation"]) == 0


class Marker:
    """A pickle that writes a file when it is read."""

    def __reduce__(self):
        return os.mkdir, ("marker",)


@pytest.mark.parametrize("flag", ["--experimental-rerun", "--exp"])
def test_no_pickle_is_read(refused, tmp_path, flag):
    (tmp_path / "rerun.pickle").write_bytes(pickle.dumps(Marker()))
    assert "--experimental-rerun" in refused(flag, "rerun.pickle")
    assert "--experimental-rerun" in refused(f"{flag}=rerun.pickle")


@pytest.mark.parametrize("flag", ["--config-path=own", "-cp own", "--config-name=mine", "-cn mine"])
def test_the_configuration_starts_from_fabenchs(refused, own, flag):
    own("mine.yaml", {"defaults": ["config", "_self_"], "hydra": {"run": {"dir": "x"}}})
    assert "--config-dir" in refused(*flag.split(), *own("config.yaml", "{}"), *DRY)


@pytest.mark.parametrize("query", ["--hydra-help", "--info defaults", "--cfg hydra", "--help"])
def test_hydras_answers_are_there(capsys, query):
    assert cli.main(["run", *query.split()]) == 0
    assert capsys.readouterr().out
