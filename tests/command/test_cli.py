"""The command line: verbs, exit codes, and one sentence for every wrong request.

Oracles: the exit codes that ``fabench --help`` promises, the files in conf/, sys.modules.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from tiny import TINY

from fabench import __version__
from fabench.command import cli, figures
from fabench.command.bench import bench
from fabench.command.help import TOPICS
from fabench.dataset.files import source
from fabench.run import registry
from fabench.run.trainer import Training
from fabench.schema import UserError

CONF = Path(__file__).parents[2] / "conf"
YAMLS = sorted(CONF.glob("*/**/*.yaml"))


pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture
def fabench(capsys):
    """``fabench ARGS``: exit code, stdout, stderr."""

    def call(*args):
        code = cli.main(args)
        return code, *capsys.readouterr()

    return call


# -- Verbs -----------------------------------------------------------------------------------


def test_help_names_every_verb_and_exit_code(fabench):
    code, out, err = fabench("--help")
    assert (code, err) == (0, "")
    for word in ("run", "list", "data", "--version", "130/143"):
        assert word in out


def commands(text):
    examples = re.sub(r"usage: .*\n", "", text)
    return re.findall(r"(fabench (?!VERB)[^\n]+?)(?:  |, |\n)", examples)


COMMANDS = sorted({c for text in (cli.HELP, *cli.HELPS.values()) for c in commands(text)})


@pytest.mark.parametrize("verb", cli.HELPS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_a_verbs_help_is_short_and_shows_commands(fabench, verb, flag):
    code, out, err = fabench(verb, flag)
    assert (code, out, err) == (0, cli.HELPS[verb], "")
    assert re.match(rf"usage: fabench .*\b{verb}\b", out)
    lines = out.splitlines()
    assert len(lines) <= 12 and max(map(len, lines)) <= 80
    assert len(commands(out)) >= 2


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_in_a_help_works(fabench, monkeypatch, with_own_things, put_run, command):
    monkeypatch.setattr("fabench.command.data.fetch", lambda name: registry.build(
        "dataset", {"name": name}).status())  # fmt: skip
    monkeypatch.setattr(figures, "_multiply_adds_per_second", lambda config: 1e9)
    small = dict.fromkeys(figures.recipes(), SimpleNamespace(EXPERIMENTS=["fig_3_1"]))
    monkeypatch.setattr(figures, "recipes", lambda: small)  # composed within seconds
    monkeypatch.setattr("fabench.command.tune.run_search", lambda *args: print("tuned"))
    monkeypatch.setattr(bench, "bench", lambda *args: print(bench.composed(*args)) or 0)
    args = with_own_things(command.split()[1:])
    if args[0] == "report":
        put_run(k=1)
        args = [arg for arg in args if arg != "fig_3_1"]  # whose runs are not there
    if args[0] in ("run", "figures") and not {"--help", "--list", "--cfg"} & set(args):
        args.append("dry_run=true")
    code, out, err = fabench(*args)
    assert (code, err) == (0, "") and (out or "--to" in args)


def test_no_arguments_show_the_help_as_an_error(fabench):
    assert fabench() == (2, fabench("--help")[1], "")


def test_help_lists_the_topics(fabench):
    code, out, err = fabench("help")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (code, err) == (0, "")
    texts = {file.stem: file.read_text() for file in TOPICS.glob("*.md")}
    assert {name: f"# {line}" for name, line in lines.items()} == {
        name: text.splitlines()[0] for name, text in texts.items()
    }


@pytest.mark.parametrize("file", sorted(TOPICS.glob("*.md")), ids=lambda file: file.stem)
def test_help_of_a_topic_is_its_text_with_links_from_the_top(fabench, file):
    code, out, err = fabench("help", file.stem)
    assert (code, err) == (0, "")
    link = re.compile(r"\]\((?!http)([^)]*)\)")
    assert link.sub("", out) == link.sub("", file.read_text())
    top = CONF.parent
    there = [(file.parent / target).resolve() for target in link.findall(file.read_text())]
    assert [top / target for target in link.findall(out)] == there


def test_version(fabench):
    assert fabench("--version") == (0, __version__ + "\n", "")


@pytest.mark.parametrize(
    "args, heavy",
    [
        (["--help"], ["torch", "hydra"]),
        (["--version"], ["torch", "hydra"]),
        (["help", "results"], ["torch", "hydra"]),
        (["list"], ["torch", "hydra"]),
        (["ls"], ["torch", "hydra", "pandas"]),
        (["run", "--cfg", "job", "k=7"], ["torch"]),
        (["-sc", "query=bash"], ["torch"]),
    ],
    ids=" ".join,
)
def test_quick_answers_import_nothing_heavy(args, heavy):
    program = (
        "import sys; from fabench.command import cli; code = cli.main(sys.argv[2:]);"
        "print('loaded', *set(sys.argv[1].split(',')) & set(sys.modules)); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, ",".join(heavy), *args],
        env={**os.environ, "COMP_LINE": "fabench run learning_rule="},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded"


# -- list ------------------------------------------------------------------------------------


def first_comment(file):
    comments = (line for line in file.read_text().splitlines() if line.startswith("# "))
    return next((line[2:] for line in comments if line[2] != "@"), None)


@pytest.mark.parametrize("file", YAMLS, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_yaml_has_a_headline(file):
    text = first_comment(file)
    assert text, "a comment above the first key"
    assert text[-1] in ".?", "a sentence"


def test_list_shows_every_option_with_its_headline(fabench):
    code, out, err = fabench("list")
    assert (code, err) == (0, "")
    group, shown = "", {}
    for line in out.splitlines():
        if line.startswith(" "):
            name, text = line.split(maxsplit=1)
            shown[group, name] = text
        else:
            group = line
    expected = {}
    for file in YAMLS:
        group, name = file.relative_to(CONF).with_suffix("").as_posix().split("/", 1)
        expected[group, name] = first_comment(file)
    assert shown == expected
    assert ("tuned", "fig_3_2/mnist_parity_dfa_sgd_uniform") in shown


def test_list_of_one_group_shows_that_group_only(fabench):
    code, out, _ = fabench("list", "learning_rule")
    heading, *options = out.splitlines()
    assert (code, heading) == (0, "learning_rule")
    rules = sorted(file.stem for file in (CONF / "learning_rule").glob("*.yaml"))
    assert [line.split()[0] for line in options] == rules


# -- data ------------------------------------------------------------------------------------


def test_data_lists_what_is_here_and_what_is_not(fabench, tmp_path):
    code, out, err = fabench("data")
    assert (code, err) == (0, "")
    states = {line.split()[0]: line.split()[1] for line in out.splitlines() if line[0] != " "}
    missing = dict.fromkeys(["cifar10", "cifar100", "fashion_mnist", "mnist"], "missing")
    assert states == {"digits": "present", **missing}
    assert out.count("verified") == 4  # digits' four arrays
    assert "fabench data mnist" in out
    assert str(tmp_path / "cache") in out


def test_data_of_one_dataset_shows_that_dataset_only(fabench):
    code, out, _ = fabench("data", "digits")
    assert code == 0
    assert out.startswith("digits") and "mnist" not in out


def test_data_that_is_corrupt_fails(fabench, tmp_path):
    raw = tmp_path / "cache" / "fabench" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in source.FILES.values():
        (raw / name).write_bytes(b"no IDX file")
    code, out, _ = fabench("data")
    assert code == 1
    assert "mnist           corrupt" in out


# -- Wrong requests --------------------------------------------------------------------------

SEARCHES = "learning_rule=local_search searches, and has no optimizer."
WRONG_REQUESTS = {
    "an unknown status": (["ls", "status=done"], ["status=done", "finished"]),
    "no run": (["show", "nosuch"], ["nosuch", "fabench ls"]),
    "show without a run": (["show"], ["one run"]),
    "one run to compare": (["compare", "nosuch"], ["2 different runs"]),
    "a report without runs": (["report", "learning_rule=bp"], ["None of these runs"]),
    "a report into nothing": (["report", "-o"], ["-o report.html"]),
    "nothing to remove": (["rm", "--yes"], ["filters", "rm status=interrupted"]),
    "a shell's question": (["run", "-sc", "query=bash", "k=1"], ["query=", "COMP_LINE"]),
    "a shell's later question": (["tune", "k=1", "-sc", "query=bash"], ["query=", "COMP_LINE"]),
    "unknown verb": (["train"], ["train", "fabench --help"]),
    "unknown topic": (["help", "nosuch"], ["nosuch", "tune"]),
    "unknown group": (["list", "nosuch"], ["nosuch", "learning_rule"]),
    "a line's end in a group": (["list", "a\nb\x1b"], [r"group a\nb\x1b;"]),
    "unknown dataset": (["data", "nosuch"], ["nosuch", "mnist"]),
    "two datasets": (["data", "mnist", "digits"], ["one dataset"]),
    "a flag of bench": (["bench", "--verbose"], ["--verbose", "bench.rules="]),
    "no contenders": (["bench", "bench.contenders=[]"], ["bench.contenders=[]"]),
    "no populations": (["bench", "bench.populations=[]"], ["bench.populations=[]"]),
    "a population": (["bench", "bench.populations=[1000000000000]"], ["memory"]),
    "a dry search": (["tune", "dry_run=true"], ["dry_run=true", "fabench run -m"]),
    "values twice": (["tune", "search.values=[0.1,0.1]"], ["search.values=[0.1, 0.1]", "twice"]),
    "no span": (["tune", "tune.span=inf"], ["tune.span=inf"]),
    "points": (["tune", "search.points=1000000000"], ["search.points=1000000000"]),
    "a path": (["tune", "dataset=../../conf/dataset/digits"], ["../../conf/dataset/digits"]),
    "another experiment": (["figures", "fig_3_1", "experiment=fig_3_2"], ["experiment=fig_3_2"]),
    "a figure's jobs": (["figures", "fig_3_1", "optimizer.lr=range(1000000000)"], ["max_jobs"]),
    "a search's rate": (
        ["tune", "learning_rule=local_search"],
        ["tune.key=optimizer.lr", SEARCHES],
    ),
    "a search's space": (
        [
            "tune",
            "learning_rule=local_search",
            "search=optuna",
            "search.space={optimizer.lr:[0.1,1]}",
        ],
        ["search.space.optimizer.lr", SEARCHES],
    ),
    "a searching figure": (
        ["figures", "fig_3_1", "learning_rule=local_search"],
        ["optimizer=sgd", SEARCHES],
    ),
    "a searching figure's rate": (
        ["figures", "fig_lillicrap", "learning_rule=local_search", "optimizer.lr=1"],
        ["optimizer", SEARCHES],
    ),
    "a figure's hook": (["figures", "fig_3_1", "+hydra.callbacks.x=1"], ["hydra.callbacks.x"]),
}
BIG = "1000000000"
SEARCH = "# @package _global_\ndefaults: [override /learning_rule: local_search"
SEARCHING = {
    "rate": f"{SEARCH}]\noptimizer: {{lr: 1.0}}\n",
    "optimizer": f"{SEARCH}, override /optimizer: adam]\n",
}
"""Experiments with an optimizer for a rule that has none."""
WRONG_RUNS = {  # flags, overrides, words of the sentence
    "a number of 5000 digits": ([], ["data_dir=" + 5000 * "9"], ["data_dir=9", "cannot be read"]),
    "a line's end in a value": ([], ["data_dir=\n,"], [r"data_dir=\n, cannot be read"]),
    "a line's end in a key": ([], ["data\n_dir=,"], [r"data\n_dir=, cannot be read"]),
    "a line's end alone": ([], ["data_dir\n,"], [r"data_dir\n, is no override"]),
    "unknown option": ([], ["learning_rule=dfaa"], ["learning_rule=dfaa", "mean dfa?"]),
    "unknown option of a sweep": (["-m"], ["optimizer=sgd,adm"], ["optimizer=adm", "adam"]),
    "unknown group": ([], ["rule=dfa"], ["rule"]),
    "unknown key": ([], ["optimizer.lrr=1"], ["optimizer.lrr", "mean optimizer.lr?"]),
    "added key": ([], ["+foo=1"], ["foo", "seed"]),
    "added key in a group": ([], ["+optimizer.foo=1"], ["optimizer.foo"]),
    "removed group": ([], ["~optimizer"], ["optimizer"]),
    "wrong type": ([], ["optimizer.lr=abc"], ["optimizer.lr=abc", "number"]),
    "number in quotes": ([], ["optimizer.lr='1'"], ["optimizer.lr=1", "number"]),
    "out of range": ([], ["optimizer.lr=-1"], ["optimizer.lr=-1", "greater than 0"]),
    "not finite": ([], ["optimizer.lr=nan"], ["optimizer.lr=nan", "finite"]),
    "infinite": ([], ["trainer.weight_decay=inf"], ["trainer.weight_decay=inf", "finite"]),
    "half an epoch": ([], ["trainer.epochs=0.5"], ["trainer.epochs=0.5", "integer"]),
    "no epochs": ([], ["trainer.epochs=0"], ["trainer.epochs=0", "1"]),
    "not one of few": ([], ["trainer.precision=fp8"], ["trainer.precision=fp8", "bf16"]),
    "null": ([], ["output_dir=null"], ["output_dir"]),
    "not a list": ([], ["model.hidden=3"], ["model.hidden=3", "list"]),
    "empty layer": ([], ["model.hidden=[5,0]"], ["model.hidden", "0"]),
    "k=0": ([], ["k=0"], ["k=0", "1"]),
    "k=-1": ([], ["k=-1"], ["k=-1", "1"]),
    "k=2.5": ([], ["k=2.5"], ["k=2.5", "integer"]),
    "k=abc": ([], ["k=abc"], ["k=abc", "integer"]),
    "k=null": ([], ["k=null"], ["k="]),
    "k=[1,2]": ([], ["k=[1,2]"], ["k=[1, 2]", "integer"]),
    "two k without -m": ([], ["k=1,3"], ["k="]),
    "interval": (["-m"], ["k=interval(1,3)"], ["k"]),
    "seed=-1": ([], ["seed=-1"], ["seed", "-1", "0"]),
    "seed=1.5": ([], ["seed=1.5"], ["seed", "1.5", "integer"]),
    "seed=[0,0]": ([], ["seed=[0,0]"], ["seed=[0, 0]", "twice"]),
    "seed=[]": ([], ["seed=[]"], ["seed=[]: it should have at least 1 item"]),
    "no GPU": ([], ["trainer.device=cuda"], ["trainer.device=cuda", "trainer.device=cpu"]),
    "tf32 on a CPU": ([], ["trainer.precision=tf32"], ["trainer.precision=tf32", "fp32"]),
    "no such data": ([], ["dataset=mnist", "data_dir=/nosuch"], ["/nosuch", "data_dir"]),
    "file in the way": ([], ["output_dir=file"], ["file", "output_dir"]),
    "file in a sweep's way": (["-m"], ["output_dir=file", "seed=0,1"], ["file"]),
    "empty sweep": (["-m"], ["learning_rule=glob(zz*)"], ["no option matches"]),
    "empty sweep of numbers": (["-m"], ["k=glob(zz*)"], ["k"]),
    "broken override": ([], ["learning_rule=[bp"], ["[bp"]),
    "no override": ([], ["nonsense"], ["nonsense"]),
    "a space before a key": ([], [" data_dir="], ["fabench: data_dir= cannot be read; if"]),
    "an empty argument": ([], [" "], ["fabench: '' is no override"]),
    "unknown flag": (["--nosuch"], [], ["--nosuch"]),
    "unknown package": (["--cfg", "job", "-p", "nosuch"], [], ["fabench: package 'nosuch' not"]),
    "unknown kind of --cfg": (["--cfg", "nosuch"], [], ["nosuch"]),
    "missing config folder": (["--config-dir", "/nosuch"], [], ["/nosuch"]),
    "missing config": (["--config-name", "nosuch"], [], ["nosuch"]),
    "broken YAML": (["--config-dir", "own"], ["learning_rule=broken"], ["broken"]),
    "rate beyond float32": ([], ["optimizer.lr=1e300"], ["optimizer.lr", "float32"]),
    "rate that overflows": ([], ["optimizer=adamax", "optimizer.lr=1e38"], ["optimizer.lr"]),
    "rate that is 0 in float32": ([], ["optimizer.lr=1e-300"], ["optimizer.lr", "float32"]),
    "penalty beyond float32": ([], ["trainer.weight_decay=1e39"], ["trainer.weight_decay"]),
    "scale beyond float32": ([], ["init_of_B.scale=1e39"], ["init_of_B.scale"]),
    "step beyond float32": ([], ["trainer.adversarial=1e39"], ["trainer.adversarial"]),
    "1 in float32": (
        [],
        ["optimizer=momentum", f"optimizer.momentum=0.{'9' * 12}"],
        ["optimizer.momentum"],
    ),
    "option with its ending": ([], ["learning_rule=bp.yaml"], ["learning_rule=bp.yaml"]),
    "option from the root": ([], ["learning_rule=/bp"], ["learning_rule=/bp"]),
    "list of options": ([], ["learning_rule=[bp]"], ["learning_rule=[bp]"]),
    "number as an option": ([], ["learning_rule=[1]"], ["learning_rule=[1]"]),
    "interpolation as an option": ([], ["optimizer=${nosuch}"], ["optimizer=${nosuch}"]),
    "no such rate": ([], ["tuned=nosuch"], ["tuned=nosuch"]),
    "no such rate of a recipe": ([], ["tuned@_global_=nosuch"], ["tuned@_global_=nosuch"]),
    "interpolation": ([], ["optimizer.lr=${nosuch}"], ["optimizer.lr", "nosuch"]),
    "unknown resolver": ([], ["optimizer.lr=${nosuch:1}"], ["optimizer.lr", "nosuch"]),
    "interpolation of itself": ([], ["optimizer.lr=${optimizer.lr}"], ["optimizer.lr"]),
    "no such variable": ([], ["optimizer.lr=${oc.env:NOSUCH}"], ["optimizer.lr", "NOSUCH"]),
    "interpolated folder": ([], ["output_dir=${nosuch}"], ["output_dir", "nosuch"]),
    "no key": ([], ["+="], ["+="]),
    "no key to change": ([], ["="], ["key=value"]),
    "part of a setting": ([], ["model.hidden.x.y=[2]"], ["model.hidden.x.y"]),
    "part of a number": ([], ["optimizer.lr.x=2"], ["optimizer.lr.x"]),
    "item that is not there": ([], ["model.hidden.5=2"], ["model.hidden"]),
    "glob without -m": ([], ["k=glob(*)"], ["k=", "-m"]),
    "glob of numbers": (["-m"], ["k=glob([1])"], ["k=glob([1])"]),
    "choices without -m": ([], ["optimizer=sgd,adam"], ["optimizer=sgd,adam", "-m"]),
    "long path": ([], [f"output_dir={'a' * 300}"], ["output_dir", "too long"]),
    "long data path": ([], [f"data_dir={'a' * 300}"], ["data_dir", "too long"]),
    "empty path": ([], ["output_dir="], ["output_dir"]),
    "path without quotes": ([], ["output_dir=/x/a=b"], ["quote", "'output_dir=\"/x/a=b\"'"]),
    "path with a letter": ([], ["output_dir=/x/ü"], ["quote", "'output_dir=\"/x/ü\"'"]),
    "nobody's home": ([], ["output_dir='~nosuch/x'"], ["output_dir=~nosuch/x"]),
    "width": ([], [f"model.hidden=[{BIG}]"], [f"model.hidden=[{BIG}]", "memory"]),
    "width of no integer": ([], [f"model.hidden=[{BIG * 3}]"], ["model.hidden"]),
    "channels": (
        [],
        ["model=convnet", f"model.channels=[{BIG}]"],
        [f"model.channels=[{BIG}]", "memory"],
    ),
    "simulated workers": (
        [],
        ["parallel=hogwild", f"parallel.workers={BIG}"],
        [f"parallel.workers={BIG}", "memory"],
    ),
    "digits": ([], [f"k={BIG}"], [f"k={BIG}", "memory"]),
    "bits": ([], ["dataset=sparse_parity", f"dataset.n={BIG}"], [f"dataset.n={BIG}", "memory"]),
    "points": (
        [],
        ["dataset=clusters", f"dataset.n_train={BIG}000"],
        [f"dataset.n_train={BIG}", "memory"],
    ),
    "removed setting": ([], ["~data_dir"], ["data_dir"]),
    "removed list": ([], ["~seed"], ["seed"]),
    "seeds of seeds": ([], ["seed=[[1]]"], ["seed=[[1]]", "integers"]),
    "names as seeds": ([], ["seed=[three]"], ["seed=[three]", "integers"]),
    "setting of another group": ([], ["optimizer.weight_decay="], ["mean trainer.weight_decay?"]),
    "setting without its group": ([], ["epochs=3"], ["mean trainer.epochs?"]),
    "a search's rate": ([], ["learning_rule=local_search", "optimizer.lr=1"], [f"lr: {SEARCHES}"]),
    "a search's schedule": (
        [],
        ["learning_rule=local_search", "schedule=cosine"],
        [f"schedule=cosine: {SEARCHES}"],
    ),
    "a setting of a value": ([], ["data_dir.x="], ["data_dir.x is not a setting"]),
    "workers without a scheme": (
        [],
        ["parallel.workers=4"],
        ["parallel.workers is not a setting: parallel=serial has none"],
    ),
    "a search's workers": (
        [],
        ["learning_rule=local_search", "parallel=hogwild"],
        [f"parallel=hogwild: {SEARCHES}"],
    ),
    "a search's rate in a sweep": (
        ["-m"],
        ["learning_rule=bp,local_search", "optimizer.lr=1,2"],
        [f"lr: {SEARCHES}"],
    ),
    "a search's added rate": (
        [],
        ["learning_rule=local_search", "+optimizer.lr=1"],
        [f"optimizer.lr: {SEARCHES}"],
    ),
    "a search's optimizer": (
        [],
        ["learning_rule=local_search", "optimizer=adam"],
        [f"optimizer=adam: {SEARCHES}"],
    ),
    "a search's default optimizer": (
        [],
        ["learning_rule=local_search", "optimizer=sgd"],
        [f"optimizer=sgd: {SEARCHES}"],
    ),
    "an optimizer in a sweep of searches": (
        ["-m"],
        ["learning_rule=local_search", "optimizer=adam"],
        [f"optimizer=adam: {SEARCHES}"],
    ),
    "a search's experiment": (
        ["--config-dir", "own"],
        ["experiment=rate"],
        [f"optimizer.lr: {SEARCHES}"],
    ),
    "a search's experiment's optimizer": (
        ["--config-dir", "own"],
        ["experiment=optimizer"],
        [f"optimizer=adam: {SEARCHES}"],
    ),
    "a value of a sweep": (["-m"], ["optimizer.lr=0.1,-1"], ["optimizer.lr=-1", "greater than 0"]),
    "a value of another launcher's sweep": (
        ["-m"],
        ["seed=0", "k=0,1", "hydra/launcher=basic"],
        ["k=0"],
    ),
    "a path of a sweep": (["-m"], ["output_dir=outputs,''"], ["output_dir= is empty"]),
    "jobs": (["-m"], [f"optimizer.lr=range({BIG})"], ["optimizer.lr", "max_jobs=10000"]),
    "shuffled jobs": (["-m"], [f"optimizer.lr=shuffle(range({BIG}))"], ["max_jobs=10000"]),
    "jobs of small steps": (["-m"], ["optimizer.lr=range(0,1,1e-300)"], ["max_jobs=10000"]),
    "jobs without end": (["-m"], ["optimizer.lr=range(0,inf)"], ["optimizer.lr=range(0,inf)"]),
    "jobs without a step": (["-m"], ["optimizer.lr=range(1,0,0)"], ["optimizer.lr=range(1,0,0)"]),
    "numbered jobs": (["-m"], [f"seed=range({BIG})"], [f"seed=range({BIG})"]),
    "jobs of two keys": (
        ["-m"],
        ["optimizer.lr=1,2,3", "k=1,2", "max_jobs=5"],
        ["optimizer.lr, k", "6", "max_jobs=5"],
    ),
    "YAML that names nothing": (["--config-dir", "own"], ["learning_rule=mine"], ["mine", "dfa"]),
}


def assert_one_sentence(err, words):
    assert err.startswith("fabench: ")
    assert err.count("\n") == 1 and err.endswith("\n"), err
    assert "Traceback" not in err
    assert len(err) < 400
    assert "mean ?" not in err and err.rstrip()[-1] in ".?)"
    for word in words:
        assert word in err


@pytest.mark.parametrize("name", WRONG_REQUESTS)
def test_a_wrong_request_gets_one_sentence(fabench, name):
    args, words = WRONG_REQUESTS[name]
    code, out, err = fabench(*args)
    assert (code, out) == (2, "")
    assert_one_sentence(err, words)


WRONG_EXPERIMENTS = {
    "leads to itself": ("# @package _global_\ndefaults: [/experiment: own]\n", "leads to itself"),
    "a list of settings": ("# @package _global_\ntrainer: [1]\n", "experiment/own: Cannot merge"),
    "another mode": (
        "# @package _global_\nhydra:\n  mode: BOGUS\n",
        "experiment/own: hydra.mode: Invalid value 'BOGUS'",
    ),
    "no values": (
        "# @package _global_\nhydra:\n  sweeper:\n    params:\n      k: null\n",
        "experiment/own: hydra.sweeper.params.k: ",
    ),
    "another encoding": ("# @package _global_ ä\n".encode("latin1"), "is not UTF-8"),
    "no header": ("k: 2\n", "begins with # @package _global_."),
    "nothing": ("", "begins with # @package _global_."),
}


@pytest.mark.parametrize("name", WRONG_EXPERIMENTS)
def test_a_wrong_experiment_gets_one_sentence(fabench, tmp_path, name):
    content, words = WRONG_EXPERIMENTS[name]
    (tmp_path / "own/experiment").mkdir(parents=True)
    file = tmp_path / "own/experiment/own.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, _, err = fabench("run", "--config-dir", "own", *TINY, "experiment=own")
    assert code == 2
    assert_one_sentence(err, [words])


@pytest.mark.parametrize("name", WRONG_RUNS)
def test_a_wrong_run_gets_one_sentence(fabench, tmp_path, name):
    if torch.cuda.is_available() and name in ("no GPU", "tf32 on a CPU"):
        pytest.skip("there is a GPU")
    flags, overrides, words = WRONG_RUNS[name]
    (tmp_path / "file").touch()
    (tmp_path / "own" / "learning_rule").mkdir(parents=True)
    (tmp_path / "own" / "learning_rule" / "broken.yaml").write_text("name: dfa\nscale: [1,\n")
    (tmp_path / "own" / "learning_rule" / "mine.yaml").write_text("name: mine\n")
    (tmp_path / "own" / "experiment").mkdir()
    for name, changes in SEARCHING.items():
        (tmp_path / "own" / "experiment" / f"{name}.yaml").write_text(changes)
    code, _, err = fabench("run", *flags, *TINY, *overrides)
    assert code == 2
    assert_one_sentence(err, words)
    assert not list(tmp_path.rglob("metrics.csv")), "nothing was trained"


# -- Failures --------------------------------------------------------------------------------


@pytest.fixture
def broken(monkeypatch):
    """A bug of our own in the middle of a run."""

    def fail(*args):
        raise ZeroDivisionError("one line\nand another")

    monkeypatch.setattr("fabench.run.trainer.evaluate", fail)


@pytest.mark.parametrize("sweep", [[], ["-m"]], ids=["run", "sweep"])
def test_a_bug_gets_one_sentence_that_tells_how_to_see_more(fabench, broken, sweep):
    code, _, err = fabench("run", *sweep, *TINY, "seed=0")
    assert code == 1
    assert_one_sentence(err, ["ZeroDivisionError", "one line and another", "HYDRA_FULL_ERROR=1"])


def test_one_job_that_breaks_leaves_the_sweep_its_table(fabench, monkeypatch, tmp_path):
    whole = Training.run

    def run(self, reporter):
        if any(member.folder.config.general.k == 2 for member in self.members):
            raise ZeroDivisionError("one line\nand another")
        whole(self, reporter)

    monkeypatch.setattr("fabench.run.trainer.Training.run", run)
    code, out, err = fabench("run", "-m", *TINY, "seed=0", "k=1,2,3")
    assert code == 1
    assert_one_sentence(err, ["ZeroDivisionError", "one line and another", "HYDRA_FULL_ERROR=1"])
    [file] = tmp_path.glob("outputs/sweeps/*/sweep.csv")
    table = pd.read_csv(file).sort_values("k")
    assert table.status.tolist() == ["finished", "failed", "finished"]
    assert "one line and another" in table.reason.tolist()[1] and "Sweep folder" in out


@pytest.mark.parametrize(
    "error", [MemoryError("x"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_memory_that_runs_out_is_a_sentence_about_sizes(fabench, monkeypatch, error):
    def run(self, reporter):
        raise error

    monkeypatch.setattr("fabench.run.trainer.Training.run", run)
    code, _, err = fabench("run", *TINY, "seed=0")
    assert code == 1
    assert_one_sentence(err, ["model.hidden=[3]", "memory"])


@pytest.mark.parametrize("path", ["~/outs", "'~/outs'"])
@pytest.mark.parametrize("flags", [[], ["-m"]], ids=["run", "sweep"])
def test_the_tilde_is_the_home(fabench, monkeypatch, tmp_path, path, flags):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert fabench("run", *flags, *TINY, "seed=0", f"output_dir={path}")[0] == 0
    assert [file.name for file in tmp_path.iterdir()] == ["home"]
    assert len(list(tmp_path.glob("home/outs/runs/*/metrics.csv"))) == 1


def test_a_hundred_seeds(fabench):
    seeds = ",".join(map(str, range(100)))
    code, out, err = fabench("run", *TINY, f"seed=[{seeds}]", "dry_run=true")
    assert code == 0, err
    assert "100 networks" in out


def test_full_error_raises_what_happened(monkeypatch, broken):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["run", *TINY, "seed=0"])
    with pytest.raises(UserError, match=r"optimizer\.lr"):
        cli.main(["run", *TINY, "optimizer.lr=abc"])
    assert os.environ["HYDRA_FULL_ERROR"] == "1"


@pytest.mark.parametrize("full", [False, True])
def test_the_program_exits_with_the_code_and_a_traceback_only_if_asked(full):
    done = subprocess.run(
        [sys.executable, "-m", "fabench", "train"],
        env={**os.environ, **({"HYDRA_FULL_ERROR": "1"} if full else {})},
        capture_output=True,
        text=True,
    )
    if full:
        assert "Traceback" in done.stderr and "UserError" in done.stderr
    else:
        assert_one_sentence(done.stderr, ["train"])
        assert done.returncode == 2


def test_a_table_without_rows_is_not_shown(fabench, tmp_path):
    assert fabench("run", *TINY, "seed=0")[0] == 0
    [table] = tmp_path.glob("outputs/runs/*/metrics.csv")
    table.write_text(table.read_text().splitlines(keepends=True)[0])
    code, out, err = fabench("run", *TINY, "seed=0")
    assert (code, out) == (2, "")
    assert_one_sentence(err, ["metrics.csv", "overwrite=true"])
