# The plan that follows from the config, where things lie, and what the rules of several stages use.
import sys
from dataclasses import asdict
from pathlib import Path

from snakemake.cli import get_argument_parser
from snakemake.logging import logger

# of the project, however it is entered: from its root, through workflow/Snakefile, or as a module
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from lumbarflow import DataError, settings, source
from lumbarflow.data import dataset
from lumbarflow.plan import Plan


def get_targets():
    """What Snakemake was asked for, by its user or, in a job of a cluster, by its main process.

    While rules are read Snakemake does not know it yet; its own parser tells targets from values of options.
    """
    asked, _ = get_argument_parser().parse_known_args(sys.argv[1:])
    return {*asked.targets, *(job.partition(":")[0] for job in asked.target_jobs or ())}


try:
    config = settings.with_defaults(config, ROOT / "config" / "config.yaml")
    PLAN = Plan.make(config, ROOT / "workflow" / "schemas", get_targets() if "download" in config else ())
except DataError as error:
    # a WorkflowError would wrap the line in places of the Snakefile, which mean nothing to a user
    logger.error(f"Error: {error}")
    sys.exit(1)

EXPERIMENTS = PLAN.experiments
VOLUMES = {name: asdict(each) for name, each in PLAN.volumes.items()}
for sequence in [s for s in config["sequences"] if VOLUMES and s not in PLAN.sequences]:
    logger.info(f"Sequence {sequence}: no volumes in {config['sheet'] or config['root']}; left out of all tables.")


pathvars:
    run="{experiment}/{sequence}/fold-{fold}/seed-{seed}",  # one training
    test="<run>",  # what it is tested on; elsewhere where that is another sequence
    tested_run="<run>",  # whose split says who is tested


wildcard_constraints:
    volume=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    sequence="t1|t2|t2_SPACE|all",  # all: of a training on every sequence together
    tested="t1|t2|t2_SPACE",
    slices=r"[A-Za-z0-9_]+",
    labels=r"[A-Za-z0-9_]+",
    filter=r"[A-Za-z0-9_]+",
    experiment=r"[A-Za-z0-9_]+",
    fold=r"\d+",
    seed=r"\d+",


# On one machine one training at a time, whatever the command line says of other resources; as many as it gives GPUs.
if workflow.nodes is None and "training" not in workflow.global_resources:
    limit = workflow.global_resources["gpu"].value if "gpu" in workflow.global_resources else 1
    workflow.register_resource("training", max(limit, 1))


def grow(amount):
    """A resource that doubles with each retry of a job: what was killed for want of it gets more."""

    def get(wildcards, attempt):
        return amount * 2 ** (attempt - 1)

    return get


def get_code(script, *keys):
    """Digest of the code behind a rule; keys: settings of the experiment that may name a module of the user's own."""
    if not keys:
        return source.digest(script)

    def get(wildcards):
        named = settings.modules(EXPERIMENTS[wildcards.experiment], keys)
        return source.digest(script, named)

    return get


def get_each(pattern, items):
    """One path for each run, or other set of wildcards, of the plan."""
    return list(dict.fromkeys(str(pattern).format(**asdict(item)) for item in items))


def get_per_volume(pattern):
    """An input function: one path for each volume of the job's sequence; recipes are those of its experiment."""

    def get(wildcards):
        recipes = {}
        if "experiment" in wildcards.keys():
            recipes = {key: EXPERIMENTS[wildcards.experiment][key] for key in ("slices", "labels")}
        return expand(pattern, volume=get_volumes(wildcards), allow_missing=True, **recipes)

    return get


def get_volumes(wildcards):
    """Names of the volumes of a job's sequence: the tested one, where that is not the one trained on."""
    return PLAN.volumes_of(wildcards.get("tested", wildcards.sequence))


def get_masks(wildcards):
    return [part for volume in get_volumes(wildcards) for part in dataset.parts(VOLUMES[volume]["mask"])]


def get_stored_masks(wildcards):
    return {volume: PLAN.stored(volume, "mask") for volume in get_volumes(wildcards)}


def get_canvas_size(wildcards):
    return config["slices"][EXPERIMENTS[wildcards.experiment]["slices"]]["size"]


onstart:
    # Snakemake limits jobs a second (--max-jobs-per-timespan) with a timer that each look at the queue winds up again:
    # n finished jobs mean n looks a second, half a core after 300 jobs. No option turns the limit off.
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if workflow.nodes is None and limit and (limit.max_jobs, limit.timespan) == (100, 1):  # not the user's own
        workflow.scheduler.job_rate_limiter = None
