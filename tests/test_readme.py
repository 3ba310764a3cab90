"""Every command of the README and of the topics of ``fabench help`` works, and what they say about
files and options is so."""

import re
import shlex
from pathlib import Path

import pytest

from fabench.command import cli, figures
from fabench.command.help import TOPICS
from fabench.run import registry

ROOT = Path(__file__).parents[1]
PAGES = {file: file.read_text() for file in (ROOT / "README.md", *sorted(TOPICS.glob("*.md")))}
README = PAGES[ROOT / "README.md"]
TEXT = "\n".join(PAGES.values())
BLOCKS = re.findall(r"^```sh\n(.*?)^```", TEXT, re.M | re.S)
LINES = [line for block in BLOCKS for line in block.splitlines()]
COMMANDS = list(dict.fromkeys(line for line in LINES if line.startswith("fabench")))


def test_there_are_commands():
    assert len(COMMANDS) > 50


def test_the_readme_lists_every_topic():
    listed = re.findall(r"^\| \[`(\w+)`\]\((.*)\) \| (.*) \|$", README, re.M)
    headings = {file: text.splitlines()[0] for file, text in PAGES.items() if file.stem != "README"}
    assert {(ROOT / path, f"# {line}") for _, path, line in listed} == set(headings.items())
    assert [name for name, *_ in listed] == sorted(file.stem for file in headings)


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, with_own_things, monkeypatch, capsys, put_run):
    args = with_own_things(shlex.split(command, comments=True)[1:])
    if args[0] in ("run", "tune"):  # the same request, on data that needs no download, in seconds
        args += ["debug=smoke", "trainer.train_examples=128", "trainer.epochs=2"]
        aside = any(arg.startswith(("workers=", "cluster=")) for arg in args)
        args += ["dry_run=true"] if aside else []  # see test_workers.py, test_cluster.py
        own = {"experiment=encoder_contrastive_hebbian", "dataset=shapes"} & set(args)
        own |= {"dataset=arrays", "dataset=folder"} & set(args)
        args += [] if own else ["dataset=digits"]
        args += ["model.depth=10", "model.width=1"] if "model=wide_resnet" in args else []
        args = [arg for arg in args if not arg.startswith("logger=")]  # see test_loggers.py
        searches = "search=gaussian_process" in args
        args += ["search.trials=4", "search.random_points=2"] if searches else []
        evolves = "search=evolution" in args
        args += (
            ["search.trials=3", "search.random_formulas=2", "search.rates=[1]"] if evolves else []
        )
    elif args[0] == "report":
        put_run(k=3)
    elif args[0] == "data":
        monkeypatch.setattr("fabench.command.data.fetch", lambda name: registry.build(
            "dataset", {"name": name}).status())  # fmt: skip
    elif args[0] == "bench":
        args += ["dataset=digits", "model.hidden=[4]", "bench.k=[1]", "bench.populations=[1]"]
        args += ["bench.seconds=0.001", "bench.repetitions=1", "bench.scaling=false"]
        args += ["bench.models=[]", "bench.products=[]"]  # test_networks.py has them
        args += ["bench.loops=[]"]
        args.append("bench.rules=[dfa]")  # each is compiled anew; test_bench.py has both
    elif args[0] == "figures" and "--list" not in args:
        args += ["dry_run=true", "optimizer.lr=0.5", "model.weight_scale=0.2"]  # no grid over these
    assert cli.main(args) == 0, capsys.readouterr().err


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"^    make ([a-z-]+)", TEXT, re.M))
    named |= set(re.findall(r"`make ([a-z-]+)`", TEXT))
    assert named >= {"run", "test", "help"}
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_groups_table_is_complete():
    for group in ("learning_rule", "optimizer", "parallel", "dataset", "task", "model"):
        [row] = re.findall(rf"^\| `{group}` \| (.*) \|$", README, re.M)
        assert set(registry.names(group)) <= set(re.findall(r"`(\w+)`", row)), group


def test_named_figures_and_experiments_exist():
    named = set(" ".join(re.findall(r"`fabench figures ([\w ]+)`", TEXT)).split())
    assert len(named) > 20 and named <= {*figures.recipes(), "all"}
    experiments = set(re.findall(r"experiment=(\w+)", TEXT))
    assert experiments <= {file.stem for file in (ROOT / "conf/experiment").glob("*.yaml")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_lines_are_short_but_for_tables_and_commands(page):
    long = [line for line in PAGES[page].splitlines() if len(line) > 105]
    assert [line for line in long if not line.startswith(("|", "fabench "))] == []
