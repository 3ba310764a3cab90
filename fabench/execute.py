"""One run from a composed configuration: train, continue, or show what is finished."""

from typing import Any

from fabench.config import Config, parse
from fabench.errors import RunFailed
from fabench.figure.run_plots import write_plots
from fabench.report import console, plan, reporter, show_plan, show_results
from fabench.store import RunFolder, summary
from fabench.trainer import Training


def execute(raw: dict[str, Any], command: str) -> RunFolder:
    """Do what ``fabench run`` promises for one configuration (plain containers).

    Raises UserError for a bad request, RunFailed if the run cannot finish, Interrupted on a signal.
    """
    config = parse(raw)
    folder = RunFolder(config)
    with folder.locked():
        if config.general.overwrite:
            folder.clear()
        if folder.status not in ("finished", "failed"):
            _train(config, folder, command)
        else:
            console.print("This run is finished: overwrite=true starts it over.")
        write_plots(folder.path, folder.metrics(), config)
        show_results(folder, summary(folder.metrics()))
    if folder.status == "failed":
        raise RunFailed(str(folder.manifest()["reason"]))
    return folder


def _train(config: Config, folder: RunFolder, command: str) -> None:
    training = Training([folder], command)
    show_plan(plan(config, training.population.n_parameters()))
    try:
        with reporter() as progress:
            training.run(progress)
    except OSError as error:
        raise RunFailed(
            f"Writing to {folder.path} failed ({error.strerror}): mend that and give the same "
            "command again; it continues after the last saved epoch."
        ) from error
