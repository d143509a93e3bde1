"""Split images or patients into training, validation and test set."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .. import DataError
from ..data import tables

Row = Mapping[str, str]  # of a manifest or a split table
Item = TypeVar("Item", bound=Hashable)  # a patient, or the (volume, index) of a slice

# the subset that chooses the model, by split.validation; for `none` it is the one of the last epoch
VALIDATED_ON = {"own": "validation", "test": "test"}


def shuffled(rows: Sequence[Row], shuffle: str, seed: int) -> list[tuple[str, str]]:
    """(volume, index) of the kept images of a manifest, in a random order.

    shuffle `seeded`: reproducible by seed; `authors`: that of the paper's release, whatever the seed:
    `train_test_split(..., random_state=0)` of scikit-learn, which is numpy.random.RandomState(0).permutation, over the
    file names {volume}_slice{index + 1}.png in alphabetical order. Inferred: that their index counts from the same
    side as ours, and that their folder held the kept images alone.
    """
    import numpy as np  # here and below: Snakemake itself reads this module, without NumPy

    kept = [(row["volume"], row["index"]) for row in rows if row["kept"] == "true"]
    if shuffle == "authors":
        kept.sort(key=lambda key: f"{key[0]}_slice{int(key[1]) + 1}.png")
        return [kept[i] for i in np.random.RandomState(0).permutation(len(kept))]
    return [kept[i] for i in np.random.default_rng(seed).permutation(len(kept))]


def deal(items: Sequence[Item], n_folds: int, seed: int | None, strata: Mapping[Item, str]) -> dict[Item, int]:
    """Split items at random into `n_folds` parts of equal size: {item: part}, reproducible by seed.

    strata: {item: group}; the items of each group are spread evenly over the parts: how many of a group a part gets
    does not depend on the seed. seed: None deals them in order, for a look at these numbers.
    """
    order = list(items)
    if seed is not None:
        import numpy as np

        order = [items[i] for i in np.random.default_rng(seed).permutation(len(items))]
    order.sort(key=lambda item: strata[item])  # stable: random within a group
    return {item: position % n_folds for position, item in enumerate(order)}


def subset_of(part: int, fold: int, n_folds: int, validation: str) -> str:
    """Subset of a part in a fold: part `fold` is for test, the next one for validation if `own`, the rest trains."""
    if part == fold % n_folds:
        return "test"
    if validation == "own" and part == (fold + 1) % n_folds:
        return "validation"
    return "train"


def read_official(path: str | Path) -> dict[str, str]:
    """The official division, from SPIDER's overview.csv or a sample sheet: {patient: `training` or `validation`}.

    Raises DataError.
    """
    sides: dict[str, str] = {}
    table = tables.read(path)
    for line, row in zip(table.lines, table.rows, strict=True):
        if not {"new_file_name", "patient"} & row.keys() or row.get("subset") not in ("training", "validation"):
            raise DataError(
                f"{path}, line {line}: expected columns new_file_name (of a sample sheet: patient) and subset "
                f"(training or validation), found {dict(list(row.items())[:3])} ...; add them, or use "
                "split.kind patient"
            )
        patient = row["patient"] if "patient" in row else row["new_file_name"].partition("_")[0]
        if sides.setdefault(patient, row["subset"]) != row["subset"]:
            raise DataError(f"{path}: patient {patient} is in training and in validation; put all series in one")
    return sides


def sides(
    kind: str,
    n_folds: int,
    validation: str,
    seed: int | None,
    fold: int,
    patients: Mapping[str, Sequence[str]],
    official: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """{patient: `train`, `validation` or `test`} of a split by patients; arguments as of `make`, seed as of `deal`.

    Raises DataError if a patient is missing from `official`.
    """
    strata = {name: " ".join(sequences) for name, sequences in patients.items()}
    if kind == "patient":
        dealt = deal(sorted(patients), n_folds, seed, strata)
        return {patient: subset_of(part, fold, n_folds, validation) for patient, part in dealt.items()}
    assert official is not None  # always given for this kind
    unknown = sorted(patients.keys() - official.keys())
    if unknown:
        raise DataError(f"there is no official subset for patient {unknown[0]} ({len(unknown)} such in all)")
    training = [patient for patient in sorted(patients) if official[patient] == "training"]
    validates = fold % n_folds if validation == "own" else None
    found = dict.fromkeys(patients, "test")
    for patient, part in deal(training, n_folds, seed, strata).items():
        found[patient] = "validation" if part == validates else "train"
    return found


def needed(validation: str) -> list[str]:
    """The subsets that must not be empty."""
    return ["train", "test"] + (["validation"] if validation == "own" else [])


def make(
    rows: Sequence[Row],
    kind: str,
    n_folds: int,
    validation: str,
    filter_test: bool,
    shuffle: str,
    seed: int,
    fold: int,
    patients: Mapping[str, Sequence[str]],
    official: Mapping[str, str] | None = None,
) -> list[str]:
    """Subset of each manifest row: a list of `train`, `validation`, `test` or `none`.

    kind `slice` splits the kept images regardless of their patient (the release; it leaks), in the order of `shuffle`
    (see `shuffled`; `authors` takes its parts from the order one after the other, as the release does); `patient`
    splits the patients, each with all of its sequences, so that no patient is in two subsets;
    `official` tests SPIDER's validation patients (`official`: from read_official) and splits the
    others, with one part for validation. patients: {patient: its sequences} of all sequences in use,
    so that each sequence gets the same split. filter_test: the filter also drops test images;
    otherwise every slice of a test volume is scored. validation `test`: the test images also choose
    the model; `none`: all other parts train.

    Raises DataError for an unknown kind, an empty subset, or a patient missing from `official`.
    """
    keys: list[Any]  # what is split: (volume, index), or a patient
    found: dict[Any, str]
    if kind == "slice":
        keys = [(row["volume"], row["index"]) for row in rows]
        order = shuffled(rows, shuffle, seed)
        size = -(-len(order) // n_folds)
        parts = [k // size if shuffle == "authors" else k % n_folds for k in range(len(order))]
        found = {key: subset_of(part, fold, n_folds, validation) for key, part in zip(order, parts, strict=True)}
    elif kind in ("patient", "official"):
        keys = [row["patient"] for row in rows]
        found = dict(sides(kind, n_folds, validation, seed, fold, patients, official))
    else:
        raise DataError(f"split.kind must be slice, patient or official, not {kind!r}")
    subsets = []
    for key, row in zip(keys, rows, strict=True):
        subset = found.get(key, "none")
        if row["kept"] != "true" and (subset != "test" or filter_test):
            subset = "none"
        subsets.append(subset)
    for subset in needed(validation):
        if subset not in subsets:
            raise DataError(
                f"the {kind} split in {n_folds} parts leaves no image to {subset}: {len(rows)} images of "
                f"{len({row['patient'] for row in rows})} patients, {sum(row['kept'] == 'true' for row in rows)} "
                "kept by the filter; add data, lower split.n_folds, or relax the filter"
            )
    return subsets


def check_disjoint(rows: Sequence[Row], kind: str) -> None:
    """Raise DataError if a patient is in two subsets of a split by patients."""
    if kind == "slice":
        return
    sides: dict[str, set[str]] = {}
    for row in rows:
        if row["subset"] != "none":
            sides.setdefault(row["patient"], set()).add(row["subset"])
    for patient, subsets in sides.items():
        if len(subsets) > 1:
            raise DataError(f"patient {patient} is in {' and '.join(sorted(subsets))}: the split leaks; make it anew")
