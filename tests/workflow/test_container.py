"""Jobs in an image: what the profile asks of Apptainer, for which a script stands that runs the job outside."""

import os
import sys
from pathlib import Path

import pytest
from conftest import ROOT

FAKE = """#!/bin/bash
echo "$*" >>"$CALLS"
[ "$1" = --version ] && echo "apptainer version 1.3.4"
while [ $# -gt 0 ] && [ "$1" != bash ]; do shift; done
[ $# -eq 0 ] || exec "$@"
"""


@pytest.fixture
def apptainer(tmp_path):
    """An environment in which `apptainer` and `singularity` are that script; it writes its calls into `calls`."""
    for name in ("apptainer", "singularity"):
        (tmp_path / name).write_text(FAKE)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "image.sif").write_text("")
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"  # the image's Python is this one
    return {**os.environ, "PATH": path, "CALLS": str(tmp_path / "calls")}


def test_jobs_run_in_the_image(tiny_run, tiny_config, tmp_path, apptainer):
    workflow = tiny_run.copy(tmp_path / "run")
    made = workflow.results / "volumes/1_t1.csv"
    before = made.read_text()
    made.unlink()
    arguments = (
        "--configfile",
        tiny_config,
        "--workflow-profile",
        ROOT / "profiles/container",
        "results/volumes/1_t1.csv",
    )
    asked = ("--config", f"container={tmp_path / 'image.sif'}", "--rerun-triggers", "mtime", "params", "input")
    process = workflow.start(*arguments, *asked, env=apptainer)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert made.read_text() == before
    calls = (tmp_path / "calls").read_text()
    assert f"{tmp_path / 'image.sif'} bash -c" in calls
    assert "describe_volume.py" in calls


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--workflow-profile", ROOT / "profiles/container"), "config.container names no image"),
        (
            ("--config", "container=image.sif"),
            "config.container: no job would run in image.sif; add --workflow-profile profiles/container",
        ),
    ],
)
def test_an_image_without_apptainer_and_the_other_way_round(tiny_run, tiny_config, apptainer, arguments, message):
    process = tiny_run.start("-n", "--configfile", tiny_config, *arguments, env=apptainer)
    output, _ = process.communicate()
    assert process.returncode == 1
    assert message in output
