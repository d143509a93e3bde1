"""Predictions of other programs go the way of our own networks', and nothing is said of what they have not."""

import re

import numpy as np
import pytest
import SimpleITK as sitk
import yaml
from conftest import jobs, rows

from lumbarflow.data import labels, volumes, writing


@pytest.fixture
def finished(tiny_run, tmp_path):
    return tiny_run.copy(tmp_path / "run")


def predict(run, folder, sequences):
    """The truth of all volumes as classes in NIfTI, and with its structures on another grid."""
    for name in ("classes", "structures"):
        (folder / name).mkdir(parents=True)
    for path in sorted((run.results / "phantom/masks").glob("*.mha")):
        if path.stem.partition("_")[2] in sequences:
            truth = volumes.read(path)
            writing.write(folder / "classes" / f"{path.stem}.nii.gz", labels.lut(truth.array), truth.geometry)
            mask = sitk.ReadImage(str(path))
            size = [n + 4 for n in mask.GetSize()]
            start = mask.TransformIndexToPhysicalPoint((-2, -2, -2))
            larger = (sitk.Transform(), sitk.sitkNearestNeighbor, start, mask.GetSpacing(), mask.GetDirection())
            sitk.WriteImage(sitk.Resample(mask, size, *larger), str(folder / "structures" / path.name))


def test_they_are_scored_like_our_own(finished, tiny_config, tmp_path):
    predict(finished, tmp_path / "other", ["t1"])
    experiments = {
        "flat": {"predictions": str(tmp_path / "other/classes"), "labels_as": "classes", "split_of": "sound"},
        "told": {"predictions": str(tmp_path / "other/structures"), "split_of": "sound", "folds": [0, 1]},
    }
    config = tmp_path / "rivals.yaml"
    config.write_text(yaml.safe_dump({"experiments": experiments, "run": ["sound", "flat", "told"]}))
    overlays = "results/figures/flat/t1/fold-0/seed-1/overlays.png"
    arguments = ("tables", overlays, "--configfile", tiny_config, config)
    done = finished(*arguments).stdout
    assert "Experiment flat: no predictions of sequence t2_SPACE; left out" in done
    assert "lies on another grid" in done
    ran = set(jobs(done))
    assert ran >= {"import_predictions", "evaluate", "make_tables", "compare", "draw_imported"}
    assert not ran & {"train", "predict", "leakage", "structures"}
    tables = finished.results / "tables"
    summary = {row["experiment"]: row for row in rows(tables / "summary.csv") if row["sequence"] == "t1"}
    assert list(summary) == ["sound", "flat", "told"]
    assert summary["flat"]["trained on"] == "not known: leaks cannot be excluded"
    assert (summary["flat"]["training images"], summary["flat"]["network"]) == ("", "another program")
    assert (summary["flat"]["test patients"], summary["told"]["test patients"]) == ("1", "2")  # as many as folds
    for row in rows(tables / "table2.csv"):
        if row["experiment"] in experiments:
            assert (float(row["dice"]), float(row["asd"]), row["missed"]) == (1, 0, "0"), row
    systems = [row for row in rows(tables / "table3.csv") if row["system"] in ("flat, t1", "told, t1")]
    assert {row["score"] for row in systems} == {"", "official", "corrected", "strict"}
    for row in systems:
        assert float(row["value"]) == (0 if row["metric"] == "asd" else 1), row
    assert not [row for row in rows(tables / "leakage.csv") if row["experiment"] in experiments]
    # instances that were told apart are kept, those of classes are told apart here
    told, flat = (finished.results / f"experiments/{name}/t1/fold-0/seed-1/structures" for name in ("told", "flat"))
    (path,) = told.glob("*.mha")
    truth = volumes.read(finished.results / "phantom/masks" / path.name).array
    np.testing.assert_array_equal(volumes.read(path).array, truth)
    np.testing.assert_array_equal(np.unique(volumes.read(flat / path.name).array), np.unique(truth))
    assert "Nothing to be done" in finished(*arguments).stdout
    rivals = {row["experiment"]: row for row in rows(tables / "rivals.csv") if row["sequence"] in ("t1", "published")}
    assert list(rivals) == ["sound", "flat", "told", "nnU-Net", "IIS"]
    assert {rivals["flat"][name] for name in ("Dice", "official ivd", "found")} == {"1"}
    finished("rivals_cost", *arguments[2:])
    costs = {row["experiment"]: row for row in rows(tables / "rivals_cost.csv") if row["sequence"] == "t1"}
    assert list(costs) == ["sound", "flat", "told"]
    assert float(costs["sound"]["minutes a training"]) > 0
    assert float(costs["sound"]["parameters"]) > 1000
    assert float(costs["sound"]["seconds a volume"]) > 0
    assert costs["told"]["seconds a volume"] == ""


def test_alone_and_in_another_place(finished, tiny_config, tmp_path):
    """Without any network of ours; and predictions that cannot be of these scans are noticed."""
    predict(finished, tmp_path / "other", ["t1"])
    folder = tmp_path / "other/classes"
    for path in folder.iterdir():  # the spine in front of its place
        found = volumes.read(path)
        writing.write(path, np.roll(found.array, found.array.shape[2] // 2, axis=2), found.geometry)
    experiments = {"other": {"predictions": str(folder), "labels_as": "classes", "split_of": "sound"}}
    config = tmp_path / "rivals.yaml"
    config.write_text(yaml.safe_dump({"experiments": experiments, "run": ["other"], "ladder": ["other"]}))
    done = finished("--configfile", tiny_config, config).stdout
    assert "it may be of another scan or patient, or lie mirrored or turned" in done
    assert [row["experiment"] for row in rows(finished.results / "tables/summary.csv")] == ["other"]


def test_a_wrong_label_scheme_is_named(finished, tiny_config, tmp_path):
    predict(finished, tmp_path / "other", ["t1"])
    experiments = {"other": {"predictions": str(tmp_path / "other/classes"), "split_of": "sound"}}
    config = tmp_path / "rivals.yaml"
    config.write_text(yaml.safe_dump({"experiments": experiments, "run": ["sound", "other"]}))
    done = finished("tables", "--configfile", tiny_config, config, check=False)
    assert done.returncode == 1
    words = r"predictions of other: no mask holds any spinal_canal or ivd under the label scheme spider.*"
    assert re.search(words + r"set config\.experiments\.other\.labels_as to classes, which would fit", done.stdout)
