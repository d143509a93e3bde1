"""What all tests share: where things are, a way to run the real workflow, and who runs which test.

`make test` runs them in two processes (pytest-xdist). What takes long to make is made once for both (`shared`), and
once for several calls of pytest where LUMBARFLOW_SHARED names a folder for it (.ci/run).
"""

import csv
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import forked
import pytest
import SimpleITK as sitk
import yaml
from hypothesis import settings

from lumbarflow.files import locked

# a busy machine is slow, not wrong
settings.register_profile("lumbarflow", deadline=None)
settings.load_profile("lumbarflow")

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"


# Files whose tests stay in one process, since they share something that takes long to make; so do the unit tests'.
TOGETHER = ("test_reruns.py", "test_bad_input.py", "test_report.py", "test_demo.py")
# Files with long tests, which come first, so that no process is left alone with one.
FIRST = ("test_slurm.py", "test_reruns.py", "test_demo.py", "test_data.py", "test_faults.py", "test_trainings.py")
# The first of these makes the tiny run. Meanwhile the other process has tests that do not wait for it.
MAKES_TINY_RUN = "test_reruns.py"


def pytest_collection_modifyitems(items):
    def rank(item):
        name, folder = item.path.name, item.path.parent.name
        waits = "tiny_run" in item.fixturenames and name != MAKES_TINY_RUN
        return (folder == "unit", waits, FIRST.index(name) if name in FIRST else len(FIRST))

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Deal out files or single tests, in order. xdist's own --dist loadgroup does nothing with pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            path = Path(nodeid.partition("::")[0])
            return str(path) if path.name in TOGETHER or path.parent.name == "unit" else nodeid

    config.option.loadscopereorder = False
    return Scheduling(config, log)


def shared(factory):
    """A folder that all processes of this pytest have in common, or several calls of it."""
    if "LUMBARFLOW_SHARED" in os.environ:
        return Path(os.environ["LUMBARFLOW_SHARED"])
    base = factory.getbasetemp()
    return base.parent / "shared" if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def real_data():
    """Folder with the real volumes that the developers have; the project cannot ship them."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}")
    return DATA


def write_dicom(image, folder, series="1.2.3"):
    """Write an ITK volume as one DICOM file a slice, in an order of names that is not that of the slices."""
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    cosines = image.GetDirection()
    for k in range(image.GetDepth()):
        plane = image[:, :, k]
        tags = {"0008|0060": "MR", "0020|000e": series, "0008|0018": f"{series}.{k + 1}", "0020|0013": str(k + 1)}
        tags["0020|0037"] = "\\".join(str(cosines[i]) for i in (0, 3, 6, 1, 4, 7))
        tags["0020|0032"] = "\\".join(map(str, image.TransformIndexToPhysicalPoint((0, 0, k))))
        for tag, value in tags.items():
            plane.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{series}-{(k * 5 + 2) % 7}-{k}.dcm"))
        writer.Execute(plane)
    return sorted(folder.glob(f"{series}-*.dcm"), key=lambda path: int(path.stem.rsplit("-")[-1]))


def rows(path):
    """Rows of a table, as text."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def configured(workflow, tiny_config, settings):
    """Arguments for a run of the tiny config with other settings."""
    path = workflow.folder / "more.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return ("--configfile", tiny_config, path)


def jobs(output):
    """{rule: number of jobs} of what a run or a dry run printed, `all` apart."""
    table = output.partition("Job stats:")[2].partition("total")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.M) if name != "all"}


class Workflow:
    """The real workflow in a folder of its own."""

    compiled = None  # where numba keeps what it compiled: one folder for all runs of the tests

    def __init__(self, folder, source=ROOT):
        self.folder, self.source = Path(folder), Path(source)
        self.results = self.folder / "results"

    def start(self, *arguments, before=(), env=None, **options):
        """Start Snakemake; returns what has Popen's pid, poll, wait, kill, communicate (both streams) and returncode.

        Forked from a process that has imported it (forked.py), or the true command where it is to run in another way:
        `before` in front of the command, in the environment `env`, with `options` of Popen.
        """
        arguments = [
            *("--resources", "gpu=1", "--snakefile", self.source / "Snakefile", "--directory", self.folder),
            *("--workflow-profile", self.source / "profiles/default", "--cores", "2", *arguments),
        ]
        # as on a user's machine: jobs find the library compiled, and not by the path of the tests
        without = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
        environment = {name: value for name, value in os.environ.items() if name not in without}
        environment.setdefault("NUMBA_CACHE_DIR", str(self.compiled))
        if not (before or env or options):
            return forked.Run(arguments, self.source, environment)
        return subprocess.Popen(
            [*before, sys.executable, "-m", "snakemake", *arguments],
            encoding="utf-8",
            errors="replace",
            env=environment if env is None else env,
            cwd=self.source,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | options),
        )

    def __call__(self, *arguments, check=True):
        """Run snakemake; returns the finished process with .stdout (both streams)."""
        process = self.start(*arguments)
        output, _ = process.communicate()
        if check and process.returncode:
            raise AssertionError(output[-6000:])
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    def copy(self, folder):
        """This finished run once more in another folder: changes of one are not seen in the other."""
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True)
        return Workflow(folder, self.source)

    def files(self):
        """Bytes of every result by relative path, logs and timings apart."""
        skip = {"logs", "benchmarks"}
        return {
            str(path.relative_to(self.results)): path.read_bytes()
            for path in sorted(self.results.rglob("*"))
            if path.is_file() and path.relative_to(self.results).parts[0] not in skip and "rivals_cost" not in path.name
        }

    def agrees_with(self, other, ignore=()):
        """Assert that every result is one of the other's, byte for byte; of trained networks, the weights."""
        theirs, ours = other.files(), self.files()
        assert len(ours) > 20
        for name, content in ours.items():
            if name.startswith(tuple(ignore)):
                continue
            if name.endswith(".keras"):  # a zip with dates and addresses in it: the weights count
                assert _weights(content) == _weights(theirs[name]), name
            else:
                assert content == theirs[name], name


def _weights(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read("model.weights.h5")


@pytest.fixture
def workflow(tmp_path):
    return Workflow(tmp_path)


# the smallest run of everything: 4 patients, two sequences, two epochs of a sliver of a network
TINY = """
sequences: [t1, t2_SPACE]
phantom: {patients: 4, seed: 3}
device: cpu
slices:
  released: {size: [96, 72]}
  sound: {size: [96, 72]}
experiments:
  released:
    split: {n_folds: 4}
    network: {image_size: [32, 24], options: {width: 2}}
    training: {epochs: 2}
  sound:
    split: {n_folds: 4}
    prediction: {min_component_mm3: [500]}
"""


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, tiny_config):
    """A finished run of the tiny workflow; tests must not change it. Made by the first process that needs it."""
    made = Workflow(shared(tmp_path_factory) / "made")
    finished = made.folder.with_suffix(".finished")
    with locked(made.folder.with_suffix(".lock")):
        if not finished.exists():
            shutil.rmtree(made.folder, ignore_errors=True)
            made.folder.mkdir(parents=True)
            made("--configfile", tiny_config)
            finished.touch()
    return made.copy(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session", autouse=True)
def _compiled(tmp_path_factory):
    Workflow.compiled = shared(tmp_path_factory) / "numba"
