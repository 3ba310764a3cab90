"""The Makefile, in a folder of its own. Oracle: what make says it would do."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from fabench.command import cli
from fabench.command.search.base.method import PointScore
from fabench.run.statistics import summarize

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Makefile").read_text()
RUN = ".venv/bin/fabench run learning_rule=dfa k=3"
TEST = ".venv/bin/python -m pytest -q -n 2"
ON_REQUEST = (
    "table_alignment_family/", "table_precision/", "table_published_", "table_rbm_",
    "table_targets", "fig_encoders", "fig_gradient_free",
    "fig_feedback_four_layers", "equilibrium_propagation/", "fig_6_", "table_all_rules",
    "table_pblf_residual_", "table_bias_correction_thesis/",
)  # fmt: skip
"""What is tuned for tables that make figures leaves out."""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def make(tmp_path):
    """``make ARGS`` beside copies of Makefile and pyproject.toml: the lines of its output."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
        os.utime(tmp_path / name, (1000, 1000))
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}

    def call(*args):
        done = subprocess.run(
            ["make", *args], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return call


@pytest.fixture
def stamps(tmp_path):
    """Stamps of an installation that is newer than pyproject.toml."""
    (tmp_path / ".venv").mkdir()
    for name in ("installed", "installed-test"):
        (tmp_path / ".venv" / name).touch()


def test_help_lists_every_target_with_what_it_does(make):
    phony = re.findall(r"^\.PHONY:(.*)$", TEXT, re.MULTILINE)[0].split()
    lines = dict(line.split(maxsplit=1) for line in make("help"))
    assert set(lines) == set(phony)
    assert {"run", "test"} <= set(phony)


def test_make_alone_is_help(make):
    assert make() == make("help")


@pytest.mark.parametrize("target, command", [("run", RUN), ("test", TEST)])
def test_nothing_is_installed_twice(make, stamps, target, command):
    assert make("-n", target) == [command]


@pytest.mark.parametrize("target, command", [("run", RUN), ("test", TEST)])
def test_a_new_checkout_is_installed_first(make, target, command):
    *installation, last = make("-n", target, "PYTHON=python3.12")
    assert last == command
    assert any("python3.12 -m venv .venv" in line for line in installation)
    assert any("pip install" in line for line in installation)


def test_new_dependencies_are_installed(make, stamps, tmp_path):
    os.utime(tmp_path / "pyproject.toml", (2**32, 2**32))
    assert any("pip install" in line for line in make("-n", "run"))


def test_what_is_installed_for_tests_runs_too(make, tmp_path):
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")  # does nothing, and that well
    python.chmod(0o755)
    make(".venv/installed-test")
    assert make("-n", "run") == [RUN]
    assert make("-n", "test") == [TEST]


def test_figures_take_seeds(make, stamps):
    command = [".venv/bin/fabench", "figures", "all"]
    assert [line.split() for line in make("-n", "figures")] == [command]
    assert [line.split() for line in make("-n", "figures", "seed=ten")] == [[*command, "seed=ten"]]


def test_clean_keeps_results(make, tmp_path):
    for name in (".venv", "outputs", "fabench/__pycache__"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "outputs" / "result").touch()
    (tmp_path / "fabench" / "code.py").touch()
    make("clean")
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"Makefile", "pyproject.toml", "outputs/result", "fabench/code.py"}
    assert not (tmp_path / ".venv").exists()


def test_make_tuned_chooses_every_rate_of_the_figures(make, stamps, monkeypatch, workdir):
    """Each of its searches is a valid request, and together they write the files in conf/tuned."""
    found = []

    def note(subject, search, name, command, conf):
        subject.raw["trainer"]["evaluate_on"] = subject.tuning.split
        assert subject.config.seeds == [100, 101, 102, 103, 104]
        assert (search.name, search.points, subject.tuning.save) == ("grid", 7, True)
        found.append(name)
        return PointScore({"optimizer.lr": 1.0}, summarize([0.5]), 0)

    monkeypatch.setattr("fabench.command.tune.run_search", note)
    commands = make("-n", "tuned")
    assert len(commands) == 16
    for command in commands:
        program, *args = shlex.split(command)
        assert program == ".venv/bin/fabench"
        assert cli.main(args) == 0
    folder = ROOT / "conf/tuned"
    written = {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.yaml")}
    own = {name for name in written if not name.startswith(ON_REQUEST)}
    assert sorted(found) == sorted(own)
