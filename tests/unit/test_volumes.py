from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import write_dicom
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lumbarflow import DataError
from lumbarflow.data import volumes, writing


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
    writing.write(path, volume.array, volume.geometry)
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


@given(st.permutations(range(3)), st.tuples(*[st.booleans()] * 3), st.tuples(*[st.floats(-1, 1)] * 3))
def test_any_oblique_volume_within_30_degrees_gets_its_nearest_axes(order, flips, axis):
    """A turn by at most 30 degrees about any axis leaves each stored axis nearest to where it was."""
    cosines = np.zeros((3, 3))
    cosines[list(order), range(3)] = np.where(flips, -1, 1)
    direction = np.array(axis) / max(np.linalg.norm(axis), 1e-9)
    turned = Rotation.from_rotvec(direction * np.deg2rad(30)).as_matrix() @ cosines
    grids = [volumes.Geometry((5, 6, 7), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(c.ravel())) for c in (cosines, turned)]
    assert grids[0].axes() == grids[1].axes()


def test_an_override_is_believed_in_place_of_the_header(stored):
    path, image, array = stored
    image.SetDirection([-1, 0, 0, 0, 0, -1, 0, 1, 0])
    image.SetSpacing((9.0, 9.0, 9.0))
    sitk.WriteImage(image, str(path))
    override = {"orientation": "LPS", "spacing": [4.0, 0.5, 0.75], "origin": [-3.0, 20.0, 1.5]}
    volume = volumes.read(path, override)
    np.testing.assert_array_equal(volume.array, array.transpose(2, 0, 1)[:, ::-1, :])
    assert volume.spacing == (4.0, 0.75, 0.5)
    assert volume.geometry.origin == (-3.0, 20.0, 1.5)
    assert volumes.read(path, {"orientation": "PIR"}).geometry.orientation() == "PIR"


@pytest.mark.parametrize("letters", ["LLS", "LPX", "LP", "LRS"])
def test_letters_that_name_no_axes(stored, letters):
    path, image, _ = stored
    sitk.WriteImage(image, str(path))
    with pytest.raises(DataError, match=f"orientation '{letters}' does not name three axes"):
        volumes.read(path, {"orientation": letters})


@pytest.mark.parametrize("orientation", ["LPS", "PIR", "RAS"])
def test_reads_a_folder_of_dicom_slices(stored, tmp_path, orientation):
    _, image, array = stored
    turned = sitk.DICOMOrient(image, orientation)
    write_dicom(turned, tmp_path / "series")
    (tmp_path / "series/DICOMDIR.txt").write_text("not a slice")
    volume = volumes.read(tmp_path / "series")
    np.testing.assert_array_equal(volume.array, array.transpose(2, 0, 1)[:, ::-1, :])
    np.testing.assert_allclose(volume.spacing, (4.0, 0.75, 0.5))


def test_dicom_folders_that_hold_no_volume(stored, tmp_path):
    _, image, _ = stored
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: expected the slices of a DICOM series, found none"):
        volumes.read(tmp_path / "empty")
    files = write_dicom(image, tmp_path / "gap")
    files[2].unlink()
    with pytest.raises(DataError, match=r"gap: the DICOM slices are 0\.75 to 1\.5 mm apart.*a slice is missing"):
        volumes.read(tmp_path / "gap")
    write_dicom(image, tmp_path / "two")
    write_dicom(image, tmp_path / "two", series="1.2.9")
    with pytest.raises(DataError, match=r"two: expected one DICOM series, found 2 among"):
        volumes.read(tmp_path / "two")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda k: {"0020|0032": f"0\\{k * 2}\\{k * 4}"}, r"stacked at 26\.6 degrees to their normal \(gantry tilt"),
        (
            lambda k: {"0020|0037": f"1\\0\\0\\0\\{np.cos(k * np.pi / 60)}\\{np.sin(k * np.pi / 60)}"},
            r"turned against each other by up to 15 degrees; expected parallel",
        ),
        (lambda k: {"0020|0037": f"1\\0\\0\\0\\1\\{k * 1e-6}"}, None),
    ],
    ids=["tilt", "fan", "rounding"],
)
def test_dicom_slices_that_are_no_stack(stored, tmp_path, change, message):
    """Six axial slices, each stored anew with other directions or positions; reading them as a stack would lie."""
    _, image, _ = stored
    for k, path in enumerate(write_dicom(image, tmp_path / "series")):
        plane = sitk.ReadImage(str(path))
        tags = {tag: plane.GetMetaData(tag) for tag in plane.GetMetaDataKeys() if tag.startswith(("0008", "0020"))}
        flat = plane[:, :, 0]
        for tag, value in (tags | change(k)).items():
            flat.SetMetaData(tag, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(path))
        writer.Execute(flat)
    if message is None:
        assert volumes.read(tmp_path / "series").array.shape == (5, 6, 7)
        return
    with pytest.raises(DataError, match=r"series: the DICOM slices are " + message):
        volumes.read(tmp_path / "series")


def test_a_tilted_scan_of_others_is_refused(real_data):
    with pytest.raises(DataError, match=r"gantry_tilt: the DICOM slices are stacked at \d+(\.\d+)? degrees"):
        volumes.read(real_data / "external/gantry_tilt")


def test_a_sheared_header_is_refused_with_its_angle(stored):
    path, image, _ = stored
    shear = np.deg2rad(12)
    image.SetDirection([1, np.sin(shear), 0, 0, np.cos(shear), 0, 0, 0, 1])
    sitk.WriteImage(image, str(path))
    with pytest.raises(DataError, match=r"1_t2\.mha: its axes are 78, 90, 90 degrees apart \(gantry tilt"):
        volumes.read(path)


def test_reads_mhd_with_its_voxels_apart(stored):
    path, image, array = stored
    path = path.with_suffix(".mhd")
    sitk.WriteImage(image, str(path))
    assert path.with_suffix(".raw").is_file()
    np.testing.assert_array_equal(volumes.read(path).array, array.transpose(2, 0, 1)[:, ::-1, :])
    path.with_suffix(".raw").unlink()
    with pytest.raises(DataError, match=r"1_t2\.mhd: its voxels .*1_t2\.raw are not there"):
        volumes.read(path)


@pytest.mark.parametrize("ending", [".mha", ".nii", ".nii.gz"])
@pytest.mark.parametrize("content", ["png", "other volume"])
def test_a_file_that_is_not_what_its_ending_says(stored, ending, content):
    path, image, _ = stored
    made = path.with_name("x.png" if content == "png" else "x.nrrd")
    sitk.WriteImage(sitk.Cast(image[:, :, 0], sitk.sitkUInt8) if content == "png" else image, str(made))
    path = path.with_name("1_t2" + ending)
    made.rename(path)
    with pytest.raises(DataError, match=r"1_t2\.\S+: (cannot be read as a volume|expected a 3-D volume)"):
        volumes.read(path)


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
    with pytest.raises(DataError, match=r"1_t2\.\S+: cannot be read as a volume: .*(cut short|ended before)"):
        volumes.read(path)


@pytest.mark.parametrize("ending", [".mha", ".nii.gz"])
@pytest.mark.parametrize(
    ("shape", "values", "found"), [((4, 5), 1, "2-D"), ((2, 3, 4, 5), 1, "4-D"), ((3, 4, 5), 3, "3 v")]
)
def test_what_is_no_3d_volume_is_refused(tmp_path, ending, shape, values, found):
    path = tmp_path / f"1_t2{ending}"
    array = np.zeros((*shape, values) if values > 1 else shape, np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=values > 1), str(path))
    with pytest.raises(DataError, match=f"1_t2{ending}: expected a 3-D volume with one value a voxel, found .*{found}"):
        volumes.read(path)


def geometry_of(image):
    return volumes.Geometry(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


@given(st.permutations(range(3)), st.tuples(*[st.booleans()] * 3), st.integers(0, 2), st.floats(-900, 900))
def test_grids_are_compared_in_space(order, flips, axis, far):
    """The same voxels stored otherwise are the same grid, wherever it lies; a fifth of a voxel's edge is too much."""
    image = sitk.Image(5, 7, 6, sitk.sitkUInt8)
    image.SetSpacing((4.0, 0.5, 0.75))
    image.SetOrigin((far, -far, 20.0))
    image.SetDirection(Rotation.from_euler("xyz", (20, -10, 15), degrees=True).as_matrix().ravel())
    grid, turned = geometry_of(image), geometry_of(reorient(image, order, flips))
    assert turned.check_same(grid, "mask.mha") < 1e-9
    for shift, refused in ((0.04, False), (0.1, True)):
        origin = list(turned.origin)
        origin[axis] += shift
        moved = replace(turned, origin=origin)
        if refused:
            with pytest.raises(
                DataError, match=r"^mask\.mha: lies elsewhere than the image, by up to 0\.1 mm at a corner"
            ):
                moved.check_same(grid, "mask.mha")
        else:
            assert moved.check_same(grid, "mask.mha") == pytest.approx(shift)


def test_grids_of_other_sizes_or_spacings_are_refused(stored):
    _, image, _ = stored
    same = geometry_of(image)
    with pytest.raises(DataError, match=r"lies elsewhere than the image, by up to 0\.25 mm"):
        replace(same, spacing=(4.0, 0.5, 0.8)).check_same(same, "m.mha")
    wide = replace(same, size=(20, 1168, 3682))
    with pytest.raises(DataError, match=r"m\.mha: its size differs from the image's: found size .*expected size"):
        replace(wide, size=(20, 1169, 3682)).check_same(wide, "m.mha")
