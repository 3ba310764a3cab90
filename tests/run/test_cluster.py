"""Jobs of a scheduler: each run once, whatever becomes of jobs, commands and the scheduler.

Oracles: a scheduler whose jobs the test begins, ends and loses by hand, ``execute`` in this
process, squeue's output by hand; test_slurm.py has a real Slurm.
"""

import os
import signal
import stat
from pathlib import Path

import pandas as pd
import pytest
import torch

from fabench.command import cli
from fabench.command.figures import _hardware
from fabench.figure.data import dataframe
from fabench.run import cluster
from fabench.run.cluster import Job, carry_out
from fabench.run.config import resolve_device
from fabench.run.environment import cpu_name
from fabench.run.execute import execute
from fabench.run.interruption import Interrupted, Submitted
from fabench.run.lease import machine, process_start, take
from fabench.run.scheduler import Local, Slurm, preempted
from fabench.run.settings import Cluster
from fabench.run.store import TIMES, RunFolder
from fabench.schema import RunFailed, UserError

pytestmark = pytest.mark.usefixtures("workdir")

WAIT = {"cluster": "local", "output_dir": "outputs"}
LEAVE = {**WAIT, "cluster__wait": False}


class ByHand:
    """Jobs 1, 2, ... in the order of their submission; ``states`` has what the test has put there,
    after ``during``, what happens meanwhile."""

    threads = None

    def __init__(self):
        self.jobs, self.alive, self.places = {}, {}, 100
        self.begins = False
        self.refuses = ""

    def __call__(self, cluster, folder):
        return self

    def room(self, n_jobs):
        return self.places - n_jobs

    def submit(self, jobs):
        if self.refuses:
            raise RunFailed(self.refuses)
        notes = []
        for job in jobs:
            number = str(len(self.jobs) + 1)
            self.jobs[number], self.alive[number] = job, "pending"
            notes.append({"cluster": "by hand", "id": number, "log": f"{number}.out"})
        return notes

    def states(self, notes):
        if self.begins:  # those of the question before
            for number in list(self.alive):
                if self.alive[number] == "running":
                    self.run(number)
                else:
                    self.alive[number] = "running"
        ids = {note.get("id") for note in notes}
        return {number: state for number, state in self.alive.items() if number in ids}

    def run(self, number):
        """The job, from its beginning to its end, in this process."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SUBMITIT_EXECUTOR", "local")
            patch.setenv("SUBMITIT_LOCAL_JOB_ID", number)
            try:
                self.jobs[number]()
            finally:
                del self.alive[number]


@pytest.fixture
def jobs(monkeypatch):
    by_hand = ByHand()
    monkeypatch.setattr(cluster, "SCHEDULERS", {"local": by_hand})
    monkeypatch.setattr(cluster, "EVERY", {"local": 0.0})
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    return by_hand


def runs_of(by_hand):
    """The runs of every job, by their learning rates."""
    return [[c.optimizer.lr for c in job.configs] for job in by_hand.jobs.values()]


def same(folder, other):
    ours, theirs = (f.metrics().drop(columns=TIMES) for f in (folder, other))
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


# -- Waiting ---------------------------------------------------------------------------------


def test_a_job_trains_what_the_command_would_train(make_config, jobs, capsys):
    jobs.begins = True
    settings = {"seed": [0], "k": 1}
    [there] = carry_out([make_config(**WAIT, **settings)], "a test")
    [here] = execute([make_config(**settings, output_dir="here")], "a test")
    assert there.trained and there.finished and there.error is None
    assert _hardware(dataframe([there.config]), there.config) == cpu_name()
    same(there.folder, here.folder)
    assert there.folder.job() == {"cluster": "by hand", "id": "1", "log": "1.out"}
    assert (there.folder.path / "config.yaml").read_text() == (
        here.folder.path / "config.yaml"
    ).read_text().replace("output_dir: here", "output_dir: outputs")
    words = [line for line in capsys.readouterr().out.splitlines() if line.startswith("jobs:")]
    assert [words[0], words[-1]] == [
        "jobs: 1 pending; 0 of 1 runs finished", "jobs: none; 1 of 1 runs finished",
    ]  # fmt: skip
    [again] = carry_out([make_config(**WAIT, **settings)], "a test")
    assert again.finished and not again.trained and len(jobs.jobs) == 1
    assert capsys.readouterr().out == ""


def test_a_sweep_and_a_search_wait_for_jobs(jobs, capsys):
    jobs.begins = True
    small = ["dataset=digits", "debug=smoke", "trainer.epochs=1", "model.hidden=[3]", "k=1"]
    assert cli.main(["run", "-m", *small, "seed=0", "cluster=local", "optimizer.lr=0.1,0.2"]) == 0
    assert "finished" in capsys.readouterr().out and runs_of(jobs) == [[0.1, 0.2]]
    search = ["search.points=2", "search.refinements=0", "tune.save=false", "tune.span=2"]
    cli.main(["tune", *small, *search, "seed=[0,1]", "cluster=local"])
    assert len(jobs.jobs) > 1 and not any(job.keep_weights for job in list(jobs.jobs.values())[1:])
    assert "Chosen on validation data" in capsys.readouterr().out


def test_a_lost_job_is_an_error_and_the_same_command_submits_it_again(make_config, jobs, capsys):
    config = make_config(**WAIT, seed=[0])
    states, jobs.states = jobs.states, lambda notes: {}
    [outcome] = carry_out([config], "a test")
    assert "Job 1 has ended before it was finished" in str(outcome.error)
    assert "1.out" in str(outcome.error) and outcome.error.exit_code == 1
    jobs.states, jobs.begins = states, True
    del jobs.alive["1"]
    [outcome] = carry_out([config], "a test")
    assert outcome.trained and list(jobs.jobs) == ["1", "2"]
    assert "Job 1 has ended" in capsys.readouterr().out


def test_what_stands_in_a_jobs_way_is_the_commands_error(make_config, jobs, monkeypatch):
    jobs.begins = True

    def check_memory(config):
        raise UserError("too large")

    monkeypatch.setattr("fabench.run.execute.check_memory", check_memory)
    [outcome] = carry_out([make_config(**WAIT, seed=[0])], "a test")
    assert isinstance(outcome.error, UserError) and str(outcome.error) == "too large"
    assert outcome.folder.status == "new"


def test_a_run_that_diverges_has_failed(make_config, jobs):
    jobs.begins = True
    config = make_config(**WAIT, seed=[0], optimizer__lr=1e30)
    [outcome] = carry_out([config], "a test")
    assert outcome.trained and "diverged" in str(outcome.error)


def test_a_silent_scheduler_is_asked_again(make_config, jobs, monkeypatch):
    states, silent = jobs.states, iter([False, False, False, True, True])
    jobs.begins = True

    def silent_for_a_while(notes):
        if next(silent, False):
            raise RunFailed("Slurm does not answer.")
        return states(notes)

    jobs.states = silent_for_a_while
    [outcome] = carry_out([make_config(**WAIT, seed=[0])], "a test")
    assert outcome.trained and len(jobs.jobs) == 1
    silent = iter([True])
    with pytest.raises(RunFailed, match="does not answer"):
        carry_out([make_config(**WAIT, seed=[1])], "a test")


def test_a_signal_ends_the_waiting_and_no_job(make_config, jobs):
    def states(notes):
        if jobs.jobs:
            signal.raise_signal(signal.SIGTERM)
        return dict(jobs.alive)

    jobs.states = states
    with pytest.raises(Interrupted, match="Stopped waiting") as stop:
        carry_out([make_config(**WAIT, seed=[0])], "a test")
    assert stop.value.exit_code == 143 and jobs.alive == {"1": "pending"}


# -- Not waiting -----------------------------------------------------------------------------


def test_a_command_that_does_not_wait_shows_and_submits_what_is_missing(make_config, jobs, capsys):
    configs = [make_config(**LEAVE, seed=[0], k=k) for k in (1, 2, 3)]
    with pytest.raises(Submitted, match="0 of 3 runs are finished") as stop:
        carry_out(configs, "a test")
    assert stop.value.exit_code == 0 and list(jobs.jobs) == ["1", "2", "3"]
    jobs.run("1")
    jobs.alive["2"] = "running"
    del jobs.alive["3"]  # scancel
    capsys.readouterr()
    with pytest.raises(Submitted, match="1 of 3 runs are finished"):
        carry_out(configs, "a test")
    shown = capsys.readouterr().out
    names = [config.name() for config in configs]
    rows = {row.split()[1]: row.split()[3::2] for row in shown.splitlines() if "│" in row}
    assert [rows[name] for name in names] == [["finished", "1"], ["running", "2"], ["pending", "4"]]
    assert f"{names[2]}: Job 3 has ended" in shown and "submitted again" in shown
    for number in ("2", "4"):
        jobs.run(number)
    assert all(outcome.finished for outcome in carry_out(configs, "a test"))
    assert len(jobs.jobs) == 4


def test_the_command_says_so_and_succeeds(jobs, capsys):
    args = ["run", "dataset=digits", "debug=smoke", "cluster=local", "cluster.wait=false"]
    assert cli.main(args) == 0
    said = capsys.readouterr()
    assert "pending" in said.out and said.err.startswith("0 of 1 runs are finished")
    jobs.run("1")
    assert cli.main(args) == 0
    assert "Run folder" in capsys.readouterr().out


@pytest.mark.slow
def test_a_figures_runs_are_jobs(jobs, capsys):
    small = ["dataset=digits", "trainer.epochs=1", "model.hidden=[3]", "seed=[0,1]", "k=1"]
    small += ["trainer.train_examples=16", "trainer.test_examples=16", "trainer.batch_size=16"]
    args = ["figures", "fig_slides_fa", *small, "cluster=local", "cluster.wait=false"]
    assert cli.main(args) == 0
    said = capsys.readouterr()
    assert "on this machine" not in said.out and "0 of" in said.err
    config = next(iter(jobs.jobs.values())).configs[0]
    assert config.learning_rule.name == "bp" and config.seeds == [0, 1]


def test_speed_is_that_of_this_machine(capsys):
    assert cli.main(["bench", "cluster=local"]) == 2
    assert "cluster=none" in capsys.readouterr().err


def test_jobs_without_a_place_wait_for_the_command(make_config, jobs, capsys):
    jobs.places = 1
    configs = [make_config(**LEAVE, seed=[0], k=k) for k in (1, 2)]
    with pytest.raises(Submitted):
        carry_out(configs, "a test")
    assert len(jobs.jobs) == 1 and "not submitted: too many" in capsys.readouterr().out
    jobs.begins = True
    outcomes = carry_out([make_config(**WAIT, seed=[0], k=k) for k in (1, 2)], "a test")
    assert all(outcome.finished for outcome in outcomes) and len(jobs.jobs) == 2


def test_jobs_that_are_refused_are_the_runs_errors(make_config, jobs):
    jobs.refuses = "slurm takes no job (invalid partition): the same command tries again."
    [outcome] = carry_out([make_config(**LEAVE, seed=[0])], "a test")
    assert "invalid partition" in str(outcome.error) and not outcome.folder.path.exists()


# -- Once ------------------------------------------------------------------------------------


def test_a_run_that_another_process_trains_is_not_submitted(make_config, jobs):
    config = make_config(**LEAVE, seed=[0])
    folder = RunFolder(config)
    with folder.locked():
        [outcome] = carry_out([config], "a test")
        assert "Another process" in str(outcome.error) and not jobs.jobs


def test_of_two_jobs_of_a_run_one_trains(make_config, jobs):
    config = make_config(**WAIT, seed=[0])
    job = Job([cluster._at_node(config)], "a test", True, None)
    folder = RunFolder(config)
    folder.path.mkdir(parents=True)
    folder.note_job(cluster="by hand", id="8", log="8.out")
    jobs.jobs, jobs.alive = {"8": job, "9": job}, {"8": "running", "9": "running"}
    lease = take(folder.path)
    jobs.run("8")
    assert "Another process" in folder.job()["error"] and folder.status == "new"
    lease.give_back()
    jobs.run("9")
    assert folder.status == "finished"


def test_starting_over_is_done_once_and_not_by_a_job_that_is_queued_again(make_config, jobs):
    settings = {"seed": [0], "overwrite": True}
    execute([make_config(**settings, output_dir="outputs")], "a test")
    with pytest.raises(Submitted):
        carry_out([make_config(**LEAVE, **settings)], "a test")
    [job] = jobs.jobs.values()
    assert not job.configs[0].general.overwrite and job.configs[0].general.cluster == Cluster()
    folder = RunFolder(job.configs[0])
    assert folder.status == "new"
    with pytest.raises(Submitted):
        carry_out([make_config(**LEAVE, **settings)], "a test")
    assert len(jobs.jobs) == 1
    jobs.run("1")
    assert folder.status == "finished"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_what_cannot_be_done_here_does_not_start_over(make_config, jobs):
    settings = {"seed": [0], "learning_rule": "bp"}
    [before] = execute([make_config(**settings, output_dir="outputs")], "a test")
    over = {"trainer__device": "cuda", "trainer__precision": "fp32", "overwrite": True}
    [outcome] = carry_out([make_config(**WAIT, **settings, **over)], "a test")
    assert "no CUDA GPU" in str(outcome.error) and outcome.folder.path == before.folder.path
    assert before.folder.status == "finished"


@pytest.mark.parametrize("by_slurm, sent", [(False, signal.SIGTERM), (True, signal.SIGUSR2)])
def test_a_job_that_is_stopped_hands_the_signal_on(make_config, monkeypatch, by_slurm, sent):
    """What handles it is submitit's: SIGUSR2 queues the job again."""
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "local")
    monkeypatch.setenv("SUBMITIT_LOCAL_JOB_ID", "1")
    monkeypatch.setattr(cluster, "preempted", lambda: by_slurm)
    monkeypatch.setattr(cluster, "PATIENCE", 0.0)
    config = make_config(seed=[0], output_dir="outputs")
    job = Job([config], "a test", True, None)
    folder, heard, epoch = RunFolder(config), [], []

    def first_epoch(self, metrics):
        if not epoch:
            signal.raise_signal(signal.SIGTERM)
        epoch.append(metrics)

    monkeypatch.setattr("fabench.run.progress.LineReporter.epoch", first_epoch)
    before = {s: signal.signal(s, lambda s, _: heard.append(s)) for s in (sent, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as stop:
            job()
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    assert (stop.value.code, heard, folder.status) == (143, [sent], "interrupted")
    assert job.checkpoint().result() is None  # the same job once more
    assert folder.status == "finished"
    [alone] = execute([make_config(seed=[0], output_dir="alone")], "a test")
    same(folder, alone.folder)


# -- What a job holds ------------------------------------------------------------------------


def test_populations_are_cut_to_keep_jobs_busy(make_config, jobs):
    rates = (0.1, 0.2, 0.3, 0.4, 0.5)

    def submitted(**changes):
        jobs.__init__()
        configs = [make_config(**LEAVE, seed=[0, 1], optimizer__lr=lr, **changes) for lr in rates]
        with pytest.raises(Submitted):
            carry_out(configs, "a test")
        return runs_of(jobs)

    assert submitted(cluster__array_parallelism=None, k=1) == [list(rates)]
    assert submitted(cluster__array_parallelism=2, k=2) == [[0.1, 0.2], [0.3, 0.4], [0.5]]
    assert submitted(cluster__array_parallelism=100, k=3) == [[lr] for lr in rates]


def test_a_run_and_what_goes_on_from_it_are_one_job(make_config, jobs):
    settings = {"seed": [0], "cluster__array_parallelism": 9}
    configs = [
        make_config(**LEAVE, **settings, optimizer__lr=lr, trainer__epochs=epochs)
        for epochs in (1, 2) for lr in (0.1, 0.2)
    ]  # fmt: skip
    with pytest.raises(Submitted):
        carry_out(configs, "a test")
    epochs = [[c.trainer.epochs for c in job.configs] for job in jobs.jobs.values()]
    assert runs_of(jobs) == [[0.1, 0.1], [0.2, 0.2]] and epochs == [[1, 2], [1, 2]]


# -- Schedulers ------------------------------------------------------------------------------


def program(folder, name, text):
    """A program of the shell's, first on the path."""
    file = folder / "bin" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Slurm's programs, which note how they were called."""
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    for name in ("srun", "scontrol", "squeue"):
        program(tmp_path, name, "exit 1")
    program(tmp_path, "sbatch", 'cp "$1" sent.sh; echo Submitted batch job 17')
    return tmp_path


def test_slurm_is_asked_for_what_is_wanted(slurm):
    wanted = Cluster(
        "slurm", partition="gpu,long", account="me", gpus_per_node=1, cpus_per_task=8, mem_gb=2.5,
        timeout_min=90, signal_delay_s=60, array_parallelism=4,
    )  # fmt: skip
    notes = Slurm(wanted, slurm / "jobs").submit([print, print])
    assert [note["id"] for note in notes] == ["17_0", "17_1"]
    assert notes[0]["log"] == str(slurm / "jobs" / "17_0_0_log.out")
    sent = set(Path("sent.sh").read_text().splitlines())
    assert sent > {
        "#SBATCH --partition=gpu,long", "#SBATCH --account=me", "#SBATCH --gpus-per-node=1",
        "#SBATCH --cpus-per-task=8", "#SBATCH --mem=2560MB", "#SBATCH --time=90",
        "#SBATCH --signal=USR2@60", "#SBATCH --array=0-1%2", "#SBATCH --job-name=fabench",
    }  # fmt: skip
    assert not any("qos" in line or "constraint" in line for line in sent)


def test_slurm_says_what_jobs_do(slurm):
    slurm_ = Slurm(Cluster("slurm"), slurm / "jobs")
    notes = [{"cluster": "slurm", "id": key} for key in ("17_0", "17_1", "5")]
    notes += [{"cluster": "local", "id": "9"}, {}]
    program(slurm, "squeue", "printf '17_0 RUNNING\\n17_1 PENDING\\n9 RUNNING\\n170_0 RUNNING\\n'")
    assert slurm_.states(notes) == {"17_0": "running", "17_1": "pending"}
    program(slurm, "squeue", "echo Unable to contact slurm controller >&2; exit 1")
    with pytest.raises(RunFailed, match="does not answer .*Unable to contact"):
        slurm_.states(notes)


def test_slurm_takes_no_job(slurm):
    program(slurm, "sbatch", "echo sbatch: error: invalid partition >&2; exit 1")
    with pytest.raises(RunFailed, match=r"slurm takes no job \(sbatch: error: invalid partition\)"):
        Slurm(Cluster("slurm"), slurm / "jobs").submit([print])


@pytest.mark.parametrize(
    "said, wanted",
    [
        ("JobState=RUNNING PreemptTime=2026-01-01T00:00:00", True),
        ("JobState=RUNNING PreemptTime=None", False),
        ("JobState=RUNNING", False),
        ("JobState=COMPLETING PreemptTime=2026-01-01T00:00:00", False),
    ],
)
def test_a_job_knows_that_slurm_wants_its_place(slurm, monkeypatch, said, wanted):
    program(slurm, "scontrol", f"echo {said}")
    assert not preempted()
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert preempted() == wanted


def test_local_jobs_are_those_of_this_machine_that_live(tmp_path):
    local = Local(Cluster("local", array_parallelism=3), tmp_path)
    me, started = str(os.getpid()), process_start(os.getpid())
    note = {"cluster": "local", "id": me, "machine": machine(), "started": started}
    assert local.states([note]) == {me: "running"}
    for change in ({"started": "1"}, {"machine": "node7"}, {"cluster": "slurm"}):
        assert local.states([{**note, **change}, {}]) == {}
    assert [local.room(n) for n in (0, 2, 3)] == [3, 1, 0]


@pytest.mark.slow
def test_a_process_of_this_machine_trains(make_config, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    settings = {"seed": [0], "k": 1}
    [there] = carry_out([make_config(**WAIT, **settings)], "a test")
    assert there.error is None and there.trained
    [here] = execute([make_config(**settings, output_dir="here")], "a test")
    same(there.folder, here.folder)
    assert int(there.folder.job()["id"]) != os.getpid()
    assert "rule  dfa" in Path(there.folder.job()["log"]).read_text()


# -- Without ---------------------------------------------------------------------------------


def test_without_slurm_or_submitit_a_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no Slurm on this machine .*cluster=local"):
        Slurm(Cluster("slurm"), tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    with pytest.raises(UserError, match=r"cluster=local needs submitit: pip install 'fabench\[sl"):
        Local(Cluster("local"), tmp_path)


def test_a_job_that_asks_for_a_gpu_computes_as_on_one(make_config):
    there = make_config(cluster="slurm", cluster__gpus_per_node=1, trainer__device="auto")
    assert (resolve_device(there).type, there.precision) == ("cuda", "tf32")
    here = make_config(cluster="slurm", trainer__device="auto")
    assert (resolve_device(here).type, here.precision) == ("cpu", "fp32")
