"""What is measured: loss, accuracy or squared error, weight alignment, gradient alignment.

Axes: R runs, B batch, I fan-in, O fan-out, C outputs.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from fabench.examples import Epoch, Examples
from fabench.learning_rule.base import FeedbackRule
from fabench.learning_rule.bp import sequential
from fabench.network import forward
from fabench.population import Population

Metrics = dict[str, Tensor]
"""Named values, one per run: [R], float64, on the CPU."""

BUFFER_ELEMENTS = 2**22
"""Inputs gathered at a time when only forward passes are needed (16 MiB)."""

PROBE_EXAMPLES = 1024
"""Training examples on which teaching signals are compared."""


class Score:
    """Sums of loss and correct answers, kept on the device until they are asked for."""

    def __init__(self, n_runs: int, device: torch.device) -> None:
        self.loss = torch.zeros(n_runs, dtype=torch.float64, device=device)
        self.correct = torch.zeros(n_runs, dtype=torch.float64, device=device)
        self.examples = 0

    def add(self, loss: Tensor, correct: Tensor | None) -> None:
        """Count a batch: loss [R, B], correct [R, B]."""
        self.loss += loss.sum(1)
        if correct is not None:
            self.correct += correct.sum(1)
        self.examples += loss.shape[1]

    def metrics(self, prefix: str, variance: Tensor | None = None) -> Metrics:
        """``<prefix>_loss`` and ``<prefix>_accuracy``; the accuracy of a diverged run is NaN.

        Given the ``variance`` [R] of a regression's targets, the normalized squared error,
        ``<prefix>_nse``, takes the accuracy's place.
        """
        loss = self.loss.cpu() / self.examples
        if variance is None:
            name, score = "accuracy", self.correct.cpu() / self.examples
        else:
            name, score = "nse", 2 * loss / variance.cpu()
        score[~loss.isfinite()] = torch.nan
        return {f"{prefix}_loss": loss, f"{prefix}_{name}": score}


def evaluate(population: Population, examples: Examples, epoch: Epoch) -> Score:
    """Loss and accuracy of every network on ``epoch``, with the weights as they are."""
    score = Score(len(population.rows), population.device)
    for output, y in _outputs(population, examples, epoch):
        loss, _ = population.task.loss_and_error(output, y)
        score.add(loss, population.task.correct(output, y))
    return score


def class_accuracy(population: Population, examples: Examples, epoch: Epoch) -> Tensor:
    """Accuracy among each class's examples [R, C] on one-hot targets; NaN for a class of none."""
    shape = (len(population.rows), population.task.n_outputs)
    correct = torch.zeros(shape, dtype=torch.float64, device=population.device)
    total = torch.zeros_like(correct)
    for output, y in _outputs(population, examples, epoch):
        right = population.task.correct(output, y)
        assert right is not None
        correct += (y * right[..., None]).sum(1)
        total += y.sum(1)
    return (correct / total).cpu()


def _outputs(
    population: Population, examples: Examples, epoch: Epoch
) -> Iterator[tuple[Tensor, Tensor]]:
    """Every network's output [R, B, C] and y [R, B, C], as many examples at a time as fit."""
    size = max(
        1, BUFFER_ELEMENTS // (len(population.rows) * max(la.width for la in population.layers))
    )
    for x, y in examples.batches(epoch, size):
        yield population.outputs(x), y


def weight_alignment(population: Population) -> Metrics:
    """Cosine of feedback and forward weights: per hidden layer, and of all layers together.

    All together is the cosine of the concatenated matrices (Refinetti et al. 2021, section 3).
    Empty for rules without feedback.
    """
    if not population.B or not isinstance(population.rule, FeedbackRule):
        return {}
    pairs = population.rule.alignment_pairs(population.weights.W, population.B)
    flat = [(p[0].flatten(1).double(), p[1].flatten(1).double()) for p in pairs if p]
    whole = (torch.cat([b for b, _ in flat], 1), torch.cat([w for _, w in flat], 1))
    return _named("weight_alignment", [cosine_similarity(*pair) for pair in [whole, *flat]])


def gradient_alignment(population: Population, examples: Examples, epoch: Epoch) -> Metrics:
    """Cosine of the rule's teaching signals and BP's, on the same weights and examples.

    Per example, over the units of one hidden layer and over those of all hidden layers; then the
    mean over examples (Launay et al. 2019, arXiv:1906.04554, section 2.3). Examples on which either
    signal is zero (no active unit) have no angle and are left out. Empty for rules that send no
    signal to hidden layers.
    """
    weights, B = population.operands(population.weights, population.B)
    batches = examples.batches(epoch.first(PROBE_EXAMPLES), PROBE_EXAMPLES)
    x, y = next(batches)
    passed = forward(population.layers, weights, x[population.streams], population.operand)
    passed.y, passed.noise = population.operand(y), population.noise(slice(None))
    e = population.operand(population.task.loss_and_error(passed.output.float(), y)[1])
    deltas = population.rule.teaching_signals(e, passed, weights.W, B)[:-1]
    bp_deltas = sequential(e, passed, [w.mT for w in weights.W[1:]])[:-1]
    pairs = [
        (d.double(), b.double())
        for d, b in zip(deltas, bp_deltas, strict=True)
        if d is not None and b is not None
    ]
    if not pairs:
        return {}
    whole = (torch.cat([d for d, _ in pairs], 2), torch.cat([b for _, b in pairs], 2))
    return _named("gradient_alignment", [_mean_cosine(*pair) for pair in [whole, *pairs]])


def _mean_cosine(d: Tensor, b: Tensor) -> Tensor:
    norms = d.norm(dim=2) * b.norm(dim=2)
    return ((d * b).sum(2) / norms.where(norms > 0, torch.nan)).nanmean(1)


def _named(name: str, values: list[Tensor]) -> Metrics:
    """[all layers, layer 1, layer 2, ...]; with one hidden layer the two are the same."""
    columns = {name: values[0].cpu()}
    if len(values) > 2:
        columns |= {f"{name}_{layer}": v.cpu() for layer, v in enumerate(values[1:], 1)}
    return columns
