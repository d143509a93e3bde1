"""Predictions of other programs: found by name, put on the scan's grid, refused where they cannot be of it."""

import logging

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import ROOT
from test_plan import make

from lumbarflow import DataError, files, settings
from lumbarflow.data import labels, masks, phantom, predictions, schemes, writing

NAMES = ["1_t1", "2_t1"]
CLASSES = schemes.load("classes")


@pytest.fixture(scope="module")
def truth():
    """The classes of a phantom, and its grid."""
    _, mask, geometry = phantom.make_volume(1, 1, "t2")
    return labels.lut(mask), geometry


def test_files_of_any_format_and_a_sheet(tmp_path):
    for name in ("1_t1.nii.gz", "2_t1.mha", "dataset.json", "plans.pkl", "9_t1.mha", ".hidden"):
        (tmp_path / name).write_bytes(b"")
    found = predictions.find(tmp_path, NAMES)
    assert found == {"1_t1": str(tmp_path / "1_t1.nii.gz"), "2_t1": str(tmp_path / "2_t1.mha")}
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("volume;prediction\n2_t1;9_t1.mha\n007;1_t1.nii.gz\n")
    assert predictions.find(sheet, NAMES) == {"2_t1": str(tmp_path / "9_t1.mha")}
    sheet.write_text("volume,prediction\n2_t1,nowhere.mha\n")
    with pytest.raises(DataError, match=r"sheet\.csv, line 2: prediction .*nowhere\.mha': no such file"):
        predictions.find(sheet, NAMES)


def test_what_cannot_be_told_apart_or_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"here: .*absent: no such folder or sheet"):
        predictions.find(tmp_path / "absent", NAMES, "here")
    (tmp_path / "case_001.nii.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"no file is named as a volume .* such as 1_t1\.nii\.gz; found case_001"):
        predictions.find(tmp_path, NAMES)
    (tmp_path / "1_t1.nii.gz").write_bytes(b"")
    (tmp_path / "1_t1.mha").write_bytes(b"")
    with pytest.raises(DataError, match=r"volume 1_t1 is also predicted in .*1_t1\.mha; keep one"):
        predictions.find(tmp_path, NAMES)
    with pytest.raises(DataError, match="here: no prediction of 1 of 2 test volumes: 2_t1"):
        predictions.check(NAMES, ["1_t1"], "here")


def as_itk(classes, geometry):
    image = sitk.GetImageFromArray(writing.stored(classes, geometry))
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    return image


def test_the_scans_own_grid_however_it_is_stored(truth, tmp_path, caplog):
    classes, geometry = truth
    image = as_itk(classes, geometry)
    sitk.WriteImage(sitk.Cast(sitk.DICOMOrient(image, "RSP"), sitk.sitkFloat32), str(tmp_path / "other.nii.gz"))
    found = masks.read_on_grid(tmp_path / "other.nii.gz", CLASSES, geometry)
    np.testing.assert_array_equal(labels.lut(found.array), classes)
    assert found.geometry == geometry
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_another_grid_is_brought_to_the_scans_and_said(truth, tmp_path, caplog):
    """Oracle: ITK's own nearest neighbour, from a grid that is finer, turned by 5 degrees, and a little smaller."""
    classes, geometry = truth
    image = as_itk(classes, geometry)
    size = [int(n * mm / 1.3 * 0.9) for n, mm in zip(geometry.size, geometry.spacing, strict=True)]
    turn = sitk.Euler3DTransform(image.TransformContinuousIndexToPhysicalPoint([n / 2 for n in geometry.size]))
    turn.SetRotation(np.radians(5), 0, 0)
    moved = sitk.Resample(image, size, sitk.Transform(), sitk.sitkNearestNeighbor, image.GetOrigin(), [1.3] * 3)
    moved.SetDirection(np.array(turn.GetMatrix()).reshape(3, 3).ravel())
    sitk.WriteImage(moved, str(tmp_path / "moved.mha"))
    expected = sitk.Resample(moved, image, sitk.Transform(), sitk.sitkNearestNeighbor)
    found = masks.read_on_grid(tmp_path / "moved.mha", CLASSES, geometry)
    stored = writing.stored(labels.lut(found.array), geometry)
    assert np.mean(stored != sitk.GetArrayFromImage(expected)) < 1e-3  # ties between two voxels
    assert (stored > 0).any()
    assert "lies on another grid" in caplog.text


def test_exchanged_axes_another_place_and_probabilities_are_refused(truth, tmp_path):
    classes, geometry = truth
    image = sitk.GetImageFromArray(classes.transpose(0, 2, 1))
    sitk.WriteImage(image, str(tmp_path / "turned.mha"))
    with pytest.raises(DataError, match=r"turned\.mha: its size .* with axes exchanged"):
        masks.read_on_grid(tmp_path / "turned.mha", CLASSES, geometry)
    writing.write(tmp_path / "far.mha", classes, geometry.corrected(origin=(0, 300, 0)))
    with pytest.raises(DataError, match=r"far\.mha: covers \d+% of the scan"):
        masks.read_on_grid(tmp_path / "far.mha", CLASSES, geometry)
    writing.write(tmp_path / "soft.mha", classes * np.float32(0.4), geometry)
    with pytest.raises(DataError, match=r"soft\.mha: the mask holds values that are not whole numbers"):
        masks.read_on_grid(tmp_path / "soft.mha", CLASSES, geometry)
    writing.write(tmp_path / "nine.mha", classes * np.uint8(3), geometry)
    other = schemes.load("classes", key="config.experiments.x.labels_as")
    with pytest.raises(DataError, match=r"unknown labels .* name another one \(config\.experiments\.x\.labels_as\)"):
        masks.read_on_grid(tmp_path / "nine.mha", other, geometry)


RIVAL = {"predictions": "somewhere", "split_of": "sound"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"split_of": None}, "rival.split_of: is missing"),
        ({"split_of": "sund"}, r"rival\.split_of: experiment 'sund' is not defined; did you mean 'sound'"),
        ({"split_of": "released"}, "rival.split_of: released splits slices"),
        ({"program": True}, "rival: has predictions and program; keep one"),
        ({"training": {"epochs": 3}}, "rival.training: has no effect on predictions"),
        ({"predictions": None}, "rival.split_of: is for predictions of another program"),
    ],
)
def test_what_an_experiment_of_predictions_may_say(change, words):
    rival = {key: value for key, value in (RIVAL | change).items() if value is not None}
    config = settings.with_defaults(
        {"experiments": {"rival": rival}, "run": ["sound", "rival"]}, ROOT / "config/config.yaml"
    )
    with pytest.raises(DataError, match=words):
        settings.load(config, ROOT / "workflow/schemas")


def test_a_split_is_taken_from_any_experiment():
    """From one that chooses on its test set, one with a network of the user's own, and one of predictions."""
    experiments = {
        "leaky": {"base": "released", "split": {"kind": "patient", "n_folds": 6}},
        "mine": {"base": "sound", "network": {"name": "mynet:build", "options": {"depth": 3}}},
        "other": {"split_of": "sound", "program": True, "labels_as": "classes"},
    }
    for name in list(experiments):
        experiments[f"of_{name}"] = {"split_of": name, "program": True}
    config = settings.with_defaults(
        {"experiments": experiments, "run": ["sound", *experiments]}, ROOT / "config/config.yaml"
    )
    loaded = settings.load(config, ROOT / "workflow/schemas")
    assert loaded["of_leaky"]["split"] == loaded["leaky"]["split"]
    assert "labels_as" not in loaded["of_other"]
    config["experiments"]["user"] = {"base": "sound", "networks_of": "other"}
    config["run"].append("user")
    with pytest.raises(DataError, match=r"user\.networks_of: 'other' trains no networks of its own; name one that"):
        settings.load(config, ROOT / "workflow/schemas")


def test_nnunet_needs_the_validation_patients_of_its_split():
    program = {"configuration": "2d", "epochs": 1, "iterations": 1, "batch_size": 0}
    rival = {"split_of": "sound", "nnunet": program}
    leaky = {"base": "released", "split": {"kind": "patient", "n_folds": 6}}
    experiments = {"sound": {"split": {"validation": "none"}}, "rival": rival, "leaky": leaky}
    config = settings.with_defaults({"experiments": experiments}, ROOT / "config/config.yaml")
    config["run"] = ["sound", "rival"]
    with pytest.raises(DataError, match=r"rival\.split\.validation: nnU-Net needs validation patients; let split_of"):
        settings.load(config, ROOT / "workflow/schemas")
    config["experiments"]["rival"] = {**rival, "split_of": "leaky"}
    with pytest.raises(DataError, match=r"rival\.split\.validation: nnU-Net needs validation patients"):
        settings.load(config, ROOT / "workflow/schemas")
    config["experiments"]["rival"] = rival
    config["experiments"]["sound"]["split"]["validation"] = "own"
    settings.load(config, ROOT / "workflow/schemas")


def test_the_plan_has_its_test_volumes_and_no_network(tmp_path):
    config = {
        "sequences": ["t1", "t2"],
        "experiments": {
            "sound": {"seeds": [1, 2], "folds": [0, 1]},
            "rival": {"predictions": str(tmp_path), "split_of": "sound", "labels_as": "classes"},
        },
        "run": ["sound", "rival"],
    }
    (tmp_path / "1_t1.mha").write_bytes(b"")
    with pytest.raises(DataError, match=r"rival\.predictions: no prediction of (3 of 4|4 of 4) test volumes: \d+_t1, "):
        make(config)
    for number in range(1, 13):
        (tmp_path / f"{number}_t1.mha").write_bytes(b"")
    plan = make(config)
    runs = plan.runs_of("rival")
    assert [(run.sequence, run.fold, run.seed) for run in runs] == [("t1", 0, 1), ("t1", 1, 1)]  # none of t2
    assert {run.experiment for run in plan.learnt} == {"sound"}
    assert {name for name, _ in plan.packages} == {"sound"}
    scored = [plan.predictions_of(**vars(run)) for run in runs]
    assert [len(each) for each in scored] == [2, 2]
    assert not scored[0].keys() & scored[1].keys()
    assert plan.prediction_files(**vars(runs[0])) == list(scored[0].values())
    assert plan.predicted_as["rival"]["name"] == "classes"
    config["experiments"]["rival"] = {"program": True, "split_of": "sound"}
    assert make(config).prediction_files(**vars(runs[1])) == ["results/programs/rival/t1/fold-1"]


def test_a_predicted_volume_that_was_deleted_or_replaced_is_missed(tmp_path):
    """Not taken for a prediction of nothing, nor for one of a split of slices."""
    table = tmp_path / "predictions.csv"
    rows = [{"volume": name, "volume_sha256": files.sha256(b"")} for name in ("a", "a", "a-b")]
    files.write_csv(table, [*rows, {"volume": "slices", "volume_sha256": ""}], ("volume", "volume_sha256"))
    (tmp_path / "volumes").mkdir()
    (tmp_path / "volumes/a-b.mha").touch()
    with pytest.raises(DataError, match=r"volumes/a\.mha: is missing; delete \S*predictions\.csv and run again"):
        predictions.whole(table)
    (tmp_path / "volumes/a.mha").touch()
    assert [path.name for path in predictions.whole(table)] == ["a-b.mha", "a.mha"]
    (tmp_path / "volumes/a.mha").write_bytes(b"another")
    with pytest.raises(
        DataError, match=r"volumes/a\.mha: is not the file its table describes; delete \S*s\.csv and run"
    ):
        predictions.whole(table)
