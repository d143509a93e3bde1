"""docs/running.md, "What reruns when": each change plans exactly the jobs that its line names, on a finished run."""

import os
import re
import shutil
import subprocess
import sys
from itertools import product

import pytest
import SimpleITK as sitk
import yaml
from conftest import ROOT, Workflow

from lumbarflow.data import phantom

SEQUENCES = ("t1", "t2_SPACE")
EXPERIMENTS = ("released", "sound")
RECIPES = {"released": "released apta", "sound": "sound lut"}  # slices and labels of each experiment

FILTERS = {"released": "paper", "sound": "labelled"}


# What each stage is, as "rule wildcards": written down from that page and the DAG, not taken from the rules.
def jobs(*columns):
    """Every combination of a rule (or several) and the values of its wildcards."""
    return {" ".join(words) for words in product(*(c if isinstance(c, tuple) else (c,) for c in columns))}


def describing(volume):
    return jobs("describe_volume", volume) | {"dataset_table"}


def extracting(volume, recipes=EXPERIMENTS):
    return jobs("extract_slices", recipes, volume)


def labelling(volume, recipes=("released apta", "released lut", "sound lut")):
    used = tuple(recipe for recipe in recipes if recipe in RECIPES.values())
    return jobs("label_slices", recipes, volume) | jobs("class_weights", used, volume)


def fidelity(sequence):
    return {f"fidelity released apta {sequence}", "fidelity_table"}


def sheets(sequence, experiments=EXPERIMENTS):
    """Pages on a sequence's slices and masks, besides its manifests."""
    contact = jobs("contact_sheet", (RECIPES["sound"],), sequence) if "sound" in experiments else set()
    return contact | (fidelity(sequence) if "released" in experiments else set())


def manifests(sequence, experiments=EXPERIMENTS):
    recipes = tuple(f"{RECIPES[e]} {FILTERS[e]}" for e in experiments)
    return jobs(("manifest", "draw_data"), recipes, sequence)


STAGES = ("split", "train", "predict", "structures", "evaluate", "draw_run")


def tables(sequences=SEQUENCES):
    return {"make_tables", "compare", "findings", "provenance"} | jobs("draw_comparisons", sequences)


def after(stage, sequences=SEQUENCES, experiments=EXPERIMENTS, fold="0", seed="1"):
    """A stage of these runs and all after it; the picture of a network shows the first of its sequences."""
    rules = STAGES[STAGES.index(stage) :]
    found = jobs(rules, experiments, sequences, fold, seed) | tables()
    if stage == "split":
        found |= jobs("leakage", experiments, sequences, fold, seed)
    if "train" in rules and "t1" in sequences:
        found |= jobs("draw_network", experiments)
    return found


def of_volume(volume, sequence):
    return (
        describing(volume)
        | extracting(volume)
        | labelling(volume)
        | sheets(sequence)
        | manifests(sequence)
        | after("split", (sequence,))
    )


def of_mask(volume, sequence):
    return of_volume(volume, sequence) - extracting(volume) | jobs("ceiling", volume)


DATA = "results/phantom"  # the tiny run's phantom, taken here for a dataset of the user's


def planned(output):
    """The jobs of a dry run's output: {"rule wildcards"}."""
    found = re.findall(r"^(?:local)?rule (\w+):\n(.*?)(?=^\[|\Z)", output, re.M | re.S)
    assert found or "Nothing to be done" in output, output[-2000:]
    values = [(rule, re.search(r"^    wildcards: (.*)$", block, re.M)) for rule, block in found]
    return {
        " ".join([rule, *re.findall(r"=([^,]*)", wildcards[1] if wildcards else "")])
        for rule, wildcards in values
        if rule != "all"
    }


class Project(Workflow):
    """The tiny run with a copy of the source beside it; changes are taken back after each test."""

    def __init__(self, tiny_run, tiny_config, folder):
        super().__init__(folder, source=folder / "lumbarflow")
        tiny_run.copy(folder)
        wanted = shutil.ignore_patterns(".*", "results", "tests", "__pycache__")
        shutil.copytree(ROOT, self.source, ignore=wanted, ignore_dangling_symlinks=True)
        config = f"root: {DATA}\n{tiny_config.read_text(encoding='utf-8')}"
        (folder / "config.yaml").write_text(config, encoding="utf-8")
        self.before = {}
        # Snakemake by itself compares the content of files below 1 MB only, and the time of larger ones: some of each
        path = folder / DATA / "images/1_t1.mha"
        sitk.WriteImage(sitk.Cast(sitk.ReadImage(path), sitk.sitkFloat64), path)
        assert path.stat().st_size > 1_000_000
        # the same voxels make the same slices: nothing after these stages but the pages that tell of data and tables
        pages = ("findings", "provenance")
        for stages in (("describe_volume", "extract_slices"), ("dataset_table", "contact_sheet"), pages):
            self("--configfile", folder / "config.yaml", "--until", *stages)

    def save(self, path):
        """Remember a file, or that there is none, with its time."""
        path = self.folder / path
        self.before[path] = (path.read_bytes(), path.stat()) if path.exists() else None
        return path

    def restore(self):
        while self.before:
            path, kept = self.before.popitem()
            if kept is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(kept[0])
                os.utime(path, ns=(kept[1].st_atime_ns, kept[1].st_mtime_ns))

    def plan(self, settings=None, *arguments):
        """The jobs of a dry run, with these settings over the config: {"rule wildcards"}."""
        configs = [self.folder / "config.yaml"]
        if settings:
            configs.append(self.folder / "change.yaml")
            configs[1].write_text(yaml.safe_dump(settings), encoding="utf-8")
        output = self("--configfile", *configs, "--dry-run", *arguments).stdout
        return planned(output)


@pytest.fixture(scope="module")
def finished(tiny_run, tiny_config, tmp_path_factory):
    return Project(tiny_run, tiny_config, tmp_path_factory.mktemp("reruns"))


@pytest.fixture
def project(finished):
    yield finished
    finished.restore()


def rewrite(project, path):
    """Other voxels; the file is newer, too."""
    path = project.save(path)
    volume = sitk.ReadImage(path)
    middle = [length // 2 for length in volume.GetSize()]
    volume[middle] = 0 if volume[middle] else 1
    sitk.WriteImage(volume, path, useCompression=path.stat().st_size < 1_000_000)


def touch(project, path):
    path = project.save(path)
    os.utime(path)


def add(project, name):
    for kind in ("images", "masks"):
        project.save(f"{DATA}/{kind}/{name}.mha")
    number, sequence = name.split("_", 1)
    phantom.write_volume(project.folder / DATA, 3, int(number), sequence)


def remove(project, name):
    for kind in ("images", "masks"):
        project.save(f"{DATA}/{kind}/{name}.mha").unlink()


def append(project, path, text="\n# changed\n"):
    path = project.save(path)
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def replace(project, path, old, new):
    path = project.save(path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


DEALT_ANEW = after("split", experiments=("sound",))
SCRIPTS = "lumbarflow/workflow/scripts"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda p: None, set()),
        (lambda p: rewrite(p, f"{DATA}/images/3_t1.mha"), of_volume("3_t1", "t1")),
        (lambda p: rewrite(p, f"{DATA}/images/1_t1.mha"), of_volume("1_t1", "t1")),
        (lambda p: touch(p, f"{DATA}/images/3_t1.mha"), set()),
        (lambda p: touch(p, f"{DATA}/images/1_t1.mha"), set()),
        (lambda p: rewrite(p, f"{DATA}/masks/2_t2_SPACE.mha"), of_mask("2_t2_SPACE", "t2_SPACE")),
        (lambda p: touch(p, f"{DATA}/masks/2_t2_SPACE.mha"), set()),
        (lambda p: add(p, "5_t1"), of_volume("5_t1", "t1") | of_mask("5_t1", "t1") | DEALT_ANEW),
        (
            lambda p: remove(p, "2_t1"),
            {"dataset_table"} | sheets("t1") | manifests("t1") | after("split", ("t1",)) | DEALT_ANEW,
        ),
        (lambda p: append(p, "lumbarflow/workflow/report/table2.rst"), set()),
        (lambda p: append(p, f"{SCRIPTS}/evaluate.py"), after("evaluate")),
        (lambda p: append(p, f"{SCRIPTS}/make_tables.py"), tables()),
        (
            lambda p: append(p, f"{SCRIPTS}/contact_sheet.py"),
            jobs("contact_sheet", (RECIPES["sound"],), SEQUENCES),
        ),
        (lambda p: replace(p, "lumbarflow/workflow/rules/train.smk", "threads: 8", "threads: 7"), set()),
        (lambda p: replace(p, "lumbarflow/workflow/rules/train.smk", "mem_mb=grow(8000)", "mem_mb=grow(9000)"), set()),
    ],
    ids=[
        *("nothing", "image", "large image", "time of an image", "time of a large image", "mask"),
        *("time of a mask", "new volume", "removed volume", "caption", "script of evaluate", "script of tables"),
        *("script of contact sheets", "threads", "memory"),
    ],
)
def test_a_change_of_files(project, change, expected):
    change(project)
    assert project.plan() == expected


def test_a_file_too_large_for_a_look_at_its_content_counts_by_its_time(project):
    """profiles/default sets that size to 100 MB; here 1 MB stands for it."""
    touch(project, f"{DATA}/images/1_t1.mha")
    assert project.plan(None, "--max-checksum-file-size", "1000000") == of_volume("1_t1", "t1")


SOUND = ("sound",)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"overrides": {"3_t1": {"spacing": [3.5, 1.6, 1.5]}}}, of_volume("3_t1", "t1") | jobs("ceiling", "3_t1")),
        (
            {"slices": {"sound": {"percentiles": [1, 99]}}},
            {job for s in SEQUENCES for n in "1234" for job in extracting(f"{n}_{s}", SOUND)}
            | {job for s in SEQUENCES for n in "1234" for job in labelling(f"{n}_{s}", ("sound lut",))}
            | {job for s in SEQUENCES for job in sheets(s, SOUND) | manifests(s, SOUND)}
            | DEALT_ANEW,
        ),
        (
            {"labels": {"apta": {"version": "literal"}}},
            {job for s in SEQUENCES for n in "1234" for job in labelling(f"{n}_{s}", ("released apta",))}
            | {job for s in SEQUENCES for job in sheets(s, ("released",)) | manifests(s, ("released",))}
            | after("split", experiments=("released",)),
        ),
        (
            {"filters": {"paper": {"limit": 50}}},
            {job for s in SEQUENCES for job in manifests(s, ("released",))} | after("split", experiments=("released",)),
        ),
        ({"experiments": {"sound": {"split": {"n_folds": 3}}}}, DEALT_ANEW),
        (
            {"experiments": {"sound": {"folds": [0, 1]}}},
            after("split", experiments=SOUND, fold="1") - jobs("draw_network", SOUND),
        ),
        ({"experiments": {"sound": {"seeds": [2]}}}, after("split", experiments=SOUND, seed="2")),
        ({"experiments": {"sound": {"normalisation": "zscore"}}}, after("train", experiments=SOUND)),
        ({"experiments": {"sound": {"network": {"options": {"width": 3}}}}}, after("train", experiments=SOUND)),
        ({"experiments": {"sound": {"loss": {"gamma": 0.4}}}}, after("train", experiments=SOUND)),
        ({"experiments": {"sound": {"augmentation": {"rotation": 9}}}}, after("train", experiments=SOUND)),
        ({"experiments": {"sound": {"training": {"epochs": 3}}}}, after("train", experiments=SOUND)),
        ({"experiments": {"sound": {"prediction": {"min_component_mm3": [900]}}}}, after("predict", experiments=SOUND)),
        (
            {"experiments": {"sound": {"evaluation": {"tau": 2.0}}}},
            after("evaluate", experiments=SOUND) | jobs("leakage", SOUND, SEQUENCES, "0", "1"),
        ),
        ({"experiments": {"sound": {"evaluation": {"grid": "network"}}}}, tables()),
        ({"experiments": {"sound": {"split": {"filter_test": True}}}}, DEALT_ANEW),
        ({"run": ["released", "disjoint", "sound"]}, after("split", experiments=("disjoint",))),
        ({"run": ["sound"]}, tables()),
        ({"baseline": "released"}, tables() - {"make_tables"}),
        (
            {"sequences": ["t1"]},
            {"dataset_table", "fidelity_table"} | after("split", ("t1",), SOUND) - {"draw_comparisons t2_SPACE"},
        ),
        ({"device": "auto"}, after("train")),
        ({"phantom": {"patients": 9}}, set()),
        ({"package": {"licence": "CC0"}}, {"provenance"}),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_change_of_settings(project, change, expected):
    assert project.plan(change) == expected


def test_another_backend_trains_anew(project, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert project.plan() == after("train")


def in_place(project, folder, *arguments):
    """The plan of plain `snakemake` in a fresh clone with the finished run's results and data beside the code."""
    clone = shutil.copytree(project.source, folder / "clone")
    for name in ("results", ".snakemake"):
        shutil.copytree(project.folder / name, clone / name, copy_function=os.link)
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--configfile",
        project.folder / "config.yaml",
        "--dry-run",
        *arguments,
    ]
    return planned(subprocess.run(command, cwd=clone, capture_output=True, encoding="utf-8", check=True).stdout)


def test_a_fresh_clone_beside_kept_results(project, tmp_path):
    """At another path, all files newer than the results; by plain snakemake and by either profile."""
    assert in_place(project, tmp_path) == set()
    clone = Workflow(project.folder, source=tmp_path / "clone")
    output = clone("--configfile", project.folder / "config.yaml", "--dry-run").stdout
    assert planned(output) == set()
    slurm = ("--workflow-profile", clone.source / "profiles/slurm", "--slurm-no-account")
    output = clone("--configfile", project.folder / "config.yaml", "--dry-run", *slurm).stdout
    assert planned(output) == set()


def test_touching_every_file_of_the_project(project):
    for path in project.source.rglob("*"):
        if path.is_file():
            touch(project, path.relative_to(project.folder))
    assert project.plan() == set()


MEASURED = {"evaluate", "leakage", "draw_run", "make_tables", "compare", "draw_comparisons", "findings"}
MEASURED |= {"provenance"}


@pytest.mark.parametrize(
    ("file", "rules"),
    [
        ("train.py", {"train", "predict", "structures", "draw_network", *MEASURED} - {"leakage"}),
        (
            "lumbarflow/learning/keras_losses.py",
            {"train", "predict", "structures", "draw_network", *MEASURED} - {"leakage"},
        ),
        ("lumbarflow/measures/metrics.py", {"ceiling", *MEASURED}),
        ("lumbarflow/measures/structures.py", {"ceiling", "structures", *MEASURED} - {"leakage"}),
        (
            "lumbarflow/report/published/table2.csv",
            {"make_tables", "compare", "draw_comparisons", "dataset_table", "fidelity_table", "findings", "provenance"},
        ),
        ("lumbarflow/plan.py", set()),
        ("show.py", set()),
    ],
)
def test_an_edit_of_code_reruns_the_stages_that_use_it(project, file, rules):
    append(project, f"{SCRIPTS}/{file}")
    found = {job.split()[0] for job in project.plan()}
    if "published" in file:  # not all of these read it
        assert {"make_tables", "compare"} <= found <= rules
    else:
        assert found == rules


def test_an_edit_of_what_all_code_uses_reruns_everything(project):
    append(project, f"{SCRIPTS}/lumbarflow/files.py")
    found = {job.split()[0] for job in project.plan()}
    every = MEASURED | {
        "describe_volume",
        "extract_slices",
        "label_slices",
        "class_weights",
        "manifest",
        "split",
        "train",
    }
    assert found == every | {
        *(
            "predict",
            "structures",
            "ceiling",
            "dataset_table",
            "contact_sheet",
            "draw_data",
            "draw_network",
            "fidelity",
            "fidelity_table",
        ),
    }


def test_slices_made_again_with_the_same_bytes(project):
    """What follows them runs in the call that makes them, and not in the next one."""
    config = ("--configfile", project.folder / "config.yaml")
    touch(project, f"{DATA}/images/1_t1.mha")
    project(*config, "--until", "extract_slices", "describe_volume", "--max-checksum-file-size", "1000000")
    assert project.plan() == set()


def test_a_deleted_intermediate(project):
    """Missed only by what runs: then it is made again first."""
    for path in ("slices/sound/2_t1.csv", "labels/sound/lut/2_t1.csv"):
        project.save(f"results/{path}").unlink()
    assert project.plan() == set()
    again = project.plan({"experiments": {"sound": {"training": {"epochs": 3}}}})
    assert again >= after("train", experiments=SOUND) | jobs("extract_slices", "sound", "2_t1")
