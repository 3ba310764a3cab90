"""A page of HTML in one file: text, tables, charts, and a legend that hides curves at a click."""

from collections.abc import Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --text: #1b1b1b; --quiet: #6b6b6b; --rule: #dcdcdc;
  --paper: #ffffff; --shade: #f4f4f4; }
@media (prefers-color-scheme: dark) { :root { --text: #e8e8e8; --quiet: #a0a0a0; --rule: #3c3c3c;
  --paper: #161616; --shade: #222222; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--paper);
  max-width: 1240px; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p, li { max-width: 80ch; } .quiet { color: var(--quiet); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--rule);
  white-space: nowrap; }
th { color: var(--quiet); font-weight: 600; }
td.shaded { text-align: right; padding: .25rem .5rem; color: #000; }
pre { background: var(--shade); padding: .7rem; overflow-x: auto; font-size: .8rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 360px), 1fr));
  gap: 1rem; } .charts.small { grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); }
figure { margin: 0; max-width: 360px; } figcaption { font-size: .83rem; font-weight: 600; }
.chart { width: 100%; height: auto; } .chart text { fill: var(--quiet); font-size: 11px; }
.chart .title { fill: var(--text); font-size: 13px; font-weight: 600; }
.axes line { stroke: var(--rule); } .axes path { stroke: var(--quiet); fill: none; }
[data-run] polyline { fill: none; stroke: var(--c); stroke-width: 1.6; }
[data-run] polygon { fill: var(--c); opacity: .18; } [data-run] circle { fill: var(--c); }
.legend { display: flex; flex-wrap: wrap; gap: .4rem; padding: .4rem 0; background: var(--paper); }
@media (min-width: 700px) { .legend { position: sticky; top: 0; } }
.legend button { font: inherit; font-size: .83rem; color: inherit; background: var(--shade);
  border: 1px solid var(--rule); border-radius: 4px; padding: .1rem .5rem; cursor: pointer; }
.legend button[aria-pressed=false] { opacity: .4; text-decoration: line-through; }
.legend svg { width: 26px; height: 8px; vertical-align: middle; margin-right: .4rem; }
.legend line { stroke: var(--c); stroke-width: 3; }
@media print { body { max-width: none; font-size: 11px; } h2 { break-after: avoid; }
  .legend { position: static; } .chart, tr { break-inside: avoid; } pre { white-space: pre-wrap; }
  .charts { grid-template-columns: 1fr 1fr; } }
"""

SCRIPT = """
for (const button of document.querySelectorAll(".legend button")) {
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", shown);
    for (const curve of document.querySelectorAll(`.chart [data-run="${button.value}"]`))
      curve.style.display = shown ? "" : "none";
  });
}
"""


def page(title: str, subtitle: str, sections: Sequence[tuple[str, str]]) -> str:
    """The whole file; sections are headings and HTML. One without content is left out."""
    body = "".join(f"<section><h2>{escape(h)}</h2>{html}</section>" for h, html in sections if html)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f'<h1>{escape(title)}</h1><p class="quiet">{escape(subtitle)}</p>{body}'
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells of text."""
    return _table(titles, [[f"<td>{escape(cell)}</td>" for cell in row] for row in rows])


def heat_table(titles: Sequence[str], rows: Sequence[tuple[str, Sequence[float | None]]]) -> str:
    """Shares in %, the lower the redder, a label before each row."""
    return _table(
        titles,
        [[f"<td>{escape(label)}</td>", *map(_shaded, shares)] for label, shares in rows],
    )


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _shaded(share: float | None) -> str:
    if share is None:
        return "<td>-</td>"
    color = f"hsl({120 * share:.0f} 60% 78%)"
    return f'<td class="shaded" style="background:{color}">{100 * share:.1f}</td>'


def legend(entries: Sequence[tuple[int, str, str, str]]) -> str:
    """A button for every run: number, label, colour, dash."""
    buttons = (
        f'<button value="{run}" aria-pressed="true" style="--c:{color}"><svg viewBox="0 0 26 8">'
        f'<line x1="0" x2="26" y1="4" y2="4" stroke-dasharray="{dash}"/></svg>{escape(label)}'
        "</button>"
        for run, label, color, dash in entries
    )
    return f'<div class="legend">{"".join(buttons)}</div>'
