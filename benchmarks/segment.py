"""One new scan from command to picture: seconds and memory, of its steps too, and whether memory grows with scans.

Run: python benchmarks/segment.py MODEL [--scan SCAN] [--rounds 3] [--many 10]. MODEL: a package. Without SCAN a
phantom of 18 slices of 640 x 512 is made. Each round is a process of its own, as a user starts it; `--many` scans in
one process show whether memory grows.
"""

import argparse
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow/scripts"
sys.path.insert(0, str(SCRIPTS))
GRID = (18, 640, 512), (3.6, 0.42, 0.42)


def make(path):
    from lumbarflow.data import phantom, writing

    phantom.GRIDS["t2_SPACE"] = GRID
    image, _, geometry = phantom.make_volume(1, phantom.NEW, "t2_SPACE")
    writing.write(path, image, geometry)


def command(scans, model, out):
    """Seconds and peak memory (MiB) of `lumbarflow segment`."""
    call = [sys.executable, "-m", "lumbarflow.application.cli", "segment", scans, "--model", model, "--out", out]
    started = time.perf_counter()
    process = subprocess.Popen(
        [*map(str, call), "--threads", "2"], env={**os.environ, "PYTHONPATH": str(SCRIPTS)}, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, status
    return time.perf_counter() - started, used.ru_maxrss / 1024


def steps(scan, model):
    """Log the seconds of each step of a second scan, when all is loaded and compiled."""
    from lumbarflow.learning import device

    device.choose("cpu", 2)
    from lumbarflow.application import segment
    from lumbarflow.data.new_scans import Scan

    models = segment.load([model])
    segment.segment(Scan(str(scan)), models)
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    result = segment.segment(Scan(str(scan)), models)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        segment.write(Path(folder), "scan", Scan(str(scan)), result, segment.Options(), "benchmark")
    print(f"write and draw: {time.perf_counter() - started:.2f} s; {len(result.rows)} structures")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--scan", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        scan = asked.scan or folder / "scan.mha"
        if asked.scan is None:
            make(scan)
        runs = [command(scan, asked.model, folder / f"out{number}") for number in range(asked.rounds)]
        print(f"one scan: {statistics.median(run[0] for run in runs):.1f} s, {max(run[1] for run in runs):.0f} MiB")
        (folder / "many").mkdir()
        for number in range(asked.many):
            (folder / "many" / f"{number}{''.join(scan.suffixes)}").symlink_to(scan)
        seconds, memory = command(folder / "many", asked.model, folder / "all")
        print(f"{asked.many} scans: {seconds / asked.many:.1f} s each, {memory:.0f} MiB")
        steps(scan, asked.model)


main()
