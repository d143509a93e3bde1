"""What all tests share: where things are, and a way to run the real workflow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# a busy machine is slow, not wrong
settings.register_profile("lumbarflow", deadline=None)
settings.load_profile("lumbarflow")

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data():
    """Folder with the real volumes that the developers have; the project cannot ship them."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}")
    return DATA


class Workflow:
    """The real workflow in a folder of its own."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.results = self.folder / "results"

    def __call__(self, *arguments, check=True):
        """Run snakemake; returns the finished process with .stdout (both streams)."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        process = subprocess.run(
            [
                *(sys.executable, "-m", "snakemake", *arguments, "--snakefile", ROOT / "Snakefile"),
                *("--directory", self.folder, "--workflow-profile", ROOT / "profiles/default"),
                *("--cores", "2", "--resources", "gpu=1"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=ROOT,
        )
        if check and process.returncode:
            raise AssertionError(process.stdout[-6000:])
        return process

    def files(self):
        """Bytes of every result by relative path, logs and timings apart."""
        skip = {"logs", "benchmarks"}
        return {
            str(path.relative_to(self.results)): path.read_bytes()
            for path in sorted(self.results.rglob("*"))
            if path.is_file() and path.relative_to(self.results).parts[0] not in skip
        }


@pytest.fixture
def workflow(tmp_path):
    return Workflow(tmp_path)


# the smallest run of everything: 4 patients, two sequences, one epoch of a sliver of a network
TINY = """
sequences: [t1, t2_SPACE]
phantom: {patients: 4, seed: 3}
device: cpu
slices:
  released: {size: [96, 72]}
  sound: {size: [96, 72]}
experiments:
  released:
    split: {parts: 4}
    network: {image_size: [32, 24], options: {width: 2}}
    training: {epochs: 2}
  sound:
    split: {parts: 4}
"""


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, tiny_config):
    """A finished run of the tiny workflow; tests must not change it."""
    workflow = Workflow(tmp_path_factory.mktemp("tiny"))
    workflow.output = workflow("--configfile", tiny_config).stdout
    return workflow
