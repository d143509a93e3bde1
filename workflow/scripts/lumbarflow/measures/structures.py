"""From classes to single structures: which vertebra, which disc, in three dimensions.

A class mask does not tell one vertebra from the next: facet joints connect neighbours, and spinous processes can lie
apart from their own body. So vertebrae are found by their bodies, which lie between discs, and every other vertebra
voxel goes to the body from which it is reached on the shortest way within the mask. On that way a step down costs
less than a step up, because arches and spinous processes hang down from their body: at a facet joint the lower
vertebra is nearer, though the joint's rear half belongs to the upper one.
"""

import heapq
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, signal, spatial

from .. import CLASSES

VERTEBRAE, CANAL, DISCS = (CLASSES.index(name) for name in ("vertebrae", "spinal_canal", "ivd"))
FIRST_DISC, CANAL_LABEL = 201, 100
MOST = 25  # levels that SPIDER has numbers for

# Lengths in mm, for adult lumbar spines (discs follow each other every 25 to 45 mm).
PITCH = 33.0  # from disc to disc, where fewer than two discs are found
SAME_LEVEL = 12.0  # pieces of discs closer than this along the spine belong to one disc
BODY_RADIUS = 10.0  # around the line through the disc centres there is body, and nothing of an arch
BELOW, ABOVE = 25.0, 15.0  # how far a vertebra's arch reaches beyond the lower and upper end of its body
LEAST = 50.0  # mm3 of a piece of a disc that is looked at
REACH = 80.0  # vertebra voxels farther from any body are stray
# Shares.
SMALLEST_DISC = 0.05  # of a typical disc's volume; below it a piece is stray
HANGING = 0.5  # how much dearer straight up, and cheaper straight down, than sideways

DESCRIPTION = ("label", "voxels", "mm3")

Points = NDArray[np.float64]  # [N, 3], mm along the canonical axes


def label(classes: ArrayLike, spacing: Sequence[float]) -> NDArray[np.uint8]:
    """SPIDER labels of a class volume in canonical orientation (slices, rows from the head down, columns from front to
    back): uint8 [slices, H, W].

    classes: integers 0-3 [slices, H, W]; spacing: mm of its axes. Vertebrae are 1.. and discs 201.., each counted from
    the lowest up; the canal is 100. Every label's voxels are of its class. Stray pieces get 0: a disc's below 5% of
    a typical disc, a vertebra's far from any body. Any input has a result, of few structures
    where it shows few. Raises ValueError for other shapes, classes or spacings.
    """
    classes = np.asarray(classes)
    if classes.ndim != 3 or len(spacing) != 3 or not all(length > 0 for length in spacing):
        raise ValueError(f"expected a volume [slices, H, W] and its spacing, got {classes.shape} and {tuple(spacing)}")
    if classes.size and not (classes.min() >= 0 and classes.max() < len(CLASSES)):
        raise ValueError(f"expected classes 0 to {len(CLASSES) - 1}, found {classes.min()} to {classes.max()}")
    result = np.where(classes == CANAL, CANAL_LABEL, 0).astype(np.uint8)
    shown = ndimage.find_objects((classes > 0).astype(np.uint8))
    if not shown:
        return result
    box, lengths = shown[0], np.asarray(spacing, float)
    part = np.ascontiguousarray(classes[box])
    canal = canal_line(part, lengths)
    discs = find_discs(part == DISCS, lengths, canal)
    bodies = find_bodies(part == VERTEBRAE, discs, lengths, canal)
    vertebrae = grow(part == VERTEBRAE, bodies, lengths, canal, _unseen(bodies, discs, lengths, canal))
    inside = result[box]
    taken = np.unique(vertebrae[vertebrae > 0])  # a level that got no voxel has no number
    inside[vertebrae > 0] = np.searchsorted(taken, vertebrae[vertebrae > 0]) + 1
    inside[discs > 0] = discs[discs > 0] + (FIRST_DISC - 1)
    return result


def describe(labels: NDArray[np.integer], spacing: Sequence[float]) -> list[dict[str, float]]:
    """Number, voxels and mm3 of each label of a volume [slices, H, W], a row of DESCRIPTION each."""
    numbers, counts = np.unique(labels[labels > 0], return_counts=True)
    voxel = float(np.prod(spacing))
    return [
        {"label": int(number), "voxels": int(count), "mm3": count * voxel}
        for number, count in zip(numbers, counts, strict=True)
    ]


def find_discs(mask: NDArray[np.bool_], lengths: NDArray[np.float64], canal: Points) -> NDArray[np.uint8]:
    """Discs 1.. from the lowest up: uint8 [slices, H, W], 0 elsewhere and at stray pieces.

    Connected components, divided where one reaches over two levels, joined where two lie at one level. lengths: mm of
    the axes; canal: points along the spine from the lowest up, along which heights are taken.
    """
    labels = np.zeros(mask.shape, np.uint8)
    voxels = np.argwhere(mask)
    if not len(voxels):
        return labels
    points = voxels * lengths
    height = _along(points, canal)
    piece = ndimage.label(mask, np.ones((3, 3, 3)))[0][mask]
    least = float(LEAST / np.prod(lengths))
    for number in _large(piece, least):
        inside = np.flatnonzero(piece == number)
        for cut in _valleys(height[inside]):  # from the lowest up: each takes all that is above
            piece[inside[height[inside] > cut]] = piece.max() + 1
    pieces = _large(piece, least)
    typical = _typical(np.bincount(piece)[pieces])
    discs: list[tuple[float, Points, list[int]]] = []  # height, centre and pieces, by the largest piece
    for number in pieces:
        inside = piece == number
        at, centre, share = float(np.median(height[inside])), points[inside].mean(0), inside.sum() / typical
        gap, same = min(((abs(at - other[0]), k) for k, other in enumerate(discs)), default=(np.inf, -1))
        if gap < SAME_LEVEL:
            if np.linalg.norm(centre - discs[same][1]) < PITCH:
                discs[same][2].append(number)
        elif share >= (SMALLEST_DISC if gap > PITCH / 2 else 0.5):  # what is between two levels must be large
            discs.append((at, centre, [number]))
    level_of = np.zeros(piece.max() + 1, np.uint8)
    for level, (_, _, members) in enumerate(sorted(discs, key=lambda disc: disc[0])[:MOST], 1):
        level_of[members] = level
    labels[mask] = level_of[piece]
    return labels


def _large(piece: NDArray[np.integer], least: float) -> list[int]:
    """Numbers of the pieces of at least so many voxels, the largest first; of very many only the largest."""
    sizes = np.bincount(piece)
    order = np.argsort(-sizes, kind="stable")[: 4 * MOST]
    return [int(number) for number in order if number and sizes[number] >= least]


def _typical(sizes: NDArray[np.integer]) -> float:
    """Size of the piece in which the middle voxel of all lies, so that small pieces count little; 0 without pieces."""
    ordered = np.sort(sizes)
    return float(ordered[np.searchsorted(ordered.cumsum(), ordered.sum() / 2)]) if len(ordered) else 0.0


def _valleys(height: NDArray[np.float64]) -> list[float]:
    """Heights (mm) at which a component is divided: the thinnest places between two levels."""
    low = height.min() - 10
    amount = ndimage.gaussian_filter1d(np.bincount((height - low).astype(int), minlength=12).astype(float), 2)
    amount = np.append(amount, np.zeros(10))
    peaks, _ = signal.find_peaks(amount, distance=15, prominence=0.3 * amount.max())
    return [float(low + a + np.argmin(amount[a:b])) for a, b in pairwise(peaks)]


def canal_line(classes: NDArray[np.integer], lengths: NDArray[np.float64]) -> Points:
    """The canal's middle line from the lowest point up, a point a mm, made longer at both ends; where the canal is
    short or missing, a vertical line through the middle of all that is shown."""
    shown = classes == CANAL
    rows = np.flatnonzero(shown.any((0, 2)))
    degree = 3 if len(rows) * lengths[1] > 3 * PITCH else 1
    if len(rows) * lengths[1] < PITCH:
        shown, degree = classes > 0, 0
        rows = np.flatnonzero(shown.any((0, 2)))
    amount = shown.sum((0, 2))[rows]
    y = rows * lengths[1]
    at = np.arange(y[-1], min(y[0], y[-1] - 2), -1.0)
    line = np.empty((len(at), 3))
    line[:, 1] = at
    for axis, amounts in ((0, shown.sum(2)), (2, shown.sum(0).T)):
        means = np.arange(len(amounts)) @ amounts[:, rows] / amount * lengths[axis]
        fit = np.polynomial.Polynomial.fit(y, means, min(degree, len(rows) - 1), w=np.sqrt(amount))
        line[:, axis] = fit(at)
    return _longer(line)


def _longer(line: Points) -> Points:
    """A line of points, and a straight piece of three levels' length at each end, in the direction that
    it has there."""
    far = min(len(line) - 1, 10)
    steps = np.arange(1.0, 3 * PITCH + 1)[:, None]
    ends = [
        end + steps * (end - inner) / np.linalg.norm(end - inner)
        for end, inner in ((line[0], line[far]), (line[-1], line[-1 - far]))
    ]
    return np.concatenate([ends[0][::-1], line, ends[1]])


def _along(points: Points, line: Points, within: float = np.inf) -> NDArray[np.float64]:
    """Position (mm from the line's start) of the nearest place on a line; NaN for points farther than `within` mm."""
    start = np.concatenate([[0.0], np.linalg.norm(np.diff(line, axis=0), axis=1).cumsum(), [np.nan]])
    return start[spatial.KDTree(line).query(points, distance_upper_bound=within)[1]]


def find_bodies(
    vertebrae: NDArray[np.bool_], discs: NDArray[np.integer], lengths: NDArray[np.float64], canal: Points
) -> NDArray[np.uint8]:
    """Middles of the vertebral bodies, 1.. from the lowest up: uint8 [slices, H, W], 0 elsewhere.

    They lie around the line through the disc centres, one between two discs. Where a disc is missing, the line is
    divided at a gap between bodies, and what is still too long into equal parts.
    """
    bodies = np.zeros(vertebrae.shape, np.uint8)
    voxels = np.argwhere(vertebrae)
    if not len(voxels):
        return bodies
    points = voxels * lengths
    numbers = range(1, int(discs.max()) + 1)
    centres = np.array(ndimage.center_of_mass(discs > 0, discs, numbers)).reshape(-1, 3) * lengths
    line = _body_line(points, centres, canal)
    # rows alone tell most voxels far from the line, and the exact distance takes long
    order = np.argsort(line[:, 1])
    near = np.ones(len(points), bool)
    for axis in (0, 2):
        near &= abs(points[:, axis] - np.interp(points[:, 1], line[order, 1], line[order, axis])) < 3 * BODY_RADIUS
    position = np.full(len(points), np.nan)
    position[near] = _along(points[near], line, BODY_RADIUS)
    known = np.isfinite(position)
    if not known.any():  # nothing where bodies should be: what there is counts as one vertebra
        bodies[vertebrae] = 1
        return bodies
    amount = np.bincount(position[known].astype(int), minlength=int(line.shape[0]) + 1).astype(float)
    amount = ndimage.gaussian_filter1d(amount, 1)
    amount[amount < 0.25 * np.percentile(amount[amount > 0], 90)] = 0
    cuts = _along(centres, line) if len(centres) else np.empty(0)
    gaps = np.diff(cuts)
    pitch = float(np.median(gaps[gaps < 1.5 * PITCH])) if (gaps < 1.5 * PITCH).any() else PITCH
    parts = [
        part
        for low, high in pairwise([0, *cuts.round().astype(int), len(amount)])
        for part in _divide(amount, low, high, pitch)
    ]
    of_place = np.zeros(len(amount) + 1, np.uint8)
    for level, (low, high) in enumerate(parts[:MOST], 1):
        of_place[low:high] = level
    chosen = voxels[known]
    bodies[tuple(chosen.T)] = of_place[position[known].astype(int)]
    return bodies


def _body_line(points: Points, centres: Points, canal: Points) -> Points:
    """The line through the bodies' middles from the lowest point up, a point a mm: through the disc centres, or where
    there are fewer than two, the canal's line moved forwards. points: all voxels of vertebrae."""
    if len(centres) > 1:
        pieces = []
        for a, b in pairwise(centres):
            number = max(1, round(float(np.linalg.norm(b - a))))
            pieces.append(a + np.arange(number)[:, None] / number * (b - a))
        return _longer(np.concatenate([*pieces, centres[-1:]]))
    nearest = canal[spatial.KDTree(canal).query(centres if len(centres) else points)[1]]
    away = (centres if len(centres) else points) - nearest
    if not len(centres):
        front = away[away[:, 2] < 0]
        away = front if len(front) else away
    move = np.median(away, axis=0)
    move[1] = 0
    return canal + move


def _divide(amount: NDArray[np.float64], low: int, high: int, pitch: float) -> list[tuple[int, int]]:
    """Bodies between two discs, from the lowest up: [(first, end)] places on the line.

    amount: vertebra at each mm of the line, 0 where there is too little for a body.
    """
    shown = np.flatnonzero(amount[low:high]) + low
    if len(shown) < 3:
        return []
    runs = np.split(shown, np.flatnonzero(np.diff(shown) > 2) + 1)
    while len(runs) > 1:  # a short run is a part of its neighbour
        shortest = min(range(len(runs)), key=lambda k: len(runs[k]))
        if len(runs[shortest]) >= 0.35 * pitch:
            break
        other = shortest - 1 if shortest else 1
        runs[min(shortest, other)] = np.concatenate([runs[min(shortest, other)], runs[max(shortest, other)]])
        del runs[max(shortest, other)]
    parts = []
    for run in runs:
        first, end = int(run[0]), int(run[-1]) + 1
        number = max(1, round((end - first + 5) / pitch))
        ends = [first]
        for k in range(1, number):
            middle, reach = first + (end - first) * k / number, (end - first) / number / 4
            window = np.arange(round(middle - reach), round(middle + reach) + 1)
            thinnest = window[np.argmin(amount[window])]
            # bodies have a waist of their own: only what is much thinner is a gap
            is_gap = amount[thinnest] < 0.5 * np.median(amount[run])
            ends.append(int(thinnest) if is_gap else round(middle))
        parts += list(pairwise([*ends, end]))
    return parts


def _unseen(
    bodies: NDArray[np.uint8], discs: NDArray[np.integer], lengths: NDArray[np.float64], canal: Points
) -> Points:
    """Where the body above the highest disc would be, if the volume ends there: its arch hangs down into the volume.
    No points where that body is seen, or no disc."""
    numbers = range(1, int(discs.max()) + 1)
    if not len(numbers) or bodies.max() in (0, MOST):
        return np.empty((0, 3))
    top = np.argwhere(bodies == bodies.max()) * lengths
    centres = np.array(ndimage.center_of_mass(discs > 0, discs, numbers)) * lengths
    if _along(centres[-1:], canal)[0] < np.median(_along(top, canal)):
        return np.empty((0, 3))
    return top + 2 * (centres[-1] - top.mean(0))


def grow(
    mask: NDArray[np.bool_],
    bodies: NDArray[np.uint8],
    lengths: NDArray[np.float64],
    canal: Points,
    unseen: Points,
) -> NDArray[np.uint8]:
    """Give each voxel of a mask the number of the body from which it is reached on the shortest way within the mask;
    then, to pieces that no way reaches, the number of the nearest body: uint8 [slices, H, W]. unseen: where one more
    body would be, above the volume.

    Lengths of ways: mm, longer upwards and shorter downwards (HANGING). No way leads farther from its body along the
    spine than ABOVE and BELOW: where neighbouring processes touch, one level must not run on through the next ones.
    """
    height = np.zeros(mask.shape, np.float32)
    height[mask] = _along(np.argwhere(mask) * lengths, canal)
    reach = np.array([-BELOW, ABOVE])
    levels = range(1, int(bodies.max()) + 1)
    ends = [_ends(height[bodies == k]) for k in levels] or [np.zeros(2)]
    ranges = np.array([[-np.inf, np.inf], *(reach + each for each in ends)])
    result = _geodesic(np.where(mask, np.float32(1), np.float32(np.inf)), bodies, lengths, height, ranges)[0]
    missing = mask & (result == 0)
    if not missing.any():
        return result
    # on a coarser grid: only the rough place of these pieces counts
    factor = tuple(max(1, round(2 / length)) for length in lengths)
    margin = int(np.ceil(max(0, -unseen[:, 1].min(initial=0)) / lengths[1] / factor[1])) * factor[1]
    coarse = np.pad(bodies, [(0, 0), (margin, 0), (0, 0)])
    hidden = (unseen / lengths + [0, margin, 0]).round().astype(int)
    hidden = hidden[((hidden >= 0) & (hidden < coarse.shape)).all(1)]
    coarse[tuple(hidden.T)] = bodies.max() + 1
    coarse = _pool(coarse, factor)
    free = np.ones(coarse.shape, np.float32)
    nearest, far = _geodesic(free, coarse, lengths * factor, 0 * free, np.zeros((len(ranges) + 1, 2)))
    nearest[far > REACH] = 0
    pieces, number = ndimage.label(missing, np.ones((3, 3, 3)))
    places = np.nonzero(missing)
    nearest = nearest[:, margin // factor[1] :]
    chosen = nearest[tuple(place // step for place, step in zip(places, factor, strict=True))]
    chosen[height[places] < ends[0][0] - 1.5 * BELOW] = 0  # far below the lowest: stray
    # a piece goes to one level as a whole, if most of it does; a larger one is divided
    votes = np.zeros((number + 1, len(ranges) + 1), np.int64)
    np.add.at(votes, (pieces[places], chosen), 1)
    whole = votes.max(1) >= 2 / 3 * votes.sum(1)
    result[places] = np.where(whole[pieces[places]], votes.argmax(1)[pieces[places]], chosen)
    return result


def _ends(height: NDArray[np.float32]) -> NDArray[np.float64]:
    """Heights of the lower and upper end of a body, or of a place beyond all where there is none."""
    return np.percentile(height, [2, 98]) if len(height) else np.full(2, -np.inf)


def _pool(array: NDArray, factor: tuple[int, ...]) -> NDArray:
    """The largest value of each block of a volume."""
    padded = np.pad(array, [(0, -length % step) for length, step in zip(array.shape, factor, strict=True)])
    shape = [part for length, step in zip(padded.shape, factor, strict=True) for part in (length // step, step)]
    return padded.reshape(shape).max(axis=(1, 3, 5))


def _geodesic(
    cost: NDArray[np.float32],
    seeds: NDArray[np.uint8],
    lengths: NDArray[np.float64],
    height: NDArray[np.float32],
    ranges: NDArray[np.float64],
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Nearest seed and the length of the way to it (Dijkstra 1959), for each voxel [slices, H, W].

    cost: of a mm in each voxel, infinite where no way leads; height: of each voxel, of which ranges [seeds + 1, 2]
    tells the lowest and highest that a seed may reach.
    """
    border = [(1, 1)] * 3  # nothing leads there, so that no step leaves the volume
    walls, marks, levels = np.pad(cost, border, constant_values=np.inf), np.pad(seeds, border), np.pad(height, border)
    steps = np.array([step for step in np.ndindex(3, 3, 3) if step != (1, 1, 1)]) - 1
    straight = np.linalg.norm(steps * lengths, axis=1)
    upwards = -steps[:, 1] * lengths[1] / straight  # -1 straight down to 1 straight up
    ways = (straight * (1 + HANGING * upwards)).astype(np.float32)
    offsets = steps @ (walls[0].size, walls.shape[2], 1)
    labels, far = _shortest(walls.ravel(), marks.ravel(), offsets, ways, levels.ravel(), ranges)
    inside = (slice(1, -1),) * 3
    return labels.reshape(walls.shape)[inside], far.reshape(walls.shape)[inside]


@njit(cache=True)
def _shortest(
    cost: NDArray[np.float32],
    seeds: NDArray[np.uint8],
    steps: NDArray[np.int64],
    lengths: NDArray[np.float32],
    height: NDArray[np.float32],
    ranges: NDArray[np.float64],
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Dijkstra's algorithm over flat arrays; steps: from a voxel to its neighbours in them, lengths: of these ways."""
    labels = seeds.copy()
    far = np.full(cost.size, np.inf, np.float32)
    rank = far.view(np.int32)  # the bits of floats that are not negative have the order of the floats
    heap = [np.int64(0) for _ in range(0)]  # of rank and place in one number, which is quick to compare
    for place in np.flatnonzero(seeds):
        far[place] = 0
        heap.append(place)
    while heap:
        nearest = heapq.heappop(heap)
        place = nearest & 0xFFFFFFFF
        if nearest >> 32 > rank[place]:
            continue
        label, way = labels[place], far[place]
        for step, length in zip(steps, lengths):  # noqa: B905  numba knows no `strict`
            other = place + step
            if cost[other] < np.inf and ranges[label, 0] <= height[other] <= ranges[label, 1]:
                longer = np.float32(way + length * (cost[place] + cost[other]) / 2)
                if longer < far[other]:
                    labels[other], far[other] = label, longer
                    heapq.heappush(heap, np.int64(rank[other]) << 32 | other)
    return labels, far
