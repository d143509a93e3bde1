# Stage 9. In: metrics, manifests, histories. Out: the paper's tables as CSV, Markdown, LaTeX and HTML,
# and figures as PNG and SVG. `snakemake --report` collects them (stage 10).


TABLES = {
    "summary": "Summary",
    "table1": "Table 1: dataset",
    "table2": "Table 2: metrics",
    "table3": "Table 3: other systems",
    "leakage": "Leakage",
}
COMPARISONS = {
    "paper_comparison": "The paper, cell by cell",
    "ladder": "Ladder: what each step costs",
    "rivals": "Rivals on the same patients",
    "paper_audit": "The paper against its formulas",
    "intervals": "95% intervals",
    "ablation": "Ablation",
    "subgroups": "Subgroups",
    "variants": "Every variant of the metrics",
}
# every table of a run
ALL_TABLES = [*TABLES, *COMPARISONS, "dataset", "volumes"]
ALL_TABLES += ["apta_fidelity"] * bool(PLAN.repairs) + ["cross_sequence"] * bool(PLAN.cross_runs)
CHARTS = {
    "distributions": "Every patient's Dice",
    "ladder": "Figure: ladder",
    "canary": "Figure: the canary",
    "reliability": "Figure: reliability",
}
# labels of a network's pictures in the report
OF_RUN = {name: f"{{{name}}}" for name in ("experiment", "sequence", "fold", "seed")}


localrules:
    tables,
    figures,


rule make_tables:
    """Make the paper's tables, with its own rows next to ours."""
    input:
        images=get_each(rules.evaluate.output.images, PLAN.runs),
        stacks=get_each(rules.evaluate.output.stack, PLAN.runs),
        volumes=get_each(rules.evaluate.output.volumes, PLAN.runs),
        structures=get_each(rules.evaluate.output.structures, PLAN.runs),
        ceiling=expand(rules.ceiling.output, volume=PLAN.volumes),
        about=get_each(rules.train.output.about, PLAN.trainings),
        copied=get_each(rules.leakage.output.images, PLAN.learnt),
        copied_stacks=get_each(rules.leakage.output.stack, PLAN.learnt),
        shares=get_each(rules.leakage.output.shares, PLAN.learnt),
        manifests=get_each(rules.manifest.output[0], PLAN.manifests),
    output:
        expand("results/tables/{table}.{ending}", table=TABLES, ending=["csv", "md", "tex"]),
        [
            report(
                f"results/tables/{name}.html",
                category="1 Tables",
                labels={"table": title},
                caption=f"../report/{name}.rst",
            )
            for name, title in TABLES.items()
        ],
    log:
        "results/logs/make_tables.log",
    benchmark:
        "results/benchmarks/make_tables.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(30),
    params:
        code=get_code("make_tables"),
        experiments=list(PLAN.manifests.values()),
        evaluation={name: settings["evaluation"] for name, settings in EXPERIMENTS.items()},
        trains={name: PLAN.trains(name) for name in EXPERIMENTS if not PLAN.imports(name)},
    script:
        "../scripts/make_tables.py"


rule compare:
    """Compare the paper, the experiments and their protocols."""
    input:
        images=get_each(rules.evaluate.output.images, PLAN.runs),
        stacks=get_each(rules.evaluate.output.stack, PLAN.runs),
        tables=["results/tables/table1.csv", "results/tables/table2.csv", "results/tables/table3.csv"],
        overview=[PLAN.overview] if PLAN.has_overview else [],
    output:
        expand("results/tables/{table}.{ending}", table=COMPARISONS, ending=["csv", "md", "tex"]),
        [
            report(
                f"results/tables/{name}.html",
                category="2 Comparisons",
                labels={"table": title},
                caption=f"../report/{name}.rst",
            )
            for name, title in COMPARISONS.items()
        ],
    log:
        "results/logs/compare.log",
    benchmark:
        "results/benchmarks/compare.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(30),
    params:
        code=get_code("compare"),
        settings=EXPERIMENTS,
        ladder=config["ladder"],
        baseline=config["baseline"],
    script:
        "../scripts/compare.py"


rule cross_table:
    """Tabulate the Dice of networks on sequences that they were not trained on."""
    input:
        images=get_each(rules.evaluate.output.images, PLAN.runs),
        across=get_each(rules.evaluate_across.output.images, PLAN.cross_runs),
    output:
        expand("results/tables/cross_sequence.{ending}", ending=["csv", "md", "tex"]),
        report(
            "results/tables/cross_sequence.html",
            category="1 Tables",
            labels={"table": "Across sequences"},
            caption="../report/cross.rst",
        ),
    log:
        "results/logs/cross_table.log",
    benchmark:
        "results/benchmarks/cross_table.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(30),
    params:
        code=get_code("cross_table"),
        evaluation={name: settings["evaluation"] for name, settings in EXPERIMENTS.items()},
    script:
        "../scripts/cross_table.py"


rule draw_run:
    """Draw the training curves and the overlays of one trained network."""
    input:
        history=get_trained(rules.train.output.history),
        about=get_trained(rules.train.output.about),
        split="results/experiments/<run>/split.csv",
        images="results/experiments/<run>/metrics.csv",
        predictions="results/experiments/<run>/predictions.csv",
        slices=get_per_volume("results/slices/{slices}/{volume}.csv"),
        labels=get_per_volume("results/labels/{slices}/{labels}/{volume}.csv"),
    output:
        curves=[
            report(
                "results/figures/<run>/curves.png",
                category="3 Training (Figures 7, 12-14)",
                labels={"picture": "Figures 12-14", **OF_RUN},
                caption="../report/curves.rst",
            ),
            "results/figures/<run>/curves.svg",
        ],
        overlays=[
            report(
                "results/figures/<run>/overlays.png",
                category="4 Segmentations (Figures 8-11)",
                labels={"picture": "Figures 8, 10, 11", **OF_RUN},
                caption="../report/overlays.rst",
            ),
            "results/figures/<run>/overlays.svg",
        ],
        structures=[
            report(
                "results/figures/<run>/structures.png",
                category="4 Segmentations (Figures 8-11)",
                labels={"picture": "Figure 9", **OF_RUN},
                caption="../report/structures.rst",
            ),
            "results/figures/<run>/structures.svg",
        ],
        extremes=[
            report(
                "results/figures/<run>/extremes.png",
                category="4 Segmentations (Figures 8-11)",
                labels={"picture": "worst and best", **OF_RUN},
                caption="../report/extremes.rst",
            ),
            "results/figures/<run>/extremes.svg",
        ],
    log:
        "results/logs/draw_run/<run>.log",
    benchmark:
        "results/benchmarks/draw_run/<run>.tsv"
    wildcard_constraints:
        experiment=LEARNT,
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(2000),
        runtime=grow(30),
    params:
        code=get_code("draw_run"),
        network=lookup("{experiment}/network", within=EXPERIMENTS),
        validation=lookup("{experiment}/split/validation", within=EXPERIMENTS),
        canvas_size=lambda wildcards: get_slice_recipe(wildcards)["size"],
    script:
        "../scripts/draw_run.py"


use rule draw_run as draw_imported with:
    input:
        split="results/experiments/<run>/split.csv",
        images="results/experiments/<run>/metrics.csv",
        predictions="results/experiments/<run>/predictions.csv",
        slices=get_per_volume("results/slices/{slices}/{volume}.csv"),
        labels=get_per_volume("results/labels/{slices}/{labels}/{volume}.csv"),
    output:
        overlays=rules.draw_run.output.overlays,
        structures=rules.draw_run.output.structures,
        extremes=rules.draw_run.output.extremes,
    wildcard_constraints:
        experiment=IMPORTED,


rule draw_network:
    """Draw the network of an experiment as it was built (paper, Figure 7)."""
    input:
        about=lambda wildcards: get_each(rules.train.output.about, PLAN.runs_of(wildcards.experiment))[0],
    output:
        report(
            "results/figures/{experiment}/network.png",
            category="3 Training (Figures 7, 12-14)",
            labels={"picture": "Figure 7", "experiment": "{experiment}", "sequence": "", "fold": "", "seed": ""},
            caption="../report/network.rst",
        ),
        "results/figures/{experiment}/network.svg",
    log:
        "results/logs/draw_network/{experiment}.log",
    benchmark:
        "results/benchmarks/draw_network/{experiment}.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(500),
        runtime=grow(15),
    params:
        code=get_code("draw_network"),
    script:
        "../scripts/draw_network.py"


rule draw_comparisons:
    """Draw every test patient's Dice, the ladder, each network next to copied training masks (the canary), and how far
    its probabilities can be believed."""
    input:
        reliability=get_each(rules.predict.output.reliability, PLAN.learnt),
        decisions=get_each(rules.predict.output.decision, PLAN.learnt),
        images=get_each(rules.evaluate.output.images, PLAN.runs),
        tables=["results/tables/ladder.csv", "results/tables/leakage.csv"],
    output:
        [
            report(
                f"results/figures/comparisons/{{tested}}/{name}.png",
                category="2 Comparisons",
                labels={"table": f"{title}, {{tested}}"},
                caption=f"../report/{name}_figure.rst",
            )
            for name, title in CHARTS.items()
        ],
        expand("results/figures/comparisons/{{tested}}/{name}.svg", name=CHARTS),
    log:
        "results/logs/draw_comparisons/{tested}.log",
    benchmark:
        "results/benchmarks/draw_comparisons/{tested}.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(2000),
        runtime=grow(15),
    params:
        code=get_code("draw_comparisons"),
    script:
        "../scripts/draw_comparisons.py"


rule findings:
    """The first page: in ten lines and one picture, what was found, and what not to conclude."""
    input:
        tables=expand("results/tables/{table}.csv", table=["ladder", "leakage", "intervals", "summary"]),
        picture=f"results/figures/comparisons/{PLAN.headline}/ladder.png",
    output:
        report(
            "results/findings.html",
            category="0 What was found",
            labels={"page": "In ten lines"},
            caption="../report/findings.rst",
        ),
        "results/findings.md",
    log:
        "results/logs/findings.log",
    benchmark:
        "results/benchmarks/findings.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(500),
        runtime=grow(15),
    params:
        code=get_code("findings"),
        sequence=PLAN.headline,
        data=PLAN.described,
    script:
        "../scripts/findings.py"


rule provenance:
    """Where the results are from: software, config, data, splits, models and tables, each by a digest."""
    input:
        manifests=get_each(rules.manifest.output[0], PLAN.manifests),
        splits=get_each(rules.split.output[0], PLAN.runs),
        models=get_each(rules.train.output.model, PLAN.trainings),
        tables=expand("results/tables/{table}.csv", table=ALL_TABLES),
    output:
        data="results/provenance.json",
        page=report(
            "results/provenance.html",
            category="0 What was found",
            labels={"page": "Where it is from"},
            caption="../report/provenance.rst",
        ),
    log:
        "results/logs/provenance.log",
    benchmark:
        "results/benchmarks/provenance.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(500),
        runtime=grow(15),
    params:
        code=get_code("provenance"),
        package=config["package"],  # the licence of the archive
    script:
        "../scripts/provenance.py"


rule archive:
    """The results as one file that can be published, an RO-Crate: tables, splits, config, digests, versions."""
    input:
        provenance=rules.provenance.output.data,
        splits=rules.provenance.input.splits,
        trainings=get_each(rules.train.output.about, PLAN.trainings),
        tables=expand("results/tables/{table}.{ending}", table=ALL_TABLES, ending=["csv", "md", "html"]),
        findings=rules.findings.output,
    output:
        "results/archive.zip",
    log:
        "results/logs/archive.log",
    benchmark:
        "results/benchmarks/archive.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(500),
        runtime=grow(15),
    params:
        code=get_code("archive"),
    script:
        "../scripts/archive.py"


rule tables:
    """All tables, from the models that exist; only missing or outdated ones are trained."""
    input:
        expand("results/tables/{table}.{ending}", table=ALL_TABLES, ending=["csv", "md", "tex", "html"]),
        rules.dataset_table.output.colours,
        rules.provenance.output,


rule figures:
    """All figures, and the first page."""
    input:
        rules.findings.output,
        get_each(rules.draw_run.output.curves[0], PLAN.learnt),
        get_each(rules.draw_run.output.overlays[0], PLAN.runs),
        get_each(rules.contact_sheet.output[0], PLAN.sheets),
        get_each(rules.fidelity.output.figure[0], PLAN.repairs),
        get_each(rules.draw_data.output.masks[0], PLAN.manifests),
        get_each("results/figures/{experiment}/network.png", PLAN.trainings),
        expand("results/figures/comparisons/{sequence}/ladder.png", sequence=PLAN.compared),
