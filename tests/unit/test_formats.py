"""Volumes as scanners and other programs write them: each gives the right voxels in the right place, or a refusal that
says what is wrong and what to do."""

import gzip
import io
import zlib

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from conftest import write_dicom
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from lumbarflow import DataError
from lumbarflow.data import dicom, listing, masks, volumes, writing

# voxel indices grow to the Left, Posterior and Superior, 4 x 0.5 x 0.75 mm; NIfTI's space has x and y the other way
AFFINE = np.diag([-4.0, -0.5, 0.75, 1.0])
AFFINE[:3, 3] = 3, -20, 1.5
ARRAY = np.arange(5 * 7 * 6, dtype=np.int16).reshape(5, 7, 6)  # x, y, z
CANONICAL = ARRAY.transpose(0, 2, 1)[:, ::-1, :]


def nifti(path, array=ARRAY, affine=AFFINE, kind=nib.Nifti1Image, **changes):
    """A NIfTI file whose header has some of its fields changed after the fact."""
    image = kind(array, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, str(path))
    content = path.read_bytes()
    packed = content[:2] == b"\x1f\x8b"
    content = bytearray(gzip.decompress(content) if packed else content)
    header = type(image.header)(bytes(content[: image.header.sizeof_hdr]), check=False)
    for name, value in changes.items():
        header[name] = value
    content[: len(header.binaryblock)] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(content)) if packed else bytes(content))
    return path


def check(path, override=None, spacing=(4.0, 0.75, 0.5), array=CANONICAL):
    volume = volumes.read(path, override)
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.spacing, spacing, rtol=1e-6)
    return volume.geometry


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("name", ["1_t2.nii", "1_t2.nii.gz", "1_T2.NII.GZ", "1_T2.NII"])
def test_nifti_of_both_versions_and_with_any_ending(tmp_path, kind, name):
    made = nifti(tmp_path / name.lower(), kind=kind)
    geometry = check(made.rename(tmp_path / name))
    assert geometry.orientation() == "LPS"
    np.testing.assert_allclose(geometry.origin, (-3, 20, 1.5))


@given(st.permutations(range(3)), st.tuples(*[st.booleans()] * 3), st.tuples(*[st.floats(-25, 25)] * 3))
def test_nifti_lies_where_nibabel_says(tmp_path_factory, order, flips, turns):
    """Any orientation, oblique ones too: the corner of the stored array is where nibabel's affine puts it."""
    path = tmp_path_factory.mktemp("nifti") / "a.nii"
    array = np.flip(ARRAY.transpose(order), [a for a in range(3) if flips[a]])
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turns, degrees=True).as_matrix() @ np.diag([2, 3, 4.0])
    nib.save(nib.Nifti1Image(array, affine), path)
    volume = volumes.read(path)
    corners = volume.geometry.corners()
    last = np.array(volume.array.shape) - 1
    for corner, place in zip(np.ndindex(2, 2, 2), corners, strict=True):
        value = volume.array[tuple(last * corner)]
        index = np.argwhere(array == value)[0]
        expected = affine[:3] @ [*index, 1] * [-1, -1, 1]
        np.testing.assert_allclose(place, expected, atol=1e-4)


def test_a_qform_that_differs_is_said_and_the_sform_used(tmp_path, caplog):
    check(nifti(tmp_path / "a.nii", qform_code=1, qoffset_x=23.0))
    assert "its qform differs from its sform by up to 20 mm; the sform is used" in caplog.text
    caplog.clear()
    check(nifti(tmp_path / "a.nii", qform_code=1, qoffset_x=3.01))
    assert "differs" not in caplog.text


def test_nifti_without_a_sound_spacing_or_place(tmp_path, caplog):
    path = tmp_path / "a.nii"
    check(nifti(path, pixdim=[1, 0, 0, 0, 1, 1, 1, 1]))  # the sform knows
    nothing = nifti(path, qform_code=0, sform_code=0)
    with pytest.raises(
        DataError, match=r"a\.nii: neither its qform nor its sform is set.*in a dataset, .*`overrides` \(or"
    ):
        volumes.read(nothing)
    check(nothing, {"orientation": "LPS"})
    zero = nifti(path, qform_code=1, sform_code=0, pixdim=[1, 0, 0, 0, 1, 1, 1, 1])
    with pytest.raises(DataError, match=r"a\.nii: its spacings are 0 0 0, and it has no sform; .*\(spacing"):
        volumes.read(zero)
    check(zero, {"orientation": "LPS", "spacing": [4.0, 0.5, 0.75]})
    metres = nifti(path, xyzt_units=1)
    with pytest.raises(DataError, match=r"its unit is metres, expected mm; .*\(spacing\)"):
        volumes.read(metres)
    negative = nifti(path, sform_code=0, qform_code=1, pixdim=[1, -4, -0.5, -0.75, 1, 1, 1, 1])
    check(negative)
    assert "has negative spacings" in caplog.text


def test_nifti_with_a_rounded_quaternion(tmp_path):
    """Half turns written with few digits lie where ITK has them; what is no rounding is told by its length."""
    for b, c in ((0.70711, 0.70711), (0, 1.0004)):
        path = nifti(tmp_path / "a.nii", qform_code=1, sform_code=0, quatern_b=b, quatern_c=c, quatern_d=0)
        expected = sitk.ReadImage(str(path)).GetDirection()
        np.testing.assert_allclose(volumes.read(path).geometry.direction, expected, atol=1e-4)
    path = nifti(path, qform_code=1, sform_code=0, quatern_b=0, quatern_c=1.1, quatern_d=0)
    with pytest.raises(
        DataError, match=r"quaternion \(b, c, d\) of its qform has a length of 1\.1, expected at most 1"
    ):
        volumes.read(path)


def test_a_sheared_sform_is_refused_with_its_angle(tmp_path):
    sheared = AFFINE.copy()
    sheared[:3, 1] = [-0.5 * np.sin(np.deg2rad(12)), -0.5 * np.cos(np.deg2rad(12)), 0]
    path = nifti(tmp_path / "a.nii", affine=sheared, qform_code=0)
    with pytest.raises(DataError, match=r"a\.nii: its axes are 78, 90, 90 degrees apart.*, in a dataset, tell"):
        volumes.read(path)
    assert volumes.read(path, {"orientation": "LPS"}).geometry.orientation() == "LPS"


def test_gzip_and_its_ending_may_differ(tmp_path, caplog):
    caplog.set_level("INFO")
    packed = nifti(tmp_path / "a.nii.gz").rename(tmp_path / "b.nii")
    check(packed)
    assert "b.nii: is packed by gzip, in spite of its name" in caplog.text
    check(nifti(tmp_path / "a.nii").rename(tmp_path / "c.nii.gz"))
    assert "c.nii.gz: is not packed by gzip, in spite of its name" in caplog.text


def test_voxels_that_begin_elsewhere(tmp_path):
    """vox_offset 0 means right behind the header; bytes behind the voxels are asked about."""
    path = tmp_path / "a.nii"
    check(nifti(path, vox_offset=0))
    path.write_bytes(path.read_bytes() + bytes(64))
    with pytest.raises(
        DataError, match=r"a\.nii: holds 64 bytes more than its header claims.*in a dataset, .*`surplus: true` under"
    ):
        volumes.read(path)
    check(path, {"surplus": True})
    with pytest.raises(DataError, match="its voxels begin at byte 100"):
        volumes.read(nifti(path, vox_offset=100))
    packed = tmp_path / "packed.mha"
    sitk.WriteImage(sitk.ReadImage(str(metaimage(tmp_path / "a.mha"))), str(packed), useCompression=True)
    for longer in (tmp_path / "a.mha", packed):
        longer.write_bytes(longer.read_bytes() + b"\n")
        with pytest.raises(DataError, match=r"\.mha: holds 1 bytes more than its header claims"):
            volumes.read(longer)
        check(longer, {"surplus": True})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scl_slope": 1, "scl_inter": np.nan}, "Valid slope but invalid intercept nan"),
        ({"datatype": 3}, "its datatype is 3, which NIfTI does not know"),
    ],
)
def test_a_header_that_nibabel_does_not_take(tmp_path, changes, words):
    with pytest.raises(DataError, match=rf"a\.nii: cannot be read as a volume: .*{words}"):
        volumes.read(nifti(tmp_path / "a.nii", **changes))


def test_a_picture_is_a_slice_once_its_spacing_is_told(tmp_path):
    shown = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(shown).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: a picture does not say how large .* \(spacing\)"):
        volumes.read(tmp_path / "a.png")
    found = volumes.read(tmp_path / "a.png", {"spacing": (0.6, 0.7, 4)})
    np.testing.assert_array_equal(found.array, shown[None])  # as a radiologist sees it
    assert found.spacing == (4, 0.7, 0.6)
    assert found.geometry.orientation() == "PIL"
    for mode in ("RGB", "RGBA"):
        Image.fromarray(shown.astype(np.uint8)).convert(mode).save(tmp_path / "grey.png")
        grey = volumes.read(tmp_path / "grey.png", {"spacing": (0.6, 0.7, 4)})
        np.testing.assert_array_equal(grey.array, found.array)
    Image.new("RGB", (4, 3), (7, 7, 8)).save(tmp_path / "colour.png")
    with pytest.raises(DataError, match=r"colour\.png: expected a grey picture, found colours"):
        volumes.read(tmp_path / "colour.png", {"spacing": (1, 1, 1)})
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    with pytest.raises(DataError, match=r"cut\.png: cannot be read as a volume"):
        volumes.read(tmp_path / "cut.png", {"spacing": (1, 1, 1)})


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mha"])
def test_one_time_point_is_a_volume_and_several_are_not(tmp_path, ending):
    image = sitk.GetImageFromArray(ARRAY.transpose(2, 1, 0)[None], isVector=False)
    image.SetSpacing((4.0, 0.5, 0.75, 1.0))
    image.SetOrigin((-3.0, 20.0, 1.5, 0.0))
    path = tmp_path / f"a{ending}"
    sitk.WriteImage(image, str(path))
    check(path)
    sitk.WriteImage(sitk.JoinSeries([image[..., 0], image[..., 0]]), str(path))
    with pytest.raises(DataError, match=f"a{ending}: expected a 3-D volume with one value a voxel, found 4-D"):
        volumes.read(path)


@pytest.mark.parametrize("ending", [".nii.gz", ".mha"])
def test_nan_is_refused_with_a_count_in_every_format(tmp_path, ending):
    array = np.ones((4, 5, 6), np.float32)
    array[0, 0, :2] = np.nan, np.inf
    path = tmp_path / f"a{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    with pytest.raises(DataError, match=rf"a{ending}: holds 2 voxels that are NaN or infinite"):
        volumes.read(path)


@pytest.mark.parametrize(
    "override",
    [
        {"orientation": "RPS"},
        {"orientation": "RPS", "origin": [0, 0, 0]},
        {"orientation": "SLA"},
        {"origin": [0, 0, 0]},
        {"spacing": [4, 0.6, 0.5]},
    ],
)
def test_a_correction_moves_a_mask_with_its_image(tmp_path, override, caplog):
    """However the mask is stored, if both headers agree; where they do not, letters mean the stored axes of each."""
    image = {"path": nifti(tmp_path / "image.nii"), "override": override}
    labels = nib.Nifti1Image((ARRAY % 3).astype(np.uint8), AFFINE)
    for turned in ("LPS", "RAS", "IPL"):
        into = nib.orientations.axcodes2ornt(turned)
        mask = labels.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(AFFINE), into))
        mask.header.set_xyzt_units("mm")
        nib.save(mask, tmp_path / "mask.nii")
        found, grid = masks.read(tmp_path / "mask.nii", override, image=image), volumes.read(**image)
        np.testing.assert_array_equal(found.array, grid.array % 3)
        assert found.geometry.same(grid.geometry)
    assert "puts it elsewhere" not in caplog.text
    lying = nifti(tmp_path / "mask.nii", (ARRAY % 3).astype(np.uint8), np.diag([2.0, 2, 2, 1]))
    both = override | {"orientation": "RPS", "origin": [0, 0, 0], "spacing": [4, 0.5, 0.75]}
    image["override"] = both
    np.testing.assert_array_equal(masks.read(lying, both, image=image).array, volumes.read(**image).array % 3)
    assert "puts it elsewhere than the image's" in caplog.text


def test_a_mask_under_a_slope(tmp_path):
    """As nibabel saves whole numbers under an int16 header: up to 0.0015 off."""
    labels = np.zeros((4, 5, 6))
    labels[1], labels[2] = 100, 209
    image = nib.Nifti1Image(labels, AFFINE)
    image.set_data_dtype(np.int16)
    image.to_filename(tmp_path / "a.nii")
    stored = volumes.read(tmp_path / "a.nii").array
    assert stored.dtype.kind == "f"
    assert 0 < np.abs(stored - np.rint(stored)).max() < 0.01
    np.testing.assert_array_equal(np.unique(masks.read(tmp_path / "a.nii").array), [0, 100, 209])


def metaimage(path, **changes):
    """An uncompressed MetaImage file, some lines of its header changed, or taken out where they are None."""
    image = sitk.GetImageFromArray(ARRAY.transpose(2, 1, 0))
    image.SetSpacing((4.0, 0.5, 0.75))
    image.SetOrigin((-3.0, 20.0, 1.5))
    sitk.WriteImage(image, str(path))
    head, _, voxels = path.read_bytes().partition(b"ElementDataFile = LOCAL\n")
    fields = dict(line.split(" = ", 1) for line in head.decode().splitlines()) | changes
    lines = [f"{key} = {value}\n" for key, value in fields.items() if value is not None]
    path.write_bytes("".join([*lines, "ElementDataFile = LOCAL\n"]).encode() + voxels)
    return path


@pytest.mark.parametrize(
    ("changes", "message", "override"),
    [
        (
            {"TransformMatrix": None},
            r"its header has no TransformMatrix.*`overrides` \(orientation\)",
            {"orientation": "LPS"},
        ),
        (
            {"ElementSpacing": None},
            r"its header has no ElementSpacing; .*`overrides` \(spacing\)",
            {"spacing": [4.0, 0.5, 0.75]},
        ),
        ({"ElementSpacing": "4 0 0.75"}, "its ElementSpacing is 4 0 0.75; ", {"spacing": [4.0, 0.5, 0.75]}),
        ({"DistanceUnits": "cm"}, "its DistanceUnits are 'cm', expected mm", {"spacing": [4.0, 0.5, 0.75]}),
        (
            {"TransformMatrix": "1 0 0 0 0 0 0 0 1"},
            "its header places it at .*or, in a dataset, tell",
            {"orientation": "LPS"},
        ),
        ({"Offset": "nan 0 0"}, "its header places it at", {"origin": [-3.0, 20.0, 1.5]}),
        ({"Position": "1 2 3"}, "Offset and Position differ", None),
        ({"ElementSpacing": "1 2"}, "ElementSpacing has 2 numbers, expected 3", None),
        ({"Offset": "a b c"}, "Offset holds no numbers", None),
        ({"HeaderSize": "64"}, "HeaderSize is 64, expected 0", None),
    ],
)
def test_metaimage_that_does_not_say_where_it_lies(tmp_path, changes, message, override):
    path = metaimage(tmp_path / "a.mha", **changes)
    with pytest.raises(DataError, match=r"a\.mha: .*" + message):
        volumes.read(path)
    if override:
        check(path, override)


def test_metaimage_with_other_words_for_the_same(tmp_path):
    path = tmp_path / "a.mha"
    check(metaimage(path, ElementSpacing=None, ElementSize="4 0.5 0.75"))
    check(metaimage(path, ElementSize="3 0.5 0.75"))  # with gaps between its slices
    check(metaimage(path, TransformMatrix=None, Rotation="1 0 0 0 1 0 0 0 1"))
    check(metaimage(path, Position="-3 20 1.5"))
    swapped = ARRAY.transpose(2, 1, 0).astype(">i2").tobytes()
    packed = zlib.compress(swapped)
    size = {"CompressedDataSize": str(len(packed))}
    for voxels, fields in (
        (swapped, {"BinaryDataByteOrderMSB": "True"}),
        (swapped, {"BinaryDataByteOrderMSB": "t", "BinaryData": "1"}),
        (packed, {"BinaryDataByteOrderMSB": None, "ElementByteOrderMSB": "1", "CompressedData": "T", **size}),
    ):
        head = metaimage(path, **fields).read_bytes().partition(b"ElementDataFile")[0]
        path.write_bytes(head + b"ElementDataFile = Local\n" + voxels)
        check(path)


def test_metaimage_with_a_tag_of_two_lines(tmp_path):
    """As SimpleITK writes a DICOM text of several lines."""
    image = sitk.GetImageFromArray(ARRAY.transpose(2, 1, 0))
    image.SetSpacing((4.0, 0.5, 0.75))
    image.SetMetaData("0008|103e", "a spine\nin two lines: T2 = yes")
    path = tmp_path / "a.mha"
    sitk.WriteImage(image, str(path))
    np.testing.assert_array_equal(volumes.read(path).array, CANONICAL)


def test_directions_off_by_rounding_are_repaired_and_said(tmp_path, caplog):
    caplog.set_level("INFO")
    exact = Rotation.from_euler("z", 5, degrees=True).as_matrix()
    rounded = np.round(exact, 2)
    path = metaimage(tmp_path / "a.mha", TransformMatrix=" ".join(map(str, rounded.T.ravel())))
    cosines = np.reshape(check(path).direction, (3, 3))
    np.testing.assert_allclose(cosines.T @ cosines, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(cosines, exact, atol=0.005)
    assert "directions off right angles by up to" in caplog.text
    caplog.clear()
    check(metaimage(path))
    assert not caplog.text


@pytest.fixture
def image():
    image = sitk.GetImageFromArray(ARRAY.transpose(2, 1, 0))
    image.SetSpacing((4.0, 0.5, 0.75))
    return image


def change_dicom(files, change):
    for number, file in enumerate(files):
        header = pydicom.dcmread(file)
        for name, value in change(number).items():
            setattr(header, name, value)
        header.save_as(file)


def test_dicom_series_beside_others(image, tmp_path, caplog):
    """One series of a study is taken by its number or name; localisers and segmentations do not count."""
    folder = tmp_path / "study"
    wanted = write_dicom(image, folder)
    change_dicom(wanted, lambda k: {"SeriesNumber": 5, "SeriesDescription": "t2 sag"})
    scout = write_dicom(image[:, :, :3], folder, series="1.2.8")
    change_dicom(scout, lambda k: {"SeriesNumber": 1, "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]})
    caplog.set_level("INFO")
    np.testing.assert_array_equal(volumes.read(folder).array, CANONICAL)
    assert "series 5 (t2 sag, 6 slices, 0.5 x 4 mm) taken" in caplog.text
    change_dicom(scout, lambda k: {"ImageType": ["ORIGINAL", "PRIMARY"], "SeriesDescription": "t1 sag"})
    with pytest.raises(DataError, match=r"study: expected one DICOM series, found 2 among: .*t1 sag.*column `series`"):
        volumes.read(folder)
    for name in ("5", "t2 sag", "1.2.3"):
        np.testing.assert_array_equal(volumes.read(folder, series=name).array, CANONICAL)
    with pytest.raises(DataError, match=r"expected one DICOM series '7', found 0 among: "):
        volumes.read(folder, series="7")


def test_a_single_dicom_slice_is_as_thick_as_it_says(image, tmp_path):
    (file,) = write_dicom(image[:, :, :1], tmp_path / "slice")
    change_dicom([file], lambda k: {"SliceThickness": None, "SpacingBetweenSlices": None})
    with pytest.raises(DataError, match="a single slice whose header does not say how thick it is"):
        volumes.read(file)
    for name, mm in (("SliceThickness", 3), ("SpacingBetweenSlices", 4)):  # with gaps
        change_dicom([file], lambda k, name=name, mm=mm: {name: mm})
        for path in (file, file.parent):
            assert volumes.read(path).geometry.spacing == (4.0, 0.5, mm)
    files = write_dicom(image, tmp_path / "series")  # of several slices, it does not matter what they say
    change_dicom(files, lambda k: {"SpacingBetweenSlices": None, "SliceThickness": [3, 3]})
    assert volumes.read(tmp_path / "series").geometry.spacing == image.GetSpacing()


def test_a_dicom_series_without_places_is_left_out(image, tmp_path, caplog):
    """But no slice of another one, or a scan would end early."""
    files = write_dicom(image, tmp_path / "study")
    header = pydicom.dcmread(files[0])
    del header.ImagePositionPatient
    header.SeriesInstanceUID = "1.2.9"
    header.save_as(tmp_path / "study/derived.dcm")
    np.testing.assert_array_equal(volumes.read(tmp_path / "study").array, CANONICAL)
    assert "derived.dcm: left out, its series: no header says where a slice lies" in caplog.text
    scout = tmp_path / "scout"  # beside a localiser it may be the scan
    change_dicom(write_dicom(image, scout), lambda k: {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]})
    header.save_as(scout / "derived.dcm")
    with pytest.raises(DataError, match=r"derived\.dcm: its DICOM header does not say where each slice lies"):
        volumes.read(scout)
    header.SeriesInstanceUID = "1.2.3"
    header.save_as(tmp_path / "study/derived.dcm")
    with pytest.raises(DataError, match=r"derived\.dcm: its DICOM header does not say where each slice lies"):
        volumes.read(tmp_path / "study")


def test_a_dicom_slice_that_is_cut_within_its_header(image, tmp_path, caplog):
    """The scan would be shorter by it, and nothing would say so."""
    files = write_dicom(image, tmp_path / "scan")
    for end in (b"\x28\x00\x10\x00", b"\x20\x00\x0e\x00"):  # before Rows, and before the series
        whole = files[-1].read_bytes()
        files[-1].write_bytes(whole[: whole.index(end)])
        with pytest.raises(DataError, match=rf"{files[-1].name}: ends within its DICOM header .*do: 1\)"):
            volumes.read(tmp_path / "scan")
        files[-1].write_bytes(whole)
    (tmp_path / "cut").mkdir()
    for name in "ab":
        (tmp_path / "cut" / name).write_bytes(whole[: whole.index(b"\x28\x00\x10\x00")])
    with pytest.raises(DataError, match=r"cut/a: ends within its DICOM header \(files of its series that do: 2\)"):
        dicom.index([tmp_path / "cut/a", tmp_path / "cut/b"])
    (tmp_path / "cut/a").write_bytes(whole[:140])  # before anything says what it is
    with pytest.raises(DataError, match=r"cut/a: ends within its DICOM header"):
        dicom.choose("scan", dicom.index([tmp_path / "cut/a", *files]))
    caplog.clear()
    (tmp_path / "scan/.IM01.dcm.x7").write_bytes(whole)  # a copy that is under way, as rsync calls it
    assert volumes.read(tmp_path / "scan").array.shape == CANONICAL.shape
    header = pydicom.dcmread(files[0])  # what has no pixels is no picture that lost them
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.11.1"
    for name in ("Rows", "Columns", "PixelData"):
        delattr(header, name)
    header.save_as(tmp_path / "scan/state.dcm")
    assert len(dicom.index(sorted((tmp_path / "scan").iterdir()))) == 1
    assert not caplog.text


def test_a_damaged_slice_costs_its_own_series_alone(image, tmp_path, caplog):
    """In a folder that holds a study, as discs do."""
    for number in "12":
        files = write_dicom(image, tmp_path / "study", number)
        change_dicom(files, lambda k, number=number: {"SeriesNumber": number, "SeriesInstanceUID": f"1.2.{number}"})
    whole = files[2].read_bytes()
    files[2].write_bytes(whole[: whole.index(b"\x28\x00\x10\x00")])
    np.testing.assert_array_equal(volumes.read(tmp_path / "study", series="1").array, CANONICAL)
    with pytest.raises(DataError, match=f"{files[2].name}: ends within its DICOM header"):
        volumes.read(tmp_path / "study", series="2")
    assert [row["series"] for row in listing.list_dicom(tmp_path)] == ["1", "2"]
    assert f"{files[2].name}: ends within" in caplog.text


def test_dicom_slices_with_a_series_each(image, tmp_path, caplog):
    """Of one patient, study and space of coordinates alone; what tells them apart is shown nowhere."""
    caplog.set_level("INFO")
    files = write_dicom(image, tmp_path / "series")
    change_dicom(files, lambda k: {"SeriesInstanceUID": f"1.2.3.{k + 1}", "StudyInstanceUID": "1.2"})
    np.testing.assert_array_equal(volumes.read(tmp_path / "series").array, CANONICAL)
    assert "6 slices, each of a series of its own, taken for one series" in caplog.text
    # as ITK writes slices that are given no UIDs
    change_dicom(files, lambda k: dict.fromkeys(("StudyInstanceUID", "FrameOfReferenceUID"), f"1.2.4.{k + 1}"))
    np.testing.assert_array_equal(volumes.read(tmp_path / "series").array, CANONICAL)
    change_dicom(files, lambda k: dict.fromkeys(("StudyInstanceUID", "FrameOfReferenceUID"), "1.2"))
    for changed in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        change_dicom(files[:3], lambda k, changed=changed: {changed: "12.34"})
        with pytest.raises(DataError, match="expected one DICOM series, found 6") as refused:
            volumes.read(tmp_path / "series")
        assert "12.34" not in f"{refused.value}{caplog.text}{dicom.index(files)}"
        change_dicom(files[:3], lambda k, changed=changed: {changed: "1.2"})
        change_dicom(files[3:], lambda k, changed=changed: {changed: "1.2"})


def test_enhanced_files_are_no_slices_of_one_series(real_data, tmp_path):
    header = pydicom.dcmread(real_data / "external/enhanced_siemens/1.dcm")
    for number in "123":
        header.SeriesInstanceUID = f"1.2.{number}"
        header.save_as(tmp_path / f"{number}.dcm")
    assert [len(series.frames) for series in dicom.index(sorted(tmp_path.iterdir()))] == [8, 8, 8]


@pytest.mark.parametrize("uid", ["", "1.2.3"])
def test_dicom_of_two_patients_is_two_series(image, tmp_path, uid):
    """The second goes on where the first ends, under the same UID, as some anonymised files do."""
    files = write_dicom(image, tmp_path / "both")
    change_dicom(files, lambda k: {"SeriesInstanceUID": uid, "StudyInstanceUID": "1.2", "PatientID": "AB"[k // 3]})
    assert [len(series.frames) for series in dicom.index(files)] == [3, 3]
    with pytest.raises(DataError, match="expected one DICOM series, found 2 among"):
        volumes.read(tmp_path / "both")


@pytest.mark.parametrize("implicit", [True, False])
def test_dicom_without_a_preamble(image, tmp_path, implicit):
    """Its first element may be any of its group; another file that begins alike is no DICOM."""
    for file in write_dicom(image, tmp_path / "bare"):
        header = pydicom.dcmread(file)
        header.preamble = None
        del header.file_meta
        header.pop("SpecificCharacterSet", None)
        pydicom.dcmwrite(file, header, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    assert file.read_bytes()[:4] == b"\x08\x00\x16\x00"
    (tmp_path / "bare/other").write_bytes(b"\x08\x00" + bytes(range(1, 256)))
    np.testing.assert_array_equal(volumes.read(tmp_path / "bare").array, CANONICAL)


def test_dicom_slices_lie_where_the_grid_says(image, tmp_path):
    """Steps that differ little may add up; a tenth of a step is what grids may differ by."""
    files = write_dicom(image, tmp_path / "uneven")

    def lie(steps):
        places = np.cumsum([0, *steps])
        change_dicom(files, lambda k: {"ImagePositionPatient": [0, 0, places[k]]})

    lie([4.05, 4, 4, 4, 4])
    assert volumes.read(tmp_path / "uneven").geometry.spacing[2] == pytest.approx(4.01)
    lie([4, 4, 4.39, 4.39, 4.39])
    with pytest.raises(
        DataError, match=r"4 to 4\.39 mm apart, slice 3 of 6 \(.*-2\.dcm\) lies 0\.468 mm off equal steps"
    ):
        volumes.read(tmp_path / "uneven")


def test_dicom_slices_of_another_sign_are_no_stack(image, tmp_path):
    """Read as the first, a 60000 among them would be -5536."""
    files = write_dicom(image, tmp_path / "mixed")
    change_dicom(files[:1], lambda k: {"PixelRepresentation": 1 - pydicom.dcmread(files[0]).PixelRepresentation})
    with pytest.raises(DataError, match=r"the DICOM slices differ in .* sign of their values"):
        volumes.read(tmp_path / "mixed")


def test_an_empty_slope_is_none(image, tmp_path):
    change_dicom(write_dicom(image, tmp_path / "a"), lambda k: {"RescaleSlope": None, "RescaleIntercept": None})
    np.testing.assert_array_equal(volumes.read(tmp_path / "a").array, CANONICAL)


@pytest.mark.parametrize("packing", ["RLE", "J2K"])
def test_packed_dicom(image, tmp_path, packing):
    files = write_dicom(image, tmp_path / "series")
    for file in files:
        header = pydicom.dcmread(file)
        if packing == "RLE":
            header.compress(pydicom.uid.RLELossless)
        else:
            packed = io.BytesIO()
            Image.fromarray(header.pixel_array.astype(np.uint16)).save(packed, "JPEG2000", irreversible=False)
            header.PixelData = pydicom.encaps.encapsulate([packed.getvalue()])
            header.PixelRepresentation = 0
            header.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
        header.save_as(file)
    np.testing.assert_array_equal(volumes.read(tmp_path / "series").array, CANONICAL)


def test_an_enhanced_file_of_others(real_data):
    """One file of eight frames, and the NIfTI file that another program made of it."""
    ours, theirs = (volumes.read(real_data / f"external/enhanced_siemens/{n}") for n in ("1.dcm", "truth.nii.gz"))
    np.testing.assert_array_equal(ours.array, theirs.array)
    assert ours.geometry.check_same(theirs.geometry, "1.dcm") < 256 * 1e-6  # spacings of NIfTI are rounded to 1e-6 mm


def test_frames_of_an_enhanced_file_in_any_order(real_data, tmp_path):
    """Frames are put in the order of their places, not of the file."""
    header = pydicom.dcmread(real_data / "external/enhanced_siemens/1.dcm")
    expected = volumes.read(real_data / "external/enhanced_siemens/1.dcm")
    order = np.random.default_rng(1).permutation(len(header.PerFrameFunctionalGroupsSequence))
    groups, pixels = list(header.PerFrameFunctionalGroupsSequence), header.pixel_array
    header.PerFrameFunctionalGroupsSequence = [groups[k] for k in order]
    header.PixelData = pixels[order].tobytes()
    header.save_as(tmp_path / "a.dcm")
    shuffled = volumes.read(tmp_path / "a.dcm")
    np.testing.assert_array_equal(shuffled.array, expected.array)
    assert shuffled.geometry.check_same(expected.geometry, "a.dcm") < 1e-6
    groups[3].PlanePositionSequence[0].ImagePositionPatient = [0, 0, 0]
    header.save_as(tmp_path / "a.dcm")
    with pytest.raises(DataError, match=r"a\.dcm: the DICOM slices are .* mm apart"):
        volumes.read(tmp_path / "a.dcm")


def test_a_dicom_segmentation(image, tmp_path):
    """The numbers of its segments are the labels; slices without any are missing in it, and are filled."""
    import highdicom as hd
    from highdicom.sr.coding import CodedConcept

    files = write_dicom(image, tmp_path / "image")
    study = {
        "StudyInstanceUID": "1.2.3",
        "FrameOfReferenceUID": "1.2.3.4",
        "PatientName": "",
        "PatientID": "",
        "SliceThickness": 0.75,
    }
    change_dicom(files, lambda k: study | {"PatientBirthDate": "", "PatientSex": "O", "SpacingBetweenSlices": 0.75})
    sources = [pydicom.dcmread(file) for file in files]
    labels = np.zeros((6, 7, 5), np.uint8)  # z, y, x
    labels[2:4, 1:3], labels[3, 5] = 1, 2
    spine = CodedConcept("421060004", "SCT", "Vertebral column")
    algorithm = hd.AlgorithmIdentificationSequence("by hand", CodedConcept("113076", "DCM", "Segmentation"), "1")
    segments = [
        hd.seg.SegmentDescription(number, f"part {number}", spine, spine, "AUTOMATIC", algorithm) for number in (1, 2)
    ]
    made = hd.seg.Segmentation(
        sources,
        labels,
        "BINARY",
        segments,
        hd.UID(),
        9,
        hd.UID(),
        1,
        "Maker",
        "Model",
        "1",
        "0",
        omit_empty_frames=True,
    )
    path = tmp_path / "mask.dcm"
    made.save_as(path)
    alone = masks.read(path)
    assert alone.array.shape[1] == 2  # from head to foot
    whole = masks.read(path, image={"path": tmp_path / "image"})
    np.testing.assert_array_equal(whole.array, labels.transpose(2, 0, 1)[:, ::-1, :])
    grid = volumes.read(tmp_path / "image").geometry
    whole.geometry.check_same(grid, path)
    np.testing.assert_array_equal(masks.read_on_grid(path, None, grid).array, whole.array)  # as a prediction
    for override in ({"orientation": "RAI"}, {"origin": [0, 0, 50]}):
        corrected = {"path": tmp_path / "image", "override": override}
        moved, grid = masks.read(path, override, image=corrected), volumes.read(**corrected).geometry
        np.testing.assert_array_equal(writing.stored(moved.array, grid), labels)
    change_dicom(files, lambda k: {"ImagePositionPatient": [500, 0, 0.75 * k]})
    with pytest.raises(DataError, match=r"mask\.dcm: its header .* puts it elsewhere than the image's .*store it anew"):
        masks.read(path, override, image=corrected)
