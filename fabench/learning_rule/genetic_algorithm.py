"""Genetic algorithm: the best of many networks have children, by crossover and by mutation.

    F_i = the mean loss of individual theta_i on the batch            (1)
    parents: the ``parents`` with the least F                         (2)
    elites: the ``elites`` with the least F, as they are              (3)
    ``children``: each of their parameters is that of one parent or of another, with
    probability 1/2                                                   (4)
    mutants, all others: theta_parent + sigma xi,  xi ~ N(0, I)       (5)

theta_i, i = 1, ..., n (``individuals``): all weights and biases that learn, at first drawn as a
network's, or each as in ``model.weights``; whose children and mutants they are is drawn uniformly
among (2), with replacement. The next generation is (3), (4) and (5), and meets another batch
(limited evaluation). A network's answer is that of the individual with the least F of the last
generation.

Reference: J. Prellberg, O. Kramer, "Limited evaluation evolutionary optimization of large neural
networks", 2018, arXiv:1806.09819.

Differences from the paper:
1. Losses are not averaged with the parents' (the paper's final setting, too).
2. The network that is tested is the best one of a batch; theirs is chosen on validation data.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import NoisyRule, SearchRule, keep_statistics
from fabench.learning_rule.base.search import losses, scaled
from fabench.learning_rule.base.signal import no_dropout
from fabench.model.layer.initialization import InitOfB
from fabench.model.layer.network import Layer
from fabench.model.layer.parameter import Parameter, learning, network_parameters
from fabench.schema import STRICT, Count, CountFrom0, Rate


@dataclass(frozen=True, config=STRICT)
class GeneticAlgorithm(SearchRule, NoisyRule):
    name: str
    individuals: Count
    parents: Count
    elites: CountFrom0
    children: CountFrom0
    sigma: Rate

    def parameters(self, layers: tuple[Layer, ...], init_of_B: InitOfB) -> dict[str, Parameter]:
        table = network_parameters(layers)
        return {of(name): together(table[name], self.individuals) for name in learning(layers)}

    def started_with(
        self, layers: tuple[Layer, ...], weights: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        return {of(name): weights[name].repeat(1, self.individuals, 1) for name in learning(layers)}

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        if max(self.parents, self.elites + self.children) > self.individuals:
            return "has no more parents, nor elites and children, than individuals"
        return no_dropout(layers)

    def outputs(self, part: Part, x: Tensor) -> Tensor:
        return part.forward(x).output

    def learn(self, part: Part, x: Tensor, y: Tensor) -> Tensor:
        passed, n = part.forward(x, training=True), self.individuals
        theta = {name: part[of(name)].unflatten(1, (n, -1)) for name in learning(part.layers)}
        order = losses(part, x, y, theta).argsort(1)  # (1)
        drawn = partial(part.drawn, number=int(part.t))
        parents = drawn("parents", self.pairs)
        for name, own in theta.items():
            ranked = picked(own, order)
            one, other = (picked(ranked, index) for index in parents.unbind(1))
            mixed = drawn(f"crossover {name}", partial(bits, (self.children, *own.shape[2:])))
            children = torch.where(mixed, one[:, : self.children], other[:, : self.children])
            xi = part.noise(f"mutation {name}", (self.mutants, *own.shape[2:]))
            mutants = one[:, self.children :] + scaled(self.sigma, xi)
            part.put(name, ranked[:, 0])
            born = torch.cat([ranked[:, : self.elites], children, mutants], 1)
            part.put(of(name), born.flatten(1, 2))
        keep_statistics(part, passed)
        return passed.output

    @property
    def mutants(self) -> int:
        """How many of a generation are."""
        return self.individuals - self.elites - self.children

    def pairs(self, rng: Generator) -> NDArray[np.int64]:
        """By rank, the two parents of every child, and of every mutant, who has the first."""
        return rng.integers(self.parents, size=(2, self.children + self.mutants))


def of(name: str) -> str:
    """The name of all individuals' values of a parameter, one below the other [n I, O]."""
    return f"individuals_{name}"


def together(parameter: Parameter, n: int) -> Parameter:
    """n draws of a parameter, one below the other."""

    def draw(rng: Generator) -> NDArray[np.float32]:
        return np.concatenate([parameter.draw(rng) for _ in range(n)])

    rows, columns = parameter.shape
    stream = f"individuals, {parameter.stream}"
    return Parameter((n * rows, columns), draw, stream, "put", parameter.scale)


def picked(theta: Tensor, index: Tensor) -> Tensor:
    """The individuals [R, m, I, O] of every row whose numbers are in ``index`` [R, m]."""
    return theta[torch.arange(len(theta), device=theta.device)[:, None], index]


def bits(shape: tuple[int, ...], rng: Generator) -> NDArray[np.bool_]:
    """One of two, with probability 1/2 each."""
    return rng.random(shape, np.float32) < 0.5
