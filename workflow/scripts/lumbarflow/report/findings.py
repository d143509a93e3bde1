"""The first page of the report: in ten lines and one picture, what a run has found."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import FOREGROUND

MEAN = "mean of the three"
NAMES = {"vertebrae": "vertebrae", "spinal_canal": "canal", "ivd": "discs"}
LEARNT = 0.1  # mean Dice below which a network has learnt nothing
CAUTIONS = (
    "A Dice from slices whose neighbours were in training says nothing of new patients.",
    "Numbers on different test slices, grids or units do not rank anything; only the columns by one yardstick do.",
    "Published systems were scored on other patients, by SPIDER's score in 3-D: only Table 3's rows of that score are "
    "near to them.",
)


def _number(value: Any, how: str = ".3f") -> str:
    """A score as text; a dash where there is none, since a class was never found."""
    return format(value, how) if np.isfinite(value) else "–"


def lines(tables: Mapping[str, pd.DataFrame], data: str, sequence: str) -> list[str]:
    """What was found on one sequence, a sentence or two a line; a line whose experiments were not run is left out.

    tables: ladder, leakage, intervals and summary; data: what the dataset is, one sentence or more.
    """
    of_sequence = {name: frame[frame["sequence"] == sequence] for name, frame in tables.items()}
    ladder = of_sequence["ladder"][of_sequence["ladder"]["class"] == MEAN]
    row: dict[str, Any] = {str(each["experiment"]): each for each in ladder.to_dict("records")}
    rungs = [name for name in row if name != "paper"]
    found = [data, f"Numbers are of {sequence}, and means over vertebrae, canal and discs where nothing else is said."]
    first = row[rungs[0]]
    if "paper" in row:
        found.append(
            f"The paper prints a Dice of {_number(row['paper']['reported dice'])}. On these data, {rungs[0]} reports "
            f"{_number(first['reported dice'])}; by one yardstick (source grid, exact labels, mean over patients) its "
            f"predictions reach {_number(first['dice'])}."
        )
    others = of_sequence["summary"].set_index("experiment")["macro Dice"].drop(index=rungs, errors="ignore")
    nothing = [name for name in rungs if row[name]["dice"] <= LEARNT]
    nothing += [str(name) for name, dice in others.items() if dice <= LEARNT]
    if nothing:
        found.append(
            f"{', '.join(nothing)} found next to nothing (Dice at most {LEARNT}): a training that is too short, or "
            "data that it cannot read, and no ground for any comparison below."
        )
    found += _leak(of_sequence["leakage"], rungs[0])
    steps = [
        f"{name} {_number(row[name]['dice change'], '+.3f')}"
        + (" (other test slices)" if str(row[name]["test slices"]).startswith("others") else "")
        for name in rungs[1:]
    ]
    if steps:
        found.append(f"What each step changes in that Dice, from {rungs[0]} on: {', '.join(steps)}.")
    if {"lut", "honest"} <= set(rungs):
        found.append(
            f"Measuring alone moves what the same networks report from {_number(row['lut']['reported dice'])} (lut) to "
            f"{_number(row['honest']['reported dice'])} (honest)."
        )
    found += _best(of_sequence["intervals"], rungs[-1], of_sequence["summary"])
    elsewhere = tables["summary"][(tables["summary"]["experiment"] == rungs[-1])]
    elsewhere = elsewhere[elsewhere["sequence"] != sequence]
    if len(elsewhere):
        said = ", ".join(f"{row['sequence']} {_number(row['macro Dice'])}" for row in elsewhere.to_dict("records"))
        found.append(f"Other sequences, {rungs[-1]}, pooled Dice: {said}.")
    return found


def _leak(leakage: pd.DataFrame, experiment: str) -> list[str]:
    """What copying a training mask reaches where the split leaks."""
    known = leakage[leakage["experiment"] == experiment].to_dict("records")
    if not known or not known[0]["same patient"]:
        return []
    row = known[0]
    over = "over the whole stack of test slices" if "stack" in row["measured"] else "a slice"
    return [
        f"In {experiment}, {row['neighbour within 2']:.0%} of the test slices have a training slice of the same volume "
        f"at most two slices away. Copying the nearest training mask, without any learning, scores Dice "
        f"{_number(row['copied mask: macro Dice'])} and ASD {_number(row['copied mask: ASD, px'])} px; the network "
        f"{_number(row['network: macro Dice'])} and {_number(row['network: ASD, px'])} px (ASD {over})."
    ]


def _best(intervals: pd.DataFrame, experiment: str, summary: pd.DataFrame) -> list[str]:
    """Dice and ASD of the last rung by the yardstick, with intervals."""
    part = intervals[(intervals["experiment"] == experiment) & (intervals["measured"] == "yardstick")]
    said = {}
    for metric, unit in (("dice", ""), ("asd", " mm")):
        of_metric = part[part["metric"] == metric].set_index("class")
        cells = []
        for name in FOREGROUND:
            row = of_metric.loc[name]
            known = f" ({_number(row['low'])} to {_number(row['high'])})" if pd.notna(row["low"]) else ""
            cells.append(f"{NAMES[name]} {_number(row['value'])}{unit}{known}")
        said[metric] = ", ".join(cells)
    patients = int(part["patients"].iloc[0])
    split, chosen_on = summary.set_index("experiment").loc[experiment, ["split", "model chosen on"]]
    seen = "it never saw" if isinstance(split, str) else "it may have seen"
    if split == "slice":
        seen = "it was trained on"
    elif chosen_on == "test set":
        seen = "that its epoch was chosen by, too"
    who = ("patient " if patients == 1 else "patients ") + seen
    few = "" if pd.notna(part["low"]).any() else "; too few for intervals"
    return [
        f"{experiment}, on {patients} {who} (95% intervals over patients{few}): Dice of {said['dice']}.",
        f"Its ASD a slice: {said['asd']}.",
    ]


PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>What was found</title><style>
:root {{ color-scheme: light }}
body {{ font: 16px/1.45 system-ui, sans-serif; margin: 1.5em auto; max-width: 60em; padding: 0 1em; color: #222 }}
li {{ margin: .35em 0 }} img {{ max-width: 100%; height: auto }} h2 {{ font-size: 1.1em }}
</style></head><body><h1>What was found</h1>
<ol>{found}</ol>
<img alt="{alt}" src="data:image/png;base64,{picture}">
<h2>What not to conclude</h2><ul>{cautions}</ul></body></html>
"""


def page(found: Sequence[str], picture: str | Path, sequence: str) -> str:
    """The page as HTML that needs no other file. picture: PNG of the sequence's ladder."""
    listed, cautions = ("".join(f"<li>{html.escape(line)}</li>" for line in each) for each in (found, CAUTIONS))
    encoded = base64.b64encode(Path(picture).read_bytes()).decode()
    alt = f"Ladder of {sequence}: Dice and ASD of each step from the paper's protocol to a sound one"
    return PAGE.format(found=listed, cautions=cautions, picture=encoded, alt=html.escape(alt))


def markdown(found: Sequence[str]) -> str:
    """The same lines as Markdown."""
    numbered = [f"{number}. {line}" for number, line in enumerate(found, 1)]
    cautions = [f"- {line}" for line in CAUTIONS]
    return "\n".join(["# What was found", "", *numbered, "", "## What not to conclude", "", *cautions]) + "\n"
