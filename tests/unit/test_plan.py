"""What is to be run, from a config alone."""

from dataclasses import asdict

import pytest
from conftest import ROOT

from lumbarflow import DataError, settings
from lumbarflow.plan import CrossRun, Manifest, Masks, Plan, Run, find_volumes

SCHEMAS = ROOT / "workflow/schemas"


def make(change, targets=()):
    return Plan.make(settings.with_defaults(change, ROOT / "config/config.yaml"), SCHEMAS, targets)


def test_the_demo():
    plan = make({})
    assert plan.sequences == ["t1", "t2", "t2_SPACE"]
    assert len(plan.volumes) == 36
    assert plan.runs == [Run(e, s, 0, 1) for e in ("released", "sound") for s in ("t1", "t2", "t2_SPACE")]
    assert plan.cross_runs == []
    assert plan.masks[0] == Masks("released", "apta", "t1")
    assert plan.repairs == plan.masks[:3]
    assert plan.manifests[Manifest("sound", "lut", "t2", "labelled")] == ["sound"]
    assert plan.patients["12"] == ["t1", "t2", "t2_SPACE"]
    assert (plan.makes_phantom, plan.has_overview, plan.overview) == (True, True, "results/phantom/overview.csv")


def test_folds_seeds_and_sequences_multiply():
    experiments = {
        "together": {"base": "sound", "train_on": "all", "folds": [0, 1]},
        "across": {"base": "sound", "cross_test": ["t2"], "seeds": [1, 2]},
    }
    plan = make({"experiments": experiments, "run": ["together", "across"], "sequences": ["t1", "t2"]})
    assert plan.runs[:2] == [Run("together", "all", 0, 1), Run("together", "all", 1, 1)]
    assert len(plan.runs) == 2 + 2 * 2
    # a network on t2 is no stranger to t2, one on all sequences to none
    assert plan.cross_runs == [CrossRun("across", "t1", 0, seed, "t2") for seed in (1, 2)]
    assert asdict(plan.cross_runs[0])["tested"] == "t2"
    assert plan.trained_on == {"t1": ["t1"], "t2": ["t2"], "all": ["t1", "t2"]}
    assert len(plan.volumes_of("all")) == 2 * len(plan.volumes_of("t1")) == 24
    assert plan.manifests == {Manifest("sound", "lut", s, "labelled"): ["together", "across"] for s in ("t1", "t2")}


def test_no_exact_labels_no_costs_of_a_repair():
    labels = {"lut": {"method": "apta"}}
    plan = make({"labels": labels, "run": ["released"]})
    assert plan.exact_labels is None
    assert plan.repairs == []


def test_a_dataset_that_is_being_downloaded_has_no_volumes_yet(tmp_path):
    change = {
        "root": str(tmp_path / "absent"),
        "download": {"address": "https://example.org", "files": {"a.zip": "0" * 32}},
    }
    for target in ("download", "lumbar_download", "results/download.txt"):
        assert make(change, [target]).volumes == {}
    for targets in ((), ["all"], ["download/of/mine.csv"]):
        with pytest.raises(DataError, match="no such folder"):
            make(change, targets)


def test_an_override_of_no_volume_is_named():
    with pytest.raises(DataError, match=r"config\.overrides: there is no volume '1_t3'; did you mean '1_t2'"):
        make({"overrides": {"1_t3": {"orientation": "LPS"}}})


def test_what_volumes_read_is_told():
    plan = make({"overrides": {"1_t2": {"orientation": "PIR"}}})
    path = "results/phantom/masks/1_t2.mha"
    assert plan.sources["1_t2"]["stored"]["mask"] == {"path": path, "override": {"orientation": "PIR"}}
    assert plan.sources["1_t2"]["files"]["mask"] == [path]
    assert plan.sources["1_t1"]["stored"]["image"]["override"] is None


def test_no_folder_is_an_error():
    with pytest.raises(DataError, match=r"config\.root: no dataset folder given; add `--config root=FOLDER`"):
        find_volumes(settings.with_defaults({"root": ""}, ROOT / "config/config.yaml"))
