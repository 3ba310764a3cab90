"""Tables as Markdown."""

import pandas as pd


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown, numbers to four digits."""
    rows = [list(table.columns), ["---"] * len(table.columns)]
    for row in table.itertuples(index=False):
        rows.append([_cell(value) for value in row])
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}"
    return "" if value is None else str(value)
