"""Any formula for the teaching signal: Backprop Evolution's search space.

    delta_L = e                                                      (1)
    delta_l = formula(W_{l+1}, h_l, delta_{l+1}, e, ...)             (2)

e: dloss/da_L [B, C]. (2) stands in the place of backpropagation's g = (delta_{l+1} W_{l+1}^T) ⊙
f'(a_l) [B, n_l], the default. The language's operands and functions (see ``language/words.py``)
nest, as in ``g / fro(g) + 0.5 * g``, ``b_next @ t(R) * D``, ``min(g / fro(g), clip(h, 1))`` or
``g / norm2(g) * sign(bn(D))``. What is written twice is computed once: the same noise. Running
averages, of factor r = 0.9, are of a term x at layer l, over the batch and over steps:

    w <- r w + 1 - r,  alpha = (1 - r) / w                           (3)
    m <- m + alpha (mean(x) - m)                                     (4)
    v <- v + alpha (mean((x - m)²) - v)                              (5)

running_mean(x) is m, running_std(x) is √v; w begins at 0, so the first step's are its batch's. The
step's own batch is in them.

Reference: M. Alber, I. Bello, B. Zoph, P.-J. Kindermans, P. Ramachandran, Q. Le, "Backprop
evolution", 2018, arXiv:1808.02822, as told by R. H. Eyono, "Learning to backpropagate", 2020,
chapter 3 and appendix A.1.

Differences from the paper, which leaves most of this open:
1. Formulas nest as they like; the paper's are chains of one to three functions of two terms.
2. Norms are those of the whole batch's matrix, so the best learning rate depends on its size; what
   weights descend is a mean over examples all the same. Images are taken as [example, rest].
3. Pooling, normalisation and sums of layers keep the true gradient: h_pre is what the activation
   takes, after normalisation, and a skip's signal is added. Where several layers read h, q and q_fa
   are sums, and W, R, S, b_next and h_next_pre are the first's.
4. R and R_top are drawn by ``init_of_B``, which the paper's are from a normal distribution; S is 0
   or 1, with equal chances.
5. Division by 0 gives 0. Running averages have no examples, and (5) is centred.
"""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Annotated

import numpy as np
import torch
from numpy.random import Generator
from pydantic import AfterValidator
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import FeedbackRule, direct_pairs, downstream, standing_in
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.signal import Signals, chain_only, transposed
from fabench.learning_rule.language.shapes import averaged, misfit, operand_shapes, shape
from fabench.learning_rule.language.tree import Node, Number, Term, canonical, distinct, parse, text
from fabench.learning_rule.language.words import BINARY, DRAWING, NORMS, RUNNING, UNARY, quotient
from fabench.model.layer.initialization import Matrix, zeros
from fabench.model.layer.kernel import at_full, product
from fabench.model.layer.network import ForwardPass, Layer, readers
from fabench.model.layer.parameter import Parameter
from fabench.schema import STRICT

FACTOR = 0.9
"""r of running averages."""


@dataclass(frozen=True, config=STRICT)
class Formula(FeedbackRule):
    name: str
    formula: Annotated[str, AfterValidator(canonical)]

    @cached_property
    def tree(self) -> Node:
        """The formula, read."""
        return parse(self.formula)

    @cached_property
    def names(self) -> frozenset[str]:
        """The operands and functions in it."""
        return frozenset(term.name for term in distinct(self.tree))

    @cached_property
    def running(self) -> list[Node]:
        """The terms of which there are running averages."""
        found = [term.arguments[0] for term in distinct(self.tree) if term.name in RUNNING]
        return list(dict.fromkeys(found))

    @property
    def draws_in_steps(self) -> bool:
        return not self.names.isdisjoint(DRAWING)

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        reason = misfit(self.tree, layers)
        return reason and f"has a formula that does not fit ({reason})"

    # -- Parameters --------------------------------------------------------------------------

    @property
    def backward_matrices(self) -> bool:
        """Whether R is in it."""
        return not self.names.isdisjoint({"R", "q_fa", "g_fa"})

    @property
    def direct_matrices(self) -> bool:
        """Whether R_top is in it."""
        return not self.names.isdisjoint({"R_top", "q_dfa", "g_dfa"})

    @property
    def has_feedback(self) -> bool:
        return self.backward_matrices or self.direct_matrices

    def feedback_shapes(self, layers: tuple[Layer, ...]) -> list[tuple[int, int]]:
        """Those of R^T, as feedback alignment's, then those of R_top."""
        backward = [(layer.fan_out, layer.fan_in) for layer in layers[1:]]
        direct = [(layers[-1].units, layer.units) for layer in layers[:-1]]
        return backward * self.backward_matrices + direct * self.direct_matrices

    def transported(self, W: list[Tensor]) -> list[Tensor]:
        backward = [w.mT for w in W[1:]] if self.backward_matrices else []
        hidden = range(len(W) - 1) if self.direct_matrices else []
        return backward + [downstream(W, layer) for layer in hidden]

    def transport_refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return chain_only(layers) if self.direct_matrices else None

    def alignment_pairs(
        self, W: list[Tensor], B: list[Tensor]
    ) -> list[tuple[Tensor, Tensor] | None]:
        if self.backward_matrices:
            return standing_in(B[: len(W) - 1], W)
        return direct_pairs(W, B) if self.direct_matrices else []

    def other_parameters(self, layers: tuple[Layer, ...]) -> dict[str, Parameter]:
        table = {}
        if "S" in self.names:
            for number, layer in enumerate(layers[1:]):
                i, o = layer.fan_in, layer.fan_out
                table[f"S{number}"] = Parameter((i, o), _bernoulli(i, o), f"S {number}", "never")
        if self.running:
            table["w0"] = _average(1, 1)
        for below in range(len(layers) - 1):
            for number, term in enumerate(self.running, below * len(self.running)):
                own = 1, 1  # of a layer that none reads
                if readers(layers, below):
                    own = averaged(shape(term, operand_shapes(layers, below)))
                table |= {f"m{number}": _average(*own), f"v{number}": _average(*own)}
        return table

    # -- Signals -----------------------------------------------------------------------------

    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        averages = dict[str, Tensor]()

        def brought(layer: int, deltas: Signals) -> Tensor | None:
            if layer not in forward.readers:
                return None
            place = Place(self, part, forward, deltas, layer)
            found = place(self.tree)
            averages.update(place.taken)
            h = forward.f[layer]
            return forward.pull_to_sum(layer, found.type_as(e).reshape(h.shape))  # (2)

        return Sent(forward.spread(e, brought), averages)

    def adapt(self, part: Part, forward: ForwardPass, e: Tensor, deltas: Signals) -> None:
        assert isinstance(deltas, Sent)
        for name, average in deltas.averages.items():
            part.put(name, average)


class Sent(dict[int, Tensor]):
    """Teaching signals, and the running averages of which they are made, by parameter."""

    def __init__(self, deltas: Signals, averages: dict[str, Tensor]) -> None:
        super().__init__(deltas)
        self.averages = averages


class Place:
    """A formula's terms at one layer, in one step: matrices [R, a, b], each computed once. Those of
    a convolution's images may be images, [R, B, *shape], until a function takes them as rows."""

    def __init__(
        self, rule: Formula, part: Part, forward: ForwardPass, deltas: Signals, layer: int
    ) -> None:
        """``deltas``: the teaching signals of the layers above."""
        self.rule, self.part, self.forward, self.deltas = rule, part, forward, deltas
        self.layer, self.reader = layer, forward.readers[layer][0]
        self.e = deltas[len(forward.layers) - 1]
        self.values = dict[Node, Tensor]()
        self.taken = dict[str, Tensor]()  # running averages as of this step, by parameter

    def __call__(self, node: Node) -> Tensor:
        if node not in self.values:
            self.values[node] = self.computed(node)
        return self.values[node]

    def computed(self, node: Node) -> Tensor:
        if isinstance(node, Number):
            return at_full(self.e).new_full((1, 1, 1), node.value)
        if not node.arguments:
            return at_full(self.operand(node.name))
        x, *others = map(self, node.arguments)
        match node:
            case Term(name, (_, _)) if name in BINARY:
                return BINARY[name](*_aligned(x, others[0]))
            case Term(name) if name in UNARY:
                return UNARY[name](x)
            case Term("clip", (_, Number(c))):
                return x.clamp(-c, c)
        x = x.flatten(2)
        match node:
            case Term("t"):
                return x.mT
            case Term("@"):
                y = others[0].flatten(2)
                return at_full(product(x.type_as(self.e), y.type_as(self.e)))
            case Term("drop", (_, Number(p))):
                return x * (torch.special.ndtr(self.noise(node, x)) >= p) / (1 - p)
            case Term("add_noise", (_, Number(s))):
                return x + s * self.noise(node, x)
            case Term("multiply_noise", (_, Number(s))):
                return x * (1 + s * self.noise(node, x))
        if node.name in NORMS:
            return NORMS[node.name][1](x)
        m, v = self.averages(node.arguments[0])
        match node.name:
            case "running_mean":
                return m
            case "running_std":
                return v.sqrt()
        return quotient(x - m, v.sqrt())  # bn

    def noise(self, node: Node, x: Tensor) -> Tensor:
        """N ~ N(0, 1) of x's shape, a term's own."""
        stream = f"{text(node)} of layer {self.layer}"
        return at_full(self.part.noise(stream, tuple(x.shape[1:])))

    # -- Operands ----------------------------------------------------------------------------

    def operand(self, name: str) -> Tensor:
        """What an operand's name stands for, flat or as images."""
        forward, layer, part = self.forward, self.layer, self.part
        match name:
            case "W":
                return part.operand(f"W{self.reader}")
            case "R":
                return self.backward_matrices()[self.reader].mT
            case "S":
                return part.operand(f"S{self.reader - 1}")
            case "R_top":
                return self.direct_matrix()
            case "h_pre":
                return forward.into_f(layer)
            case "h":
                return forward.activity(layer)
            case "h_next_pre":
                return forward.a[self.reader]
            case "b_top":
                return self.e
            case "b_next":
                return self.deltas[self.reader]
            case "D":
                return forward.pull_to_f(layer, torch.ones_like(forward.f[layer]))
        at_h = self.at_h(name[1:])
        return at_h if name.startswith("q") else forward.pull_to_f(layer, at_h)

    def at_h(self, whose: str) -> Tensor:
        """q, q_fa or q_dfa."""
        if whose == "_dfa":
            return self.e @ self.direct_matrix()
        M = self.backward_matrices() if whose == "_fa" else transposed(self.part.operands("W"))
        found = self.forward.sent_back(self.layer, self.deltas, M)
        assert found is not None
        return found

    def backward_matrices(self) -> dict[int, Tensor]:
        """R^T of every layer's weights but the first's."""
        return dict(enumerate(self.part.operands("B")[: len(self.forward.layers) - 1], 1))

    def direct_matrix(self) -> Tensor:
        """R_top: those of all hidden layers are the last matrices."""
        return self.part.operands("B")[self.layer - len(self.forward.layers) + 1]

    # -- Running averages --------------------------------------------------------------------

    def averages(self, term: Node) -> tuple[Tensor, Tensor]:
        """m and v of a term, as of this step."""
        running = self.rule.running
        number = self.layer * len(running) + running.index(term)
        m_name, v_name = f"m{number}", f"v{number}"
        if m_name not in self.taken:
            w = FACTOR * self.part["w0"] + (1 - FACTOR)  # (3), [R, 1, 1]
            x, alpha = self(term).flatten(2), (1 - FACTOR) / w
            m, v = self.part[m_name], self.part[v_name]
            examples = [axis for axis in (1, 2) if m.shape[axis] == 1]

            def mean(x: Tensor) -> Tensor:
                return x.mean(examples, keepdim=True) if examples else x

            m = m + alpha * (mean(x) - m)  # (4)
            v = v + alpha * (mean((x - m).square()) - v)  # (5)
            self.taken |= {"w0": w, m_name: m, v_name: v}
        return self.taken[m_name], self.taken[v_name]


def _aligned(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Two matrices, flat or images [R, a, *shape], so that elements meet their like: as images if
    both are, or if the other is a column [R, a, 1]; else flat."""
    if x.shape[2:] == y.shape[2:]:
        return x, y
    if x.shape[2:] == (1,):
        return x.reshape(*x.shape[:2], *[1] * (y.dim() - 2)), y
    if y.shape[2:] == (1,):
        return x, y.reshape(*y.shape[:2], *[1] * (x.dim() - 2))
    return x.flatten(2), y.flatten(2)


def _bernoulli(i: int, o: int) -> Callable[[Generator], Matrix]:
    return lambda rng: rng.integers(0, 2, (i, o)).astype(np.float32)


def _average(rows: int, columns: int) -> Parameter:
    return Parameter((rows, columns), partial(zeros, i=rows, o=columns), "averages", "put")
