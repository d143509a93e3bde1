"""Files from strangers: refused by what their first bytes claim, before memory or other files are touched."""

import gzip
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
import SimpleITK as sitk

from lumbarflow import DataError
from lumbarflow.data import dataset, download, headers, volumes
from lumbarflow.images import png
from lumbarflow.learning import networks, prediction

HEADER = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = {packed}
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = 0 0 0
ElementSpacing = 1 1 1
DimSize = {size}
ElementType = {kind}
ElementDataFile = {data}
"""
SOUND = {"packed": "False", "size": "2 3 4", "kind": "MET_SHORT", "data": "LOCAL"}
VOXELS = np.arange(24, dtype="<i2").tobytes()
PACKED = f"True\nCompressedDataSize = {len(zlib.compress(VOXELS))}"


def store(path, voxels=VOXELS, **changes):
    path.write_bytes(HEADER.format(**{**SOUND, **changes}).encode() + voxels)
    return path


def test_the_sound_header_is_read(tmp_path):
    assert volumes.read(store(tmp_path / "1_t1.mha")).array.size == 24
    tagged = "0008|0060 = MR: a scanner's words\n" + HEADER.format(**SOUND)
    (tmp_path / "3_t1.mha").write_bytes(tagged.encode() + VOXELS)
    assert volumes.read(tmp_path / "3_t1.mha").array.max() == 23
    assert volumes.read(store(tmp_path / "2_t1.mha", zlib.compress(VOXELS), packed=PACKED)).array.max() == 23


@pytest.mark.parametrize("ending", [".mha", ".mhd"])
@pytest.mark.parametrize("data", ["/etc/passwd", "../2_t1.raw", "2_t1.raw", "LIST", "1_t1%d.raw 1 4 1", "a/1_t1.raw"])
def test_a_header_that_names_another_file(tmp_path, ending, data):
    (tmp_path / "2_t1.raw").write_bytes(VOXELS)
    with pytest.raises(DataError, match=r"1_t1\.mh.: (ElementDataFile is|cannot be read)"):
        volumes.read(store(tmp_path / f"1_t1{ending}", data=data))


@pytest.mark.parametrize(
    "line",
    [
        *("ElementDataFile:/etc/passwd", "ElementDataFile x = LOCAL", "DimSize = 2 3 4", "\0\0", "key with no sign"),
        "X = " + "y" * 70_000,
    ],
    ids=lambda line: line[:20],
)
def test_a_header_that_two_readers_may_read_differently(tmp_path, line):
    path = tmp_path / "1_t1.mha"
    path.write_bytes((line + "\n" + HEADER.format(**SOUND)).encode() + VOXELS)
    with pytest.raises(DataError, match=r"1_t1\.mha: cannot be read as a volume: line \d+ of its header"):
        volumes.read(path)


@pytest.mark.parametrize(
    ("changes", "voxels", "message"),
    [
        ({"size": "10000 10000 10000"}, VOXELS, "claims 10000 x 10000 x 10000 voxels of 2 bytes"),
        ({"size": "10000 10000 10000", "packed": "True"}, VOXELS, "claims 10000 x 10000 x 10000 voxels"),
        ({"size": "-2 3 4"}, VOXELS, "claims -2 x 3 x 4 voxels"),
        ({"size": "2 3 nan"}, VOXELS, "not NDims whole numbers"),
        ({"size": ""}, VOXELS, "not NDims whole numbers"),
        ({"size": "2 3 5"}, VOXELS, "cut short: its header claims 60 bytes of voxels, found 48"),
        ({"size": "2 3 5", "packed": PACKED}, zlib.compress(VOXELS), "claims 60 bytes of voxels, they unpack to 48"),
        ({"size": "2 3 3", "packed": PACKED}, zlib.compress(VOXELS), "claims 36 bytes of voxels, they unpack to 48"),
        ({"packed": PACKED}, zlib.compress(VOXELS)[:-1], r"cut short: CompressedDataSize is \d+, found \d+ bytes"),
        ({"packed": "True\nCompressedDataSize = \u00b2"}, zlib.compress(VOXELS), "CompressedDataSize is "),
        ({"packed": f"True\nCompressedDataSize = {'9' * 5000}"}, zlib.compress(VOXELS), "CompressedDataSize is 9"),
        ({"packed": "True"}, zlib.compress(VOXELS), r"cut short: CompressedDataSize is not there, found \d+ bytes"),
        ({"kind": "MET_STRING"}, VOXELS, "ElementType is 'MET_STRING', expected one of MET_UCHAR"),
        ({"kind": "MET_OTHER"}, VOXELS, "ElementType is 'MET_OTHER'"),
        ({"size": "2 3 4 1"}, VOXELS, "not NDims whole numbers"),
    ],
)
def test_a_header_that_claims_too_much(tmp_path, changes, voxels, message):
    with pytest.raises(DataError, match=message):
        volumes.read(store(tmp_path / "1_t1.mha", voxels, **changes))


def test_voxels_that_do_not_unpack(tmp_path):
    """ITK would return what happens to lie in memory."""
    damaged = bytearray(zlib.compress(VOXELS))
    damaged[20] ^= 1
    with pytest.raises(DataError, match="its voxels do not unpack"):
        volumes.read(store(tmp_path / "1_t1.mha", bytes(damaged), packed=PACKED))


def test_a_bomb_is_unpacked_no_further_than_its_header_says(tmp_path):
    bomb = zlib.compress(bytes(200 << 20))
    packed = f"True\nCompressedDataSize = {len(bomb)}"
    with pytest.raises(DataError, match=r"claims 48 bytes of voxels, they unpack to \d{1,8};"):
        volumes.read(store(tmp_path / "1_t1.mha", bomb, packed=packed))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (280, struct.pack("<4f", float("nan"), 0, 0, 0)),  # srow_x
        (280, struct.pack("<4f", 1e30, 0, 0, 0)),
        (280, struct.pack("<4f", 0, 0, 0, 0)),
        (280, struct.pack("<4f", 1, 1, 1, 0)),  # sheared
        (292, struct.pack("<f", 1e20)),  # a place beyond the moon
    ],
)
def test_a_nifti_file_with_an_absurd_affine(tmp_path, where, value):
    path = tmp_path / "1_t1.nii"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 3, 2), np.int16)), path)
    content = bytearray(path.read_bytes())
    content[252:256] = struct.pack("<2h", 0, 1)  # the affine counts, not the quaternion
    content[where : where + len(value)] = value
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"1_t1\.nii: (its header places it at|its axes are|neither its qform nor its sform is set)"
    ):
        volumes.read(path)


def test_a_nifti_bomb(tmp_path):
    path = tmp_path / "1_t1.nii.gz"
    header = bytearray(352)
    header[0:4], header[344:348] = struct.pack("<i", 348), b"n+1\0"
    header[40:56] = struct.pack("<8h", 3, 10000, 10000, 10000, 1, 1, 1, 1)
    header[70:74], header[108:112] = struct.pack("<2h", 4, 16), struct.pack("<f", 352)
    path.write_bytes(gzip.compress(bytes(header) + bytes(1 << 24)))
    with pytest.raises(DataError, match="claims 10000 x 10000 x 10000 voxels"):
        volumes.read(path)


def test_a_png_bomb(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">2I5B", 30000, 30000, 8, 0, 0, 0, 0)
    path = tmp_path / "000.png"
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    path.write_bytes(png.SIGNATURE + chunks)
    with pytest.raises(DataError, match=r"000\.png: claims more than 4096 pixels a side"):
        png.read(path)


def test_a_zip_bomb_writes_nothing(tmp_path):
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("1_t1.mha", b"x" * 1000)
    content = bytearray(archive.read_bytes())
    entry = content.rindex(b"PK\1\2")
    content[entry + 24 : entry + 28] = struct.pack("<I", headers.LIMIT + 1)
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"images\.zip: '1_t1\.mha' would unpack to 1073741825 bytes"):
        download.unpack(archive, tmp_path / "images")
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize("content", [b"\xff\xfe\0a", b"volume\n" + b"a" * 200_000, b'"', b""])
def test_a_sheet_that_is_no_csv(tmp_path, content):
    path = tmp_path / "samples.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"samples\.csv"):
        dataset.read_sheet(path)


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["code in a layer", "pickle", "text", "empty"])
def test_a_foreign_model_runs_no_code(tmp_path, how):
    path, trap = tmp_path / "model.keras", tmp_path / "sprung"
    if how == "code in a layer":
        image, where = keras.Input((4, 4, 1)), str(trap)
        keras.Model(image, keras.layers.Lambda(lambda x: __import__("os").mkdir(where) or x)(image)).save(path)
        trap.rmdir()  # building it called the function once
    else:
        path.write_bytes({"pickle": pickle.dumps(Trap(trap)), "text": b"import os", "empty": b""}[how])
    with pytest.raises(DataError, match=r"model\.keras: is not a model of this workflow"):
        prediction.load(path)
    assert not trap.exists()


def test_a_model_for_other_images(tmp_path):
    path = tmp_path / "model.keras"
    networks.build("paper", (32, 16), width=2).save(path)
    paper = {"name": "paper", "image_size": (30, 12)}
    assert prediction.load(path, paper).count_params() > 0  # padded to multiples of 16
    with pytest.raises(DataError, match=r"model\.keras: turns \(32, 16, 1\) into .* network.image_size \[64, 64\]"):
        prediction.load(path, {**paper, "image_size": (64, 64)})
    with pytest.raises(DataError, match=r"model\.keras: turns \(32, 16, 1\) into .* need \(32, 16, 3\)"):
        prediction.load(path, {**paper, "neighbours": 1})
    networks.build("paper", (32, 16), classes=5, width=2).save(path)
    with pytest.raises(DataError, match=r"into \(32, 16, 5\), but"):
        prediction.load(path, paper)


@pytest.mark.parametrize("what", ["volumes", "sheets"])
def test_mutated_files(tmp_path, what):
    """Real headers, mutated, for LUMBARFLOW_FUZZ_SECONDS: no crash, no hang, no other error, at most 1 GB of memory.

    In a process of its own with that much address space beyond what the libraries take, so that a crash is seen.
    """
    seconds = float(os.environ.get("LUMBARFLOW_FUZZ_SECONDS", "10")) / 2
    program = Path(__file__).parents[1] / "fuzz.py"
    arguments = [sys.executable, program, what, str(seconds), tmp_path]
    started = time.monotonic()
    process = subprocess.run(arguments, capture_output=True, encoding="utf-8", timeout=10 * seconds + 1200)
    assert process.returncode == 0, (process.stdout + process.stderr)[-4000:]
    tried, refused = (int(word) for word in process.stdout.split()[-2:])
    assert tried > 200, process.stdout
    assert 0 < refused < tried  # neither everything nor nothing: the mutations reach beyond the first line
    assert time.monotonic() - started > seconds
