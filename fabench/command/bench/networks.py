"""More comparisons of ``fabench bench``, in turns in one process, on random inputs: networks of
convolutions beside the same ones written with torch.nn, learning rules beside the bare matrix
products that they take, and beside plain loops (see ``loops.py``).

Axes: R networks, B batch, C outputs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fabench.command.bench.loops import LOOPS
from fabench.command.bench.measure import alternate, repeated
from fabench.model.layer.convolution import Averaging, Convolution
from fabench.model.layer.network import ACTIVATIONS, Layer, source
from fabench.model.layer.normalization import EPSILON
from fabench.population.population import Population, Row
from fabench.run.config import Config, resolve_device
from fabench.run.progress import console
from fabench.run.trainer import population_of

Step = Callable[[int], None]


def population(config: Config, n_networks: int) -> Population:
    """So many networks, of seeds 0, 1, ..."""
    rows = [Row(seed, config.scalars()) for seed in range(n_networks)]
    return population_of(config, rows, resolve_device(config))


def batch(config: Config, device: torch.device) -> tuple[Tensor, Tensor]:
    """Random inputs [1, B, I] and targets [1, B, C], classes or numbers between 0 and 1."""
    rng, size = torch.Generator().manual_seed(0), config.trainer.batch_size
    x = torch.randn(1, size, config.layers()[0].n_inputs, generator=rng)
    classes = torch.randint(config.task.n_outputs, (1, size), generator=rng)
    y = nn.functional.one_hot(classes, config.task.n_outputs).float()
    return x.to(device), y.to(device)


def against(
    contender: str,
    build: Callable[[Config, int], Step],
    configs: Sequence[Config],
    populations: Sequence[int],
    seconds: float,
    repetitions: int,
) -> list[dict[str, Any]]:
    """fabench and a contender in turns, for so many networks: a row each."""
    rows = []
    for config in configs:
        for n in populations:
            steps = [trains(config, n), build(config, n)]
            taken = alternate(steps, seconds, repetitions, resolve_device(config))
            for name, step in zip(("fabench", contender), taken, strict=True):
                rows.append(_row(config, name, n, step / n, taken[0] / n))
    return rows


def beside_others(
    chosen: Callable[..., Config],
    models: Sequence[str],
    rules: Sequence[str],
    plain: Sequence[str],
    seconds: float,
    repetitions: int,
) -> list[dict[str, Any]]:
    """All comparisons in float32, printed; ``chosen`` makes a configuration of overrides."""
    shared = ("task=classification", "k=1", "trainer.precision=fp32")
    images = {"wide_resnet": "cifar10"}
    nets = [
        chosen(*shared, "learning_rule=bp", f"model={m}", f"dataset={images.get(m, 'mnist')}")
        for m in models
    ]

    def of_rule(rule: str) -> Config:
        machine = rule == "contrastive_divergence"  # one hidden layer, and bits that are drawn
        hidden, activation = ("500", "sigmoid") if machine else ("256,256,256", "tanh")
        own = ["learning_rule.objective=generative", "dataset.scaling=unit"] if machine else []
        net = (f"model.hidden=[{hidden}]", f"model.activation={activation}", "model.bias=true")
        return chosen(*shared, f"learning_rule={rule}", *net, *own)

    effort = (seconds, repetitions)
    rows = against("autograd", Plain, nets, (1, 3), *effort)
    rows += against("products", products, list(map(of_rule, rules)), (1,), *effort)
    rows += against("loop", loops, list(map(of_rule, plain)), (1, 3), *effort)
    table = Table("", "networks", "", "examples a second", "times fabench")
    for row in rows:
        what = f"{row['model']}, {row['learning_rule']}"
        table.add_row(
            what, str(row["population"]), row["contender"], f"{row['examples_per_second']:,.0f}",
            f"{row['times_fabench']:.2f}",
        )  # fmt: skip
    if rows:
        console.print(table)
    return rows


def _row(config: Config, name: str, n: int, step: float, ours: float) -> dict[str, Any]:
    """``step``, ``ours``: seconds per network and step."""
    return {
        "contender": name,
        "learning_rule": config.learning_rule.name,
        "model": config.model.name,
        "population": n,
        "precision": config.precision,
        "device": resolve_device(config).type,
        "seconds_per_step_per_network": step,
        "examples_per_second": config.trainer.batch_size / step,
        "times_fabench": step / ours,
    }


def trains(config: Config, n_networks: int) -> Step:
    """Takes so many steps with every network, on one batch."""
    people = population(config, n_networks)
    x, y = batch(config, people.device)
    inputs = people.operand(x.expand(len(set(people.streams.tolist())), -1, -1))
    targets = y.expand(n_networks, -1, -1)

    def train(n: int) -> None:
        people.operand.activate()
        for _ in people.train((inputs, targets) for _ in range(n)):
            pass

    return train


class Network(nn.Module):
    """A network as a user of torch.nn writes it, with the weights of a population's row."""

    def __init__(self, layers: Sequence[Layer], W: Sequence[Tensor], b: Sequence[Tensor]) -> None:
        """``W``: of every layer [I, O]; ``b``: of those that have biases [1, O]."""
        super().__init__()
        self.layers, self.biases = layers, list(b)
        self.products = nn.ModuleList(map(self._product, layers, W))
        self.norms = nn.ModuleDict(
            {str(n): self._norm(la) for n, la in enumerate(layers) if la.batch_norm}
        )
        self.f = [getattr(torch, la.activation, ACTIVATIONS["linear"].f) for la in layers]

    def _product(self, layer: Layer, W: Tensor) -> nn.Module:
        biased = layer.bias_init is not None
        product: nn.Conv2d | nn.Linear
        if isinstance(layer, Convolution):
            channels, kernel = layer.images[0], layer.kernel
            product = nn.Conv2d(
                channels, layer.fan_out, kernel, layer.stride, layer.padding, bias=biased
            )
        else:
            product = nn.Linear(layer.fan_in, layer.fan_out, bias=biased)
        product.weight.data = W.T.reshape(product.weight.shape).clone()
        if product.bias is not None:
            product.bias.data = self.biases.pop(0).flatten().clone()
        return product

    def _norm(self, layer: Layer) -> nn.Module:
        kind = nn.BatchNorm2d if isinstance(layer, Convolution) else nn.BatchNorm1d
        return kind(layer.fan_out, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        sums: list[Tensor] = []
        shown: dict[int, Tensor] = {-1: x}
        for number, (layer, product) in enumerate(zip(self.layers, self.products, strict=True)):
            below = source(self.layers, number)
            if below not in shown:
                norm = self.norms[str(below)] if str(below) in self.norms else nn.Identity()
                shown[below] = self.f[below](norm(sums[below]))
            h = shown[below]
            if isinstance(layer, Averaging):
                h = h.mean((2, 3))
            elif not isinstance(layer, Convolution):
                h = h.flatten(1)
            a = product(h)
            if isinstance(layer, Convolution) and layer.pool > 1:
                a = nn.functional.max_pool2d(a, layer.pool, layer.pool_stride)
            for added in layer.adds:
                a = a + sums[added]
            sums.append(a)
        return sums[-1]


class Plain:
    """Networks of torch.nn, one after the other, with autograd and torch.optim.SGD; on a CPU images
    are channels-last, which is torch's fastest."""

    def __init__(self, config: Config, n_networks: int) -> None:
        people = population(config, n_networks)
        layers = people.layers
        x, y = batch(config, people.device)
        first, memory = layers[0], torch.contiguous_format
        self.x = x[0].view(-1, *first.images) if isinstance(first, Convolution) else x[0]
        if isinstance(first, Convolution) and people.device.type == "cpu":
            memory = torch.channels_last
            self.x = self.x.contiguous(memory_format=memory)
        self.y = y[0].argmax(1)
        self.networks = []
        W, b = people.matrices("W"), [people.tensors[n] for n in people.tensors if n[0] == "b"]
        for r in range(n_networks):
            network = Network(layers, [w[r] for w in W], [v[r] for v in b])
            network = network.to(people.device).to(memory_format=memory)
            rate = config.scalars()["optimizer.lr"]
            self.networks.append((network, torch.optim.SGD(network.parameters(), lr=rate)))

    def __call__(self, n: int) -> None:
        for network, optimizer in self.networks:
            for _ in range(n):
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(self.x), self.y).backward()
                optimizer.step()


class Products(TorchDispatchMode):
    """Notes the shapes of every matrix product that is computed under it."""

    NAMES = ("mm", "bmm", "addmm", "addmm_", "baddbmm", "baddbmm_", "_linear_pointwise")

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[torch.Size, torch.Size, torch.dtype]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in self.NAMES:
            first = 0 if name in ("mm", "bmm", "_linear_pointwise") else 1
            left, right = args[first : first + 2]
            right = right.mT if name == "_linear_pointwise" else right
            self.shapes.append((left.shape, right.shape, left.dtype))
        return func(*args, **(kwargs or {}))


def products(config: Config, n_networks: int) -> Step:
    """Computes the matrix products of the networks' step, and nothing else."""
    people = population(config, n_networks)
    x, y = batch(config, people.device)
    people.step(people.operand(x), y)  # what is tried once
    with Products() as noted:
        people.step(people.operand(x), y)
    pairs = [
        [torch.randn(shape, device=x.device).to(dtype) for shape in shapes]
        for *shapes, dtype in noted.shapes
    ]
    outs = [left @ right for left, right in pairs]

    def compute() -> None:
        for (left, right), out in zip(pairs, outs, strict=True):
            torch.matmul(left, right, out=out)

    return repeated(compute)


def loops(config: Config, n_networks: int) -> Step:
    """Takes so many steps with every network, one after the other, by its rule's plain loop."""
    people = population(config, n_networks)
    x, y = batch(config, people.device)
    loop = LOOPS[config.learning_rule.name]
    each = [loop(people, row) for row in range(n_networks)]

    def train(n: int) -> None:
        for network in each:
            for _ in range(n):
                network.step(x[0], y[0])

    return train
