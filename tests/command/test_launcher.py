"""The launcher passes Hydra's own test suite for launchers."""

import pytest
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.test_utils.launcher_common_tests import LauncherTestSuite
from hydra.version import VersionBase
from packaging.version import Version


def test_hydra_finds_it():
    assert "PopulationLauncher" in [c.__name__ for c in Plugins.instance().discover(Launcher)]


@pytest.fixture
def no_version_base(monkeypatch):
    """Hydra's tests expect the behaviour of an application that names no version base."""
    monkeypatch.setattr(VersionBase.instance(), "version_base", Version("1.1"))


@pytest.mark.usefixtures("no_version_base")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("launcher_name, overrides", [("population", [])])
class TestPopulationLauncher(LauncherTestSuite):
    """Hydra's tests, for ours."""
