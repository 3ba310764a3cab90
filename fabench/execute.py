"""Runs from checked configurations: train what is not finished, side by side where possible."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from fabench.config import Config
from fabench.errors import RunFailed, UserError
from fabench.figure.run_plots import write_plots
from fabench.report import console, plan, reporter, show_plan
from fabench.store import RunFolder
from fabench.trainer import Training

POPULATION_BYTES = 4 * 2**30
"""The most that a population's weights, gradients, states and inputs may take."""


@dataclass
class Outcome:
    """What became of one configuration."""

    config: Config
    folder: RunFolder
    error: UserError | RunFailed | None = None
    trained: bool = False


def execute(configs: Sequence[Config], command: str) -> list[Outcome]:
    """Train, continue or find every configuration; one Outcome each, in order.

    A configuration that fails does not stop the others. Raises Interrupted on a signal.
    """
    outcomes: dict[str, Outcome] = {}
    with ExitStack() as locks:
        waiting = []
        for config in configs:
            key = config.identity()
            if key in outcomes:
                continue
            outcome = outcomes[key] = Outcome(config, RunFolder(config))
            try:
                locks.enter_context(outcome.folder.locked())
                if config.general.overwrite:
                    outcome.folder.clear()
                if outcome.folder.status not in ("finished", "failed"):
                    waiting.append(outcome)
            except UserError as error:
                outcome.error = error
        groups = populations(waiting)
        for number, group in enumerate(groups, 1):
            if len(configs) > 1:
                jobs = f"{len(group)} job{'s' if len(group) > 1 else ''}"
                console.print(f"population {number} of {len(groups)}: {jobs}")
            _train(group, command)
        for outcome in outcomes.values():
            if outcome.error is None:
                write_plots(outcome.folder.path, outcome.folder.metrics(), outcome.config)
                if outcome.folder.status == "failed":
                    outcome.error = RunFailed(str(outcome.folder.manifest()["reason"]))
    return [outcomes[config.identity()] for config in configs]


def populations(waiting: Sequence[Outcome]) -> list[list[Outcome]]:
    """Group runs that can train side by side: equal architecture and place, memory permitting."""
    groups: dict[object, list[list[Outcome]]] = {}
    for outcome in waiting:
        key = (outcome.config.architecture(), outcome.folder.place())
        chunks = groups.setdefault(key, [[]])
        most = max(1, POPULATION_BYTES // row_bytes(outcome.config))
        rows = sum(len(o.config.seeds) for o in chunks[-1])
        if chunks[-1] and rows + len(outcome.config.seeds) > most:
            chunks.append([])
        chunks[-1].append(outcome)
    return [chunk for chunks in groups.values() for chunk in chunks]


def row_bytes(config: Config) -> int:
    """Memory of one network in training, roughly: four float32 copies of its weights (weight,
    gradient, two states) and its inputs and activations of a batch."""
    layers = config.layers()
    weights = sum(layer.fan_in * layer.fan_out for layer in layers)
    widths = layers[0].fan_in + 3 * sum(layer.fan_out for layer in layers)
    return 4 * (4 * weights + 2 * config.trainer.batch_size * widths)


def _train(group: Sequence[Outcome], command: str) -> None:
    """Train one population; an error becomes the outcome of all its runs."""
    folders = [outcome.folder for outcome in group]
    try:
        training = Training(folders, command)
        show_plan(plan([o.config for o in group], training.population.n_parameters()))
        with reporter() as progress:
            training.run(progress)
    except UserError as error:
        failure: UserError | RunFailed = error
    except OSError as error:
        failure = RunFailed(
            f"Writing to {folders[0].path.parent} failed ({error.strerror}): mend that and give "
            "the same command again; it continues after the last saved epoch."
        )
    else:
        for outcome in group:
            outcome.trained = True
        return
    for outcome in group:
        outcome.error = failure
