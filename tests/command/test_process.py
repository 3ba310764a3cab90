"""What surrounds a run: its start, its output, signals, disks that are full, a user's Matplotlib.

Oracles: the run folder that the same command leaves where nothing is in the way, sys.modules, the
bytes of a plot drawn with Matplotlib's own defaults.
"""

import errno
import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure
from tiny import TINY

from fabench.command import cli
from fabench.command.output import Output
from fabench.figure import style
from fabench.run.interruption import leave, stop_signals

SAVEFIG = Figure.savefig

pytestmark = pytest.mark.usefixtures("workdir")


def finished(folder="outputs"):
    """The status of the only run there."""
    (manifest,) = Path(folder).glob("runs/*/manifest.json")
    return '"status": "finished"' in manifest.read_text()


# -- Start -----------------------------------------------------------------------------------


def test_a_finished_run_is_shown_without_what_trains_and_draws():
    cli.main(["run", *TINY])
    program = (
        "import sys; from fabench.command import cli; code = cli.main(sys.argv[1:]);"
        "print(*{'pandas', 'matplotlib', 'scipy', 'sklearn', 'torch._inductor'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program, "run", *TINY]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *_, folder, loaded = done.stdout.splitlines()
    assert folder.startswith("Run folder: ") and "finished" in done.stdout
    assert loaded == ""


SWALLOWING = """
import os, signal, sys

class Swallowing:
    def find_spec(self, name, path=None, target=None):
        if name == swallowing:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                pass

_, swallowing, *sys.argv[1:] = sys.argv
sys.meta_path.insert(0, Swallowing())
from fabench.__main__ import script
script()
"""


@pytest.mark.parametrize(
    "module", ["fabench.command.cli", "hydra.main", "torch", "fabench.run.trainer"]
)
def test_ctrl_c_during_an_import_that_swallows_it_ends_the_program(module):
    command = [sys.executable, "-c", SWALLOWING, module, "run", *TINY]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "Stopped.\n")
    assert not list(Path().rglob("metrics.csv"))


def test_once_a_run_trains_ctrl_c_is_an_exception_that_tidies_up():
    before = signal.signal(signal.SIGINT, leave)
    try:
        with stop_signals() as signals:
            signal.raise_signal(signal.SIGINT)
            assert signals.received == signal.SIGINT
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


# -- Output ----------------------------------------------------------------------------------


def test_a_full_device_costs_the_output_and_not_the_run(monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert cli.main(["run", *TINY]) == 1
        assert capsys.readouterr().err == (
            "fabench: Its output is lost: No space left on device.\n"
        )
        assert cli.main(["run", *TINY, "optimizer.lr=-1"]) == 2
    assert finished()


def test_a_reader_that_went_away_costs_the_output_and_not_the_run(monkeypatch, capsys):
    read, write = os.pipe()
    with open(write, "w") as pipe:
        os.close(read)
        monkeypatch.setattr("sys.stdout", pipe)
        assert cli.main(["run", *TINY]) == 141
    assert finished() and capsys.readouterr().err == ""


def test_no_output_at_all_is_no_error(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    assert cli.main(["run", *TINY]) == 0
    assert cli.main(["train"]) == 2
    assert finished()


def test_what_an_encoding_lacks_is_a_question_mark(monkeypatch):
    binary = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(binary, "ascii"))
    assert cli.main(["run", *TINY, "output_dir='ü'"]) == 0
    text = binary.getvalue().decode("ascii")
    assert "Mean over seeds ? 95 %" in text and "Run folder: ?/runs/" in text
    assert finished("ü")


def test_an_output_is_its_file_in_everything_else(tmp_path):
    with open(tmp_path / "file", "w", encoding="utf-8") as file:
        output = Output(file)
        assert output.write("ä") == 1
        assert (output.encoding, output.fileno()) == ("utf-8", file.fileno())
        assert not output.isatty() and output.error is None


def test_paths_and_values_are_no_markup(capsys):
    where = "x/[/b] [red]:bug:"
    assert cli.main(["run", *TINY, f"output_dir='{where}'"]) == 0
    (path,) = re.findall("Run folder: (.*)", capsys.readouterr().out)
    assert path.startswith(where) and Path(path, "metrics.csv").exists()
    assert cli.main(["run", "-m", *TINY, "data_dir='[/a]','[red]:bug:'"]) == 0
    out = capsys.readouterr().out
    assert "│ [/a] " in out and "│ [red]:bug: " in out


# -- Plots -----------------------------------------------------------------------------------


def plots():
    return {path.name: path.stat().st_mtime_ns for path in Path().glob("outputs/runs/*/plots/*")}


def test_plots_are_drawn_where_one_is_missing_or_old():
    def run():
        assert cli.main(["run", *TINY]) == 0
        return plots()

    first = run()
    assert first.keys() == {"accuracy.png", "alignment.png"}
    assert run() == first
    (alignment,) = Path().rglob("alignment.png")
    alignment.unlink()
    second = run()
    assert second.keys() == first.keys() and second != first
    (metrics,) = Path().rglob("metrics.csv")
    os.utime(metrics)
    third = run()
    assert third.keys() == first.keys() and third["accuracy.png"] > second["accuracy.png"]


@pytest.mark.parametrize("error", [RuntimeError("latex is missing"), OSError(errno.ENOSPC, "Full")])
def test_a_plot_that_fails_costs_a_warning(monkeypatch, capsys, caplog, error):
    def fail(*args, **kwargs):
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(Figure, "savefig", fail)
        assert cli.main(["run", *TINY]) == 0
    assert "Run folder: " in capsys.readouterr().out and finished()
    (warning,) = caplog.messages
    assert "could not be drawn" in warning and str(error) in warning
    assert cli.main(["run", *TINY]) == 0 and len(plots()) == 2


def test_figures_start_from_matplotlibs_own_defaults(monkeypatch, tmp_path):
    monkeypatch.setattr(Figure, "savefig", SAVEFIG)

    def draw(name):
        with style.canvas() as (figure, [[axes]]):
            axes.plot([1, 2], [1, 3], label="a_b")
            axes.legend()
        style.save(figure, tmp_path / name)
        return (tmp_path / name).read_bytes()

    own = draw("own.png")
    users = {"text.usetex": True, "axes.facecolor": "red", "savefig.bbox": "tight", "font.size": 20}
    with matplotlib.rc_context(users):
        assert draw("users.png") == own
    pdf = draw("own.pdf")
    assert b"/Type3" not in pdf and b"/FontFile2" in pdf  # TrueType


# -- Disks -----------------------------------------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch):
    """No file whose path contains a word can be written."""

    def fill(word):
        sync = os.fsync

        def fsync(descriptor):
            if word in os.readlink(f"/proc/self/fd/{descriptor}"):
                raise OSError(errno.ENOSPC, "No space left on device")
            sync(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)

    return fill


BENCH = [word for word in TINY if not word.startswith("trainer.train_examples")]
BENCH += ["bench.rules=[dfa]", "bench.k=[1]", "bench.populations=[1]"]
BENCH += ["bench.contenders=[fabench]", "bench.precisions=[fp32]", "bench.seconds=0.001"]
FULL = {
    "a sweep's table": (["run", "-m", *TINY, "seed=0,1"], "/sweep.csv"),
    "a sweep's plot": (["run", "-m", *TINY, "seed=0,1"], "/sweep.png"),
    "a search's table": (["tune", *TINY, "seed=0", "search.values=[0.1,0.2,0.3]"], "/tune.csv"),
    "a bench": (["bench", *BENCH], "/bench.csv"),
}


@pytest.mark.parametrize("name", FULL)
def test_a_full_disk_costs_one_sentence(capsys, full_disk, name):
    args, file = FULL[name]
    full_disk(file.replace("/", "/."))
    assert cli.main(args) == 1
    sentence = (
        r"fabench: Writing outputs/.*%s failed \(No space left on device\): mend that, or .*\.\n"
    )
    assert re.fullmatch(sentence % re.escape(file), capsys.readouterr().err)


@pytest.mark.parametrize("verb", ["run", "tune", "bench"])
def test_a_read_only_disk_costs_one_sentence(monkeypatch, capsys, verb):
    def refuse(self, *args, **kwargs):
        if not self.exists():
            raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert cli.main([verb, *(BENCH if verb == "bench" else [*TINY, "seed=0"])]) in (1, 2)
    assert re.fullmatch(r"fabench: .*outputs.*Read-only file system.*\.\n", capsys.readouterr().err)


def test_a_dry_run_without_a_temporary_folder_costs_one_sentence(monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    assert cli.main(["run", *TINY, "dry_run=true"]) == 2
    assert capsys.readouterr().err == (
        "fabench: No usable temporary directory found in ['/tmp'].\n"
    )
