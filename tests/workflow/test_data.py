"""Where volumes come from and what the audit says of them: sheets, DICOM, lying headers, fidelity, colours."""

import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import configured, rows, write_dicom
from PIL import Image

from lumbarflow import files
from lumbarflow.images import png


@pytest.fixture
def data(tiny_run, workflow):
    """The tiny phantom as a folder of one's own, beside the results."""
    return shutil.copytree(tiny_run.results / "phantom", workflow.folder / "data")


def test_a_sheet_and_a_dicom_folder_give_what_the_files_gave(tiny_run, tiny_config, workflow, data):
    image = sitk.ReadImage(data / "images/2_t1.mha")
    write_dicom(image, data / "scan of 2")
    lines = ["volume,patient,sequence,image,mask,subset"]
    for name in ("1_t1", "2_t1", "3_t1", "4_t1"):
        scan = "scan of 2" if name == "2_t1" else f"images/{name}.mha"
        lines.append(f"{name},{name[0]},t1,{scan},masks/{name}.mha,{'validation' if name == '4_t1' else 'training'}")
    (data / "sheet.csv").write_text("\n".join(lines) + "\n")
    settings = {"sheet": str(data / "sheet.csv"), "run": ["sound"]}
    settings["experiments"] = {"sound": {"split": {"kind": "official", "n_folds": 3}}}
    arguments = configured(workflow, tiny_config, settings)
    workflow(*arguments, "--until", "split", "dataset_table")
    split = workflow.results / "experiments/sound/t1/fold-0/seed-1/split.csv"
    assert {row["patient"] for row in rows(split) if row["subset"] == "test"} == {"4"}
    made, known = workflow.files(), tiny_run.files()
    pictures = [name for name in made if name.startswith(("slices/", "labels/")) and name.endswith(".png")]
    assert len(pictures) > 60
    assert any("2_t1" in name for name in pictures)
    assert all(made[name] == known[name] for name in pictures)
    assert made["slices/sound/1_t1.csv"] == known["slices/sound/1_t1.csv"]
    table = {row["property"]: row for row in rows(workflow.results / "tables/dataset.csv")}
    assert table["official subset, series"]["all"] == "training (3), validation (1)"
    # a slice taken from the series is a change of that volume alone
    sorted((data / "scan of 2").glob("*-0.dcm"))[0].unlink()
    planned = workflow(*arguments, "--dry-run", "--until", "extract_slices").stdout
    assert "wildcards: slices=sound, volume=2_t1" in planned
    assert "volume=1_t1" not in planned


def lie(path):
    """The same voxels under a header that says other axes and sizes."""
    image = sitk.ReadImage(path)
    image.SetDirection([0, 0, -1, 1, 0, 0, 0, -1, 0])
    image.SetSpacing([7.0, 7.0, 7.0])
    sitk.WriteImage(image, path)


def test_an_override_puts_a_lying_header_right(tiny_run, tiny_config, workflow, data):
    true = sitk.ReadImage(data / "images/2_t1.mha")
    for kind in ("images", "masks"):
        lie(data / kind / "2_t1.mha")
    arguments = ("--until", "class_weights", "contact_sheet", "dataset_table")
    settings = {"root": str(data), "sequences": ["t1"]}
    workflow(*configured(workflow, tiny_config, settings), *arguments)
    known = tiny_run.files()
    assert workflow.files()["slices/sound/2_t1.csv"] != known["slices/sound/2_t1.csv"]
    sheet = workflow.results / "figures/contact/sound/lut/t1.png"
    lying = Image.open(sheet).copy()
    settings["overrides"] = {"2_t1": {"orientation": "LPS", "spacing": true.GetSpacing(), "origin": true.GetOrigin()}}
    output = workflow(*configured(workflow, tiny_config, settings), *arguments).stdout
    assert "volume=1_t1" not in output  # the others are left alone
    for name, content in workflow.files().items():
        if "2_t1" in name and not name.startswith("volumes/"):
            assert content == known[name], name
    assert np.any(np.array(lying) != np.array(Image.open(sheet)))
    volumes = {row["volume"]: row for row in rows(workflow.results / "tables/volumes.csv")}
    assert [volumes[name]["corrected"] for name in ("1_t1", "2_t1")] == ["false", "true"]
    settings["overrides"]["2_t2"] = settings["overrides"]["2_t1"]
    output = workflow(*configured(workflow, tiny_config, settings), check=False).stdout
    assert "config.overrides: there is no volume '2_t2'; did you mean '2_t1'?" in output


def test_a_bids_dataset_from_folder_to_report(tiny_run, tiny_config, workflow):
    """As the guide says: a list of the series first, then the run. STIR series in NIfTI, masks of four classes."""
    root = workflow.folder / "study"
    for number in range(1, 5):
        image, mask = (
            sitk.ReadImage(tiny_run.results / f"phantom/{kind}/{number}_t1.mha") for kind in ("images", "masks")
        )
        labels = sitk.GetArrayFromImage(mask)
        labels = np.select([labels == 0, labels < 100, labels == 100], [0, 1, 2], 3).astype(np.uint8)
        classes = sitk.GetImageFromArray(labels)
        classes.CopyInformation(mask)
        name = f"sub-00{number}/anat/sub-00{number}_acq-STIR"
        for path, volume in (
            (root / f"{name}_T2w.nii.gz", image),
            (root / f"derivatives/manual/{name}_desc-spine_dseg.nii.gz", sitk.DICOMOrient(classes, "RAS")),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(volume, str(path))
    first = root / "sub-001/anat/sub-001_acq-STIR_T2w.nii.gz"
    shutil.copy(first, first.with_name("sub-001_acq-STIR_run-2_T2w.nii.gz"))
    (root / "dataset_description.json").write_text('{"Name": "STIR", "BIDSVersion": "1.10.0"}')
    output = workflow("--config", f"root={root}", check=False).stdout
    assert f"`snakemake sheet --config root={root}`" in output
    workflow("sheet", "--config", f"root={root}")
    listed = rows(workflow.results / "sheet.csv")
    assert [row["patient"] for row in listed] == ["001", "001", "002", "003", "004"]
    assert [row["mask"] for row in listed if "run-2" in row["volume"]] == [""]
    chosen = ("--config", "sheet=results/sheet.csv", "sequences=[T2w_STIR]", "scheme=classes", "run=[sound]")
    output = workflow("--configfile", tiny_config, *chosen).stdout
    assert "Without a mask: 1 of 5 volumes" in output
    tables = workflow.results / "tables"
    assert {row["experiment"] for row in rows(tables / "table2.csv") if row["sequence"] == "T2w_STIR"} == {"sound"}
    remarks = {row["volume"]: row["remarks"] for row in rows(tables / "volumes.csv")}
    assert remarks["sub-001_acq-STIR_run-2_T2w"] == "no mask"
    assert (workflow.results / "findings.html").is_file()
    # the same voxels as SPIDER's layout gives
    ours, theirs = workflow.files(), tiny_run.files()
    for index in range(len(rows(tiny_run.results / "slices/sound/2_t1.csv"))):
        for kind in ("slices/sound", "labels/sound/lut"):
            name = f"{index:03d}.png"
            assert ours[f"{kind}/sub-002_acq-STIR_T2w/{name}"] == theirs[f"{kind}/2_t1/{name}"]
    assert "Nothing to be done" in workflow("--configfile", tiny_config, *chosen).stdout


def test_one_picture_under_two_patients_is_refused(tiny_config, workflow, data):
    for kind in ("images", "masks"):
        shutil.copy(data / kind / "1_t1.mha", data / kind / "9_t1.mha")
    arguments = ("--configfile", tiny_config, "--config", f"root={data}", "sequences=[t1]", "--until", "manifest")
    output = workflow(*arguments, check=False).stdout
    assert "volumes 1_t1 and 9_t1 hold the same pictures, but are said to be of different patients" in output


def test_a_mask_without_labels_is_kept_out_and_no_error(tiny_config, workflow, data):
    mask = sitk.ReadImage(data / "masks/2_t1.mha")
    sitk.WriteImage(mask * 0, data / "masks/2_t1.mha")
    arguments = ("--configfile", tiny_config, "--config", f"root={data}", "sequences=[t1]", "run=[sound]")
    output = workflow(*arguments, "--until", "manifest", "fidelity", "contact_sheet").stdout
    assert "holds no label; the filter leaves its images out" in output
    manifest = rows(workflow.results / "manifests/sound/lut/labelled/t1.csv")
    assert {row["reason"] for row in manifest if row["volume"] == "2_t1"} == {"fewer than 2 classes"}


def test_the_fidelity_table_follows_from_the_pictures(tiny_run):
    table = rows(tiny_run.results / "tables/apta_fidelity.csv")
    assert [(row["sequence"], row["class"]) for row in table] == [
        (sequence, name) for sequence in ("t1", "t2_SPACE") for name in ("vertebrae", "spinal_canal", "ivd")
    ]
    for row in table:
        k = ("vertebrae", "spinal_canal", "ivd").index(row["class"]) + 1
        both, sizes, gone, single = 0, 0, 0, []
        for path in sorted((tiny_run.results / "labels/released/apta").glob(f"*_{row['sequence']}/*.png")):
            repaired = png.read(path) == k
            exact = png.read(str(path).replace("/apta/", "/lut/")) == k
            both += (repaired & exact).sum()
            sizes += repaired.sum() + exact.sum()
            gone += exact.any() and not repaired.any()
            if exact.any():
                single.append(2 * (repaired & exact).sum() / (repaired.sum() + exact.sum()))
        assert float(row["Dice pooled"]) == pytest.approx(2 * both / sizes)
        assert float(row["Dice a slice: median"]) == pytest.approx(np.median(single))
        assert float(row["lowest"]) == pytest.approx(min(single))
        assert int(row["vanished"]) == gone


def test_class_masks_in_colour_on_request(tiny_config, workflow):
    settings = {"run": ["released"], "sequences": ["t1"], "phantom": {"patients": 3}}
    workflow("coloured", *configured(workflow, tiny_config, settings))
    masks = sorted((workflow.results / "labels/released/apta/1_t1").glob("*.png"))
    assert masks
    for path in masks:
        colour, grey = (
            np.array(Image.open(workflow.results / f"coloured/released/apta/{kind}/1_t1/{path.name}"))
            for kind in ("colour", "grey")
        )
        mask = png.read(path)
        np.testing.assert_array_equal(colour, np.eye(4, 3, -1, dtype=np.uint8)[mask] * 255)
        luma = colour @ np.array([0.299, 0.587, 0.114])
        np.testing.assert_allclose(grey, luma, atol=0.5)


def test_other_readings_of_the_paper_run(tiny_config, workflow):
    """The box read literally, on fixed greys without interpolation, and focal alpha from the class weights; trained
    without validation."""
    unchosen = {"split": {"validation": "none"}, "prediction": {"min_component_mm3": []}}
    settings = {
        "sequences": ["t1"],
        "labels": {
            "literal": {"method": "apta", "version": "literal", "stretch": "fixed", "resize": "nearest"},
            "nearest": {"method": "apta", "version": "released", "stretch": "fixed", "resize": "nearest"},
        },
        "experiments": {
            "literal": {"base": "sound", "labels": "literal", "loss": {"alpha": "weights"}, **unchosen},
            "nearest": {"base": "sound", "labels": "nearest"},
        },
        "run": ["literal", "nearest", "released"],
    }
    network = "results/experiments/literal/t1/fold-0/seed-1/model.keras"  # the others are not trained
    workflow(network, "results/tables/apta_fidelity.csv", *configured(workflow, tiny_config, settings))
    run = (workflow.folder / network).parent
    about = files.read_json(run / "model.json")
    assert (about["best_epoch"], set(about["images"])) == (2, {"train"})
    assert {row["subset"] for row in rows(run / "split.csv")} - {"none"} == {"train", "test"}
    alpha = about["loss"]["alpha"]
    pixels = np.sum(
        [
            [int(r[f"pixels_{k}"]) for k in ("background", "vertebrae", "spinal_canal", "ivd")]
            for r in rows(run / "split.csv")
            if r["subset"] == "train"
        ],
        axis=0,
    )
    np.testing.assert_allclose(alpha * pixels, alpha[0] * pixels[0])
    assert np.mean(alpha) == pytest.approx(1)
    dice = {
        (r["labels recipe"], r["class"]): float(r["Dice pooled"])
        for r in rows(workflow.results / "tables/apta_fidelity.csv")
    }
    # fixed greys and nearest neighbours leave little to repair; the release's rendering loses more
    assert dice["nearest", "spinal_canal"] > dice["apta", "spinal_canal"]
    assert dice["literal", "vertebrae"] > 0.5
