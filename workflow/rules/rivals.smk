# Rivals. In: label volumes that another program predicted. Out: what predict and structures (evaluate.smk) write, so
# that they are scored, tabled and drawn as every network on the same test patients.


localrules:
    rivals_cost,


rule import_predictions:
    """Take label volumes of another program for the predictions of the test volumes; what they lack has no score."""
    input:
        split="results/experiments/<run>/split.csv",
        predictions=lambda wildcards: PLAN.prediction_files(**wildcards),
        slices=get_per_volume("results/slices/{slices}/{volume}.csv"),
        labels=get_per_volume("results/labels/{slices}/{labels}/{volume}.csv"),
    output:
        pictures=directory("results/experiments/<run>/predictions"),
        volumes=directory("results/experiments/<run>/volumes"),
        table="results/experiments/<run>/predictions.csv",
        structures=directory("results/experiments/<run>/structures"),
        described="results/experiments/<run>/structures.csv",
    log:
        "results/logs/import_predictions/<run>.log",
    benchmark:
        "results/benchmarks/import_predictions/<run>.tsv"
    wildcard_constraints:
        experiment=IMPORTED,
    conda:
        "../../envs/scans.yaml"
    threads: 1
    resources:
        mem_mb=grow(2000),
        runtime=grow(60),
    params:
        code=get_code("import_predictions"),
        kind=lookup("{experiment}/split/kind", within=EXPERIMENTS),
        canvas_size=lambda wildcards: get_slice_recipe(wildcards)["size"],
        settings=lambda wildcards: {"network": EXPERIMENTS[wildcards.experiment]["network"]},
        files=lambda wildcards: PLAN.predictions_of(**wildcards),
        scheme=lambda wildcards: PLAN.predicted_as[wildcards.experiment],
        key="config.experiments.{experiment}.labels_as",
        # nnU-Net learnt our classes: one that it never found is no sign of another scheme
        sure=lambda wildcards: "nnunet" in EXPERIMENTS[wildcards.experiment],
    script:
        "../scripts/import_predictions.py"


rule cost_table:
    """What training and prediction of each experiment cost on this machine: on request, since no two runs agree."""
    input:
        predictions=get_each(rules.predict.output.table, PLAN.runs),
        splits=get_each(rules.split.output[0], PLAN.runs),
        about=get_each(rules.train.output.about, PLAN.trainings),
    output:
        expand("results/tables/rivals_cost.{ending}", ending=["csv", "md", "tex", "html"]),
    log:
        "results/logs/cost_table.log",
    benchmark:
        "results/benchmarks/cost_table.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(1000),
        runtime=grow(15),
    params:
        code=get_code("cost_table"),
        runs=[{**asdict(run), "trained": PLAN.trains(run.experiment)} for run in PLAN.runs],
        # whether the validation volumes were predicted as well
        chosen=[bool(settings.chosen(EXPERIMENTS[run.experiment]["prediction"])) for run in PLAN.runs],
    script:
        "../scripts/cost_table.py"


rule rivals_cost:
    """The table of costs."""
    input:
        rules.cost_table.output,
