"""The six passes on one real-sized mask: compiled against vectorised NumPy, one core, same run.

Run: python benchmarks/apta.py [MASK_VOLUME SLICE]. Without arguments a phantom mask is used.
"""

import os
import sys
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np

from lumbarflow.data import phantom, volumes
from lumbarflow.images import apta, slices


def shifted(image, offsets):
    """The neighbours of every pixel, [offsets, H, W]; 4 beyond the picture."""
    padded = np.pad(image, 1, constant_values=4)
    height, width = image.shape
    return np.stack([padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] for dy, dx in offsets])


def vote(around):
    """(majority colour, the first met among equals; colours met) of each pixel."""
    counts = np.stack([(around == colour).sum(0) for colour in range(4)])
    most = counts.max(0)
    wins = np.take_along_axis(np.concatenate([counts, np.zeros_like(counts[:1])]), around.astype(int), 0) == most
    first = np.argmax(wins & (around < 4), axis=0)
    return np.take_along_axis(around, first[None], 0)[0], (counts > 0).sum(0)


def vectorised(grey):
    image = np.select([(grey >= 1) & (grey <= 10), (grey >= 90) & (grey <= 180), grey >= 181], [1, 2, 3], 0)
    image = image.astype(np.uint8)
    image[~(shifted(image, apta.EIGHT) == image).any(0)] = 0
    image = vote(shifted(image, apta.FOUR))[0]
    best, met = vote(shifted(image, apta.EIGHT))
    image = np.where(met >= 2, best, image)
    around = shifted(image, apta.EIGHT)
    image = np.where((around == image).any(0), image, vote(around)[0])
    return image if (image == 1).any() else (image > 0).astype(np.uint8)


def median(function, argument, runs):
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        function(argument)
        times.append(time.perf_counter() - started)
    return np.median(times) * 1e3


if len(sys.argv) == 3:
    plane = volumes.read(sys.argv[1]).array[int(sys.argv[2])]
else:
    plane = phantom.make_volume(1, 1, "t2_SPACE")[1][8]
grey = slices.resize(slices.to_grey(plane, plane.min(), plane.max()), (640, 512), "linear")
np.testing.assert_array_equal(apta.repair(grey), vectorised(grey))
pairs = [(median(apta.repair, grey, 20), median(vectorised, grey, 3)) for _ in range(5)]
ours, peer = np.median(pairs, axis=0)
print(f"apta: compiled {ours:.2f} ms, vectorised NumPy {peer:.1f} ms, ratio {np.median([b / a for a, b in pairs]):.1f}")
