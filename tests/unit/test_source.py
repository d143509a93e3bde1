"""Which code a result depends on: by content, through every import, wherever it lies."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from lumbarflow import DataError, source


@pytest.fixture
def project(tmp_path):
    """A script that imports one module of a package at once, one through it, and one never."""
    files = {
        "script.py": "def main():\n    from pack.room import used\n    import numpy\n",
        "pack/__init__.py": "",
        "pack/root.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import scipy\nelse:\n    import csv",
        "pack/room/__init__.py": "",
        "pack/room/table.csv": "1\n",
        "pack/room/used.py": "from ..root import x\ntry:\n    from . import deep as other\nfinally:\n    pass",
        "pack/room/deep.py": "import pandas.api\n",
        "pack/room/unused.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_closure_follows_every_import(project):
    found, foreign = source.closure(project / "script.py", project)
    names = {path.relative_to(project).as_posix() for path in found}
    room = {f"pack/room/{name}" for name in ("__init__.py", "table.csv", "used.py", "deep.py")}
    assert names == {"script.py", "pack/__init__.py", "pack/root.py"} | room
    assert foreign == {"numpy", "typing", "csv", "pandas"}


def digest(folder, monkeypatch):
    for remembers in (source._imports, source._sha256, source._digest):
        remembers.cache_clear()
    monkeypatch.setattr(source, "SCRIPTS", folder)
    return source.digest("script")


def test_a_digest_changes_with_content_alone(project, tmp_path_factory, monkeypatch):
    before = digest(project, monkeypatch)
    elsewhere = shutil.copytree(project, tmp_path_factory.mktemp("elsewhere") / "clone")
    os.utime(project / "pack/room/deep.py", (1, 1))
    (project / "pack/room/unused.py").write_text("changed = True\n")
    assert digest(project, monkeypatch) == digest(elsewhere, monkeypatch) == before
    for name in ("script.py", "pack/__init__.py", "pack/room/deep.py", "pack/room/table.csv"):
        text = (elsewhere / name).read_text()
        (elsewhere / name).write_text(text + "\n# changed\n")
        assert digest(elsewhere, monkeypatch) != before, name
        (elsewhere / name).write_text(text)
    assert digest(elsewhere, monkeypatch) == before


def test_what_another_program_imports_counts(monkeypatch):
    def digests():
        for remembers in (source._sha256, source._digest):
            remembers.cache_clear()
        return [source.digest(script) for script in ("nnunet_train", "train")]

    before, (trainer,) = digests(), source.RUN_BY_OTHERS["lumbarflow/learning/nnunet.py"]
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"# changed" * path.as_posix().endswith(trainer))
    after = digests()
    monkeypatch.undo()
    assert (after[0] == before[0], after[1] == before[1]) == (False, True)
    assert digests() == before


def test_a_module_of_ones_own_is_found_without_being_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "mine_own"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "network.py").write_text("from . import parts\n")
    (package / "parts.py").write_text("")
    file, root = source.find("mine_own.network")
    assert (file, root) == (package / "network.py", tmp_path)
    assert {path.name for path in source.closure(file, root)[0]} == {"__init__.py", "network.py", "parts.py"}
    assert source.find("mine_own") == (package / "__init__.py", tmp_path)
    assert "mine_own" not in sys.modules
    with pytest.raises(DataError, match=r"^config: there is no module 'mine_own\.absent'; expected a Python file"):
        source.find("mine_own.absent")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/lent.py").write_text("")
    (tmp_path / "lent.py").symlink_to("elsewhere/lent.py")
    assert source.find("lent") == (tmp_path / "elsewhere/lent.py", tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("name", "other"), [("train", r"scripts/train\.py"), ("numpy", "numpy/__init__"), ("time", "Python's own")]
)
def test_a_module_that_another_one_hides_from_the_jobs(tmp_path, monkeypatch, name, other):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(source.SCRIPTS), *sys.path])
    (tmp_path / f"{name}.py").write_text(OWN)
    with pytest.raises(
        DataError, match=rf"^config\.x: a job would not find the working folder's {name}, but .*{other}"
    ):
        source.check_function(f"{name}:build", [], "config.x")


def test_packages_that_are_installed_beside_it_do_not_count(tmp_path, monkeypatch):
    """Else each upgrade of any of them would train anew."""
    for name, text in (("site-packages/other.py", ""), ("site-packages/part/__init__.py", "from . import net\n")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "site-packages/part/net.py").write_text("import other\nimport numpy\n")
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    found, foreign = source.closure(*source.find("part.net"))
    assert {path.name for path in found} == {"net.py"}
    assert foreign == {"other", "numpy"}
    assert {path.name for path in source.closure(*source.find("part"))[0]} == {"__init__.py", "net.py"}


OWN = '''"""A module that must not be imported to be checked."""
import absent_package
from elsewhere import borrowed as lent

def build(image_size, classes, *, depth=3):
    pass

def free(image_size, classes, **options):
    pass

@lent
def wrapped():
    pass

made, = partials = lent(build)
'''


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("build", ["depth"], None),
        ("free", ["anything"], None),
        *((name, ["cannot", "be", "told"], None) for name in ("wrapped", "made", "partials", "lent", "absent_package")),
        ("biuld", [], r"^config\.x: module mine has no function 'biuld'; its functions: build, free, wrapped$"),
        ("borrowed", [], "has no function 'borrowed'"),
        (
            "build",
            ["depth", "width"],
            r"^config\.x: 'width' is no option of mine:build, which takes image_size, .*depth$",
        ),
    ],
)
def test_a_function_of_ones_own_is_checked_by_the_text_of_its_module(tmp_path, monkeypatch, function, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    if message is None:
        source.check_function(f"mine:{function}", options, "config.x")
    else:
        with pytest.raises(DataError, match=message):
            source.check_function(f"mine:{function}", options, "config.x")


@pytest.mark.parametrize("more", ["from elsewhere import *", "if True:\n    biuld = 1", "def __getattr__(name): ..."])
def test_a_module_that_makes_names_otherwise_is_left_to_the_job(tmp_path, monkeypatch, more):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(f"{OWN}\n{more}\n")
    source.check_function("mine:biuld", [], "config.x")


def test_a_module_that_is_no_python_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("import keras\ndef build(:\n")
    with pytest.raises(DataError, match=r"mine\.py, line 2: this is no Python: "):
        source.check_function("mine:build", [], "config.x")
