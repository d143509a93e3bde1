"""What is to be run, from a config alone."""

import json
import os
import re
import time
from dataclasses import asdict

import pytest
from conftest import ROOT

from lumbarflow import DataError, settings
from lumbarflow.data import dataset
from lumbarflow.plan import DOWNLOADING, LISTING, SCANNING, SPECIAL, CrossRun, Manifest, Masks, Plan, Run, find_volumes

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


RULE = re.compile(r"^ *(?:rule (\w+)|use rule \w+ as (\w+) with):$", re.M)
RULES = [a or b for path in (ROOT / "workflow/rules").glob("*.smk") for a, b in RULE.findall(path.read_text("utf-8"))]
NO_DATASET = {"download", "sheet", "segment", "segment_scan", "scan_summary", "phantom_scans", "check_model"}


def test_a_job_of_a_cluster_which_has_its_rule_as_target_has_the_plan_of_the_call():
    """Its jobs have no input otherwise, or need a dataset that the call did not."""
    assert set(RULES) > NO_DATASET
    config = {"scans": "phantom", "run": ["sound"]}
    for prefix in ("", "lumbar_"):  # of a module
        special = {rule for rule in RULES for kind in (DOWNLOADING, LISTING, SCANNING) if kind.search(prefix + rule)}
        assert special == NO_DATASET
        assert all(SPECIAL.search(f"{prefix}{rule}:scan=new-1") for rule in special)
    for rule in ("contact_sheet", "segment_scan", "train"):
        assert bool(make(config, {rule}).volumes) == (rule not in NO_DATASET)


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


def test_folds_stand_in_order():
    """nnU-Net counts them by their place in a file that another order would not make anew."""
    plan = make({"run": ["sound"], "experiments": {"sound": {"folds": [1, 0]}}})
    assert [run.fold for run in plan.runs[:2]] == [0, 1]


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
    stored = plan.sources["1_t2"]["stored"]
    assert stored["mask"] == {"path": path, "override": {"orientation": "PIR"}, "image": stored["image"]}
    # both are read for it, so that another image makes the mask anew
    assert plan.sources["1_t2"]["files"]["mask"] == [path, stored["image"]["path"]]
    assert plan.sources["1_t1"]["stored"]["image"]["override"] is None


def test_volumes_without_a_mask_are_looked_at_only(tmp_path):
    for kind, names in (("images", ("1_t1", "2_t1", "3_t1", "1_stir")), ("masks", ("1_t1", "2_t1"))):
        (tmp_path / kind).mkdir()
        for name in names:
            (tmp_path / kind / f"{name}.mha").touch()
    change = {"root": str(tmp_path), "sequences": ["t1", "stir"], "run": ["released"]}
    plan = make(change)
    assert (list(plan.volumes), list(plan.unlabelled)) == (["1_t1", "2_t1"], ["1_stir", "3_t1"])
    assert plan.sequences == ["t1"]
    assert plan.pictured("t1") == ["1_t1", "2_t1", "3_t1"]
    assert [each.sequence for each in plan.sheets] == ["t1", "stir"]
    assert plan.sources["3_t1"]["files"]["mask"] == []
    for mask in (tmp_path / "masks").iterdir():
        mask.unlink()
    with pytest.raises(DataError, match="none of its 4 images has a mask"):
        make(change)


def test_a_list_of_series_needs_no_dataset(tmp_path):
    for target in ("sheet", "lumbar_sheet", "results/sheet.csv"):
        assert make({"root": str(tmp_path / "bids")}, [target]).volumes == {}


def test_no_folder_is_an_error():
    with pytest.raises(DataError, match=r"config\.root: no dataset folder given; add `--config root=FOLDER`"):
        find_volumes(settings.with_defaults({"root": ""}, ROOT / "config/config.yaml"))


def test_sequences_of_any_name(tmp_path):
    """In the order of the config; what it does not name is left out and said, none at all is refused with a remedy."""
    lines = ["volume;patient;sequence;image;mask"]
    for patient in range(6):
        for sequence in ("STIR", "t1"):
            lines.append(f"{patient}-{sequence};{patient};{sequence};{patient}{sequence}.nii;{patient}.nii")
            (tmp_path / f"{patient}{sequence}.nii").touch()
        (tmp_path / f"{patient}.nii").touch()
    (tmp_path / "sheet.csv").write_text("\n".join(lines), encoding="utf-8")
    sheet = {"sheet": str(tmp_path / "sheet.csv"), "run": ["sound"]}
    plan = make({**sheet, "sequences": ["STIR"]})
    assert (plan.sequences, plan.left_out, plan.headline) == (["STIR"], ["t1"], "STIR")
    assert make({**sheet, "sequences": ["t1", "STIR"]}).sequences == ["t1", "STIR"]
    with pytest.raises(DataError, match=r"holds no volume of t2; it holds STIR, t1: add 'sequences=\[STIR, t1\]' to"):
        make({**sheet, "sequences": ["t2"]})
    with pytest.raises(DataError, match=r"config\.sequences: the phantom has no sequence 'STIR'"):
        make({"sequences": ["STIR"]})
    with pytest.raises(DataError, match=r"sound\.cross_test: 't2' is not among config\.sequences \(t1\)"):
        make({"sequences": ["t1"], "experiments": {"sound": {"cross_test": ["t2"]}}})
    with pytest.raises(DataError, match=r"config\.sequences: 't1' stands there twice"):
        make({"sequences": ["t1", "T1"]})


def test_a_label_scheme_reaches_the_masks(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for patient in range(6):
            (tmp_path / f"{kind}/{patient}_t1.nii").touch()
    own = {"root": str(tmp_path), "run": ["sound"]}
    stored = make({**own, "scheme": "classes"}).sources["0_t1"]["stored"]
    assert stored["mask"]["scheme"]["ivd"] == [[3, 3]]
    assert "scheme" not in stored["image"]
    assert "scheme" not in make(own).sources["0_t1"]["stored"]["mask"]
    assert make({**own, "unknown_labels": "background"}).scheme["unknown"] == "background"
    with pytest.raises(DataError, match=r"config\.scheme: the phantom's labels are SPIDER's, not 'classes'"):
        make({"scheme": "classes"})
    with pytest.raises(DataError, match=r"config\.scheme: there is no label scheme 'spiders'; did you mean 'spider'"):
        make({**own, "scheme": "spiders"})


def test_who_trains():
    plan = make({"run": ["lut", "honest"], "sequences": ["t2"]})
    assert plan.runs == [Run(name, "t2", 0, 1) for name in ("lut", "honest")]
    assert plan.trainings == plan.runs[:1]
    assert (plan.trains("honest"), plan.trains("lut")) == ("lut", "lut")


def test_fewer_patients_than_the_split_needs(tmp_path):
    few = {"phantom": {"patients": 4}, "run": ["sound"]}
    with pytest.raises(DataError, match=r"config\.experiments\.sound\.split: .*fold 5 of t1 no patient for test"):
        make({**few, "experiments": {"sound": {"folds": [5]}}})
    with pytest.raises(DataError, match=r"n_folds 6 leaves fold 3 of t1 no patient for validation; it has 4"):
        make({**few, "experiments": {"sound": {"folds": [3]}}})
    assert make({**few, "experiments": {"sound": {"folds": [2]}}}).runs
    # one sequence may have too few, though the dataset has enough
    lines = ["volume,patient,sequence,image,mask,subset"]
    for patient in range(6):
        for sequence in ("t1", "t2") if patient < 1 else ("t2",):
            volume, subset = f"{patient}_{sequence}", "validation" if patient < 2 else "training"
            lines.append(f"{volume},{patient},{sequence},{volume}.mha,{volume}_mask.mha,{subset}")
            for ending in (".mha", "_mask.mha"):
                (tmp_path / f"{volume}{ending}").touch()
    (tmp_path / "sheet.csv").write_text("\n".join(lines), encoding="utf-8")
    sheet = {"sheet": str(tmp_path / "sheet.csv"), "run": ["sound"]}
    with pytest.raises(DataError, match=r"of t1 no patient for .*; it has 1; lower n_folds"):
        make({**sheet, "experiments": {"sound": {"split": {"n_folds": 3}}}})
    official = {"split": {"kind": "official", "n_folds": 2}}
    assert make({**sheet, "sequences": ["t2"], "experiments": {"sound": official}}).runs
    with pytest.raises(DataError, match=r"kind official with n_folds 2 .*of t1 no patient for train and validation"):
        make({**sheet, "sequences": ["t1"], "experiments": {"sound": official}})


def test_a_misspelt_function_or_option_of_ones_own_is_told_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("import absent_package\ndef build(image_size, classes, depth): ...\n")

    def ask(name, **options):
        own = {"base": "sound", "network": {"name": name, "options": options}}
        return make({"experiments": {"own": own}, "run": ["sound", "own"]})

    assert ask("mine:build", depth=2).experiments["own"]["network"]["options"] == {"depth": 2}
    with pytest.raises(DataError, match=r"config\.experiments\.own\.network: module mine has no function 'biuld'"):
        ask("mine:biuld")
    with pytest.raises(DataError, match=r"config\.experiments\.own\.network: 'dept' is no option of mine:build"):
        ask("mine:build", dept=2)
    with pytest.raises(DataError, match=r"config\.labels\.lut: module mine has no function 'stamp'"):
        make({"labels": {"lut": {"method": "mine:stamp"}}})


def test_a_training_on_everyone_has_no_validation_to_wait_for():
    change = {"package": {"networks": "everyone"}, "experiments": {"sound": {"training": {"schedule": "plateau"}}}}
    with pytest.raises(DataError, match=r"schedule plateau of config\.experiments\.sound\.training needs"):
        make(change)
    assert make({**change, "package": {"networks": "folds"}}).packages


@pytest.mark.parametrize("target", ["package", "export_nnunet", "results/models/released/t2.zip"])
def test_there_is_something_to_pack(target):
    with pytest.raises(DataError, match=rf"^{target}: cannot be made: .* split by patients of none; name"):
        make({"run": ["released"]}, ["tables", target])
    with pytest.raises(DataError, match="call it by itself"):
        make({}, ["sheet", target])
    make({"run": ["released", "sound"], "sequences": ["t2"]}, ["results/models/sound/t2.zip"])


@pytest.mark.parametrize("late", ["1_t2.mha", "study/2.dcm", "model.zip"])
def test_a_file_from_the_future_is_told(tmp_path, late):
    """Snakemake would delete what is made of it."""
    for name in ("1_t2.mha", "study/2.dcm", "model.zip"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sheet.csv").write_text("volume,image\na,1_t2.mha\nb,study\n")
    asked = {"scans": str(tmp_path / "sheet.csv"), "model": str(tmp_path / "model.zip")}
    assert len(make(asked, ["segment"]).scans) == 2
    os.utime(tmp_path / late, (time.time() + 7200,) * 2)
    with pytest.raises(DataError, match=rf"{late}: its time lies 120 minutes in the future"):
        make(asked, ["segment"])


def test_a_result_that_is_of_another_file_is_told(tmp_path):
    earlier = tmp_path / "earlier.nii.gz"
    earlier.write_bytes(b"xxxxx")
    told = {"bytes": 5, "sha256": dataset.digest([str(earlier)])}
    (tmp_path / "in").mkdir()
    for name, content in {
        "same": b"xxxxx",
        "longer": b"xxxxxxx",
        "other": b"yyyyy",
        "failed": b"z",
        "new": b"z",
    }.items():
        (tmp_path / f"in/{name}.nii.gz").write_bytes(content)
        if name != "new":
            (tmp_path / f"out/{name}").mkdir(parents=True)
            report = {"failed": "no voxels"} if name == "failed" else told
            (tmp_path / f"out/{name}/segmentation.json").write_text(json.dumps(report))
    planned = make({"scans": str(tmp_path / "in")}, ["segment"])
    assert planned.replaced(str(tmp_path / "out")) == ["longer", "other"]
