"""Killed, out of disk, forbidden to write: the documented recovery ends in the bytes of an undisturbed run."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time

import pytest
from conftest import ROOT, Workflow
from processes import at_work, kill_snakemake, wait_for

# what the tiny run makes of one sequence and one experiment
SMALL = ("--config", "sequences=[t1]", "run=[sound]")
# what the rest of the tiny run adds to
OTHERS = ("tables/", "figures/comparisons/", "findings.", "provenance.", "phantom/overview.csv")
PREPROCESSING = ("--until", "manifest")


STAGES = {"phantom_patient", "extract_slices", "label_slices", "train", "predict", "evaluate", "make_tables"}


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.long)], ids=["stages", "every rule"])
def test_killed_in_every_stage(tiny_run, tiny_config, workflow, every):
    """One run, killed twice in each stage, and taken up again as the README says: first a job of the stage is killed,
    later Snakemake while a job of the stage is at work."""
    arguments = ("--configfile", tiny_config, *SMALL)
    killed = {"job": set(), "snakemake": set()}

    def kill():
        """Kill the jobs of stages that lost none yet; true once Snakemake was killed."""
        for rule, job in at_work(workflow).items():
            if not every and rule not in STAGES:
                continue
            if rule not in killed["job"]:
                with contextlib.suppress(ProcessLookupError):  # it was quicker
                    os.kill(job, signal.SIGKILL)
                killed["job"].add(rule)
            elif rule not in killed["snakemake"]:
                kill_snakemake(process)
                killed["snakemake"].add(rule)
                return True
        return False

    while True:
        process, count = workflow.start(*arguments), len(killed["job"])
        if wait_for(kill, process):
            workflow(*arguments, "--unlock")
        elif process.returncode == 0:
            break
        else:
            assert len(killed["job"]) > count, process.communicate()[0][-3000:]
    assert killed["job"] >= STAGES
    assert killed["snakemake"] >= STAGES
    assert "Nothing to be done" in workflow(*arguments).stdout
    workflow.agrees_with(tiny_run, OTHERS)


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.long)])
def test_killed_at_random_moments_of_the_preprocessing(tiny_run, tiny_config, workflow, kills):
    arguments = ("--configfile", tiny_config, *SMALL, *PREPROCESSING)
    moments = random.Random(4)
    for _ in range(kills):
        process = workflow.start(*arguments)
        if wait_for(lambda process=process: at_work(workflow), process):
            time.sleep(moments.uniform(0, 2))
        kill_snakemake(process)
        workflow(*arguments, "--unlock")
    workflow(*arguments)
    workflow.agrees_with(tiny_run, OTHERS)
    assert not list(workflow.results.rglob(".*.png"))


def test_a_second_run_at_the_same_time_is_refused(tiny_config, workflow):
    arguments = ("--configfile", tiny_config, *PREPROCESSING)
    first = workflow.start(*arguments)
    assert wait_for(lambda: at_work(workflow), first)
    second = workflow(*arguments, check=False)
    assert second.returncode != 0
    assert "--unlock" in second.stdout
    assert first.wait() == 0


def limit_files():
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, -1))


def test_a_full_disk(tiny_run, tiny_config, workflow):
    """A limit on the size of files stands for it: the phantom's volumes are larger."""
    arguments = ("--configfile", tiny_config, *SMALL, "--until", "extract_slices")
    process = workflow.start(*arguments, preexec_fn=limit_files)
    output, _ = process.communicate()
    assert process.returncode != 0
    assert "cannot be written" in output, output[-3000:]
    assert "Traceback" not in output
    workflow(*arguments)
    workflow.agrees_with(tiny_run, OTHERS)


# root may write anywhere: without these rights it is a user like any other
HUMBLE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")


def humble():
    return () if os.geteuid() else HUMBLE


def test_results_that_may_not_be_written(tiny_config, workflow):
    workflow.results.mkdir()
    (workflow.folder / ".snakemake").mkdir()
    workflow.results.chmod(0o555)
    try:
        process = workflow.start("--configfile", tiny_config, *SMALL, "--until", "phantom", before=humble())
        output, _ = process.communicate()
    finally:
        workflow.results.chmod(0o755)
    assert process.returncode != 0
    assert "Permission denied" in output
    assert "results" in output


def test_the_worst_of_days(tiny_run, tiny_config, tmp_path):
    """No network, no home, no UTF-8, a source that cannot be written, and a path with all that shells stumble over."""
    source = tmp_path / "read only" / "lumbarflow"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "results", "tests", "__pycache__"))
    subprocess.run(["chmod", "-R", "a-w", source], check=True)
    workflow = Workflow(tmp_path / 'it\'s "die Größe" $(touch sprung); & 1', source)
    workflow.folder.mkdir()
    environment = {name: os.environ[name] for name in ("PATH", "LUMBARFLOW_STRICT") if name in os.environ}
    environment |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    before = (*(() if os.geteuid() else ("unshare", "--net")), *humble())
    try:
        process = workflow.start("--configfile", tiny_config, *SMALL, before=before, env=environment)
        output, _ = process.communicate()
    finally:
        subprocess.run(["chmod", "-R", "u+w", source], check=True)
    assert process.returncode == 0, output[-5000:]
    workflow.agrees_with(tiny_run, OTHERS)
    assert not list(tmp_path.rglob("sprung"))
