"""Extraction of one volume: the rule's script against the bare library calls it needs, CPU time, same run.

Run: python benchmarks/extract.py [IMAGE]. Without argument a phantom of 154 slices of 640 x 512 pixels.
Prints the ratio for both slice recipes, and the peak memory of one extraction in a process of its own.
"""

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
    os.environ[name] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import cv2
import extract_slices
import numpy as np
import SimpleITK as sitk

from lumbarflow.data import phantom, volumes, writing
from lumbarflow.images import slices

cv2.setNumThreads(1)
RECIPES = {
    "released": {"size": [640, 512], "fit": "stretch", "window": "slice", "percentiles": [0, 100], "resize": "linear"},
    "sound": {"size": [640, 512], "fit": "letterbox", "window": "volume", "percentiles": [0.5, 99.5], "resize": "area"},
}


def ours(path, recipe, folder):
    params = {"recipe": recipe, "source": {"path": path, "override": None}, "patient": "1", "sequence": "t2"}
    output = SimpleNamespace(pictures=f"{folder}/pictures", table=f"{folder}/table.csv")
    extract_slices.main(
        SimpleNamespace(params=SimpleNamespace(**params), output=output, wildcards=SimpleNamespace(volume="1_t2"))
    )


def bare(path, recipe, folder):
    """Read, window, scale, resize, encode, hash and write, and nothing else."""
    array = sitk.GetArrayFromImage(sitk.ReadImage(path)).transpose(2, 0, 1)[:, ::-1]  # stored LPS
    low, high = np.percentile(array, recipe["percentiles"]) if recipe["window"] == "volume" else (0, 0)
    os.makedirs(f"{folder}/bare", exist_ok=True)
    for index, plane in enumerate(array):
        if recipe["window"] == "slice":
            low, high = plane.min(), plane.max()
        grey = np.clip((plane.astype(np.float32) - low) * np.float32(255 / (high - low)), 0, 255).astype(np.uint8)
        if grey.shape != (640, 512):
            grey = cv2.resize(grey, (512, 640), interpolation=cv2.INTER_LINEAR)
        content = cv2.imencode(".png", grey, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
        hashlib.sha256(content).hexdigest()
        with open(f"{folder}/bare/{index}.png", "wb") as file:
            file.write(content)


def cpu(function, *arguments):
    started = time.process_time()
    function(*arguments)
    return time.process_time() - started


def make(path):
    """A phantom's picture on 154 slices of 640 x 512, int16, compressed as SPIDER's are."""
    image, _, _ = phantom.make_volume(1, 1, "t2_SPACE")
    planes = [slices.resize(image[k * len(image) // 154], (640, 512), "linear") for k in range(154)]
    array = np.stack(planes) + np.random.default_rng(0).integers(0, 9, (154, 1, 1), np.int16)
    cosines = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    writing.write(
        path, array.astype(np.int16), volumes.Geometry((154, 512, 640), (1.0, 0.47, 0.47), (0, 0, 0), cosines)
    )


with tempfile.TemporaryDirectory() as folder:
    if len(sys.argv) > 2:  # the child of which the memory is measured
        ours(sys.argv[1], RECIPES[sys.argv[2]], folder)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        sys.exit()
    path = sys.argv[1] if len(sys.argv) > 1 else f"{folder}/1_t2.mha"
    if len(sys.argv) == 1:
        make(path)
    shape = volumes.read(path).array.shape
    for name, recipe in RECIPES.items():
        pairs = [(cpu(ours, path, recipe, folder), cpu(bare, path, recipe, folder)) for _ in range(5)]
        mine, peer = np.median(pairs, axis=0)
        ratio = np.median([a / b for a, b in pairs])
        child = subprocess.run([sys.executable, __file__, path, name], capture_output=True, text=True, check=True)
        print(
            f"extract {name}, {' x '.join(map(str, shape))}: {mine:.2f} s CPU, bare calls {peer:.2f} s, "
            f"ratio {ratio:.2f}; peak memory {float(child.stdout.split()[-1]):.0f} MiB"
        )
