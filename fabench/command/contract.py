"""What holds for every rule, optimizer, dataset, model and the like: checks of a configuration.

A test of one's own option calls each of ``CHECKS`` with ``composed(...)``, as the tests of
fabench's own options do, and of one's own figure ``a_recipe_is_made``: see ``fabench new``. A check
raises AssertionError.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import PropertyMock, patch

import torch
from hydra import compose
from matplotlib.image import imread
from torch import Tensor

from fabench.command import figures
from fabench.command.cli import conf_dir
from fabench.command.hydra_app import composing, plain
from fabench.command.overrides import checked, plugin_names
from fabench.learning_rule.base.rule import SearchRule
from fabench.population.examples import Examples
from fabench.population.part import PopulationPart
from fabench.population.population import Population, Row
from fabench.run import plugins
from fabench.run.config import Config
from fabench.run.parsing import parse
from fabench.run.trainer import data_of, population_of
from fabench.schema import scalars

CPU = torch.device("cpu")
SEEDS = (0, 1, 2)
STEPS = 4
BATCH = 16

Batches = Sequence[tuple[Tensor, Tensor]]


def composed(*overrides: str) -> Config:
    """The configuration of ``fabench run OVERRIDES``. Raises UserError."""
    plugins.use(plugin_names(overrides))
    given = [checked(override, conf_dir()) for override in overrides]
    with composing(conf_dir()):
        return parse(plain(compose("config", given)))


def population(config: Config, seeds: Sequence[int] = SEEDS) -> Population:
    """Networks of these seeds, not yet trained; all are computed at once, as on a GPU."""
    with patch("fabench.population.population.computes_together", lambda *_: True):
        return population_of(config, [Row(seed, config.scalars()) for seed in seeds], CPU)


def batches(config: Config, people: Population) -> Batches:
    """The first inputs [R, 16, I] and targets [R, 16, C] of a population's first epoch."""
    seeds = [row.seed for row in people.rows]
    examples = Examples(data_of(config), config.task, seeds, CPU, people.operand)
    epoch = examples.epoch("train", 1, config.trainer.train_examples).first(BATCH * STEPS)
    return [(x.clone(), y.clone()) for x, y in examples.batches(epoch, BATCH)]


def trained(people: Population, steps: Batches) -> dict[str, Tensor]:
    """All that training changes, after these steps."""
    for x, y in steps:
        people.step(x, y)
    return people.snapshot(slice(None))


def it_learns(config: Config) -> None:
    """Of a rule that descends every weight matrix of a trained layer moves, in every network; of
    one that searches something does. All stays finite."""
    people = population(config)
    before = people.snapshot(slice(None))
    after = trained(people, batches(config, people))
    assert all(tensor.isfinite().all() for tensor in after.values()), "a parameter is not finite"
    moved = {name for name in after if (after[name] != before[name]).flatten(1).any(1).all()}
    if isinstance(config.learning_rule, SearchRule):
        assert any(not torch.equal(after[name], before[name]) for name in after), "nothing moves"
    else:
        still = people.trained().keys() - moved
        assert not still, f"{', '.join(sorted(still))}: does not move"


def a_row_is_the_run_alone(config: Config) -> None:
    """A network among others learns what it does by itself, up to the rounding of sums."""
    together = population(config)
    before, steps = together.snapshot(slice(None)), batches(config, together)
    after = trained(together, steps)
    for row, seed in enumerate(SEEDS):
        alone = population(config, [seed])
        for name, tensor in trained(alone, batches(config, alone)).items():
            own = after[name][row]
            moved = (own - before[name][row]).abs().max().item()
            torch.testing.assert_close(tensor[0], own, rtol=1e-4, atol=1e-4 * moved + 1e-7)


def rows_do_not_mix(config: Config) -> None:
    """What is not a number in one network reaches no other."""
    healthy, sick = population(config), population(config)
    steps = batches(config, healthy)
    for name, tensor in sick.tensors.items():
        if name in healthy.trained():
            tensor[1] = torch.nan
    expected, found = trained(healthy, steps), trained(sick, steps)
    for name, tensor in expected.items():
        assert torch.equal(found[name][[0, 2]], tensor[[0, 2]]), f"{name}: rows mix"


def a_run_goes_on(config: Config) -> None:
    """Stopped, saved and continued, it learns what it does in one go: all that a step leaves for
    the next one is in what is saved."""
    whole, first, second = (population(config) for _ in range(3))
    steps = batches(config, whole)
    expected = trained(whole, steps)
    saved = trained(first, steps[: STEPS // 2])
    second.steps = first.steps
    second.restore(slice(None), saved)
    for name, tensor in trained(second, steps[STEPS // 2 :]).items():
        assert torch.equal(tensor, expected[name]), f"{name}: is not as in one go"


def it_says_that_it_draws(config: Config) -> None:
    """A rule that draws in a step, or looks at the epoch, has ``draws_in_steps`` (is a NoisyRule):
    a GPU repeats the steps of others as they were recorded."""
    people = population(config)
    if not people.replays_on(torch.device("cuda")):
        return
    said = AssertionError("the rule draws in a step: let draws_in_steps be True")
    steps = batches(config, people)
    with (
        patch.object(PopulationPart, "noise", side_effect=said),
        patch.object(PopulationPart, "drawn", side_effect=said),
        patch.object(PopulationPart, "epoch", new_callable=PropertyMock, side_effect=said),
    ):
        trained(people, steps)


def an_update_is_elementwise(config: Config) -> None:
    """The optimizer moves a weight as if there were no others: it is given matrices in pieces."""
    optimizer = config.optimizer
    if optimizer is None:
        return
    rng = torch.Generator().manual_seed(0)
    h = SimpleNamespace(**{name: getattr(optimizer, name) for name in scalars(type(optimizer))})
    whole = torch.randn(1, 6, 5, generator=rng)
    pieces = [piece.clone() for piece in whole.split(2, 1)]
    state, states = optimizer.initial_state(whole), list(map(optimizer.initial_state, pieces))
    for t in range(1, 4):
        g, numbers = torch.randn(1, 6, 5, generator=rng), optimizer.at_step(t, h)
        optimizer.update_(whole, g, state, numbers)
        for W, own, of_piece in zip(pieces, g.split(2, 1), states, strict=True):
            optimizer.update_(W, own, of_piece, numbers)
    torch.testing.assert_close(torch.cat(pieces, 1), whole)


CHECKS: tuple[Callable[[Config], None], ...] = (
    it_learns, a_row_is_the_run_alone, rows_do_not_mix, a_run_goes_on, it_says_that_it_draws,
    an_update_is_elementwise,
)  # fmt: skip


def recipe(name: str, *overrides: str) -> ModuleType:
    """The module behind ``fabench figures NAME OVERRIDES``. Raises UserError."""
    plugins.use(plugin_names(overrides))
    return figures.recipes()[name]


def a_recipe_is_made(name: str, *overrides: str) -> None:
    """A figure or table says what it is, is made from its runs, with these overrides (few epochs,
    and an ``output_dir=``), and the same again from the data that it has kept."""
    module = recipe(name, *overrides)
    assert (module.__doc__ or "").strip(), "the module has no docstring: it is the title"
    is_table, output = hasattr(module, "tabulate"), Path(composed(*overrides).general.output_dir)
    file = output / (f"tables/{name}.csv" if is_table else f"figures/{name}.png")
    made = []
    for args in ([], [] if hasattr(module, "FROM_RUNS") else [figures.FROM_DATA]):
        assert figures.figures([name, *overrides, *args], conf_dir()) == 0
        made.append(file.read_text() if is_table else imread(file).tolist())
        file.unlink()
    assert made[0] == made[1], f"{figures.FROM_DATA} makes another one"
