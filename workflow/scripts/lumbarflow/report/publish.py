"""Write a table as CSV, Markdown, LaTeX and a small sortable HTML page."""

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..files import format_number, replacing

HEADS = {"iou": "IoU", "dice": "Dice", "asd": "ASD", "nsd": "NSD", "f1": "F1", "dice pooled": "Dice pooled"}


def write(frame: pd.DataFrame, stem: str | Path, title: str, note: str) -> None:
    """Write a table as CSV (full precision), Markdown, LaTeX and a small sortable HTML page."""
    frame = frame.reset_index(drop=True)
    with replacing(f"{stem}.csv") as path:
        frame.map(format_number).to_csv(path, index=False, lineterminator="\n")
    shown = frame.apply(_column).astype("str").rename(columns=HEADS)
    if not len(frame):
        note = f"No rows: this run holds nothing to compare here. {note}"
    with replacing(f"{stem}.md") as path:
        text = shown.map(lambda cell: cell.replace("|", "\\|")).to_markdown(index=False, disable_numparse=True)
        path.write_text(f"**{title}**\n\n{text}\n\n{note}\n", encoding="utf-8")
    with replacing(f"{stem}.tex") as path:
        path.write_text(shown.to_latex(index=False, escape=True, caption=title), encoding="utf-8")
    with replacing(f"{stem}.html") as path:
        path.write_text(_page(shown, title, note), encoding="utf-8")


def _column(column: pd.Series) -> pd.Series:
    """A column as text for people: counts as whole numbers, scores with four decimals, a dash for no value."""
    numbers = column.dropna() if pd.api.types.is_numeric_dtype(column) else column.iloc[:0]
    whole = len(numbers) > 0 and (numbers % 1 == 0).all()

    def cell(value: Any) -> str:
        if value is None or value == "" or (isinstance(value, float) and np.isnan(value)):
            return "–"
        if isinstance(value, (float, np.floating)):
            count = whole or (abs(float(value)) >= 100 and value % 1 == 0)  # a count among scores
            return f"{value:.0f}" if count else f"{value:.4f}"
        return format_number(value)

    return column.map(cell)


STYLE = """
:root { color-scheme: light }
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5em; color: #222 }
table { border-collapse: collapse } th, td { padding: .25em .7em; text-align: right; white-space: nowrap }
th { border-top: 2px solid #222; border-bottom: 1px solid #222; cursor: pointer; user-select: none }
tr:last-child td { border-bottom: 2px solid #222 } tbody tr:nth-child(even) { background: #f4f6f8 }
td.text, th.text { text-align: left } td.text { white-space: normal; max-width: 24em }
td.long { min-width: 22em } p { max-width: 60em }
"""
SORT = """
document.querySelectorAll('th').forEach((head, column) => head.addEventListener('click', () => {
  const body = head.closest('table').tBodies[0], up = head.dataset.up !== 'true';
  const value = row => row.cells[column].textContent, number = text => parseFloat(text);
  [...body.rows].sort((a, b) => {
    const x = number(value(a)), y = number(value(b));
    const order = isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) || value(a).localeCompare(value(b)) : x - y;
    return up ? order : -order;
  }).forEach(row => body.append(row));
  head.dataset.up = up;
}));
"""


def _page(shown: pd.DataFrame, title: str, note: str) -> str:
    numeric = [bool(shown[c].str.fullmatch(r"-?[\d.]+(e[-+]?\d+)?|–|inf").all()) for c in shown.columns]
    longest = [int(shown[c].str.len().max()) if len(shown) else 0 for c in shown.columns]
    kind = [
        "" if each else f' class="text{" long" if length > 40 else ""}"'
        for each, length in zip(numeric, longest, strict=True)
    ]

    def line(cells: Iterable[str], tag: str) -> str:
        return (
            "<tr>" + "".join(f"<{tag}{k}>{html.escape(c)}</{tag}>" for k, c in zip(kind, cells, strict=True)) + "</tr>"
        )

    rows = "\n".join(line(row, "td") for row in shown.itertuples(index=False))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>\n<table><thead>"
        f"{line(list(shown.columns), 'th')}</thead><tbody>\n{rows}\n</tbody></table>\n<p>{html.escape(note)} "
        f"Click a column's head to sort by it.</p><script>{SORT}</script></body></html>\n"
    )
