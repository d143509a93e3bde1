"""Print the summary, Table 2 and the paths of the other results, at the end of `make demo`."""

import sys
from pathlib import Path

import pandas as pd

folder = Path(sys.argv[1])
table = pd.read_csv(folder / "tables/table2.csv")
table["unit"] = table["how"].str.extract(r"(mm|px)$", expand=False).fillna("px")
shown = ["sequence", "class", "experiment", "iou", "dice", "asd", "unit", "nsd", "precision", "recall", "f1"]
print((folder / "tables/summary.md").read_text(encoding="utf-8"))
print("Table 2: the paper as printed, its protocol on these data (released), and the sound one")
print(table[shown].to_string(index=False, float_format=lambda value: f"{value:.4f}"))
print("\nThe rows `released` and `sound` are of synthetic patients: the phantom, not the paper's data.")
print(f"Tables:  {(folder / 'tables').resolve()}")
print(f"Figures: {(folder / 'figures').resolve()}")
print(f"New scans: {(folder / 'segmentations/gallery.html').resolve()}")
print(f"Report:  {(folder / 'report.html').resolve()}")
