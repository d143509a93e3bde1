import keras
import matplotlib.colors
import numpy as np
import pandas as pd
from PIL import Image

from lumbarflow.learning import networks
from lumbarflow.report import charts, figures


def test_the_worst_places_are_where_masks_differ_most():
    truth = np.zeros((80, 64), np.uint8)
    truth[10:60, 20:40] = 1
    assert figures.worst_places(truth, truth) == []
    prediction = truth.copy()
    prediction[50:58, 24:34] = 0  # a hole of 80 pixels, and one of 9
    prediction[12:15, 25:28] = 2
    (y, x, _), *others = figures.worst_places(truth, prediction)
    assert 50 <= y < 58
    assert 24 <= x < 34
    assert all(abs(a - y) + abs(b - x) > 10 for a, b, _ in others)
    assert figures.differences(truth, prediction).astype(bool).sum() == 89


def test_a_picture_of_few_colours_shows_the_same(tmp_path):
    """A noisy slice on a white page, a tinted half of it, and points so few that k-means alone would lose them."""
    rng = np.random.default_rng(1)
    slices = np.clip(rng.normal(np.linspace(0, 255, 200)[:, None], 9, (200, 160)), 0, 255).astype(np.uint8)
    page = np.full((300, 400, 3), 255, np.uint8)
    page[20:220, 20:180] = slices[..., None]
    page[20:220, 200:360] = figures.tint(slices, np.full_like(slices, 1))
    points = [(250, 30 + 20 * place, name) for place, name in enumerate(figures.COLOURS)]
    for y, x, name in points:
        page[y : y + 4, x : x + 4] = np.multiply(matplotlib.colors.to_rgb(figures.COLOURS[name]), 255).round()
    small = figures.few_colours(Image.fromarray(page))
    found = np.asarray(small.convert("RGB")).astype(int)
    assert (found[:15] == 255).all()
    assert np.abs(found - page)[20:220, 20:180].max() < 8  # a step of grey
    assert np.abs(found - page)[20:220, 200:360].mean() < 6
    assert all(np.abs(found - page)[y : y + 4, x : x + 4].max() <= 4 for y, x, _ in points)
    whole, less = tmp_path / "whole.png", tmp_path / "less.png"
    Image.fromarray(page).save(whole, optimize=True)
    small.save(less, optimize=True)
    assert less.stat().st_size < 0.5 * whole.stat().st_size


def test_curves_of_a_training_without_validation():
    columns = [
        f"{subset}_{name}" for subset in ("train", "validation") for name in ("accuracy", "mean_dice", "mean_iou")
    ]
    history = pd.DataFrame({"epoch": [1, 2]} | {name: [0.1, 0.2] for name in columns})
    shown = [axis.get_lines() for axis in figures.curves(history, 2, "title", "validation").axes]
    assert [len(lines) for lines in shown] == [3, 3, 3]  # training, validation, the best epoch
    history[[name for name in columns if name.startswith("validation")]] = np.nan
    shown = [axis.get_lines() for axis in figures.curves(history, 2, "title", "validation").axes]
    assert [len(lines) for lines in shown] == [1, 1, 1]


def test_the_outline_of_the_papers_network():
    """Four poolings, four steps up, four skips from the last convolution of a level to its concatenation."""
    boxes, links = networks.outline(networks.build("paper", (64, 32), width=2))
    kinds = [kind for _, kind, *_ in boxes]
    assert [kinds.count(kind) for kind in ("Conv2D", "MaxPooling2D", "Conv2DTranspose", "Concatenate")] == [21, 4, 4, 4]
    assert boxes[0][2:] == (64, 32, 2)
    assert min(box[2] for box in boxes) == 4
    order = {name: place for place, (name, *_) in enumerate(boxes)}
    skips = [(boxes[order[a]], boxes[order[b]]) for a, b in links if order[b] - order[a] > 2]
    assert len(skips) == 4
    assert all(a[1] == "Conv2D" and b[1] == "Concatenate" and a[2:4] == b[2:4] for a, b in skips)


def test_a_model_within_a_network_has_a_row_of_its_own():
    inner_image = keras.Input((16, 16, 4))
    inner = keras.Model(inner_image, keras.layers.Conv2D(8, 3, padding="same")(inner_image), name="encoder")
    image = keras.Input((16, 16, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", name="before")(image)
    x = keras.layers.Add(name="sum")([keras.layers.Conv2D(8, 1, name="skip")(x), inner(x)])
    boxes, links = networks.outline(keras.Model(image, x))
    assert [name for name, *_ in boxes if "/" not in name] == ["before", "skip", "sum"]
    assert [box[1:] for box in boxes if box[0].startswith("encoder/")] == [("Conv2D", 16, 16, 8)]
    assert {("before", "skip"), ("skip", "sum")} <= set(links)
    rows = [axis for axis in charts.network(boxes, links, "title").axes if axis.has_data()]
    assert [axis.get_title(loc="left") for axis in rows] == ["", "encoder"]
    assert [len(axis.patches) for axis in rows] == [3, 1]


def test_the_outline_of_a_residual_network():
    """Each block is a sum of two: its second convolution, and its shortcut."""
    boxes, links = networks.outline(networks.build("residual_unet", (32, 48), width=2, blocks=[1, 2, 1, 1, 1]))
    kinds = {name: kind for name, kind, *_ in boxes}
    assert set(kinds.values()) <= set(charts.KINDS)
    sums = [name for name, kind in kinds.items() if kind == "Add"]
    assert len(sums) == 6
    sources = [[kinds[a] for a, b in links if b == name] for name in sums]
    # projections from level to level; identities on the first level and in the second block of the second one
    assert sources.count(["Conv2D", "Conv2D"]) == 5
    assert sources.count(["Conv2D", "Add"]) == 1
