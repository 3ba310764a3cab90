"""What a manifest records of fabench's own checkout."""

import subprocess

import pytest

from fabench.run import environment


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git repository that environment takes for fabench's own; yields a shell for it."""

    def git(*command):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        call = ["git", "-C", tmp_path, *identity, *command]
        return subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()

    module = tmp_path / "fabench" / "run" / "environment.py"
    module.parent.mkdir(parents=True)
    module.write_text("a = 1\n")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "table.csv").write_text("1\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.setattr(environment, "__file__", str(module))
    monkeypatch.setattr(environment, "_output", environment._output.__wrapped__)  # ask every time
    return tmp_path, git


def test_a_clean_checkout_has_its_commit(checkout):
    _, git = checkout
    assert environment.commit() == git("rev-parse", "HEAD")


def test_results_leave_a_checkout_clean_and_code_does_not(checkout):
    root, git = checkout
    (root / "outputs" / "table.csv").write_text("2\n")
    assert environment.commit() == git("rev-parse", "HEAD")
    (root / "fabench" / "run" / "environment.py").write_text("a = 2\n")
    assert environment.commit() == git("rev-parse", "HEAD") + "-dirty"


def test_no_checkout_has_no_commit(tmp_path, monkeypatch):
    module = tmp_path / "fabench" / "run" / "environment.py"
    monkeypatch.setattr(environment, "__file__", str(module))
    assert environment.commit() is None
