import numpy as np
import pytest

from lumbarflow import DataError
from lumbarflow.learning.keras_losses import CombinedLoss, CrossEntropy
from lumbarflow.learning.losses import make


def numpy_loss(y, p, share, gamma, over):
    """The formulas of FACTS, written a second time."""
    onehot = np.eye(4)[y]
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    focal = np.mean(-((1 - clipped) ** gamma) * onehot * np.log(clipped))
    ratios = []
    for yi, pi in zip(onehot, p, strict=True):
        parts = [(yi, pi)] if over == "joint" else [(yi[..., k], pi[..., k]) for k in range(4)]
        ratios += [(2 * (a * b).sum() + 1) / (a.sum() + b.sum() + 1) for a, b in parts]
    return share * focal + (1 - share) * (1 - np.mean(ratios))


@pytest.mark.parametrize("over", ["joint", "class"])
@pytest.mark.parametrize("gamma", [0.4, 4.0])
def test_equals_numpy(over, gamma):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, (3, 8, 6))
    p = rng.dirichlet(np.ones(4), (3, 8, 6)).astype(np.float32)
    loss = CombinedLoss(0.6, None, gamma, over)
    assert float(loss(y, p)) == pytest.approx(numpy_loss(y, p, 0.6, gamma, over), rel=1e-5)


def test_by_hand():
    # one pixel of class 1 predicted with p = 1/2, classes 1 and 2 sharing it
    y, p = np.array([[[1]]]), np.array([[[[0, 0.5, 0.5, 0]]]], np.float32)
    focal = 0.5**4 * np.log(2) / 4
    assert float(CombinedLoss(1.0)(y, p)) == pytest.approx(focal, rel=1e-6)
    assert float(CombinedLoss(0.0)(y, p)) == pytest.approx(1 - 2 / 3, rel=1e-6)
    # a class at a time: 1/1 (absent, not predicted), 2/2.5, 1/1.5, 1/1
    expected = 1 - (1 + 2 / 2.5 + 1 / 1.5 + 1) / 4
    assert float(CombinedLoss(0.0, dice_over="class")(y, p)) == pytest.approx(expected, rel=1e-6)


def test_alpha_weighs_each_class():
    rng = np.random.default_rng(1)
    y, p = rng.integers(0, 4, (2, 6, 5)), rng.dirichlet(np.ones(4), (2, 6, 5)).astype(np.float32)
    alpha = [0.1, 0.5, 2.0, 1.4]
    by_class = np.take(alpha, y) * (1 - np.take_along_axis(p, y[..., None], -1)[..., 0]) ** 4
    expected = np.mean(-by_class * np.log(np.take_along_axis(p, y[..., None], -1)[..., 0])) / 4  # over classes, too
    assert float(CombinedLoss(1.0, alpha)(y, p)) == pytest.approx(expected, rel=1e-5)
    assert float(CombinedLoss(1.0, [1] * 4)(y, p)) == pytest.approx(float(CombinedLoss(1.0)(y, p)), rel=1e-6)


def test_the_papers_formula_sums_over_pixels():
    rng = np.random.default_rng(2)
    y, p = rng.integers(0, 4, (3, 6, 5)), rng.dirichlet(np.ones(4), (3, 6, 5)).astype(np.float32)
    summed = float(CombinedLoss(1.0, focal_reduction="sum")(y, p))
    assert summed == pytest.approx(float(CombinedLoss(1.0)(y, p)) * 6 * 5 * 4, rel=1e-5)


def test_cross_entropy():
    rng = np.random.default_rng(3)
    y, p = rng.integers(0, 4, (2, 6, 5)), rng.dirichlet(np.ones(4), (2, 6, 5)).astype(np.float32)
    true = np.take_along_axis(p, y[..., None], -1)[..., 0]
    assert float(CrossEntropy()(y, p)) == pytest.approx(-np.log(true).mean(), rel=1e-5)
    alpha = [1, 2, 3, 4]
    assert float(CrossEntropy(alpha)(y, p)) == pytest.approx((-np.take(alpha, y) * np.log(true)).mean(), rel=1e-5)


@pytest.mark.parametrize("loss", [CombinedLoss(), CombinedLoss(focal_reduction="sum"), CrossEntropy()])
def test_value_and_gradient_are_finite_at_0_and_1_and_in_half_precision(loss):
    import tensorflow as tf

    y = np.array([[[0, 1]]])
    for p in ([1, 0, 0, 0], [0, 0, 1, 0], [0.25] * 4):
        for dtype in (tf.float32, tf.bfloat16):
            given = tf.constant([[[p, p]]], dtype)
            with tf.GradientTape() as tape:
                tape.watch(given)
                value = loss(y, given)
            assert value.dtype == tf.float32
            assert np.isfinite(float(value))
            assert np.isfinite(np.array(tf.cast(tape.gradient(value, given), tf.float32))).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "combined", "dice_over": "pixels"}, "dice_over must be joint or class"),
        ({"name": "combined", "focal_reduction": "max"}, "focal_reduction must be mean or sum"),
        ({"name": "hinge"}, "loss.name: 'hinge' is not known; known: combined, cross_entropy"),
    ],
)
def test_unknown_readings(settings, message):
    with pytest.raises(DataError, match=message):
        make(alpha=None, **settings)
