"""Read tables of this workflow."""

from pathlib import Path

import pandas as pd

NAMES = ("patient", "volume", "sequence", "experiment", "experiments", "class")  # columns that hold text


def read_table(path: str | Path) -> pd.DataFrame:
    """A table of this workflow. Names stay text: patient 007, and a sequence called NA."""
    columns = pd.read_csv(path, nrows=0).columns
    text = {name: str for name in columns if name in NAMES}
    missing = {name: [""] for name in columns if name not in text}
    return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=missing)
