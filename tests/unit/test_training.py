"""Training on a few tiny pictures: what it keeps, how it goes on after a kill, how the rate falls."""

import keras
import numpy as np
import pytest

from lumbarflow import DataError, job
from lumbarflow.learning import batches, device, experiment, networks, training

LOSS = {
    "name": "combined",
    "alpha": None,
    "focal_weight": 0.6,
    "gamma": 4.0,
    "focal_reduction": "mean",
    "dice_over": "joint",
}
MOVES = ("rotation", "scale", "shift", "elastic", "flip", "reverse")
STILL = dict.fromkeys((*MOVES, "gamma", "contrast", "invert", "low_resolution", "shading", "noise"), 0)
MOVED = STILL | {"rotation": 8, "scale": 0.1, "shift": 0.05, "elastic": 0.03, "gamma": 0.3, "shading": 0.3}
MOVED |= {"noise": 0.03}


@pytest.fixture(scope="module")
def pictures():
    """Images whose grey tells the class: (uint8 [N, H, W], masks)."""
    rng = np.random.default_rng(0)
    masks = np.kron(rng.integers(0, 4, (12, 4, 4)), np.ones((8, 8))).astype(np.uint8)
    return (masks * 60 + rng.integers(0, 20, masks.shape)).astype(np.uint8), masks


def test_its_progress_is_what_jobs_show_on_the_terminal():
    assert training.__name__ == job.PROGRESS


def small():
    """All that a training changes (weights, moving averages, dropout's seed), in few layers: compiling is slow."""
    image = keras.Input((32, 32, 1))
    x = keras.layers.Conv2D(6, 3, padding="same", activation="relu")(image)
    x = keras.layers.Dropout(0.2)(keras.layers.BatchNormalization(momentum=0.9)(x))
    x = keras.layers.Conv2D(4, 1)(x)
    return keras.Model(image, keras.layers.Softmax(dtype="float32")(x))


def two_heads():
    """Deep supervision in few layers, none of which behaves otherwise in training."""
    image = x = keras.Input((32, 32, 1))
    heads = []
    for _ in range(2):
        x = keras.layers.Conv2D(6, 3, padding="same", activation="relu")(x)
        heads.append(keras.layers.Softmax(dtype="float32")(keras.layers.Conv2D(4, 1)(x)))
    return keras.Model(image, keras.layers.Average(dtype="float32", name=networks.MEAN_OF_HEADS)(heads))


def fit(pictures, settings=None, augmentation=MOVED, resume=None, loss=LOSS, validated=True, build=small):
    images, masks = pictures
    keras.utils.set_random_seed(1)
    defaults = {"learning_rate": 0.003, "schedule": "cosine", "batch_size": 4, "epochs": 4, "patience": 9}
    defaults["averaging"] = 0
    return training.train(
        build(),
        training=(images[:8], masks[:8]),
        validation=(images[8:], masks[8:]) if validated else None,
        settings={**defaults, **(settings or {})},
        loss=loss,
        normalisation="zscore",
        augmentation=augmentation,
        seed=1,
        resume=resume,
    )


@pytest.fixture(scope="module")
def whole(pictures):
    """An undisturbed training."""
    return fit(pictures)


def test_the_average_of_the_weights_is_kept(pictures, monkeypatch):
    """By hand from the weights after each batch; and the weights themselves go on as if nothing was averaged."""
    momentum, after, step = 0.6, [], training._step

    def watched(model, *batch):
        result = step(model, *batch)
        after.append(model.get_weights())
        return result

    monkeypatch.setattr(training, "_step", watched)
    found = fit(pictures, {"averaging": momentum, "epochs": 2})
    trained = [variable.trainable for variable in found.model.weights]
    average = [np.array(weight) for weight in after[0]]  # Keras starts with the weights after the first batch
    for weights in after[1:]:
        average = [momentum * a + (1 - momentum) * w for a, w in zip(average, weights, strict=True)]
    assert found.best_epoch == 2
    for kept, own, last, learns in zip(found.model.get_weights(), average, after[-1], trained, strict=True):
        np.testing.assert_allclose(kept, own if learns else last, rtol=1e-4, atol=1e-6)
    plain = fit(pictures, {"epochs": 2})
    assert [row["train_loss"] for row in found.history] == [row["train_loss"] for row in plain.history]


def test_the_scores_of_an_epoch_are_of_all_its_batches(pictures):
    """With next to no learning rate, an epoch of four batches scores as one of a single batch of all images."""
    tiny = {"learning_rate": 1e-12, "schedule": "constant", "epochs": 1}
    (four,) = fit(pictures, {**tiny, "batch_size": 2}, augmentation=STILL, build=two_heads).history
    (one,) = fit(pictures, {**tiny, "batch_size": 8}, augmentation=STILL, build=two_heads).history
    for name in training.SCORES:
        # the dice part of the loss is taken over a batch
        assert four[f"train_{name}"] == pytest.approx(one[f"train_{name}"], rel=0.05 if name == "loss" else 1e-5)


def test_the_best_epoch_is_kept(pictures):
    found = fit(pictures, {"epochs": 6})
    scores = [row["validation_mean_iou"] for row in found.history]
    assert found.best_epoch == np.argmax(scores) + 1
    again = training.evaluate(found.model, *(part[8:] for part in pictures), 4, "zscore", training.make(**LOSS))
    assert again["mean_iou"] == scores[found.best_epoch - 1]


def test_without_validation_the_last_epoch_is_kept(pictures, whole, tmp_path, caplog):
    """What is trained does not depend on it."""
    caplog.set_level("INFO")
    found = fit(pictures, {"patience": 1}, resume=tmp_path / "state.npz", validated=False)
    assert found.best_epoch == 4
    assert [row["train_loss"] for row in found.history] == [row["train_loss"] for row in whole.history]
    assert "validation_mean_iou" not in found.history[-1]
    assert "epoch 4/4 loss" in caplog.text
    assert "validation" not in caplog.text


@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_killed_training_goes_on_and_ends_the_same(pictures, whole, tmp_path, monkeypatch, killed_after):
    """Dropout, moving averages, Adam's moments, augmentation: all as if nothing had happened."""
    state, save = tmp_path / "state.npz", training.save_state

    def save_and_die(path, model, best, history):
        save(path, model, best, history)
        if len(history) == killed_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_state", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        fit(pictures, resume=state)
    monkeypatch.setattr(training, "save_state", save)
    resumed = fit(pictures, resume=state)
    assert resumed.history == whole.history
    assert resumed.best_epoch == whole.best_epoch
    for a, b in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_finished_state_trains_no_more(pictures, tmp_path, monkeypatch):
    state = tmp_path / "state.npz"
    whole = fit(pictures, resume=state)
    monkeypatch.setattr(training, "_train_epoch", lambda *arguments: pytest.fail("trained again"))
    assert fit(pictures, resume=state).history == whole.history


def test_deep_supervision_trains_on_the_losses_of_the_heads(pictures):
    """The loss of the first step, and the scores of the mean prediction, worked out from the weights before it."""
    keras.utils.set_random_seed(1)
    untrained = two_heads()
    images, masks = (part[:8] for part in pictures)
    x = batches.normalise(images, "zscore")[..., None]
    criterion = training.make(**LOSS)
    heads = [keras.ops.convert_to_numpy(keras.Model(untrained.input, head)(x)) for head in untrained.layers[-1].input]
    found = fit(pictures, {"epochs": 1, "batch_size": 8}, augmentation=STILL, build=two_heads)
    row = found.history[0]
    assert row["train_loss"] == pytest.approx(np.mean([float(criterion(masks, head)) for head in heads]), rel=1e-4)
    assert row["train_loss"] != pytest.approx(float(criterion(masks, untrained(x))), rel=1e-4)
    right = np.argmax(np.mean(heads, 0), -1) == masks
    assert row["train_accuracy"] == pytest.approx(right.mean(), abs=0.001)


def test_deep_supervision_goes_on_after_a_kill(pictures, tmp_path, caplog):
    caplog.set_level("INFO")
    settings, state = {"schedule": "constant"}, tmp_path / "state.npz"
    whole = fit(pictures, {**settings, "epochs": 3}, build=two_heads)
    fit(pictures, {**settings, "epochs": 2}, build=two_heads, resume=state)
    resumed = fit(pictures, {**settings, "epochs": 3}, build=two_heads, resume=state)
    assert "goes on after epoch 2" in caplog.text
    assert resumed.history == whole.history
    for a, b in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged"])
def test_a_damaged_state_is_ignored(pictures, whole, tmp_path, content, caplog):
    state = tmp_path / "state.npz"
    state.write_bytes(content)
    assert fit(pictures, resume=state).history == whole.history
    assert "cannot be resumed from" in caplog.text


def test_patience_stops(pictures, monkeypatch):
    scores = iter([0.5, 0.6, 0.6, 0.5, 0.9])
    others = {"loss": 1.0, "accuracy": 0.5, "mean_dice": 0.5}
    monkeypatch.setattr(training, "evaluate", lambda *_: {**others, "mean_iou": next(scores)})
    found = fit(pictures, {"epochs": 9, "patience": 2})
    assert found.best_epoch == 2  # the first of equals
    assert len(found.history) == 4


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        (0, 1e30, r"the loss became nan in epoch 1, batch \d; lower training.learning_rate"),
        (1, 0, "hold one class only"),
    ],
)
def test_what_cannot_be_learnt_is_refused(pictures, part, value, message):
    images, masks = pictures
    if part == 1:
        with pytest.raises(DataError, match=message):
            fit((images, masks * 0))
    else:
        with pytest.raises(DataError, match=message):
            fit(pictures, {"learning_rate": value, "schedule": "constant"})


def test_a_loss_is_given_the_truth_as_numbers_with_a_point():
    """In validation as in training: a loss of the user's own may calculate with the classes."""
    truth = np.random.default_rng(0).integers(0, 4, (2, 16, 16)).astype(np.uint8)
    model = networks.build("paper", (16, 16), width=1)
    own = lambda truth, p: keras.ops.mean(keras.ops.convert_to_tensor(truth) - 3)  # noqa: E731  # 253 of whole numbers
    found = training.evaluate(model, truth, truth, 2, "zscore", own)["loss"]
    assert found == pytest.approx(float(truth.mean()) - 3, abs=1e-5)


def test_a_loss_that_is_no_number_leaves_the_last_good_epoch(pictures, whole, tmp_path, monkeypatch):
    state, rate = tmp_path / "state.npz", training.rate_at
    monkeypatch.setattr(training, "rate_at", lambda history, settings: 1e30 if history else rate(history, settings))
    with pytest.raises(DataError, match=r"nan in epoch 2, batch \d; lower training\.learning_rate"):
        fit(pictures, resume=state)
    monkeypatch.setattr(training, "rate_at", rate)
    assert fit(pictures, resume=state).history == whole.history


def test_running_out_of_memory_names_the_batch_and_the_estimate(pictures, monkeypatch):
    """By what the backend itself raises for 16 TiB."""
    monkeypatch.setattr(training, "_train_epoch", lambda *_: keras.ops.ones((1 << 21, 1 << 21)))
    with pytest.raises(DataError, match=r"out of memory: a step of training.batch_size 4 takes about 0.0 GiB; low"):
        fit(pictures)


def test_a_device_that_vanishes(pictures, monkeypatch, tmp_path):
    """By the words that the backends use; the next run goes on."""
    state, step = tmp_path / "state.npz", training._train_epoch

    def lose(*arguments):
        if arguments[4] == 2:
            raise RuntimeError("INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access\nmore")
        return step(*arguments)

    monkeypatch.setattr(training, "_train_epoch", lose)
    with pytest.raises(DataError, match=r"stopped answering in epoch 2; epoch 1 is kept in .*npz.*\(RuntimeError: INT"):
        fit(pictures, {"epochs": 2}, resume=state)
    monkeypatch.setattr(training, "_train_epoch", step)
    assert len(fit(pictures, {"epochs": 2}, resume=state).history) == 2


def test_the_estimate_of_memory():
    """256 x 256, batch 8: a training was seen to peak at 2.0 GiB, the libraries included."""
    assert training.step_memory(networks.build("paper", (256, 256)), 8) == pytest.approx(2.0 * 2**30, rel=0.25)


def rows(*scores):
    return [{"validation_mean_iou": score} for score in scores]


def test_rates():
    settings = {"learning_rate": 0.1, "epochs": 11}
    assert training.rate_at(rows(0, 0, 0), {**settings, "schedule": "constant"}) == 0.1
    cosine = [training.rate_at(rows(*[0] * n), {**settings, "schedule": "cosine"}) for n in range(11)]
    assert cosine[0] == pytest.approx(0.1)
    assert cosine[5] == pytest.approx(0.0505)
    assert cosine[10] == pytest.approx(0.001)
    plateau = {**settings, "schedule": "plateau"}
    assert training.rate_at(rows(0.5, *[0.4] * 4), plateau) == 0.1
    assert training.rate_at(rows(0.5, *[0.4] * 5), plateau) == 0.05
    assert training.rate_at(rows(0.5, *[0.4] * 4, 0.6, *[0.5] * 4), plateau) == 0.1
    assert training.rate_at(rows(0.5, *[0.4] * 10), plateau) == 0.025
    with pytest.raises(DataError, match="constant, cosine or plateau"):
        training.rate_at([], {**settings, "schedule": "step"})


def test_pooled_scores_are_not_a_mean_of_batches():
    matrix = np.zeros((4, 4))
    matrix[0, 0], matrix[1, 1], matrix[1, 0] = 90, 5, 5
    scores = training.summarise(matrix)
    assert scores["accuracy"] == 0.95
    assert scores["mean_iou"] == pytest.approx((90 / 95 + 5 / 10) / 2)  # classes 2 and 3 are nowhere
    assert scores["mean_dice"] == pytest.approx((180 / 185 + 10 / 15) / 2)


def test_the_confusion_matrix_counts_every_pixel_until_it_is_reset():
    rng = np.random.default_rng(0)
    confusion, expected = training.Confusion(), np.zeros((4, 4))
    for _ in range(2):
        truth, p = rng.integers(0, 4, (3, 16, 8)).astype(np.uint8), rng.random((3, 16, 8, 4)).astype(np.float32)
        confusion.update_state(keras.ops.convert_to_tensor(truth), keras.ops.convert_to_tensor(p))
        np.add.at(expected, (truth, p.argmax(-1)), 1)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(confusion.result()), expected)
    confusion.reset_state()
    assert not keras.ops.convert_to_numpy(confusion.result()).any()


@pytest.mark.parametrize("moved", [{"elastic": 0.05}, {"rotation": 20, "scale": 0.2}, {"shift": 0.2}, {"flip": 1}])
def test_image_and_mask_move_together(moved):
    mask = np.zeros((64, 48), np.uint8)
    mask[20:44, 10:26] = 1
    image, after = batches.augment(mask * 200, mask, np.random.default_rng(3), **{**STILL, **moved})
    assert (mask != after).any()
    assert ((image > 100) == after).mean() > 0.98
    again = batches.augment(mask * 200, mask, np.random.default_rng(3), **{**STILL, **moved})
    np.testing.assert_array_equal(image, again[0])
    untouched = batches.augment(mask * 200, mask, np.random.default_rng(3), **STILL)
    np.testing.assert_array_equal(untouched[1], mask)


def test_shading_is_smooth_and_moves_nothing():
    image = np.full((64, 48), 100, np.uint8)
    shaded, mask = batches.augment(image, image, np.random.default_rng(1), **{**STILL, "shading": 0.5})
    np.testing.assert_array_equal(mask, image)
    assert shaded.std() > 5
    assert np.abs(np.log(shaded / 100)).max() < 0.8  # the cubic between the knots overshoots a little
    assert max(np.abs(np.diff(np.log(shaded), axis=axis)).max() for axis in (0, 1)) < 0.1


@pytest.mark.parametrize(
    ("flags", "auto"), [("flags\t: fpu avx512_bf16 amx", "mixed_bfloat16"), ("flags\t: fpu", "float32")]
)
def test_precision_is_what_the_device_multiplies_in(flags, auto, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(flags + "\n")
    monkeypatch.setattr(device, "CPU", tmp_path / "cpuinfo")
    assert device.precision("auto", "gpu") == device.precision("bfloat16", "gpu") == "mixed_bfloat16"
    assert device.precision("float32", "cpu") == device.precision("float32", "gpu") == "float32"
    assert device.precision("auto", "cpu") == auto
    if auto == "float32":
        with pytest.raises(DataError, match=r"does not multiply in it \(no avx512_bf16"):
            device.precision("bfloat16", "cpu")
    else:
        assert device.precision("bfloat16", "cpu") == auto


def test_precision_without_linux(tmp_path, monkeypatch):
    monkeypatch.setattr(device, "CPU", tmp_path / "none")
    assert device.precision("auto", "cpu") == "float32"


def test_no_training_goes_on_in_another_precision(tmp_path, monkeypatch):
    monkeypatch.setattr(device, "CPU", tmp_path / "none")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    (tmp_path / "split.csv").write_text("volume\n")

    def state(precision, used):
        settings = {"training": {"precision": precision}}
        return experiment.resume_file(tmp_path, settings, "code", tmp_path / "split.csv", used)

    assert state("auto", "cpu") != state("auto", "gpu")
    assert state("float32", "cpu") == state("float32", "gpu")


def test_half_precision_trains_with_a_float32_loss(pictures):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = fit(pictures, {"epochs": 2})
    finally:
        keras.config.set_dtype_policy("float32")
    assert found.model.layers[-1].compute_dtype == "float32"
    assert found.model.layers[1].compute_dtype == "bfloat16"
    assert np.isfinite(found.history[-1]["train_loss"])
