"""Populations in processes of their own: the same results, whoever is stopped or killed.

Oracles: the CSVs and weights of the same command with one process.
"""

import operator
import os
import re
import signal
import subprocess
import sys
import time
from multiprocessing import Pipe
from pathlib import Path

import pandas as pd
import pytest
import torch

from fabench.command import cli
from fabench.population.population import Population
from fabench.run import execute
from fabench.run.store import TIMES, RunFolder
from fabench.run.workers import Worker, gpu_of

ROOT = Path(__file__).parents[2]
ARGS = [
    "dataset=digits",
    "trainer.device=cpu",
    "trainer.batch_size=16",
    "trainer.train_examples=40",
    "trainer.test_examples=24",
    "model.hidden=[5]",
]
EPOCHS = 600  # long enough to be stopped on any machine
LONG = ["-m", *ARGS, f"trainer.epochs={EPOCHS}", "trainer.metrics_every=30", "k=1,2,3"]
SETTINGS = {"trainer__epochs": EPOCHS, "trainer__metrics_every": 30}

pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture
def started():
    """``fabench run ARGS`` in a process of its own: Popen."""
    processes = []

    def start(*args):
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [sys.executable, "-m", "fabench", "run", *args],
            env=env, process_group=0, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The runs of LONG in one process that nothing stops."""
    folder = tmp_path_factory.mktemp("whole")
    assert cli.main(["run", *LONG, f"output_dir={folder}"]) == 0
    return runs(folder)


def runs(folder):
    """Every run's metrics without its times, and its weights, by folder name."""
    found = {}
    for path in sorted((Path(folder) / "runs").iterdir()):
        run = RunFolder.at(path)
        saved = run.checkpoint()
        assert run.status == "finished" and saved is not None
        found[path.name] = (run.metrics().drop(columns=TIMES), saved["tensors"])
    return found


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, (metrics, weights) in found.items():
        pd.testing.assert_frame_equal(metrics, expected[name][0], check_exact=True)
        for key, value in weights.items():
            assert value.equal(expected[name][1][key]), (name, key)


def children(process):
    """The workers of a process, by their identifiers."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    pids = [int(pid) for pid in path.read_text().split()]
    return [pid for pid in pids if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]


def wait_for(condition, process):
    deadline = time.monotonic() + 300  # a loaded machine starts three processes slowly
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


def begun(k, make_config):
    folder = RunFolder(make_config(k=k, **SETTINGS, output_dir="outputs"))
    return lambda: folder.has_metrics() and folder.metrics().epoch.max() >= 30


def test_workers_train_what_one_process_trains(whole, capsys):
    assert cli.main(["run", *LONG, "workers=2"]) == 0
    assert_same(runs("outputs"), whole)
    out = capsys.readouterr().out
    assert sorted(re.findall(r"population (\d) of 3: 1 job\n +rule  dfa", out)) == ["1", "2", "3"]
    assert re.search(r"population \d of 3: 100 % of the plan, 0:00:00 left\)\n┏", out)
    assert len(re.findall(f"epoch {EPOCHS}/{EPOCHS}", out)) == 3


@pytest.mark.parametrize(
    "workers, cores, pays, aside",
    [
        (None, 2, 4 * 3 * 2, (2, [1, 2])),  # 40 examples in batches of 16: three steps an epoch
        (None, 2, 4 * 3 * 2 + 1, (2, [])),
        (None, 1, 1, (1, [])),
        (1, 2, 1, (1, [])),
        (3, 2, 1e9, (3, [0, 1, 2])),
    ],
)
def test_which_populations_have_processes_of_their_own(
    make_config, monkeypatch, use_cores, workers, cores, pays, aside
):
    use_cores(cores)
    monkeypatch.setattr(
        "fabench.population.population.LANES_FROM", 2**15
    )  # as it is: use_cores changes it
    monkeypatch.setattr(execute, "PROCESSES_FROM", pays)
    changes = [{"model__hidden": [171], "k": 3}, {"k": 1}, {"k": 2}]  # 192 * 171 > 2^15
    configs = [make_config(trainer__epochs=4, seed=[5], workers=workers, **c) for c in changes]
    groups = {n: [execute.Outcome(c, RunFolder(c))] for n, c in enumerate(configs)}
    number, found = execute._in_processes(groups)
    assert (number, sorted(found)) == aside
    assert execute._in_processes({}) == (1, {})


def test_small_networks_have_one_thread_in_this_process_too(make_config, monkeypatch, use_cores):
    """Two would round sums otherwise, and a run alone differ from the same one in a sweep."""
    use_cores(2)
    seen, step = set(), Population.step
    monkeypatch.setattr(
        Population, "step", lambda *args: seen.add(torch.get_num_threads()) or step(*args)
    )
    monkeypatch.setattr("fabench.population.population.LANES_FROM", 2**15)
    execute.execute([make_config(output_dir="small")], "a test")
    assert seen == {1}
    assert torch.get_num_threads() == 2


def test_what_goes_on_from_another_run_waits_for_it(capsys):
    epochs = ["-m", *ARGS, "trainer.epochs=2,4"]
    assert cli.main(["run", *epochs, "output_dir=one"]) == 0
    assert cli.main(["run", *epochs, "output_dir=two", "workers=2"]) == 0
    assert_same(runs("two"), runs("one"))
    found = [RunFolder.at(path) for path in Path("two/runs").iterdir()]
    assert ["goes_on_from" in run.manifest() for run in found if run.place() == (4, 0)] == [True]


@pytest.mark.parametrize(
    "send, signum, code",
    [
        (os.killpg, signal.SIGINT, 130),  # as Ctrl-C in a terminal does
        pytest.param(os.kill, signal.SIGTERM, 143, marks=pytest.mark.slow),
    ],
)
def test_a_signal_stops_all_and_the_same_command_continues(
    started, make_config, whole, send, signum, code
):
    process = started(*LONG, "workers=2")
    wait_for(begun(3, make_config), process)
    send(process.pid, signum)
    _, err = process.communicate()
    assert process.returncode == code
    assert err == "Stopped; everything is saved and the same command continues.\n"
    begun_ones = [path.parent for path in Path("outputs/runs").glob("*/config.yaml")]
    states = {RunFolder.at(path).status for path in begun_ones}
    assert "interrupted" in states and "running" not in states
    assert cli.main(["run", *LONG]) == 0
    assert_same(runs("outputs"), whole)


def test_a_killed_worker_fails_its_jobs_alone(started, make_config, whole):
    process = started(*LONG, "workers=2")
    wait_for(begun(3, make_config), process)
    os.kill(children(process)[0], signal.SIGKILL)  # the longest run was the first to be given out
    _, err = process.communicate()
    assert process.returncode == 1
    assert "1 of 3 jobs failed" in err and "ended with code -9" in err
    statuses = pd.read_csv(next(Path("outputs/sweeps").glob("*/sweep.csv")), index_col="k").status
    assert statuses.to_dict() == {1: "finished", 2: "finished", 3: "failed"}
    assert cli.main(["run", *LONG]) == 0
    assert_same(runs("outputs"), whole)


def test_a_worker_killed_before_it_has_read_its_task_says_so():
    with Worker(1, None) as worker:
        worker.take(operator.is_, "a task")
        worker.process.kill()
        worker.process.join()
        what, failure = worker.says()
        worker.take(operator.is_, "another")
        assert what == "answer" and "ended with code -9" in str(failure)
        assert worker.says()[0] == "answer"


def test_a_worker_killed_within_a_word_says_so():
    with Worker(1, None) as worker:
        worker.process.kill()
        worker.process.join()
        ours, theirs = Pipe()
        os.write(theirs.fileno(), (100).to_bytes(4, "big") + b"of these 100 bytes some")
        theirs.close()
        worker.pipe.close()
        worker.pipe = ours
        what, failure = worker.says()
        assert what == "answer" and "ended with code -9" in str(failure)


def test_ctrl_c_does_not_reach_a_worker_that_starts():
    with Worker(1, None) as worker:
        os.kill(worker.process.pid, signal.SIGINT)
        worker.take(operator.is_, "a task")  # the same object as its reporter
        assert worker.says() == ("answer", False)


def test_workers_end_with_their_parent(started, make_config):
    process = started(*LONG, "workers=2")
    wait_for(begun(3, make_config), process)
    workers = children(process)
    assert len(workers) == 2
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while any(_alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1][:3]
    except FileNotFoundError:
        return False


def test_workers_take_turns_at_the_gpus(monkeypatch):
    assert gpu_of(3) is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert [gpu_of(n) for n in range(5)] == [0, 1, 2, 0, 1]


def test_workers_on_gpus_share_the_memory_of_one(make_config, monkeypatch):
    """Of a sweep of eight runs, with room for four networks on each of two GPUs."""
    configs = [make_config(seed=[0], optimizer__lr=0.1 + i, workers=4) for i in range(8)]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    room = 4 * execute.row_bytes(configs[0])
    monkeypatch.setattr(execute, "memory_of", lambda device: room)
    assert [len(group) for group in execute.populations(list(map(execute.find, configs)))] == [
        2
    ] * 4
