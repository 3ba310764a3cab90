"""``fabench export`` and ``fabench predict``. Oracles: the run's own test accuracy, its network."""

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load_file
from tiny import TINY

import fabench
from fabench.command import cli
from fabench.dataset.digits import Digits
from fabench.schema import UserError

pytestmark = pytest.mark.usefixtures("workdir")
OWN = [*TINY, "task=classification", "learning_rule=bp", "seed=[2,5]", "optimizer.lr=0.1"]


@pytest.fixture
def train(tmp_path, capsys):
    def call(*args):
        assert cli.main(["run", *OWN, *args]) == 0, capsys.readouterr().err
        capsys.readouterr()
        [run] = (tmp_path / "outputs/runs").iterdir()
        return run

    return call


@pytest.fixture
def predicted(capsys):
    """Header and rows of ``fabench predict ARGS``."""

    def call(*args):
        assert cli.main(["predict", *map(str, args)]) == 0, capsys.readouterr().err
        header, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
        return header, [row[0] for row in rows], np.array([row[1:] for row in rows], float)

    return call


def test_predictions_have_the_runs_test_accuracy(train, predicted, tmp_path):
    run = train("trainer.test_examples=null", "trainer.epochs=3", "trainer.train_examples=600")
    images = Digits("digits").load()
    np.savez("x.npz", x=images.test_images.numpy())
    metrics = csv.DictReader(io.StringIO((run / "metrics.csv").read_text()))
    accuracy = {int(row["seed"]): float(row["test_accuracy"]) for row in metrics}
    for seed in (2, 5):
        header, names, p = predicted(run, "x.npz", "--seed", seed)
        assert header == ["example", *map(str, range(10))]
        assert names == list(map(str, range(360)))
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-4)
        found = (p.argmax(1) == images.test_labels.numpy()).mean()
        assert found == pytest.approx(accuracy[seed], abs=1e-6)
    assert accuracy[2] != accuracy[5]


def test_images_of_a_folder_are_read_as_the_runs(train, predicted, own_data, tmp_path):
    run = train("dataset=folder", f"dataset.path={own_data['folder']}", "dataset.size=8",
                "dataset.downsample=2")  # fmt: skip
    header, names, p = predicted(run, own_data["folder"] / "test")
    assert header == ["example", "a", "b", "c"]
    assert names == sorted(str(file) for file in own_data["folder"].glob("test/*/*.png"))
    image = PIL.Image.open(names[0]).resize((8, 8), PIL.Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.asarray(image).astype(np.float32)).permute(2, 0, 1)[None]
    averages = torch.nn.functional.avg_pool2d(pixels, 2)
    expected = torch.softmax(fabench.load(run)(averages), 1)[0]
    np.testing.assert_allclose(p[0], expected.detach(), rtol=1e-4)
    assert cli.main(["predict", str(run), str(own_data["folder"] / "test"), "--to", "p.csv"]) == 0
    assert (tmp_path / "p.csv").read_text().startswith("example,a,b,c\n")


def test_pixels_have_the_runs_scale(train, predicted, tmp_path):
    """Digits' are 0 to 16, an image file's 0 to 255; parity has one output."""
    run = train("task=parity", "k=1")
    (tmp_path / "images").mkdir()
    PIL.Image.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / "images/white.png")
    np.savez("x.npz", x=np.full((1, 8, 8), 16))
    header, _, p = predicted(run, "images")
    assert header == ["example", "parity"]
    np.testing.assert_allclose(p, predicted(run, "x.npz")[2])


def test_export_writes_weights(train, tmp_path, capsys):
    run = train()
    assert cli.main(["export", str(run), "--seed", "5", "--to", "m.safetensors"]) == 0
    assert capsys.readouterr().out == "m.safetensors\n"
    assert torch.equal(load_file("m.safetensors")["W0"], fabench.load(run, 5).W0)
    part = run.name[-6:]
    assert cli.main(["export", part, "--seed", "5", "--to", "part.safetensors"]) == 0
    assert torch.equal(load_file("part.safetensors")["W0"], fabench.load(run, 5).W0)
    Path("outputs").rename("elsewhere")
    there = ["output_dir=elsewhere", "--seed", "5", "--to", "there.safetensors"]
    assert cli.main(["export", part, *there]) == 0
    assert Path("there.safetensors").read_bytes() == Path("part.safetensors").read_bytes()


REFUSED = {
    "no run": (["predict", "nowhere", "x.npz"], "nowhere is no run"),
    "no argument": (["predict", "nowhere"], "required: inputs"),
    "no file": (["export", "RUN"], "--to is missing"),
    "no number": (["export", "RUN", "--seed", "x", "--to", "y"], "invalid int"),
    "no seed": (["predict", "RUN", "x.npz", "--seed", "0"], "seed=0 is not in this run"),
    "nothing": (["predict", "RUN", "nothing"], "no folder with images"),
    "no array": (["predict", "RUN", "other.npz"], "no .npz file with an array x"),
    "other sizes": (["predict", "RUN", "large.npz"], "has 64 values, not 100"),
    "an array alone": (["predict", "RUN", "npy.npz"], "no .npz file with an array x"),
    "damaged": (["predict", "RUN", "damaged.npz"], "no .npz file with an array x"),
    "no image": (["predict", "RUN", "pictures"], "pictures/a.png cannot be read as an image."),
    "no numbers": (["predict", "RUN", "text.npz"], "x should be numbers"),
    "no examples": (["predict", "RUN", "empty.npz"], "not float64 [0, 64]"),
    "not finite": (["predict", "RUN", "nan.npz"], "x has values that are not finite"),
    "too large": (["predict", "RUN", "big.npz"], "not finite in float32"),
    "a folder": (["predict", "RUN", "x.npz", "--to", "."], "--to . is a folder"),
    "no such file": (["predict", "RUN", "none.npz"], "No such file"),
    "no folder": (["export", "RUN", "--to", "nowhere/x.safetensors"], "No such file"),
}


def test_refusals(train, capsys, tmp_path):
    run = str(train())
    np.savez("x.npz", x=np.zeros((1, 64)))
    np.savez("other.npz", y=np.zeros(3))
    np.save("npy.npy", np.zeros((1, 64)))
    Path("npy.npy").rename("npy.npz")
    np.savez_compressed("damaged.npz", x=np.arange(6400).reshape(100, 64))
    damaged = bytearray(Path("damaged.npz").read_bytes())
    damaged[60:200] = bytes(140)
    Path("damaged.npz").write_bytes(damaged)
    Path("pictures").mkdir()
    Path("pictures/a.png").write_text("no image")
    np.savez("large.npz", x=np.zeros((2, 10, 10)))
    np.savez("text.npz", x=np.array([["a"]]))
    np.savez("empty.npz", x=np.zeros((0, 64)))
    np.savez("nan.npz", x=np.full((2, 64), np.nan))
    np.savez("big.npz", x=np.full((2, 64), 1e300))
    for case, (args, words) in REFUSED.items():
        code = cli.main([run if arg == "RUN" else arg for arg in args])
        err = capsys.readouterr().err
        assert words in err and err.count("\n") == 1, case
        assert code == (1 if "No such" in words else 2), case


def test_a_run_is_a_folder_wherever_it_lies(train, tmp_path, monkeypatch):
    run = train()
    copy = tmp_path / "elsewhere" / "my copy"
    shutil.copytree(run, copy)
    expected = fabench.load(run).W0
    for folder, word in ((run.parent, run.name), (run, "."), (run, f"../{run.name}")):
        monkeypatch.chdir(folder)
        assert cli.main(["export", word, "--to", str(tmp_path / "w.safetensors")]) == 0
        assert torch.equal(load_file(tmp_path / "w.safetensors")["W0"], expected)
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(run)
    assert torch.equal(fabench.load(copy).W0, expected)
    (copy / "checkpoint.pt").unlink()
    with pytest.raises(UserError, match=r"my copy/checkpoint\.pt is missing"):
        fabench.load(copy)


def test_several_images_are_no_image(train, capsys):
    run = train("task=parity", "k=3")
    assert cli.main(["predict", str(run), "."]) == 2
    assert "an example is no image" in capsys.readouterr().err
