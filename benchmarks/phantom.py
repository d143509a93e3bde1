"""Phantom volumes a second on one core. Run: python benchmarks/phantom.py"""

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import cv2

from lumbarflow.data import phantom

cv2.setNumThreads(1)
with tempfile.TemporaryDirectory() as folder:
    started = time.process_time()
    for number in range(1, 9):
        for sequence in phantom.GRIDS:
            phantom.write_volume(folder, 1, number, sequence)
    took = time.process_time() - started
print(f"phantom: {8 * len(phantom.GRIDS) / took:.1f} volumes a second of CPU, made and written")
