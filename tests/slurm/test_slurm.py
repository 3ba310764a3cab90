"""A real Slurm: jobs are cancelled, killed, preempted and queued again, and no epoch is lost.

Oracle: the run of the same command in this process that nothing stops. ``tests/slurm/start``
starts a Slurm of one node, whose partitions and waiting times these tests use.
"""

import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from fabench.command import cli
from fabench.run.store import TIMES, RunFolder

ROOT = Path(__file__).parents[2]
ANSWERS = shutil.which("sinfo") and subprocess.run("sinfo", capture_output=True).returncode == 0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("workdir"),
    pytest.mark.skipif(not ANSWERS, reason="no Slurm answers here (sinfo)"),
]

RUN = [  # long enough not to end before another job takes its place
    "dataset=digits", "trainer.device=cpu", "trainer.batch_size=16", "trainer.train_examples=40",
    "trainer.test_examples=24", "model.hidden=[5]", "trainer.epochs=4000",
    "trainer.metrics_every=100", "seed=0", "k=1",
]  # fmt: skip
SLURM = ["cluster=slurm", "cluster.cpus_per_task=1"]


def call(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert cli.main(["run", *RUN, f"output_dir={folder}"]) == 0
    [path] = (folder / "runs").iterdir()
    return metrics(path)


def metrics(path):
    return RunFolder.at(path).metrics().drop(columns=TIMES)


@pytest.fixture(autouse=True)
def queue(monkeypatch):
    """Nothing of ours is in it, before and after; what is queued again begins at once, not after
    two minutes, but not in the second in which it ended: slurmd would take it for what it ended."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("fabench.run.cluster.EVERY", {"slurm": 1.0})
    done = threading.Event()

    def hurry():
        before = set()
        while not done.wait(1):
            lines = call("squeue", "-h", "-o", "%i %r").splitlines()
            waiting = {line.split()[0] for line in lines if line.endswith("BeginTime")}
            for job in waiting & before:
                subprocess.run(["scontrol", "update", f"jobid={job}", "starttime=now"])
            before = waiting

    thread = threading.Thread(target=hurry)
    thread.start()
    yield
    done.set()
    thread.join()
    call("scancel", "--user", getpass.getuser(), "--name", "fabench")


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def queued(job):
    return any(line.split("_")[0] == job for line in call("squeue", "-h", "-o", "%i").split())


@pytest.fixture
def training():
    """Its only run, which a job trains, and the job's number."""
    there = ["cluster.wait=false", "cluster.partition=grace"]
    assert cli.main(["run", *RUN, *SLURM, *there]) == 0
    [path] = Path("outputs/runs").iterdir()
    until(lambda: (path / "metrics.csv").exists() and (path / "checkpoint.pt").exists())
    return path, json.loads((path / "job.json").read_text())["id"]


def sessions(path):
    return len(json.loads((path / "manifest.json").read_text())["sessions"])


def cancel(path, job):
    call("scancel", job)
    until(lambda: not queued(job))


def kill(path, job):
    [lease] = path.glob(".lease-*")
    os.kill(json.loads(lease.read_text())["pid"], signal.SIGKILL)
    until(lambda: not queued(job))


def time_out(path, job):
    call("scancel", "--signal=USR2", job)
    until(lambda: "PENDING" in call("squeue", "-h", "-o", "%T") or sessions(path) > 1)


def fill(seconds):
    """The whole node, for so long."""
    task = ["-c", str(os.cpu_count()), "--output=/dev/null", f"--wrap=sleep {seconds}"]
    call("sbatch", "--partition=urgent", *task)


def preempt(path, job):
    fill(2)
    until(lambda: "PENDING" in call("squeue", "-h", "-j", job, "-o", "%T") or sessions(path) > 1)


@pytest.mark.parametrize(
    "blow, new_job", [(cancel, True), (kill, True), (time_out, False), (preempt, False)]
)
def test_the_same_command_ends_with_the_same_run(training, whole, capsys, blow, new_job):
    path, job = training
    blow(path, job)
    assert RunFolder.at(path).status in ("running", "interrupted")
    capsys.readouterr()
    assert cli.main(["run", *RUN, *SLURM]) == 0
    assert (f"Job {job} has ended" in capsys.readouterr().out) == new_job
    assert (json.loads((path / "job.json").read_text())["id"] != job) == new_job
    assert sessions(path) == 2
    assert RunFolder.at(path).status == "finished"
    pd.testing.assert_frame_equal(metrics(path), whole, check_exact=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="slurmd is root's")
def test_a_node_whose_daemon_is_killed_comes_back(training, whole):
    path, job = training
    os.kill(int(Path("/run/slurmd.pid").read_text()), signal.SIGKILL)
    time.sleep(1)
    call("slurmd")
    assert cli.main(["run", *RUN, *SLURM]) == 0
    assert json.loads((path / "job.json").read_text())["id"] == job
    pd.testing.assert_frame_equal(metrics(path), whole, check_exact=True)


def test_a_job_waits_for_a_place_and_a_refusal_says_why(whole, capsys):
    assert cli.main(["run", *RUN, *SLURM, "cluster.partition=nowhere"]) == 1
    assert "slurm takes no job (sbatch: error: invalid partition" in capsys.readouterr().err
    fill(15)
    assert cli.main(["run", *RUN, *SLURM, "cluster.wait=false"]) == 0
    assert cli.main(["run", *RUN, *SLURM, "cluster.wait=false"]) == 0
    assert capsys.readouterr().out.count("│ pending │") == 2
    assert cli.main(["run", *RUN, *SLURM]) == 0
    [path] = Path("outputs/runs").iterdir()
    pd.testing.assert_frame_equal(metrics(path), whole, check_exact=True)


def test_of_two_commands_at_once_one_submits(whole):
    command = [sys.executable, "-m", "fabench", "run", *RUN, *SLURM]
    begun = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[1] for process in begun]
    for process, error in zip(begun, said, strict=True):
        assert process.returncode == 0 or "Another process" in error
    assert 0 in [process.returncode for process in begun]
    [path] = Path("outputs/runs").iterdir()
    assert sessions(path) == 1 and len(list(Path("outputs/jobs").glob("*_submitted.pkl"))) == 1
    pd.testing.assert_frame_equal(metrics(path), whole, check_exact=True)
