import sys
import types

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumbarflow import DataError
from lumbarflow.learning import layers, losses, networks, prediction, training
from lumbarflow.learning.keras_losses import MeanOverHeads

DEEP = ("unet_plus_plus", {"deep_supervision": True})
EVERY = [*((name, {}) for name in networks.NETWORKS.variants), DEEP]


def trained(model):
    """Parameters without those of batch normalisation, which the published counts lack."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return model.count_params() - sum(layer.count_params() for layer in norms)


@pytest.mark.parametrize("momentum", [0.9, 0.99])
def test_fused_normalisation_is_that_of_keras(momentum):
    """Outputs, gradients and moving averages of two steps, and prediction after them."""
    rng = np.random.default_rng(0)
    pictures = [rng.normal(3, 2, (3, 12, 10, 5)).astype(np.float32) for _ in range(2)]
    target, found = rng.normal(size=(3, 12, 10, 5)).astype(np.float32), []
    for kind in (layers.BatchNormalization, keras.layers.BatchNormalization):
        image = keras.Input((12, 10, 5))
        model = keras.Model(image, kind(momentum=momentum)(image))
        model.compile(keras.optimizers.SGD(0.5), loss="mse")
        losses_ = [model.train_on_batch(picture, target) for picture in pictures]
        found.append([np.array(losses_), *model.get_weights(), model.predict_on_batch(pictures[0])])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)


def conv(size, given, filters, bias=True):
    return size * size * given * filters + bias * filters


def double(given, filters):
    return conv(3, given, filters, False) + conv(3, filters, filters, False)


def unet_count(w):
    """By hand, level by level."""
    down = double(1, w) + sum(double(w * 2**k, w * 2 ** (k + 1)) for k in range(4))
    up = sum(conv(2, w * 2 ** (k + 1), w * 2**k) + double(w * 2 ** (k + 1), w * 2**k) for k in range(4))
    return down + up + conv(1, w, 4)


def gate_count(w):
    return sum(
        conv(2, w * 2**k, w * 2**k, False) + conv(1, w * 2 ** (k + 1), w * 2**k) + conv(1, w * 2**k, 1)
        for k in range(4)
    )


def plus_plus_count(w):
    count = double(1, w) + sum(double(w * 2**k, w * 2 ** (k + 1)) for k in range(4)) + conv(1, w, 4)
    for column in range(1, 5):
        for k in range(5 - column):
            count += conv(2, w * 2 ** (k + 1), w * 2**k) + double((column + 1) * w * 2**k, w * 2**k)
    return count


def residual(given, filters, stride=1):
    """Two 3x3 convolutions, and a 1x1 convolution in the shortcut where something changes."""
    changes = stride > 1 or given != filters
    return double(given, filters) + changes * conv(1, given, filters, False)


def improved_count(w):
    """A U-Net of two residual blocks for each double convolution; level k's gate sees level k + 1 and all coarser."""
    sizes = [w * 2**k for k in range(5)]
    down = sum(residual(given, f) + residual(f, f) for given, f in zip([1, *sizes], sizes, strict=False))
    up = sum(conv(2, 2 * f, f) + residual(2 * f, f) + residual(f, f) for f in sizes[:4])
    further = sum(conv(1, sizes[j], sizes[k], False) for k in range(4) for j in range(k + 2, 5))
    return down + up + gate_count(w) + further + conv(1, w, 4)


def residual_count(w, blocks):
    count = conv(3, 1, w, False) + blocks[0] * residual(w, w) + conv(1, w, 4)
    for k, number in enumerate(blocks[1:]):
        f = w * 2**k
        count += residual(f, 2 * f, 2) + (number - 1) * residual(2 * f, 2 * f)
        count += conv(2, 2 * f, f) + conv(3, 2 * f, f, False)  # the decoder
    return count


def images(height=32, width=48):
    return np.random.default_rng(0).normal(size=(2, height, width, 1)).astype(np.float32)


def test_the_papers_network_has_its_parameters():
    model = networks.build("paper", (256, 256))
    assert model.count_params() == 8_037_076
    every = networks.build("paper", (256, 256), upsample="every")
    # 3x3 in place of 2x2 on three steps, and their batch normalisation
    more = sum((9 - 4) * given * out + 4 * out for given, out in ((256, 128), (128, 64), (64, 32)))
    assert every.count_params() == 8_037_076 + more


@pytest.mark.parametrize(
    ("name", "count", "published"),
    # published (millions, width 32, with biases, without batch normalisation): Zhou et al. 2018, Table 3
    [("unet", unet_count, 7.76), ("unet_plus_plus", plus_plus_count, 9.04)],
)
def test_the_rivals_have_the_published_size(name, count, published):
    model = networks.build(name, (64, 48))
    assert trained(model) == count(32)
    assert trained(model) / 1e6 == pytest.approx(published, abs=0.02)


def test_attention_adds_its_gates():
    model = networks.build("attention_unet", (64, 48), width=8)
    assert trained(model) == unet_count(8) + gate_count(8)


def test_residual_networks_have_the_parameters_of_their_blocks():
    assert trained(networks.build("improved_attention_unet", (32, 48), width=4)) == improved_count(4)
    assert trained(networks.build("residual_unet", (32, 48), width=4)) == residual_count(4, [1, 3, 4, 6, 6])
    few = networks.build("residual_unet", (32, 48), width=4, blocks=[2, 1, 1, 3, 1])
    assert trained(few) == residual_count(4, [2, 1, 1, 3, 1])


def test_a_residual_block_adds_what_it_is_given():
    """With kernels of zeros, only the shortcut is left: the identity, or a projection that is zero, too."""
    image = keras.Input((8, 6, 4))
    x = np.random.default_rng(0).normal(size=(2, 8, 6, 4)).astype(np.float32)
    same = keras.Model(image, networks._residual(image, 4, "zeros", 0.9))
    np.testing.assert_array_equal(same(x), np.maximum(x, 0))
    half = np.array(keras.Model(image, networks._residual(image, 8, "zeros", 0.9, stride=2))(x))
    assert half.shape == (2, 4, 3, 8)
    assert not half.any()


def test_deep_supervision_predicts_the_mean_of_four_heads():
    keras.utils.set_random_seed(0)
    model = networks.build(DEEP[0], (32, 48), width=2, **DEEP[1])
    assert trained(model) == plus_plus_count(2) + 3 * conv(1, 2, 4)
    heads = np.array(networks.with_heads(model)(images()))
    assert heads.shape == (2, 4, 32, 48, 4)
    np.testing.assert_allclose(heads.sum(-1), 1, rtol=1e-5)
    assert np.ptp(heads, axis=1).max() > 0.01  # they are not one and the same
    np.testing.assert_allclose(model(images()), heads.mean(1), rtol=1e-5)


def test_deep_supervision_takes_the_mean_of_the_losses_of_the_heads():
    """Which is more than the loss of the mean, as -log is convex."""
    keras.utils.set_random_seed(0)
    model = networks.build(DEEP[0], (32, 48), width=2, **DEEP[1])
    heads = np.array(networks.with_heads(model)(images()))
    truth = np.random.default_rng(1).integers(0, 4, (2, 32, 48))
    criterion = losses.make("cross_entropy", alpha=None)
    of_truth = np.take_along_axis(heads, truth[:, None, ..., None], -1)
    found = float(MeanOverHeads(criterion)(truth, heads))
    plain = MeanOverHeads(lambda truth, p: criterion(truth, p))  # a function of the user's own
    assert float(plain(truth, heads)) == pytest.approx(found)
    assert found == pytest.approx(-np.log(np.maximum(of_truth, 1e-7)).mean(), rel=1e-5)
    assert found > float(criterion(truth, model(images()))) + 0.001


def test_an_ensemble_is_the_mean_of_networks_that_learn_apart():
    keras.utils.set_random_seed(0)
    model = networks.build("ensemble", (32, 48), width=2, members=["unet", "paper", "unet"])
    alone = [networks.build(name, (32, 48), width=2) for name in ("unet", "paper")]
    assert model.count_params() == 2 * alone[0].count_params() + alone[1].count_params()
    heads = np.array(networks.with_heads(model)(images()))
    assert heads.shape == (2, 3, 32, 48, 4)
    assert np.abs(heads[:, 0] - heads[:, 2]).max() > 0.01  # of the same kind, from other weights
    np.testing.assert_allclose(model(images()), heads.mean(1), rtol=1e-5)
    memory = [training.step_memory(each, 1) for each in (model, *alone)]
    assert memory[0] >= 2 * memory[1] + memory[2]
    boxes, links = networks.outline(model)
    drawn = [networks.outline(each) for each in (alone[0], alone[1], alone[0])]
    assert [box[1:] for box in boxes] == [box[1:] for found, _ in drawn for box in found]
    assert len(links) == sum(len(found) for _, found in drawn)
    assert {name for pair in links for name in pair} <= {box[0] for box in boxes}


@pytest.mark.parametrize("name", [name for name in networks.NETWORKS.variants if name != "ensemble"])
def test_without_deep_supervision_a_network_is_trained_as_it_is(name):
    model = networks.build(name, (32, 32), width=1)
    assert networks.with_heads(model) is model


@pytest.mark.parametrize(
    ("name", "options"), [("improved_attention_unet", {}), ("residual_unet", {}), DEEP, ("ensemble", {})]
)
def test_a_saved_network_comes_back_the_same(name, options, tmp_path):
    model = networks.build(name, (32, 48), width=2, **options)
    model.save(tmp_path / "model.keras")
    again = prediction.load(tmp_path / "model.keras", {"name": name, "image_size": (32, 48)})
    np.testing.assert_array_equal(again(images()), model(images()))
    assert networks.with_heads(again).output_shape == networks.with_heads(model).output_shape


@settings(max_examples=5)
@given(st.sampled_from(EVERY), st.integers(1, 5), st.integers(1, 5))
def test_any_size_that_16_divides(network, height, width):
    model = networks.build(network[0], (16 * height, 16 * width), width=2, **network[1])
    p = model(images(16 * height, 16 * width))
    assert tuple(p.shape) == (2, 16 * height, 16 * width, 4)
    np.testing.assert_allclose(np.sum(p, -1), 1, rtol=1e-5)


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_every_weight_gets_a_gradient(name, options):
    """A layer that is wired past shows as a weight that training leaves alone."""
    keras.utils.set_random_seed(0)
    model = networks.build(name, (32, 32), width=2, **options)
    before = [np.array(v) for v in model.trainable_variables]
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", run_eagerly=True)
    rng = np.random.default_rng(0)
    for _ in range(3):
        model.train_on_batch(rng.normal(size=(4, 32, 32, 1)).astype(np.float32), rng.integers(0, 4, (4, 32, 32)))
    for variable, value in zip(model.trainable_variables, before, strict=True):
        assert not np.array_equal(np.array(variable), value), variable.path


@pytest.mark.parametrize(
    ("name", "size", "options", "message"),
    [
        ("resnet", (64, 64), {}, "'resnet' is not known; known: paper, unet"),
        ("paper", (60, 64), {}, r"image size \[60, 64\] must be multiples of 16"),
        ("improved_attention_unet", (64, 40), {}, r"image size \[64, 40\] must be multiples of 16"),
        ("residual_unet", (72, 64), {}, r"image size \[72, 64\] must be multiples of 16"),
        ("residual_unet", (64, 64), {"blocks": [1, 1]}, r"blocks must be 5 numbers of at least 1, not \[1, 1\]"),
        ("residual_unet", (64, 64), {"blocks": [1, 0, 1, 1, 1]}, "blocks must be 5 numbers of at least 1"),
        (
            "unet",
            (64, 64),
            {"upsample": "every"},
            "network.options of unet: 'upsample' is no option of unet; it has width, init",
        ),
        ("paper", (64, 64), {"upsample": "last"}, "upsample must be first or every"),
    ],
)
def test_what_cannot_be_built_is_named(name, size, options, message):
    with pytest.raises(DataError, match=message):
        networks.build(name, size, **options)


class Scaled(keras.layers.Layer):
    """A layer as users write them, without get_config."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def call(self, x):
        return self.how(x)


def test_a_network_of_the_users_own_that_keras_cannot_store_does_not_begin(monkeypatch):
    """It would train to its end, and fail then."""
    module = types.ModuleType("mine_networks")

    def build(image_size, classes):
        image = keras.Input((*image_size, 1))
        return keras.Model(image, keras.layers.Conv2D(classes, 1, activation="softmax")(Scaled(lambda x: 2 * x)(image)))

    module.build = build
    monkeypatch.setitem(sys.modules, "mine_networks", module)
    with pytest.raises(DataError, match=r"^network.name mine_networks:build: Keras cannot store it .* get_config$"):
        networks.build("mine_networks:build", [32, 16])


def test_a_network_of_the_users_own_must_give_probabilities(monkeypatch):
    """One without a softmax would train to its end, and fail at prediction."""
    module = types.ModuleType("mine_networks")

    def build(image_size, classes, activation):
        image = keras.Input((*image_size, 1))
        return keras.Model(image, keras.layers.Conv2D(classes, 1, activation=activation)(image))

    module.build = build
    monkeypatch.setitem(sys.modules, "mine_networks", module)
    networks.build("mine_networks:build", [32, 16], activation="softmax")
    with pytest.raises(DataError, match=r"fails for the size \[32, 16, 3\] .*images are \[N, H, W, channels\]"):
        networks.build("mine_networks:build", [32, 16], neighbours=1, activation="softmax")
    for activation in (None, "sigmoid", "relu"):
        with pytest.raises(DataError, match="expected probabilities, which sum to 1: end it by a softmax"):
            networks.build("mine_networks:build", [32, 16], activation=activation)
