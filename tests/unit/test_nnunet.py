"""What is said where nnU-Net is missing or fails; its splits; where a training goes on."""

import logging
import os
import time

import pytest

from lumbarflow import DataError
from lumbarflow.learning import nnunet


def test_splits_and_what_training_may_see():
    folds = [
        {"1_t1": "test", "2_t1": "validation", "3_t1": "train", "4_t1": "test"},
        {"1_t1": "train", "2_t1": "test", "3_t1": "validation", "4_t1": "test"},
    ]
    assert nnunet.splits(folds) == [{"train": ["3_t1"], "val": ["2_t1"]}, {"train": ["1_t1"], "val": ["3_t1"]}]
    assert nnunet.seen(folds) == {"1_t1", "2_t1", "3_t1"}  # 4 is never seen
    assert nnunet.description(3)["labels"] == {"background": 0, "vertebrae": 1, "spinal_canal": 2, "ivd": 3}


def test_a_missing_installation_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr(nnunet, "VENV", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"nnU-Net is not installed: nnUNetv2_train .* `make install ENV=nnunet`"):
        nnunet.find("nnUNetv2_train")


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_failure_repeats_its_last_lines(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    lines = "\n".join(f"echo line {number}" for number in range(20))
    command = script(tmp_path / "nnUNetv2_train", f"{lines}\necho no memory >&2\nexit 3")
    with pytest.raises(DataError, match=r"nnUNetv2_train ended with 3: line 13 \| .* \| line 19 \| no memory"):
        nnunet.call(command, [], {}, 1)
    assert "nnU-Net: line 0" in caplog.text


def test_it_gets_its_folders_and_its_progress_is_shown(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("PYTHONPATH", "ours")
    said = 'echo "2026-01-02 03:04:05.678: Epoch 7"; echo "$nnUNet_raw,$LUMBARFLOW_NNUNET,$PYTHONPATH,$1"'
    nnunet.call(script(tmp_path / "it", said), ["argument"], {"raw": tmp_path}, 2, "1 2 3")
    shown = {record.getMessage(): record.name for record in caplog.records}
    assert shown["nnU-Net: Epoch 7"] == nnunet.PROGRESS
    assert shown[f"nnU-Net: {os.path.realpath(tmp_path)},1 2 3,,argument"] == nnunet.__name__


def test_a_training_goes_on_only_from_its_own_settings(tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    first = nnunet.resumed(tmp_path / "resume", {"epochs": 3}, [plan])
    first.mkdir(parents=True)
    assert nnunet.resumed(tmp_path / "resume", {"epochs": 3}, [plan]) == first
    plan.write_text("{} ")
    assert nnunet.resumed(tmp_path / "resume", {"epochs": 3}, [plan]) != first
    assert not first.exists()


def test_the_device(tmp_path):
    script(tmp_path / "python", "echo cuda")
    assert nnunet.device("auto", str(tmp_path / "nnUNetv2_train")) == "cuda"
    assert (nnunet.device("cpu", ""), nnunet.device("gpu", "")) == ("cpu", "cuda")


def test_workers_that_outlive_the_program_do_not_hold_the_job(tmp_path, monkeypatch):
    monkeypatch.setattr(nnunet, "GRACE", 0.1)
    started = time.monotonic()
    nnunet.call(script(tmp_path / "it", "sleep 60 & echo done"), [], {}, 1)
    assert time.monotonic() - started < 30
