"""Published numbers, as printed: the paper's tables, its description of the dataset, and other systems."""

from pathlib import Path

import pandas as pd


def read(name: str) -> pd.DataFrame:
    """One of the tables beside this file: `table1`, `table2`, `table3`, `dataset` or `systems`."""
    return pd.read_csv(Path(__file__).with_name(f"{name}.csv"))
