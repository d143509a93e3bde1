"""Read tables of this workflow, and tables that users give."""

from pathlib import Path

import pandas as pd

from ..data import tables

# columns that hold text
NAMES = ("patient", "volume", "sequence", "experiment", "experiments", "class", "labels")


def read_table(path: str | Path) -> pd.DataFrame:
    """A table of this workflow. Names stay text: patient 007, and a sequence called NA."""
    columns = pd.read_csv(path, nrows=0).columns
    text = {name: str for name in columns if name in NAMES}
    missing = {name: [""] for name in columns if name not in text}
    return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=missing)


def read_given(path: str | Path) -> pd.DataFrame:
    """A sample sheet or overview.csv of a user, as text; raises DataError as tables.read does."""
    table = tables.read(path)
    return pd.DataFrame(table.rows, columns=table.columns, dtype=str)
