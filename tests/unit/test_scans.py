"""A scan is segmented as a test volume is; a network that knows greys alone stands for a trained one."""

import json
import math
from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest

from lumbarflow import CLASSES, DataError, files
from lumbarflow.data.geometry import Geometry
from lumbarflow.data.phantom import make_volume
from lumbarflow.images import png, slices
from lumbarflow.learning import decision, limits, prediction, scans, segmentation

SPACING = (2.4, 1.5, 1.5)
SETTINGS = {"network": {"image_size": [44, 36], "resize": "area"}, "normalisation": "zscore"}
RECIPES = {
    "sound": {"size": [96, 72], "fit": "letterbox", "window": "volume", "percentiles": [0.5, 99.5], "resize": "area"},
    "released": {"size": [96, 72], "fit": "stretch", "window": "slice", "percentiles": [0, 100], "resize": "linear"},
}


@dataclass
class Network:
    """Class probabilities from the grey of each pixel; of neighbours the nearer to the left counts more."""

    shift: float = 0.0
    neighbours: int = 0

    @property
    def input_shape(self):
        return (None, 48, 48, 2 * self.neighbours + 1)

    def predict_on_batch(self, images):
        assert images.shape == (8, *self.input_shape[1:])
        levels = np.array([-0.8, 0.0, 0.8, 1.6], np.float32) + np.float32(self.shift)
        share = np.arange(1, images.shape[-1] + 1, dtype=np.float32)
        p = np.exp(-3 * ((images * share).sum(-1, keepdims=True) / share.sum() - levels) ** 2) + 0.01
        return p / p.sum(-1, keepdims=True)


def with_neighbours(count):
    return {**SETTINGS, "network": {**SETTINGS["network"], "neighbours": count}}


def model(recipe, views, smallest, *networks, **more):
    settings = with_neighbours(networks[0].neighbours) if networks[0].neighbours else SETTINGS
    return scans.Model({"recipe": recipe, "settings": settings, "views": views, "smallest": smallest, **more}, networks)


@pytest.fixture(scope="module")
def scan():
    return make_volume(3, 1, "t2_SPACE")[0][:10]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(("views", "neighbours", "smoothing"), [(1, 0, 0), (2, 0, 1.5), (2, 2, 0)])
def test_a_scan_becomes_what_it_would_as_a_test_volume(scan, recipe, views, neighbours, smoothing, tmp_path):
    recipe, network, settings = RECIPES[recipe], Network(0, neighbours), with_neighbours(neighbours)
    place = slices.place(scan.shape[1:], SPACING[1:], recipe["size"], recipe["fit"])
    grid = Geometry((144, 176, len(scan)), SPACING[::-1], (0, 0, 0), (0, 0, 1, 1, 0, 0, 0, -1, 0))
    rows = []
    for index, (plane, window) in enumerate(
        zip(scan, slices.windows(scan, recipe["window"], recipe["percentiles"]), strict=True)
    ):
        picture = slices.to_canvas(slices.to_grey(plane, *window), place, recipe["size"], recipe["resize"])
        digest = png.write(tmp_path / "s" / f"{index:03d}.png", picture)
        row = {
            "volume": "s",
            "index": str(index),
            "image_sha256": digest,
            "source_height": "176",
            "source_width": "144",
            "geometry": json.dumps(asdict(grid)),
        }
        rows.append(row | {name: str(value) for name, value in asdict(place).items()})
    segmenter = segmentation.Segmenter(
        network, settings, recipe["size"], tmp_path, tmp_path, views=views, smoothing=smoothing
    )
    images = prediction.load_view(rows, tmp_path, *segmenter.grid, (0, 0), neighbours, rows)
    known = prediction.probabilities(network, images, SETTINGS["normalisation"])
    planes = np.stack([decision.decide(p) for p in segmenter.on_source(rows, rows, known)])
    smallest = {"ivd": 500.0}
    packaged = model(recipe, views, smallest, network, slice_smoothing_mm=smoothing)
    found = scans.segment(scan, SPACING, [packaged])
    assert set(np.unique(planes)) == set(range(len(CLASSES)))
    np.testing.assert_array_equal(found.classes, decision.Decision({}, smallest).clean(planes, SPACING))
    shown = np.stack([png.read(tmp_path / "s" / f"{index:03d}.png") for index in range(len(scan))])
    shown = shown[:, place.top : place.top + place.height, place.left : place.left + place.width]
    assert found.grey[0] == pytest.approx((shown.mean(), shown.std()))
    assert math.isnan(found.dice)
    # as sure as the workflow says of such a volume
    entropy, digest = segmenter.write_volume(rows, known, rows, decision.Decision({}, smallest), tmp_path / "whole.mha")
    assert found.doubt == (pytest.approx(entropy, rel=1e-5),)
    assert 0 < entropy <= math.log(4)
    # what stands for the volume in predictions.csv is another one when classes are decided in another way
    other = segmenter.write_volume(rows, known, rows, decision.Decision({"ivd": 1.0}), tmp_path / "other.mha")
    assert other[0] == entropy
    assert other[1] != digest == files.sha256((tmp_path / "whole.mha").read_bytes())
    # and offsets are chosen where test volumes are decided: on the source planes, from the same views
    for row, plane in zip(rows, planes, strict=True):
        canvas = slices.to_canvas(plane, place, recipe["size"], "nearest")
        digest = png.write(tmp_path / "masks/s" / f"{int(row['index']):03d}.png", canvas)
        row.update(mask_sha256=digest, subset="validation", patient="s")
    said = replace(segmenter, label_folder=tmp_path / "masks").validate(rows, rows)
    np.testing.assert_array_equal(said.decided({})[0], planes)
    assert (said.truth == planes).mean() > 0.9  # by way of the coarser canvas
    assert said.spacing == pytest.approx(SPACING)


def test_networks_that_agree_and_that_do_not(scan):
    recipe = RECIPES["sound"]
    one, two = Network(), Network(0.8)
    alike = scans.segment(scan, SPACING, [model(recipe, 1, {}, one, one, one)])
    alone, shifted = (scans.segment(scan, SPACING, [model(recipe, 1, {}, network)]) for network in (one, two))
    np.testing.assert_array_equal(alike.classes, alone.classes)
    np.testing.assert_allclose(alike.entropy, alone.entropy, atol=1e-5)
    assert alike.dice == 1
    other = scans.segment(scan, SPACING, [model(recipe, 1, {}, one, two)])
    a, b = alone.classes, shifted.classes
    expected = [2 * ((a == k) & (b == k)).sum() / ((a == k).sum() + (b == k).sum()) for k in (1, 2, 3)]
    assert other.dice == pytest.approx(np.mean(expected))
    assert other.entropy.mean() > alone.entropy.mean()
    assert other.entropy.min() >= 0
    assert other.entropy.max() <= math.log(4) + 1e-6
    # two models of one network each are one of two networks
    apart = scans.segment(scan, SPACING, [model(recipe, 1, {}, one), model(recipe, 1, {}, two)])
    np.testing.assert_array_equal(apart.classes, other.classes)
    assert apart.dice == other.dice
    assert apart.doubt == (*alone.doubt, *shifted.doubt)
    assert other.doubt == (pytest.approx(np.mean(apart.doubt)),)


def test_models_of_different_recipes_together(scan):
    """Their probabilities meet on the scan's own grid; what both drop is dropped."""
    models = [model(RECIPES[name], 1, {"ivd": mm3}, Network()) for name, mm3 in (("sound", 500), ("released", 0))]
    found = scans.segment(scan, SPACING, models)
    assert found.classes.shape == scan.shape
    assert 0.3 < found.dice < 1
    kept = scans.segment(scan, SPACING, [model(RECIPES["sound"], 1, {}, Network())])
    assert found.grey[:1] == kept.grey  # of each model its own
    assert len(found.grey) == 2


def test_an_ensemble_too_large_for_memory_is_said_with_the_numbers(scan, monkeypatch, tmp_path):
    recipe, network = RECIPES["sound"], Network()
    monkeypatch.setattr(limits, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(limits, "CGROUP", tmp_path)
    assert limits.available() is None
    (tmp_path / "meminfo").write_text("MemTotal: 9999999 kB\nMemAvailable:    2048 kB\n")
    with pytest.raises(DataError, match=r"3 networks and a scan of 10 x 176 x 144 need about .* average fewer models"):
        scans.segment(scan, SPACING, [model(recipe, 1, {}, network), model(recipe, 2, {}, network, network)])
    # a container's own limit
    (tmp_path / "meminfo").write_text("MemAvailable: 9999999 kB\n")
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert limits.available() == 9999999 * 1024
    (tmp_path / "memory.max").write_text("5000\n")
    assert limits.available() == 4000
    (tmp_path / "memory.stat").write_text("anon 100\ninactive_file 700\nactive_file 200\n")
    assert limits.available() == 4700  # files in memory that nobody needs


def test_a_scan_without_picture(scan):
    with pytest.raises(DataError, match="no picture"):
        scans.segment(0 * scan, SPACING, [model(RECIPES["sound"], 1, {}, Network())])


def test_models_that_see_more_and_fewer_neighbours_together(scan):
    """Each network's slices are its own, also where one part of the volume ends and the next begins."""
    recipe = RECIPES["sound"]
    wide, flat = model(recipe, 1, {}, Network(0, 2)), model(recipe, 1, {}, Network(0.1))
    together = scans.segment(scan, SPACING, [wide, flat])
    alone = [scans.segment(scan, SPACING, [each]) for each in (wide, flat)]
    assert together.grey == alone[0].grey + alone[1].grey
    assert together.doubt == alone[0].doubt + alone[1].doubt
    assert (alone[0].classes != alone[1].classes).any()
