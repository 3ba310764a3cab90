"""A formula as a graph: operands to the left, what they make to the right, b_i^p at the end.

Reference: R. H. Eyono, "Learning to backpropagate", 2020, figure 3.1 (after Alber et al. 2018).

Differences from the reference: only what makes b_i^p is shown; what is computed once is one node.
"""

import math
import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fabench.figure import style
from fabench.learning_rule.language.tree import Node, Number, Term, distinct, parse, text
from fabench.learning_rule.language.words import SIGNS

FORWARD, BACKWARD, MATRIX, RESULT = style.SKY, style.ORANGE, "#BBBBBB", style.YELLOW
KINDS = {"forward pass": FORWARD, "backward pass": BACKWARD, "weights and random matrices": MATRIX}

SYMBOLS = {
    "W": ("$W$", MATRIX),
    "R": ("$R$", MATRIX),
    "S": ("$S$", MATRIX),
    "R_top": ("$R_L$", MATRIX),
    "h_pre": ("$h_i^p$", FORWARD),
    "h": ("$h_i$", FORWARD),
    "h_next_pre": ("$h_{i+1}^p$", FORWARD),
    "D": (r"$\partial h_i/\partial h_i^p$", FORWARD),
    "b_top": ("$b_L^p$", BACKWARD),
    "b_next": ("$b_{i+1}^p$", BACKWARD),
    "q": ("$q$", BACKWARD),
    "g": ("$g$", BACKWARD),
    "q_fa": (r"$q_\mathrm{FA}$", BACKWARD),
    "g_fa": (r"$g_\mathrm{FA}$", BACKWARD),
    "q_dfa": (r"$q_\mathrm{DFA}$", BACKWARD),
    "g_dfa": (r"$g_\mathrm{DFA}$", BACKWARD),
}
"""How the document writes the operands, where it has a letter for them."""

ORDERED = ("-", "/", "@")
"""Functions whose arguments are told apart, by a 1 and a 2."""

Place = tuple[float, float]


def formula_graph(formula: str) -> Figure:
    """The graph of a formula's text."""
    places = layout(parse(formula))
    *_, (last, y) = places.values()
    heights = [height for _, height in places.values()]
    low, high, columns = min(heights), max(heights), math.ceil((last + 2) / 7)
    height = 1.2 + 0.4 * (high - low)
    with style.canvas(columns=columns, height=height, grid=False) as (figure, _):
        axes = figure.add_subplot()
        axes.set_axis_off()
        for node in places:
            _draw(axes, node, places)
        _arrow(axes, (last, y), (last + 1, y), 0)
        _label(axes, (last + 1, y), "$b_i^p$", RESULT)
        axes.set_xlim(-0.5, last + 1.4)
        axes.set_ylim(low - 0.7, high + 0.9)
        title = textwrap.wrap(f"b = {formula}", 57 * min(columns, 2))  # a page has two
        axes.set_title("\n".join(title), fontsize=7, family="monospace")
        colors = {SYMBOLS[node.name][1] for node in places if node.name in SYMBOLS}
        handles = [
            Line2D([], [], marker="s", linestyle="", color=color, label=kind)
            for kind, color in KINDS.items()
            if color in colors
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=6)
        return figure


def layout(tree: Node) -> dict[Term, Place]:
    """Where a formula's operands and functions stand, each once, the result last: to the right of
    all that they are made of, as high as these are on average, two of a column one apart."""
    places: dict[Term, Place] = {}
    leaves = 0
    for node in distinct(tree):
        below = [places[a] for a in _made_of(node)]
        if not below:
            places[node] = 0.0, float(-leaves)
            leaves += 1
            continue
        x = 1 + max(x for x, _ in below)
        y = sum(y for _, y in below) / len(below)
        while any(abs(y - other) < 1 for column, other in places.values() if column == x):
            y -= 0.5
        places[node] = x, y
    return places


def _made_of(node: Term) -> list[Term]:
    """The terms among a function's arguments: numbers are written into it."""
    return [argument for argument in node.arguments if isinstance(argument, Term)]


def _draw(axes: Axes, node: Term, places: dict[Term, Place]) -> None:
    """A term, and the arrows that come to it."""
    place = places[node]
    if node.name in SYMBOLS:
        _label(axes, place, *SYMBOLS[node.name])
        return
    below = _made_of(node)
    for number, argument in enumerate(below, 1):
        start = places[argument]
        columns = place[0] - start[0]
        bend = 0.6 / columns if columns > 1 else 0  # past what stands between
        _arrow(axes, start, place, -bend if number == 1 else bend)
        if node.name in ORDERED and len(below) == 2:
            side = 0.25 if number == 1 else -0.35
            axes.text(place[0] - 0.3, place[1] + side, str(number), fontsize=5, color="0.4")
    name = {"*": r"$\odot$", "@": r"$\cdot$"}.get(node.name, node.name.replace("_", "\n", 1))
    numbers = [text(a) for a in node.arguments if isinstance(a, Number)]
    in_front = node.name in SIGNS and isinstance(node.arguments[0], Number)
    _label(axes, place, " ".join([*numbers, name] if in_front else [name, *numbers]), "white")


def _label(axes: Axes, place: Place, label: str, color: str) -> None:
    box = {"boxstyle": "round,pad=0.3", "facecolor": color, "edgecolor": "0.3", "linewidth": 0.6}
    axes.text(*place, label, ha="center", va="center", fontsize=6.5, bbox=box, zorder=2)


def _arrow(axes: Axes, start: Place, end: Place, bend: float) -> None:
    axes.annotate(
        "", end, start, zorder=1,
        arrowprops={"arrowstyle": "-|>", "color": "0.3", "linewidth": 0.7, "shrinkB": 9,
                    "mutation_scale": 7, "connectionstyle": f"arc3,rad={bend}"},
    )  # fmt: skip
