from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk

from lumbarflow import DataError, volumes


def reorient(image, order, flips):
    """The same anatomy stored with other axes: permuted, then flipped."""
    image = sitk.PermuteAxes(image, list(order))
    return sitk.Flip(image, list(flips), flipAboutOrigin=False)


@pytest.fixture
def stored(tmp_path):
    """An LPS volume [x=5 left, y=7 posterior, z=6 superior] with a number of its own in every voxel."""
    array = np.arange(5 * 7 * 6, dtype=np.int16).reshape(6, 7, 5)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((4.0, 0.5, 0.75))
    image.SetOrigin((-3.0, 20.0, 1.5))
    return tmp_path / "1_t2.mha", image, array


@pytest.mark.parametrize("flips", list(product((False, True), repeat=3)))
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_all_48_orientations_read_the_same_and_go_back(stored, order, flips):
    path, image, array = stored
    turned = reorient(image, order, flips)
    sitk.WriteImage(turned, str(path))
    volume = volumes.read(path)
    # left-right first, then superior to inferior, then anterior to posterior
    np.testing.assert_array_equal(volume.array, array.transpose(2, 0, 1)[:, ::-1, :])
    assert volume.spacing == (4.0, 0.75, 0.5)
    volumes.write(path, volume.array, volume.geometry)
    again = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again), sitk.GetArrayFromImage(turned))
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(again, name)() == getattr(turned, name)()


def test_names_spiders_two_orientations(stored):
    path, image, _ = stored
    sitk.WriteImage(image, str(path))
    assert volumes.read(path).geometry.orientation() == "LPS"
    turned = sitk.DICOMOrient(image, "PIR")
    sitk.WriteImage(turned, str(path))
    assert volumes.read(path).geometry.orientation() == "PIR"


def test_an_oblique_volume_gets_its_nearest_axes(stored):
    path, image, array = stored
    angle = np.deg2rad(25)
    turn = [np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1]
    image.SetDirection(turn)
    sitk.WriteImage(image, str(path))
    np.testing.assert_array_equal(volumes.read(path).array, array.transpose(2, 0, 1)[:, ::-1, :])


@pytest.mark.parametrize("ending", [".mha", ".nii", ".nii.gz"])
def test_reads_each_format(stored, ending):
    path, image, array = stored
    path = path.with_name("1_t2" + ending)
    sitk.WriteImage(image, str(path))
    np.testing.assert_array_equal(volumes.read(path).array, array.transpose(2, 0, 1)[:, ::-1, :])


@pytest.mark.parametrize("content", [b"", b"not a volume", b"ObjectType = Image\nNDims = 3\nDimSize = 9 9 9\n"])
def test_an_unreadable_volume_is_named(tmp_path, content):
    path = tmp_path / "1_t2.mha"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"1_t2\.mha: cannot be read"):
        volumes.read(path)


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("ending", [".mha", ".nii", ".nii.gz"])
def test_a_truncated_volume_is_named(stored, ending, share):
    path, image, _ = stored
    path = path.with_name("1_t2" + ending)
    sitk.WriteImage(image, str(path))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"1_t2\.\S+: cannot be read as a volume: damaged, cut short"):
        volumes.read(path)


def test_flat_pictures_are_refused(tmp_path):
    path = tmp_path / "1_t2.mha"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5), np.int16)), str(path))
    with pytest.raises(DataError, match="expected a 3-D volume"):
        volumes.read(path)


def test_grids_that_differ_are_told_apart(stored):
    _, image, _ = stored
    same = volumes.Geometry(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    assert same.differs(same) is None
    moved = volumes.Geometry(same.size, (4.0, 0.5, 0.8), same.origin, same.direction)
    assert same.differs(moved) == "spacing"
