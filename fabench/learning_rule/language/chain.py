"""Equations to search among: drawn at random, and changed in one place.

An equation is a chain of one to three binary functions of terms u(o), a unary function of an
operand; what a function gives is the left term of the next, through a unary function:

    f_1(u_1(o_1), u_2(o_2)),  then f_2(u_3(f_1), u_4(o_3)),  then f_3(u_5(f_2), u_6(o_4))

Reference: M. Alber, I. Bello, B. Zoph, P.-J. Kindermans, P. Ramachandran, Q. Le, "Backprop
evolution", 2018, arXiv:1808.02822; R. H. Eyono, "Learning to backpropagate", 2020, appendix A.1.

Differences from the paper:
1. The numbers in a x and x + b are not said there: FACTORS and SHIFTS are a choice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from numpy.random import Generator

from fabench.learning_rule.language.tree import Node, parse, replaced
from fabench.learning_rule.language.words import NORMS, OPERANDS

SCALES, DROPPED = (0.01, 0.1, 0.5, 1), (0.01, 0.1, 0.3)
FACTORS, SHIFTS = (0.1, 0.5, 2, 10), (0.01, 0.1, 0.5, 1, 10)

Fits = Callable[[Node], bool]
"""Whether a formula's shapes are right."""


def _read(words: Sequence[str]) -> dict[str, Node]:
    return {word: parse(word, (*OPERANDS, "x", "y")) for word in words}


CATEGORIES = {
    "operands": _read([
        form.replace("x", operand)
        for operand in (*OPERANDS, "sign(W)")
        for form in ("x", "running_mean(x)", "running_std(x)", "bn(x)")
    ]),
    "unaries": _read([
        "x", "t(x)", "1 / x", "abs(x)", "-x", "step(x)", "relu(x)", "sign(x)", "root(x)",
        "signed_root(x)", "square(x)", "signed_square(x)", "cube(x)", "bn(x)",
        *(f"{a} * x" for a in FACTORS),
        *(f"x {sign} {b}" for b in SHIFTS for sign in "+-"),
        *(f"{name}(x, {scale})" for name in ("add_noise", "multiply_noise", "clip")
          for scale in SCALES),
        *(f"drop(x, {p})" for p in DROPPED),
        *(f"x / {norm}(x)" for norm in NORMS),
    ]),
    "binaries": _read([
        "x + y", "x - y", "x * y", "x / y", "x @ y", "x", "min(x, y)", "max(x, y)",
    ]),
}  # fmt: skip
"""What can stand in each kind of place, x and y being what comes in."""


@dataclass(frozen=True)
class Chain:
    """An equation: n binary functions, n + 1 operands, 2 n unary functions, in the order above."""

    operands: tuple[str, ...]
    unaries: tuple[str, ...]
    binaries: tuple[str, ...]

    def tree(self) -> Node:
        """The formula."""
        first, *others = (CATEGORIES["operands"][word] for word in self.operands)
        unaries = iter(CATEGORIES["unaries"][word] for word in self.unaries)
        node = first
        for word, operand in zip(self.binaries, others, strict=True):
            x = replaced(next(unaries), "x", node)
            y = replaced(next(unaries), "x", operand)
            node = replaced(replaced(CATEGORIES["binaries"][word], "x", x), "y", y)
        return node


def random_chain(rng: Generator, fits: Fits) -> Chain:
    """One to three binary functions of anything, uniformly, drawn again until it fits."""
    while True:
        n = int(rng.integers(1, 4))
        numbers = {"operands": n + 1, "unaries": 2 * n, "binaries": n}
        chain = Chain(**{
            category: tuple(_drawn(rng, list(CATEGORIES[category])) for _ in range(number))
            for category, number in numbers.items()
        })  # fmt: skip
        if fits(chain.tree()):
            return chain


def mutated(chain: Chain, rng: Generator, fits: Fits) -> Chain:
    """A chain with one operand, unary or binary function, whichever it is, exchanged for another of
    its category, drawn again until it fits."""
    places = [(name, n) for name in CATEGORIES for n in range(len(getattr(chain, name)))]
    while True:
        category, place = places[rng.integers(len(places))]
        words = list(getattr(chain, category))
        words[place] = _drawn(rng, [w for w in CATEGORIES[category] if w != words[place]])
        found = replace(chain, **{category: tuple(words)})
        if fits(found.tree()):
            return found


def _drawn(rng: Generator, words: list[str]) -> str:
    return words[rng.integers(len(words))]
