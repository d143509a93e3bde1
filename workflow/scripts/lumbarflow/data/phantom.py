"""Synthetic lumbar MRI in SPIDER's layout and conventions, determined by a seed.

The anatomy is simplified, but the problem is the same: only shape and position distinguish the
structures. Bone, muscle and the unlabelled sacrum share grey values; disc brightness varies with
"degeneration"; a bias field shades the image; position, curvature and size of the column differ
between patients. All lengths are in mm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..files import write_csv
from .geometry import Geometry
from .writing import write

# voxels and spacing in canonical order (left-right, superior-inferior, anterior-posterior)
GRIDS = {
    "t1": ((12, 160, 128), (3.6, 1.65, 1.5)),
    "t2": ((12, 160, 128), (3.6, 1.65, 1.5)),
    "t2_SPACE": ((16, 176, 144), (2.4, 1.5, 1.5)),
}
NEW = 2**20  # number of the first patient that is in no dataset
# mean grey of each tissue: (fat, muscle, marrow, disc, fluid, cord, bowel, blood)
CONTRASTS = {
    "t1": (0.85, 0.34, 0.52, 0.40, 0.18, 0.40, 0.38, 0.20),
    "t2": (0.76, 0.20, 0.40, 0.36, 0.95, 0.42, 0.42, 0.08),
    "t2_SPACE": (0.66, 0.18, 0.36, 0.38, 0.98, 0.46, 0.42, 0.06),
}
STORAGE = {  # direction cosines of SPIDER's two stored orientations, columns = stored axes
    "LPS": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "PIR": (0, 0, -1, 1, 0, 0, 0, -1, 0),
}


@dataclass(frozen=True)
class Patient:
    """Shape of one spinal column, drawn once per patient and shared by all sequences of the patient."""

    count: int  # labelled vertebrae
    heights: NDArray[np.float64]  # of the bodies, from the lowest up
    gaps: NDArray[np.float64]  # of the discs below each body
    shift: tuple[float, float, float]  # of the whole column: left-right, inferior-superior, posterior
    lordosis: float
    scoliosis: float
    phase: float
    depth: float  # of the bodies, front to back
    breadth: float  # of the bodies, side to side
    canal: float  # diameter
    degeneration: NDArray[np.float64]  # of each disc, 0-1
    seed: int


def draw_patient(seed: int, number: int) -> Patient:
    """Draw a random column; `seed` and `number` determine every value."""
    rng = np.random.default_rng([seed, number])
    count = int(rng.integers(6, 10))
    shift = (rng.normal(0, 3), rng.uniform(-20, 16), rng.uniform(-26, 26))
    # the labelled column ends at the upper edge of the image, or just below it
    height = (244 - shift[1]) / count * rng.uniform(0.93, 1.0) * 0.74
    return Patient(
        count=count,
        heights=height * rng.uniform(0.92, 1.08, count) * np.linspace(1.08, 0.94, count),
        gaps=height * rng.uniform(0.30, 0.44, count) * np.linspace(1.1, 0.85, count),
        shift=shift,
        lordosis=rng.uniform(6, 22) * (1 if rng.random() < 0.9 else -0.4),
        scoliosis=rng.normal(0, 3.5),
        phase=rng.uniform(-0.6, 0.6),
        depth=rng.uniform(29, 37),
        breadth=rng.uniform(40, 50),
        canal=rng.uniform(14, 19),
        # healthy or degenerated: a disc in between would be as grey as bone, without a visible edge
        degeneration=np.abs(rng.integers(0, 2, count + 1) - rng.uniform(0, 0.3, count + 1)),
        seed=int(rng.integers(2**31)),
    )


def column_coordinates(
    patient: Patient, x: NDArray[np.floating], z: NDArray[np.floating], y: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates (mm) within the column: lateral x, height s along the column, depth u (posterior > 0), of places x to
    the left, z above and y behind the volume's centre."""
    z = z - patient.shift[1]
    bend = 2 * np.pi / 300
    centre = patient.lordosis * np.cos(bend * z + patient.phase) + patient.shift[2]
    slope = -patient.lordosis * bend * np.sin(bend * z + patient.phase)
    # below the lowest vertebra, the sacrum bends backwards
    below = np.clip(-z - 112, 0, None)
    centre, slope = centre + 0.012 * below**2, slope - 0.024 * below
    cosine = 1 / np.sqrt(1 + slope**2)
    lateral = x - patient.shift[0] - patient.scoliosis * np.sin(bend * z)
    u = (y - centre) * cosine
    return lateral, z / cosine + u * slope, u


def make_labels(
    patient: Patient, size: Sequence[int], spacing: Sequence[float]
) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
    """SPIDER labels uint8 [slices, rows, columns] and the unlabelled structures that the image needs.

    Vertebrae are numbered 1, 2, ... from the lowest up, the disc below vertebra k is 200 + k, the canal 100.
    """
    x, z, y = ((np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(size, spacing, strict=True))
    x, s, u = column_coordinates(patient, x[:, None, None], -z[None, :, None], y[None, None, :])
    labels = np.zeros(size, np.uint8)
    half_depth, half_breadth = patient.depth / 2, patient.breadth / 2
    canal_at = half_depth + 3 + patient.canal / 2
    canal = ((u - canal_at) / (patient.canal / 2)) ** 2 + (x / (patient.canal / 2 + 2)) ** 2 < 1
    labels[canal] = 100
    across = (u / half_depth) ** 4 + (x / half_breadth) ** 4
    base = -112.0
    arch_at = canal_at + patient.canal / 2 + 2
    posterior_zone = u > half_depth
    for k in range(patient.count):
        gap, height = patient.gaps[k], patient.heights[k]
        disc = (across < 1.05) & (s >= base) & (s < base + gap)
        labels[disc & ~canal] = 201 + k
        centre = base + gap + height / 2
        waist = 1 - 0.16 * (1 - np.minimum(np.abs(s - centre) / (height / 2), 1) ** 2)
        body = (across < waist) & (np.abs(s - centre) < height / 2)
        # posterior elements: spinous process in the midline, laminae and joints beside the canal, pedicles
        tip = arch_at + 24
        sag = centre - 0.30 * height - 0.45 * (u - arch_at)
        spinous = (np.abs(x) < 5) & (u > arch_at) & (u < tip) & (np.abs(s - sag) < 0.24 * height)
        lamina = (np.abs(x) < 22) & (u > canal_at - 1) & (u < arch_at + 5) & ~canal
        lamina &= (np.abs(x) > patient.canal / 2 + 2) | (u > arch_at - 1)
        lamina &= np.abs(s - (centre - 0.25 * height)) < 0.36 * height
        pedicle = (np.abs(np.abs(x) - 15) < 5) & posterior_zone & (u <= canal_at)
        pedicle &= np.abs(s - (centre + 0.18 * height)) < 0.24 * height
        labels[(body | ((spinous | lamina | pedicle) & posterior_zone)) & ~canal] = k + 1
        base += gap + height
    # the cord ends about five vertebrae above the sacrum; its roots go on within the canal
    conus = np.clip((s - 30) / 25, 0, 1)
    cord = (u - canal_at) ** 2 + x**2 < conus * (0.22 * patient.canal + 1.2) ** 2
    extras = {
        "sacrum": (across < 0.9) & (s < -112) & (s > -112 - 46) & (labels == 0),
        "upper": (across < 0.95) & (s >= base + 6) & (labels == 0),  # bodies above the labelled ones
        "cord": canal & cord,
        "roots": canal & ~cord & _roots(patient, x, s, u - canal_at),
        "epidural": (u > canal_at) & (u < arch_at + 3) & (np.abs(x) < patient.canal / 2 + 2),
        "ligament": (u < -half_depth) & (u > -half_depth - 2),
        "aorta": (u + half_depth + 11) ** 2 + (x + 4) ** 2 < 64 * np.clip((s + 70) / 30, 0, 1),
        "skin": u > tip + 12,
        "air": u > tip + 38,
        "front": u < -half_depth - 2,
        "along": s,
        "behind": u,
    }
    return labels, extras


def _roots(
    patient: Patient, x: NDArray[np.floating], s: NDArray[np.floating], u: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """The nerve roots below the cord, in the canal's coordinates: strands that fan out downwards in its rear half."""
    rng = np.random.default_rng([patient.seed, 11])
    fan = np.clip((60 - s) / 120, 0, 1)
    found = np.zeros(np.broadcast_shapes(x.shape, s.shape, u.shape), bool)
    for side in np.linspace(-1, 1, 9):
        at_x = side * (2 + fan * 0.36 * patient.canal)
        at_u = (0.10 + 0.22 * rng.random() - 0.1 * side**2) * patient.canal + 0.8 * np.sin(s / 40 + 6 * rng.random())
        found |= (x - at_x) ** 2 + (u - at_u) ** 2 < 0.9**2
    return found


def _depth(mask: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.float32]:
    """Distance (mm) within each plane from the edge of a mask: 0 outside."""
    mm = (spacing[1] + spacing[2]) / 2
    planes = [cv2.distanceTransform(plane.astype(np.uint8), cv2.DIST_L2, 3) for plane in mask]
    return np.stack(planes) * np.float32(mm)


def _texture(
    rng: np.random.Generator, size: Sequence[int], spacing: Sequence[float], scale: float | Sequence[float]
) -> NDArray[np.float32]:
    """Smooth random field of unit variance with features of about `scale` mm, along all axes or along each."""
    scales = np.broadcast_to(scale, 3)
    coarse = [max(int(np.ceil(n * mm / at)) + 1, 2) for n, mm, at in zip(size, spacing, scales, strict=True)]
    field = rng.standard_normal(coarse).astype(np.float32)
    planes = np.stack([cv2.resize(p, (size[2], size[1]), interpolation=cv2.INTER_CUBIC) for p in field])
    position = np.linspace(0, len(planes) - 1, size[0])
    lower = np.minimum(position.astype(int), len(planes) - 2)
    weight = (position - lower).astype(np.float32)[:, None, None]
    return planes[lower] * (1 - weight) + planes[lower + 1] * weight


def make_image(
    patient: Patient,
    sequence: str,
    labels: NDArray[np.uint8],
    extras: Mapping[str, NDArray[Any]],
    spacing: Sequence[float],
) -> NDArray[np.float32]:
    """Intensities (float32, roughly 0-1) of one sequence: contrast, texture, bias field, blur, Rician noise.

    labels, extras: from make_labels, [slices, rows, columns]; spacing in mm.
    """
    size = labels.shape
    rng = np.random.default_rng([patient.seed, len(sequence), sum(map(ord, sequence))])
    tissues = CONTRASTS[sequence]
    fat, muscle, bone, disc, fluid, cord, bowel, blood = (value * rng.uniform(0.88, 1.12) for value in tissues)
    coarse, medium, fine = (_texture(rng, size, spacing, mm) for mm in (42, 14, 5))
    # muscle streaked with fat along the back, as bright as bone in places
    streaks = _texture(rng, size, spacing, (12, 30, 5))
    image = muscle * (1 + 0.1 * fine) + (fat - muscle) * np.clip(0.45 * streaks + 0.25 * coarse - 0.12, 0, 0.9)
    # in front, loops of bowel in fat; the great vessel before the column
    loops = 1 / (1 + np.exp(-5 * (medium + 0.4 * coarse)))
    image = np.where(extras["front"], fat * 0.9 * (1 - loops) + bowel * (1 + 0.35 * coarse) * loops, image)
    image = np.where(extras["aorta"], blood * (1 + 0.1 * fine), image)
    image = np.where(extras["ligament"], 0.12, image)
    image = np.where(extras["skin"], fat * (1.05 + 0.06 * medium), image)
    image = np.where(extras["epidural"] & (labels == 0), fat, image)
    # the unlabelled column above and the sacrum below have discs, too
    solid = extras["sacrum"] | extras["upper"] | ((labels > 0) & (labels < 100))
    gaps = (extras["upper"] | extras["sacrum"]) & (np.mod(extras["along"], 30) < 7)
    solid &= ~gaps
    marrow = bone * (1 + 0.14 * medium + 0.10 * fine)
    cortex = np.clip(1.35 - _depth(solid, spacing) / 1.6, 0, 1)  # dark, and a voxel thick
    image = np.where(solid, marrow + (0.35 * bone - marrow) * cortex, image)
    image = np.where(gaps, disc, image)
    canal = labels == 100
    image = np.where(canal, fluid * (1 + 0.04 * fine), image)
    image = np.where(extras["cord"], cord * (1 + 0.04 * fine), image)
    image = np.where(extras["roots"], 0.55 * cord + 0.45 * fluid, image)
    # a healthy disc is bright within a dark ring, a degenerated one dark throughout
    discs = labels > 200
    wear = np.zeros(256, np.float32)
    wear[201 : 201 + patient.count] = patient.degeneration[: patient.count]
    healthy = (1 - wear[labels]) * np.clip(_depth(discs, spacing) / 2.2, 0, 1)
    grey = disc * (0.62 - 0.2 * wear[labels]) + (0.52 if sequence != "t1" else 0.16) * healthy
    image = np.where(discs, grey * (1 + 0.06 * fine), image).astype(np.float32)
    # the coil lies under the back: brightness falls with the distance from it, and varies smoothly
    bias = _texture(rng, size, spacing, 110)
    image = image * np.exp(0.15 * bias + 0.005 * np.clip(extras["behind"], -90, 60))
    image = np.where(extras["air"], 0.01, image).astype(np.float32)
    sigma = rng.uniform(0.5, 0.8)
    image = np.stack([cv2.GaussianBlur(plane, (0, 0), sigma) for plane in image])
    noise = rng.standard_normal((2, *size)).astype(np.float32) * rng.uniform(0.015, 0.035)
    return np.hypot(np.clip(image, 0, None) + noise[0], noise[1])


def make_volume(seed: int, number: int, sequence: str) -> tuple[NDArray[np.int16], NDArray[np.uint8], Geometry]:
    """(image int16, labels uint8, Geometry) of one series in canonical axes [slices, rows, columns]."""
    size, spacing = GRIDS[sequence]
    patient = draw_patient(seed, number)
    labels, extras = make_labels(patient, size, spacing)
    grey = make_image(patient, sequence, labels, extras, spacing)
    # SPIDER: 73 of 447 series are stored PIR with intensities from 0 up, the others LPS from -1000
    stored = "PIR" if number % 6 == 3 else "LPS"
    low, span = (0, 900) if stored == "PIR" else (-1000, 2600)
    image = np.clip(low + grey * span, low, 3096).astype(np.int16)
    cosines = np.array(STORAGE[stored], float)
    blank = Geometry((1, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(cosines))
    stored_of = [axis for axis, _ in blank.axes()]
    stored_size, stored_spacing = [0] * 3, [0.0] * 3
    for canonical, axis in enumerate(stored_of):
        stored_size[axis], stored_spacing[axis] = size[canonical], spacing[canonical]
    corner = np.array(stored_spacing) * (np.array(stored_size) - 1) / 2
    origin = tuple(-(cosines.reshape(3, 3) @ corner))
    return image, labels, Geometry(tuple(stored_size), tuple(stored_spacing), origin, tuple(cosines))


def overview(seed: int, patients: int, sequences: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of overview.csv: every fifth patient is in SPIDER's `validation` subset."""
    rows = []
    for number in range(1, patients + 1):
        patient = draw_patient(seed, number)
        rng = np.random.default_rng([seed, number, 7])
        sex, age = "MF"[int(rng.integers(2))], float(rng.integers(19, 85))
        for sequence in sequences:
            _, spacing = GRIDS[sequence]
            rows.append(
                {
                    "new_file_name": f"{number}_{sequence}",
                    "num_vertebrae": patient.count,
                    "num_discs": patient.count,
                    "sex": sex,
                    "birth_date": age,
                    "subset": "validation" if number % 5 == 0 else "training",
                    "MagneticFieldStrength": 1.5,
                    "Manufacturer": "PHANTOM",
                    "PixelSpacing": f"[{spacing[1]}, {spacing[2]}]",
                    "SpacingBetweenSlices": spacing[0],
                }
            )
    return rows


def write_volume(root: str | Path, seed: int, number: int, sequence: str) -> None:
    """Write one series as root/images/{name}.mha and root/masks/{name}.mha."""
    image, labels, geometry = make_volume(seed, number, sequence)
    for kind, array in (("images", image), ("masks", labels)):
        write(Path(root) / kind / f"{number}_{sequence}.mha", array, geometry)


def write_overview(path: str | Path, seed: int, patients: int, sequences: Sequence[str]) -> None:
    """Write overview.csv for `patients` patients, each with one series per sequence of `sequences`."""
    rows = overview(seed, patients, sequences)
    write_csv(path, rows, list(rows[0]))
