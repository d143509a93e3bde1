"""Packages of models: what is written is read, the same bytes each time; what is damaged or foreign is named."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumbarflow import CLASSES, DataError
from lumbarflow.learning import package

ABOUT = {"name": "sound-t2", "classes": list(CLASSES), "networks": [], "settings": {}, "software": "lumbarflow 1"}
MEMBERS = {"networks/fold-0-seed-1.npy": package.pack([np.ones((2, 3))], "float32")[0], "CARD.md": b"# sound-t2\n"}


@pytest.fixture
def model(tmp_path):
    package.write(tmp_path / "model.zip", ABOUT, MEMBERS)
    return tmp_path / "model.zip"


def rewrite(path, change=lambda name, content: content, more=(), compression=zipfile.ZIP_STORED):
    """The archive anew, with changed or further members."""
    with zipfile.ZipFile(path) as archive:
        members = [(each.filename, archive.read(each)) for each in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in [*((name, change(name, content)) for name, content in members), *more]:
            if content is not None:
                archive.writestr(name, content)


def edited(**keys):
    def change(name, content):
        return json.dumps({**json.loads(content), **keys}) if name == package.MANIFEST else content

    return change


def test_what_is_written_is_read_and_the_bytes_do_not_change(model, tmp_path):
    about, members = package.read(model)
    assert members == MEMBERS
    assert {key: about[key] for key in ABOUT} == ABOUT
    package.write(tmp_path / "again.zip", dict(reversed(ABOUT.items())), dict(reversed(MEMBERS.items())))
    assert (tmp_path / "again.zip").read_bytes() == model.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("change", "more", "words"),
    [
        (lambda name, content: content[:-1] + b"?", (), "model.json is no JSON|SHA-256"),
        (lambda name, content: content + b" " if name == "CARD.md" else content, (), "'CARD.md' is not what"),
        (lambda name, content: None if name == "CARD.md" else content, (), "'CARD.md' is missing"),
        (lambda name, content: None if name == package.MANIFEST else content, (), "expected one model.json"),
        (lambda name, content: content, [("extra.npy", b"1")], "'extra.npy' is not told of"),
        (lambda name, content: content, [("../../outside.npy", b"1")], "outside.npy' is not told of"),
        (edited(format=2), (), "format is 2, expected 1"),
        (edited(classes=["background", "cord"]), (), "for the classes"),
        (edited(members={"../outside.npy": {"bytes": 1, "sha256": "0"}}), (), "named '../outside.npy'"),
        (edited(members={"/etc/passwd.md": {"bytes": 1, "sha256": "0"}}), (), "named '/etc/passwd.md'"),
        (edited(members={"code.py": {"bytes": 1, "sha256": "0"}}), (), "named 'code.py'"),
        (edited(members=["CARD.md"]), (), "lacks sizes and hashes"),
        (lambda name, content: b"[]" if name == package.MANIFEST else content, (), r"format is \[\]"),
        (lambda name, content: b"{}" if name == package.MANIFEST else content, (), "format is None"),
        (lambda name, content: b'{"format": 1}' if name == package.MANIFEST else content, (), "lacks name, classes"),
    ],
)
def test_a_damaged_or_foreign_package_is_named(model, change, more, words):
    rewrite(model, change, more)
    with pytest.raises(DataError, match=words) as caught:
        package.read(model)
    assert str(caught.value).startswith(str(model))


def test_what_is_no_archive(model, tmp_path):
    for content in (b"", b"PK", model.read_bytes()[:200], b"\x89HDF" * 100):
        (tmp_path / "other.zip").write_bytes(content)
        with pytest.raises(DataError, match="no sound zip archive"):
            package.read(tmp_path / "other.zip")
    for path, words in ((tmp_path / "none.zip", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(DataError, match=words):
            package.read(path)
    with pytest.warns(UserWarning, match="Duplicate"):
        rewrite(model, more=[("CARD.md", b"other")])
    with pytest.raises(DataError, match="no name twice"):
        package.read(model)


def test_what_cannot_be_read_back_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(package, "LARGEST", 2**20)
    with pytest.raises(DataError, match=r"networks/a\.npy has 2 MiB; a package holds at most 1 of a network: set"):
        package.write(tmp_path / "model.zip", {}, {"networks/a.npy": bytes(2**21)})
    assert not list(tmp_path.iterdir())


def test_an_archive_cannot_swell(model):
    rewrite(model, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match="is compressed"):
        package.read(model)


@pytest.mark.parametrize("bit", [1, 0x80])
def test_a_changed_byte_is_refused_or_changes_nothing(model, bit):
    """Every byte of the archive: also encrypted members, other zip versions, and places outside of the file."""
    sound, expected = model.read_bytes(), package.read(model)
    refused = 0
    for at in range(len(sound)):
        model.write_bytes(bytes([*sound[:at], sound[at] ^ bit, *sound[at + 1 :]]))
        try:
            assert package.read(model) == expected  # a date, say
        except DataError:
            refused += 1
    assert refused > len(sound) / 2


@given(
    st.lists(st.lists(st.integers(1, 4), max_size=4), min_size=1, max_size=6), st.sampled_from(["float32", "float16"])
)
def test_weights_come_back_in_their_shapes(shapes, dtype):
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    content, told = package.pack(weights, dtype)
    assert told == shapes
    for before, after in zip(weights, package.unpack(content, told, "w.npy"), strict=True):
        np.testing.assert_array_equal(np.asarray(before).astype(dtype).astype(np.float32), after)


def test_weights_that_do_not_fit():
    good, shapes = package.pack([np.ones((2, 2))], "float32")
    two = io.BytesIO()
    np.savez(two, a=np.ones(4, np.float32))
    objects = io.BytesIO()
    np.save(objects, np.array([print], object), allow_pickle=True)
    square, infinite = io.BytesIO(), io.BytesIO()
    np.save(square, np.ones((2, 2), np.float32))
    np.save(infinite, np.full(4, np.inf, np.float32))
    cases = [(good, [[5]], "expected 5"), (b"", shapes, "no array"), (good[:-3], shapes, "no array")]
    cases += [(pickle.dumps([1.0] * 4), shapes, "no array"), (objects.getvalue(), shapes, "no array")]
    cases += [(two.getvalue(), shapes, "one array"), (square.getvalue(), shapes, "one array")]
    cases += [(infinite.getvalue(), shapes, "finite")]
    for content, expected, words in cases:
        with pytest.raises(DataError, match=f"w.npy: .*{words}"):
            package.unpack(content, expected, "w.npy")
    with pytest.raises(DataError, match="cannot be stored as float16"):
        package.pack([np.full(2, 1e6)], "float16")
