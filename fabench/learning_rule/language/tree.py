"""Formulas as trees: read from text, simplified, written as text.

Text is Python's grammar, of which expressions of the language's words (see ``words.py``), numbers
and + - * / @ are let in; nothing is evaluated.
"""

import ast
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabench.learning_rule.language.words import CALLS, OPERANDS, PARAMETRIC, SIGNS
from fabench.schema import LARGEST, SMALLEST, nearest, short

LONGEST, DEEPEST = 1000, 40
"""Characters of a formula, and terms inside one another."""


@dataclass(frozen=True)
class Number:
    """A number, the same for all elements."""

    value: float


@dataclass(frozen=True)
class Term:
    """An operand, or a function of terms."""

    name: str
    arguments: tuple["Node", ...] = ()


Node = Number | Term


def terms(node: Node) -> Iterator[Node]:
    """A tree's nodes, each after its arguments; twice what stands there twice."""
    if isinstance(node, Term):
        for argument in node.arguments:
            yield from terms(argument)
    yield node


def distinct(node: Node) -> list[Term]:
    """A tree's operands and functions, each once, after its arguments."""
    return [term for term in dict.fromkeys(terms(node)) if isinstance(term, Term)]


def word_counts(nodes: Iterable[Node]) -> NDArray[np.float64]:
    """How often each tree has each operand and function that one of them has: [trees, words]."""
    counts = [Counter(t.name for t in terms(node) if isinstance(t, Term)) for node in nodes]
    words = sorted({word for count in counts for word in count})
    return np.array([[count[word] for word in words] for count in counts], dtype=np.float64)


def replaced(node: Node, name: str, value: Node) -> Node:
    """The tree with ``value`` in the place of an operand."""
    if isinstance(node, Number):
        return node
    if node.name == name:
        return value
    return Term(node.name, tuple(replaced(a, name, value) for a in node.arguments))


# -- Reading ---------------------------------------------------------------------------------

_SIGNS: dict[type[ast.operator], str] = dict(
    zip((ast.Add, ast.Sub, ast.Mult, ast.Div, ast.MatMult), SIGNS, strict=True)
)


def parse(text: str, operands: Sequence[str] = OPERANDS) -> Node:
    """The tree of a formula. Raises ValueError, which says what it should be."""
    if not text.isascii() or len(text) > LONGEST:
        raise ValueError(f"should be ASCII, at most {LONGEST} characters with all spaces")
    try:
        with warnings.catch_warnings(action="ignore"):
            body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ValueError("should be a formula, such as g / fro(g)") from None
    return _node(body, operands, DEEPEST)


def _node(tree: ast.expr, operands: Sequence[str], depth: int) -> Node:
    if not depth:
        raise ValueError(f"should have at most {DEEPEST} terms inside one another")

    def node(inner: ast.expr) -> Node:
        return _node(inner, operands, depth - 1)

    match tree:
        case ast.Constant(int() | float() as value) if not isinstance(value, bool):
            return _number(value)
        case ast.Name(name):
            if name not in operands:
                raise ValueError(f"has no operand {name}{nearest(name, list(operands))[:-1]}")
            return Term(name)
        case ast.UnaryOp(ast.UAdd(), inner):
            return node(inner)
        case ast.UnaryOp(ast.USub(), inner):
            return _negated(node(inner))
        case ast.BinOp(left, operator, right) if type(operator) in _SIGNS:
            return Term(_SIGNS[type(operator)], (node(left), node(right)))
        case ast.Call(ast.Name(name), inner, []):
            return _call(name, tuple(map(node, inner)))
    odd = tree.op if isinstance(tree, ast.BinOp | ast.UnaryOp) else tree
    kind = type(odd).__name__  # as Python calls it: Pow, Lambda, Attribute, ListComp
    raise ValueError(f"should be of operands, functions, numbers and + - * / @, without {kind}")


def _number(value: float) -> Number:
    if abs(value) > LARGEST:  # of an int of any length, too; NaN has no text
        raise ValueError(f"should have numbers of at most {LARGEST:g}")
    if 0 < abs(value) < SMALLEST:
        raise ValueError(f"should have numbers of at least {SMALLEST:g}, or they are 0 in float32")
    return Number(float(value))


def _negated(node: Node) -> Node:
    return Number(-node.value) if isinstance(node, Number) else Term("-", (node,))


def _call(name: str, arguments: tuple[Node, ...]) -> Term:
    if name not in CALLS:
        raise ValueError(f"has no function {short(name)}{nearest(name, list(CALLS))[:-1]}")
    if len(arguments) != CALLS[name]:
        raise ValueError(f"should give {name} {CALLS[name]} arguments, not {len(arguments)}")
    if name in PARAMETRIC:
        number = arguments[1]
        if not isinstance(number, Number) or not 0 <= number.value <= PARAMETRIC[name]:
            raise ValueError(
                f"should give {name} a number from 0 to {PARAMETRIC[name]:g} after the comma"
            )
    return Term(name, arguments)


# -- Simplifying -----------------------------------------------------------------------------

ZERO, ONE = Number(0.0), Number(1.0)


def simplified(node: Node) -> Node:
    """The tree without what changes no value, to the last digit: g * 1, -(-g), g + 0, t(t(g))."""
    if isinstance(node, Number):
        return node
    arguments = tuple(simplified(a) for a in node.arguments)
    match node.name, arguments:
        case ("*", (x, Number(1.0)) | (Number(1.0), x)) | ("/", (x, Number(1.0))):
            return x
        case ("+", (x, Number(0.0)) | (Number(0.0), x)) | ("-", (x, Number(0.0))):
            return x
        case ("*", (x, Number(-1.0)) | (Number(-1.0), x)) | ("/", (x, Number(-1.0))):
            return simplified(_negated(x))
        case "-", (Number(0.0), x):
            return simplified(_negated(x))
        case "-", (Term("-", (x,)),):
            return x
        case "-", (Number(value),):
            return Number(-value)
        case "+", (x, Term("-", (y,))):
            return simplified(Term("-", (x, y)))
        case "+", (x, Number(value)) if value < 0:
            return Term("-", (x, Number(-value)))
        case "-", (x, Term("-", (y,))):
            return simplified(Term("+", (x, y)))
        case "-", (x, Number(value)) if value < 0:
            return Term("+", (x, Number(-value)))
        case "t", (Term("t", (x,)),):
            return x
        case ("abs" | "sign" | "relu" | "step") as name, (Term(inner),) if name == inner:
            return arguments[0]
        case (("abs" | "square"), (Term("-" | "abs", (x,)),)):
            return simplified(Term(node.name, (x,)))
    return Term(node.name, arguments)


# -- Writing ---------------------------------------------------------------------------------

_STRENGTH = {"+": 1, "-": 1, "*": 2, "/": 2, "@": 2}


def text(node: Node) -> str:
    """A formula's text; ``parse`` gives the same tree back."""
    if isinstance(node, Number):
        whole = node.value.is_integer() and abs(node.value) < 1e15
        return f"{node.value:.0f}" if whole else repr(node.value)
    if not node.arguments:
        return node.name
    if node.name not in _STRENGTH:
        return f"{node.name}({', '.join(map(text, node.arguments))})"
    own = _strength(node)
    if len(node.arguments) == 1:
        return f"-{_in_brackets(node.arguments[0], own)}"
    left, right = node.arguments
    return f"{_in_brackets(left, own)} {node.name} {_in_brackets(right, own + 1)}"


def _strength(node: Node) -> int:
    if isinstance(node, Number):
        return 3 if node.value < 0 else 4
    if len(node.arguments) == 1 and node.name == "-":
        return 3
    return _STRENGTH.get(node.name, 4) if node.arguments else 4


def _in_brackets(node: Node, least: int) -> str:
    """A term's text, in brackets if it binds less."""
    return text(node) if _strength(node) >= least else f"({text(node)})"


def canonical(formula: str) -> str:
    """A formula's text, simplified. Raises ValueError, as ``parse`` does of it, too."""
    written = text(simplified(parse(formula)))
    parse(written)  # spaces and brackets may have made it too long
    return written
