"""Single structures of a volume's own class mask: time, peak memory and Dice, beside connected components.

Run: python benchmarks/structures.py MASK. MASK: a volume of SPIDER labels. Prints the Dice of each vertebra (the
lowest and the mean), of discs, seconds (median of 5, compiled) and the peak of what NumPy and SciPy hold.
"""

import resource
import statistics
import sys
import time
import tracemalloc
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
from scipy import ndimage

from lumbarflow.data import labels, volumes
from lumbarflow.measures import instances, structures


def components(classes, spacing):
    """Face-connected components of vertebrae and discs, numbered as they come."""
    found = np.where(classes == 2, 100, 0)
    for number, first in ((1, 1), (3, 201)):
        part = ndimage.label(classes == number)[0]
        found[part > 0] = part[part > 0] + first - 1
    return found


def main():
    mask = volumes.read(sys.argv[1])
    classes = labels.lut(mask.array)
    for name, function in (("structures", structures.label), ("components", components)):
        function(classes, mask.spacing)
        times = []
        for _ in range(5):
            started = time.perf_counter()
            found = function(classes, mask.spacing)
            times.append(time.perf_counter() - started)
        tracemalloc.start()
        function(classes, mask.spacing)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        rows = instances.instance_rows(found, mask.array, mask.spacing, mask.spacing)
        dice = {kind: [row["dice"] for row in rows if row["class"] == kind] for kind in ("vertebrae", "ivd")}
        print(
            f"{name}: vertebrae {np.mean(dice['vertebrae']):.4f} (lowest {min(dice['vertebrae']):.4f}), discs "
            f"{np.mean(dice['ivd']):.4f}; {statistics.median(times):.2f} s, {peak:.0f} MiB for {classes.shape}"
        )
    print(f"peak of the whole process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


main()
