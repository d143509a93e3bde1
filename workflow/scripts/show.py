"""Print where the results are, and Table 2: the end of `make demo`."""

import sys
from pathlib import Path

folder = Path(sys.argv[1])
print((folder / "tables" / "summary.md").read_text(encoding="utf-8"))
print((folder / "tables" / "table2.md").read_text(encoding="utf-8"))
print(f"Tables:  {(folder / 'tables').resolve()}")
print(f"Figures: {(folder / 'figures').resolve()}")
print(f"Report:  {(folder / 'report.html').resolve()}")
