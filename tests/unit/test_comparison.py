"""Tables that compare: against plain pandas, numbers worked out by hand, and what is known of the paper."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumbarflow.measures import evaluation
from lumbarflow.report import comparison, findings, frames, publish, published, table3, tables

SOUND = {"grid": "source", "dice": "hard", "surface": "slice", "elements": "voxels", "aggregation": "patients"}


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
                rows.append({**about, "scored": True, "grid": "source", "unit": "mm", "soft_dice": np.nan, **row})
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


def dice_of(images, name="ivd"):
    """Mean over patients of the Dice pooled over each one's slices."""
    sums = images[images["class"] == name].groupby("patient")[["tp", "fp", "fn"]].sum()
    return (2 * sums["tp"] / (2 * sums["tp"] + sums["fp"] + sums["fn"])).mean()


def test_the_ladder_by_hand():
    leaking, honest, better = (metrics_of(1, noise=noise) for noise in (0.02, 0.1, 0.05))
    leaking = leaking[leaking["index"] == 0]  # other test slices
    # its own protocol leaves slices out; the yardstick does not
    few = honest.assign(scored=honest["index"] < 2)
    network = few[few["scored"]].assign(grid="network", unit="px")
    measured = {"released": leaking, "lut": pd.concat([few, network]), "sound": better}
    released = {**SOUND, "grid": "network"}
    runs = [
        ("released", "t1", released, pd.concat([leaking, leaking.assign(grid="network", unit="px")])),
        ("lut", "t1", released, measured["lut"]),
        ("sound", "t1", SOUND, better),
    ]
    settings = {name: {"split": {"kind": kind}, "x": 1} for name, kind in (("released", "slice"), ("lut", "patient"))}
    settings["sound"] = {"split": {"kind": "patient"}, "x": 2}
    reported = [(*run[:3], run[3][run[3]["scored"]], None) for run in runs]
    table = tables.table2(reported, published.read("table2"))
    ladder = comparison.ladder(runs, ["released", "absent", "lut", "sound"], settings, table)
    ladder = ladder[ladder["class"] == "ivd"].set_index("experiment")
    assert list(ladder["step"]) == ["printed", "0", "1", "2"]
    assert ladder.loc["paper", "reported dice"] == 0.9592
    assert ladder.loc["paper", ["dice", "asd, mm"]].isna().all()
    expected = {"released": dice_of(leaking), "lut": dice_of(honest), "sound": dice_of(better)}
    assert ladder["dice"].dropna().to_dict() == pytest.approx(expected)
    assert ladder["dice change"].dropna().to_dict() == pytest.approx(
        {"lut": expected["lut"] - expected["released"], "sound": expected["sound"] - expected["lut"]}
    )
    assert ladder.loc["lut", "reported dice"] == pytest.approx(dice_of(honest[honest["index"] < 2]))
    assert ladder["reported unit"].to_dict() == {"paper": "px", "released": "px", "lut": "px", "sound": "mm"}
    assert ladder["slices"].dropna().to_dict() == {"released": 4, "lut": 12, "sound": 12}
    assert ladder["test slices"].dropna().to_dict() == {"lut": "others: unpaired", "sound": "the same"}
    assert ladder["changed"].dropna().to_dict() == {"lut": "split.kind: slice -> patient", "sound": "x: 1 -> 2"}


def test_intervals_are_of_what_is_reported_and_of_the_yardstick():
    images = metrics_of(3, 8)
    network = metrics_of(4, 8, noise=0.3).assign(grid="network", unit="px", soft_dice=0.5)
    images = pd.concat([images.assign(scored=images["index"] < 2), network])
    how = {"grid": "network", "dice": "soft", "surface": "stack", "elements": "voxels", "aggregation": "images"}
    table = comparison.interval_table([("released", "t1", how, images)])
    table = table[table["class"] == "ivd"].set_index(["measured", "metric"])
    assert table.loc[("as reported", "dice"), "value"] == 0.5
    assert table.loc[("yardstick", "dice"), "value"] == pytest.approx(dice_of(metrics_of(3, 8)))
    assert ("as reported", "asd") not in table.index  # of the whole stack: not a patient's
    assert table.loc[("yardstick", "asd"), "unit"] == "mm"
    assert (table["patients"] == 8).all()
    unequal = table[table["low"] < table["high"]]
    assert ((unequal["low"] < unequal["value"]) & (unequal["value"] < unequal["high"])).all()
    assert len(unequal) > 5


def test_counts_of_several_trainings_are_of_all_together():
    """Two folds with other patients, one of them by two seeds."""
    one = metrics_of(1)
    two = one.assign(patient="other-" + one["patient"].astype(str), volume="other-" + one["volume"].astype(str))
    runs = [("sound", "t1", SOUND, images, None) for images in (one, two, one)]
    alone, together = (tables.table2(some, published.read("table2")) for some in (runs[:1], runs))
    first, every = (frame[(frame["experiment"] == "sound") & (frame["class"] == "ivd")] for frame in (alone, together))
    for name, times in (("images", 2), ("patients", 2), ("missed", 3), ("absent", 3), ("dice", 1)):
        assert every[name].item() == pytest.approx(times * first[name].item()), name


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
    # of a patient, only the slices that both were tested on
    one = [("base", "t1", SOUND, worse), ("new", "t1", SOUND, better[(better["index"] == 1) | (better["patient"] > 9)])]
    table = comparison.ablation(one, "base", {"base": "patient", "new": "slice"}).set_index(["metric", "class"])
    alone = worse[worse["index"] == 1], better[better["index"] == 1]
    rest = worse[worse["patient"] > 9], better[better["patient"] > 9]
    both = [pd.concat([a, b]).drop_duplicates(["patient", "index", "class"]) for a, b in zip(alone, rest, strict=True)]
    assert table.loc[("dice", "ivd"), "difference"] == pytest.approx(dice_of(both[1]) - dice_of(both[0]))
    assert (table["slices"] == 10 + 3 * 3).all()


def without(images, name, truth=True):
    """The same rows, but a class is nowhere, or, with truth=False, only not predicted."""
    rows = images["class"] == name
    images = images.copy()
    if truth:
        images.loc[rows, ["tp", "fp", "fn"]] = 0
    else:
        images.loc[rows, "fn"] += images.loc[rows, "tp"]
        images.loc[rows, ["tp", "fp"]] = 0
    images.loc[rows, ["iou", "dice", "precision", "recall", "f1"]] = np.nan if truth else 0.0
    images.loc[rows, [each for each in tables.PER_IMAGE if each.startswith(("assd", "hd", "asd"))]] = np.nan
    images.loc[rows, "missed"] = not truth
    return images


def test_who_misses_more_is_not_nearer():
    """The same predictions, but that of the worst slices lacks the discs: no distance differs, and discs are missed."""
    base = metrics_of(1, 8)
    hard = base["index"] == 2
    less = pd.concat([base[~hard], without(base[hard], "ivd", truth=False)]).sort_index()
    runs = [("base", "t1", SOUND, base), ("less", "t1", SOUND, less)]
    splits = {"base": "patient", "less": "patient"}
    table = comparison.ablation(runs, "base", splits).set_index(["metric", "class"])
    assert (table.loc["asd", "difference"] == 0).all()
    assert table.loc[("asd", "ivd"), "patients"] == 8
    assert table.loc[("dice", "ivd"), "difference"] < -0.1
    # one of two seeds misses them
    seeds = [*runs, ("less", "t1", SOUND, base)]
    table = comparison.ablation(seeds, "base", splits).set_index(["metric", "class"])
    assert table.loc["asd", "difference"].abs().max() < 1e-12
    reported = tables.table2([(*run, None) for run in runs], published.read("table2"))
    ladder = comparison.ladder(runs, ["base", "less"], {"base": {}, "less": {}}, reported)
    ladder = ladder[ladder["class"] == "ivd"].set_index("experiment")
    assert ladder.loc["less", "missed"] - ladder.loc["base", "missed"] == 8


@pytest.mark.parametrize("lacking", [False, True])
def test_the_first_page_of_data_without_a_class(lacking):
    """Whose scheme has no canal, say: means are over the others, and nobody has learnt nothing for it."""
    images = without(metrics_of(1, 8), "spinal_canal") if lacking else metrics_of(1, 8)
    runs = [("mine", "t1", SOUND, images)]
    table = tables.table2([(*runs[0], None)], published.read("table2"))
    training = {"settings": {"split": {"kind": "patient", "validation": "test"}, "network": {"name": "unet"}}}
    training |= {"trained_on": "t1", "images": {"train": 9}, "best_epoch": 1}
    found = {
        "ladder": comparison.ladder(runs, ["mine"], {"mine": {}}, table),
        "leakage": tables.leakage({}, [], [], published.read("table2")),
        "intervals": comparison.interval_table(runs),
        "summary": tables.summary([(*runs[0], None)], table, {("mine", "t1"): [training]}),
    }
    mean = found["ladder"].set_index(["class", "experiment"]).loc[("mean of the three", "mine")]
    there = [name for name in tables.FOREGROUND if name != "spinal_canal" or not lacking]
    assert mean["dice"] == mean["reported dice"] == pytest.approx(np.mean([dice_of(images, name) for name in there]))
    assert np.isfinite(mean["asd, mm"])
    lines = "\n".join(findings.lines(found, "Data.", "t1"))
    assert "next to nothing" not in lines
    assert "mine, on 8 patients that its epoch was chosen by, too (95%" in lines
    assert ("canal –" in lines) == lacking


def test_subgroups():
    overview = pd.DataFrame(
        {
            "new_file_name": [f"{k}_t1" for k in range(4)],
            "sex": ["M", "F", "F", ""],
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
    sheet = pd.DataFrame({"volume": overview["new_file_name"], "patient": list("0123"), "site": list("aabb")})
    table = comparison.subgroups([("sound", "t1", SOUND, metrics_of(2))], sheet.assign(age=["49", "", "no", "20"]))
    found = {(row["by"], row["group"]): row["patients"] for row in table.to_dict("records")}
    assert found == {("site", "a"): 2, ("site", "b"): 2, ("age", "20-39"): 1, ("age", "40-59"): 1}
    assert comparison.subgroups([("sound", "t1", SOUND, metrics_of(2))], None).empty
    sites = [*map(str, range(comparison.GROUPS)), ""]  # one is not known
    groups = comparison.groups_of(pd.DataFrame({"volume": [f"{n}_t1" for n in range(len(sites))], "site": sites}))
    assert len(groups) == comparison.GROUPS
    nameless = pd.DataFrame({"patient": list("0123"), "subset": ["training"] * 4, "sex": list("MFFM")})
    assert comparison.subgroups([("sound", "t1", SOUND, metrics_of(2))], nameless).empty


def test_a_patient_of_two_groups_stands_in_both():
    """Each group has the volumes that are of it, not all of a patient who was in it first."""
    at_15, at_3 = metrics_of(1, 8), metrics_of(2, 4, noise=0.3)
    at_3["volume"] = at_3["patient"].astype(str) + "_t1-3T"
    images = pd.concat([at_15, at_3])
    fields = {name: "3" if "3T" in name else "1.5" for name in images["volume"].unique()}
    sheet = pd.DataFrame({"volume": fields.keys(), "field": fields.values()})
    table = comparison.subgroups([("sound", "t1", SOUND, images)], sheet).set_index("group")
    assert table["patients"].to_dict() == {"1.5": 8, "3": 4}
    for group, part in (("1.5", at_15), ("3", at_3)):
        alone = comparison.patient_scores(dict(list(part.groupby("class"))))["dice"]["mean"].mean()
        assert table.loc[group, "mean"] == pytest.approx(alone)


def test_an_image_of_two_seeds_is_missed_once():
    images = without(metrics_of(1), "ivd", truth=False)
    twice = [("a", "t1", SOUND, each) for each in (images, images)]
    once = comparison.ladder(twice[:1], [], {"a": {}}, tables.table2([(*twice[0], None)], published.read("table2")))
    both = comparison.ladder(twice, [], {"a": {}}, tables.table2([(*twice[0], None)], published.read("table2")))
    pd.testing.assert_series_equal(once["missed"], both["missed"])
    assert once["missed"].max() == 12


def test_patients_of_an_interval_are_those_with_a_score():
    images = metrics_of(1, 8)
    few = images[(images["class"] != "ivd") | (images["patient"] < 5)]
    lacking = images[(images["class"] == "ivd") & (images["patient"] >= 5)]
    lacking = lacking.assign(tp=0, fp=0, fn=0, dice=np.nan, iou=np.nan, assd=np.nan, missed=False)
    table = comparison.interval_table([("a", "t1", SOUND, pd.concat([few, lacking]))])
    found = table[table["metric"].isin(["dice", "asd"])].groupby("class")["patients"].agg(["min", "max"])
    assert found.loc["ivd"].tolist() == [5, 5]
    assert found.loc["vertebrae"].tolist() == [8, 8]
    assert table.loc[(table["class"] == "ivd") & (table["metric"] == "dice"), "low"].isna().all()


def test_another_tolerance_of_nsd_is_told():
    wide = {**SOUND, "tau": 3.0}
    assert tables.how({**SOUND, "tau": 1.0}) == tables.how(SOUND)
    assert tables.how(wide).endswith("ASD, NSD per slice, NSD within 3, mm")
    for told in (wide, tables.how(wide)):
        assert (tables.unit_of("nsd", told), tables.unit_of("asd", told)) == ("3 mm", "mm")


def test_networks_on_other_sequences_where_a_class_lacks():
    images = metrics_of(1)
    images.loc[images["class"] == "spinal_canal", ["tp", "fp", "fn"]] = 0
    (row,) = tables.across([("a", "t1", "t2", images)]).to_dict("records")
    assert np.isnan(row["spinal_canal"])
    assert row["macro Dice"] == pytest.approx((row["vertebrae"] + row["ivd"]) / 2)
    # of two trainings: the mean of scores, but no half images
    other = metrics_of(2)
    other = other[other["patient"].isin(sorted(other["patient"].unique())[:3])]
    (both,) = tables.across([("a", "t1", "t2", metrics_of(1)), ("a", "t1", "t2", other)]).to_dict("records")
    assert (both["test images"], both["test patients"]) == (row["test images"], row["test patients"])


def test_a_p_value_is_never_shown_as_0():
    shown = publish._column(pd.Series([3e-8, 0.0002, 1.0, np.nan], name="p corrected"))
    assert shown.tolist() == ["<0.0001", "0.0002", "1.0000", "–"]
    assert publish._column(pd.Series([3e-8, 0.5], name="sd")).tolist() == ["0.0000", "0.5000"]


def test_a_stack_in_which_a_class_was_never_predicted_has_no_distance():
    """Infinite, it would run into the means over folds and classes."""
    released = {**SOUND, "grid": "network", "dice": "hard", "surface": "stack"}
    images = metrics_of(1)
    part = images[images["class"] == "ivd"]
    assert np.isnan(tables.class_scores(part, {"asd": np.inf, "nsd": 0.0}, released)["asd"])
    assert tables.class_scores(part, {"asd": 2.0, "nsd": 0.5}, released)["asd"] == 2


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
    # no difference across units: ASD in mm, NSD within 1 mm
    across = [key for key in table.index if key[2] in ("asd", "nsd")]
    assert table.loc[across, "sound - printed"].isna().all()
    rest = table.drop(across)
    assert rest["sound - printed"].equals(rest["sound"] - rest["printed"])


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


def test_a_table_is_shown_in_blocks_with_footnotes(tmp_path):
    frame = pd.DataFrame(
        {
            "sequence": ["t1", "t1", "t2_SPACE"],
            "class": ["ivd", "spinal_canal", "ivd"],
            "experiment": ["a<b", "c", "a<b"],
            "dice": [0.25, 0.5, np.nan],
            "relative reduction, %": [1.0, 2, 3],
            "asd_mm": [1.5, 2, 3],
            "how": ["by_area, 5%", "", "by_area, 5%"],
        }
    )
    layout = publish.Layout(block="sequence", heading="On {}", footnotes=["how"], marked="experiment")
    publish.write(frame, tmp_path / "t", "Title", "A note.", layout)
    text = {ending: (tmp_path / f"t.{ending}").read_text(encoding="utf-8") for ending in ("csv", "md", "tex", "html")}
    assert list(pd.read_csv(tmp_path / "t.csv").columns) == list(frame.columns)  # whole: for programs
    pieces = text["md"].split("\n\n")
    assert [pieces[k] for k in (0, 1, 3, 5, 6)] == ["**Title**", "On t1", "On t2_SPACE", "[1] by_area, 5%", "A note.\n"]
    assert "| Class" in pieces[2]
    assert re.search(r"IVD +\| a<b \[1\] +\| 0\.2500", pieces[2])
    assert re.search(r"Spinal canal +\| c +\| 0\.5000", pieces[2])
    page = text["html"]
    assert page.count("<tbody>") == page.count('<tr class="block">') == 2
    assert ">a&lt;b <sup>1</sup><" in page
    assert "<li>by_area, 5%</li>" in page
    for head in ("Class", "Experiment", "Dice", "Relative reduction, %", "ASD, mm"):
        assert re.search(rf"<th[^>]*>{head}</th>", page), head
    lines = text["tex"].splitlines()
    body = lines[lines.index("\\midrule") + 1 : lines.index("\\bottomrule")]
    assert [line.split(" & ")[0][:9] for line in body] == ["\\multicol", "IVD", "Spinal ca", "\\multicol", "IVD"]
    assert r"\textbf{On t2\_SPACE}" in body[3]
    assert r"[1] by\_area, 5\%" in text["tex"]


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


def test_a_class_that_was_never_found_leaves_no_mean_distance():
    """Else missing a class would be rewarded: its distance, the worst of all, is unknown."""
    rows = [
        {"dice": 0.9, "dice pooled": 0.9, "asd": 1.0, "detection": 1.0},
        {"dice": 0.0, "dice pooled": 0.0, "asd": np.nan, "detection": 0.0},
    ]
    mean = tables.mean_of_classes(pd.DataFrame(rows))
    assert np.isnan(mean["asd"])
    assert mean["dice"] == pytest.approx(0.45)
    # nor in one of several trainings
    lost = [("a", "t1", SOUND, images, None) for images in (metrics_of(1), without(metrics_of(1), "ivd", truth=False))]
    table = tables.table2(lost, published.read("table2")).set_index(["experiment", "class"]).loc["a"]
    assert np.isnan(table.loc["ivd", "asd"])
    assert np.isnan(table.loc["mean", "asd"])
    assert np.isnan(table.loc["ivd", "asd sd"])
    assert np.isfinite(table.loc["vertebrae", "asd"])
    # a class that the scheme lacks; the release's soft Dice of a class that is nowhere is 1
    absent = [rows[0], {**rows[1], "dice": 1.0, "dice pooled": np.nan, "detection": np.nan}]
    assert tables.mean_of_classes(pd.DataFrame(absent)) == {"dice": 0.9, "asd": 1.0}
    invented = [rows[0], {**rows[1], "detection": np.nan}]  # in one image, of no truth
    assert tables.mean_of_classes(pd.DataFrame(invented)) == {"dice": pytest.approx(0.45), "asd": 1.0}
    printed = pd.DataFrame([{"how": "as printed", "dice": k / 10, "asd": k, "dice pooled": np.nan} for k in (1, 2)])
    assert tables.mean_of_classes(printed.assign(detection=np.nan)) == {"dice": pytest.approx(0.15), "asd": 1.5}
