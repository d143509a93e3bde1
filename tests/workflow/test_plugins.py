"""A network, a loss, a normalisation and a label recipe of the user's own, in modules beside the results."""

import re

import numpy as np
import yaml

from lumbarflow import files
from lumbarflow.images import png

PARTS = '''
import keras

from lumbarflow.learning.networks import NETWORKS
from lumbarflow.registry import option


class Scale(keras.layers.Layer):
    """A layer that Keras does not have."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(), initializer="ones", name="factor")

    def call(self, x):
        return x * self.factor


class Block(keras.Model):
    """Layers whose outputs nobody knows beforehand."""

    def __init__(self):
        super().__init__()
        self.inner = keras.layers.Conv2D(1, 1)

    def call(self, x):
        return x + self.inner(x)


@NETWORKS.register("tiny", {"filters": option(4, "of the only convolution", type="integer")}, divisor=4)
def build(image_size, classes, filters):
    image = keras.Input((*image_size, 1))
    x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(Block()(Scale()(image)))
    x = keras.layers.Lambda(lambda x: keras.ops.abs(x))(x)
    return keras.Model(image, keras.layers.Conv2D(classes, 1, activation="softmax")(x), name="tiny")


def loss(power=1.0):
    def squared(truth, predicted):
        wanted = keras.ops.one_hot(keras.ops.cast(truth, "int32"), 4, dtype="float32")
        return keras.ops.mean(keras.ops.abs(wanted - predicted) ** power)

    return squared


def halved(images):
    return images / 510
'''
LABELS = """
import numpy as np

from lumbarflow.images import slices


def canal_only(labels, classes, place, size):
    return slices.to_canvas(np.where(classes == 2, classes, 0).astype(np.uint8), place, size, "nearest")
"""
SETTINGS = {
    "labels": {"canal": {"method": "mine.labels:canal_only"}},
    "experiments": {
        "own": {
            "base": "sound",
            "labels": "canal",
            "network": {"name": "mine.parts:build", "image_size": [30, 22], "options": {"filters": 3}},
            "loss": {"name": "mine.parts:loss", "power": 2},
            "normalisation": "mine.parts:halved",
        },
    },
    "run": ["own"],
    "sequences": ["t1"],
}


def test_parts_of_ones_own(tiny_run, tiny_config, tmp_path):
    workflow = tiny_run.copy(tmp_path)  # its slices serve here too
    package = workflow.folder / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text(PARTS)
    (package / "labels.py").write_text(LABELS)  # in a file of its own: no label job loads Keras
    config = workflow.folder / "own.yaml"
    config.write_text(yaml.safe_dump(SETTINGS))
    arguments = ("--configfile", tiny_config, config, "--until", "predict", "draw_network")
    workflow(*arguments)
    folder = workflow.results / "experiments/own/t1/fold-0/seed-1"
    about = files.read_json(folder / "model.json")
    assert about["settings"]["network"]["options"] == {"filters": 3}
    assert about["loss"] == {"name": "mine.parts:loss", "power": 2}
    assert about["parameters"] == 1 + 2 + (9 * 3 + 3) + (3 * 4 + 4)
    pictures = sorted((folder / "predictions/classes").rglob("*.png"))
    assert png.read(pictures[0]).shape == (30, 22)  # padded by the network's own divisor to 32 x 24
    masks = [png.read(path) for path in (workflow.results / "labels/sound/canal").rglob("*.png")]
    assert set(np.unique(masks)) == {0, 2}
    # a package of it names the module, and loads it only where the user names it too
    workflow("results/models/own/t1.zip", "--configfile", tiny_config, config)
    check = ("check_model", "--config", "model=results/models/own/t1.zip")
    assert "own-t1: passed" in workflow(*check, "modules=[mine.parts]").stdout
    refused = workflow(*check, check=False)
    assert "its network.name is mine.parts:build, code that a package does not hold" in refused.stdout
    # an edit of the module reruns what uses it
    assert not re.findall(r"^rule (\w+):", workflow(*arguments, "--dry-run").stdout, re.M)
    parts, labels = {"train", "draw_network"}, {"label_slices"}
    for name, text, changed, not_yet in [("parts", PARTS, parts, labels), ("labels", LABELS, labels, set())]:
        (package / f"{name}.py").write_text(text + "\n# changed\n")
        planned = set(re.findall(r"^rule (\w+):", workflow(*arguments, "--dry-run").stdout, re.M))
        assert changed | {"predict"} <= planned
        assert not planned & {"extract_slices", "phantom", "describe_volume", *not_yet}
    # what does not fit is said in one line
    SETTINGS["experiments"]["own"]["network"]["options"] = {"depth": 3}
    config.write_text(yaml.safe_dump(SETTINGS))
    output = workflow(*arguments, check=False).stdout
    assert "network.options of mine.parts:build: 'depth' is no option of build; it has filters" in output
    SETTINGS["experiments"]["own"]["network"]["name"] = "mine.absent:build"
    config.write_text(yaml.safe_dump(SETTINGS))
    output = workflow(*arguments, "--dry-run", check=False).stdout
    line = next(line for line in output.splitlines() if "mine.absent" in line)
    assert line.startswith(
        "Error: config.experiments.own.network: there is no module 'mine.absent'; expected a Python file in"
    )
