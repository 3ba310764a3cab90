"""The launcher passes Hydra's own test suite for launchers; Hydra composes no job twice."""

import logging
from pathlib import Path

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.test_utils.launcher_common_tests import LauncherTestSuite
from hydra.version import VersionBase
from packaging.version import Version
from tiny import TINY

from fabench.command import cli

CONF = Path(__file__).parents[2] / "conf"


def test_hydra_finds_it():
    assert "PopulationLauncher" in [c.__name__ for c in Plugins.instance().discover(Launcher)]


@pytest.fixture
def no_version_base(monkeypatch):
    """Hydra's tests expect the behaviour of an application that names no version base."""
    monkeypatch.setattr(VersionBase.instance(), "version_base", Version("1.1"))


@pytest.fixture
def own_logging():
    """Hydra's tests log to files in folders that are gone when the next test has a word to say."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("no_version_base", "own_logging")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("launcher_name, overrides", [("population", [])])
class TestPopulationLauncher(LauncherTestSuite):
    """Hydra's tests, for ours."""


@pytest.mark.parametrize(
    "overrides, times",
    [
        (["seed=0"], 1),
        (["-m", "seed=0,1", "k=1,2"], 1 + 4),  # once for the sweep
        (["-m", "seed=0,1", "hydra/launcher=basic"], 1 + 2 * 2),  # checked, then run
        (["experiment=fig_3_1", "seed=0"], 2 + 4),  # it may be a sweep
    ],
    ids=["run", "sweep", "another launcher", "experiment"],
)
def test_a_job_is_composed_once(workdir, monkeypatch, overrides, times):
    composed = []

    def compose(self, *args, whole=ConfigLoaderImpl._load_configuration_impl, **kwargs):
        composed.append(args)
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", compose)
    assert cli.main(["run", *TINY, *overrides, "dry_run=true"]) == 0
    assert len(composed) == times


def test_of_our_files_only_experiments_say_that_they_are_sweeps():
    mode = "hydra:\n  mode:"
    found = {file.parent.name for file in CONF.rglob("*.yaml") if mode in file.read_text()}
    assert found == {"experiment"}
