"""The true workflow on tiny data: what it makes, and that it makes it once."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
import truth
import yaml
from conftest import ROOT, rows

from lumbarflow import CLASSES, files
from lumbarflow.data import volumes
from lumbarflow.images import png
from lumbarflow.learning import prediction
from lumbarflow.measures import metrics

RUN = "experiments/{}/{}/fold-0/seed-1"


def test_every_stage_leaves_its_files(tiny_run):
    results = tiny_run.results
    for experiment in ("released", "sound"):
        for sequence in ("t1", "t2_SPACE"):
            folder = results / RUN.format(experiment, sequence)
            history = rows(folder / "history.csv")
            assert [row["epoch"] for row in history] == ["1", "2"]
            about = files.read_json(folder / "model.json")
            model = prediction.load(folder / "model.keras")
            assert model.count_params() == about["parameters"]
            assert about["settings"]["network"]["image_size"] == [32, 24]
            figures = results / f"figures/{experiment}/{sequence}/fold-0/seed-1"
            assert {p.name for p in figures.iterdir()} == {
                f"{n}.{e}" for n in ("curves", "overlays", "structures", "extremes") for e in ("png", "svg")
            }
    for recipes in ("released/apta/paper", "sound/lut/labelled"):
        figures = results / f"figures/data/{recipes}/t1"
        assert {p.name for p in figures.iterdir()} == {f"{n}.{e}" for n in ("masks", "images") for e in ("png", "svg")}
    comparisons = (
        "paper_comparison",
        "ladder",
        "rivals",
        "paper_audit",
        "intervals",
        "ablation",
        "subgroups",
        "variants",
    )
    for name in ("summary", "table1", "table2", "table3", "leakage", *comparisons):
        for ending in ("csv", "md", "tex", "html"):
            assert (results / f"tables/{name}.{ending}").stat().st_size > 200


def test_table_2_holds_every_experiment_class_and_metric_beside_the_paper(tiny_run):
    table = rows(tiny_run.results / "tables/table2.csv")
    found = {(row["sequence"], row["class"], row["experiment"]) for row in table}
    classes = ("background", "vertebrae", "spinal_canal", "ivd", "mean")
    experiments = ("paper", "released", "sound")
    assert found == {(s, c, e) for s in ("t1", "t2_SPACE") for c in classes for e in experiments}
    printed = rows(ROOT / "workflow/scripts/lumbarflow/report/published/table2.csv")
    for row in table:
        if row["experiment"] == "paper" and row["class"] != "mean":
            expected = next(p for p in printed if (p["sequence"], p["class"]) == (row["sequence"], row["class"]))
            for metric in ("iou", "dice", "asd", "nsd", "precision", "recall", "f1"):
                assert float(row[metric]) == float(expected[metric])


def test_released_scores_follow_from_its_pictures(tiny_run):
    """Table 2 of `released` once more from the PNGs, by other means: pooled overlap, soft Dice, the stack."""
    folder = tiny_run.results / RUN.format("released", "t1")
    predicted = rows(folder / "predictions.csv")
    counts = {k: np.zeros(3) for k in range(4)}
    for row in predicted:
        name = f"{row['volume']}/{int(row['index']):03d}.png"
        pred = png.read(folder / "predictions/classes" / name)
        mask = png.read(tiny_run.results / "labels/released/apta" / name)
        truth = mask[1::3, 1::3]  # 96 x 72 to 32 x 24: the middle of every three
        for k in range(4):
            p, t = pred == k, truth == k
            counts[k] += [(p & t).sum(), (p & ~t).sum(), (~p & t).sum()]
    table = [
        r
        for r in rows(tiny_run.results / "tables/table2.csv")
        if (r["experiment"], r["sequence"]) == ("released", "t1") and r["class"] != "mean"
    ]
    for k, row in enumerate(table):
        tp, fp, fn = counts[k]
        assert float(row["iou"]) == pytest.approx(tp / (tp + fp + fn))
        assert float(row["f1"]) == pytest.approx(2 * tp / (2 * tp + fp + fn))
        of_class = [r for r in rows(folder / "metrics.csv") if r["class"] == row["class"] and r["grid"] == "network"]
        assert float(row["dice"]) == pytest.approx(np.mean([float(r["soft_dice"]) for r in of_class]))


def test_the_leakage_canary(tiny_run):
    table = {(r["experiment"], r["sequence"]): r for r in rows(tiny_run.results / "tables/leakage.csv")}
    for sequence in ("t1", "t2_SPACE"):
        assert float(table["released", sequence]["same patient"]) == 1
        assert float(table["released", sequence]["neighbour within 2"]) > 0.5
        for name in ("neighbour within 1", "neighbour within 2", "same patient", "same mask"):
            assert float(table["sound", sequence][name]) == 0
        copied = [float(table[e, sequence]["copied mask: macro Dice"]) for e in ("released", "sound")]
        assert copied[0] > copied[1] + 0.2  # copying gets far only where the split leaks


@pytest.mark.parametrize("experiment", ["released", "sound"])
def test_every_experiment_is_measured_on_the_source_grid_against_exact_labels(tiny_run, experiment):
    """Counts of the yardstick once more from the files, by other means: a split of slices has its test slices there, a
    split of patients every slice of its volumes."""
    folder = tiny_run.results / RUN.format(experiment, "t1")
    source = [row for row in rows(folder / "metrics.csv") if row["grid"] == "source"]
    predicted = {(row["volume"], row["index"]) for row in rows(folder / "predictions.csv")}
    assert {(row["volume"], row["index"]) for row in source} == predicted
    assert all(row["scored"] == "true" and row["unit"] == "mm" for row in source)
    seen = set()
    for volume in {row["volume"] for row in source}:
        labels = volumes.read(tiny_run.results / f"phantom/masks/{volume}.mha").array
        exact = np.select([labels == 0, labels < 100, labels == 100], [0, 1, 2], 3)
        assert experiment == "released" or len({i for v, i in predicted if v == volume}) == len(exact)
        for row in (row for row in source if row["volume"] == volume):
            index, k = int(row["index"]), CLASSES.index(row["class"])
            if experiment == "released":
                plane = png.read(folder / f"predictions/plane/{volume}/{index:03d}.png")
            else:
                plane = volumes.read(folder / f"volumes/{volume}.mha").array[index]
            hits = ((plane == k) & (exact[index] == k)).sum()
            assert int(row["tp"]) == hits
            assert int(row["fp"]) == (plane == k).sum() - hits
            assert int(row["fn"]) == (exact[index] == k).sum() - hits
            seen.add((row["class"], hits > 0))
    assert {name for name, _ in seen} == set(CLASSES)
    assert ("background", True) in seen  # two epochs may find nothing else


def test_the_first_page(tiny_run):
    page = (tiny_run.results / "findings.html").read_text(encoding="utf-8")
    lines = [line for line in (tiny_run.results / "findings.md").read_text(encoding="utf-8").splitlines() if line]
    numbered = [line for line in lines if line[0].isdigit()]
    assert 5 <= len(numbered) <= 10
    assert "8 volumes (t1, t2_SPACE) of 4 patients: synthetic" in numbered[0]
    ladder = rows(tiny_run.results / "tables/ladder.csv")
    for row in ladder:
        if (row["sequence"], row["class"], row["experiment"]) == ("t2_SPACE", "mean of the three", "released"):
            assert f"reports {float(row['reported dice']):.3f}" in numbered[2]
            assert f"reach {float(row['dice']):.3f}" in numbered[2]
    assert "too few for intervals" in " ".join(numbered)
    assert "nan" not in " ".join(lines)
    assert "data:image/png;base64," in page
    assert "What not to conclude" in page


def test_volumes_go_back_on_the_source_grid(tiny_run):
    folder = tiny_run.results / RUN.format("sound", "t2_SPACE")
    split = rows(folder / "split.csv")
    tested = {row["volume"] for row in split if row["subset"] == "test"}
    assert {path.stem for path in (folder / "volumes").glob("*.mha")} == tested
    for volume in tested:
        ours = sitk.ReadImage(folder / f"volumes/{volume}.mha")
        source = sitk.ReadImage(tiny_run.results / f"phantom/images/{volume}.mha")
        for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(ours, name)() == pytest.approx(getattr(source, name)())
        truth = sitk.GetArrayFromImage(sitk.ReadImage(tiny_run.results / f"phantom/masks/{volume}.mha"))
        dice = metrics.overlap(
            (sitk.GetArrayFromImage(ours) == 1).astype(int), ((truth > 0) & (truth < 26)).astype(int)
        )
        row = next(r for r in rows(folder / "metrics_3d.csv") if (r["volume"], r["class"]) == (volume, "vertebrae"))
        assert float(row["dice"]) == pytest.approx(dice["dice"][1])


def test_structures_of_predicted_volumes(tiny_run):
    """On the source grid, of the predicted classes; a perfect class mask would score 1 in Table 3, and says so."""
    for sequence in ("t1", "t2_SPACE"):
        folder = tiny_run.results / RUN.format("sound", sequence)
        paths = sorted((folder / "structures").glob("*.mha"))
        assert [path.name for path in paths] == sorted(path.name for path in (folder / "volumes").glob("*.mha"))
        listed = {(row["volume"], int(row["label"])): int(row["voxels"]) for row in rows(folder / "structures.csv")}
        for path in paths:
            made, classes = (sitk.ReadImage(folder / name / path.name) for name in ("structures", "volumes"))
            assert made.GetDirection() == classes.GetDirection()
            found, classes = (sitk.GetArrayFromImage(image) for image in (made, classes))
            for low, high, number in ((1, 99, 1), (100, 100, 2), (201, 225, 3)):
                assert set(np.unique(classes[(found >= low) & (found <= high)])) <= {number}
            labels = np.unique(found[found > 0])
            assert {(path.stem, int(k)): int((found == k).sum()) for k in labels}.items() <= listed.items()
    table = [r for r in rows(tiny_run.results / "tables/table3.csv") if r["system"].startswith("true classes")]
    assert {r["system"] for r in table} == {"true classes, t1", "true classes, t2_SPACE"}
    for row in table:
        value, is_distance = float(row["value"]), row["metric"] == "asd"
        assert value <= 0.05 if is_distance else value >= 0.98, row


def test_the_truth_as_prediction_is_perfect_in_every_table(tiny_run, tiny_config, tmp_path):
    workflow = tiny_run.copy(tmp_path)
    recipes = {"released": ("released", "apta"), "sound": ("sound", "lut")}
    truth.check(workflow, ("--configfile", tiny_config), workflow.results / "phantom", recipes, ("t1", "t2_SPACE"))


def test_splits_are_what_they_are_called(tiny_run):
    sides, slices = {}, {}
    for sequence in ("t1", "t2_SPACE"):
        for row in rows(tiny_run.results / RUN.format("sound", sequence) / "split.csv"):
            if row["subset"] != "none":
                sides.setdefault(row["patient"], set()).add(row["subset"])
        for row in rows(tiny_run.results / RUN.format("released", sequence) / "split.csv"):
            if row["subset"] != "none":
                slices.setdefault(row["patient"], set()).add(row["subset"])
    assert all(len(subsets) == 1 for subsets in sides.values())
    assert any(len(subsets) > 1 for subsets in slices.values())  # as released: it leaks


@pytest.mark.long  # killed runs, in test_faults.py, are such runs, too
def test_stage_by_stage_ends_in_the_bytes_of_one_run(tiny_run, tiny_config, workflow):
    """One sequence of `released`."""
    arguments = ("--configfile", tiny_config, "--config", "sequences=[t1]", "run=[released]")
    for stage in ("extract_slices", "label_slices", "manifest", "train", "make_tables"):
        workflow(*arguments, "--until", stage)
    assert len(workflow.files()) > 50
    workflow.agrees_with(tiny_run, ("tables/", "provenance.", "phantom/overview.csv"))


def test_the_official_split_follows_the_overview(tiny_config, workflow):
    official = workflow.folder / "official.yaml"
    official.write_text(
        "phantom: {patients: 5}\nsequences: [t1]\nrun: [sound]\nexperiments: {sound: {split: {kind: official}}}\n"
    )
    workflow("--configfile", tiny_config, official, "--until", "split")
    split = rows(workflow.results / RUN.format("sound", "t1") / "split.csv")
    assert {row["patient"] for row in split if row["subset"] == "test"} == {"5"}


def test_where_the_results_are_from(tiny_run):
    """Digests by hand; and each page of a table names the software and the config."""
    told = json.loads((tiny_run.results / "provenance.json").read_text(encoding="utf-8"))
    assert told["software"].startswith("lumbarflow ")
    assert told["versions"]["keras"]
    every = {path.relative_to(tiny_run.folder).as_posix() for path in (tiny_run.results / "tables").glob("*.csv")}
    assert set(told["tables"]) == every
    for kind, count in (("splits", 4), ("models", 4), ("tables", len(every))):
        assert len(told[kind]) == count
        for path, digest in told[kind].items():
            assert hashlib.sha256((tiny_run.folder / path).read_bytes()).hexdigest() == digest, path
    lines = set()
    for path in (tiny_run.results / "manifests").rglob("*.csv"):
        lines |= {
            " ".join(row[k] for k in ("volume", "index", "image_sha256", "mask_sha256")) + "\n" for row in rows(path)
        }
    assert hashlib.sha256("".join(sorted(lines)).encode()).hexdigest() == told["data_sha256"]
    page = (tiny_run.results / "tables/table2.html").read_text(encoding="utf-8")
    assert f"Made by {told['software']}; config {told['config_sha256'][:16]};" in page
    assert told["software"] not in (tiny_run.results / "tables/table2.csv").read_text(encoding="utf-8")


def test_the_report_is_one_file(tiny_run, tiny_config):
    tiny_run("--configfile", tiny_config, "--report", tiny_run.folder / "report.html")
    page = (tiny_run.folder / "report.html").read_text(encoding="utf-8")
    categories = (
        "0 What was found",
        "1 Tables",
        "3 Training (Figures 7, 12-14)",
        "4 Segmentations",
        "5 Dataset",
        "6 What APTA changes",
    )
    for words in (*categories, "2 Comparisons", "Ladder: what each step costs", "Table 2: metrics"):
        assert words in page


def test_a_dataset_folder_of_ones_own(tiny_run, tiny_config, workflow):
    """The phantom as a folder: nothing is written there, and sequences it lacks are left out."""
    root = workflow.folder / "my data, ü"
    shutil.copytree(tiny_run.results / "phantom", root)
    before = sorted(root.rglob("*"))
    arguments = ("--configfile", tiny_config, "--config", f"root={root}", "sequences=[t1,t2]")
    output = workflow(*arguments, "--until", "manifest").stdout
    assert "Sequence t2: no volumes" in output
    assert sorted(root.rglob("*")) == before
    made = workflow.files()
    assert "manifests/sound/lut/labelled/t1.csv" in made
    assert not [name for name in made if "t2" in name]
    for name, content in made.items():
        assert content == tiny_run.files()[name], name


@pytest.mark.parametrize(
    ("number", "run", "epochs"),
    [(4, ["released"], 12), pytest.param(6, ["released", "sound"], 12, marks=pytest.mark.long)],
    ids=["short", "long"],
)
def test_real_volumes(real_data, tiny_config, workflow, number, run, epochs):
    """Real series through everything: a few epochs of a small network already find most of each class."""
    larger = workflow.folder / "larger.yaml"
    network = {"image_size": [80, 64], "options": {"width": 8}}
    settings = {"run": run, "sequences": ["t2_SPACE"]}
    settings["experiments"] = {"released": {"network": network, "training": {"epochs": epochs}}}
    larger.write_text(yaml.safe_dump(settings))
    root = workflow.folder / "data"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
        for path in sorted((real_data / "t2space" / kind).iterdir())[:number]:
            (root / kind / path.name).symlink_to(path)
    workflow("--configfile", tiny_config, larger, "--config", f"root={root}")
    summary = rows(workflow.results / "tables/summary.csv")
    assert [(row["experiment"], row["sequence"]) for row in summary] == [(name, "t2_SPACE") for name in run]
    assert all(0.4 < float(row["macro Dice"]) < 1 for row in summary), summary
    for path, reasons in (
        ("released/apta/paper", {"", "fewer than 4 classes", "imbalance ratio above 55"}),
        ("sound/lut/labelled", {"", "fewer than 2 classes"}),
    ):
        if path.split("/")[0] in run:
            kept = rows(workflow.results / f"manifests/{path}/t2_SPACE.csv")
            assert {row["reason"] for row in kept} <= reasons
            assert sum(row["kept"] == "true" for row in kept) > 30
    # the truth as prediction, of real structures
    recipes = {"released": ("released", "apta"), "sound": ("sound", "lut")}
    arguments = ("--configfile", tiny_config, larger, "--config", f"root={root}")
    chosen = {name: recipes[name] for name in run if name in recipes}
    truth.check(workflow, arguments, root, chosen, ["t2_SPACE"], empty=["subgroups"] + ["ablation"] * (len(run) == 1))
