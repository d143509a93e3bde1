"""Trainings of the real workflow: killed and gone on with, on all sequences, on several folds."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from conftest import ROOT

from lumbarflow import files


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def configured(workflow, tiny_config, settings):
    path = workflow.folder / "more.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return ("--configfile", tiny_config, path)


def process_of(folder, script):
    """Process id of a running job's script, or None."""
    wanted = f"{folder}/.snakemake/scripts/".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if wanted in command and script.encode() in command and b"python" in command.split(b"\0")[0]:
            return int(process.name)
    return None


@pytest.mark.parametrize("victim", ["job", "everything"])
def test_a_killed_training_goes_on(tiny_config, workflow, victim):
    """SIGKILL in the middle of a training; the plain rerun ends in the weights and history of an undisturbed one."""
    settings = {"run": ["sound"], "sequences": ["t1"], "experiments": {"released": {"training": {"epochs": 40}}}}
    arguments = (*configured(workflow, tiny_config, settings), "--until", "train")
    workflow(*arguments)
    folder = workflow.results / "experiments/sound/t1/fold-0/seed-1"
    weights = keras.models.load_model(folder / "model.keras", compile=False).get_weights()
    history, about = (folder / "history.csv").read_bytes(), (folder / "model.json").read_bytes()
    for name in ("model.keras", "history.csv", "model.json"):
        (folder / name).unlink()
    assert not (workflow.results / "resume").exists() or not list((workflow.results / "resume").rglob("*.npz"))
    command = [sys.executable, "-m", "snakemake", *arguments, "--snakefile", ROOT / "Snakefile"]
    command += ["--directory", workflow.folder, "--workflow-profile", ROOT / "profiles/default", "--cores", "2"]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True
    )
    deadline = time.monotonic() + 240
    state = workflow.results / "resume/sound/t1/fold-0/seed-1"
    while not list(state.glob("[!.]*.npz")):  # whole, not still being written
        assert running.poll() is None, running.communicate()[0].decode()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    job = process_of(workflow.folder, "train.py")
    if victim == "job":
        os.kill(job, signal.SIGKILL)
    else:
        os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    while Path(f"/proc/{job}").exists():  # no orphan trains on
        assert time.monotonic() < deadline
        time.sleep(0.05)
    if victim == "everything":
        workflow("--unlock", *arguments)
    assert not (folder / "model.keras").exists()
    workflow(*arguments)
    log = (workflow.results / "logs/train/sound/t1/0-1.log").read_text()
    assert "of a training that was cut off" in log
    assert (folder / "history.csv").read_bytes() == history
    assert (folder / "model.json").read_bytes() == about
    for a, b in zip(keras.models.load_model(folder / "model.keras", compile=False).get_weights(), weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not list((workflow.results / "resume").rglob("*.npz"))


def test_a_state_of_other_settings_is_ignored(tiny_config, workflow):
    settings = {"run": ["sound"], "sequences": ["t1"]}
    state = workflow.results / "resume/sound/t1/fold-0/seed-1"
    state.mkdir(parents=True)
    (state / "0123456789abcdef.npz").write_bytes(b"of another split")
    workflow(*configured(workflow, tiny_config, settings), "--until", "train")
    assert not state.exists()
    log = (workflow.results / "logs/train/sound/t1/0-1.log").read_text()
    assert "cut off" not in log
    assert "cannot be resumed" not in log


def test_a_model_says_how_it_came_about(tiny_run):
    folder = tiny_run.results / "experiments/sound/t1/fold-0/seed-1"
    about = files.read_json(folder / "model.json")
    assert about["inputs"] == {"split.csv": files.sha256((folder / "split.csv").read_bytes())}
    assert (about["device"], about["precision"], about["seed"]) == ("cpu", "float32", 1)
    assert {"python", "keras", "tensorflow", "numpy", "backend"} <= set(about["versions"])
    history = rows(folder / "history.csv")
    assert [row["test_accuracy"] for row in history[:-1]] == [""] * (len(history) - 1)
    assert float(history[-1]["test_accuracy"]) == pytest.approx(about["test"]["accuracy"])
    log = (tiny_run.results / "logs/train/sound/t1/0-1.log").read_text()
    for words in ("images/s", "peak memory", "tensorflow on cpu"):
        assert words in log


def test_all_sequences_together_across_and_on_several_folds(tiny_config, workflow):
    settings = {
        "experiments": {
            "together": {"base": "sound", "train_on": "all", "network": {"name": "unet"}},
            "across": {"base": "sound", "cross_test": ["t2_SPACE"], "folds": [0, 1], "loss": {"name": "cross_entropy"}},
        },
        "run": ["together", "across"],
    }
    arguments = configured(workflow, tiny_config, settings)
    workflow("tables", *arguments)
    summary = {(r["experiment"], r["sequence"]): r for r in rows(workflow.results / "tables/summary.csv")}
    assert set(summary) == {(e, s) for e in ("together", "across") for s in ("t1", "t2_SPACE")}
    assert {r["trained on"] for (e, _), r in summary.items() if e == "together"} == {"all"}
    assert summary["together", "t1"]["network"] == "unet"
    assert summary["across", "t1"]["trainings"] == "2"
    split = rows(workflow.results / "experiments/together/all/fold-0/seed-1/split.csv")
    sides = {}
    for row in split:
        if row["subset"] != "none":
            sides.setdefault(row["patient"], set()).add(row["subset"])
    assert {row["sequence"] for row in split} == {"t1", "t2_SPACE"}
    assert all(len(subsets) == 1 for subsets in sides.values())
    # mean and standard deviation over two folds, once more from the folds themselves
    table = [r for r in rows(workflow.results / "tables/table2.csv") if r["experiment"] == "across"]
    row = next(r for r in table if (r["sequence"], r["class"]) == ("t1", "background"))
    values = []
    for fold in (0, 1):
        metrics = rows(workflow.results / f"experiments/across/t1/fold-{fold}/seed-1/metrics.csv")
        by_patient = {}
        for each in metrics:
            if (each["grid"], each["class"]) == ("source", "background"):
                by_patient.setdefault(each["patient"], []).append([int(each[k]) for k in ("tp", "fp", "fn")])
        sums = [np.sum(counts, axis=0) for counts in by_patient.values()]
        values.append(np.mean([2 * tp / (2 * tp + fp + fn) for tp, fp, fn in sums]))
    assert float(row["dice"]) == pytest.approx(np.mean(values))
    assert float(row["dice sd"]) == pytest.approx(np.std(values, ddof=1))
    cross = {
        (r["experiment"], r["trained on"], r["tested on"]) for r in rows(workflow.results / "tables/cross_sequence.csv")
    }
    assert ("across", "t1", "t2_SPACE") in cross
    assert ("together", "all", "t1") in cross
    assert ("across", "t2_SPACE", "t1") not in cross
    # a third fold: its jobs alone
    settings["experiments"]["across"]["folds"] = [0, 1, 2]
    output = workflow("tables", *configured(workflow, tiny_config, settings), "--dry-run").stdout
    planned = {line.split(":")[1].strip() for line in output.splitlines() if line.strip().startswith("wildcards:")}
    assert planned
    assert all("fold=2" in line for line in planned), planned
