"""Read tables of this workflow, and tables that users give."""

import logging
from pathlib import Path

import pandas as pd

from ..data import tables

# columns that hold text
NAMES = ("patient", "volume", "sequence", "experiment", "experiments", "class", "labels", "reason")


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


def key_of(overview: pd.DataFrame | None) -> str | None:
    """The column by which an overview names volumes; None, which the log says, if it has none."""
    found = [name for name in ("new_file_name", "volume") if overview is not None and name in overview]
    if overview is not None and not found:
        logging.getLogger(__name__).warning(
            "The overview has no column new_file_name, so that nothing in it can be matched to a volume: left out here."
        )
    return found[0] if found else None
