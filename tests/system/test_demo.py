"""The demo as it is shipped: learns what it should, and is done when it is done."""

import csv

import numpy as np
import pytest
from conftest import Workflow

from lumbarflow import CLASSES
from lumbarflow.data import labels, phantom, volumes

pytestmark = pytest.mark.system


@pytest.fixture(scope="module", params=["t2", pytest.param("t1,t2,t2_SPACE", marks=pytest.mark.long)])
def demo(request, tmp_path_factory):
    """The demo of one sequence, or the whole of it."""
    workflow = Workflow(tmp_path_factory.mktemp("demo"))
    workflow.sequences = request.param.split(",")
    workflow.options = ("--config", f"sequences=[{request.param}]")
    workflow(*workflow.options)
    return workflow


def test_sound_learns_the_phantom_and_released_looks_better_than_it_is(demo):
    with open(demo.results / "tables/summary.csv", newline="", encoding="utf-8") as file:
        score = {(row["experiment"], row["sequence"]): float(row["macro Dice"]) for row in csv.DictReader(file)}
    assert set(score) == {(name, sequence) for name in ("released", "sound") for sequence in demo.sequences}
    for sequence in demo.sequences:
        assert score["sound", sequence] >= 0.85, score
        assert score["released", sequence] > score["sound", sequence], score


def test_a_second_run_does_nothing(demo):
    assert "Nothing to be done" in demo(*demo.options).stdout


def test_it_ends_by_segmenting_new_scans(demo):
    """By the network that it trained, packaged: patients that are in no dataset, about as well as its test patients."""
    sequence = "t2_SPACE" if "t2_SPACE" in demo.sequences else demo.sequences[0]
    demo("package", *demo.options)
    model = f"model=results/models/sound/{sequence}.zip"
    demo("segment", *demo.options, "scans=phantom", model, "viewer=true")
    folder = demo.results / "segmentations"
    with (folder / "summary.csv").open(newline="", encoding="utf-8") as file:
        assert [row["failed"] for row in csv.DictReader(file)] == ["", ""]
    with (demo.results / "tables/table2.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (row["experiment"], row["sequence"]) == ("sound", sequence)]
    usual = {row["class"]: float(row["dice"]) for row in rows}
    for number in (1, 2):
        found = volumes.read(folder / f"new-{number}" / "classes.mha").array
        truth = labels.lut(phantom.make_volume(1, phantom.NEW + number - 1, sequence)[1])
        for k, name in enumerate(CLASSES[1:], 1):
            both = np.count_nonzero((found == k) & (truth == k))
            dice = 2 * both / (np.count_nonzero(found == k) + np.count_nonzero(truth == k))
            assert dice >= usual[name] - 0.25, (number, name, dice, usual[name])
