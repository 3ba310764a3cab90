"""``logger=mlflow``: an MLflow run for each seed, in $MLFLOW_TRACKING_URI, else in mlflow.db in the
output folder; ``mlflow ui --backend-store-uri sqlite:///outputs/mlflow.db``. MLflow's own telemetry
is off, unless $MLFLOW_DISABLE_TELEMETRY says otherwise.

The experiment is $MLFLOW_EXPERIMENT_NAME, else fabench. A run goes on where its last epoch is, and
keeps the first times of an epoch that is measured again after a kill.
"""

import logging
import os
import time
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from fabench.run.lease import take
from fabench.run.logger.base import SeedLog, Subject

TAG = "fabench.run"

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
for name in ("mlflow", "alembic"):  # of a new store they tell every table
    logging.getLogger(name).setLevel(logging.WARNING)


class Mlflow(SeedLog):
    """One seed's run."""

    def __init__(self, subject: Subject, fresh: bool) -> None:
        output_dir = subject.folder.parents[1].absolute()
        own = f"sqlite:///{output_dir}/mlflow.db"
        lease = take(output_dir, patience=60)  # two processes make one store
        try:
            self.client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", own))
            experiment = self._experiment(output_dir)
        finally:
            lease.give_back()
        found = self.client.search_runs([experiment], f"tags.`{TAG}` = '{subject.name}'")
        if found and fresh:
            self.client.delete_run(found[0].info.run_id)
        if found and not fresh:
            [run] = found
            self.client.update_run(run.info.run_id, status="RUNNING")
            self.last = int(run.data.metrics.get("epoch", -1))
        else:
            run = self.client.create_run(
                experiment, tags={TAG: subject.name}, run_name=subject.name
            )
            words = {**subject.settings, "seed": subject.seed}
            params = [Param(key, str(value)) for key, value in words.items()]
            tags = [RunTag("seed", str(subject.seed))]
            self.client.log_batch(run.info.run_id, params=params, tags=tags)
        self.run_id = run.info.run_id

    def _experiment(self, output_dir: Path) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "fabench")
        known = self.client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        files = None if "MLFLOW_TRACKING_URI" in os.environ else f"{output_dir}/mlartifacts"
        return str(self.client.create_experiment(name, artifact_location=files))

    def add(self, epoch: int, metrics: dict[str, float]) -> None:
        now = int(1000 * time.time())
        values = [Metric(key, value, now, epoch) for key, value in metrics.items()]
        self.client.log_batch(self.run_id, [*values, Metric("epoch", epoch, now, epoch)])

    def attach(self, plot: Path) -> None:
        self.client.log_artifact(self.run_id, str(plot), "plots")

    def close(self) -> None:
        self.client.set_terminated(self.run_id)
