# After the stages: a trained model as one file. In: the networks of an experiment, its scores, its data. Out: a package
# that segments scans anywhere (scans.smk).


localrules:
    package,


# One network from all patients, as long as those of the folds took: nothing is left to score it by, so that the folds'
# scores stand for it.
use rule train as train_on_everyone with:
    input:
        split=lambda wildcards: get_packed(rules.split.output[0])(wildcards)[0],
        folds=get_packed(rules.train.output.about),
        slices=get_per_volume("results/slices/{slices}/{volume}.csv"),
        labels=get_per_volume("results/labels/{slices}/{labels}/{volume}.csv"),
    pathvars:
        run="{experiment}/{sequence}/everyone/seed-{seed}",


PACKED = rules.train_on_everyone if config["package"]["networks"] == "everyone" else rules.train


rule package_model:
    """Pack the networks of an experiment with what they need and how well its folds scored."""
    input:
        models=get_packed(PACKED.output.model, trained=True),
        about=get_packed(PACKED.output.about, trained=True),
        splits=get_packed(rules.split.output[0]),
        decisions=get_packed(rules.predict.output.decision),
        predictions=get_packed(rules.predict.output.table),
        metrics=get_packed(rules.evaluate.output.images),
        slices=get_per_volume("results/slices/{slices}/{volume}.csv"),
        described=get_per_volume("results/volumes/{volume}.csv"),
        overview=[PLAN.overview] if PLAN.has_overview else [],
    output:
        "results/models/{experiment}/{sequence}.zip",
    log:
        "results/logs/package_model/{experiment}/{sequence}.log",
    benchmark:
        "results/benchmarks/package_model/{experiment}/{sequence}.tsv"
    conda:
        "../../envs/scans.yaml"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(30),
    params:
        code=get_code("package_model"),
        name="{experiment}-{sequence}",
        sequences=lookup("{sequence}", within=PLAN.trained_on),
        recipe=get_slice_recipe,
        prediction=lookup("{experiment}/prediction", within=EXPERIMENTS),
        evaluation=lookup("{experiment}/evaluation", within=EXPERIMENTS),
        validation=lookup("{experiment}/split/validation", within=EXPERIMENTS),
        about=config["package"],
    script:
        "../scripts/package_model.py"


rule package:
    """A package of each experiment whose split is by patients, and each sequence."""
    input:
        [f"results/models/{experiment}/{sequence}.zip" for experiment, sequence in PLAN.packages],


rule check_model:
    """Whether the packages that config.model names are sound, and segment their test case as when they were made."""
    input:
        [path for paths in PLAN.models.values() for path in paths],
    log:
        "results/logs/check_model.log",
    conda:
        "../../envs/scans.yaml"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(15),
    params:
        code=source.digest("check_model", config["modules"]),
        modules=config["modules"],
    script:
        "../scripts/check_model.py"
