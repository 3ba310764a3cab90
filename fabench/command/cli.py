"""The command line: ``fabench VERB ...``. Nothing heavy is imported before a verb needs it."""

import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fabench import __version__
from fabench.command.help import help_on
from fabench.command.output import outputs
from fabench.schema import RunFailed, UserError, refused

HELP = """\
fabench: a bench for learning rules that do without backpropagation

usage: fabench VERB ...

  run [OVERRIDES]   train: fabench run learning_rule=dfa k=3
                    sweep: fabench run -m learning_rule=bp,dfa k=1,3
                    see:   fabench run --help, fabench run --cfg job
  tune [OVERRIDES]  choose the learning rate: fabench tune optimizer=rmsprop
  figures [NAME]    compute what is missing and draw; figures --list names them
  ls [FILTERS]      the runs that are here; show, compare, rm: fabench ls --help
  watch             those that are at work
  report [RUNS]     one page of them, or of an experiment: report.html
  bench             speed, side by side with other ways to train
  list [GROUP]      the groups of settings and their options, plugins' too
  data [DATASET]    the datasets that are here; with a name, fetch it
  export RUN        trained weights in a file: --to model.safetensors
  predict RUN DATA  what a run says of images, or of an array x in an .npz file
  new GROUP NAME    files of a rule, a model, a figure or the like of your own
  env               versions, hardware, commit: what a manifest records
  help [TOPIC]      more of all this, by topic: fabench help tune
  --version         print the version
  --help            print this

Every run has a folder under outputs/runs. The same command again shows a
finished run and continues an interrupted one.

exit codes: 0 done, 1 failed while running, 2 bad request, 130/143 interrupted,
            141 done, but the reader of its output (head, say) went away
"""

INFO_HELP = """\
usage: fabench env | list [GROUP] | help [TOPIC]

  fabench env                 versions, processor, GPU, as manifests have them
  fabench list                all groups with their options
  fabench list learning_rule  one group's
  fabench help                the topics
  fabench help tune           one of them
"""

BENCH_HELP = """\
usage: fabench bench [OVERRIDES]

  fabench bench                         beside other ways to train, and scaling
  fabench bench bench.k=[3]             three digits
  fabench bench bench.models=[lenet]    other settings: conf/bench.yaml

It takes settings of fabench run, too, and writes outputs/tables/bench*.csv.
"""

DATA_HELP = """\
usage: fabench data [DATASET]

  fabench data        image datasets: where each lies, its arrays' SHA-256
  fabench data mnist  download one unless it is there, and verify it

They are looked for in $FABENCH_DATA, then in ~/.cache/fabench, and downloaded
to the latter. Exit code 1: a file is corrupt.
"""

FIGURES_HELP = """\
usage: fabench figures [NAME ...] [OVERRIDES]

  fabench figures --list                every figure and table, a line each
  fabench figures fig_3_1 dry_run=true  what it would train, and about how long
  fabench figures fig_3_1 table_parity  train what is missing, then draw
  fabench figures fig_3_1 seed=ten      with another setting
  fabench figures all                   those without [not in all] in the list
  fabench figures fig_3_1 --from-data   drawn from outputs/data, without runs

They go to outputs/figures and outputs/tables.
"""

RUNS_HELP = """\
usage: fabench ls|watch|rm|show|compare [FILTER or RUN ...]

  fabench ls learning_rule=bp,dfa k=1  those with these settings, newest last
  fabench ls status=finished           or interrupted, running, diverged
  fabench watch                        those at work, until Ctrl-C
  fabench rm status=interrupted        would remove these; with --yes it does

show has all of one RUN; compare of two: settings that differ, and metrics,
paired over common seeds. A RUN is a folder, or a part of its name, as the hash
in ls. output_dir=DIR says where runs lie.
"""
REPORT_HELP = """\
usage: fabench report [EXPERIMENT [OVERRIDE ...] | RUN or FILTER ...] [-o FILE]

  fabench report fig_3_1 -o fig_3_1.html   an experiment's runs
  fabench report learning_rule=bp,dfa k=1  or those that fit

The page needs no other file: settings, results with paired tests (to BP, of
several runs that of most seeds, then epochs), curves that a click hides,
confusion of classes, failures, commands, versions.
"""


EXPORT_HELP = """\
usage: fabench export RUN --to FILE [--seed SEED] [--best] [plugins=[...]]

  fabench export outputs/runs/NAME --to model.safetensors   all weights, by name
  fabench export outputs/runs/NAME --to model.pt2 --seed 1  a program of torch

A RUN is a folder, or a part of the name of one in output_dir=DIR. In Python,
fabench.load("outputs/runs/NAME", seed=1) is a torch.nn.Module. Both take items
as the dataset has them (pixels), k side by side, and answer the outputs before
softmax or sigmoid, in float32. --best (best=True) takes the best epoch's
weights, which trainer.keep_best=true keeps.
"""

PREDICT_HELP = """\
usage: fabench predict RUN DATA [--to FILE] [--seed SEED] [--best] [plugins=...]

  fabench predict outputs/runs/NAME images            every image in a folder
  fabench predict outputs/runs/NAME x.npz --to p.csv  an array x [N, ...]

It prints CSV: a line for each example, a probability for each class (of
regression, values).
"""

NEW_HELP = """\
usage: fabench new GROUP NAME [PACKAGE]

  fabench new learning_rule my_rule             into the folder my_package
  fabench new optimizer my_step here/my_things  into another package
  fabench new figure my_figure                  a recipe, with the runs it needs

GROUP is learning_rule, optimizer, schedule, parallel, dataset, task, model or
figure.
It writes a module, its YAML and a test that passes, and says how to run them.
A package has no need of fabench's source: plugins=[my_package] names it.
"""


def conf_dir() -> Path:
    """The folder of YAML groups: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb and return the exit code; errors become one sentence on stderr."""
    with outputs() as output:
        code = _main(list(sys.argv[1:] if argv is None else argv))
        output.flush()
        if isinstance(output.error, BrokenPipeError):  # a reader like head has seen enough
            return code or 141
        if output.error is not None:
            print(f"fabench: Its output is lost: {output.error.strerror}.", file=sys.stderr)
            return code or 1
    return code


def _main(args: list[str]) -> int:
    if args[:1] == ["-sc"]:
        return complete(args)
    if not args or args[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0 if args else 2
    if args[0] == "--version":
        print(__version__)
        return 0
    logging.basicConfig(format="%(message)s")
    logging.getLogger("fabench").setLevel(logging.INFO)
    if not sys.stdout.isatty():  # rich's own guess for pipes and files, 80, is too narrow
        os.environ.setdefault("COLUMNS", "120")
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    try:
        if args[0] not in VERBS:
            raise UserError(f"fabench has no verb {args[0]}: see fabench --help.")
        if args[0] in HELPS and args[1:] in (["-h"], ["--help"]):
            print(HELPS[args[0]], end="")
            return 0
        return VERBS[args[0]](args[1:])
    except KeyboardInterrupt as stop:
        code = getattr(stop, "exit_code", 130)
        print(str(stop) or "Stopped.", file=sys.stderr)
        return code
    except Exception as error:
        if full_error:
            raise
        print(f"fabench: {_sentence(error)}", file=sys.stderr)
        return getattr(error, "exit_code", 1)


def _sentence(error: Exception) -> str:
    """What is wrong, in one line: of a request, what cannot be printed is an escape."""
    if isinstance(error, UserError | RunFailed):
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(error))
    if isinstance(error, OSError):
        return refused(error)
    from fabench.run.plugins import place

    text, where = " ".join(str(error).split()), place(error) or "HYDRA_FULL_ERROR=1 shows where"
    return f"{type(error).__name__}: {text} ({where})."


# -- run -------------------------------------------------------------------------------------


def run(args: list[str]) -> int:
    """``fabench run``: everything after the verb is Hydra's."""
    from fabench.command.run import run

    return run(args, conf_dir())


def tune(args: list[str]) -> int:
    """``fabench tune``: like run, for a search instead of a run."""
    from fabench.command.tune import tune

    return tune(args, conf_dir())


def figures(args: list[str]) -> int:
    """``fabench figures``: the thesis's figures and tables."""
    from fabench.command.figures import figures

    return figures(args, conf_dir())


def bench(args: list[str]) -> int:
    """``fabench bench``: speed, side by side with other ways to train."""
    from fabench.command.bench.bench import bench

    return bench(args, conf_dir())


def ls(args: list[str]) -> int:
    """``fabench ls``: the runs that are here."""
    from fabench.command.runs import ls

    return ls(args)


def show(args: list[str]) -> int:
    """``fabench show``: one run."""
    from fabench.command.runs import show

    return show(args, conf_dir())


def compare(args: list[str]) -> int:
    """``fabench compare``: two runs, side by side."""
    from fabench.command.runs import compare

    return compare(args)


def rm(args: list[str]) -> int:
    """``fabench rm``: remove runs."""
    from fabench.command.runs import rm

    return rm(args)


def watch(args: list[str]) -> int:
    """``fabench watch``: the runs at work."""
    from fabench.command.runs import watch

    return watch(args)


def report(args: list[str]) -> int:
    """``fabench report``: a page of runs."""
    from fabench.command.report import report

    return report(args, conf_dir())


def complete(args: list[str]) -> int:
    """Shell completion: Hydra's, with the verb taken out of the command line."""
    from fabench.command.overrides import numbered_override
    from fabench.command.run import run

    line = os.environ.get("COMP_LINE", "")
    words = line.split(" ")
    if len(words) == 2 and "query" in " ".join(args):
        print(" ".join(verb for verb in VERBS if verb.startswith(words[1])))
        return 0
    *done, last = re.sub(r"^(\S+)\s+(run|tune)\b", r"\1", line).split(" ")
    try:
        done = [numbered_override(word, conf_dir()) for word in done]
        os.environ["COMP_LINE"] = " ".join([*done, last])
        return run(args, conf_dir())
    except Exception:  # half a command may mean nothing yet
        return 0


def list_options(args: list[str]) -> int:
    """``fabench list``: groups and options."""
    from fabench.command.options import list_options

    return list_options(args, conf_dir())


# -- data ------------------------------------------------------------------------------------


def data(args: list[str]) -> int:
    """``fabench data``: what is here; ``fabench data NAME``: fetch it if it is not."""
    from fabench.command.data import fetch, report

    if len(args) > 1:
        raise UserError("fabench data takes one dataset at a time.")
    found = [fetch(args[0])] if args else report()
    for dataset in found:
        print(f"{dataset.name:<15} {dataset.state:<8} {dataset.where}")
        for array in dataset.arrays:
            state = array.problem or "verified"
            print(f"  {array.name:<13} {array.digest}  {state}")
        if dataset.state == "missing":
            print(f"  fetch it: fabench data {dataset.name}")
    return 1 if any(dataset.state == "corrupt" for dataset in found) else 0


def env(args: list[str]) -> int:
    """``fabench env``: where runs run."""
    import torch
    import yaml

    from fabench.run.environment import describe

    if args:
        raise UserError(f"fabench env takes no arguments, not {args[0]}.")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(yaml.safe_dump(describe(device), sort_keys=False), end="")
    return 0


def new(args: list[str]) -> int:
    """``fabench new``: the files of a new option."""
    from fabench.command.new import new

    return new(args, conf_dir())


def export(args: list[str]) -> int:
    """``fabench export``: weights out of a run."""
    from fabench.command.export import export_run

    return export_run(args)


def predict(args: list[str]) -> int:
    """``fabench predict``: a run's answers."""
    from fabench.command.export import predict

    return predict(args)


VERBS: dict[str, Callable[[list[str]], int]] = {
    "run": run,
    "tune": tune,
    "figures": figures,
    "ls": ls,
    "show": show,
    "compare": compare,
    "rm": rm,
    "watch": watch,
    "report": report,
    "bench": bench,
    "list": list_options,
    "data": data,
    "export": export,
    "predict": predict,
    "new": new,
    "env": env,
    "help": help_on,
}

HELPS = {
    "bench": BENCH_HELP,
    "data": DATA_HELP,
    "figures": FIGURES_HELP,
    "export": EXPORT_HELP,
    "predict": PREDICT_HELP,
    "new": NEW_HELP,
    "report": REPORT_HELP,
    **dict.fromkeys(("ls", "show", "compare", "rm", "watch"), RUNS_HELP),
    **dict.fromkeys(("env", "list", "help"), INFO_HELP),
}
"""Of verbs whose arguments Hydra does not see."""
