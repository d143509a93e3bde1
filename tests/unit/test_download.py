"""Against a server on loopback."""

import hashlib
import http.server
import io
import shutil
import threading
import zipfile
from functools import partial

import pytest

from lumbarflow import DataError
from lumbarflow.data import download


def zipped(*names, link=None):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, b"voxels of " + name.encode())
        if link:
            entry = zipfile.ZipInfo(link)
            entry.external_attr = 0o120777 << 16
            archive.writestr(entry, "/etc/passwd")
    return content.getvalue()


@pytest.fixture
def server(tmp_path):
    """(folder that is served, address, paths asked for)."""
    folder, asked = tmp_path / "served", []
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            asked.append(self.path)

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{httpd.server_port}", asked
    httpd.shutdown()


def serve(folder, name, content):
    (folder / name).write_bytes(content)
    return hashlib.md5(content).hexdigest()


def test_fetches_checks_and_unpacks_once(server, tmp_path):
    folder, address, asked = server
    md5 = serve(folder, "images.zip", zipped("images/1_t1.mha", "images/2_t2_SPACE.mha", "__MACOSX/._1_t1.mha"))
    for _ in range(2):
        download.fetch(address, "images.zip", md5, tmp_path / "data")
    assert sorted(p.name for p in (tmp_path / "data/images").iterdir()) == ["1_t1.mha", "2_t2_SPACE.mha"]
    assert (tmp_path / "data/images/1_t1.mha").read_bytes() == b"voxels of images/1_t1.mha"
    assert asked == ["/images.zip"]
    shutil.rmtree(tmp_path / "data/images")  # fetched anew, though it was complete
    download.fetch(address, "images.zip", md5, tmp_path / "data")
    assert len(list((tmp_path / "data/images").iterdir())) == 2
    assert not list((tmp_path / "data/.download").iterdir())


def test_a_plain_file_is_kept_as_it_is(server, tmp_path):
    folder, address, _ = server
    md5 = serve(folder, "overview.csv", b"new_file_name\n1_t1\n")
    download.fetch(address, "overview.csv", md5, tmp_path)
    assert (tmp_path / "overview.csv").read_bytes() == b"new_file_name\n1_t1\n"


def test_a_damaged_file_is_refused_and_fetched_anew(server, tmp_path):
    folder, address, _ = server
    good = zipped("1_t1.mha")
    serve(folder, "masks.zip", good[:-20])
    with pytest.raises(DataError, match=r"masks\.zip.*hash"):
        download.fetch(address, "masks.zip", hashlib.md5(good).hexdigest(), tmp_path)
    assert not (tmp_path / "masks").exists()
    md5 = serve(folder, "masks.zip", good)
    download.fetch(address, "masks.zip", md5, tmp_path)
    assert (tmp_path / "masks/1_t1.mha").exists()


def test_what_is_left_of_a_broken_download_does_no_harm(server, tmp_path):
    folder, address, _ = server
    content = zipped("1_t1.mha")
    md5 = serve(folder, "images.zip", content)
    (tmp_path / ".download").mkdir()
    (tmp_path / ".download/images.zip").write_bytes(content[:30])
    download.fetch(address, "images.zip", md5, tmp_path)
    assert (tmp_path / "images/1_t1.mha").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped("1_t1.mha", "../1_t2.mha"), r"unsafe entry '\.\./1_t2\.mha'"),
        (zipped("1_t1.mha", "/etc/1_t2.mha"), "unsafe entry"),
        (zipped("1_t1.mha", link="images/2_t1.mha"), "unsafe entry"),
        (zipped("1_t1.mha", "run.sh"), r"holds 'run\.sh'"),
        (b"no zip at all", "not a sound zip"),
    ],
)
def test_a_foul_archive_writes_nothing(server, tmp_path, content, message):
    folder, address, _ = server
    md5 = serve(folder, "images.zip", content)
    with pytest.raises(DataError, match=message):
        download.fetch(address, "images.zip", md5, tmp_path / "data")
    assert not [p for p in tmp_path.rglob("*.mha") if "served" not in p.parts]


def test_no_server_and_no_such_file(server, tmp_path):
    _, address, _ = server
    with pytest.raises(DataError, match=r"nothing\.zip: cannot be fetched"):
        download.fetch(address, "nothing.zip", "0" * 32, tmp_path)
    with pytest.raises(DataError, match="check the network"):
        download.fetch("http://127.0.0.1:9", "images.zip", "0" * 32, tmp_path)
