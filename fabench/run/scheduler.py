"""Schedulers, which take jobs by submitit: Slurm, and processes of this machine."""

from __future__ import annotations

import getpass
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from fabench.run.lease import machine, process_start
from fabench.run.settings import Cluster
from fabench.schema import RunFailed, UserError

MOST = 1000
"""Jobs in an array: Slurm's own limit, where nobody has set another (MaxArraySize)."""

YEAR = 365 * 24 * 60
"""Minutes."""

Note = Mapping[str, Any]
"""A job, as job.json keeps it: its cluster, id and log, and what a scheduler knows it by."""


class Scheduler(ABC):
    """Takes jobs, and says which of them it has."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        """``folder``: of jobs' files. UserError if there is no submitit or no such scheduler."""
        try:
            import submitit
        except ModuleNotFoundError:
            raise UserError(
                f"cluster={cluster.name} needs submitit: pip install 'fabench[slurm]'."
            ) from None
        self.cluster = cluster
        self.jobs: list[submitit.Job[None]] = []
        self.threads: int | None = cluster.cpus_per_task  # of a job; None: as its node has it
        times = {"slurm_max_num_timeout": cluster.max_num_timeout}
        try:
            self.executor = submitit.AutoExecutor(folder, cluster=cluster.name, **times)
        except RuntimeError:
            raise UserError(
                "cluster=slurm: there is no Slurm on this machine (no srun); cluster=local starts "
                "jobs without one."
            ) from None
        self.executor.update_parameters(name="fabench", stderr_to_stdout=True)

    @abstractmethod
    def room(self, n_jobs: int) -> int:
        """How many more it takes at once, while so many are there."""

    def submit(self, jobs: Sequence[Callable[[], None]]) -> list[dict[str, Any]]:
        """Notes of the jobs, which begin when it is their turn. RunFailed if it takes none."""
        from submitit.core.utils import FailedJobError

        try:
            with self.executor.batch():
                submitted = [self.executor.submit(job) for job in jobs]
        except FailedJobError as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise RunFailed(
                f"{self.cluster.name} takes no job ({reason}): the same command tries again."
            ) from None
        self.jobs += submitted
        return [
            {"cluster": self.cluster.name, "id": job.job_id, "log": str(job.paths.stdout)}
            for job in submitted
        ]

    @abstractmethod
    def states(self, notes: Sequence[Note]) -> dict[str, str]:
        """What those jobs do that are queued or have not ended ("pending", "running", ...), by id.
        RunFailed if it does not answer."""


class Slurm(Scheduler):
    """Slurm: a command's jobs are an array, and of these it starts so many at a time as wanted."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        super().__init__(cluster, folder)
        wanted = {
            "timeout_min": cluster.timeout_min,
            "cpus_per_task": cluster.cpus_per_task,
            "gpus_per_node": cluster.gpus_per_node,
            "mem_gb": cluster.mem_gb,
            "slurm_partition": cluster.partition,
            "slurm_account": cluster.account,
            "slurm_qos": cluster.qos,
            "slurm_constraint": cluster.constraint,
            "slurm_signal_delay_s": cluster.signal_delay_s,
            "slurm_array_parallelism": cluster.array_parallelism,
        }
        given = {name: value for name, value in wanted.items() if value is not None}
        self.executor.update_parameters(**given)

    def room(self, n_jobs: int) -> int:
        return MOST

    def states(self, notes: Sequence[Note]) -> dict[str, str]:
        """Those that ``squeue`` lists: unlike ``sacct`` it needs no accounting."""
        command = ["squeue", "--noheader", "--array", "--format=%i %T", "--user", getpass.getuser()]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = " ".join(done.stderr.split()).rstrip(".")
            raise RunFailed(f"Slurm does not answer ({reason}): the same command asks again.")
        states = dict(line.split() for line in done.stdout.splitlines())
        ours = {note["id"] for note in notes if note.get("cluster") == self.cluster.name}
        return {key: state.lower() for key, state in states.items() if key in ours}


class Local(Scheduler):
    """Processes of this machine: the command itself starts so many at a time, each on its GPU."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        super().__init__(cluster, folder)
        self.executor.update_parameters(timeout_min=YEAR)
        self.threads = max(1, torch.get_num_threads() // (cluster.array_parallelism or 1))

    def room(self, n_jobs: int) -> int:
        return (self.cluster.array_parallelism or 1) - n_jobs

    def submit(self, jobs: Sequence[Callable[[], None]]) -> list[dict[str, Any]]:
        notes = []
        for job in jobs:
            if torch.cuda.is_available():
                gpu = len(self.jobs) % torch.cuda.device_count()
                self.executor.update_parameters(gpus_per_node=1, local_visible_gpus=[gpu])
            [note] = super().submit([job])
            notes.append(note | {"machine": machine(), "started": process_start(int(note["id"]))})
        return notes

    def states(self, notes: Sequence[Note]) -> dict[str, str]:
        for job in self.jobs:
            job.done()  # lets a process that has ended go
        ours = [n for n in notes if n.get("cluster") == "local" and n.get("machine") == machine()]
        return {
            n["id"]: "running"
            for n in ours
            if n["started"] and n["started"] == process_start(int(n["id"]))
        }


def preempted() -> bool:
    """Whether Slurm wants the place of the job that this process is, which runs for a GraceTime
    more: one that then ends is not queued again."""
    if "SLURM_JOB_ID" not in os.environ:
        return False
    command = ["scontrol", "show", "job", os.environ["SLURM_JOB_ID"]]
    said = subprocess.run(command, capture_output=True, text=True).stdout
    return "JobState=RUNNING" in said and "PreemptTime=" in said and "PreemptTime=None" not in said


SCHEDULERS: dict[str, type[Local] | type[Slurm]] = {"local": Local, "slurm": Slurm}
