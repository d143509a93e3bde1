"""Classes that are decided for by offsets, chosen on validation patients, and how far probabilities can be believed."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lumbarflow import CLASSES
from lumbarflow.learning import decision
from lumbarflow.learning.decision import REACH, STEP, Decision, Opinion

SPACING = (4.0, 1.0, 1.0)
OFFSETS = st.sampled_from(np.arange(-REACH, REACH + STEP / 2, STEP).tolist())


def draw(seed, shape=(2, 12, 10), sharpness=3.0):
    """Probabilities that know a random truth a little, and that truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, shape).astype(np.uint8)
    logits = rng.normal(0, sharpness, (*shape, 4)) + 1.5 * np.eye(4)[truth]
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return (p / p.sum(-1, keepdims=True)).astype(np.float32), truth


def mean_dice(predicted, truth):
    sizes = [(predicted == k).sum() + (truth == k).sum() for k in (1, 2, 3)]
    return np.mean([2 * ((predicted == k) & (truth == k)).sum() / n for k, n in zip((1, 2, 3), sizes, strict=True)])


@given(st.integers(0, 9999), st.tuples(OFFSETS, OFFSETS, OFFSETS))
def test_the_pixels_that_are_kept_are_all_that_offsets_move(seed, values):
    p, truth = draw(seed)
    offsets = dict(zip(CLASSES[1:], values, strict=True))
    said = Opinion.of(p, truth, SPACING, "1")
    classes, same, _ = said.decided(offsets)
    expected = (np.log(np.maximum(p, 1e-7)) + np.array([0, *values], np.float32)).argmax(-1)
    np.testing.assert_array_equal(classes, expected)
    np.testing.assert_array_equal(same, truth)
    np.testing.assert_array_equal(said.decided({})[0], decision.decide(p))
    # the test volumes, whose probabilities are all there, are decided alike, but for equal ones
    assert (Decision(offsets).decide(p) != expected).mean() < 0.01


def test_few_pixels_of_a_sure_network_are_kept():
    p, truth = draw(1, (2, 60, 60), sharpness=12)
    assert len(Opinion.of(p, truth, SPACING, "1").places) < 0.4 * truth.size


def test_offsets_undo_a_bias_against_a_class():
    """Probabilities of discs that are a third of what they should be: the offset is about the log of three."""
    volumes = []
    for seed in range(4):
        p, truth = draw(seed, (4, 40, 40), sharpness=1.0)
        p[..., 3] /= 3
        volumes.append((p / p.sum(-1, keepdims=True), truth))
    opinions = [Opinion.of(*each, SPACING, str(n)) for n, each in enumerate(volumes)]
    found = decision.choose_offsets(opinions)
    assert found["ivd"] - max(found["vertebrae"], found["spinal_canal"]) == pytest.approx(np.log(3), abs=0.3)
    joined = [np.concatenate(parts) for parts in zip(*volumes, strict=True)]
    before, after = (mean_dice(Decision(each).decide(joined[0]), joined[1]) for each in ({}, found))
    assert after > before + 0.005


@given(st.integers(0, 9999))
@example(9422)  # takes more rounds than there are classes
def test_no_single_offset_is_better_than_the_chosen(seed):
    p, truth = draw(seed, (2, 8, 8))
    said = Opinion.of(p, truth, SPACING, "1")
    found = decision.choose_offsets([said])
    best = mean_dice(said.decided(found)[0], truth)
    assert best >= mean_dice(decision.decide(p), truth)
    for name, step in itertools.product(found, (-STEP, STEP)):
        if abs(found[name] + step) <= REACH:
            assert mean_dice(said.decided({**found, name: found[name] + step})[0], truth) <= best + 1e-12


def test_a_class_that_truth_lacks_moves_no_other():
    """Nor is it worth anything to lose the last pixel that was taken for it."""
    truth = np.repeat(np.arange(3, dtype=np.uint8), 64)[None].reshape(1, 12, 16)
    p = np.full((*truth.shape, 4), 0.02, np.float32)
    np.put_along_axis(p, truth[..., None].astype(np.intp), 0.94, -1)
    p[0, 0, 0] = (0.2, 0.1, 0.1, 0.6)
    found = decision.choose_offsets([Opinion.of(p, truth, SPACING, "1")])
    assert (found["vertebrae"], found["spinal_canal"]) == (0, 0)


def test_certainty_is_left_alone():
    truth = draw(0)[1]
    sure = np.eye(4, dtype=np.float32)[truth]
    assert decision.choose_offsets([Opinion.of(sure, truth, SPACING, "1")]) == dict.fromkeys(CLASSES[1:], 0.0)


def test_too_few_validation_patients(caplog):
    settings = {"decision": "offsets", "min_component_mm3": []}
    opinions = [Opinion.of(*draw(n), SPACING, patient) for n, patient in enumerate("aabb")]
    assert decision.choose(opinions, settings) == Decision()
    assert "no offsets: 2 validation patients say too little of others; 3 are needed" in caplog.text
    third = [*opinions, Opinion.of(*draw(9), SPACING, "c")]
    chosen = decision.choose(third, settings)
    assert any(chosen.offsets.values())
    assert not chosen.smallest
    # small components are then counted in what was decided
    both = decision.choose(third, {"decision": "offsets", "min_component_mm3": [8, 40]})
    assert both.offsets == chosen.offsets
    assert both.smallest == decision.choose_smallest([each.decided(chosen.offsets) for each in third], [8, 40])
    given = decision.choose(third, {"decision": "offsets", "min_component_mm3": {"ivd": 300}})
    assert given == Decision(chosen.offsets, {"ivd": 300})


def test_what_asks_for_nothing_looks_at_nothing():
    def never():
        raise AssertionError
        yield

    assert decision.choose(never(), {"decision": "highest", "min_component_mm3": []}) == Decision()
    fixed = {"decision": "highest", "min_component_mm3": {"ivd": 300}}
    assert decision.choose(never(), fixed) == Decision({}, {"ivd": 300})


def test_reliability_counts_each_pixel_once_a_class():
    p, truth = draw(3, (3, 50, 50))
    sums = decision.reliability(p, truth)
    np.testing.assert_array_equal(sums[..., 0].sum(1), truth.size)
    np.testing.assert_allclose(sums[..., 1].sum(1), p.reshape(-1, 4).sum(0), rtol=1e-5)
    np.testing.assert_array_equal(sums[..., 2].sum(1), np.bincount(truth.ravel(), minlength=4))
    low, high = np.arange(10) / 10, np.arange(1, 11) / 10
    rows = decision.reliability_rows({"t1": sums})
    assert all(row["from"] <= row["said"] + 1e-6 and row["said"] <= row["to"] + 1e-6 for row in rows)
    disc = [row for row in rows if row["class"] == "ivd"]
    b = 7
    inside = (p[..., 3] >= low[b]) & (p[..., 3] < high[b])
    (row,) = [row for row in disc if row["from"] == low[b]]
    assert row["pixels"] == inside.sum()
    assert row["true"] == pytest.approx((truth[inside] == 3).mean())
