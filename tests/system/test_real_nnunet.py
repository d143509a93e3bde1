"""nnU-Net, the real one, as an experiment: a short training on the tiny phantom, killed and gone on with."""

import json

import numpy as np
import pytest
import yaml
from conftest import ROOT, jobs, rows
from processes import kill_snakemake, wait_for

from lumbarflow.data import labels, masks, volumes

pytestmark = pytest.mark.system
LOG = "results/logs/nnunet_train/rival/t1/fold-0.log"


@pytest.fixture
def asked(tiny_run, tiny_config, tmp_path):
    """The tiny run, and a config that adds nnU-Net to it."""
    assert (ROOT / ".venv-nnunet/bin/nnUNetv2_train").exists(), "make install ENV=nnunet"
    settings = {"configuration": "2d", "epochs": 2, "iterations": 2, "batch_size": 2}
    config = tmp_path / "rival.yaml"
    experiments = {"rival": {"split_of": "sound", "nnunet": settings}}
    config.write_text(yaml.safe_dump({"experiments": experiments, "run": ["sound", "rival"], "sequences": ["t1"]}))
    return tiny_run.copy(tmp_path / "run"), ("--configfile", tiny_config, config)


def test_it_is_trained_and_scored_on_the_same_patients(asked):
    run, config = asked
    log = run.folder / LOG
    process = run.start("tables", *config)
    assert wait_for(lambda: log.is_file() and "Epoch 1" in log.read_text(encoding="utf-8"), process)
    kill_snakemake(process)  # asserts that nnU-Net ends with it
    run("tables", *config, "--unlock")
    done = run("tables", *config).stdout
    ran = set(jobs(done))
    assert {"nnunet_train", "nnunet_predict", "import_predictions", "evaluate", "make_tables"} <= ran
    assert not {"nnunet_dataset", "nnunet_plan", "train"} & ran
    text = log.read_text(encoding="utf-8")
    assert "Epoch 1" in text
    assert "Epoch 0" not in text  # it went on
    # its folds are ours, and its dataset has our classes and greys
    raw = run.results / "nnunet/rival/t1/raw"
    (fold,) = json.loads((raw / "splits_final.json").read_text())
    split = rows(run.results / "experiments/sound/t1/fold-0/seed-1/split.csv")
    subsets = {row["volume"]: row["subset"] for row in split if row["subset"] != "none"}
    assert fold == {
        "train": [name for name, subset in subsets.items() if subset == "train"],
        "val": [name for name, subset in subsets.items() if subset == "validation"],
    }
    (tested,) = (name for name, subset in subsets.items() if subset == "test")
    dataset = raw / "Dataset001_lumbar"
    assert {path.name for path in dataset.glob("imagesTs/*")} == {f"{tested}_0000.nii.gz"}
    for name in subsets:
        kind = "Ts" if name == tested else "Tr"
        for ours, theirs in (("images", f"images{kind}/{name}_0000"), ("masks", f"labels{kind}/{name}")):
            stored = run.results / "phantom" / ours / f"{name}.mha"
            expected = volumes.read(stored).array if ours == "images" else labels.lut(masks.read(stored).array)
            np.testing.assert_array_equal(volumes.read(dataset / f"{theirs}.nii.gz").array, expected)
    # on the same slices as our own, and hardly anything learnt in two steps
    scored = {}
    for row in rows(run.results / "tables/intervals.csv"):
        if (row["measured"], row["metric"]) == ("yardstick", "dice"):
            scored.setdefault(row["experiment"], []).append(float(row["value"]))
    assert len(scored["rival"]) == len(scored["sound"]) == 4
    assert all(0 <= value < 1 for value in scored["rival"])
    summary = {row["experiment"]: row for row in rows(run.results / "tables/summary.csv")}
    assert summary["rival"]["test images"] == summary["sound"]["test images"]
    assert "Nothing to be done" in run("tables", *config).stdout
