"""Sizes, angles and signals of single vertebrae and discs, in mm and degrees.

Each vertebral body and each disc is measured in a frame of its own, so that neither how the patient lay nor how the
volume is stored counts: `up` is at right angles to its end plates, `front` leads from the canal to its centre, and
`left` is at right angles to both. Edges are where the mask, smoothed within its slices by one voxel and interpolated
between voxel centres, falls below one half: a straight edge that crosses the grid is a staircase of voxels, and becomes
straight again. What follows is measured in the middle 12 mm from left to right, where a vertebra's
body has no pedicles behind it.

- depth: from the rear wall to the front wall, at mid-height;
- heights: between the end plates, at 10% (anterior), 50% (middle) and 90% (posterior) of the depth from the front
  wall: six-point morphometry, of which the outer points lie within the rounded rims;
- wedge: the angle between the two end plates, positive where the front is higher; an end plate's line runs through its
  front and rear rim (5% to 15% of the depth from each wall), since the plate between them is hollow;
- slip of a vertebra: how far the lower rear corner of its body lies in front of the upper rear corner of the next one
  below, along that one's upper end plate (Taillard's measure, in mm). A corner is where the lines through end plate
  and rear wall (10% to 90% of the height) meet;
- lateral: how far the centre of a body lies to the patient's left of the straight line from the lowest to the highest
  one, in the coronal plane; of bodies that no border cuts at the left or right;
- signal of a disc: its median grey over the median grey of the canal within 10 mm of its level, both above the darkest
  grey of the scan (the 1st percentile);
- canal area and diameter at a disc: in the plane through the canal at right angles to its middle line, at the place
  nearest to the disc's centre; the diameter runs from front to back through the middle of that section;
- lordosis: Cobb's angle between the upper end plate of the highest whole body and the lower end plate of the lowest
  one, positive where the column is open to the front.

A structure that is cut by the border of the volume, or of the picture where the volume was filled up around it, has a
volume, that of what is shown, but no height, depth or angle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, spatial

from .. import CLASSES
from ..images.slices import padding
from .structures import CANAL_LABEL, FIRST_DISC, canal_line

COLUMNS = (
    *("label", "structure", "volume_mm3", "height_anterior_mm", "height_middle_mm", "height_posterior_mm"),
    *("depth_mm", "wedge_deg", "slip_mm", "lateral_mm", "signal", "canal_area_mm2", "canal_diameter_mm"),
    *("cut", "remark"),
)
PLACES = {"anterior": 0.9, "middle": 0.5, "posterior": 0.1}  # share of the depth, from the rear wall
BAND = 0.05  # of the depth, to both sides of such a place
INNER = 0.4  # of the height, to both sides of the middle: what the line of a rear wall is fitted to
EDGE = "edge of the picture"
VOID = 0.001  # of a volume: less that is black from the border on is no filling
TOUCHES = 0.01  # of a body's voxels beside such a filling: it is cut
SIDES = (("right", "left"), ("upper", "lower"), ("front", "rear"))  # borders of the canonical axes
MARGIN = 4  # voxels around a label that are kept of a volume
# Lengths in mm.
STEP = 0.5  # between the places where masks are looked up
ALONG = np.arange(-70, 71) * STEP  # no body or disc reaches farther from its centre, to the front or upwards
ASIDE = np.arange(-6.0, 6.1, 3.0)  # to the left of the centre
ENDS = 3.0  # canal must go on this far above and below a section
AROUND = 10.0  # canal this near to a disc's level has the grey that the disc's is compared with
NEIGHBOURS = 25.0  # at most between the bodies of two vertebrae of which none is missing between

Vector = NDArray[np.float64]  # [3], mm along the canonical axes (left, down, back)
Line = tuple[float, float]  # mm up at the centre, and mm up for each mm towards the front


@dataclass(frozen=True)
class Frame:
    """Where a body or disc lies: its centre (mm) and unit vectors along the canonical axes."""

    centre: Vector
    up: Vector
    front: Vector

    @classmethod
    def of(cls, centre: Vector, up: Vector, front: Vector) -> Self:
        """A frame with `up` as it is, and the direction nearest to `front` that is at right angles to it."""
        up = up / np.linalg.norm(up)
        front = front - front @ up * up
        return cls(centre, up, front / np.linalg.norm(front))

    def places(self, aside: NDArray, ahead: NDArray, above: NDArray) -> NDArray[np.float64]:
        """Places (mm) [aside, ahead, above, 3] of a grid along left, front and up."""
        left = np.cross(self.up, self.front)
        left = left if left[0] > 0 else -left
        flat = aside[:, None, None, None] * left + ahead[:, None, None] * self.front
        return self.centre + flat + above[:, None] * self.up

    def place(self, ahead: float, above: float) -> Vector:
        return self.centre + ahead * self.front + above * self.up

    def along(self, rise: float) -> Vector:
        """Unit vector that leads to the front and rises by so many mm for each mm."""
        return (self.front + rise * self.up) / np.hypot(1, rise)


@dataclass(frozen=True)
class Box:
    """A body or disc in its frame: its values, by how many mm its end plates rise for each mm towards the front, and
    its rear corners (mm; NaN of a disc)."""

    frame: Frame
    values: dict[str, float]
    upper: float
    lower: float
    upper_corner: Vector
    lower_corner: Vector


@dataclass(frozen=True)
class Canal:
    """Voxels (mm) and middle line of the canal, a point a mm from the lowest up."""

    points: NDArray[np.float64]
    line: NDArray[np.float64]

    def nearest(self, place: Vector) -> tuple[Vector, Vector]:
        """The nearest point of the line, and its direction upwards there."""
        at = int(spatial.KDTree(self.line).query(place)[1])
        ends = self.line[[max(at - 5, 0), min(at + 5, len(self.line) - 1)]]
        return self.line[at], (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])

    def level(self, place: Vector, within: float) -> NDArray[np.float64]:
        """Voxels (mm) that lie so near to the plane across the canal that is nearest to a place."""
        middle, up = self.nearest(place)
        return self.points[np.abs((self.points - middle) @ up) <= within]

    def across(self, place: Vector) -> tuple[Vector, Vector]:
        """(middle, direction upwards) of the canal near a place, by its voxels there: where it bends sharply, its line
        does not."""
        middle, up = self.nearest(place)
        for _ in range(2):
            along = (self.points - middle) @ up
            near = np.abs(along) <= AROUND
            if not near.any():
                break
            centre = self.points[near].mean(0)
            turned = along[near] @ (self.points[near] - centre)
            middle, up = centre, turned / np.linalg.norm(turned) if turned.any() else up
        return middle - (middle - place) @ up * up, up


@dataclass(frozen=True)
class Mask:
    """One label: the part of the volume that shows it, float32, where that starts, and the volume it is a part of."""

    values: NDArray[np.float32]
    first: NDArray[np.intp]
    shape: Sequence[int]
    lengths: Vector

    @classmethod
    def of(cls, labels: NDArray[np.integer], voxels: NDArray[np.intp], lengths: Vector, sigma: float) -> Self:
        """The mask of one label's voxels, smoothed within slices by `sigma` voxels."""
        first, end = np.maximum(voxels.min(0) - MARGIN, 0), np.minimum(voxels.max(0) + MARGIN + 1, labels.shape)
        values = np.zeros(end - first, np.float32)
        values[tuple((voxels - first).T)] = 1
        smooth = ndimage.gaussian_filter(values, (0, sigma, sigma), mode="nearest") if sigma else values
        return cls(smooth, first, labels.shape, lengths)

    def look_up(self, places: NDArray[np.float64]) -> NDArray[np.float32]:
        """The mask between its voxels, 0 to 1, at places (mm) [..., 3]; NaN outside the volume. A slice stands for all
        of its thickness."""
        index = np.moveaxis(places / self.lengths, -1, 0)
        last = np.subtract(self.shape, 1)
        index[0] = np.where((index[0] > -0.5) & (index[0] < last[0] + 0.5), np.clip(index[0], 0, last[0]), index[0])
        outside = np.any([(at < 0) | (at > end) for at, end in zip(index, last, strict=True)], axis=0)
        index -= self.first.reshape(3, *[1] * (index.ndim - 1))
        found = ndimage.map_coordinates(self.values, index, order=1)
        found[outside] = np.nan
        return found


@dataclass
class Part:
    """A vertebra or a disc: its label, its mask, the voxels (mm) of its body or of the disc, the borders that cut
    these, the direction from the canal to them, and what follows."""

    label: int
    mask: Mask
    points: NDArray[np.float64]
    cut: list[str]
    front: Vector
    box: Box | None = None
    remark: str = ""

    @property
    def centre(self) -> Vector:
        return self.box.frame.centre if self.box else self.points.mean(0)


def measure(
    labels: ArrayLike, spacing: Sequence[float], image: ArrayLike | None = None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure the structures of a label volume: a row of COLUMNS for each, from the lowest up, the canal last; and
    what holds of the column as a whole.

    labels: SPIDER's integers [slices, H, W] in canonical orientation (structures.label); spacing: mm of its axes;
    image: greys of the same shape, without which discs have no signal. What cannot be measured is NaN, and the row's
    remark says why. Raises ValueError for other shapes or spacings.
    """
    labels, lengths = np.asarray(labels), np.asarray(spacing, float)
    if labels.ndim != 3 or lengths.shape != (3,) or not (lengths > 0).all():
        raise ValueError(f"expected a volume [slices, H, W] and its spacing, got {labels.shape} and {tuple(spacing)}")
    if image is not None and np.shape(image) != labels.shape:
        raise ValueError(f"expected an image of the labels' shape {labels.shape}, got {np.shape(image)}")
    voxels = {number: _voxels(labels, number, box) for number, box in _boxes(labels)}
    of = {number: _row(number, where, labels.shape, lengths) for number, where in voxels.items()}
    parts: list[Part] = []
    if CANAL_LABEL in voxels:
        line = canal_line((labels == CANAL_LABEL) * CLASSES.index("spinal_canal"), lengths)
        canal = Canal(voxels[CANAL_LABEL] * lengths, line)
        void = _void(np.asarray(image)) if image is not None else None
        shown = [_part(labels, void, number, voxels[number], lengths, canal) for number in voxels]
        parts = sorted(filter(None, shown), key=lambda part: -part.centre[1])
    if parts:
        mask = Mask.of(labels, voxels[CANAL_LABEL], lengths, sigma=0)  # smoothed, its round section would shrink
        _measure_parts(parts, of, canal, mask, np.asarray(image) if image is not None else None)
    for number in of.keys() - {CANAL_LABEL, *(part.label for part in parts)}:
        why = "no canal to tell its front by"
        if CANAL_LABEL in voxels:
            why = "nothing of it lies in front of the canal, so one of the two is segmented wrongly"
        of[number]["remark"] = f"not measured: {why}"
    heights = {number: -float(where[:, 1].mean()) * lengths[1] for number, where in voxels.items()}
    heights |= {part.label: -part.centre[1] for part in parts}
    rows = [of[number] for number in sorted(of, key=lambda number: (number == CANAL_LABEL, heights[number], number))]
    return rows, _column(rows, [part for part in parts if part.label < FIRST_DISC])


def _row(number: int, voxels: NDArray[np.intp], shape: Sequence[int], lengths: Vector) -> dict[str, Any]:
    """What is said of a structure in any case."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS, float("nan"))
    row |= {"label": number, "structure": _kind(number), "volume_mm3": float(len(voxels) * lengths.prod())}
    return row | {"cut": " ".join(_cut(voxels, shape)), "remark": ""}


def _measure_parts(
    parts: Sequence[Part], of: dict[int, dict[str, Any]], canal: Canal, mask: Mask, image: NDArray[Any] | None
) -> None:
    """Fill the rows of vertebrae and discs. parts: from the lowest up; mask: of the canal."""
    _measure_boxes(parts, canal)
    vertebrae = [part for part in parts if part.label < FIRST_DISC]
    discs = [part for part in parts if part.label >= FIRST_DISC]
    for part in parts:
        of[part.label].update(part.box.values if part.box else {}, remark=part.remark)
    _slips(vertebrae, of)
    _laterals(vertebrae, of)
    for disc in discs:
        of[disc.label].update(_section(mask, canal, disc))
    if image is not None:
        _signals(discs, image, mask.lengths, canal, of)


def _kind(number: int) -> str:
    return "canal" if number == CANAL_LABEL else "disc" if number >= FIRST_DISC else "vertebra"


def _boxes(labels: NDArray[np.integer]) -> list[tuple[int, tuple[slice, ...]]]:
    return [(number, box) for number, box in enumerate(ndimage.find_objects(labels.astype(np.int32)), 1) if box]


def _voxels(labels: NDArray[np.integer], number: int, box: tuple[slice, ...]) -> NDArray[np.intp]:
    return np.argwhere(labels[box] == number) + [side.start for side in box]


def _cut(voxels: NDArray[np.intp], shape: Sequence[int]) -> list[str]:
    """The borders of the volume that voxels lie at."""
    ends = zip(voxels.min(0), voxels.max(0), shape, SIDES, strict=True)
    return [
        side
        for low, high, size, sides in ends
        for side, at in zip(sides, (low == 0, high == size - 1), strict=True)
        if at
    ]


def _void(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a volume was filled up above and below its picture, as when it was turned and resampled: voxels of the
    lowest grey, with nothing but such voxels above or below them."""
    lowest = image == image.min()
    if lowest.mean() < VOID:
        return np.zeros(image.shape, bool)
    above, below = (np.logical_and.accumulate(each, 1) for each in (lowest, lowest[:, ::-1]))
    return above | below[:, ::-1]


def _touches(voxels: NDArray[np.intp], void: NDArray[np.bool_]) -> bool:
    """Whether a body lies below or above a filling: at most two voxels away, since resampling blurs."""
    i, j, k = voxels.T
    beside = [void[i, np.clip(j + step, 0, void.shape[1] - 1), k] for step in (-2, 2)]
    return bool(np.logical_or(*beside).mean() > TOUCHES)


def _part(
    labels: NDArray[np.integer],
    void: NDArray[np.bool_] | None,
    number: int,
    voxels: NDArray[np.intp],
    lengths: Vector,
    canal: Canal,
) -> Part | None:
    """A vertebra or disc with what lies in front of the canal: of a vertebra, its body; None without any such voxel,
    and of the canal itself."""
    if number == CANAL_LABEL:
        return None
    points = voxels * lengths
    chosen = np.ones(len(points), bool)
    front = np.array([0.0, 0.0, -1.0])
    for _ in range(3):  # where the front is follows from the body, and the body from the front
        middle, up = canal.nearest(points[chosen].mean(0))
        front = front - front @ up * up
        front /= np.linalg.norm(front)
        if number < FIRST_DISC:
            level = canal.level(middle, 2.0)
            wall = np.percentile((level - middle) @ front, 95) if len(level) else 0.0
            chosen = (points - middle) @ front > wall
            if not chosen.any():
                return None
        front = points[chosen].mean(0) - middle
    cut = _cut(voxels[chosen], labels.shape)
    if void is not None and _touches(voxels[chosen], void):
        cut.append(EDGE)
    return Part(number, Mask.of(labels, voxels, lengths, sigma=1), points[chosen], cut, front)


def _measure_boxes(parts: Sequence[Part], canal: Canal) -> None:
    """Measure each body and disc that no border cuts above, below, in front or behind."""
    for k, part in enumerate(parts):
        cut = [f"{side} border" if side != EDGE else side for side in part.cut if side not in SIDES[0]]
        if cut:
            part.remark = f"no heights: cut by the {' and the '.join(cut)}"
            continue
        around = [other for other in (*parts[:k][-1:], *parts[k + 1 :][:1]) if _kind(other.label) != _kind(part.label)]
        up = around[1].points.mean(0) - around[0].points.mean(0) if len(around) == 2 else canal.nearest(part.centre)[1]
        frame = Frame.of(part.points.mean(0), up, part.front)
        try:
            for _ in range(3):
                part.box = _measure_box(part.mask, frame, _kind(part.label) == "vertebra")
                slope = (part.box.upper + part.box.lower) / 2
                frame = Frame.of(part.box.frame.centre, frame.up - slope * frame.front, frame.front)
        except _NotFoundError as error:
            part.box, part.remark = None, f"no heights: {error}"


class _NotFoundError(ValueError):
    """An edge that is not there."""


def _edges(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Steps along the last axis, from its first place, to where values fall below one half; NaN where they do not, or
    are below from the start."""
    below = values < 0.5
    at = below.argmax(-1)[..., None]
    inner, outer = (np.take_along_axis(values, np.maximum(place, 0), -1)[..., 0] for place in (at - 1, at))
    with np.errstate(invalid="ignore", divide="ignore"):
        steps = at[..., 0] - 1 + (inner - 0.5) / (inner - outer)
    return np.where(at[..., 0] > 0, steps, np.nan)


def _middle(values: NDArray[np.floating], what: str) -> float:
    """Median of what is known. Raises _NotFoundError if less than half is."""
    known = values[np.isfinite(values)]
    if 2 * len(known) < max(values.size, 1) or not len(known):
        raise _NotFoundError(f"no clear {what}")
    return float(np.median(known))


def _fit(at: NDArray[np.float64], values: NDArray[np.float64], what: str) -> Line:
    """(value at 0, slope) of the straight line through the medians over slices. values: [slices, places]."""
    known = np.isfinite(values).any(0)
    if known.sum() < max(3, known.size / 2):
        raise _NotFoundError(f"no clear {what}")
    slope, start = np.polyfit(at[known], np.nanmedian(values[:, known], 0), 1)
    return float(start), float(slope)


def _measure_box(mask: Mask, frame: Frame, has_corners: bool) -> Box:
    """Measure a body or disc in a frame; the Box's own frame has the middle of what was found as its centre.
    has_corners: whether it has a rear wall that is straight.

    Raises _NotFoundError where edges are not to be found.
    """
    values = mask.look_up(frame.places(ASIDE, ALONG, ALONG))
    values = values[np.isfinite(values[:, len(ALONG) // 2, len(ALONG) // 2])]
    middle = len(ALONG) // 2
    upper, lower = (STEP * _edges(values[..., part]) for part in (np.s_[middle:], np.s_[middle::-1]))
    rows = values.swapaxes(1, 2)
    ahead, behind = (STEP * _edges(rows[..., part]) for part in (np.s_[middle:], np.s_[middle::-1]))
    lower, behind = -lower, -behind
    height = _middle((upper - lower)[:, middle], "end plates")
    core = np.abs(ALONG) <= 0.2 * height
    front, rear = _middle(ahead[:, core], "front wall"), _middle(behind[:, core], "rear wall")
    depth = front - rear
    share = (ALONG - rear) / depth
    rims = np.abs(np.abs(share - 0.5) - (PLACES["anterior"] - 0.5)) <= BAND
    lines = [_fit(ALONG[rims], each[:, rims], "end plates") for each in (upper, lower)]
    wall = np.abs(ALONG) < INNER * height
    straight = _fit(ALONG[wall], behind[:, wall], "rear wall") if has_corners else (float("nan"), 0.0)
    found = {
        f"height_{place}_mm": _middle((upper - lower)[:, np.abs(share - at) <= BAND], "end plates")
        for place, at in PLACES.items()
    }
    found["depth_mm"] = depth
    found["wedge_deg"] = float(np.degrees(np.arctan(lines[0][1]) - np.arctan(lines[1][1])))
    corners = [_corner(frame, straight, plate) for plate in lines]
    centre = frame.place((front + rear) / 2, sum(start + slope * (front + rear) / 2 for start, slope in lines) / 2)
    return Box(Frame.of(centre, frame.up, frame.front), found, lines[0][1], lines[1][1], *corners)


def _corner(frame: Frame, wall: Line, plate: Line) -> Vector:
    """Where the lines of an end plate and of the rear wall meet."""
    ahead = (wall[0] + wall[1] * plate[0]) / (1 - wall[1] * plate[1])
    return frame.place(ahead, plate[0] + plate[1] * ahead)


def _slips(vertebrae: Sequence[Part], of: dict[int, dict[str, Any]]) -> None:
    for below, above in pairwise(vertebrae):
        if below.box and above.box:
            apart = above.box.lower_corner - below.box.upper_corner
            if abs(apart @ below.box.frame.up) < NEIGHBOURS:
                of[above.label]["slip_mm"] = float(apart @ below.box.frame.along(below.box.upper))
            else:
                of[above.label]["remark"] = "no slip: the vertebra below it is missing"


def _laterals(vertebrae: Sequence[Part], of: dict[int, dict[str, Any]]) -> None:
    whole = [part for part in vertebrae if part.box and not {*SIDES[0]} & {*part.cut}]
    if len(whole) > 2:
        (x, y), (x1, y1) = (part.centre[:2] for part in (whole[0], whole[-1]))
        for part in whole:
            of[part.label]["lateral_mm"] = float(part.centre[0] - x - (x1 - x) * (part.centre[1] - y) / (y1 - y))


def _section(mask: Mask, canal: Canal, disc: Part) -> dict[str, float]:
    """Area (mm2) and diameter (mm) of the canal in the plane across it that is nearest to a disc; nothing where the
    canal ends."""
    middle, up = canal.across(disc.centre)
    along = (canal.points - middle) @ up
    if not (along.min() < -ENDS and along.max() > ENDS):
        return {}
    frame = Frame.of(middle, up, disc.centre - middle)
    values = mask.look_up(frame.places(ALONG, ALONG, np.zeros(1)))[..., 0]
    pieces, number = ndimage.label(values >= 0.5)
    if not number:
        return {}
    piece = pieces == np.bincount(pieces[pieces > 0]).argmax()
    found = {}
    if not np.isnan(values[ndimage.binary_dilation(piece)]).any():
        found["canal_area_mm2"] = float(piece.sum() * STEP**2)
    aside, ahead = (round(each) for each in ndimage.center_of_mass(piece))
    lines = values[max(aside - 2, 0) : aside + 3]
    widths = _edges(lines[:, ahead:]) + _edges(lines[:, ahead::-1])
    if np.isfinite(widths).any():
        found["canal_diameter_mm"] = float(STEP * np.nanmedian(widths))
    return found


def _signals(
    discs: Sequence[Part], image: NDArray[Any], lengths: Vector, canal: Canal, of: dict[int, dict[str, Any]]
) -> None:
    outside = padding(image)
    dark = np.percentile(image if outside is None else image[image != outside], 1)
    for disc in discs:
        near = canal.level(disc.centre, AROUND)
        if len(near):
            tissue, fluid = (
                float(np.median(image[tuple(np.rint(points / lengths).astype(int).T)]) - dark)
                for points in (disc.points, near)
            )
            of[disc.label]["signal"] = tissue / fluid if fluid > 0 else float("nan")


def _column(rows: Sequence[dict[str, Any]], vertebrae: Sequence[Part]) -> dict[str, Any]:
    """Numbers of structures, and lordosis with the labels of the vertebrae that it is taken between."""
    kinds = [row["structure"] for row in rows]
    found: dict[str, Any] = {"vertebrae": kinds.count("vertebra"), "discs": kinds.count("disc")}
    whole = [(part.label, part.box) for part in vertebrae if part.box]
    found |= {"lordosis_deg": float("nan"), "lordosis_from": "", "lordosis_to": ""}
    if len(whole) > 1:
        (lowest, below), (highest, above) = whole[0], whole[-1]
        plates = above.frame.along(above.upper), below.frame.along(below.lower)
        angles = [np.degrees(np.arctan2(-plate[1], -plate[2])) for plate in plates]  # above the horizon, at the front
        found |= {"lordosis_deg": float(angles[0] - angles[1]), "lordosis_from": highest, "lordosis_to": lowest}
    return found
