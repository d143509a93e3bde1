"""The workflow through a real SLURM of this machine, with one pretended GPU."""

import csv
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.system
SCRIPT = Path(__file__).with_name("slurm.sh")

SHRUNK = """
sequences: [t1]
phantom: {patients: 3, seed: 3}
run: [sound]
slices: {sound: {size: [96, 72]}}
experiments:
  released:
    network: {image_size: [32, 24], options: {width: 2}}
    training: {epochs: 8}
  sound:
    split: {n_folds: 3}
    seeds: [1, 2]
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if os.geteuid():
        (pytest.fail if os.environ.get("LUMBARFLOW_STRICT") else pytest.skip)("starting SLURM needs root")
    folder = tmp_path_factory.mktemp("slurm")
    try:
        subprocess.run([SCRIPT, "start", folder], check=True, timeout=600)
        yield
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=False)


def queue():
    """[(job, state, reason, comment)] of all jobs, and how many CPUs are idle."""
    lines = subprocess.run(["squeue", "-h", "-o", "%i|%T|%r|%k"], capture_output=True, encoding="utf-8").stdout
    idle = subprocess.run(["sinfo", "-h", "-o", "%C"], capture_output=True, encoding="utf-8").stdout
    return [line.split("|", 3) for line in lines.splitlines()], int(idle.split("/")[1])


def start(folder):
    """As the README says, but for what a cluster of one small node needs: no accounting, short waits, few CPUs."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder),
            *("--workflow-profile", ROOT / "profiles/slurm", "--configfile", folder / "config.yaml"),
            *("--jobs", "20", "--retries", "0", "--latency-wait", "5", "--max-threads", "1"),
            *(
                "--set-resources",
                "train:mem_mb=2000",
                "predict:mem_mb=2000",
                "--default-resources",
                "slurm_partition=main",
            ),
            *("--slurm-no-account", "--slurm-status-command", "squeue", "tables", "dataset"),
            # the least that is allowed; the next wait after a look at the queue that finds nothing new is 10 s longer
            "--slurm-init-seconds-before-status-checks=1",
        ],
        stdout=open(folder / "output.txt", "w"),
        stderr=subprocess.STDOUT,
        cwd=ROOT,
    )


def test_the_demo_shrunk(cluster, tmp_path):
    """From volumes to tables. Two trainings want the one GPU; the one that has it is cancelled, the next run ends."""
    (tmp_path / "config.yaml").write_text(SHRUNK, encoding="utf-8")
    # a dataset that is there, so that its volumes are ready together, for arrays
    made = [sys.executable, "-m", "snakemake", "phantom", "--snakefile", ROOT / "Snakefile", "--directory", tmp_path]
    made += ["--workflow-profile", ROOT / "profiles/default", "--configfile", tmp_path / "config.yaml", "--cores", "2"]
    subprocess.run(made, check=True, capture_output=True)
    process = start(tmp_path)
    waited, cancelled, arrays = [], None, set()
    while process.poll() is None:
        jobs, idle = queue()
        arrays |= {job.split("_")[0] for job, *_ in jobs if "_" in job}
        trainings = [job for job in jobs if "rule_train" in job[3] or job[3].startswith("train")]
        pending = [job for job in trainings if job[1] == "PENDING" and job[2] == "Resources"]
        running = [job for job in trainings if job[1] == "RUNNING"]
        if pending and running and idle:
            waited.append((pending, running, idle))
            if len(waited) > 3 and cancelled is None:
                cancelled = running[0][0]
                subprocess.run(["scancel", cancelled], check=True)
        time.sleep(0.5)
    output = (tmp_path / "output.txt").read_text(encoding="utf-8")
    assert arrays, output[-3000:]
    assert waited, output[-3000:]
    assert process.returncode != 0
    assert re.search(r"(?s)Error in rule train.*" + cancelled, output) or "CANCELLED" in output, output[-3000:]
    second = start(tmp_path)
    assert second.wait(timeout=900) == 0, (tmp_path / "output.txt").read_text(encoding="utf-8")[-5000:]
    with open(tmp_path / "results/tables/summary.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["sequence"], row["trainings"]) for row in rows] == [("t1", "2")]
