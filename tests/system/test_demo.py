"""The demo as it is shipped: learns what it should, and is done when it is done."""

import csv

import pytest
from conftest import Workflow

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
        assert score["sound", sequence] >= 0.7, score
        assert score["released", sequence] > score["sound", sequence], score


def test_a_second_run_does_nothing(demo):
    assert "Nothing to be done" in demo(*demo.options).stdout
