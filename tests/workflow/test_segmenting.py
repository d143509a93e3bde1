"""A trained model becomes a file, and that file segments new scans: through Snakemake, and without it."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import ROOT, jobs

from lumbarflow.data import volumes
from lumbarflow.learning import package


@pytest.fixture(scope="module")
def packed(tiny_run, tiny_config, tmp_path_factory):
    """The tiny run with its packages."""
    run = tiny_run.copy(tmp_path_factory.mktemp("packed"))
    run("package", "--configfile", tiny_config)
    return run


@pytest.fixture(scope="module")
def tested(packed):
    """Path of the volume that the tiny run's network predicted for its test patient."""
    (path,) = (packed.results / "experiments/sound/t2_SPACE/fold-0/seed-1/volumes").glob("*.mha")
    return path


@pytest.fixture
def scans(packed, tested, tmp_path):
    """A folder with the test patient's scan, under another name and in another format, and a broken one."""
    folder = tmp_path / "new scans"
    folder.mkdir()
    image = sitk.ReadImage(str(packed.results / "phantom/images" / tested.name))
    sitk.WriteImage(image, str(folder / "anna (lumbar).nii.gz"))
    (folder / "broken.nii.gz").write_bytes(b"no picture")
    return folder


def summary(folder):
    return {row["scan"]: row for row in csv.DictReader((folder / "summary.csv").open(encoding="utf-8"))}


def test_packages(packed, tiny_config):
    folder = packed.results / "models"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.zip")} == {"sound/t1.zip", "sound/t2_SPACE.zip"}
    about, members = package.read(folder / "sound/t2_SPACE.zip")
    assert about["sequences"] == ["t2_SPACE"]
    assert about["trained_on"]["volumes"] == about["trained_on"]["patients"] == 2  # of 4: one tests, one validates
    assert about["trained_on"]["spacing_mm"]["slice"] == [2.4, 2.4]
    assert about["scores"]["patients"] == 1
    with (packed.results / "tables/table2.csv").open(encoding="utf-8") as file:
        rows = {(row["sequence"], row["class"], row["experiment"]): row for row in csv.DictReader(file)}
    dice = float(rows["t2_SPACE", "ivd", "sound"]["dice"])
    assert about["scores"]["classes"]["ivd"]["dice"]["value"] == pytest.approx(dice, abs=1e-4)
    card = members["CARD.md"].decode()
    assert "volumes: 2 (t2_SPACE), patients: 2" in card
    assert "averaged across slices over 1.5 mm" in card
    assert about["slice_smoothing_mm"] == 1.5
    assert "Not for diagnosis" in card
    assert "check_model" not in jobs(packed("package", "--configfile", tiny_config).stdout)
    done = packed("check_model", "--config", f"model={folder / 'sound/t1.zip'}").stdout
    assert "sound-t1: passed" in done


def test_a_package_of_one_network_trained_on_everyone(packed, tiny_config):
    target = "results/models/sound/t1.zip"
    done = packed(target, "--configfile", tiny_config, "--config", "package={networks: everyone}")
    assert sorted(jobs(done.stdout)) == ["package_model", "train_on_everyone"]
    trained = packed.results / "experiments/sound/t1"
    about, members = package.read(packed.folder / target)
    assert [each["member"] for each in about["networks"]] == ["networks/everyone-seed-1.npy"]
    assert about["trained_on"]["patients"] == 4
    assert about["scores"]["patients"] == 1  # of the fold
    assert "was trained on all patients" in members["CARD.md"].decode()
    one, all_ = (json.loads((trained / name / "seed-1/model.json").read_text()) for name in ("fold-0", "everyone"))
    assert all_["best_epoch"] == all_["settings"]["training"]["epochs"] == one["best_epoch"]
    assert all_["images"]["train"] > one["images"]["train"]


def test_a_package_needs_results_but_no_dataset(packed, tiny_config, tmp_path):
    run, target = packed.copy(tmp_path), "results/models/sound/t2_SPACE.zip"
    shutil.rmtree(run.results / "phantom")
    about, members = package.read(run.folder / target)
    (run.folder / target).unlink()
    asked = ("--configfile", tiny_config, "--config", "root=/nowhere")
    done = run("package", *asked)
    assert "The dataset cannot be read, so that packages are made of the results alone" in done.stdout
    assert jobs(done.stdout) == {"package_model": 2, "package": 1}  # both lack the scanners now
    again, same = package.read(run.folder / target)
    assert {**same, "CARD.md": b""} == {**members, "CARD.md": b""}
    about["trained_on"]["scanners"] = []  # which the dataset's overview.csv told
    assert {**again, "members": {}} == {**about, "members": {}}
    # whatever else is asked for needs it
    refused = run("package", "table2", *asked, check=False)
    assert refused.returncode == 1
    assert "/nowhere/images: no such folder" in refused.stdout


def test_new_scans_fail_alone_and_are_tried_again(packed, scans, tested):
    model = packed.results / "models/sound/t2_SPACE.zip"
    shutil.rmtree(packed.results / "phantom")  # no dataset is needed
    asked = ("segment", "--config", f"scans={scans}", f"model={model}", "viewer=true", "lowest=L5")
    done = packed(*asked, check=False)
    assert done.returncode == 1
    assert "1 of 2 scans could not be segmented. " in done.stdout
    folder = packed.results / "segmentations"
    rows = summary(folder)
    assert list(rows) == ["anna-lumbar", "broken"]
    assert "broken.nii.gz" in rows["broken"]["failed"]
    assert not (folder / "broken").exists()
    files = {path.name for path in (folder / "anna-lumbar").glob("[!.]*")}  # without the mark of Snakemake
    assert files == {
        *("structures.nii.gz", "classes.nii.gz", "preview.png", "view.html", "segmentation.json"),
        *("measurements.csv", "measurements.json"),
    }
    # the same voxels as the workflow gave this patient
    found = volumes.read(folder / "anna-lumbar/classes.nii.gz").array
    np.testing.assert_array_equal(found, volumes.read(tested).array)
    assert "no picture" not in (folder / "gallery.html").read_text(encoding="utf-8")
    # the broken scan, mended
    shutil.copy(scans / "anna (lumbar).nii.gz", scans / "broken.nii.gz")
    again = packed(*asked)
    assert sorted(jobs(again.stdout)) == ["scan_summary", "segment", "segment_scan"]
    assert not any(row["failed"] for row in summary(folder).values())
    assert list(jobs(packed(*asked).stdout)) == ["segment"]
    # the same without Snakemake
    command = [sys.executable, "-m", "lumbarflow.application.cli", "segment", str(scans), "--model", str(model)]
    command += ["--out", str(scans.parent / "out"), "--viewer", "--lowest", "L5", "--threads", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "scripts")}
    for words in ("1 of 2: anna-lumbar", "1 of 2: anna-lumbar: done before"):
        ended = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
        assert ended.returncode == 0, ended.stderr
        assert words in ended.stdout
    for name in files:
        assert (scans.parent / "out/anna-lumbar" / name).read_bytes() == (folder / "anna-lumbar" / name).read_bytes(), (
            name
        )


@pytest.mark.parametrize(
    ("target", "settings", "words"),
    [
        ("segment", (), "config.scans: no scans given"),
        ("segment", ("model=here.zip",), "config.model: .*here.zip: no such file"),
        ("segment", ("model=model.zip", "scans=nowhere"), "nowhere: no such file or folder"),
        ("segment", ("model=model.zip", "scans=phantom", "lowest=l5"), "config.lowest: 'l5' is no vertebra"),
        ("check_model", ("model=model.zip",), "model.zip: is no sound zip archive"),
    ],
)
def test_what_is_missing_is_named(workflow, target, settings, words):
    (workflow.folder / "model.zip").write_bytes(b"PK")
    done = workflow(target, "--config", *(settings or ("lowest=L5",)), check=False)
    assert done.returncode == 1
    assert re.search(words, done.stdout), done.stdout[-2000:]
