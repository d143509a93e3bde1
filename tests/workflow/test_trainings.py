"""Trainings of the real workflow: killed and gone on with, on all sequences, on several folds."""

import contextlib
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import configured, rows

from lumbarflow import files
from lumbarflow.learning import prediction


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


RUN = "results/experiments/sound/t1/fold-0/seed-1"


@pytest.fixture
def prepared(tiny_run, tmp_path_factory):
    """The tiny run with one network taken away: all that a training needs is there."""
    workflow = tiny_run.copy(tmp_path_factory.mktemp("prepared"))
    for name in ("model.keras", "history.csv", "model.json"):
        (workflow.folder / RUN / name).unlink()
    return workflow


def states(workflow):
    """{state of a training that was not finished: when it was written}; none that is still being written."""
    found = {}
    for path in workflow.results.rglob("[!.]*.npz"):
        with contextlib.suppress(FileNotFoundError):  # a training of other settings has just deleted it
            found[path] = path.stat().st_mtime_ns
    return found


def log_of_training(workflow):
    (path,) = workflow.results.glob("logs/train/**/sound/t1/**/*.log")
    return path.read_text(encoding="utf-8")


def check_log(workflow, resumed):
    log = log_of_training(workflow)
    assert ("of a training that was cut off" in log) == resumed
    assert "cannot be resumed" not in log


def killed_at_work(workflow, arguments, victim):
    """Start a training as a user does, and SIGKILL its job or everything once it has saved an epoch of its own."""
    before = states(workflow)
    running = workflow.start(*arguments, start_new_session=True)
    deadline = time.monotonic() + 600
    while not states(workflow).items() - before.items():
        assert running.poll() is None, running.communicate()[0][-3000:]
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
    assert running.returncode != 0
    assert states(workflow)
    assert not (workflow.folder / RUN / "model.keras").exists()


def check_same_training(workflow, other):
    folder, known = workflow.folder / RUN, other.folder / RUN
    for name in ("history.csv", "model.json"):
        assert (folder / name).read_bytes() == (known / name).read_bytes()
    models = [prediction.load(each / "model.keras") for each in (folder, known)]
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(a, b)


LONGER = {"training": {"epochs": 6}}  # a second or more each


def test_a_killed_training_goes_on(prepared, tiny_config, tmp_path_factory):
    """SIGKILL in the middle of a training, three times: of a job with other settings, whose state is ignored; of the
    job, then of everything.

    The plain rerun ends in the weights and history of an undisturbed one.
    """
    other = configured(prepared, tiny_config, {"experiments": {"sound": LONGER | {"loss": {"gamma": 0.4}}}})
    killed_at_work(prepared, (f"{RUN}/model.keras", *other), "job")
    arguments = (f"{RUN}/model.keras", *configured(prepared, tiny_config, {"experiments": {"sound": LONGER}}))
    undisturbed = prepared.copy(tmp_path_factory.mktemp("undisturbed"))
    undisturbed(*arguments)
    assert not states(undisturbed)
    check_log(undisturbed, resumed=False)
    killed_at_work(prepared, arguments, "job")
    check_log(prepared, resumed=False)
    killed_at_work(prepared, arguments, "everything")
    prepared("--unlock", *arguments)
    prepared(*arguments)
    check_log(prepared, resumed=True)
    assert not states(prepared)
    check_same_training(prepared, undisturbed)


def test_a_model_says_how_it_came_about(tiny_run):
    folder = tiny_run.results / "experiments/sound/t1/fold-0/seed-1"
    about = files.read_json(folder / "model.json")
    assert about["inputs"] == {"split.csv": files.sha256((folder / "split.csv").read_bytes())}
    half = "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    assert (about["device"], about["seed"]) == ("cpu", 1)
    assert about["precision"] == ("mixed_bfloat16" if half else "float32")
    released = files.read_json(tiny_run.results / "experiments/released/t1/fold-0/seed-1/model.json")
    assert released["precision"] == "float32"  # on any device
    assert about["slices"]["window"] == "volume"  # a new scan must be cut in the same way
    assert {"python", "keras", "tensorflow", "numpy", "backend"} <= set(about["versions"])
    history = rows(folder / "history.csv")
    assert [row["test_accuracy"] for row in history[:-1]] == [""] * (len(history) - 1)
    assert float(history[-1]["test_accuracy"]) == pytest.approx(about["test"]["accuracy"])
    log = log_of_training(tiny_run)
    for words in ("images/s", "peak memory", "tensorflow on cpu", "lumbarflow 0.1.0"):
        assert words in log


def test_all_sequences_together_across_and_on_several_folds(tiny_run, tiny_config, workflow):
    """What the tiny run has trained already, `sound`, is taken from it."""
    tiny_run.copy(workflow.folder)
    settings = {
        "experiments": {
            "together": {
                **{
                    "base": "sound",
                    "train_on": "all",
                    "network": {"name": "unet", "neighbours": 1, "options": {"width": 4}},
                },
                **{"loss": {"name": "cross_entropy"}, "folds": [0, 1]},
            },
            "sound": {"cross_test": ["t2_SPACE"]},
            "again": {
                "base": "together",
                "networks_of": "together",
                "evaluation": {"aggregation": "pooled", "elements": "area"},
            },
        },
        "run": ["together", "again", "sound"],
    }
    arguments = configured(workflow, tiny_config, settings)
    workflow("tables", *arguments)
    summary = {(r["experiment"], r["sequence"]): r for r in rows(workflow.results / "tables/summary.csv")}
    assert set(summary) == {(e, s) for e in ("together", "again", "sound") for s in ("t1", "t2_SPACE")}
    assert {r["trained on"] for (e, _), r in summary.items() if e != "sound"} == {"all"}
    assert summary["together", "t1"]["network"] == "unet"
    assert summary["together", "t1"]["trainings"] == "2"
    split = rows(workflow.results / "experiments/together/all/fold-0/seed-1/split.csv")
    sides = {}
    for row in split:
        if row["subset"] != "none":
            sides.setdefault(row["patient"], set()).add(row["subset"])
    assert {row["sequence"] for row in split} == {"t1", "t2_SPACE"}
    assert all(len(subsets) == 1 for subsets in sides.values())
    # the same networks measured otherwise: not trained again, the same by the yardstick, other numbers of their own
    assert not list((workflow.results / "experiments/again").rglob("model.keras"))
    values = {}
    for row in rows(workflow.results / "tables/intervals.csv"):
        values.setdefault((row["experiment"], row["measured"]), {})[row["sequence"], row["class"], row["metric"]] = row
    for measured, same in (("yardstick", True), ("as reported", False)):
        one, other = ({k: r["value"] for k, r in values[e, measured].items()} for e in ("together", "again"))
        assert (one == other) == same
    # mean and standard deviation over two folds, once more from the folds themselves
    table = [r for r in rows(workflow.results / "tables/table2.csv") if r["experiment"] == "together"]
    row = next(r for r in table if (r["sequence"], r["class"]) == ("t1", "background"))
    values = []
    for fold in (0, 1):
        metrics = rows(workflow.results / f"experiments/together/all/fold-{fold}/seed-1/metrics.csv")
        by_patient = {}
        for each in metrics:
            if (each["sequence"], each["grid"], each["class"]) == ("t1", "source", "background"):
                by_patient.setdefault(each["patient"], []).append([int(each[k]) for k in ("tp", "fp", "fn")])
        sums = [np.sum(counts, axis=0) for counts in by_patient.values()]
        values.append(np.mean([2 * tp / (2 * tp + fp + fn) for tp, fp, fn in sums]))
    assert float(row["dice"]) == pytest.approx(np.mean(values))
    assert float(row["dice sd"]) == pytest.approx(np.std(values, ddof=1))
    cross = {
        (r["experiment"], r["trained on"], r["tested on"]) for r in rows(workflow.results / "tables/cross_sequence.csv")
    }
    assert ("sound", "t1", "t2_SPACE") in cross
    assert ("together", "all", "t1") in cross
    assert ("sound", "t2_SPACE", "t1") not in cross
    run = workflow.results / "experiments/sound/t1/fold-0/seed-1"  # decided on its own validation patients
    assert files.read_json(run / "across/t2_SPACE/decision.json") == files.read_json(run / "decision.json")
    # a third fold: its jobs alone
    settings["experiments"]["together"]["folds"] = [0, 1, 2]
    output = workflow("tables", *configured(workflow, tiny_config, settings), "--dry-run").stdout
    planned = {line.split(":")[1].strip() for line in output.splitlines() if line.strip().startswith("wildcards:")}
    assert planned
    assert all("fold=2" in line for line in planned), planned
