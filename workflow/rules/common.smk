# What the rules of several stages use.
from dataclasses import asdict


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
    """Digest of the code behind a rule; keys: settings of the job's experiment, or its recipes, that may name a module
    of the user's own."""
    if not keys:
        return source.digest(script)

    def get(wildcards):
        experiment = EXPERIMENTS.get(wildcards.get("experiment"), {})
        chosen = [experiment[key] if experiment else config[key][wildcards[key]] for key in keys]
        return source.digest(script, settings.modules(chosen))

    return get


def get_each(pattern, items):
    """One path for each run, or other set of wildcards, of the plan."""
    return list(dict.fromkeys(str(pattern).format(**asdict(item)) for item in items))


def get_first(pattern):
    """An input function: one path, of the first of an experiment's trainings."""

    def get(wildcards):
        return get_each(pattern, [next(run for run in PLAN.runs if run.experiment == wildcards.experiment)])[0]

    return get


def get_volume(*keys):
    """What the plan knows of a job's volume; `lookup` would walk through all volumes for each job."""

    def get(wildcards):
        found = VOLUMES[wildcards.volume]
        for key in keys:
            found = found[key]
        return found

    return get


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
    return [part for volume in get_volumes(wildcards) for part in VOLUMES[volume]["files"]["mask"]]


def get_stored_masks(wildcards):
    return {volume: VOLUMES[volume]["stored"]["mask"] for volume in get_volumes(wildcards)}


def get_canvas_size(wildcards):
    return config["slices"][EXPERIMENTS[wildcards.experiment]["slices"]]["size"]


onstart:
    # Snakemake limits jobs a second (--max-jobs-per-timespan) with a timer that each look at the queue winds up again:
    # n finished jobs mean n looks a second, half a core after 300 jobs. No option turns the limit off.
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if workflow.nodes is None and limit and (limit.max_jobs, limit.timespan) == (100, 1):  # not the user's own
        workflow.scheduler.job_rate_limiter = None
