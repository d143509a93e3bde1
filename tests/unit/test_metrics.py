import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from medpy.metric import binary as medpy
from scipy import ndimage
from surface_distance import metrics as deepmind

from lumbarflow.measures import evaluation, metrics

CLASS_MASKS = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3))


@st.composite
def pairs(draw):
    first = draw(CLASS_MASKS)
    return first, draw(hnp.arrays(np.uint8, first.shape, elements=st.integers(0, 3)))


def brute_force(pred, truth, spacing):
    """Directed distances between surfaces, every pair compared."""

    def surface(mask):
        points = []
        for place in np.argwhere(mask):
            for axis in range(mask.ndim):
                for step in (-1, 1):
                    beside = place.copy()
                    beside[axis] += step
                    if not 0 <= beside[axis] < mask.shape[axis] or not mask[tuple(beside)]:
                        points.append(tuple(place * spacing))
        return np.array(sorted(set(points)))

    a, b = surface(pred), surface(truth)
    distances = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return distances.min(1), distances.min(0)


def square(shape, top, left, side):
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_overlap_by_hand():
    truth = np.array([[0, 1, 1, 2]])
    pred = np.array([[0, 1, 2, 2]])
    result = metrics.overlap(pred, truth)
    np.testing.assert_allclose(result["iou"], [1, 0.5, 0.5, np.nan])
    np.testing.assert_allclose(result["dice"], [1, 2 / 3, 2 / 3, np.nan])
    np.testing.assert_allclose(result["precision"], [1, 1, 0.5, np.nan])
    np.testing.assert_allclose(result["recall"], [1, 0.5, 1, np.nan])


@given(pairs())
def test_overlap_identities(pair):
    pred, truth = pair
    result = metrics.overlap(pred, truth)
    for k in range(4):
        p, t = pred == k, truth == k
        if not p.any() and not t.any():
            assert np.isnan(result["dice"][k])
            continue
        assert result["dice"][k] == pytest.approx(2 * (p & t).sum() / (p.sum() + t.sum()))
        iou = result["iou"][k]
        assert result["dice"][k] == pytest.approx(2 * iou / (1 + iou))
        precision, recall = result["precision"][k], result["recall"][k]
        if precision + recall > 0:
            assert result["f1"][k] == pytest.approx(2 * precision * recall / (precision + recall))


@settings(deadline=None)
@given(pairs(), st.tuples(st.floats(0.3, 4), st.floats(0.3, 4)))
def test_distances_equal_brute_force(pair, spacing):
    pred, truth = (mask == 1 for mask in pair)
    result = metrics.surface(pred, truth, spacing, 1.0)
    if pred.any() and truth.any():
        to_truth, to_pred = brute_force(pred, truth, spacing)
        np.testing.assert_allclose(np.sort(result.to_truth), np.sort(to_truth), atol=1e-9)
        np.testing.assert_allclose(np.sort(result.to_pred), np.sort(to_pred), atol=1e-9)
        both = np.concatenate([to_truth, to_pred])
        assert result.assd == pytest.approx(both.mean())
        assert result.hd95 == pytest.approx(max(np.percentile(to_truth, 95), np.percentile(to_pred, 95)))
        near = both[np.abs(both - 1) < 1e-9]  # rounding decides on which side of tau these lie
        if not len(near):
            assert result.nsd_paper == pytest.approx((to_pred < 1).mean())
            assert result.nsd_symmetric == pytest.approx((both <= 1).mean())
    mirrored = metrics.surface(truth, pred, spacing, 1.0)
    for name in ("assd", "asd_mean_of_means", "nsd_symmetric", "nsd_mean_of_means", "hd95"):
        np.testing.assert_allclose(getattr(result, name), getattr(mirrored, name))


def everything(pred, truth, spacing, tau):
    """All metrics of class 1 of a pair, as one array."""
    overlap = [values[1] for values in metrics.overlap(pred, truth).values()]
    distances = metrics.surface(pred == 1, truth == 1, spacing, tau)
    shares = [getattr(distances, name) for name in ("nsd_paper", "nsd_symmetric", "nsd_mean_of_means")]
    lengths = [getattr(distances, name) for name in ("assd", "asd_mean_of_means", "hd95")]
    return np.array(overlap + shares), np.array(lengths)


@given(pairs(), st.tuples(st.integers(0, 4), st.integers(0, 4)), st.permutations(range(4)))
def test_nothing_depends_on_where_a_picture_lies_or_what_its_classes_are_called(pair, shift, names):
    shares, lengths = everything(*pair, (1.0, 2.0), 1.5)
    (down, right), relabel = shift, np.array(names)
    framed = [np.pad(mask, ((down + 1, 2), (right + 1, 3))) for mask in pair]  # background all around
    flipped = [mask[::-1, ::-1] for mask in pair]
    turned = [mask.T for mask in pair]
    for others, spacing in ((framed, (1.0, 2.0)), (flipped, (1.0, 2.0)), (turned, (2.0, 1.0))):
        found = everything(*others, spacing, 1.5)
        np.testing.assert_allclose(found[0], shares)
        np.testing.assert_allclose(found[1], lengths)
    before, after = metrics.overlap(*pair), metrics.overlap(*(relabel[mask] for mask in pair))
    for name, values in before.items():
        np.testing.assert_array_equal(after[name][relabel], values)


@given(pairs(), st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_distances_grow_with_the_spacing(pair, factor):
    shares, lengths = everything(*pair, (1.0, 1.5), 1.25)
    found = everything(*pair, (factor, 1.5 * factor), 1.25 * factor)
    np.testing.assert_array_equal(found[0], shares)
    np.testing.assert_allclose(found[1], lengths * factor)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.6), st.tuples(*3 * [st.floats(0.3, 4)]))
def test_distances_of_volumes_equal_brute_force(seed, share, spacing):
    rng = np.random.default_rng(seed)
    pred, truth = rng.random((2, *rng.integers(1, 6, 3))) < share
    result = metrics.surface(pred, truth, spacing)
    if pred.any() and truth.any():
        to_truth, to_pred = brute_force(pred, truth, spacing)
        np.testing.assert_allclose(np.sort(result.to_truth), np.sort(to_truth), atol=1e-9)
        np.testing.assert_allclose(np.sort(result.to_pred), np.sort(to_pred), atol=1e-9)


@given(st.integers(0, 10**6), st.integers(1, 4), st.tuples(*[st.sampled_from([0.3, 1.0, 3.85])] * 3))
def test_distances_of_a_surface_far_from_what_was_predicted(seed, voxels, spacing):
    """Searched row by row this would take a while: the second way of _nearest, which small pictures never need."""
    rng = np.random.default_rng(seed)
    predicted, truth = rng.random((4, 30, 20)) < 0.4, np.zeros((4, 30, 20), bool)
    truth[tuple(rng.integers(0, (4, 30, 20), (voxels, 3)).T)] = True
    found = metrics.surface(predicted, truth, spacing).to_truth
    surface = metrics.boundary(predicted)
    np.testing.assert_allclose(found, ndimage.distance_transform_edt(~truth, sampling=spacing)[surface])


def test_asd_equals_medpys():
    rng = np.random.default_rng(0)
    for _ in range(20):
        pred = square((40, 50), *rng.integers(0, 15, 2), rng.integers(5, 20)) ^ (rng.random((40, 50)) < 0.01)
        truth = square((40, 50), *rng.integers(0, 15, 2), rng.integers(5, 20))
        ours = metrics.surface(pred, truth, (0.7, 1.3))
        expected = (medpy.asd(pred, truth, (0.7, 1.3)) + medpy.asd(truth, pred, (0.7, 1.3))) / 2
        assert ours.asd_mean_of_means == pytest.approx(expected)
        assert ours.assd == pytest.approx(medpy.assd(pred, truth, (0.7, 1.3)))
        assert ours.hd95 >= medpy.hd95(pred, truth, (0.7, 1.3)) - 1e-9  # medpy's: of both sets together


def blobs(shape, seed):
    """Two smooth random masks that overlap."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
    return smooth > 0, ndimage.gaussian_filter(smooth + 0.05 * rng.normal(size=shape), 0.7) > 0.02


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((30, 40), (0.7, 1.3)), ((12, 20, 24), (1, 1, 1)), ((8, 24, 24), (4, 0.6, 0.7))],
)
def test_distances_by_area_equal_those_of_deepminds_program(shape, spacing):
    for seed in range(5):
        pred, truth = blobs(shape, seed)
        ours = metrics.surface_by_area(pred, truth, spacing, 1.0)
        theirs = deepmind.compute_surface_distances(truth, pred, spacing)
        for name, mine, area in (
            ("gt_to_pred", ours.to_pred, ours.of_truth),
            ("pred_to_gt", ours.to_truth, ours.of_pred),
        ):
            np.testing.assert_allclose(np.sort(mine), theirs[f"distances_{name}"])
            expected = theirs["surfel_areas_gt" if name == "gt_to_pred" else "surfel_areas_pred"]
            assert area.sum() == pytest.approx(expected.sum())
        means = deepmind.compute_average_surface_distance(theirs)
        assert ours.asd_mean_of_means == pytest.approx(np.mean(means))
        assert ours.nsd_symmetric == pytest.approx(deepmind.compute_surface_dice_at_tolerance(theirs, 1.0))


def test_areas_are_those_of_known_bodies():
    mask = np.zeros((6, 9), bool)
    mask[2:4, 3:8] = True
    size = metrics.surface_by_area(mask, mask, (2, 0.5)).of_pred.sum()
    diagonal = np.hypot(1, 0.25)
    assert size == pytest.approx(2 * (4 * 0.5 + 1 * 2) + 4 * diagonal)  # sides without their ends, cut corners
    box = np.ones((3, 40, 60), bool)
    area = metrics.surface_by_area(box, box, (4, 0.5, 0.5)).of_pred.sum()
    assert area == pytest.approx(2 * (20 * 30 + 20 * 12 + 30 * 12), rel=0.04)  # less at its edges
    # a mirror or a quarter turn changes nothing
    lump = blobs((6, 14, 14), 3)[0]
    sums = [
        metrics.surface_by_area(each, each, (2.5, 0.5, 0.5)).of_pred.sum()
        for each in (lump, lump[::-1], lump[:, :, ::-1], np.rot90(lump, axes=(1, 2)))
    ]
    assert sums == pytest.approx([sums[0]] * 4)


def test_by_area_what_is_missed_or_absent_is_as_by_voxels():
    some, none = square((6, 6), 1, 1, 3), np.zeros((6, 6), bool)
    for pred, truth in ((some, none), (none, some), (none, none), (some, some)):
        counted, weighted = metrics.surface(pred, truth, (1, 1)), metrics.surface_by_area(pred, truth, (1, 1))
        for name in ("assd", "nsd_symmetric"):
            np.testing.assert_equal(getattr(weighted, name), getattr(counted, name))
    with pytest.raises(ValueError, match="do not match"):
        metrics.surface_by_area(some, some, (1, 1, 1))


def test_a_square_moved_by_a_pixel():
    truth, pred = square((12, 12), 3, 3, 5), square((12, 12), 3, 4, 5)
    result = metrics.surface(pred, truth, (1, 1), 1.0)
    to_truth, to_pred = brute_force(pred, truth, (1, 1))
    assert sorted(to_truth) == sorted(to_pred) == [0] * 8 + [1] * 8
    assert result.assd == result.asd_mean_of_means == 0.5
    assert result.nsd_paper == 0.5  # strictly closer than tau = 1: only what coincides
    assert result.nsd_symmetric == result.nsd_mean_of_means == 1.0
    assert metrics.surface(pred, truth, (2, 2), 1.0).assd == 1.0


def test_the_border_of_the_picture_counts_as_outside():
    full = np.ones((4, 5), bool)
    assert metrics.boundary(full).sum() == 14
    assert metrics.boundary(np.ones((3, 3, 3), bool)).sum() == 26


def test_absent_structures():
    none, some = np.zeros((5, 5), bool), square((5, 5), 1, 1, 2)
    both = metrics.surface(none, none, (1, 1))
    assert np.isnan([both.assd, both.asd_mean_of_means, both.nsd_paper, both.nsd_symmetric, both.hd95]).all()
    for missed in (metrics.surface(none, some, (1, 1)), metrics.surface(some, none, (1, 1))):
        assert missed.assd == missed.asd_mean_of_means == missed.hd95 == np.inf
        assert missed.nsd_paper == missed.nsd_symmetric == missed.nsd_mean_of_means == 0


def test_the_stack_is_kinder_than_its_slices():
    """The release's artefact: a surface finds its match in another patient's slice."""
    truth = np.stack([square((20, 20), 2, 2, 8), square((20, 20), 8, 8, 8)])
    pred = truth[::-1]
    stack = metrics.surface(pred, truth, (1, 1, 1)).asd_mean_of_means
    slices = np.mean([metrics.surface(p, t, (1, 1)).asd_mean_of_means for p, t in zip(pred, truth, strict=True)])
    assert stack < slices / 2


def test_the_stack_in_the_order_of_the_split_and_sorted():
    rng = np.random.default_rng(3)
    masks = [tuple((rng.random((12, 12)) < 0.3).astype(np.uint8) for _ in range(2)) for _ in range(6)]
    order = [4, 0, 5, 2, 1, 3]  # position of each image in the shuffle
    stacks = {"t2": [(str(place), *pair) for place, pair in zip(order, masks, strict=True)]}
    found = {(row["order"], row["class"]): row for row in evaluation.stack_rows(stacks, 1.0)}
    for name, sequence in (("sorted", range(6)), ("shuffled", np.argsort(order))):
        pred, truth = (np.stack([masks[k][part] for k in sequence]) for part in (0, 1))
        expected = metrics.surface(pred == 1, truth == 1, (1, 1, 1), 1.0)
        assert found[name, "vertebrae"]["asd"] == expected.asd_mean_of_means
        assert found[name, "vertebrae"]["nsd"] == expected.nsd_mean_of_means
    assert found["sorted", "vertebrae"]["asd"] != found["shuffled", "vertebrae"]["asd"]
    without = evaluation.stack_rows({"t2": [("", *pair) for pair in masks]}, 1.0)  # a split by patients has no shuffle
    assert {row["order"] for row in without} == {"sorted"}


def test_shapes_that_do_not_match():
    with pytest.raises(ValueError, match="differ in shape"):
        metrics.overlap(np.zeros((2, 2), int), np.zeros((2, 3), int))
    for value in (-1, 4):
        with pytest.raises(ValueError, match="class beyond"):
            metrics.overlap(np.array([0, value]), np.array([0, 1]))
    with pytest.raises(ValueError, match="do not match"):
        metrics.surface(np.zeros((2, 2)), np.zeros((2, 2)), (1, 1, 1))
