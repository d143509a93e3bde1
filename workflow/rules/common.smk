# Helpers that the rules of several stages use.
from dataclasses import asdict


pathvars:
    run="{experiment}/{sequence}/fold-{fold}/seed-{seed}",  # one training
    test="<run>",  # one test of it; predict_across and evaluate_across set another folder
    tested_run="<run>",  # the run whose split gives the test set


if config["container"]:

    container: config["container"]


def grow(amount):
    """A resource that doubles with each retry, so that a job killed for lack of it gets more."""

    def get(wildcards, attempt):
        return amount * 2 ** (attempt - 1)

    return get


def get_code(script, *keys):
    """Digest of the code behind a rule; keys: settings of the job's experiment, or recipes, that may name a module of
    the user's own."""
    if not keys:
        return source.digest(script)

    def get(wildcards):
        experiment = EXPERIMENTS.get(wildcards.get("experiment"), {})
        chosen = [experiment[key] if experiment else config[key][wildcards[key]] for key in keys]
        return source.digest(script, settings.modules(chosen))

    return get


def get_each(pattern, items):
    """Distinct paths of a pattern, one per item of the plan (a run or another set of wildcards)."""
    return list(dict.fromkeys(str(pattern).format(**asdict(item)) for item in items))


def get_trained(pattern):
    """An input function: the path that belongs to the training whose network a job uses (`networks_of`)."""

    def get(wildcards):
        return str(pattern).format(**{**wildcards, "experiment": PLAN.trains(wildcards.experiment)})

    return get


def get_packed(pattern, trained=False):
    """An input function: the path that belongs to each run of a package; trained: to the run that trained its network."""

    def get(wildcards):
        runs = PLAN.packages[wildcards.experiment, wildcards.sequence]
        return get_each(pattern, map(PLAN.training_of, runs) if trained else runs)

    return get


def get_volume(*keys):
    """A value that the plan holds for a job's volume; `lookup` would walk through all volumes for each job."""

    def get(wildcards):
        found = VOLUMES[wildcards.volume]
        for key in keys:
            found = found[key]
        return found

    return get


def get_pictured(pattern):
    """An input function: one path for each volume of the job's sequence, also for those without a mask."""

    def get(wildcards):
        return expand(pattern, volume=PLAN.pictured(wildcards.sequence), allow_missing=True)

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
    """Names of the volumes of the sequence that a job tests, or else of the one that it trains on."""
    return PLAN.volumes_of(wildcards.get("tested", wildcards.sequence))


def get_masks(wildcards):
    return [part for volume in get_volumes(wildcards) for part in VOLUMES[volume]["files"]["mask"]]


def get_stored_masks(wildcards):
    return {volume: VOLUMES[volume]["stored"]["mask"] for volume in get_volumes(wildcards)}


def get_slice_recipe(wildcards):
    return config["slices"][EXPERIMENTS[wildcards.experiment]["slices"]]
