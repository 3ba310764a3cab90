"""Hydra finds plugins in this namespace. No torch here: the module is loaded at every start."""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, run_job
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


@dataclass
class PopulationLauncherConf:
    """``hydra/launcher=population``."""

    _target_: str = "hydra_plugins.fabench_launcher.PopulationLauncher"


ConfigStore.instance().store(
    group="hydra/launcher", name="population", node=PopulationLauncherConf, provider="fabench"
)


class PopulationLauncher(Launcher):
    """Shows the task all jobs of the sweep at once, then runs them one by one.

    A task with a ``prepare`` method (fabench's own) trains there, in as few populations as
    possible, and finds the results when the jobs are run.
    """

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra passes."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run one job per list of overrides."""
        load = self.hydra_context.config_loader.load_sweep_config
        jobs = [load(self.config, list(overrides)) for overrides in job_overrides]
        for number, job in enumerate(jobs, initial_job_idx):
            with open_dict(job):
                job.hydra.job.id = str(number)
                job.hydra.job.num = number
        prepare = getattr(self.task_function, "prepare", None)
        if prepare is not None:
            prepare(jobs)
        return [
            run_job(
                hydra_context=self.hydra_context,
                task_function=self.task_function,
                config=job,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            for job in jobs
        ]
