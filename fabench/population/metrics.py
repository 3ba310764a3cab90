"""What is measured: loss, accuracy or squared error; alignments, norms and dead units.

Axes: R rows, B batch, I fan-in, O fan-out, C outputs.

The columns on a network's inside. A hidden layer's teaching signal is delta_l = s_l ⊙ f'(a_l), s_l
being the signal as it arrives; delta*_l and s*_l are backpropagation's, on the same weights and
examples.

    weight_alignment      cosine of the feedback and the weights that it stands in for
    gradient_alignment    mean of cos(delta_l, delta*_l)
    feedback_alignment    mean of cos(s_l, s*_l)
    update_alignment      cosine of what the rule descends (of a search: minus its change) and
                          backpropagation's gradient, of all weights that learn
    weight_norm_<l>       ||W_l||, the root of the sum of squares
    signal_norm_<l>       mean of ||delta_l||; of the output layer ||e||
    dead_units            fraction of ReLU units with h_l = 0 on every example

Means are over the epoch's first PROBE_EXAMPLES examples. Layers are counted from 1. A column
without a number is about all hidden layers together; where there are several, <column>_<l> is about
one of them; update_alignment is about all weight matrices. The signals are those of a rule that
sends some, through the network as in a test: without dropout, normalised by running statistics;
update_alignment is that of a training step.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.linalg import vector_norm

from fabench.learning_rule.base.feedback import FeedbackRule
from fabench.learning_rule.base.rule import SearchRule
from fabench.learning_rule.base.signal import SignalRule, Signals, transposed
from fabench.model.layer.network import ForwardPass
from fabench.population.examples import Epoch, Examples
from fabench.population.part import PopulationPart
from fabench.population.population import Population
from fabench.population.precision import has_float64, where_float64_is
from fabench.task.base import Task

Metrics = dict[str, Tensor]
"""Named values, one a row: [R], float64, on the CPU."""

BUFFER_ELEMENTS = {"cpu": 2**22, "cuda": 2**29, "mps": 2**22}
"""Inputs gathered at a time when only forward passes are needed (16 MiB, on a GPU 2 GiB)."""

PROBE_EXAMPLES = 1024
"""Training examples on which signals and units are looked at ..."""

PROBE_ELEMENTS = 2**24
"""... or fewer, where a layer of one network would have more values than this (64 MiB)."""


class Score:
    """Sums of loss and correct answers, kept on the device until they are asked for.

    ``top_k``: how many of its largest outputs a classifier may be right with; None: is not counted.
    """

    def __init__(self, n_rows: int, device: torch.device, top_k: int | None = None) -> None:
        self.top_k = top_k
        self.loss, self.correct, self.in_top = _sums((3, n_rows), device)
        self.examples = 0

    def reset(self) -> None:
        """Begin again."""
        self.loss.zero_()
        self.correct.zero_()
        self.in_top.zero_()
        self.examples = 0

    def add(self, task: Task, output: Tensor, y: Tensor) -> None:
        """Count a batch: output [R, B, C], y [R, B, C]."""
        self.loss += task.objective.value(output, y).sum(1)
        correct = task.correct(output, y)
        if correct is not None:
            self.correct += correct.sum(1)
        if self.top_k:
            largest = output.topk(self.top_k).indices
            self.in_top += (largest == y.argmax(-1, keepdim=True)).any(-1).sum(1)
        self.examples += output.shape[1]

    def metrics(self, prefix: str, variance: Tensor | None = None) -> Metrics:
        """``<prefix>_loss`` and ``<prefix>_accuracy``, and ``<prefix>_top_<k>_accuracy`` where that
        is counted; accuracies of a diverged row are NaN.

        Given the ``variance`` [R] of a regression's targets, the normalized squared error,
        ``<prefix>_nse``, takes the accuracy's place; of targets that do not vary it is NaN.
        """
        loss = self.loss.cpu().double() / self.examples
        if variance is None:
            name, score = "accuracy", self.correct.cpu().double() / self.examples
        else:
            name, score = "nse", 2 * loss / variance.cpu()
            score[variance.cpu() == 0] = torch.nan
        scores = {f"{prefix}_{name}": score}
        if self.top_k:
            share = self.in_top.cpu().double() / self.examples
            scores[f"{prefix}_top_{self.top_k}_accuracy"] = share
        for values in scores.values():
            values[~loss.isfinite()] = torch.nan
        return {f"{prefix}_loss": loss, **scores}


def _sums(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Zeros, float64 where the device has that."""
    dtype = torch.float64 if has_float64(device) else torch.float32
    return torch.zeros(shape, dtype=dtype, device=device)


def evaluate(
    population: Population, examples: Examples, epoch: Epoch, top_k: int | None = None
) -> Score:
    """Loss and accuracy of every network on ``epoch``, with the weights as they are."""
    score = Score(len(population.rows), population.device, top_k)
    for output, y in _outputs(population, examples, epoch):
        score.add(population.task, output, y)
    return score


def confusion(population: Population, examples: Examples, epoch: Epoch) -> Tensor | None:
    """How many of each class's examples every network takes for each class [R, class, answer]; None
    where examples are of no class."""
    n = max(2, population.task.n_outputs)
    counts = torch.zeros(len(population.rows), n * n, dtype=torch.int64, device=population.device)
    for output, y in _outputs(population, examples, epoch):
        classes = population.task.classes(output, y)
        if classes is None:
            return None
        answer, own = classes
        counts.scatter_add_(1, n * own + answer, torch.ones_like(own))
    return counts.view(-1, n, n).cpu()


def _outputs(
    population: Population, examples: Examples, epoch: Epoch
) -> Iterator[tuple[Tensor, Tensor]]:
    """Every network's output [R, B, C] and y [R, B, C], as many examples at a time as fit."""
    present = len(population.rows) if population.together else len(examples.seeds)
    most = BUFFER_ELEMENTS[population.device.type]
    size = max(1, most // (present * _widest(population)))
    for x, y in examples.batches(epoch, size):
        yield population.outputs(x), y


def _widest(population: Population) -> int:
    """Values of an example at the widest place of a network."""
    return max(layer.width for layer in population.layers)


def network_metrics(population: Population, examples: Examples, epoch: Epoch) -> Metrics:
    """The columns on the networks' inside, see above, measured on ``epoch``'s first examples."""
    x, y = _first(population, examples, epoch)
    signals: tuple[list[Metrics], ...] = ([], [], [], [])
    updates = []
    for rows in population.portions:
        part = population.part(rows)
        own_x, own_y = x[part.streams], y[rows]
        if isinstance(part.rule, SignalRule):
            probe = _probe(part, part.rule, own_x, own_y)
            for found, measure in zip(signals, MEASURES, strict=True):
                found.append(measure(probe))
        part.adversarial = 0.0  # what is measured is of the examples as they are
        updates.append(update_alignment(part, own_x, own_y))
    gradient, feedback, norms, dead = map(_joined, signals)
    return {
        **weight_alignment(population),
        **gradient,
        **feedback,
        **_joined(updates),
        **weight_norms(population),
        **norms,
        **dead,
    }


def _joined(portions: list[Metrics]) -> Metrics:
    """The metrics of all rows from those of each portion."""
    names = portions[0] if portions else []
    return {name: torch.cat([metrics[name] for metrics in portions]) for name in names}


def weight_alignment(population: Population) -> Metrics:
    """Cosine of feedback and forward weights: per hidden layer, and of all layers together.

    All together is the cosine of the concatenated matrices (Refinetti et al. 2021,
    arXiv:2011.12428, section 3). Empty for rules without feedback that stands in for weights; NaN
    where either is zero.
    """
    W, B = population.matrices("W"), population.matrices("B")
    if not B or not isinstance(population.rule, FeedbackRule):
        return {}
    pairs = population.rule.alignment_pairs(W, B)
    products = {
        layer: _products(*(matrix.flatten(1)[:, None] for matrix in pair))
        for layer, pair in enumerate(pairs, 1)
        if pair
    }
    if not products:
        return {}
    whole = torch.stack(list(products.values())).sum(0)
    layers = {layer: _mean_cosine(of_layer) for layer, of_layer in products.items()}
    return _named("weight_alignment", _mean_cosine(whole), layers)


def weight_norms(population: Population) -> Metrics:
    """Frobenius norm of every layer's W, the output layer's included."""
    return {
        f"weight_norm_{layer}": _norm(W.flatten(1), 1).cpu()
        for layer, W in enumerate(population.matrices("W"), 1)
    }


# -- On examples -----------------------------------------------------------------------------


@dataclass
class Probe:
    """A forward pass, and what the rule and backpropagation send on it.

    ``deltas``, ``bp_deltas``: the teaching signals [R, B, O], by layer. ``arriving``,
    ``bp_arriving``: of hidden layers, the signals before the product with f'(a_l) [R, B, O].
    """

    passed: ForwardPass
    deltas: Signals
    bp_deltas: Signals
    arriving: Signals
    bp_arriving: Signals


@dataclass(kw_only=True)
class _Traced(ForwardPass):
    """A forward pass that notes the signals as they arrive, before f' and normalisation."""

    arriving: Signals = field(default_factory=dict)

    def pull(self, layer: int, signal: Tensor) -> Tensor:
        self.arriving[layer] = signal
        return super().pull(layer, signal)


def send(population: Population, examples: Examples, epoch: Epoch) -> Probe:
    """Run the rule and backpropagation on ``epoch``'s first PROBE_EXAMPLES examples."""
    x, y = _first(population, examples, epoch)
    part = population.part(slice(None))
    assert isinstance(part.rule, SignalRule)
    return _probe(part, part.rule, x[part.streams], y)


def _first(population: Population, examples: Examples, epoch: Epoch) -> tuple[Tensor, Tensor]:
    """x [S, B, I] and y [R, B, C] of the examples on which a network is probed."""
    n = min(PROBE_EXAMPLES, PROBE_ELEMENTS // _widest(population))  # a row's, however many rows
    return next(examples.batches(epoch.first(n), n))


def _probe(part: PopulationPart, rule: SignalRule, x: Tensor, y: Tensor) -> Probe:
    """Run the rule and backpropagation on x [R, B, I] and y [R, B, C]."""
    passed = part.forward(x)
    e = part.error(passed.output, y)
    ours, exact = (_Traced(**vars(passed)) for _ in range(2))
    deltas = rule.teaching_signals(e, part.as_operand(y), ours, part)
    bp_deltas = exact.carry(e, transposed(part.operands("W")))
    found = (deltas, bp_deltas, ours.arriving, exact.arriving)
    return Probe(passed, *(dict(sorted(signals.items())) for signals in found))


def gradient_alignment(probe: Probe) -> Metrics:
    """Cosine of the rule's teaching signals and BP's, on the same weights and examples.

    Per example, over the units of one hidden layer and over those of all hidden layers; then the
    mean over examples (Launay et al. 2019, arXiv:1906.04554, section 2.3). Examples on which either
    signal is zero (no active unit) have no angle and are left out. Empty for rules that send no
    signal to hidden layers.
    """
    return _alignment("gradient_alignment", probe.deltas, probe.bp_deltas, len(probe.passed.f))


def feedback_alignment(probe: Probe) -> Metrics:
    """As ``gradient_alignment``, before either signal's product with the layer's own f'(a_l).

    With one hidden layer the cosine of e B and e W_L^T (Lillicrap et al. 2014, arXiv:1411.0247,
    figure 4, whose angle is its arccos).
    """
    return _alignment("feedback_alignment", probe.arriving, probe.bp_arriving, len(probe.passed.f))


def signal_norms(probe: Probe) -> Metrics:
    """Norm of an example's teaching signal, over a layer's units; mean over examples.

    Of the layers to which the rule sends one, the output layer included.
    """
    return {
        f"signal_norm_{layer + 1}": _norm(delta.flatten(2), 2).mean(1).cpu()
        for layer, delta in probe.deltas.items()
    }


def dead_units(probe: Probe) -> Metrics:
    """Fraction of the units of ReLU layers that are inactive on every example.

    Such a unit learns nothing from them (Lu et al. 2019, "Dying ReLU and initialization",
    arXiv:1903.06733). Empty for networks of other units; a gated unit is no ReLU.
    """
    passed = probe.passed
    dead = {
        number: _double((f == 0).all(1).flatten(1))
        for number, (layer, f) in enumerate(zip(passed.layers[:-1], passed.f, strict=True), 1)
        if layer.activation == "relu" and layer.gate is None and number - 1 in passed.readers
    }
    if not dead:
        return {}
    whole = torch.cat(list(dead.values()), 1).mean(1)
    return _named("dead_units", whole, {layer: d.mean(1) for layer, d in dead.items()})


MEASURES = (gradient_alignment, feedback_alignment, signal_norms, dead_units)
"""What is measured of a probe."""


def update_alignment(part: PopulationPart, x: Tensor, y: Tensor) -> Metrics:
    """Cosine of what the rule wants of W_l in a step on x [R, B, I] and y [R, B, C], and of
    backpropagation's gradient: of each W_l that learns, and of all. The change that a search makes
    counts negative. NaN where either is zero."""
    searches = isinstance(part.rule, SearchRule)
    wanted = part.wishes(x, y)
    passed = part.forward(x, training=True)
    exact = passed.carry(part.error(passed.output, y), transposed(part.operands("W")))
    products = {}
    for layer, delta in exact.items():
        name = f"W{layer}"
        if part.layers[layer].trained:
            g = passed.outer(layer, delta).value(part.as_operand)
            own = wanted.get(name, torch.zeros_like(g))
            if searches and name in wanted:
                own = part[name] - own
            products[layer + 1] = _products(own.flatten(1)[:, None], g.flatten(1)[:, None])
    whole = torch.stack(list(products.values())).sum(0)
    layers = {layer: _mean_cosine(products[layer]) for layer in sorted(products)}
    return _named("update_alignment", _mean_cosine(whole), layers)


def _alignment(name: str, signals: Signals, bp_signals: Signals, hidden: int) -> Metrics:
    """Of the first ``hidden`` layers, those that get a signal."""
    products = {
        layer + 1: _products(signals[layer], bp_signals[layer])
        for layer in range(hidden)
        if layer in signals and layer in bp_signals
    }
    if not products:
        return {}
    whole = torch.stack(list(products.values())).sum(0)
    layers = {layer: _mean_cosine(of_layer) for layer, of_layer in products.items()}
    return _named(name, _mean_cosine(whole), layers)


def _products(d: Tensor, b: Tensor) -> Tensor:
    """Every example's d b, d d and b b [3, R, B]; those of concatenated signals are their sums."""
    d, b = _double(d.flatten(2)), _double(b.flatten(2))
    return torch.stack([(d * b).sum(2), (d * d).sum(2), (b * b).sum(2)])


def _double(x: Tensor) -> Tensor:
    return where_float64_is(x).double()


def _norm(x: Tensor, dim: int) -> Tensor:
    return vector_norm(where_float64_is(x), dim=dim, dtype=torch.float64)


def _mean_cosine(products: Tensor) -> Tensor:
    db, dd, bb = products
    norms = dd.sqrt() * bb.sqrt()
    return (db / norms.where(norms > 0, torch.nan)).nanmean(1)


def _named(name: str, whole: Tensor, layers: dict[int, Tensor]) -> Metrics:
    """Of all layers, and of layer 1, 2, ... where there are several."""
    columns = {name: whole.cpu()}
    if len(layers) > 1:
        columns |= {f"{name}_{layer}": value.cpu() for layer, value in layers.items()}
    return columns
