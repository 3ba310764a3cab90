"""What shape a formula's terms have, before anything is computed."""

from collections.abc import Mapping, Sequence

from fabench.learning_rule.language.tree import Node, Number, text
from fabench.learning_rule.language.words import BINARY, NORMS, RUNNING
from fabench.model.layer.network import Layer, readers
from fabench.schema import short

BATCH = "batch"
"""The length of an axis that examples lie along: it goes with itself and with 1 alone."""

Shape = tuple[int | str, int | str]


class Misfit(ValueError):
    """A term that has no shape. The message says which, and why."""


def operand_shapes(layers: Sequence[Layer], number: int) -> dict[str, Shape]:
    """The shapes of all operands at a layer that another reads."""
    n, top = layers[number].units, layers[-1].units
    above = layers[readers(layers, number)[0]]
    of_batch = {
        **dict.fromkeys(("h_pre", "h", "D", "q", "g", "q_fa", "g_fa", "q_dfa", "g_dfa"), n),
        **dict.fromkeys(("h_next_pre", "b_next"), above.units),
        "b_top": top,
    }
    weights: Shape = (above.fan_in, above.fan_out)
    return {
        **{name: (BATCH, length) for name, length in of_batch.items()},
        **dict.fromkeys(("W", "R", "S"), weights),
        "R_top": (top, n),
    }


def shape(node: Node, operands: Mapping[str, Shape]) -> Shape:
    """A term's shape. Raises Misfit."""
    if isinstance(node, Number):
        return 1, 1
    if not node.arguments:
        return operands[node.name]
    first, *others = [shape(argument, operands) for argument in node.arguments]
    if node.name == "t":
        return first[1], first[0]
    if node.name in NORMS:
        axes, _ = NORMS[node.name]
        return (1 if 1 in axes else first[0]), (1 if 2 in axes else first[1])
    if node.name in RUNNING:
        return first if node.name == "bn" else averaged(first)
    if node.name == "@":
        if first[1] != others[0][0]:
            raise _misfit(node, first, others[0])
        return first[0], others[0][1]
    if node.name in BINARY and others:
        pairs = list(zip(first, others[0], strict=True))
        if any(a != b and 1 not in (a, b) for a, b in pairs):
            raise _misfit(node, first, others[0])
        rows, columns = (b if a == 1 else a for a, b in pairs)
        return rows, columns
    return first


def averaged(of: Shape) -> tuple[int, int]:
    """The shape of a running average: without examples."""
    rows, columns = (1 if isinstance(length, str) else length for length in of)
    return rows, columns


def misfit(node: Node, layers: Sequence[Layer]) -> str | None:
    """What does not fit of a formula for the layers of a network; None if all does."""
    for number in range(len(layers)):
        if readers(layers, number):
            wanted = (BATCH, layers[number].units)
            try:
                found = shape(node, operand_shapes(layers, number))
            except Misfit as error:
                return f"{error} in layer {number + 1}"
            if found != wanted:
                return (
                    f"{short(text(node))} is {shown(found)}, not {shown(wanted)}, in layer "
                    f"{number + 1}"
                )
    return None


def shown(of: Shape) -> str:
    """A shape in brackets."""
    return f"[{of[0]}, {of[1]}]"


def _misfit(node: Node, left: Shape, right: Shape) -> Misfit:
    return Misfit(f"{short(text(node))} does not fit, {shown(left)} and {shown(right)},")
