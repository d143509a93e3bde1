"""Grids of volumes: where voxels lie in the patient, and how they are stored."""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import DataError

# Physical directions (ITK's patient space: x to Left, y to Posterior, z to Superior) of the
# canonical axes: (patient axis, sign).
CANONICAL = ((0, 1), (2, -1), (1, 1))
LONGEST, FARTHEST = 100, 100_000  # mm: largest spacing, and largest coordinate of an origin
ROUNDING = 0.1  # of a voxel's edge: what may lie between two grids that are said to be one
ANGLE = 0.5  # degrees: what may lie between the directions of DICOM slices, and between axes and right angles
EXACT = 1e-4  # of a direction cosine: what may stay as it is
LETTERS = ("RL", "AP", "IS")  # the two ends of each patient axis


@dataclass(frozen=True)
class Geometry:
    """Grid of a stored volume: size, spacing (mm), origin (mm) and direction cosines (row-major 3x3)."""

    size: Sequence[int]
    spacing: Sequence[float]
    origin: Sequence[float]
    direction: Sequence[float]

    def __str__(self) -> str:
        return ", ".join(f"{name} {tuple(map(float, getattr(self, name)))}" for name in self.__dataclass_fields__)

    def axes(self) -> tuple[tuple[int, bool], ...]:
        """For each canonical axis, (stored axis, flipped). Oblique volumes get their nearest axes."""
        cosines = np.array(self.direction).reshape(3, 3)
        nearest = max(itertools.permutations(range(3)), key=lambda p: sum(abs(cosines[a, p[a]]) for a in range(3)))
        return tuple((nearest[axis], bool(cosines[axis, nearest[axis]] * sign < 0)) for axis, sign in CANONICAL)

    def orientation(self) -> str:
        """Three letters such as LPS: for each stored axis, the side towards which its indices grow."""
        letters = ["", "", ""]
        for (stored, flipped), (axis, sign) in zip(self.axes(), CANONICAL, strict=True):
            letters[stored] = LETTERS[axis][int((sign > 0) != flipped)]
        return "".join(letters)

    def corrected(
        self,
        orientation: str | None = None,
        spacing: Sequence[float] | None = None,
        origin: Sequence[float] | None = None,
    ) -> Self:
        """This grid, with the given values in place of those of the header.

        orientation: three letters such as LPS, one per stored axis: the side towards which its indices
        grow; spacing (mm) of each stored axis; origin (mm).
        Raises DataError for letters that do not name three axes.
        """
        changes: dict[str, Any] = {"spacing": spacing, "origin": origin}
        if orientation is not None:
            cosines = np.zeros((3, 3))
            for stored, letter in enumerate(orientation):
                axis = next((a for a, ends in enumerate(LETTERS) if letter in ends), None)
                if axis is None or cosines[axis].any() or len(orientation) != 3:
                    raise DataError(
                        f"orientation {orientation!r} does not name three axes; expected such as LPS or PIR"
                    )
                cosines[axis, stored] = 1 if letter == LETTERS[axis][1] else -1
            changes["direction"] = tuple(cosines.ravel())
        return replace(self, **{name: tuple(value) for name, value in changes.items() if value is not None})

    def checked(self, path: str | Path) -> Self:
        """This grid with directions at right angles; a repair of rounding errors is said in the log.

        Raises DataError, naming the file, for a grid that no scanner makes.
        """
        spacing, cosines = np.array(self.spacing), np.array(self.direction).reshape(3, 3)
        angles = [angle(cosines[:, a], cosines[:, b]) for a, b in itertools.combinations(range(3), 2)]
        if max(np.abs(np.subtract(angles, 90))) > ANGLE and np.linalg.norm(cosines, axis=0).all():
            apart = ", ".join(f"{each:.3g}" for each in angles)
            raise DataError(
                f"{path}: its axes are {apart} degrees apart (gantry tilt, or a sheared header); expected right "
                "angles: resample it, or, in a dataset, tell what is right under `overrides`"
            )
        off = np.abs(cosines.T @ cosines - np.eye(3)).max()
        if not (
            np.isfinite([*self.spacing, *self.origin, *self.direction]).all()
            and ((spacing > 0) & (spacing <= LONGEST)).all()
            and np.abs(self.origin).max() <= FARTHEST
            and off <= 0.01
        ):
            raise DataError(
                f"{path}: its header places it at {self}; expected spacings above 0 and up to {LONGEST} mm, an origin "
                f"within {FARTHEST} mm, and directions at right angles; repair the header, or, in a dataset, "
                "tell what is right under `overrides`"
            )
        if off <= EXACT:
            return self
        left, _, right = np.linalg.svd(cosines)  # the nearest directions at right angles
        logging.getLogger(__name__).info("%s: directions off right angles by up to %.2g, repaired", path, off)
        return replace(self, direction=tuple(map(float, (left @ right).ravel())))

    def canonical_spacing(self) -> tuple[float, ...]:
        """Spacing (mm) of the canonical axes."""
        return tuple(self.spacing[stored] for stored, _ in self.axes())

    def swapped_spacing(self) -> tuple[float, ...]:
        """What SPIDER's program takes for the spacing of the canonical axes: it lays ITK's x, y, z on arrays that run
        z, y, x."""
        return tuple(self.spacing[2 - stored] for stored, _ in self.axes())

    def canonical_size(self) -> tuple[int, ...]:
        """Voxels along the canonical axes."""
        return tuple(self.size[stored] for stored, _ in self.axes())

    def corners(self) -> NDArray[np.float64]:
        """Positions (mm) of the centres of the eight corner voxels [8, 3], in the order of the canonical axes."""
        ends = np.array(list(itertools.product((False, True), repeat=3)))
        index = np.zeros((8, 3))
        for (stored, flipped), far in zip(self.axes(), ends.T, strict=True):
            index[:, stored] = (far != flipped) * (self.size[stored] - 1)
        return np.array(self.origin) + (index * np.array(self.spacing)) @ np.array(self.direction).reshape(3, 3).T

    def steps(self) -> NDArray[np.float64]:
        """Displacement (mm) from a voxel to the next along each canonical axis, as columns [3, 3]."""
        cosines = np.array(self.direction).reshape(3, 3) * np.array(self.spacing)
        return np.stack([cosines[:, stored] * (-1 if flipped else 1) for stored, flipped in self.axes()], axis=1)

    def place_in(self, other: "Geometry") -> tuple[int, ...] | None:
        """Canonical index of this grid's first voxel in another grid of which it is a part, or None if it is none."""
        found = np.linalg.solve(other.steps(), (self.corners() - other.corners()[0]).T).T
        first = np.rint(found[0])
        whole = first + np.array(list(itertools.product((0, 1), repeat=3))) * (np.array(self.canonical_size()) - 1)
        inside = (whole >= 0).all() and (whole[-1] < other.canonical_size()).all()
        return tuple(map(int, first)) if inside and np.abs(found - whole).max() <= ROUNDING else None

    def distance(self, other: "Geometry") -> float:
        """Largest distance (mm) between corners of two grids, however they are stored; infinite if sizes differ."""
        if self.canonical_size() != other.canonical_size():
            return float("inf")
        return float(np.linalg.norm(self.corners() - other.corners(), axis=1).max())

    def same(self, other: "Geometry") -> bool:
        """Whether voxels lie on each other: no corner is more than a tenth of the other's smallest voxel edge away."""
        return self.distance(other) <= ROUNDING * min(other.spacing)

    def check_same(self, other: "Geometry", path: str | Path) -> float:
        """The distance of two grids. Raises DataError, naming the file `path` of this grid, if they differ."""
        grids = f"found {self} ({self.orientation()}); expected {other} ({other.orientation()})"
        if self.canonical_size() != other.canonical_size():
            raise DataError(f"{path}: its size differs from the image's: {grids}; resample it to the image's grid")
        apart = self.distance(other)
        if not self.same(other):
            raise DataError(
                f"{path}: lies elsewhere than the image, by up to {apart:.3g} mm at a corner: {grids}; resample it to "
                "the image's grid, or tell what is right under `overrides`"
            )
        return apart


def angle(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Degrees between two directions."""
    sine, cosine = np.linalg.norm(np.cross(one, other)), np.dot(one, other)
    return float(np.degrees(np.arctan2(sine, cosine)))
