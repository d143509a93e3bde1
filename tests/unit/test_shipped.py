"""The model that comes with the software: small, sound, described, and of use on scans of other sites."""

import math
import re

import numpy as np
import pytest
from conftest import ROOT

from lumbarflow import source
from lumbarflow.application import segment
from lumbarflow.data.new_scans import Scan
from lumbarflow.learning import models, package

PATH = source.shipped_model()


def test_it_is_small_and_segments_its_test_case():
    about, members = package.read(PATH)
    assert (ROOT / "models").joinpath("README.md").read_text(encoding="utf-8") == members["CARD.md"].decode()
    assert sum(map(len, members.values())) <= 5_000_000
    numbers = sum(math.prod(shape) for network in about["networks"] for shape in network["shapes"])
    assert numbers <= 2_100_000
    assert about["trained_on"]["patients"] == 30
    assert about["scores"]["everyone"]
    assert models.check(PATH)["passed"]


def test_no_patient_is_named():
    about, members = package.read(PATH)
    text = str(about) + members["CARD.md"].decode()
    assert not re.search(r"\b\d+_t2", text)


@pytest.fixture(scope="module")
def model():
    return segment.load([PATH])


def test_a_lumbar_scan_of_another_site(real_data, model):
    """No truth is known; but a lumbar spine has these."""
    found = segment.segment(Scan(str(real_data / "external/sct/t2_lumbar.nii.gz")), model)
    bodies = [row for row in found.rows if row["label"] < 100]
    assert 5 <= len(bodies) <= 10
    heights = [row["height_middle_mm"] for row in bodies if not math.isnan(row["height_middle_mm"])]
    assert 18 <= np.median(heights) <= 35
    assert 100 in found.labels
