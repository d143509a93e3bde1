"""What was found in each of many scans: a table, and a page of pictures."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import files
from ..data.dataset import REPORT

COLUMNS = ("scan", "failed", "flags", "vertebrae", "discs", "lordosis_deg", "models")


def rows(folders: Sequence[str | Path]) -> list[dict[str, Any]]:
    """A row of COLUMNS for each scan's folder; flags: reasons why a person should look at the result."""
    found = []
    for folder in folders:
        report = files.read_json(Path(folder) / REPORT)
        row: dict[str, Any] = dict.fromkeys(COLUMNS, "") | {key: report[key] for key in ("scan", "failed")}
        if not report["failed"]:
            row |= {key: report["column"][key] for key in ("vertebrae", "discs", "lordosis_deg")}
            row |= {"flags": " | ".join(flag["reason"] for flag in report["flags"])}
            row |= {"models": " ".join(model["name"] for model in report["models"])}
        found.append(row)
    return found


PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>New scans</title><style>
:root {{ color-scheme: light }}
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 1.5em; color: #222 }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(24em, 1fr)); gap: 1.5em }}
section {{ border: 1px solid #ccc; border-radius: 6px; padding: .8em; overflow-wrap: anywhere }}
h2 {{ font-size: 1.1em; margin: 0 0 .4em }} img {{ width: 100%; height: auto }} .look {{ color: #B00020 }}
</style></head><body><h1>New scans</h1><p>{heading}</p><main>{cards}</main></body></html>
"""


def gallery(rows: Sequence[Mapping[str, Any]], folders: Sequence[str | Path]) -> str:
    """One HTML page that needs no other file: each scan's picture, those that failed or need a look first.

    rows: of `rows`, one for each of the folders.
    """
    failed, flagged = (sum(bool(row[key]) for row in rows) for key in ("failed", "flags"))
    heading = (
        f"{files.counted(len(rows), 'scan')}; {failed} failed, {flagged} need a look. Nothing here is a diagnosis."
    )
    order = sorted(zip(rows, folders, strict=True), key=lambda each: (not each[0]["failed"], not each[0]["flags"]))
    return PAGE.format(heading=heading, cards="".join(_card(row, Path(folder)) for row, folder in order))


def _card(row: Mapping[str, Any], folder: Path) -> str:
    name = html.escape(row["scan"])
    if row["failed"]:
        return f'<section><h2>{name}</h2><p class="look">Failed: {html.escape(row["failed"])}</p></section>'
    counts = f"{row['vertebrae']} vertebrae, {row['discs']} discs"
    if not (folder / "preview.png").is_file():
        lost = f"preview.png is gone from {folder}; remove this folder, and the next call makes all of it again"
        return f'<section><h2>{name}</h2><p>{counts}</p><p class="look">{html.escape(lost)}</p></section>'
    picture = base64.b64encode((folder / "preview.png").read_bytes()).decode()
    alt = f"{name}: {counts}; sagittal and coronal section with outlines"
    shown = f'<img loading="lazy" alt="{alt}" src="data:image/png;base64,{picture}">'
    look = "".join(f"<li>{html.escape(reason)}</li>" for reason in row["flags"].split(" | ") if reason)
    told = f'<ul class="look">{look}</ul>' if look else ""
    return f"<section><h2>{name}</h2><p>{counts}</p>{shown}{told}</section>"
