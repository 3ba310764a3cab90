"""``search=evolution``: formulas for the teaching signal, of which the best have children.

A child is its parent with one operand, unary or binary function exchanged for another; its parent
is with probability ``best_probability`` one of the ``kept`` best so far, else one of the others,
all alike. The first ``random_formulas`` are drawn at random. A formula's score is its best over
``rates``, values of optimizer.lr, which train as one population. With ``short_epochs`` all of a
batch train so long at first, and the better half of them goes on (where the schedule of the
learning rate depends on the number of epochs, from the beginning).

Reference: M. Alber, I. Bello, B. Zoph, P.-J. Kindermans, P. Ramachandran, Q. Le, "Backprop
evolution", 2018, arXiv:1808.02822 (1000 kept, probability 0.7, four rates).

Differences from the paper:
1. A formula that was tried, written alike once simplified, is drawn again, as one is that does not
   fit the network.
2. When a bad formula is stopped is not said there; those that were rank behind all others.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from fabench.command.search.base.method import Method, PointScore, Search
from fabench.command.search.base.subject import Point, Subject
from fabench.learning_rule.formula import Formula
from fabench.learning_rule.language.chain import Chain, mutated, random_chain
from fabench.learning_rule.language.shapes import misfit
from fabench.learning_rule.language.tree import Node, simplified, text
from fabench.model.layer.network import Layer
from fabench.randomness import generator
from fabench.run.progress import console
from fabench.schema import STRICT, Count, CountFrom0, Rate, UserError

FORMULA, RATE, EPOCHS = "learning_rule.formula", "optimizer.lr", "trainer.epochs"


@dataclass(frozen=True, config=STRICT)
class Evolution(Search):
    """``trials`` formulas, ``batch`` at a time."""

    name: str
    trials: Count
    batch: Count
    random_formulas: Count
    kept: Count
    best_probability: Annotated[float, Field(ge=0, le=1)]
    rates: Annotated[list[Rate], Field(min_length=1)]
    short_epochs: Count | None
    seed: CountFrom0

    def start(self, subject: Subject, folder: Path) -> AbstractContextManager[Method]:
        rule, trainer = subject.config.learning_rule, subject.config.trainer
        if not isinstance(rule, Formula):
            raise UserError(f"search=evolution is of formulas: not of learning_rule={rule.name}.")
        if self.short_epochs and self.short_epochs >= trainer.epochs:
            raise UserError(
                f"search.short_epochs={self.short_epochs}: it should be less than "
                f"trainer.epochs={trainer.epochs}, or null."
            )
        return nullcontext(Generations(self, subject.config.layers()))

    def start_setting(self, key: str) -> str:
        return "search.rates"

    def finished(self, scores: Sequence[PointScore]) -> list[PointScore]:
        return [score for score in scores if EPOCHS not in score.point]


class Generations:
    """The formulas of a search: functions of its seed and the scores so far."""

    def __init__(self, search: Evolution, layers: tuple[Layer, ...]) -> None:
        self.search, self.layers = search, layers
        self.chains: dict[str, Chain] = {}  # by the formula's text, in order
        self.scores: dict[str, tuple[bool, float]] = {}  # whether trained to the end, and how well
        self.going_on = 0  # formulas of the last batch that are to be trained to the end

    def ask(self) -> list[Point]:
        search, first = self.search, len(self.chains)
        if self.going_on:
            batch = list(self.chains)[-self.going_on :]
            self.going_on = 0
            batch.sort(key=self.scores.__getitem__, reverse=True)
            better = batch[: (len(batch) + 1) // 2]
            return self._short(better) + self._points(better)  # one goes on from the other
        size = search.batch if first else search.random_formulas
        end = min(first + size, search.trials)
        if first == end:
            return []
        console.print(f"Formulas {first + 1} to {end} of {search.trials}")
        for number in range(first, end):
            chain = self._drawn(number)
            self.chains[written(chain.tree())] = chain
        batch = list(self.chains)[first:]
        if search.short_epochs is None:
            return self._points(batch)
        self.going_on = len(batch)
        return self._short(batch)

    def tell(self, scores: Sequence[PointScore]) -> None:
        self.scores = {}
        for score in scores:
            formula, own = str(score.point[FORMULA]), (EPOCHS not in score.point, score.mean)
            self.scores[formula] = max(own, self.scores.get(formula, own))

    def _points(self, formulas: Sequence[str]) -> list[Point]:
        return [
            {FORMULA: formula, RATE: rate} for formula in formulas for rate in self.search.rates
        ]

    def _short(self, formulas: Sequence[str]) -> list[Point]:
        assert self.search.short_epochs is not None
        return [point | {EPOCHS: self.search.short_epochs} for point in self._points(formulas)]

    def _drawn(self, number: int) -> Chain:
        """The formula of this number."""
        random = generator(self.search.seed, "search", number)
        if number < self.search.random_formulas:
            return random_chain(random, self._is_new)
        ranked = sorted(self.scores, key=self.scores.__getitem__, reverse=True)
        best, others = np.split(ranked, [self.search.kept])
        among = others if random.random() >= self.search.best_probability else best
        parents = among if len(among) else best
        return mutated(self.chains[random.choice(parents)], random, self._is_new)

    def _is_new(self, node: Node) -> bool:
        """Whether a formula fits the network and was not tried."""
        return misfit(node, self.layers) is None and written(node) not in self.chains


def written(node: Node) -> str:
    """A formula's text, simplified."""
    return text(simplified(node))
