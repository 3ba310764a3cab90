"""A network small enough for hand-made numbers: two examples, 2-3-2 units of ReLU, then the output.

Rules that send the error layer by layer have one output, those that send it directly have two.
"""

import numpy as np
import torch

from fabench.learning_rule.base.part import Part
from fabench.model.layer.network import Layer, Outer, forward
from fabench.population.population import Row
from fabench.randomness import generator
from fabench.run.trainer import population_of

X = np.array([[1.0, -2.0], [0.5, 1.0]])
W1 = np.array([[0.5, -1.0, 1.0], [0.25, 2.0, -1.0]])
W2 = np.array([[1.0, 2.0], [-3.0, 1.0], [0.5, -0.5]])
A1 = X @ W1  # [[0, -5, 3], [0.5, 1.5, 0]]
A2 = np.maximum(A1, 0) @ W2  # [[1.5, -1.5], [-4, 2.5]]

SEQUENTIAL = (
    np.array([[2.0], [-0.5]]),  # W3
    np.array([[1.0, -1.0, 2.0], [0.5, 4.0, -3.0]]),  # B2, in place of W2.T
    np.array([[3.0, -2.0]]),  # B3, in place of W3.T
    np.array([[0.5], [-1.0]]),  # E
)
DIRECT = (
    np.array([[2.0, 1.0], [-0.5, 0.0]]),  # W3
    np.array([[1.0, -1.0, 2.0], [0.5, 4.0, -3.0]]),  # B1
    np.array([[3.0, -2.0], [1.0, 0.0]]),  # B2
    np.array([[0.5, 1.0], [-1.0, 2.0]]),  # E
)


def stacked(*matrices):
    """The matrices of a population of one."""
    return [torch.tensor(m)[None] for m in matrices]


def passed(W):
    """The forward pass of X through W."""
    return HandPart(W=W).forward(torch.tensor(X)[None])


class HandPart(Part):
    """Matrices by kind, HandPart(W=[...], B=[...]), and what a rule has descended: name ->
    (gradient, rate)."""

    t, epoch, adversarial, masks = 1, 1, 0.0, None

    def __init__(self, layers=None, noise=None, objective=None, **matrices):
        self.matrices, self.draw_noise, self.descended = matrices, noise, {}
        self.objective = objective
        relus = (Layer(w.shape[1], w.shape[2], "relu") for w in matrices["W"])
        self.layers = tuple(relus) if layers is None else layers

    def __getitem__(self, name):
        kind = name.rstrip("0123456789")
        return self.matrices[kind][int(name.removeprefix(kind))]

    operand = __getitem__

    def operands(self, kind):
        return self.matrices.get(kind, [])

    def as_operand(self, x):
        return x

    def forward(self, x, training=False, changed=None):
        parameters = {
            f"{kind}{number}": matrix
            for kind, matrices in self.matrices.items()
            for number, matrix in enumerate(matrices)
        }
        return forward(
            self.layers, parameters | (changed or {}), x, masks=self.masks, training=training
        )

    def loss(self, output, y):
        raise NotImplementedError

    def error(self, output, y):
        return self.objective.error(output, y)

    def prediction(self, output):
        return self.objective.prediction(output)

    def noise(self, stream, shape):
        return self.draw_noise(stream, shape)

    def drawn(self, stream, draw, number):
        runs = range(len(self.matrices["W"][0]))
        return torch.from_numpy(np.stack([draw(generator(r, stream, number)) for r in runs]))

    def descend(self, name, g, rate=1.0):
        self.descended[name] = (g.value() if isinstance(g, Outer) else g, rate)

    def put(self, name, value):
        raise NotImplementedError


def with_inverses(net, B=None, c=None, noise=None):
    """A part of a random network, with random inverses or these."""
    hidden = net.layers[1:]
    B = B or [net.normal(3, layer.fan_out, layer.fan_in) for layer in hidden]
    c = c or [net.normal(3, 1, layer.fan_in) for layer in hidden]
    return HandPart(net.layers, noise, **vars(net.weights), B=B, c=c)


def sent(rule, W, B=(), e=None, y=None, noise=None):
    """What the rule sends the layers for the error e [B, C], in order; then the part that it has
    adapted."""
    part = HandPart(W=W, B=list(B), noise=noise)
    state = part.forward(torch.tensor(X)[None])
    e = torch.as_tensor(e)[None] if e.ndim == 2 else e
    deltas = rule.teaching_signals(e, y, state, part)
    rule.adapt(part, state, e, deltas)
    return [deltas[layer] for layer in sorted(deltas)], part


def classifiers(config):
    """Two networks of ten classes, one step old, with a batch: x [2, 12, I], y [2, 12, 10]."""
    people = population_of(config, [Row(s, config.scalars()) for s in (0, 1)], torch.device("cpu"))
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(2, 12, config.layers()[0].n_inputs, generator=rng)
    y = torch.eye(10)[torch.randint(10, (2, 12), generator=rng)]
    people.steps = 1
    return people, x, y


def loss_of(theta, x, y):
    """The mean cross-entropy, in float64, of a network with one hidden layer of tanh units."""
    W0, b0, W1, b1 = (theta[n].astype(float) for n in ("W0", "b0", "W1", "b1"))
    a = np.tanh(x @ W0 + b0) @ W1 + b1
    return (np.log(np.exp(a).sum(1)) - (a * y).sum(1)).mean()
