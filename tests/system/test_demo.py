"""The demo as it is shipped: learns what it should, and is done when it is done."""

import csv

import pytest
from conftest import Workflow

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    workflow = Workflow(tmp_path_factory.mktemp("demo"))
    workflow()
    return workflow


def test_sound_learns_the_phantom_and_released_looks_better_than_it_is(demo):
    with open(demo.results / "tables/summary.csv", newline="", encoding="utf-8") as file:
        score = {(row["experiment"], row["sequence"]): float(row["macro Dice"]) for row in csv.DictReader(file)}
    for sequence in ("t1", "t2", "t2_SPACE"):
        assert score["sound", sequence] >= 0.7, score
        assert score["released", sequence] > score["sound", sequence], score


def test_a_second_run_does_nothing(demo):
    assert "Nothing to be done" in demo().stdout
