"""Ways into the workflow: as a module, through workflow/Snakefile, with other profiles; one training at a time."""

import subprocess
import sys

import pytest
from conftest import ROOT, jobs
from snakemake.cli import get_argument_parser
from snakemake.settings.types import MaxJobsPerTimespan

SMALL = """
sequences: [t1]
phantom: {patients: 4, seed: 3}
device: cpu
run: [released, sound]
slices:
  released: {size: [96, 72]}
  sound: {size: [96, 72]}
experiments:
  released:
    split: {n_folds: 4}
    network: {image_size: [32, 24], options: {width: 2}}
    training: {epochs: 1}
  sound:
    split: {n_folds: 4}
"""


def snakemake(folder, *arguments, check=True):
    """Plain snakemake, started in a folder of the user's."""
    command = [sys.executable, "-m", "snakemake", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
    assert not check or done.returncode == 0, done.stdout[-4000:]
    return done.stdout


MODULE = """
configfile: "config.yaml"


module lumbarflow:
    snakefile: "{root}/workflow/Snakefile"
    config: config


use rule * from lumbarflow as lumbar_*


rule all:
    default_target: True
    input:
        rules.lumbar_manifest.output[0].format(slices="sound", labels="lut", filter="labelled", sequence="t1"),
"""


@pytest.fixture
def user(tmp_path):
    """A workflow of a user's own that takes this one as a module, with a config of its own."""
    (tmp_path / "config.yaml").write_text(SMALL, encoding="utf-8")
    (tmp_path / "Snakefile").write_text(MODULE.format(root=ROOT), encoding="utf-8")
    return tmp_path


def test_as_a_module_of_another_workflow(user):
    triggers = ("--rerun-triggers", "mtime", "params", "input", "software-env")  # as the manual says
    output = snakemake(user, "--cores", 2)
    assert (user / "results/manifests/sound/lut/labelled/t1.csv").is_file(), output
    assert "Nothing to be done" in snakemake(user, "--cores", 2, *triggers)
    # all of it can be planned, too
    planned = jobs(snakemake(user, "--cores", 2, "--dry-run", "lumbar_all", *triggers))
    assert planned["lumbar_train"] == 2


def test_through_the_snakefile_of_the_catalogue(user):
    """What snakedeploy writes: a config folder, and a module without another name."""
    (user / "Snakefile").write_text(
        f'configfile: "config.yaml"\nmodule main:\n    snakefile:\n        "{ROOT}/workflow/Snakefile"\n'
        "    config:\n        config\nuse rule * from main\n",
        encoding="utf-8",
    )
    assert jobs(snakemake(user, "--cores", 2, "--dry-run"))["train"] == 2
    direct = snakemake(user, "--cores", 2, "--dry-run", "--snakefile", ROOT / "workflow/Snakefile")
    assert jobs(direct)["train"] == 6  # the demo: the config is not this folder's


def test_a_config_that_says_nothing_of_a_key_takes_the_default(user):
    (user / "config.yaml").write_text("sequences: [t1]\nrun: [sound]\n", encoding="utf-8")
    assert jobs(snakemake(user, "--cores", 2, "--dry-run", "lumbar_all"))["lumbar_extract_slices"] == 12


def test_a_folder_called_download_is_no_target(tmp_path):
    folder = tmp_path / "download"
    folder.mkdir()
    arguments = ("--directory", folder, "--configfile", ROOT / "config/spider.yaml", "--dry-run")
    output = snakemake(ROOT, *arguments, check=False)
    assert "data/spider/images: no such folder" in output
    assert jobs(snakemake(ROOT, "download", *arguments)) == {"download": 1}


ONE_TRAINING = """
import sys
from snakemake.cli import main
from snakemake.scheduling import job_scheduler

class Stop(Exception):
    pass

def stop(self, *arguments, **options):
    workflow = self.workflow
    print("TRAINING", self.global_resources.get("training"), "LIMIT", self.job_rate_limiter)
    needs = {str(job.resources.get("gpu")) for job in workflow.dag.jobs if job.rule.name == "train"}
    print("GPU", *needs)
    sys.exit(0)

job_scheduler.JobScheduler.schedule = stop
main(sys.argv[1:])
"""


LIMITED = """
import sys
from snakemake.cli import main
from snakemake.scheduling import job_scheduler

run = job_scheduler.JobScheduler.run

def look(self, *arguments, **options):  # the first jobs: the workflow's onstart has been called
    found = self.job_rate_limiter
    open("start.txt", "w").write("None" if found is None else str(found.max_jobs))
    return run(self, *arguments, **options)

job_scheduler.JobScheduler.run = look
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("arguments", "training", "gpu"),
    [
        (("--resources", "mem_mb=4000"), 1, 1),
        (("--resources", "gpu=2"), 2, 1),
        (("--resources", "gpu=0", "--config", "device=cpu"), 1, 0),
        (("--workflow-profile", "none"), 1, 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_one_training_at_a_time(tmp_path, arguments, training, gpu):
    """What the scheduler is given, on one machine, whatever the command line says of resources."""
    (tmp_path / "start.py").write_text(ONE_TRAINING, encoding="utf-8")
    command = [sys.executable, tmp_path / "start.py", "--snakefile", ROOT / "Snakefile", "--directory", tmp_path]
    done = subprocess.run([*command, "--cores", "8", *arguments], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert f"TRAINING {training} " in done.stdout, done.stdout + done.stderr
    assert f"GPU {gpu}" in done.stdout


def test_the_limit_of_jobs_a_second(tmp_path):
    """Snakemake's own, which costs half a core, is lifted; a user's is kept. A new name or default would show here."""
    default = get_argument_parser().parse_args(["--cores", "1"]).max_jobs_per_timespan
    limit = MaxJobsPerTimespan.parse_choice(default) if isinstance(default, str) else default
    assert (limit.max_jobs, limit.timespan) == (100, 1)
    script = LIMITED.replace("start.txt", str(tmp_path / "start.txt"))
    (tmp_path / "start.py").write_text(script, encoding="utf-8")
    command = [sys.executable, tmp_path / "start.py", "--snakefile", ROOT / "Snakefile", "--directory", tmp_path]
    command += ["phantom", "--cores", "2", "--config", "sequences=[t1]"]
    for options, expected in (((), "None"), (("--max-jobs-per-timespan", "7/1s"), "7")):
        done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "start.txt").read_text() == expected
        (tmp_path / "results/phantom/overview.csv").unlink()
