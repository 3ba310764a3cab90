"""Line charts and heat maps as SVG text, for pages that need no other file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, ScalarFormatter

from fabench.figure import style
from fabench.figure.curves import degrees

WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 26, 34
"""The chart's size, and the margins around its axes."""

SIDE, NUMBERED = 240, 12
"""A heat map's side; up to so many classes a cell has its number."""

Point = tuple[float, float, float, float]
"""x, mean, and the ends of its interval (NaN: it has none)."""


@dataclass(frozen=True)
class Curve:
    """One run's line, with a band; ``dash`` as SVG's stroke-dasharray."""

    run: int
    label: str
    color: str
    dash: str
    points: Sequence[Point]


def chart(title: str, x_label: str, curves: Sequence[Curve], angles: bool = False) -> str:
    """All curves, each in a group marked with its run (data-run). The vertical axis is logarithmic
    where values are positive and span more than two decades. ``angles``: values are cosines, and a
    second axis, on the right, has their angles."""
    points = np.array([point for curve in curves for point in curve.points])
    values = points[:, 1:][np.isfinite(points[:, 1:])]
    low, high = float(values.min()), float(values.max())
    logarithmic = low > 0 and high > 100 * low and not angles
    right = WIDTH - RIGHT - 28 * angles
    if high == low:
        low, high = low - 0.5, high + 0.5
    across = _scale(min(points[:, 0].min(), 0), max(points[:, 0].max(), 1), LEFT, right)
    up = _scale(low, high, HEIGHT - BOTTOM, TOP, logarithmic)
    locator = LogLocator() if logarithmic else MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
    y_ticks = [v for v in locator.tick_values(low, high) if low <= v <= high]
    y_labels = [f"{v:g}" for v in y_ticks] if logarithmic else _told_apart(y_ticks)
    x_ticks = MaxNLocator(6, integer=True).tick_values(*across.ends)
    grid = [
        f'<line x1="{LEFT}" x2="{right}" y1="{up(v):.1f}" y2="{up(v):.1f}"/>'
        f'<text x="{LEFT - 6}" y="{up(v) + 4:.1f}" text-anchor="end">{label}</text>'
        for v, label in zip(y_ticks, y_labels, strict=True)
    ] + [
        f'<text x="{across(v):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{v:g}</text>'
        for v in x_ticks
        if across.ends[0] <= v <= across.ends[1]
    ]
    if angles:
        grid += [
            f'<text x="{right + 6}" y="{up(cosine) + 4:.1f}">{angle:g}°</text>'
            for angle, cosine in degrees(low, high)
        ]
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f'<text class="title" x="{LEFT}" y="15">{escape(title)}</text>'
        f'<g class="axes">{"".join(grid)}'
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{right}{f"V{TOP}" * angles}"/>'
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 4}" text-anchor="middle">'
        f"{escape(x_label)}</text></g>"
        f"{''.join(_drawn(curve, across, up) for curve in curves)}</svg>"
    )


def _told_apart(ticks: Sequence[float]) -> list[str]:
    """Ticks of a linear axis in as many digits as it takes."""
    formatter = ScalarFormatter(useOffset=False)
    formatter.set_scientific(False)
    formatter.create_dummy_axis()
    labels = formatter.format_ticks(list(ticks))
    return [label.replace("\N{MINUS SIGN}", "-") for label in labels]


@dataclass(frozen=True)
class _Scale:
    """From values to places, linear in what ``of`` makes of them."""

    ends: tuple[float, float]
    places: tuple[float, float]
    of: Callable[[float], float]

    def __call__(self, value: float) -> float:
        low, high = map(self.of, self.ends)
        share = (self.of(value) - low) / (high - low)
        return self.places[0] + share * (self.places[1] - self.places[0])


def _scale(low: float, high: float, start: float, end: float, logarithmic: bool = False) -> _Scale:
    return _Scale((low, high), (start, end), np.log if logarithmic else float)


def _drawn(curve: Curve, across: _Scale, up: _Scale) -> str:
    line = " ".join(f"{across(x):.1f},{up(mean):.1f}" for x, mean, *_ in curve.points)
    banded = [point for point in curve.points if np.isfinite(point[2:]).all()]
    lower = [f"{across(x):.1f},{up(max(low, up.ends[0])):.1f}" for x, _, low, _ in banded]
    upper = [f"{across(x):.1f},{up(high):.1f}" for x, *_, high in reversed(banded)]
    band = f'<polygon points="{" ".join(lower + upper)}"/>' if banded else ""
    dots = [
        f'<circle cx="{across(x):.1f}" cy="{up(mean):.1f}" r="2">'
        f"<title>{escape(curve.label)}, {x:g}: {_read(mean, high)}</title></circle>"
        for x, mean, _, high in curve.points
    ]
    return (
        f'<g data-run="{curve.run}" style="--c:{curve.color}">{band}'
        f'<polyline points="{line}" stroke-dasharray="{curve.dash}"/>{"".join(dots)}</g>'
    )


def confusion_map(label: str, counts: Sequence[Sequence[int]]) -> str:
    """How many examples of a class (a row) get which answer (a column): the darker, the more of the
    row, in %."""
    n, step = len(counts), SIDE / len(counts)
    cells = [
        _cell(row, column, count, sum(of_class), step, n <= NUMBERED)
        for row, of_class in enumerate(counts)
        for column, count in enumerate(of_class)
        if count
    ]
    ticks = [
        f'<text x="{LEFT - 6}" y="{TOP + (v + 0.5) * step + 4:.1f}" text-anchor="end">{v}</text>'
        f'<text x="{LEFT + (v + 0.5) * step:.1f}" y="{TOP + SIDE + 14}" text-anchor="middle">{v}'
        "</text>"
        for v in range(0, n, 1 if n <= NUMBERED else 10)
    ]
    edge = f'<path d="M{LEFT} {TOP}h{SIDE}v{SIDE}h-{SIDE}z"/>'
    x, y = LEFT + SIDE / 2, TOP + SIDE + 30
    return (
        f"<figure><figcaption>{escape(label)}</figcaption>"
        f'<svg class="chart" viewBox="0 0 {LEFT + SIDE + RIGHT} {y + 4}" role="img">'
        f'<g class="axes">{edge}{"".join(ticks)}'
        f'<text x="{x}" y="{y}" text-anchor="middle">answer</text>'
        f'<text x="14" y="{TOP + SIDE / 2}" text-anchor="middle" '
        f'transform="rotate(-90 14 {TOP + SIDE / 2})">class</text></g>'
        f"{''.join(cells)}</svg></figure>"
    )


def _cell(row: int, column: int, count: int, total: int, step: float, numbered: bool) -> str:
    share = count / total
    x, y, depth = LEFT + column * step, TOP + row * step, share**0.5
    rect = (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{step:.1f}" height="{step:.1f}" '
        f'fill="{style.BLUE}" fill-opacity="{depth:.2f}"><title>{row}, answer {column}: {count} of '
        f"{total}</title></rect>"
    )
    if not numbered:
        return rect
    ink = "#fff" if depth > 0.6 else "var(--text)"
    return rect + (
        f'<text x="{x + step / 2:.1f}" y="{y + step / 2 + 4:.1f}" text-anchor="middle" '
        f'style="fill:{ink};pointer-events:none">{100 * share:.0f}</text>'
    )


def _read(mean: float, high: float) -> str:
    return f"{mean:.6g}" + ("" if np.isnan(high) else f" ± {high - mean:.2g}")
