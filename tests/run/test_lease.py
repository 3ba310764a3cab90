"""Leases: one process at a time, and nobody waits for one that is gone.

Oracles: second processes that are killed or stopped, files written by hand, and a counter that
every holder reads and writes.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from fabench.run import lease
from fabench.run.lease import machine, process_start, take
from fabench.run.store import RunFolder
from fabench.schema import RunFailed, UserError

HOLDER = """
import sys, time
from pathlib import Path
from fabench.run import lease
from fabench.schema import RunFailed
lease.EXPIRES, lease.RENEWED = float(sys.argv[2]), 0.1
mine = lease.take(Path(sys.argv[1]))
print("held", flush=True)
try:
    while True:
        mine.check()
        time.sleep(0.02)
except RunFailed as error:
    print(error, flush=True)
"""

COUNTER = """
import sys, time
from pathlib import Path
from fabench.run.lease import take
from fabench.schema import UserError
folder, done = Path(sys.argv[1]), 0
while done < 15:
    try:
        mine = take(folder)
    except UserError:
        continue
    count = int((folder / "count").read_text())
    time.sleep(0.002)
    (folder / "count").write_text(str(count + 1))
    done += 1
    mine.give_back()
"""


@contextmanager
def holder(folder, expires=60.0):
    """Another process that holds the folder, and says when it hears that it no longer does."""
    command = [sys.executable, "-c", HOLDER, str(folder), str(expires)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def by_hand(folder, **changes):
    """A lease of another machine's, just renewed."""
    text = json.dumps({"pid": os.getpid(), "started": "1", "machine": "node7 x y", **changes})
    (folder / ".lease-1").write_text(text)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_one_at_a_time_and_who_it_is(tmp_path):
    first = take(tmp_path)
    with pytest.raises(UserError, match=rf"Another process \({os.getpid()} on .*wait for it"):
        take(tmp_path)
    first.check()
    first.give_back()
    second = take(tmp_path)
    assert (second.number, files(tmp_path)) == (2, [".lease-2"])
    with pytest.raises(RunFailed, match="taken .* over"):
        first.check()
    second.give_back()


def test_a_killed_process_holds_nothing(tmp_path):
    with holder(tmp_path) as process:
        with pytest.raises(UserError, match=f"{process.pid} on"):
            take(tmp_path)
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie: nobody has asked
        take(tmp_path).give_back()


def test_a_process_of_the_same_number_is_another_one(tmp_path):
    by_hand(tmp_path, machine=machine(), started=process_start(os.getpid()))
    with pytest.raises(UserError, match="Another process"):
        take(tmp_path)
    by_hand(tmp_path, machine=machine())
    take(tmp_path).give_back()


@pytest.mark.parametrize("text", ["", "{}", "[1", "null"])
def test_what_no_process_has_written_is_free_when_given_back_or_old(tmp_path, text):
    file = tmp_path / ".lease-3"
    file.write_text(text)
    if text:
        with pytest.raises(UserError, match="Another process is"):
            take(tmp_path)
        os.utime(file, (0, time.time() - 61))
    lease = take(tmp_path)
    assert lease.number == 4
    lease.give_back()


def test_a_process_elsewhere_has_a_minute_to_be_heard_of(tmp_path):
    by_hand(tmp_path)
    file = tmp_path / ".lease-1"
    os.utime(file, (0, time.time() - 55))
    with pytest.raises(UserError, match=rf"\({os.getpid()} on node7\)"):
        take(tmp_path)
    os.utime(file, (0, time.time() - 61))
    take(tmp_path).give_back()


def test_a_lease_is_renewed(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "RENEWED", 0.01)
    mine = take(tmp_path)
    os.utime(mine.file, (0, 0))
    threading.Thread(target=lease._renew, daemon=True).start()  # other tests' sleeps a while
    for _ in range(500):
        if mine.file.stat().st_mtime:
            break
        time.sleep(0.01)
    assert time.time() - mine.file.stat().st_mtime < 20
    mine.give_back()


def test_a_stopped_process_is_taken_over_and_hears_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "EXPIRES", 1.0)
    with holder(tmp_path, expires=1.0) as process:
        time.sleep(1.2)  # renewed
        with pytest.raises(UserError, match="Another process"):
            take(tmp_path)
        process.send_signal(signal.SIGSTOP)
        mine = take(tmp_path, patience=5)
        process.send_signal(signal.SIGCONT)
        assert "taken" in process.stdout.readline()
        mine.check()
        mine.give_back()


def test_a_folder_taken_over_is_not_written(make_config, tmp_path):
    folder = RunFolder(make_config(output_dir=str(tmp_path)))
    with folder.locked():
        folder.update_manifest(status="running")
        before = files(folder.path)
        os.utime(folder.path / ".lease-1", (0, 0))
        other = take(folder.path)
        for write in (
            folder.write_config,
            folder.remove_checkpoint,
            lambda: folder.update_manifest(status="finished"),
        ):
            with pytest.raises(RunFailed, match="taken"):
                write()
        assert [".lease-2", *before[1:]] == files(folder.path)
    assert other.file.read_text()  # not given back by the first one
    other.give_back()
    assert folder.status == "running"


def test_one_waits_as_long_as_it_was_told(tmp_path):
    first = take(tmp_path)
    began = time.monotonic()
    with pytest.raises(UserError, match="Another process"):
        take(tmp_path, patience=0.5)
    assert time.monotonic() - began >= 0.5
    threading.Timer(0.2, first.give_back).start()
    second = take(tmp_path, patience=10)
    assert second.number == 2
    second.give_back()


def test_what_is_not_the_latest_lease_any_more_is_not_followed(tmp_path, monkeypatch):
    """One process judges lease 1; before it makes 2, others have been there and given 3 back."""
    (tmp_path / ".lease-1").touch()
    link = os.link

    def late(source, target):
        (tmp_path / ".lease-1").unlink()
        (tmp_path / ".lease-3").touch()
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(UserError, match="Another process"):
        take(tmp_path)
    assert files(tmp_path) == [".lease-3"]


def test_three_processes_count_without_losing_one(tmp_path):
    (tmp_path / "count").write_text("0")
    command = [sys.executable, "-c", COUNTER, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in processes] == [0] * 3
    assert (tmp_path / "count").read_text() == "45"


def test_where_there_is_no_proc_ps_says_when_a_process_began():
    start = lease._start_by_ps(os.getpid())
    assert start and start == lease._start_by_ps(os.getpid())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    time.sleep(0.5)
    assert lease._start_by_ps(gone.pid) is None, "it has ended, though nobody has waited for it"
    gone.wait()
    assert lease._start_by_ps(gone.pid) is None
