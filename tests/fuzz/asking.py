"""Shared by the fuzzers: a sandbox, ``fabench ARGS`` in this process, what every answer must be."""

import contextlib
import io
import logging
import os
import re
import resource
import signal
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pandas as pd
import yaml
from matplotlib.figure import Figure

from fabench.command import cli
from fabench.dataset.files import download
from fabench.run.config import GROUPS
from fabench.run.store import TIMES

CONF = Path(__file__).parents[2] / "conf"
LONG = "FUZZ" in os.environ
"""Whether ``make fuzz`` asks: for more examples, and for others every time."""

TINY = [
    "dataset=digits",  # needs no files
    "trainer.device=cpu",
    "trainer.epochs=1",
    "trainer.train_examples=64",
    "trainer.test_examples=64",
    "model.hidden=[4]",
    "seed=0",
]

SENTENCE = re.compile(r"(Fetching .*\n)*fabench: \S.*[.?)]\n")

RAW = re.compile(
    r"\b\w+(Error|Exception|Warning|Interrupt): |HYDRA_FULL_ERROR|NoneType|<class |<fabench"
    r"|fabench: None|' object |object is not|not subscriptable|invalid literal|to unpack|: it [A-Z]"
)
"""What Python or a library says to programmers."""

MEMORY = 4 * 2**30
"""Bytes that a command may ask for beside what this process has."""


@dataclass(frozen=True)
class Answer:
    """What a command leaves in the terminal."""

    code: int
    out: str
    err: str


class TooSlow(BaseException):
    """Nothing that a program would catch."""


def ask(*args: str, seconds: int = 60, plots: bool = False) -> Answer:
    """``fabench ARGS``, without a network and, for speed, with plots that nobody draws."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors, write_through=True)
                for errors in ("strict", "backslashreplace"))  # fmt: skip
    root = logging.getLogger()
    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.object(root, "handlers", []))  # a new program has none
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        for name in ("from_torchvision", "from_package_index", "from_npm"):
            stack.enter_context(patch.object(download, name, _no_network))
        if not plots:
            stack.enter_context(patch.object(Figure, "savefig", _no_pixels))
        stack.enter_context(_memory())
        stack.enter_context(_alarm(seconds))
        code = cli.main(args)
    root.setLevel(logging.WARNING)  # hydra.verbose=true
    texts = (stream.buffer.getvalue().decode("utf-8", "replace") for stream in (out, err))
    return Answer(code, *texts)


def _no_network(*_: object) -> None:
    raise download.DownloadFailed("no network")


def _no_pixels(_: Figure, file: io.BytesIO, **__: object) -> None:
    file.write(b"a plot")


@contextlib.contextmanager
def _alarm(seconds: int):
    def ring(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    except TooSlow:
        raise AssertionError(f"no answer after {seconds} s") from None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _memory():
    """Refuse this process memory before it takes the machine's."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@contextlib.contextmanager
def sandbox():
    """An empty working folder, and a home and a cache beside it."""
    with TemporaryDirectory(prefix="fuzz-") as folder:
        base = Path(folder)
        work, home = base / "work", base / "home"
        work.mkdir(), home.mkdir()
        ours = {"HOME": str(home), "XDG_CACHE_HOME": str(base / "cache"), "COLUMNS": "200"}
        theirs = ("FABENCH_DATA", "HYDRA_FULL_ERROR", "COMP_LINE", "FORCE_COLOR")
        clean = {key: value for key, value in os.environ.items() if key not in theirs}
        with patch.dict(os.environ, clean | ours, clear=True), contextlib.chdir(work):
            yield work


def check(answer: Answer) -> None:
    """Exit code 0, 1 or 2; what went wrong is one sentence, and nobody sees Python's own words."""
    assert answer.code in (0, 1, 2), answer
    assert "Traceback" not in answer.out + answer.err, answer
    if answer.code:
        assert SENTENCE.fullmatch(answer.err) and not RAW.search(answer.err), answer


def run_folders(output_dir: Path) -> list[Path]:
    """The folders of the runs that have begun."""
    return sorted((output_dir / "runs").glob("*"))


def metrics(folder: Path) -> pd.DataFrame:
    """metrics.csv without the columns that differ between two executions."""
    return pd.read_csv(folder / "metrics.csv").drop(columns=TIMES)


@cache
def options() -> dict[str, list[str]]:
    """The names of every group's options."""
    groups = (path for path in CONF.iterdir() if path.is_dir() and path.name != "tuned")
    return {group.name: sorted(f.stem for f in group.glob("*.yaml")) for group in sorted(groups)}


THEIRS = ("defaults", "name", "hydra")
"""Keys in conf/ that are no settings."""


@cache
def settings() -> dict[str, object]:
    """Every dotted key that some file in conf/ has, with its value there."""
    found: dict[str, object] = {}
    for group in GROUPS:
        for option in options()[group]:
            content = yaml.safe_load((CONF / group / f"{option}.yaml").read_text())
            found |= {f"{group}.{k}": v for k, v in content.items() if k not in THEIRS}
    config = yaml.safe_load((CONF / "config.yaml").read_text())
    return found | {k: v for k, v in config.items() if k not in THEIRS}
