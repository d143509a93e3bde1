"""Anatomical names of levels, counted from the lowest one, which the user names."""

from collections.abc import Iterable, Mapping
from typing import Any

from .. import DataError

LEVELS = (
    "S1",
    "L6",
    "L5",
    "L4",
    "L3",
    "L2",
    "L1",
    *(f"T{n}" for n in range(12, 0, -1)),
    *(f"C{n}" for n in range(7, 0, -1)),
)
BELOW = {"L6": "S1", "L5": "S1"}  # an L6 is an extra level: most spines go from L5 to S1


def check(lowest: str, key: str = "config.lowest") -> None:
    """Raise DataError unless `lowest` is empty or the name of a level."""
    if lowest and lowest not in LEVELS:
        raise DataError(f"{key}: {lowest!r} is no vertebra; expected one of {', '.join(LEVELS[:7])}, T12, ...")


def names(rows: Iterable[Mapping[str, Any]], lowest: str) -> dict[int, str]:
    """{label: name} of vertebrae and discs, such as L5 and L5-S1; nothing without a name for the lowest vertebra.

    rows: of morphometry.measure, from the lowest up: a disc is named by the vertebrae above and below it.
    """
    if not lowest:
        return {}
    # an extra level is there only if it is named, and so the lowest
    order = [each for each in LEVELS[LEVELS.index(lowest) :] if each == lowest or each != "L6"]
    found: dict[int, str] = {}
    level = 0
    for row in rows:
        above = order[level] if level < len(order) else ""
        if row["structure"] == "vertebra" and above:
            found[row["label"]] = above
            level += 1
        elif row["structure"] == "disc" and above:
            found[row["label"]] = f"{above}-{order[level - 1] if level else _under(lowest)}"
    return found


def _under(lowest: str) -> str:
    """The level below the lowest one that is seen."""
    return BELOW.get(lowest) or (LEVELS[LEVELS.index(lowest) - 1] if lowest != "S1" else "S2")
