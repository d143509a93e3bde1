from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumbarflow import DataError
from lumbarflow.learning import splits


def manifest(patients, slices=5):
    return [
        {"volume": f"{p}_t2", "patient": str(p), "index": str(i), "kept": "true" if i else "false"}
        for p in patients
        for i in range(slices)
    ]


def make(rows, kind="patient", parts=4, validation="own", filter_test=False, fold=0, seed=1):
    patients = {row["patient"]: ["t2"] for row in rows}
    return splits.make(rows, kind, parts, validation, filter_test, "seeded", seed, fold, patients)


@given(st.integers(4, 40), st.integers(2, 4), st.integers(0, 99))
def test_every_patient_is_tested_once_and_never_leaks(count, parts, seed):
    rows = manifest(range(count))
    tested = []
    for fold in range(parts):
        subsets = make(rows, parts=parts, validation="own" if parts > 2 else "test", fold=fold, seed=seed)
        splits.check_disjoint([{**r, "subset": s} for r, s in zip(rows, subsets, strict=True)], "patient")
        tested += [row["patient"] for row, s in zip(rows, subsets, strict=True) if s == "test" and row["index"] == "1"]
    assert sorted(tested) == sorted(str(p) for p in range(count))


def test_without_validation_the_same_patients_are_tested_and_all_others_train():
    rows = manifest(range(10))
    own, without = make(rows, parts=5, fold=2), make(rows, parts=5, fold=2, validation="none")
    kept = [row["kept"] == "true" for row in rows]
    expected = ["train" if subset == "validation" else subset for subset in own]
    assert without == expected
    assert [s for s, k in zip(without, kept, strict=True) if k].count("train") == 0.8 * sum(kept)


@given(st.integers(0, 99))
def test_a_patient_is_on_one_side_in_all_its_sequences(seed):
    patients = {str(p): ["t1", "t2"] if p % 3 else ["t1"] for p in range(20)}
    sides = {}
    for sequence in ("t1", "t2"):
        rows = manifest([p for p, has in patients.items() if sequence in has])
        subsets = splits.make(rows, "patient", 5, "own", False, "seeded", seed, 0, patients)
        for row, subset in zip(rows, subsets, strict=True):
            if row["kept"] == "true":
                sides.setdefault(row["patient"], set()).add(subset)
    assert all(len(side) == 1 for side in sides.values())


def test_the_filter_spares_the_test_set_unless_told():
    rows = manifest(range(8))
    spared, filtered = make(rows), make(rows, filter_test=True)
    dropped = [i for i, row in enumerate(rows) if row["kept"] == "false"]
    assert {spared[i] for i in dropped} == {"test", "none"}
    assert {filtered[i] for i in dropped} == {"none"}


def test_slices_of_one_patient_are_dealt_out_separately():
    subsets = make(manifest(range(10), 11), kind="slice", parts=10, validation="test", filter_test=True)
    assert subsets.count("test") == 10
    assert subsets.count("train") == 90
    assert subsets.count("none") == 10
    assert "validation" not in subsets


def test_an_empty_subset_is_an_error():
    with pytest.raises(DataError, match="leaves no image to"):
        make(manifest(range(2)), parts=4)


def test_a_leak_is_noticed():
    rows = [{"patient": "1", "subset": "train"}, {"patient": "1", "subset": "test"}]
    with pytest.raises(DataError, match="patient 1 is in test and train"):
        splits.check_disjoint(rows, "patient")


def test_official_tests_spiders_validation_patients(tmp_path):
    path = tmp_path / "overview.csv"
    lines = [f"{p}_{s},{'validation' if p > 7 else 'training'}" for p in range(10) for s in ("t1", "t2")]
    path.write_text("\n".join(["new_file_name,subset", *lines]))
    rows = manifest(range(10))
    patients = {row["patient"]: ["t2"] for row in rows}
    official = splits.read_official(path)
    seen = set()
    for fold in range(4):
        subsets = splits.make(rows, "official", 4, "own", False, "seeded", 1, fold, patients, official)
        of = {s: {r["patient"] for r, x in zip(rows, subsets, strict=True) if x == s} for s in set(subsets)}
        assert of["test"] == {"8", "9"}
        assert len(of["validation"]) == 2
        assert not of["validation"] & of["train"]
        seen |= of["validation"]
    assert seen == {str(p) for p in range(8)}
    del official["3"]
    with pytest.raises(DataError, match="no official subset for patient 3"):
        splits.make(rows, "official", 4, "own", False, "seeded", 1, 0, patients, official)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("new_file_name,subset\n1_t1,training\n1_t2,validation\n", "patient 1 is in training and in validation"),
        ("new_file_name,sex\n1_t1,F\n", "expected columns new_file_name .* and subset"),
        ("new_file_name,subset\n1_t1,hidden\n", "expected columns new_file_name .* and subset"),
    ],
)
def test_a_faulty_overview_is_refused(tmp_path, text, message):
    path = tmp_path / "overview.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        splits.read_official(path)


def test_the_authors_permutation():
    """Their call once more: the first tenth of RandomState(0).permutation over names in alphabetical order."""
    rows = [
        {"volume": f"{p}_t2", "patient": str(p), "index": str(i), "kept": "true"}
        for p in range(1, 13)
        for i in range(11)
    ]
    names = [f"{row['volume']}_slice{int(row['index']) + 1}.png" for row in rows]
    order = [sorted(names)[k] for k in np.random.RandomState(0).permutation(len(names))]
    assert [f"{v}_slice{int(i) + 1}.png" for v, i in splits.shuffled(rows, "authors", 5)] == order
    for fold in (0, 3):
        subsets = splits.make(rows, "slice", 10, "test", True, "authors", 1, fold, {})
        tested = {name for name, subset in zip(names, subsets, strict=True) if subset == "test"}
        assert tested == set(order[14 * fold : 14 * fold + 14])  # ceil(13.2)
    own = splits.make(rows, "slice", 10, "own", True, "authors", 1, 0, {})
    assert {name for name, subset in zip(names, own, strict=True) if subset == "validation"} == set(order[14:28])


@given(st.lists(st.sampled_from(["t1", "t2", "t1 t2"]), min_size=1, max_size=20), st.integers(2, 6), st.integers(0, 5))
def test_how_many_of_a_group_a_part_gets_does_not_depend_on_the_seed(groups, n_folds, seed):
    """So the plan looks for parts without patients before anything is dealt."""
    strata = {str(k): group for k, group in enumerate(groups)}
    counts = [
        Counter((strata[item], part) for item, part in splits.deal(sorted(strata), n_folds, each, strata).items())
        for each in (seed, None)
    ]
    assert counts[0] == counts[1]
