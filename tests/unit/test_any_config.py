"""Random configs over ready-made predictions: each is refused by name, or gives tables that hold something."""

import ast
import re
import sys
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import assume, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lumbarflow import CLASSES, DataError, files, settings
from lumbarflow.images import weights
from lumbarflow.learning import splits
from lumbarflow.measures import evaluation, instances, leakage
from lumbarflow.plan import Plan
from lumbarflow.report import publish

SCHEMAS = ROOT / "workflow/schemas"
SLICES = 5  # of each volume
PATIENTS = 8
sys.path.append(str(ROOT / "workflow/scripts"))

import compare  # noqa: E402
import cross_table  # noqa: E402
import make_tables  # noqa: E402


@cache
def ready_made():
    """{(volume, index, grid): rows of metrics} of random predictions, made once."""
    rng, found = np.random.default_rng(0), {}
    for patient in range(1, PATIENTS + 1):
        for sequence in ("t1", "t2"):
            for index in range(SLICES):
                for grid, size in (("network", (8, 8)), ("source", (12, 10))):
                    truth = rng.integers(0, 4, size).astype(np.uint8)
                    pred = np.where(rng.random(size) < 0.2, rng.integers(0, 4, size), truth).astype(np.uint8)
                    soft = None
                    if grid == "network":
                        soft = weights.soft_sums((pred[..., None] == np.arange(4)).astype(np.float32), truth)
                    rows = evaluation.image_rows(pred, truth, (1, 1), 1.0, soft)
                    found[f"{patient}_{sequence}", index, grid] = rows
    return found


def manifest(plan, sequence):
    """Rows of a manifest: the filter drops the first slice of each volume."""
    rows = []
    for volume in plan.volumes_of(sequence):
        source = plan.sources[volume]
        for index in range(SLICES):
            about = {"volume": volume, "patient": source["patient"], "sequence": source["sequence"]}
            about |= {"index": str(index), "classes": "4", "kept": "true" if index else "false", "mask_sha256": "0"}
            rows.append({**about, "reason": "" if index else "ratio", **dict.fromkeys(weights.PIXELS, 10)})
    return rows


def metric_rows(chosen, grids):
    rows = []
    for row in chosen:
        index, about = int(row["index"]), {key: row[key] for key in ("sequence", "patient", "volume")}
        for grid in grids:
            scored = row["subset"] == "test"
            if grid == "network" and not scored:
                continue
            unit = "px" if grid == "network" else "mm"
            about |= {"index": index, "scored": scored, "grid": grid, "unit": unit}
            rows += [{**about, **entry} for entry in ready_made()[row["volume"], index, grid]]
    return rows


def write_run(folder, plan, run):
    """The files of one run that the tables are made from."""
    experiment = plan.experiments[run.experiment]
    rows, split = manifest(plan, run.sequence), experiment["split"]
    official = {str(n): "validation" if n < 3 else "training" for n in range(1, PATIENTS + 1)}
    subsets = splits.make(rows, **split, fold=run.fold, patients=plan.patients, official=official)
    rows = [{**row, "subset": subset, "position": ""} for row, subset in zip(rows, subsets, strict=True)]
    test = [row for row in rows if row["subset"] == "test"]
    volumes = {row["volume"] for row in test}
    whole = test if split["kind"] == "slice" else [row for row in rows if row["volume"] in volumes]
    files.write_csv(folder / "metrics.csv", metric_rows(whole, ("network", "source")), evaluation.PER_IMAGE)
    files.write_csv(folder / "copied.csv", metric_rows(test, ("network",)), evaluation.PER_IMAGE)
    shares = leakage.shares(rows)
    files.write_csv(folder / "leakage.csv", shares, list(shares[0]))
    stack = []
    if experiment["evaluation"]["surface"] == "stack":
        for sequence in dict.fromkeys(row["sequence"] for row in test):
            for order in ("shuffled", "sorted") if split["kind"] == "slice" else ("sorted",):
                of_class = {"sequence": sequence, "order": order, "asd": 0.1, "nsd": 0.9}
                stack += [{**of_class, "class": name} for name in CLASSES]
    for name in ("metrics_stack", "copied_stack"):
        files.write_csv(folder / f"{name}.csv", stack, evaluation.PER_STACK)
    in_3d, structures = [], []
    for volume in sorted(volumes) if split["kind"] != "slice" else ():
        about = {key: plan.sources[volume][key] for key in ("sequence", "patient")} | {"volume": volume}
        in_3d += [{**about, "class": name, "dice": 0.8, "assd_mm": 1.0} for name in CLASSES[1:]]
        structures += [
            {**about, "class": name, "label": label, "voxels": 9, "match": label, "dice": 0.8}
            | {"asd_official_mm": 1, "asd_mm": 1.0}
            for name, label in (("vertebrae", 1), ("spinal_canal", 100), ("ivd", 201))
        ]
    files.write_csv(folder / "metrics_3d.csv", in_3d, evaluation.PER_VOLUME)
    files.write_csv(folder / "metrics_instances.csv", structures, instances.PER_INSTANCE)
    return structures


def make_all(folder, plan, written):
    """Call the scripts of the tables as Snakemake would; `written` collects what they write."""
    images, structures = [], []
    for run in plan.runs:
        place = folder / f"results/experiments/{run.experiment}/{run.sequence}/fold-{run.fold}/seed-{run.seed}"
        place.mkdir(parents=True, exist_ok=True)
        if plan.trains(run.experiment) == run.experiment:
            about = {"settings": plan.experiments[run.experiment], "images": {"train": 9}, "best_epoch": 1}
            files.write_json(place / "model.json", about)
        structures += write_run(place, plan, run)
        images.append(str(place / "metrics.csv"))
    row = {"sequence": "t1", "patient": "1", "volume": "1_t1", "class": "ivd", "label": 201, "match": 201, "dice": 1.0}
    files.write_csv(folder / "ceiling.csv", structures or [row], instances.PER_INSTANCE)
    paths = []
    for each in plan.manifests:
        path = folder / f"results/manifests/{each.slices}/{each.labels}/{each.filter}/{each.sequence}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = manifest(plan, each.sequence)
        files.write_csv(path, rows, list(rows[0]))
        paths.append(str(path))
    overview = folder / "overview.csv"
    lines = [f"{volume},{'F' if int(volume.partition('_')[0]) % 2 else 'M'}" for volume in plan.volumes]
    overview.write_text("\n".join(["new_file_name,sex", *lines]), encoding="utf-8")
    about = {
        "evaluation": {name: each["evaluation"] for name, each in plan.experiments.items()},
        "trains": {name: plan.trains(name) for name in plan.experiments},
        "experiments": list(plan.manifests.values()),
        "settings": plan.experiments,
        **{key: plan.config[key] for key in ("ladder", "baseline")},
    }
    params, output = SimpleNamespace(**about), [str(folder / "tables/summary.csv")]
    given = {"images": images, "manifests": paths, "ceiling": [folder / "ceiling.csv"]}
    make_tables.main(SimpleNamespace(input=SimpleNamespace(**given), params=params, output=output, config={}))
    ours = [folder / f"{name}.csv" for name in ("table1", "table2", "table3")]
    for path in ours:
        written[path.stem].map(files.format_number).to_csv(path, index=False)
    stacks = [path.replace("metrics.csv", "metrics_stack.csv") for path in images]
    given = {"images": images, "stacks": stacks, "tables": ours, "overview": [overview]}
    compare.main(SimpleNamespace(input=SimpleNamespace(**given), params=params, output=output, config={}))
    given = {"images": images, "across": []}
    output = [str(folder / "tables/cross_sequence.csv")]
    cross_table.main(SimpleNamespace(input=SimpleNamespace(**given), params=params, output=output, config={}))


EVALUATION = st.fixed_dictionaries(
    {
        "grid": st.sampled_from(["network", "source"]),
        "dice": st.sampled_from(["soft", "hard"]),
        "surface": st.sampled_from(["slice", "stack"]),
        "elements": st.sampled_from(["voxels", "area"]),
        "aggregation": st.sampled_from(["pooled", "images", "patients"]),
        "tau": st.sampled_from([0.5, 1.0, 3]),
    }
).map(
    lambda each: (
        each
        | ({"dice": "hard", "surface": "slice"} if each["grid"] == "source" else {})
        | ({"elements": "voxels"} if each["grid"] == "network" and each["surface"] == "stack" else {})
    )
)
COMMON = {
    "evaluation": EVALUATION,
    "train_on": st.sampled_from(["each", "all"]),
    "folds": st.sampled_from([[0], [1], [0, 1]]),
    "seeds": st.sampled_from([[1], [1, 2]]),
    "networks_of": st.sampled_from(["", "", "", "lut"]),
}


def split(kinds, validation):
    return st.fixed_dictionaries(
        {
            "kind": st.sampled_from(kinds),
            "n_folds": st.integers(3, 6),
            "validation": st.sampled_from(validation),
            "filter_test": st.booleans(),
            "shuffle": st.sampled_from(["authors", "seeded"]),
            "seed": st.integers(0, 3),
        }
    )


OWN = st.fixed_dictionaries(
    {"base": st.just("released"), "split": split(["slice", "patient", "official"], ["own", "test"]), **COMMON}
) | st.fixed_dictionaries({"base": st.sampled_from(["sound", "lut"]), "split": split(["patient"], ["own"]), **COMMON})
NAMED = ("TABLES", "COMPARISONS")
NAMES = ["released", "disjoint", "patient", "lut", "honest", "sound"]
CONFIG = st.fixed_dictionaries(
    {
        "experiments": st.fixed_dictionaries({"first": OWN}),
        "run": st.lists(st.sampled_from(NAMES), max_size=3, unique=True).map(lambda names: ["first", *names]),
        "ladder": st.lists(st.sampled_from(["first", *NAMES]), max_size=5, unique=True),
        "sequences": st.sampled_from([["t1"], ["t2", "t1"]]),
    },
    optional={"baseline": st.sampled_from(["first", ""])},
)


@examples(max_examples=6)  # of those that are not refused: Hypothesis complains if these are few
@given(change=CONFIG)
def test_a_config_is_refused_by_name_or_gives_tables_with_values(tmp_path_factory, change):
    change["phantom"] = {"patients": PATIENTS}
    config = settings.with_defaults(change, ROOT / "config/config.yaml")
    try:
        plan = Plan.make(config, SCHEMAS)
    except DataError as error:
        assert str(error).startswith("config.")  # noqa: PT017
        assume(False)
    folder, written = tmp_path_factory.mktemp("any"), {}
    (folder / "tables").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish, "write", lambda frame, stem, *rest, **_: written.update({stem.name: frame}))
        make_all(folder, plan, written)
    rules = (ROOT / "workflow/rules/report.smk").read_text(encoding="utf-8")
    (tables,), (comparisons,) = (re.findall(rf"^{name} = ([({{].*?[)}}])$", rules, re.M | re.S) for name in NAMED)
    assert set(written) == {*ast.literal_eval(tables), *ast.literal_eval(comparisons), "cross_sequence"}
    alone = not config["baseline"] or set(config["run"]) == {config["baseline"]}
    for name, frame in written.items():
        if name == "ablation" and alone:
            continue  # nothing to compare with
        assert len(frame), name
        numbers = frame.select_dtypes("number")
        assert np.isfinite(numbers.to_numpy(float)).any(), name
    # every experiment has values of its own, by its own protocol and by the yardstick
    table = written["table2"]
    for name in plan.experiments:
        rows = table[(table["experiment"] == name) & (table["class"] != "background")]
        assert np.isfinite(rows[["iou", "dice", "asd", "nsd"]].to_numpy(float)).all(), name
    measured = written["intervals"]
    assert set(measured[measured["measured"] == "yardstick"]["experiment"]) == set(plan.experiments)
    shown = [name for name in config["ladder"] if name in plan.experiments] or list(plan.experiments)
    rungs = written["ladder"][written["ladder"]["experiment"] != "paper"]
    assert list(dict.fromkeys(rungs["experiment"])) == shown
    assert np.isfinite(rungs[["dice", "asd, mm", "reported dice", "reported asd"]].to_numpy(float)).all()
