"""Learning rules as a user of torch writes them, for ``fabench bench``: one network, plain SGD, a
loop over layers. Networks and steps are those of fabench's rule, in its default variant; what is
drawn comes from torch.

Axes: B batch, I inputs, H hidden units, C outputs. ``W[l]`` [I, O] and ``b[l]`` [O] are layer l's.
"""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fabench.learning_rule.contrastive_divergence import ContrastiveDivergence
from fabench.learning_rule.difference_target_propagation import DifferenceTargetPropagation
from fabench.learning_rule.equilibrium_propagation import EquilibriumPropagation
from fabench.population.population import Population


class PlainLoop(ABC):
    """Row ``row`` of a population, on its own, with a rule's loop in place of the rule."""

    def __init__(self, people: Population, row: int) -> None:
        self.rule, self.lr = people.rule, people.rows[row].scalars["optimizer.lr"]
        own = {name: tensor[row].clone() for name, tensor in people.tensors.items()}
        self.W, self.V = ([own[n] for n in sorted(own) if n[0] == kind] for kind in "WB")
        self.b, self.c = ([own[n][0] for n in sorted(own) if n[0] == kind] for kind in "bc")
        self.v = own["v0"][0] if "v0" in own else None

    @abstractmethod
    def step(self, x: Tensor, y: Tensor) -> None:
        """A step on x [B, I] and the classes' bits y [B, C]."""


class DifferenceTargets(PlainLoop):
    """Difference target propagation: a loss for every layer, and for every inverse; autograd."""

    rule: DifferenceTargetPropagation

    def __init__(self, people: Population, row: int) -> None:
        super().__init__(people, row)
        self.layers = [_linear(W, b) for W, b in zip(self.W, self.b, strict=True)]
        self.inverses = [_linear(V, c) for V, c in zip(self.V, self.c, strict=True)]
        forward = nn.ModuleList(self.layers).parameters()
        backward = nn.ModuleList(self.inverses).parameters()
        self.forward = torch.optim.SGD(forward, self.lr)
        self.backward = torch.optim.SGD(backward, self.lr * self.rule.feedback_rate)

    def step(self, x: Tensor, y: Tensor) -> None:
        h, last = [x], len(self.layers) - 1  # every layer's input is a constant
        for number, layer in enumerate(self.layers):
            a = layer(h[-1].detach())
            h.append(torch.tanh(a) if number < last else a)
        losses = [F.cross_entropy(h[-1], y)]
        with torch.no_grad():
            target = h[-1] - self.rule.stepsize * (h[-1].softmax(1) - y)
        for number in reversed(range(last)):
            with torch.no_grad():
                g, above = self.inverses[number], h[number + 2]
                target = h[number + 1] + torch.tanh(g(target)) - torch.tanh(g(above))
            missing = (h[number + 1] - target).square().sum(1).mean()
            losses.append(missing / (2 * self.rule.stepsize))
        self.backward.zero_grad()
        for number, g in enumerate(self.inverses):
            here = h[number + 1].detach()
            noisy = here + self.rule.noise * torch.randn_like(here)
            with torch.no_grad():
                above = self.layers[number + 1](noisy)
                above = above if number + 1 == last else torch.tanh(above)
            (torch.tanh(g(above)) - noisy).square().sum(1).mean().backward()
        self.forward.zero_grad()
        torch.stack(losses).sum().backward()
        self.backward.step()
        self.forward.step()


class Equilibrium(PlainLoop):
    """Equilibrium propagation: states that settle, and differences of their products."""

    rule: EquilibriumPropagation

    @torch.no_grad()
    def step(self, x: Tensor, y: Tensor) -> None:
        h, W, b = x, self.W, self.b
        states = []
        for number in range(len(W)):
            a = h @ W[number] + b[number]
            h = torch.tanh(a)
            states.append(h if number < len(W) - 1 else a)
        free = self.settle(x, y, states, 0.0, self.rule.steps)
        plus = self.settle(x, y, free, self.rule.beta, self.rule.nudged_steps)
        minus = self.settle(x, y, free, -self.rule.beta, self.rule.nudged_steps)
        s = [x, *minus[:-1], minus[-1].softmax(1)]
        t = [x, *plus[:-1], plus[-1].softmax(1)]
        scale = self.lr / (2 * self.rule.beta * len(x))
        for number in range(len(W)):
            W[number] -= scale * (s[number].T @ s[number + 1] - t[number].T @ t[number + 1])
            b[number] -= scale * (s[number + 1] - t[number + 1]).sum(0)

    def settle(
        self, x: Tensor, y: Tensor, states: list[Tensor], beta: float, steps: int
    ) -> list[Tensor]:
        """The states after so many steps, nudged by beta."""
        W, b, dt = self.W, self.b, self.rule.dt
        for _ in range(steps):
            *hidden, u = states
            s = [x, *hidden, u.softmax(1)]
            moved = []
            for number in range(len(hidden)):
                a = s[number] @ W[number] + b[number] + s[number + 2] @ W[number + 1].T
                moved.append(s[number + 1] + dt * (torch.tanh(a) - s[number + 1]))
            goal = s[-2] @ W[-1] + b[-1] - beta * (s[-1] - y)
            states = [*moved, u + dt * (goal - u)]
        return states


class Divergence(PlainLoop):
    """A classification RBM by contrastive divergence of one step, of inputs and classes."""

    rule: ContrastiveDivergence

    @torch.no_grad()
    def step(self, x: Tensor, y: Tensor) -> None:
        (W, U), (c, d), v = self.W, self.b, self.v
        assert v is not None
        p_0 = torch.sigmoid(x @ W + c + y @ U.T)
        h = torch.bernoulli(p_0)
        x_1 = torch.bernoulli(torch.sigmoid(h @ W.T + v))
        classes = torch.multinomial((h @ U + d).softmax(1), 1)[:, 0]
        y_1 = F.one_hot(classes, y.shape[1]).float()
        p_1 = torch.sigmoid(x_1 @ W + c + y_1 @ U.T)
        rate = self.lr / len(x)
        W += rate * (x.T @ p_0 - x_1.T @ p_1)
        U += rate * (p_0.T @ y - p_1.T @ y_1)
        c += rate * (p_0 - p_1).sum(0)
        d += rate * (y - y_1).sum(0)
        v += rate * (x - x_1).sum(0)


LoopName = Literal[
    "difference_target_propagation", "equilibrium_propagation", "contrastive_divergence"
]
LOOPS: dict[str, type[PlainLoop]] = {
    "difference_target_propagation": DifferenceTargets,
    "equilibrium_propagation": Equilibrium,
    "contrastive_divergence": Divergence,
}


def _linear(W: Tensor, b: Tensor) -> nn.Linear:
    """A torch.nn layer of these weights."""
    layer = nn.Linear(W.shape[0], W.shape[1], device=W.device)
    layer.weight.data, layer.bias.data = W.T.clone(), b.clone()
    return layer
