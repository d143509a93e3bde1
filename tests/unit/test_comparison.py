"""Tables that compare: against plain pandas, numbers worked out by hand, and what is known of the paper."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumbarflow import CLASSES
from lumbarflow.measures import evaluation
from lumbarflow.report import comparison, frames, publish, published, table3, tables

SOUND = {"grid": "network", "dice": "hard", "surface": "slice", "aggregation": "patients"}


def metrics_of(seed, patients=4, images=3, noise=0.1):
    """Rows of metrics.csv for random masks; patients differ in how bad their predictions are."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        for index in range(images):
            truth = rng.integers(0, 4, (12, 10)).astype(np.uint8)
            wrong = rng.random(truth.shape) < noise * (1 + patient)
            pred = np.where(wrong, rng.integers(0, 4, truth.shape), truth).astype(np.uint8)
            about = {"sequence": "t1", "patient": patient, "volume": f"{patient}_t1", "index": index}
            for row in evaluation.image_rows(pred, truth, (1, 1), 1.0):
                rows.append({**about, "grid": "network", "unit": "px", "soft_dice": np.nan, **row})
    return pd.DataFrame(rows)


@settings(max_examples=25)  # each makes twelve pictures
@given(st.integers(0, 1000))
def test_aggregations_equal_plain_means(seed):
    images = metrics_of(seed)
    images = images[images["class"] == "ivd"]
    found = {name: tables.aggregate(tables.patient_sums(images), name) for name in ("pooled", "images", "patients")}
    tp, fp, fn = (images[name].sum() for name in ("tp", "fp", "fn"))
    assert found["pooled"]["iou"] == pytest.approx(tp / (tp + fp + fn))
    assert found["pooled"]["recall"] == pytest.approx(tp / (tp + fn))
    distances = images["assd"].replace(np.inf, np.nan)
    assert found["pooled"]["assd"] == found["images"]["assd"] == pytest.approx(distances.mean())
    assert found["images"]["dice"] == pytest.approx(images["dice"].mean())
    groups = [part for _, part in images.groupby("patient")]
    dice = [2 * g["tp"].sum() / (2 * g["tp"] + g["fp"] + g["fn"]).sum() for g in groups]
    assert found["patients"]["dice"] == pytest.approx(np.mean(dice))
    means = [part["assd"].replace(np.inf, np.nan).mean() for part in groups]
    assert found["patients"]["assd"] == pytest.approx(np.mean(means))


def test_an_interval_holds_its_estimate_and_equal_patients_have_none():
    images = metrics_of(0, 7)
    same = pd.concat([images[images["patient"] == 0].assign(patient=k) for k in range(6)])
    for part, equal in ((images, False), (same, True)):
        part = part[part["class"] == "vertebrae"]
        estimate = tables.class_scores(part, None, SOUND)
        for metric, (low, high) in tables.class_interval(part, SOUND).items():
            assert low - 1e-12 <= estimate[metric] <= high + 1e-12
            assert (high - low < 1e-12) == equal


def test_what_is_left_out_is_counted():
    truth, nothing = np.zeros((5, 5), np.uint8), np.zeros((5, 5), np.uint8)
    truth[1:3, 1:3] = 1
    rows = []
    for index, (pred, true) in enumerate(((truth, truth), (nothing, truth), (truth, nothing), (nothing, nothing))):
        about = {"patient": 1, "volume": "1_t1", "index": index, "soft_dice": np.nan}
        rows += [{**about, **row} for row in evaluation.image_rows(pred, true, (1, 1), 1.0)]
    frame = pd.DataFrame(rows)
    scores = tables.class_scores(frame[frame["class"] == "vertebrae"], None, {**SOUND, "aggregation": "images"})
    assert (scores["detection"], scores["missed"], scores["absent"]) == (0.5, 2, 1)
    assert scores["dice"] == pytest.approx(1 / 3)  # 1, 0, 0; absent is no score
    assert scores["nsd"] == pytest.approx(1 / 3)
    assert scores["asd"] == 0


def test_the_ladder_by_hand():
    runs = [(name, "t1", SOUND, metrics_of(1, noise=noise)) for name, noise in (("released", 0.02), ("sound", 0.1))]
    settings = {name: {"split": {"kind": kind}, "x": 1} for name, kind in (("released", "slice"), ("sound", "patient"))}
    stack = pd.DataFrame({"class": CLASSES, "asd": 0.0, "nsd": 1.0})
    printed = published.read("table2")
    table = tables.table2([(*run, stack) for run in runs], printed)
    ladder = comparison.ladder(runs, ["released", "patient", "sound"], settings, table)
    ladder = ladder[ladder["class"] == "ivd"]
    assert list(ladder["step"]) == ["printed", "as reported", "0", "1", "as reported"]
    assert ladder["dice"].iloc[0] == 0.9592
    first, second = ladder["dice"].iloc[2], ladder["dice"].iloc[3]
    for value, (_, _, _, images) in zip((first, second), runs, strict=True):
        part = images[images["class"] == "ivd"]
        assert value == pytest.approx(2 * part["tp"].sum() / (2 * part["tp"] + part["fp"] + part["fn"]).sum())
    assert ladder["dice change"].iloc[3] == pytest.approx(second - first)
    assert ladder["changed"].iloc[3] == "split.kind: slice -> patient"


def test_an_ablation_is_paired():
    worse, better = metrics_of(1, 13, noise=0.06), metrics_of(1, 13, noise=0.03)
    runs = [("base", "t1", SOUND, worse), ("new", "t1", SOUND, better[better["patient"] > 0])]
    table = comparison.ablation(runs, "base", {"base": "patient", "new": "patient"}).set_index(["metric", "class"])
    row = table.loc["dice", "ivd"]
    dice = [
        part[part["class"] == "ivd"].groupby("patient")[["tp", "fp", "fn"]].sum()
        for part in (worse[worse["patient"] > 0], better[better["patient"] > 0])
    ]
    base, new = (2 * part["tp"] / (2 * part["tp"] + part["fp"] + part["fn"]) for part in dice)
    assert row["difference"] == pytest.approx((new - base).mean())
    assert row["patients"] == 12
    assert row["low"] <= row["difference"] <= row["high"]
    assert row["verdict"] == "higher"
    assert row["p"] == pytest.approx(2 / 2**12)  # all differences have one sign
    assert (table["p corrected"] >= table["p"]).all()
    few = [("base", "t1", SOUND, worse[worse["patient"] < 5]), ("new", "t1", SOUND, better[better["patient"] < 5])]
    table = comparison.ablation(few, "base", {"base": "patient", "new": "patient"})
    assert table[["low", "high", "p"]].isna().all(axis=None)
    assert set(table["verdict"]) == {"no telling"}
    assert comparison.ablation(runs[:1], "base", {"base": "patient"}).empty


def test_subgroups():
    overview = pd.DataFrame(
        {
            "new_file_name": [f"{k}_t1" for k in range(4)],
            "sex": ["M ", "F", "F", ""],
            "birth_date": ["49.0", "65", "", "20"],
            "MagneticFieldStrength": ["1.5"] * 4,
        }
    )
    table = comparison.subgroups([("sound", "t1", SOUND, metrics_of(2))], overview)
    found = {(row["by"], row["group"]): row["patients"] for row in table.to_dict("records")}
    assert found == {
        ("field strength", "1.5 T"): 4, ("sex", "F"): 2, ("sex", "M"): 1,
        ("age", "20-39"): 1, ("age", "40-59"): 1, ("age", "60-79"): 1,
    }  # fmt: skip
    assert comparison.subgroups([("sound", "t1", SOUND, metrics_of(2))], None).empty


def test_each_cell_of_the_paper_beside_ours():
    kinds = ["images kept", "ratio before", "ratio after"]
    table1 = pd.DataFrame(
        [
            ["t2_SPACE", "released disjoint", 500, 42, 39],
            ["t2_SPACE", "sound", 600, 42, 42],
            ["t2_SPACE", "paper", 1000, 40, 37],
            ["total", "released disjoint", 500, np.nan, np.nan],
        ],
        columns=["sequence", "experiments", *kinds],
    )
    scores = dict.fromkeys(tables.METRICS, 0.5)
    about = {"sequence": "t2_SPACE", "class": "ivd"}
    table2 = pd.DataFrame(
        [
            {**about, "experiment": "paper", **scores, "asd": 0.03, "how": "as printed"},
            {**about, "experiment": "released", **scores, "dice": 0.4, "asd": 0.1, "detection": 0.9, "how": "x, px"},
            {**about, "experiment": "sound", **scores, "asd": 0.7, "detection": 0.8, "how": "x, mm"},
            {"sequence": "own", "class": "ivd", "experiment": "sound", **scores, "how": "x, mm"},
        ]
    )
    paper = pd.DataFrame(
        [["ivd", "dice", 0.5, 0.86], ["ivd", "asd", 0.03, 0.58], ["ivd", "detection", 1.0, np.nan]],
        columns=["class", "metric", "proposed", "nnunet"],
    )
    third = table3.table3(table2, {}, {}, paper, pd.DataFrame()).replace("", np.nan)  # as read from its CSV
    table = comparison.paper_comparison(table1, table2, third).set_index(["table", "class", "metric"])
    found = {key: (row["printed"], row["released"], row["sound"]) for key, row in table.iterrows()}
    assert found["1", "", "images kept"] == (1000, 500, 600)
    assert found["2", "ivd", "dice"] == found["3", "ivd", "dice"] == (0.5, 0.4, 0.5)
    assert found["2", "ivd", "asd"] == found["3", "ivd", "asd"] == (0.03, 0.1, 0.7)
    assert found["3", "ivd", "detection"] == (1, 0.9, 0.8)
    assert len(found) == len(table) == 3 + 7 + 3  # a sequence that the paper lacks has no row
    assert table.loc[("2", "ivd", "asd"), "units"] == table.loc[("3", "ivd", "asd"), "units"] == "px, mm"
    assert table["released - printed"].equals(table["released"] - table["printed"])
    assert table["sound - printed"].equals(table["sound"] - table["printed"])


def test_the_papers_rows_against_its_formulas():
    """As an independent audit found: t2_SPACE obeys the identities of F1, most of t1 and t2 does not."""
    printed = {name: published.read(name) for name in ("table1", "table2", "table3")}
    audit = comparison.paper_audit(printed)
    f1 = audit[audit["identity"].str.startswith("F1")]
    t2_space = f1["row"].str.startswith("t2_SPACE")
    assert f1[t2_space]["holds"].all()
    assert f1[~t2_space]["holds"].mean() < 0.5
    row = audit[(audit["row"] == "t2, ivd") & (audit["identity"] == "F1 = 2 P R / (P + R)")].iloc[0]
    assert row["implied"] == pytest.approx(0.9591, abs=5e-5)
    assert row["printed"] == 0.9650
    assert not row["holds"]
    assert audit[audit["table"] == "1"]["holds"].all()  # the percentages are relative reductions of a ratio
    assert audit[audit["table"] == "3"]["holds"].all()


@pytest.mark.parametrize("columns", [comparison.ABLATION, ["sequence"]])
def test_a_table_without_rows_says_so(tmp_path, columns):
    empty = comparison.ablation([], "sound", {}) if columns is comparison.ABLATION else pd.DataFrame(columns=columns)
    publish.write(empty, tmp_path / "table", "Title", "A note.")
    for ending in ("md", "html"):
        assert "No rows" in (tmp_path / f"table.{ending}").read_text(encoding="utf-8")
    assert (tmp_path / "table.csv").read_text(encoding="utf-8").strip().split(",") == list(empty.columns)


def test_names_stay_text(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(
        "patient,volume,sequence,index,dice,asd\n007,007_NA,NA,1,0.5,\n10,10_NA,NA,2,,inf\n", encoding="utf-8"
    )
    table = frames.read_table(path)
    assert table["patient"].tolist() == ["007", "10"]
    assert table["sequence"].tolist() == ["NA", "NA"]
    assert table["index"].tolist() == [1, 2]
    assert table["dice"].isna().tolist() == [False, True]
    assert np.isnan(table["asd"][0])
    assert np.isinf(table["asd"][1])
