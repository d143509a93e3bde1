"""Overlap, ASD and NSD of one four-class pair of masks, 640 x 512, on one core, beside medpy and surface-distance.

Run: python benchmarks/metrics.py [--volume MASK_VOLUME] [--peer PYTHON]. Without a volume a phantom is used;
"prediction" and truth are two neighbouring slices. PYTHON is an interpreter that has DeepMind's surface-distance, which
needs NumPy below 2: `python -m venv peer && peer/bin/pip install "numpy<2" scipy surface-distance`. Then the 3-D
metrics of a volume of 120 x 512 x 640, by themselves in a process, with their peak memory.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np

TAU = 1.0


def ours(pred, truth):
    from lumbarflow.measures import metrics

    rows = [metrics.surface(pred == k, truth == k, (1, 1), TAU) for k in range(4)]
    overlap = metrics.overlap(pred, truth)["dice"]
    return [(overlap[k], row.assd, row.nsd_symmetric) for k, row in enumerate(rows)]


def medpy(pred, truth):  # has no NSD
    from medpy.metric import binary

    return [(binary.dc(pred == k, truth == k), binary.assd(pred == k, truth == k)) for k in range(4)]


def surface_distance(pred, truth):
    import surface_distance as sd

    rows = []
    for k in range(4):
        p, t = pred == k, truth == k
        distances = sd.compute_surface_distances(t, p, (1, 1))
        asd = sd.compute_average_surface_distance(distances)
        nsd = sd.compute_surface_dice_at_tolerance(distances, TAU)
        rows.append((sd.compute_dice_coefficient(t, p), asd, nsd))
    return rows


def median(function, pair, runs):
    function(*pair)
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        function(*pair)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3


def in_3d(truth):
    """Seconds and peak MiB of one volume's metrics; the "prediction" is the truth moved by a voxel each way."""
    import resource

    from lumbarflow.measures import evaluation

    truth = truth[np.linspace(0, len(truth) - 1, 120).round().astype(int)]
    truth = truth[:, np.linspace(0, truth.shape[1] - 1, 512).astype(int)]
    truth = truth[:, :, np.linspace(0, truth.shape[2] - 1, 640).astype(int)]
    pred = np.roll(truth, (1, 1, 1), (0, 1, 2))
    evaluation.volume_rows(pred[:4, :40, :40], truth[:4, :40, :40], (1, 1, 1), TAU)  # compiles
    started = time.perf_counter()
    evaluation.volume_rows(pred, truth, (4.0, 0.5, 0.5), TAU)
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--volume", help="a label volume")
parser.add_argument("--peer", help="a Python that has surface-distance")
parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
options = parser.parse_args()

if options.one:
    name, path = options.one
    if name == "peer":
        print(json.dumps(median(surface_distance, np.load(path)["pair"], 5)))
        sys.exit()
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))
if options.one:
    print(json.dumps(in_3d(np.load(path)["volume"])))
    sys.exit()

from lumbarflow.data import labels, phantom, volumes
from lumbarflow.images import slices

volume = volumes.read(options.volume).array if options.volume else phantom.make_volume(1, 1, "t2_SPACE")[1]
volume = labels.lut(volume)
middle = len(volume) // 2
pair = np.stack([slices.resize_classes(volume[middle + k], (640, 512), "nearest") for k in (1, 0)])
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "masks.npz"
    np.savez(path, pair=pair, volume=volume)

    def child(python, name):
        command = [python, __file__, "--one", name, path]
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)

    rounds = []
    for _ in range(5):
        times = [median(ours, pair, 10), median(medpy, pair, 2)]
        rounds.append([*times, child(options.peer, "peer") if options.peer else np.nan])
    mine, *peers = np.median(rounds, axis=0)
    print(f"metrics of a pair: {mine:.1f} ms")
    for place, (name, took) in enumerate(zip(("medpy (without NSD)", "surface-distance"), peers, strict=True), 1):
        ratio = np.median([each[place] / each[0] for each in rounds])
        print(f"  {name}: {took:.1f} ms, ratio {ratio:.1f}" if took == took else f"  {name}: not run, see --peer")
    seconds, memory = child(sys.executable, "3d")
    print(f"metrics of a volume of 120 x 512 x 640: {seconds:.1f} s, peak memory of its process {memory:.0f} MiB")
