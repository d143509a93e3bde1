"""The workflow at full size: planning, doing nothing, jobs a second, and what it costs over a bare loop.

Run: python benchmarks/scale.py [plan] [full] [overhead] [rivals] [spider]; without words all (an hour on 2 cores).
    plan      building the DAG of the phantom with 447, 1,500 and 5,001 volumes: time and peak memory
    full      447 volumes through all stages with small pictures, then a run with nothing to do
    overhead  40 volumes with pictures of 640 x 512 to class weights: the workflow against a pool of processes
              that call the same scripts' functions on the same volumes, in turns
    spider    45 volumes of SPIDER's sizes through the whole of `sound`, one epoch: from this tenth, what each stage of
              all 447 volumes takes: time of its jobs one after another, memory, disk
    rivals    a folder of label volumes of 40 test volumes of 18 x 512 x 640, taken over, told apart and scored
"""

import csv
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[1]
CORES = 2
sys.path.insert(0, str(ROOT / "workflow/scripts"))

SMALL = """
run: [sound]
slices: {sound: {size: [64, 48]}}
experiments:
  released:
    network: {image_size: [32, 24], options: {width: 2}}
    training: {epochs: 1}
"""
LARGE = """
run: [sound]
slices: {sound: {size: [640, 512]}}
"""
TENTH = """
run: [sound]
slices: {released: {size: [640, 512]}, sound: {size: [640, 512]}}
experiments:
  released:
    network: {image_size: [256, 256], options: {width: 16, momentum: 0.99}}
    training: {epochs: 1}
"""
RIVAL = """
run: [other]
baseline: other
sequences: [t2]
slices: {{sound: {{size: [640, 512]}}}}
experiments:
  sound: {{split: {{n_folds: 3}}}}
  other: {{predictions: {given}, labels_as: classes, split_of: sound}}
"""
SIZE = [640, 512]
RECIPES = {
    "slices": {
        "size": [640, 512],
        "fit": "letterbox",
        "window": "volume",
        "percentiles": [0.5, 99.5],
        "resize": "area",
    },
    "labels": {"method": "lut"},
}


def snakemake(folder, config, *arguments):
    """Run it; returns (seconds, peak MiB of its own process, output)."""
    path = Path(folder) / "config.yaml"
    path.write_text(config, encoding="utf-8")
    # targets come first: several options take all words that follow
    command = [sys.executable, "-m", "snakemake", *arguments, "--snakefile", ROOT / "Snakefile", "--directory", folder]
    command += ["--workflow-profile", ROOT / "profiles/default", "--cores", str(CORES)]
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [*map(str, command), "--configfile", str(path)], stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - started
        output.seek(0)
        text = output.read()
    if status:
        sys.exit(text[-3000:])
    return took, usage.ru_maxrss / 1024, text


def count_jobs(output):
    return int(re.search(r"^total +(\d+)$", output, re.M)[1])


def plan():
    for patients in (149, 500, 1667):
        with tempfile.TemporaryDirectory() as folder:
            config = SMALL + f"phantom: {{patients: {patients}}}\n"
            took, peak, _ = snakemake(folder, config, "--dry-run", "--quiet", "rules", "progress")
            print(f"DAG of {3 * patients} volumes, four jobs each: {took:.1f} s, {peak:.0f} MiB", flush=True)


def full():
    with tempfile.TemporaryDirectory() as folder:
        config = SMALL + "phantom: {patients: 149}\n"
        took, peak, output = snakemake(folder, config, "--quiet", "rules")
        jobs = count_jobs(output)
        print(f"447 volumes: {jobs} jobs in {took:.0f} s, {jobs / took:.1f} jobs/s, peak of Snakemake {peak:.0f} MiB")
        took, peak, output = snakemake(folder, config)
        if "Nothing to be done" not in output:
            sys.exit("the second run found work:\n" + output[-3000:])
        print(f"447 volumes, nothing to do: {took:.1f} s, {peak:.0f} MiB")


def bare(task):
    """All three stages of one volume by the scripts' own functions."""
    import class_weights
    import extract_slices
    import label_slices

    root, name, folder = task
    os.environ.setdefault("NUMBA_CACHE_DIR", f"{folder}-numba")  # as a job has it
    slices, masks = f"{folder}/slices/{name}", f"{folder}/labels/{name}"
    common = {"patient": "1", "sequence": "t2"}

    def job(**parts):
        return SimpleNamespace(**{key: SimpleNamespace(**part) for key, part in parts.items()})

    image, mask = ({"path": f"{root}/{kind}/{name}.mha", "override": None} for kind in ("images", "masks"))
    extract_slices.main(
        job(
            params={"recipe": RECIPES["slices"], "source": image, **common},
            output={"pictures": slices, "table": f"{slices}.csv"},
            wildcards={"volume": name},
        )
    )
    label_slices.main(
        job(
            input={"slices": f"{slices}.csv"},
            params={"recipe": RECIPES["labels"], "canvas_size": SIZE, "source": mask},
            output={"pictures": masks, "table": f"{masks}.csv"},
        )
    )
    weights = job(input={"slices": f"{slices}.csv", "labels": f"{masks}.csv"}, params={"pictures": masks})
    weights.output = [f"{folder}/weights/{name}.csv"]
    class_weights.main(weights)


def make_volume(root, number, slices=31):
    """A phantom of the size of a real series, 31 slices of 640 x 512; returns its name."""
    import SimpleITK as sitk

    from lumbarflow.data import phantom

    name = f"{number}_t2"
    phantom.write_volume(root, 1, number, "t2")
    for kind in ("images", "masks"):
        small = sitk.ReadImage(f"{root}/{kind}/{name}.mha")
        long = sorted(range(3), key=lambda axis: small.GetSize()[axis])  # left-right is the shortest
        wanted = dict(zip(long, (slices, 512, 640), strict=True))
        size = [wanted[axis] for axis in range(3)]
        steps = [s * old / new for s, old, new in zip(small.GetSpacing(), small.GetSize(), size, strict=True)]
        how = sitk.sitkLinear if kind == "images" else sitk.sitkNearestNeighbor
        grid = (small.GetOrigin(), steps, small.GetDirection())
        large = sitk.Resample(small, size, sitk.Transform(), how, *grid)
        sitk.WriteImage(large, f"{root}/{kind}/{name}.mha", useCompression=True)
    return name


def digests(path):
    with open(path, newline="", encoding="utf-8") as file:
        return [row["mask_sha256"] for row in csv.DictReader(file)]


def overhead():
    with tempfile.TemporaryDirectory() as folder:
        root = f"{folder}/data"
        names = [make_volume(root, number) for number in range(1, 41)]
        ratios = []
        for turn in range(3):
            started = time.perf_counter()
            with multiprocessing.get_context("spawn").Pool(CORES) as pool:
                pool.map(bare, [(root, name, f"{folder}/bare{turn}") for name in names], chunksize=1)
            loop = time.perf_counter() - started
            os.mkdir(f"{folder}/{turn}")
            targets = [f"results/weights/sound/lut/{name}.csv" for name in names]
            took, _, output = snakemake(f"{folder}/{turn}", LARGE, *targets, "--config", f"root={root}")
            for name in names:
                if digests(f"{folder}/bare{turn}/weights/{name}.csv") != digests(
                    f"{folder}/{turn}/results/weights/sound/lut/{name}.csv"
                ):
                    sys.exit(f"{name}: other masks")
            ratios.append(took / loop)
            print(f"40 volumes: workflow {took:.1f} s ({count_jobs(output)} jobs), bare loop {loop:.1f} s")
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"overhead: {statistics.median(ratios):.2f} times (median of {len(ratios)}, {spread})")


def predict(root, name, folder):
    """Another program's labels, without instances: the true classes, one voxel off."""
    import numpy as np
    import SimpleITK as sitk

    from lumbarflow.data import labels

    mask = sitk.ReadImage(f"{root}/masks/{name}.mha")
    moved = sitk.GetImageFromArray(np.roll(labels.lut(sitk.GetArrayFromImage(mask)), 1, axis=(0, 1)))
    moved.CopyInformation(mask)
    sitk.WriteImage(moved, f"{folder}/{name}.nii.gz")


def rivals():
    with tempfile.TemporaryDirectory() as folder:
        root, given = f"{folder}/data", f"{folder}/given"
        os.mkdir(given)
        for number in range(1, 121):  # a third of them are for test
            predict(root, make_volume(root, number, slices=18), given)
        config = RIVAL.format(given=given)
        tables = [f"results/experiments/other/t2/fold-0/seed-1/{name}.csv" for name in ("split", "metrics")]
        snakemake(folder, config, tables[0], "--config", f"root={root}")
        took, _, output = snakemake(folder, config, tables[1], "--config", f"root={root}")
        measured = Path(folder, "results/benchmarks").glob("*/other/t2/fold-0/*.tsv")
        peak = max(float(row["max_rss"]) for path in measured for row in csv.DictReader(path.open(), delimiter="\t"))
        print(f"40 predicted volumes scored: {took:.1f} s ({count_jobs(output)} jobs), {peak:.0f} MiB")


def spider():
    with tempfile.TemporaryDirectory() as folder:
        root = f"{folder}/data"
        for number in range(1, 46):
            make_volume(root, number)
        took, _, _ = snakemake(folder, TENTH, "--config", f"root={root}", "sequences=[t2]")
        stages = {}
        for path in Path(folder, "results/benchmarks").rglob("*.tsv"):
            rule = path.relative_to(Path(folder, "results/benchmarks")).parts[0].removesuffix(".tsv")
            with path.open() as file:
                stages.setdefault(rule, []).extend(csv.DictReader(file, delimiter="\t"))
        print(f"45 volumes of 31 x 640 x 512, a training of one epoch: {took / 60:.1f} minutes on {CORES} cores")
        print("447 volumes:      jobs   minutes, job by job   MiB")
        for rule, rows in sorted(stages.items(), key=lambda item: -sum(float(row["s"]) for row in item[1])):
            tenfold = len(rows) >= 45  # a job a volume; the others grow within themselves
            minutes = sum(float(row["s"]) for row in rows) * 447 / 45 / 60
            peak = max(float(row["max_rss"]) for row in rows if row["max_rss"] not in ("-", "NA"))
            print(f"{rule:18}{len(rows) * 447 // 45 if tenfold else len(rows):5}{minutes:15.1f}{peak:10.0f}")
        for name in sorted(os.listdir(f"{folder}/results")):
            files = [path for path in Path(folder, "results", name).rglob("*") if path.is_file()]
            print(f"results/{name}: {sum(path.stat().st_size for path in files) * 447 / 45 / 1e9:.2f} GB")


if __name__ == "__main__":
    words = {"plan": plan, "full": full, "overhead": overhead, "rivals": rivals, "spider": spider}
    for word in sys.argv[1:] or words:
        words[word]()
