"""What becomes of class probabilities: the class that is decided for, and the connected components that are dropped.

Both may be chosen on validation patients. A network trained by a focal loss on classes of unequal size need not be best
where its highest probability is: an offset of each class's log-probability moves the borders, one number a class.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .. import CLASSES, FOREGROUND

NOTHING = 255  # in a mask of p > 0.5: no class exceeds 0.5
REACH, STEP = 2.0, 0.125  # of offsets (nats): the largest, and the grid that they are chosen from
LEAST = 3  # validation patients: fewer say too little of others
TINY = 1e-7  # the lowest probability whose logarithm is taken
BINS = 10  # of probabilities, for their reliability

RELIABILITY = ("sequence", "class", "from", "to", "pixels", "said", "true")

Scored = tuple[NDArray[np.uint8], NDArray[np.uint8], Sequence[float]]  # prediction, truth, spacing in mm


@dataclass(frozen=True)
class Decision:
    """How classes follow from probabilities. offsets: {class: nats} added to its log-probability; smallest: {class:
    mm3} of the smallest connected component that is kept."""

    offsets: Mapping[str, float] = field(default_factory=dict)
    smallest: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, described: Mapping[str, Mapping[str, float]]) -> Self:
        """As decision.json says."""
        return cls(described["offsets"], described["min_component_mm3"])

    def described(self) -> dict[str, Mapping[str, float]]:
        """decision.json."""
        return {"offsets": self.offsets, "min_component_mm3": self.smallest}

    def decide(self, p: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Class masks uint8 [..., H, W] of the probabilities [..., H, W, 4]."""
        if not any(self.offsets.values()):
            return decide(p)
        factors = np.exp([self.offsets.get(name, 0.0) for name in CLASSES]).astype(np.float32)
        return decide(p * factors)

    def clean(self, classes: NDArray[np.uint8], spacing: Sequence[float]) -> NDArray[np.uint8]:
        """A copy of class masks uint8 [slices, H, W] in which components below `smallest` become background. spacing:
        mm of a voxel along each axis."""
        cleaned = classes.copy()
        for name, volume in self.smallest.items():
            mask = classes == CLASSES.index(name)
            cleaned[mask & ~without_small(mask, volume / np.prod(spacing))] = 0
        return cleaned


def decide(p: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Class masks uint8 [..., H, W] by the highest of the probabilities [..., H, W, 4]."""
    return p.argmax(-1).astype(np.uint8)


def decide_half(p: NDArray[np.floating]) -> NDArray[np.uint8]:
    """uint8 [..., H, W]: the class with p > 0.5, or NOTHING (the release's masks for its surface metrics)."""
    return np.where(p.max(-1) > 0.5, p.argmax(-1), NOTHING).astype(np.uint8)


def without_small(mask: NDArray[np.bool_], least: float | np.floating) -> NDArray[np.bool_]:
    """A copy of a boolean mask [slices, H, W] without the connected components (voxels joined by their faces) of fewer
    than `least` voxels."""
    found, count = ndimage.label(mask)
    sizes = np.bincount(found.ravel(), minlength=count + 1)
    sizes[0] = 0
    return (sizes >= max(least, 1))[found]


@dataclass(frozen=True)
class Opinion:
    """What a network says of a validation volume, small enough to keep all of them: the classes uint8 [N, H, W] of
    highest probability, and the log-probabilities [n, 4] of those pixels (flat indices `places`) that some offset could
    move. truth: uint8 [N, H, W]; spacing: mm; patient: whose volume it is."""

    classes: NDArray[np.uint8]
    places: NDArray[np.intp]
    logs: NDArray[np.float32]
    truth: NDArray[np.uint8]
    spacing: Sequence[float]
    patient: str

    @classmethod
    def of(
        cls, p: Iterable[NDArray[np.floating]], truth: NDArray[np.uint8], spacing: Sequence[float], patient: str
    ) -> Opinion:
        """p: class probabilities [H, W, 4], plane by plane."""
        classes, places, logs = np.empty_like(truth), [], []
        for number, plane in enumerate(p):
            classes[number] = decide(plane)
            flat = plane.reshape(-1, plane.shape[-1])
            two = np.partition(flat, -2, axis=-1)[:, -2:]  # the second highest and the highest
            unsure = np.flatnonzero(two[:, 1] < np.exp(2 * REACH) * np.maximum(two[:, 0], TINY))
            places.append(unsure + number * len(flat))
            logs.append(np.log(np.maximum(flat[unsure], TINY)).astype(np.float32))
        return cls(classes, np.concatenate(places), np.concatenate(logs), truth, spacing, patient)

    def decided(self, offsets: Mapping[str, float]) -> Scored:
        """(classes under these offsets, truth, spacing)."""
        classes = self.classes.copy()
        classes.flat[self.places] = (self.logs + [offsets.get(name, 0.0) for name in CLASSES]).argmax(-1)
        return classes, self.truth, self.spacing


def choose(opinions: Iterable[Opinion], settings: Mapping[str, Any]) -> Decision:
    """What the settings of `prediction` ask for, chosen on validation volumes; `opinions` are not looked at if there is
    nothing to choose."""
    log, asked = logging.getLogger(__name__), settings["min_component_mm3"]
    given, candidates = (dict(asked), []) if isinstance(asked, Mapping) else ({}, asked)
    if settings["decision"] == "highest" and not candidates:
        return Decision({}, given)
    every, offsets = list(opinions), {}
    patients = len({each.patient for each in every})
    if settings["decision"] == "offsets" and patients < LEAST:
        log.warning("no offsets: %d validation patients say too little of others; %d are needed", patients, LEAST)
    elif settings["decision"] == "offsets":
        offsets = choose_offsets(every)
    smallest = choose_smallest([each.decided(offsets) for each in every], candidates) if candidates else given
    log.info("offsets of log-probabilities: %s; components kept from so many mm3 on: %s", offsets, smallest or "all")
    return Decision(offsets, smallest)


def choose_offsets(opinions: Sequence[Opinion]) -> dict[str, float]:
    """{foreground class: nats} with the best mean Dice of the foreground classes that truth has, each pooled over the
    volumes: one class after the other until none moves. On a tie the smallest change. opinions: of patients outside the
    test set."""
    classes = len(CLASSES)
    fixed = np.zeros((classes, classes), np.int64)  # [truth, prediction] of the pixels that no offset moves
    for each in opinions:
        sure = np.ones(each.classes.size, bool)
        sure[each.places] = False
        pairs = each.truth.ravel()[sure].astype(np.int64) * classes + each.classes.ravel()[sure]
        fixed += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    logs = np.concatenate([each.logs for each in opinions])
    truth = np.concatenate([each.truth.ravel()[each.places] for each in opinions]).astype(np.int64)

    def score(offsets: NDArray[np.floating]) -> float:
        decided = (logs + offsets.astype(np.float32)).argmax(-1)
        counts = fixed + np.bincount(truth * classes + decided, minlength=classes**2).reshape(classes, classes)
        hits, both, there = np.diag(counts)[1:], (counts.sum(0) + counts.sum(1))[1:], counts.sum(1)[1:] > 0
        return float(np.mean(2 * hits[there] / both[there])) if there.any() else 0.0

    found, candidates = np.zeros(classes), np.arange(-REACH, REACH + STEP / 2, STEP)
    before = None
    while before is None or (found != before).any():  # ends: each move scores more, or as much with a smaller offset
        before = found.copy()
        for k in range(1, classes):
            tried = {float(value): score(np.where(np.arange(classes) == k, value, found)) for value in candidates}
            found[k] = max(tried, key=lambda value: (tried[value], -abs(value)))
    return {name: float(found[k]) for k, name in enumerate(CLASSES) if k}


def choose_smallest(volumes: Sequence[Scored], candidates: Iterable[float]) -> dict[str, float]:
    """For each foreground class, the volume (mm3) of the smallest component to keep: the candidate, or 0, with the best
    Dice pooled over the volumes; on a tie, the smallest. volumes: of patients outside the test set."""
    chosen = {}
    for k, name in enumerate(FOREGROUND, 1):
        scores = []
        for candidate in sorted({0, *candidates}):
            sums = np.zeros(2)
            for predicted, truth, spacing in volumes:
                kept = without_small(predicted == k, candidate / np.prod(spacing))
                sums += 2 * (kept & (truth == k)).sum(), kept.sum() + (truth == k).sum()
            scores.append((sums[0] / max(sums[1], 1), -candidate))
        chosen[name] = -max(scores)[1]
    return chosen


def reliability(p: NDArray[np.floating], truth: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[class, bin, 3]: of the pixels to which a class was given a probability of a bin (BINS of equal width), their
    number, the sum of their probabilities, and in how many the class was true. p: [..., 4]; truth: uint8 [...]."""
    found = np.zeros((len(CLASSES), BINS, 3))
    for k in range(len(CLASSES)):
        said: Any = p[..., k].ravel().astype(np.float64)
        bins = np.minimum((said * BINS).astype(np.intp), BINS - 1)
        for column, values in enumerate((None, said, (truth == k).ravel())):
            found[k, :, column] = np.bincount(bins, values, minlength=BINS)
    return found


def reliability_rows(sums: Mapping[str, NDArray[np.float64]]) -> list[dict[str, Any]]:
    """Rows of RELIABILITY from {sequence: sum of `reliability` over its volumes}; bins without pixels are left out."""
    return [
        {
            "sequence": sequence,
            "class": name,
            "from": b / BINS,
            "to": (b + 1) / BINS,
            "pixels": int(n),
            "said": said / n,
            "true": true / n,
        }
        for sequence, of_sequence in sums.items()
        for name, of_class in zip(CLASSES, of_sequence, strict=True)
        for b, (n, said, true) in enumerate(of_class)
        if n
    ]
