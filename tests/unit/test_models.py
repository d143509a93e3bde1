"""Models go into packages and come out as the same networks; what does not fit is named."""

import json

import keras
import numpy as np
import pytest

from lumbarflow import DataError
from lumbarflow.data import phantom
from lumbarflow.images import slices
from lumbarflow.learning import models, networks, package, scans

NETWORK = {"name": "paper", "image_size": [32, 24], "resize": "area", "options": {"width": 1}}
SETTINGS = {"normalisation": "local", "network": NETWORK, "training": {"epochs": 1}}
RECIPE = {"size": [96, 72], "fit": "letterbox", "window": "volume", "percentiles": [0.5, 99.5], "resize": "area"}
ENDS = {"slice": [2, 3], "row": [1, 2], "column": [1, 2]}
ABOUT = {
    **{"name": "sound-t2", "software": "lumbarflow 1", "sequences": ["t2"], "recipe": RECIPE, "views": 2},
    "scores": {"entropy": 0.4},
    "trained_on": {"spacing_mm": ENDS, "extent_mm": ENDS, "grey": {"mean": [50, 60], "spread": [30, 40]}},
}


SMALLEST = [{"ivd": 10.0}, {"ivd": 30.0, "vertebrae": 5.0}]
OFFSETS = [{"ivd": 1.0, "vertebrae": -0.5}, {"ivd": 0.5, "vertebrae": 0.0}]
DECISIONS = [{"offsets": o, "min_component_mm3": s} for o, s in zip(OFFSETS, SMALLEST, strict=True)]


@pytest.fixture(scope="module")
def weights():
    """Of two networks; some noise, so that the test picture does not get one class alone."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    return [
        [w + 0.2 * rng.standard_normal(w.shape) for w in networks.of_settings(NETWORK).get_weights()] for _ in range(2)
    ]


@pytest.fixture(scope="module")
def trained(weights):
    return [models.Trained(f"fold-{fold}-seed-1", weights[fold], SETTINGS) for fold in (0, 1)]


@pytest.fixture(scope="module")
def made(trained):
    return models.make(ABOUT, trained, DECISIONS, "float32")


@pytest.fixture
def model(made, tmp_path):
    package.write(tmp_path / "model.zip", *made)
    return tmp_path / "model.zip"


def test_a_model_comes_back_as_it_was(model, weights):
    found = models.load(model)
    assert found.about["smallest"] == {"ivd": 20.0, "vertebrae": 2.5}  # the medians over trainings
    assert found.about["offsets"] == {"ivd": 0.75, "vertebrae": -0.25}
    assert [each["member"] for each in found.about["networks"]] == [f"networks/fold-{n}-seed-1.npy" for n in (0, 1)]
    for network, expected in zip(found.networks, weights, strict=True):
        for array, given in zip(network.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(array, given.astype(np.float32))
    scan = phantom.make_volume(1, 5, "t2")[0][:3]
    said = scans.segment(scan, (3.6, 1.65, 1.5), [found])
    assert said.classes.any()
    assert len(found.sha256) == 64


def test_the_test_case(model, made, trained):
    found = models.check(model)
    assert found["passed"]
    assert found["dice"] == 1
    assert "passed, Dice 1.0000" in models.verdict(found)
    # the same picture, segmented by other networks
    about, members = models.make(ABOUT, trained[:1], DECISIONS, "float32")
    members[models.TEST["mask"]] = made[1][models.TEST["mask"]]
    package.write(model, about, members)
    found = models.check(model)
    assert not found["passed"]
    assert "failed" in models.verdict(found)


def test_half_precision_is_half_as_large(model, trained):
    about, members = models.make(ABOUT, trained, DECISIONS, "float16")
    package.write(model.with_name("half.zip"), about, members)
    sizes = [
        sum(len(each) for name, each in package.read(path)[1].items() if "networks" in name)
        for path in (model, model.with_name("half.zip"))
    ]
    assert sizes[1] < 0.52 * sizes[0]
    assert models.check(model.with_name("half.zip"))["passed"]


def changed(made, *keys, value):
    about = json.loads(json.dumps(made[0]))
    part = about
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    return about, made[1]


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (("settings", "network", "name"), "os:system", r"its network.name is os:system, code that .*modules=\[os\]"),
        (("settings", "network", "name"), "attention", "network.name: 'attention' is not known"),
        (("settings", "network", "options"), {"width": 10**6}, "1000000 is greater"),
        (("settings", "network", "options"), {"breadth": 1}, "'breadth' was unexpected"),
        (("settings", "network", "options"), {"width": 2}, "do not fit the network"),
        (("settings", "network", "image_size"), [10**6, 24], "is greater than the maximum"),
        (("settings", "normalisation"), "mine:f", "its normalisation is mine:f, code that a package does not hold"),
        (("recipe", "percentiles"), ["0", 1], "percentiles.0: '0' is not of type 'number'"),
        (("views",), 99, "views: 99 is greater"),
        (("networks",), [], "networks"),
        (("networks", 0, "member"), "networks/other.npy", "is told of in model.json, but not there"),
        (("networks", 0, "shapes"), [[3]], "expected 3 finite ones"),
        (("trained_on", "grey"), {}, "'mean' is a required property"),
    ],
)
def test_a_model_that_does_not_fit_is_named(made, tmp_path, keys, value, words):
    package.write(tmp_path / "bad.zip", *changed(made, *keys, value=value))
    with pytest.raises(DataError, match=words) as caught:
        models.load(tmp_path / "bad.zip")
    assert str(caught.value).startswith(str(tmp_path / "bad.zip"))


def test_a_package_without_test_case(made, tmp_path):
    members = {name: content for name, content in made[1].items() if not name.startswith("test/")}
    package.write(tmp_path / "model.zip", made[0], members)
    with pytest.raises(DataError, match=r"has no test/image\.png"):
        models.check(tmp_path / "model.zip")


def test_code_of_the_user_s_own_is_named_by_the_user(weights, tmp_path):
    own = {**SETTINGS, "normalisation": "lumbarflow.learning.normalisation:zscore"}
    made = models.make(ABOUT, [models.Trained("fold-0-seed-1", weights[0], own)], [], "float32")
    assert made[0]["needs"] == ["lumbarflow.learning.normalisation"]
    package.write(tmp_path / "own.zip", *made)
    with pytest.raises(DataError, match=r"modules=\[lumbarflow\.learning\.normalisation\]"):
        models.load(tmp_path / "own.zip")
    assert models.check(tmp_path / "own.zip", ["lumbarflow.learning.normalisation"])["dice"] == 1


def test_ranges_of_a_training():
    rows = [
        {"slices": "10", "height": "100", "width": "80", "slice_mm": "4", "row_mm": "1.5", "column_mm": "1"},
        {"slices": "20", "height": "120", "width": "90", "slice_mm": "3", "row_mm": "1", "column_mm": "1"},
    ]
    found = models.ranges(rows, [(50.0, 30.0), (60.0, 20.0)])
    assert found["spacing_mm"] == {"slice": [3, 4], "row": [1, 1.5], "column": [1, 1]}
    assert found["extent_mm"] == {"slice": [40, 60], "row": [120, 150], "column": [80, 90]}
    assert found["grey"] == {"mean": [50, 60], "spread": [20, 30]}
    rows = [("a", "train", "true"), ("b", "test", "true"), ("b", "test", "false"), ("d", "none", "false")]
    split = [{"volume": volume, "subset": subset, "kept": kept} for volume, subset, kept in rows]
    other = [{"volume": "c", "subset": "train", "kept": "true"}]
    assert models.seen([split, other]) == ["a", "c"]
    assert models.seen([split, other], everyone=True) == ["a", "b", "c"]


def test_greys_without_the_black_bars():
    canvases = [np.zeros((6, 6), np.uint8) for _ in range(2)]
    canvases[0][1:5, 2:4] = 100
    canvases[1][1:5, 2:4] = 200
    assert scans.grey(canvases, slices.Placement(1, 2, 4, 2)) == (150.0, 50.0)
