"""Loggers, each read back from what it has written. Oracle: metrics.csv.

Each is skipped where its extra is not installed.
"""

import logging
import struct
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fabench.command.run import finish
from fabench.run.execute import execute, find
from fabench.run.logger import base
from fabench.run.logger.base import Logs, opened
from fabench.run.store import RunFolder
from fabench.schema import UserError

LOGGERS = ["tensorboard", "mlflow", "wandb"]
pytestmark = [
    pytest.mark.usefixtures("workdir"),
    *map(pytest.mark.filterwarnings, ["ignore::DeprecationWarning", "ignore::ResourceWarning"]),
]


@pytest.fixture(params=LOGGERS)
def logger(request, monkeypatch):
    """A logger's name, if it is installed; nothing of the developer's own is used."""
    pytest.importorskip(request.param)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    return request.param


# -- Reading back ----------------------------------------------------------------------------


def of_tensorboard(folder, seed):
    """Settings, points (epoch, value) of every metric as they stand in the file, and pictures."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
    from tensorboard.util.tensor_util import make_ndarray

    [file] = (folder.path / "tensorboard" / f"seed_{seed}").iterdir()
    settings, points, pictures = {}, {}, []
    for event in EventFileLoader(str(file)).Load():
        for value in event.summary.value:
            plugin = value.metadata.plugin_data
            if plugin.plugin_name == "hparams":
                session = HParamsPluginData.FromString(plugin.content).session_start_info
                told = {key: getattr(v, v.WhichOneof("kind")) for key, v in session.hparams.items()}
                settings |= told
            elif value.tag.startswith(("accuracy", "alignment")):
                pictures.append(value.tag)
            else:
                number = make_ndarray(value.tensor).item()
                points.setdefault(value.tag, []).append((event.step, number))
    return settings, points, pictures


def of_mlflow(folder, seed):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder.path.parents[1].absolute()}/mlflow.db")
    experiment = client.get_experiment_by_name("fabench")
    name = f"{folder.path.name}/seed_{seed}"
    [run] = client.search_runs([experiment.experiment_id], f"tags.`fabench.run` = '{name}'")
    histories = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
    points = {key: [(p.step, p.value) for p in history] for key, history in histories.items()}
    files = client.list_artifacts(run.info.run_id, "plots")
    return run.data.params, points, [file.path.split("/")[1][:-4] for file in files]


def of_wandb(folder, seed):
    import json

    from wandb.proto.wandb_internal_pb2 import Record

    [file] = folder.path.glob(f"wandb/offline-run-*-{seed}/*.wandb")
    settings, points, pictures, records = {}, {}, set(), []
    until = time.monotonic() + 30
    while not any(r.HasField("exit") for r in records) and time.monotonic() < until:
        time.sleep(0.1 * bool(records))  # another process writes the file
        records = [Record.FromString(c) for c in leveldb_records(file.read_bytes()[7:], 7)]
    for record in records:
        for item in record.run.config.update:
            settings[item.key] = json.loads(item.value_json)
        row = {i.key or i.nested_key[0]: json.loads(i.value_json) for i in record.history.item}
        for key, value in row.items():
            if key[0] != "_":
                points.setdefault(key, []).append((row["_step"], value))
        pictures |= {item.key or item.nested_key[0] for item in record.summary.update}
    return settings, points, sorted(pictures & {"accuracy", "alignment"})


def leveldb_records(data, at):
    """The records of a LevelDB log, of blocks of 32 KiB: checksum, length, kind (1 whole, 2 first,
    3 middle, 4 last), content. ``at``: the bytes of the first block before ``data``."""
    parts, i = b"", 0
    while i + 7 <= len(data):
        left = 2**15 - (i + at) % 2**15
        if left < 7:
            i += left
            continue
        _, length, kind = struct.unpack("<IHB", data[i : i + 7])
        parts += data[i + 7 : i + 7 + length]
        i += 7 + length
        if kind in (1, 4):
            yield parts
            parts = b""


READ = {"tensorboard": of_tensorboard, "mlflow": of_mlflow, "wandb": of_wandb}


def assert_log_is_metrics(logger, folder, pictures=()):
    """Every number of metrics.csv once, in order, and no other; float32 in event files."""
    metrics = folder.metrics()
    for seed, rows in metrics.groupby("seed"):
        settings, points, drawn = READ[logger](folder, seed)
        assert sorted(drawn) == sorted(pictures)
        assert float(settings["optimizer.lr"]) == 0.1
        assert str(settings["learning_rule"]) == "dfa" and "output_dir" not in settings
        points.pop("epoch", None)
        assert set(points) == set(metrics.columns) - {"seed", "epoch"}
        for name, pairs in points.items():
            expected = rows[["epoch", name]].dropna()
            assert [epoch for epoch, _ in pairs] == expected.epoch.tolist(), name
            values = [value for _, value in pairs]
            np.testing.assert_allclose(values, expected[name], rtol=1e-6, err_msg=name)


# -- Logs ------------------------------------------------------------------------------------


def test_a_log_has_every_number_and_the_plots(logger, make_config, monkeypatch):
    monkeypatch.setattr(
        "fabench.figure.style.save",
        lambda figure, path: Image.new("RGB", (8, 8)).save(path),
    )
    config = make_config(logger=[logger], seed=[0, 7], k=1, optimizer__lr=0.1, output_dir="outputs")
    [outcome] = execute([config], "fabench run")
    folder = RunFolder(config)
    assert outcome.error is None
    assert_log_is_metrics(logger, folder)
    finish(outcome)
    assert_log_is_metrics(logger, folder, ["accuracy", "alignment"])
    assert config.name() == make_config(seed=[0, 7], k=1, optimizer__lr=0.1).name()


def test_a_log_goes_on_without_points_twice(logger, make_config):
    config = make_config(logger=[logger], k=1, optimizer__lr=0.1, seed=[3], output_dir="outputs")
    folder = RunFolder(config)
    folder.path.mkdir(parents=True)
    epochs = [
        pd.DataFrame({"seed": [3], "epoch": epoch, "test_loss": value, "seconds": 2.0 * epoch})
        for epoch, value in enumerate([0.5, np.nan, 0.25, 0.125])
    ]

    def session(done, to_come):
        logs = Logs(folder)
        with opened([(logs, epochs[:done])]):
            for rows in epochs[done:to_come]:
                logs.add(rows)

    session(0, 2)
    session(0, 3)  # it starts over: the first is gone
    session(1, 4)  # two epochs are logged that no checkpoint has seen
    folder.write_metrics(pd.concat(epochs))
    assert_log_is_metrics(logger, folder)


def test_what_is_not_installed_is_said_before_anything(make_config, monkeypatch):
    monkeypatch.setattr(base.importlib.util, "find_spec", lambda name: None)
    config = make_config(logger=["wandb", "mlflow"], output_dir="outputs")
    for outcome in (find(config), *execute([config], "fabench run")):
        assert isinstance(outcome.error, UserError)
        assert str(outcome.error) == "logger=wandb is not installed: pip install 'fabench[wandb]'."
    assert not RunFolder(config).path.exists()


def test_a_logger_that_fails_ends_no_run(make_config, monkeypatch, caplog):
    class Failing(base.SeedLog):
        def __init__(self, subject, fresh):
            self.seed = subject.seed

        def add(self, epoch, metrics):
            if epoch == 1 and self.seed == 0:
                raise ConnectionError("the server\nis gone")
            added.append((self.seed, epoch))

        def attach(self, plot):
            raise NotImplementedError

        def close(self):
            closed.append(self.seed)

    added, closed = [], []
    monkeypatch.setattr(base, "kind", lambda name: Failing)
    monkeypatch.setattr(base, "check", lambda config: None)
    config = make_config(logger=["mlflow"], seed=[0, 1], output_dir="outputs")
    with caplog.at_level(logging.WARNING):
        [outcome] = execute([config], "fabench run")
    assert outcome.error is None and outcome.folder.status == "finished"
    assert added == [(0, 0), (1, 0), (1, 1), (1, 2)] and closed == [1]
    [record] = caplog.records
    assert record.getMessage() == "logger=mlflow, seed 0, goes no further: the server is gone"


@pytest.mark.parametrize("given, wanted", [("wandb", ["wandb"]), (["mlflow"], ["mlflow"])])
def test_one_name_or_a_list(make_config, given, wanted):
    assert make_config(logger=given).general.logger == wanted
