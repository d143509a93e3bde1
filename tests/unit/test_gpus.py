"""Which GPU a training takes: no two the same, whatever the command line counts."""

import os
import subprocess
import sys

import pytest

from lumbarflow.learning import gpus

HOLDER = """
import sys
sys.path.insert(0, {scripts!r})
from lumbarflow.learning import gpus
print(gpus.take({names!r}, {folder!r}), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hold(tmp_path):
    """Start a process that takes a GPU and keeps it; returns it and the GPU's name."""
    started = []

    def start(names):
        code = HOLDER.format(
            scripts=str(gpus.__file__).rpartition("/lumbarflow/")[0], names=names, folder=str(tmp_path)
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def _restored(monkeypatch):
    monkeypatch.setattr(gpus, "_held", [])
    monkeypatch.delenv(gpus.CHOICE, raising=False)
    monkeypatch.delenv(gpus.PHYSICAL, raising=False)
    monkeypatch.setattr(gpus, "PAUSE", 0.05)


def test_each_training_has_its_own_and_a_killed_one_frees_it(hold, tmp_path, caplog, monkeypatch):
    first, one = hold(["0", "1"])
    _, two = hold(["0", "1"])
    assert {one, two} == {"0", "1"}
    # a third waits, and says so, until one is free
    monkeypatch.setattr(gpus.time, "sleep", lambda seconds: (first.kill(), first.wait()))
    monkeypatch.setenv(gpus.CHOICE, "0,1")
    assert gpus.take(gpus.listed(), tmp_path) == one
    assert os.environ[gpus.CHOICE] == one
    assert "waiting: every GPU (0, 1) is held by another job" in caplog.text


def test_a_gpu_named_twice_is_for_two(hold):
    assert [hold(["3", "3"])[1] for _ in range(2)] == ["3", "3"]


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ("0,2", ["0", "2"]),
        ("GPU-8f, MIG-1", ["GPU-8f", "MIG-1"]),
        ("", []),
        ("-1", []),
        ("1,-1,2", ["1"]),
        ("NoDevFiles", []),
    ],
)
def test_what_a_cluster_gave_is_all_there_is(monkeypatch, chosen, names):
    monkeypatch.setenv(gpus.CHOICE, chosen)
    assert gpus.listed() == names


def test_of_parts_and_of_a_cluster_that_calls_each_gpu_0(tmp_path, monkeypatch):
    monkeypatch.setattr(gpus.time, "sleep", lambda _: pytest.fail("waits"))
    assert gpus.take(["MIG-GPU-9f3a/1/0"], tmp_path) == "MIG-GPU-9f3a/1/0"
    (lock,) = tmp_path.iterdir()
    assert lock.name.endswith("gpu-MIG-GPU-9f3a-1-0-0.lock")
    for name in ("0", "1"):  # two jobs that were each given another one
        assert gpus.take([name], tmp_path) == name
    for physical in ("4", "6"):
        monkeypatch.setenv(gpus.PHYSICAL, physical)
        assert gpus.take(["0"], tmp_path) == "0"
    assert len(gpus._held) == 5
    gpus.free()
    assert gpus.take(["0"], tmp_path) == "0"  # given back


def test_otherwise_nvidia_smi_knows(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus.listed() == []
    assert gpus.take([], tmp_path) is None
    assert gpus.CHOICE not in os.environ
    told = "GPU 0: NVIDIA A (UUID: GPU-1)\n  MIG 1g.5gb Device 0: (UUID: MIG-2)\nGPU 1: NVIDIA B (UUID: GPU-3)\n"
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{told}'\n".replace("\n  MIG", "\\n  MIG").replace("\nGPU 1", "\\nGPU 1"))
    program.chmod(0o755)
    assert gpus.listed() == ["0", "1"]
