"""Write a table as CSV, Markdown, LaTeX and a small sortable HTML page."""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..files import format_number, replacing

# words of column names and of the columns NAMED that people write otherwise
WORDS = {"iou": "IoU", "dice": "Dice", "asd": "ASD", "assd": "ASSD", "nsd": "NSD", "f1": "F1", "hd95": "HD95"}
WORDS |= {"ivd": "IVD", "apta": "APTA", "p": "p", "sd": "SD"}
NAMED = ("class", "metric")
PROBABLE = ("p", "p corrected")  # columns in which 0 would say too much
SEVERAL = 2  # a table of fewer blocks is not divided
WIDE = 16  # columns: a page with more has its heads upright, in small type


@dataclass(frozen=True)
class Layout:
    """How a table is shown to people; its CSV has one row a line, with all columns.

    block: column whose values become headings of blocks of rows; heading: what is written around them; footnotes:
    columns of long texts that become footnotes of the cells in the column `marked`; left_out: columns of the CSV alone.
    """

    block: str = ""
    heading: str = "{}"
    footnotes: Sequence[str] = ()
    marked: str = ""
    left_out: Sequence[str] = ()


PLAIN = Layout()


def write(frame: pd.DataFrame, stem: str | Path, title: str, note: str, layout: Layout = PLAIN, made: str = "") -> None:
    """Write a table as CSV (full precision), Markdown, LaTeX and a small sortable HTML page. made: what the page says
    of where it is from; the other files say nothing of it, so that the same data give the same bytes."""
    frame = frame.reset_index(drop=True)
    with replacing(f"{stem}.csv") as path:
        frame.map(format_number).to_csv(path, index=False, lineterminator="\n")
    shown = frame.drop(columns=list(layout.left_out)).apply(_column).astype("str")
    for name in NAMED:
        if name in shown:
            shown[name] = shown[name].map(words)
    shown, marks, texts = _with_footnotes(shown, layout)
    blocks = _blocks(shown, layout)
    if not len(frame):
        note = f"No rows: this run holds nothing to compare here. {note}"
    with replacing(f"{stem}.md") as path:
        path.write_text(_markdown(blocks, marks, texts, title, note), encoding="utf-8")
    with replacing(f"{stem}.tex") as path:
        path.write_text(_latex(blocks, marks, texts, title), encoding="utf-8")
    with replacing(f"{stem}.html") as path:
        path.write_text(_page(blocks, marks, texts, title, note, made), encoding="utf-8")


def words(name: str) -> str:
    """A name of a column, class or metric as people write it: `spinal_canal` as `Spinal canal`, `asd` as `ASD`."""
    if name.endswith("_mm"):
        name = f"{name[:-3]}, mm"
    written = [_word(part) for part in name.replace("_", " ").split(" ")]
    first = written[0] if written[0].lower() in WORDS else written[0][:1].upper() + written[0][1:]
    return " ".join([first, *written[1:]])


def _word(part: str) -> str:
    bare = part.rstrip(",:")
    return WORDS.get(bare, bare) + part[len(bare) :]


def _column(column: pd.Series) -> pd.Series:
    """A column as text for people: counts as whole numbers, scores with four decimals, a dash for no value."""
    numbers = column.dropna() if pd.api.types.is_numeric_dtype(column) else column.iloc[:0]
    whole = len(numbers) > 0 and (numbers % 1 == 0).all()

    def cell(value: Any) -> str:
        if value is None or value == "" or (isinstance(value, float) and np.isnan(value)):
            return "–"
        if isinstance(value, (float, np.floating)):
            count = whole or (abs(float(value)) >= 100 and value % 1 == 0)  # a count among scores
            if column.name in PROBABLE and 0 < value < 0.00005:
                return "<0.0001"
            return f"{value:.0f}" if count else f"{value:.4f}"
        return format_number(value)

    return column.map(cell)


Blocks = list[tuple[str, pd.DataFrame]]  # heading, empty if there is none, and rows
Marks = pd.Series  # footnote marks of each row; its name is that of the column that bears them


def _with_footnotes(shown: pd.DataFrame, layout: Layout) -> tuple[pd.DataFrame, Marks, list[str]]:
    """(table without the columns of long texts; for each row the marks of its footnotes; the texts, from number 1)."""
    texts: dict[str, int] = {}
    marks: list[list[str]] = [[] for _ in range(len(shown))]
    for name in layout.footnotes:
        for place, text in enumerate(shown[name]):
            if text != "–":
                marks[place].append(str(texts.setdefault(text, len(texts) + 1)))
    joined = pd.Series([",".join(each) for each in marks], shown.index, str, layout.marked)
    return shown.drop(columns=list(layout.footnotes)), joined, list(texts)


def _blocks(shown: pd.DataFrame, layout: Layout) -> Blocks:
    name = layout.block
    if not name or shown[name].nunique() < SEVERAL:
        return [("", shown)]
    return [(layout.heading.format(value), part.drop(columns=name)) for value, part in shown.groupby(name, sort=False)]


def _marked(part: pd.DataFrame, marks: Marks, before: str, after: str) -> pd.DataFrame:
    """Rows with their marks of footnotes, and heads as people write them."""
    part = part.copy()
    if marks.name:
        own = marks[part.index]
        part[marks.name] = part[marks.name] + np.where(own == "", "", before + own + after)
    return part.rename(columns=words)


def _markdown(blocks: Blocks, marks: Marks, texts: Sequence[str], title: str, note: str) -> str:
    lines = [f"**{title}**"]
    for heading, part in blocks:
        rows = _marked(part, marks, " [", "]").map(lambda cell: cell.replace("|", "\\|"))
        lines += [heading] * bool(heading) + [rows.to_markdown(index=False, disable_numparse=True)]
    lines += [f"[{number}] {text}" for number, text in enumerate(texts, 1)]
    return "\n\n".join([*lines, note]) + "\n"


def _latex(blocks: Blocks, marks: Marks, texts: Sequence[str], title: str) -> str:
    notes = [f"[{number}] {text}" for number, text in enumerate(texts, 1)]
    whole = pd.concat([_marked(part, marks, " [", "]") for _, part in blocks])
    lines = whole.to_latex(index=False, escape=True, caption=_escaped("; ".join([title, *notes]))).splitlines()
    start = lines.index("\\midrule") + 1
    for heading, part in blocks:
        if heading:
            text = _escaped(heading)
            lines.insert(start, f"\\multicolumn{{{len(part.columns)}}}{{l}}{{\\textbf{{{text}}}}} \\\\")
        start += len(part) + bool(heading)
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Text for LaTeX."""
    return re.sub(r"([&%$#_{}])", r"\\\1", text)


STYLE = """
:root { color-scheme: light }
body { font: 13px/1.35 system-ui, sans-serif; margin: 1.2em; color: #222 }
table { border-collapse: collapse } th, td { padding: .2em .55em; text-align: right }
thead th { border-top: 2px solid #222; border-bottom: 1px solid #222; cursor: pointer; user-select: none;
  vertical-align: bottom; max-width: 7em }
td { white-space: nowrap } tbody:last-of-type tr:last-child td { border-bottom: 2px solid #222 }
tbody tr:nth-child(even) { background: #f4f6f8 } sup { color: #555 }
tr.block th { text-align: left; padding-top: .9em; background: white; border-bottom: 1px solid #999 }
td.text, th.text { text-align: left } td.text { white-space: normal; max-width: 24em }
td.long { min-width: 22em } p, ol { max-width: 60em } footer { color: #666; font-size: 11px }
table.wide { font-size: 12px } table.wide :is(th, td) { padding: .2em .35em } table.wide .text { max-width: 9em }
table.wide thead th:not(.text) { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left;
  max-height: 8em } table.wide .long { min-width: 22em }
"""
SORT = """
document.querySelectorAll('thead th').forEach((head, column) => head.addEventListener('click', () => {
  const up = head.dataset.up !== 'true';
  const value = row => row.cells[column].textContent, number = text => parseFloat(text);
  for (const body of head.closest('table').tBodies)
    [...body.querySelectorAll('tr:not(.block)')].sort((a, b) => {
      const x = number(value(a)), y = number(value(b));
      const order = isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) || value(a).localeCompare(value(b)) : x - y;
      return up ? order : -order;
    }).forEach(row => body.append(row));
  head.dataset.up = up;
}));
"""


def _page(blocks: Blocks, marks: Marks, texts: Sequence[str], title: str, note: str, made: str) -> str:
    shown = pd.concat([part for _, part in blocks])
    numeric = [bool(shown[c].str.fullmatch(r"-?[\d.]+(e[-+]?\d+)?|–|inf").all()) for c in shown.columns]
    longest = [int(shown[c].str.len().max()) if len(shown) else 0 for c in shown.columns]
    kind = [
        "" if each else f' class="text{" long" if length > 40 else ""}"'
        for each, length in zip(numeric, longest, strict=True)
    ]

    def line(cells: Iterable[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}{k}>{c}</{tag}>" for k, c in zip(kind, cells, strict=True)) + "</tr>"

    bodies = []
    for heading, part in blocks:
        rows = _marked(part.map(html.escape), marks, " <sup>", "</sup>").itertuples(index=False)
        head = f'<tr class="block"><th colspan="{len(kind)}">{html.escape(heading)}</th></tr>' if heading else ""
        bodies.append("<tbody>" + "\n".join([head, *(line(row, "td") for row in rows)]) + "</tbody>")
    size = ' class="wide"' if len(kind) > WIDE else ""
    notes = "".join(f"<li>{html.escape(text)}</li>" for text in texts)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>\n<table{size}><thead>"
        f"{line([html.escape(words(name)) for name in shown.columns], 'th')}</thead>\n"
        + "\n".join(bodies)
        + f"\n</table>\n{f'<ol>{notes}</ol>' if notes else ''}<p>{html.escape(note)} "
        f"Click a column's head to sort by it.</p><footer>{html.escape(made)}</footer>"
        f"<script>{SORT}</script></body></html>\n"
    )
