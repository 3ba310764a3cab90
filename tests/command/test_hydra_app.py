"""``fabench run`` as a Hydra application: composition, numbers as options, queries, completion.

Oracles: the YAML files read with PyYAML, config.yaml of the run folders, a real bash.
"""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny import TINY

from fabench.command import cli
from fabench.command.cli import HELP, VERBS

CONF = Path(__file__).parents[2] / "conf"
TINY = ["learning_rule=bp", *TINY]


pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture
def fabench(capsys):
    """``fabench ARGS``, which must succeed: its stdout."""

    def call(*args):
        assert cli.main(args) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return call


@pytest.fixture
def composed(fabench):
    """What ``fabench run --cfg job OVERRIDES`` shows, read back."""
    return lambda *overrides: yaml.safe_load(fabench("run", "--cfg", "job", *overrides))


def trained(folder):
    """(k, seeds) of every run under ``folder``, as their config.yaml has it."""
    files = (folder / "outputs" / "runs").glob("*/config.yaml")
    configs = [yaml.safe_load(file.read_text()) for file in files]
    return sorted((config["k"], config["seed"]) for config in configs)


# -- Composition -----------------------------------------------------------------------------


def test_the_default_is_dfa_on_mnist_parity_with_three_digits_and_three_seeds(composed):
    config = composed()
    names = {group: value["name"] for group, value in config.items() if isinstance(value, dict)
             and "name" in value}  # fmt: skip
    assert names == {
        "learning_rule": "dfa",
        "optimizer": "sgd",
        "schedule": "constant",
        "parallel": "serial",
        "cluster": "none",
        "dataset": "mnist",
        "task": "parity",
        "model": "mlp",
        "init_of_B": "uniform",
    }
    assert (config["k"], config["seed"]) == (3, [0, 1, 2])
    assert config["model"]["hidden"] == [512]
    assert "hydra" not in config


GROUPS = (
    "learning_rule", "optimizer", "schedule", "parallel", "dataset", "init_of_B", "model", "task",
    "trainer",
)  # fmt: skip


OPTIONS = {group: sorted((CONF / group).glob("*.yaml")) for group in GROUPS}


def written(group, option):
    """What an option's YAML file says, over what it inherits."""
    own = yaml.safe_load((CONF / group / f"{option}.yaml").read_text())
    for base in own.pop("defaults", []):
        if isinstance(base, str):  # else it is another group's option
            own = written(group, base) | own
    return own


@pytest.mark.parametrize("row", range(max(map(len, OPTIONS.values()))))
def test_options_are_their_yaml_files(composed, row):
    """One option of every group at a time, until each has had its turn."""
    chosen = {group: files[row % len(files)] for group, files in OPTIONS.items()}
    shown = composed(*(f"{group}={file.stem}" for group, file in chosen.items()))
    for group, file in chosen.items():
        assert shown[group] == written(group, file.stem)


def test_smoke_is_two_short_epochs(composed):
    trainer = composed("debug=smoke")["trainer"]
    assert trainer["epochs"] == 2
    assert trainer["train_examples"] <= 2000 and trainer["test_examples"] <= 2000


# -- Numbers as options ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "override, key, value",
    [
        ("k=1", "k", 1),
        ("k=3", "k", 3),
        ("k=5", "k", 5),
        ("k=7", "k", 7),
        ("k='9'", "k", 9),
        ("seed=three", "seed", [0, 1, 2]),
        ("seed=0", "seed", [0]),
        ("seed=2", "seed", [2]),
        ("seed=[0,5]", "seed", [0, 5]),
        ("seed=[7]", "seed", [7]),
    ],
)
def test_numbers_are_options(composed, override, key, value):
    default = composed()
    changed = composed(override)
    assert changed.pop(key) == value
    del default[key]
    assert changed == default


def test_a_number_of_one_command_is_forgotten_by_the_next(composed):
    assert composed("k=7", "seed=[0,5]")["k"] == 7
    assert (composed()["k"], composed()["seed"]) == (3, [0, 1, 2])


def test_a_number_meets_other_choices(composed):
    config = composed("k=7", "optimizer=adam", "optimizer.lr=0.5", "seed=4")
    assert (config["k"], config["seed"]) == (7, [4])
    assert (config["optimizer"]["name"], config["optimizer"]["lr"]) == ("adam", 0.5)


@pytest.mark.parametrize(
    "overrides, runs",
    [
        (["k=7", "seed=4"], [(7, [4])]),
        (["seed=[0,5]"], [(3, [0, 5])]),
        (["-m", "k=1,3", "seed=0,1"], [(1, [0]), (1, [1]), (3, [0]), (3, [1])]),
        (["-m", "k=range(1,4)", "seed=0"], [(1, [0]), (2, [0]), (3, [0])]),
        (["-m", "k=choice(2,4)", "seed=[0,1],5"], [(2, [0, 1]), (2, [5]), (4, [0, 1]), (4, [5])]),
        (["-m", "k=1", "seed=shuffle(three,5)"], [(1, [0, 1, 2]), (1, [5])]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value[0], str) else "",
)
def test_numbers_train(fabench, tmp_path, overrides, runs):
    flags = [word for word in overrides if word == "-m"]
    fabench("run", *flags, *TINY, *(word for word in overrides if word != "-m"))
    assert trained(tmp_path) == runs


def test_no_experiment_outweighs_the_number_that_is_asked_for():
    """Hydra lets an experiment's own keys win over a chosen option: theirs are options, too. Where
    rates are chosen on validation data, tuning seeds are to win: no result chooses its own rate."""
    for file in sorted((CONF / "experiment").glob("*.yaml")):
        body = yaml.safe_load(file.read_text())
        chooses = body.get("trainer", {}).get("evaluate_on") == "validation"
        assert not {"seed", "k"} & body.keys() or (chooses and min(body["seed"]) >= 100), file.name


def test_a_sweep_of_every_numbered_file(fabench, tmp_path):
    fabench("run", "-m", *TINY, "k=glob(*)", "seed=0")
    assert trained(tmp_path) == [(int(f.stem), [0]) for f in sorted((CONF / "k").glob("*.yaml"))]


def test_a_run_writes_into_its_output_folder_only(fabench, tmp_path):
    fabench("run", *TINY, "seed=0", "output_dir=here")
    fabench("run", "-m", *TINY, "seed=0,1", "output_dir=here")
    assert {path.name for path in tmp_path.iterdir()} <= {"here", "cache"}


def test_flags_may_stand_anywhere(fabench, tmp_path):
    fabench("run", "k=1", "-m", "seed=0,1", *TINY)
    assert trained(tmp_path) == [(1, [0]), (1, [1])]


# -- Queries ---------------------------------------------------------------------------------


def test_help_lists_groups_and_options_and_trains_nothing(fabench, tmp_path):
    out = fabench("run", "--help")
    assert out.startswith("fabench")
    rules = sorted(file.stem for file in (CONF / "learning_rule").glob("*.yaml"))
    assert f"learning_rule: {', '.join(rules)}" in out
    assert "tuned" not in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "query", ["--cfg job", "--cfg all", "--info", "--info config", "--version"]
)
def test_a_query_trains_nothing(fabench, tmp_path, query):
    assert fabench("run", *TINY, *query.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("query", ["--cfg job", "--info", "--info config", "--version"])
def test_a_query_is_answered_once(monkeypatch, capsys, query):
    """Hydra logs what --info says; a program's own log goes to standard error."""
    root = logging.getLogger()
    own = [logging.StreamHandler()]
    monkeypatch.setattr(root, "handlers", own)
    assert cli.main(["run", *TINY, *query.split()]) == 0
    out, err = capsys.readouterr()
    assert out.count("hidden:") == (query != "--version")
    assert (err, root.handlers, root.level) == ("", own, logging.WARNING)


# -- Completion ------------------------------------------------------------------------------


@pytest.fixture
def complete(fabench, monkeypatch):
    """The words that the shell is offered for a command line."""

    def ask(line):
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_POINT", str(len(line)))
        return fabench("-sc", "query=bash").split()

    return ask


def test_verbs_complete(complete):
    assert complete("fabench ru") == ["run"]
    assert complete("fabench l") == ["ls", "list"]
    assert set(re.findall(r"^  ([a-z]+) ", HELP, re.MULTILINE)) <= set(complete("fabench "))
    assert complete("fabench ") == [*VERBS]
    assert complete("fabench z") == []


@pytest.mark.parametrize("group", ["learning_rule", "optimizer", "init_of_B", "dataset"])
def test_options_complete(complete, group):
    files = sorted((CONF / group).glob("*.yaml"))
    assert complete(f"fabench run {group}=") == [f"{group}={file.stem}" for file in files]


@pytest.mark.parametrize(
    "line, word",
    [
        ("fabench run learning_rule=df", "learning_rule=dfa"),
        ("fabench run optimizer.", "optimizer.lr="),
        ("fabench run learn", "learning_rule="),
        ("fabench run optimizer=adam learning_rule=df", "learning_rule=dfa"),
        ("fabench run k=7 seed=0 learning_rule=df", "learning_rule=dfa"),
        ("fabench run k=7 seed=0 optimizer.", "optimizer.lr="),
    ],
)
def test_part_of_a_word_completes(complete, line, word):
    assert word in complete(line)
    assert all(offer.startswith(line.split()[-1]) for offer in complete(line))


@pytest.mark.parametrize("line", ["fabench run learning_rule=nosuch k", "fabench run [ k"])
def test_a_mistake_in_the_line_gives_no_traceback(complete, capsys, line):
    assert set(complete(line)) <= {"k="}
    assert capsys.readouterr().err == ""


def test_install_registers_fabench_and_nothing_else(fabench):
    script = fabench("-sc", "install=bash")
    program = 'eval "$1"; complete -p fabench || exit 1; ! complete -p run'
    done = subprocess.run(["bash", "-c", program, "bash", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith(" fabench")


def test_bash_completes(fabench):
    script = fabench("-sc", "install=bash")
    program = """
        eval "$1"
        COMP_LINE="fabench run learning_rule=df" COMP_POINT=${#COMP_LINE}
        COMP_WORDS=($COMP_LINE) COMP_CWORD=2
        hydra_bash_completion
        echo "${COMPREPLY[@]}"
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", program, "bash", script],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "learning_rule=dfa\n", done.stderr
