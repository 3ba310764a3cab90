"""Random command lines, most of which ask for nothing sensible.

Oracles: the exit codes that ``fabench --help`` promises, one sentence for every refusal, and the
files that were there before.
"""

import pickle
from pathlib import Path

from asking import CONF, LONG, TINY, ask, check, options, sandbox, settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

# -- Words -----------------------------------------------------------------------------------

NASTY = [
    "", "null", "~", "true", "nan", "inf", "-inf", "0", "-1", "0.0", "1e300", "1e-300", "1e999",
    "1e38", "9" * 30, "9" * 5000, "0x10", "1_000", "1.0.0", "[]", "[1]", "[[1]]", "[0,0]",
    "[a,null]", "{}", "{a:1}", "{a:{b:[1,2]}}", "[1,{a:b}]", "1000000000", "[1000000000]",
    "[1000000000000000000]", "${nosuch}", "${optimizer.lr}", "${optimizer}", "${oc.env:HOME}",
    "${oc.env:NOSUCH}", "${now:%Y}", "${oc.decode:x}", "${hydra:job.name}", "${hydra.job.num}",
    "${nosuch:1}", "${", "${}", "$", "???", "'", '"', "'a", "'1'", '"1"', "'a b'", "a b", ",", "1,",
    ",1", "1,2", "a,b", "[1,2],[3]", "0.1,0.1", "range(3)", "range(1,0)", "range(0,1,0)",
    "range(1,2,0.5)", "range(1000000000)", "glob(s*)", "glob([)", "glob(s*,exclude=sgd)",
    "choice(1,2)", "choice()", "choice(glob(s*))", "interval(0,1)", "shuffle(range(3))",
    "sort(3,1)", "tag(a,1,2)", "str(1)", "int(x)", "int(1.5)", "float(nan)", "bool(1)",
    "json_str([1])", "nosuch(1)", "extend_list(1)", "ü", "🙂", "\u202e", "\x07", "\n", "a\nb", "\t",
    "[/b]", "[bold]x", "x[/b]", "%s", "{0}", "..", "../x", "/", "//x", "*", "?", "a=b", "a=", "=",
    "a:b", "- a", "#", "@", "!!python/name:os.system", "!!int x", "&a [*a]", "*a", "x" * 300,
    "_global_", "_self_", "_here_", "bp.yaml", "/bp", "./bp", "../optimizer/sgd", "off", "None",
]  # fmt: skip

HYDRAS = [
    "hydra.run.dir=elsewhere", "hydra.sweep.dir=elsewhere", "hydra.sweep.subdir=elsewhere",
    "hydra.output_subdir=elsewhere", "hydra.job.chdir=true", "hydra.job.name=x", "~hydra.run.dir",
    "hydra.mode=MULTIRUN", "hydra.mode=RUN", "hydra.mode=x", "hydra.job.env_set.PATH=x",
    "+hydra.job.env_set.PATH=x", "hydra.sweeper.params={seed:'0,1'}", "hydra.run={dir:elsewhere}",
    "+hydra.sweeper.params.seed='0,1'", "hydra.sweeper.max_batch_size=1", "hydra.verbose=true",
    "hydra.searchpath=[nosuch]", "hydra.searchpath=[mine]", "hydra.searchpath=[pkg://os]",
    "hydra/launcher=basic", "hydra/launcher=joblib", "hydra/launcher=x", "hydra/sweeper=x",
    "hydra/job_logging=default", "hydra/hydra_logging=colorlog", "hydra/output=x", "hydra/env=x",
    "hydra.launcher._target_=os.getcwd", "+hydra.callbacks.a._target_=os.getcwd", "~hydra",
    "+hydra.callbacks.a={_target_:pathlib.Path.write_text,self:elsewhere,data:x}", "hydra=x",
    "hydra.help.template=x", "hydra.runtime.cwd=x", "+hydra.x=1", "hydra.job_logging={}",
]  # fmt: skip
"""Hydra's own settings, some of which would write elsewhere or call something."""

FLAGS = [
    ["-m"], ["--multirun"], ["--cfg", "job"], ["--cfg", "hydra"], ["--cfg", "all"], ["--cfg", "x"],
    ["--cfg"], ["--cfg=job"], ["--cfg", "job", "--resolve"], ["--cfg", "job", "-p", "optimizer"],
    ["--cfg", "job", "-p", "nosuch"], ["--info"], ["--info", "config"], ["--info", "defaults"],
    ["--info", "x"], ["--help"], ["-h"], ["--hydra-help"], ["--version"], ["--resolve"], ["--run"],
    ["--package", "x"], ["--nosuch"], ["-x"], ["-"], ["--"], ["--config-name", "x"], ["-sc", "x"],
    ["--config-name", "tune"], ["--config-path", "x"], ["--config-dir", "nosuch"], ["x"], [""],
    ["--config-dir", "mine"], ["--config-dir=mine", "optimizer=mine"], ["-sc", "query=bash"],
    *(["--config-dir=mine", f"experiment={name}"] for name in (
        "bomb", "broken", "callback", "defaults", "empty", "environment", "list", "run_dir", "sweep"
    )),
    ["--experimental-rerun", "nosuch"], ["--experimental-rerun", "mine/rerun.pickle"],
    ["--shell-completion"], ["learning_rule"], ["@x"],
]  # fmt: skip

HEAD = "# @package _global_\n"
MINE = {
    "optimizer/mine.yaml": "# Mine.\nname: sgd\nlr: 0.5\n",
    "experiment/bomb.yaml": HEAD + "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)),
    "experiment/broken.yaml": HEAD + "a: [\n",
    "experiment/callback.yaml": HEAD + "hydra:\n  callbacks:\n    a:\n"
    "      _target_: pathlib.Path.write_text\n      self: elsewhere\n      data: x\n",
    "experiment/defaults.yaml": "defaults:\n  - nosuch\n  - /nosuch: 3\n",
    "experiment/empty.yaml": "",
    "experiment/environment.yaml": HEAD + "hydra:\n  job:\n    env_set:\n      PATH: mine\n",
    "experiment/list.yaml": "- a\n",
    "experiment/run_dir.yaml": HEAD + "hydra:\n  run:\n    dir: elsewhere\n  output_subdir: x\n",
    "experiment/sweep.yaml": HEAD + "hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
    "      optimizer.lr: 0.1,0.2\n",
}  # fmt: skip
"""A user's own folder of configuration."""


class Marker:
    """Leaves a file behind where it is unpickled."""

    def __reduce__(self):
        return Path("elsewhere").touch, ()


PLACES = [
    "", "/x", "ü", " x", "=b", "/[/b]", "[bold]", ",x", "/x" * 40, "x" * 300, "/$x", "/${seed}",
    "/", "//", "/\n", "\x07", "/mine", "#", "%s", "/~", "/🙂", "\t", ":", "/.", "\\",
]  # fmt: skip
"""What may follow "out" in a folder's name."""


def quoted(text: str) -> str:
    """As Hydra takes any text for a value."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def misspelt(key: str, at: int) -> str:
    at %= len(key)
    return key[:at] + key[at + 1 :]


def like(value: object) -> st.SearchStrategy[str]:
    """Text of a value of the same kind."""
    if isinstance(value, bool):
        return st.sampled_from(["true", "false"])
    if isinstance(value, int):
        return st.integers(-1, 70).map(str)
    if isinstance(value, float):
        return st.one_of(st.floats(0, 1), st.floats(allow_nan=False)).map(repr)
    if isinstance(value, list):
        numbers = st.lists(st.integers(0, 9).map(str), max_size=3)
        return numbers.map(lambda texts: f"[{','.join(texts)}]")
    if value is None:
        return st.sampled_from(["null", "1", "64", "2,3"])
    return st.sampled_from([text for text in settings().values() if isinstance(text, str)])


nasty = st.sampled_from(NASTY)
text = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
    st.text("[]{}(),:='\"$~+@. 01ae-\\", max_size=8),
)
junk = st.one_of(
    nasty,
    nasty,
    st.one_of(nasty, text).map(quoted),
    text,
    st.floats().map(repr),
    st.integers().map(str),
)
keys = st.sampled_from(sorted(settings()))
groups = st.sampled_from(sorted(set(options()) - {"experiment"}))  # whose sweeps take long
names = st.one_of(keys, groups, st.sampled_from(["hydra", "tuned", "experiment", "nosuch"]))


def override(*parts: object) -> st.SearchStrategy[str]:
    """Parts, drawn or given, one after the other."""
    strategies = [st.just(part) if isinstance(part, str) else part for part in parts]
    return st.tuples(*strategies).map("".join)


good = st.one_of(
    groups.flatmap(lambda group: override(group, "=", st.sampled_from(options()[group]))),
    keys.flatmap(lambda key: override(key, "=", like(settings()[key]))),
)
bad = st.one_of(
    *[override(names, "=", junk)] * 4,
    override(st.sampled_from(["+", "++", "~", "-", "+~", "/", " "]), names, "=", junk),
    override(names, "=", junk, ",", junk),
    override(names, st.sampled_from([".x", ".x.y", ".0", ".", "[0]", "@x", "@", "/x"]), "=", junk),
    override(st.builds(misspelt, names, st.integers(0, 20)), "=", junk),
    override("~", names),
    override(junk, "=", junk),
    *[st.sampled_from(HYDRAS)] * 2,
    override(
        "output_dir=",
        st.tuples(st.sampled_from(["", "", "./", "~/"]), st.sampled_from(PLACES)).map(
            lambda drawn: quoted(f"{drawn[0]}out{drawn[1]}")
        ),
    ),
)

# -- Lines -----------------------------------------------------------------------------------

SHORT = ["trainer.epochs=1", "trainer.train_examples=16", "trainer.test_examples=16"]
"""In the last place: no other override makes it longer."""

flag = st.one_of(
    *[st.just([])] * 2, st.just(["-m"]), st.just(["--cfg", "job"]), st.sampled_from(FLAGS)
)
words = st.tuples(
    st.lists(good, max_size=2), st.lists(st.one_of(bad, bad, bad, good), min_size=1, max_size=2)
).map(lambda drawn: [*drawn[0], *drawn[1]])
of_tune = override(
    "tune.",
    st.sampled_from(
        ["method", "key", "values", "span", "points", "space", "last_epochs", "split", "nosuch"]
    ),
    "=",
    junk,
)


def line(*parts: object) -> st.SearchStrategy[list[str]]:
    """A command line of words and lists of words, drawn or given."""
    strategies = [part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts]
    return st.tuples(*strategies).map(
        lambda drawn: [word for part in drawn for word in ([part] if type(part) is str else part)]
    )


dry = line("run", flag, words, "dry_run=true")
train = line("run", flag, TINY, words, SHORT)
tune = line("tune", flag, TINY, st.lists(st.one_of(bad, of_tune), max_size=3), SHORT,
            "tune.save=false")  # fmt: skip
drawn = st.sampled_from(["fig_lillicrap", "fig_3_3", "table_precision", "x", "--list", ""])
figures = line("figures", drawn, st.lists(bad, max_size=2), "dry_run=true")
others = st.one_of(
    line(st.sampled_from(["list", "data", "env"]), junk),
    line("bench", bad, "bench.contenders=nosuch"),
    line("bench", TINY, st.sampled_from(["--help", "bench.contenders=[]", "x"])),
    st.lists(junk, min_size=1, max_size=2),
)
lines = st.integers(0, 19).flatmap(
    lambda n: dry if n < 12 else train if n < 17 else [tune, figures, others][n - 17]
)

# -- What becomes of them --------------------------------------------------------------------


def files(*folders: Path) -> dict[Path, int]:
    """Everything below the folders, and when a file was last written; but for output folders."""
    return {
        path: path.stat().st_mtime_ns if path.is_file() else 0
        for folder in folders
        for entry in folder.iterdir()
        if not entry.name.startswith("out")
        for path in [entry, *entry.rglob("*")]
    }


def check_line(args: list[str]) -> None:
    """An answer in words, nothing written elsewhere, and no run folder of what was refused."""
    with sandbox() as work:
        for name, content in MINE.items():
            file = work / "mine" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        (work / "mine/rerun.pickle").write_bytes(pickle.dumps(Marker()))
        folders = (work, work.parent / "home", CONF)
        before = files(*folders)
        answer = ask(*args)
        check(answer)
        assert files(*folders) == before, "written outside output_dir"
        runs = list(work.parent.glob("*/out*/**/runs/*"))
        assert answer.code != 2 or not runs, f"{answer.err} Yet there is {runs}"


@hypothesis_settings(max_examples=5000 if LONG else 100)
@given(lines)
def test_random_command_lines(args):
    check_line(args)
