"""The same training by other means, for ``fabench bench``: what a user would write without fabench.

One hidden layer, no biases, plain SGD, binary cross-entropy; BP or DFA. Every contender starts from
the same weights, sees the same batches in the same order and returns its weights, so that a test
can compare them. DFA is written with autograd: the hidden layer's teaching signal is the gradient
that ``h`` receives, e B instead of e W^T.

Axes: R rows, S data streams, I inputs, H hidden units, B batch, N examples, k images an example.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.utils.data import DataLoader, Dataset

from fabench.population.examples import Epoch, Examples
from fabench.population.loop import Loop
from fabench.population.population import Population
from fabench.run.config import Config
from fabench.run.progress import console

Weights = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Problem:
    """What every contender starts from; one epoch, over and over."""

    config: Config
    population: Population
    examples: Examples
    epoch: Epoch

    @property
    def is_dfa(self) -> bool:
        return self.config.learning_rule.name == "dfa"

    @property
    def batch_size(self) -> int:
        return self.config.trainer.batch_size

    @property
    def n_batches(self) -> int:
        return len(self.epoch) // self.batch_size

    @property
    def streams(self) -> list[int]:
        """The data stream of every network."""
        return [int(s) for s in self.examples.stream_of_row]

    @property
    def rates(self) -> list[float]:
        """The learning rate of every network."""
        return [row.scalars["optimizer.lr"] for row in self.population.rows]

    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Copies of W [R, I, H], of the output's W [R, H, 1] and of B [R, 1, H] (0 for BP)."""
        W, V = (w.clone() for w in self.population.matrices("W"))
        B = [b.clone() for b in self.population.matrices("B")] or [torch.zeros_like(V.mT)]
        return W, V, B[0]

    def rows(self, number: int) -> slice:
        """Where batch ``number`` stands in the table; after the last comes the first."""
        start = number % self.n_batches * self.batch_size
        return slice(start, start + self.batch_size)


class Contender(ABC):
    """One way to train the problem's networks."""

    one_by_one: ClassVar[bool] = False
    """Whether it trains one network after the other, each as fast as alone."""

    every_precision: ClassVar[bool] = False
    """Whether it is measured in every precision, or only in the one that all contenders share."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.done = 0  # batches

    def train(self, n: int) -> None:
        """Take ``n`` steps with every network."""
        self.problem.population.operand.activate()
        self.steps(range(self.done, self.done + n))
        self.done += n

    @abstractmethod
    def steps(self, numbers: range) -> None:
        """Train every network on the batches of these numbers."""

    @abstractmethod
    def weights(self) -> Weights:
        """Trained W [R, I, H] and output weights [R, H, 1]."""


class Fabench(Contender):
    """fabench itself."""

    every_precision = True

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.loop = Loop(problem.population, problem.examples, problem.batch_size)

    def steps(self, numbers: range) -> None:
        p = self.problem
        done = 0
        while done < len(numbers):
            start = (numbers.start + done) % p.n_batches
            n = min(p.n_batches - start, len(numbers) - done)
            for _ in self.loop.run(p.epoch, start, partial(next, iter([True] * n), False)):
                pass
            done += n

    def weights(self) -> Weights:
        W, V = self.problem.population.matrices("W")
        return W, V


class _Images(Dataset[tuple[Tensor, Tensor]]):
    """k normalised images side by side, made one example at a time."""

    def __init__(self, images: Tensor, table: Tensor, y: Tensor) -> None:
        self.images, self.table, self.y = images, table, y

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, n: int) -> tuple[Tensor, Tensor]:
        return self.images[self.table[n]].flatten(), self.y[n]


class Autograd(Contender):
    """nn.Sequential, autograd, torch.optim, data in memory; one network after the other."""

    one_by_one = True

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        pool = problem.epoch.pool
        self.images = (pool.values.float() - pool.mean) / pool.std
        self.networks, self.optimizers = [], []
        W, V, self.B = problem.weights()
        for r, rate in enumerate(problem.rates):
            hidden, output = (nn.Linear(w.shape[1], w.shape[2], bias=False) for w in (W, V))
            hidden.weight.data, output.weight.data = W[r].T.contiguous(), V[r].T.contiguous()
            network = nn.Sequential(hidden, nn.ReLU(), output)
            self.networks.append(network)
            self.optimizers.append(torch.optim.SGD(network.parameters(), lr=rate))

    def batches(self, stream: int, numbers: range) -> Any:
        """x [B, I] and y [B, 1] of these batches."""
        table, y = self.problem.epoch.table[stream], self.problem.epoch.y[stream]
        for rows in map(self.problem.rows, numbers):
            yield self.images[table[rows]].flatten(1), y[rows]

    def steps(self, numbers: range) -> None:
        for r, (network, optimizer) in enumerate(zip(self.networks, self.optimizers, strict=True)):
            for x, y in self.batches(self.problem.streams[r], numbers):
                optimizer.zero_grad()
                if self.problem.is_dfa:
                    h = network[:2](x)
                    a = network[2](h.detach())
                    bce(a, y).backward()
                    e = (torch.sigmoid(a.detach()) - y) / len(y)
                    h.backward(e @ self.B[r])
                else:
                    bce(network(x), y).backward()
                optimizer.step()

    def weights(self) -> Weights:
        weights = [[w.data.T for w in network.parameters()] for network in self.networks]
        W, V = (torch.stack(w) for w in zip(*weights, strict=True))
        return W, V


class Loader(Autograd):
    """The same through a Dataset and a DataLoader."""

    def batches(self, stream: int, numbers: range) -> Any:
        rows = [self.problem.rows(number) for number in numbers]
        table, y = (
            torch.cat([t[stream][r] for r in rows])
            for t in (self.problem.epoch.table, self.problem.epoch.y)
        )
        yield from DataLoader(_Images(self.images, table, y), self.problem.batch_size)


class Compiled(Autograd):
    """The same, the loss and its gradients compiled; bf16 by torch.autocast."""

    every_precision = True

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        loss = _dfa_loss if problem.is_dfa else _bp_loss
        self.loss = torch.compile(lambda W, V, *rest: loss(W.T, V.T, *rest), dynamic=False)

    def steps(self, numbers: range) -> None:
        p = self.problem
        half = p.config.precision == "bf16"
        for r, (network, optimizer) in enumerate(zip(self.networks, self.optimizers, strict=True)):
            W, V = network.parameters()
            for x, y in self.batches(p.streams[r], numbers):
                optimizer.zero_grad()
                with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
                    loss = self.loss(W, V, self.B[r], x, y)
                loss.backward()
                optimizer.step()


class Vmap(Contender):
    """torch.func: vmap of grad over stacked networks."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.W, self.V, self.B = problem.weights()
        pool = problem.epoch.pool
        self.images = (pool.values.float() - pool.mean) / pool.std
        self.rates = torch.tensor(problem.rates, device=self.W.device).view(-1, 1, 1)
        loss = _dfa_loss if problem.is_dfa else _bp_loss
        self.gradients = torch.vmap(torch.func.grad(loss, argnums=(0, 1)))

    def steps(self, numbers: range) -> None:
        epoch, stream = self.problem.epoch, self.problem.examples.stream_of_row
        for rows in map(self.problem.rows, numbers):
            x = self.images[epoch.table[:, rows]].flatten(2)[stream]
            dW, dV = self.gradients(self.W, self.V, self.B, x, epoch.y[stream, rows])
            self.W -= self.rates * dW
            self.V -= self.rates * dV

    def weights(self) -> Weights:
        return self.W, self.V


def _bp_loss(W: Tensor, V: Tensor, B: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return bce(torch.relu(x @ W) @ V, y)


def _dfa_loss(W: Tensor, V: Tensor, B: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """A function whose gradients are DFA's: h's gradient is e B."""
    h = torch.relu(x @ W)
    a = h.detach() @ V
    e = (torch.sigmoid(a) - y).detach() / len(y)
    return bce(a, y) + (h * (e @ B)).sum()


class Jax(Contender):
    """JAX: jit of vmap over networks of scan over batches; bf16: weights and inputs are cast in the
    loss."""

    every_precision = True

    def __init__(self, problem: Problem) -> None:
        import jax
        import jax.numpy as jnp

        super().__init__(problem)
        operand = jnp.bfloat16 if problem.config.precision == "bf16" else jnp.float32
        pool, stop = problem.epoch.pool, jax.lax.stop_gradient
        images = jnp.asarray(pool.values.cpu().numpy())
        mean, std = (jnp.asarray(np.asarray(moment)) for moment in (pool.mean, pool.std))
        self.state = [jnp.asarray(w.cpu().numpy()) for w in problem.weights()]
        self.rates = jnp.asarray(problem.rates)

        def cross_entropy(a: Any, y: Any) -> Any:
            return (jax.nn.softplus(a) - y * a).mean()

        def bp_loss(parameters: Any, B: Any, x: Any, y: Any) -> Any:
            W, V = (p.astype(operand) for p in parameters)
            return cross_entropy((jax.nn.relu(x @ W) @ V).astype(jnp.float32), y)

        def dfa_loss(parameters: Any, B: Any, x: Any, y: Any) -> Any:
            W, V = (p.astype(operand) for p in parameters)
            h = jax.nn.relu(x @ W)
            a = (stop(h) @ V).astype(jnp.float32)
            e = stop(jax.nn.sigmoid(a) - y) / len(y)
            return cross_entropy(a, y) + (h * (e.astype(operand) @ B.astype(operand))).sum()

        gradient = jax.grad(dfa_loss if problem.is_dfa else bp_loss)

        def train(W: Any, V: Any, B: Any, rate: Any, index: Any, y: Any) -> Any:
            def step(parameters: Any, batch: Any) -> Any:
                index, y = batch
                x = (images[index].astype(jnp.float32) - mean) / std
                x = x.reshape(len(y), -1).astype(operand)
                slopes = gradient(parameters, B, x, y)
                return [p - rate * g for p, g in zip(parameters, slopes, strict=True)], None

            return jax.lax.scan(step, [W, V], (index, y))[0]

        self.run = jax.jit(jax.vmap(train), donate_argnums=(0, 1))

    def steps(self, numbers: range) -> None:
        import jax

        epoch, stream = self.problem.epoch, self.problem.examples.stream_of_row
        rows = [self.problem.rows(number) for number in numbers]
        index, y = (
            torch.stack([t[:, r] for r in rows], 1)[stream].cpu().numpy()
            for t in (epoch.table, epoch.y)
        )
        W, V, B = self.state
        tf32 = self.problem.config.precision == "tf32"
        with jax.default_matmul_precision("tensorfloat32" if tf32 else "highest"):
            W, V = jax.block_until_ready(self.run(W, V, B, self.rates, index, y))
        self.state = [W, V, B]

    def weights(self) -> Weights:
        import numpy as np

        W, V = (torch.from_numpy(np.array(w)) for w in self.state[:2])
        return W, V


CONTENDERS: dict[str, type[Contender]] = {
    "fabench": Fabench,
    "autograd": Autograd,
    "compiled": Compiled,
    "dataloader": Loader,
    "vmap": Vmap,
    "jax": Jax,
}


def available(names: Sequence[str]) -> Iterator[str]:
    """The contenders that this machine has; a line on each that is left out."""
    for name in names:
        if name == "jax":
            os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # beside torch
            try:
                import jax  # noqa: F401
            except ImportError:
                console.print("jax is not installed: skipped (pip install 'fabench[bench]').")
                continue
        if name == "compiled":
            try:
                torch.compile(torch.neg)(torch.ones(2))
            except Exception:  # whatever a missing or broken compiler makes of it
                console.print("torch.compile finds no C++ compiler: compiled is skipped.")
                continue
        yield name
