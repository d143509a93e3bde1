# Stage 9. In: metrics, manifests, histories. Out: the paper's tables as CSV, Markdown, LaTeX and HTML,
# and figures as PNG and SVG. `snakemake --report` collects them (stage 10).


localrules:
    tables,
    figures,


rule tables:
    """All tables, without touching a model that exists."""
    input:
        expand("results/tables/{table}.{ending}", table=[*TABLES, *COMPARISONS], ending=["csv", "md", "tex", "html"]),
        rules.dataset_table.output,
        rules.fidelity_table.output if get_repairs() else [],
        "results/tables/cross_sequence.html" if get_runs_across("{tested}") else [],


rule figures:
    """All figures."""
    input:
        get_runs("results/figures/{experiment}/{sequence}/fold-{fold}/seed-{seed}/curves.png"),
        get_each("results/figures/contact/{slices}/{labels}/{sequence}.png", get_masked_slices()),
        get_each("results/figures/fidelity/{slices}/{labels}/{sequence}.png", get_repairs()),
        get_data_figures(),
        expand("results/figures/{experiment}/network.png", experiment=EXPERIMENTS),
        expand("results/figures/comparisons/{sequence}/ladder.png", sequence=SEQUENCES),


rule make_tables:
    """Put the paper's tables together, its own rows beside ours."""
    input:
        images=get_runs("results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/metrics.csv"),
        stacks=get_runs("results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/metrics_stack.csv"),
        volumes=get_runs("results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/metrics_3d.csv"),
        structures=get_runs("results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/metrics_instances.csv"),
        about=get_runs("results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/model.json"),
        copied=get_runs("results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/copied.csv"),
        manifests=list(get_manifests()),
        published=[get_published(name) for name in ("table1", "table2", "table3", "systems")],
        library=get_library("tables"),
    output:
        expand("results/tables/{table}.{ending}", table=TABLES, ending=["csv", "md", "tex"]),
        report(
            "results/tables/summary.html",
            category="1 Tables",
            labels={"table": "Summary"},
            caption="../report/summary.rst",
        ),
        report(
            "results/tables/table1.html",
            category="1 Tables",
            labels={"table": "Table 1: dataset"},
            caption="../report/table1.rst",
        ),
        report(
            "results/tables/table2.html",
            category="1 Tables",
            labels={"table": "Table 2: metrics"},
            caption="../report/table2.rst",
        ),
        report(
            "results/tables/table3.html",
            category="1 Tables",
            labels={"table": "Table 3: other systems"},
            caption="../report/table3.rst",
        ),
        report(
            "results/tables/leakage.html",
            category="1 Tables",
            labels={"table": "Leakage"},
            caption="../report/leakage.rst",
        ),
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
        experiments=list(get_manifests().values()),
        evaluation={name: settings["evaluation"] for name, settings in EXPERIMENTS.items()},
    script:
        "../scripts/make_tables.py"


rule compare:
    """Set the paper, the experiments and their protocols side by side."""
    input:
        images=get_runs("results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/metrics.csv"),
        tables=["results/tables/table1.csv", "results/tables/table2.csv", "results/tables/table3.csv"],
        published=[get_published(name) for name in ("table1", "table2", "table3")],
        overview=get_known_overview(),
        library=get_library("compare"),
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
        settings=EXPERIMENTS,
        ladder=config["ladder"],
        baseline=config["baseline"],
    script:
        "../scripts/compare.py"


rule cross_table:
    """Say how well networks do on sequences that they were not trained on."""
    input:
        images=get_runs("results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/metrics.csv"),
        across=get_runs_across(
            "results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/across/{tested}/metrics.csv"
        ),
        library=get_library("tables"),
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
        evaluation={name: settings["evaluation"] for name, settings in EXPERIMENTS.items()},
    script:
        "../scripts/cross_table.py"


rule draw_run:
    """Draw the training curves and the overlays of one trained network."""
    input:
        history="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/history.csv",
        about="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/model.json",
        split="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/split.csv",
        images="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/metrics.csv",
        predictions="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/predictions.csv",
        library=get_library("figures"),
    output:
        curves=[
            report(
                "results/figures/{experiment}/{sequence}/fold-{fold}/seed-{seed}/curves.png",
                category="3 Training (Figures 7, 12-14)",
                labels={
                    "picture": "Figures 12-14",
                    "experiment": "{experiment}",
                    "sequence": "{sequence}",
                    "fold": "{fold}",
                    "seed": "{seed}",
                },
                caption="../report/curves.rst",
            ),
            "results/figures/{experiment}/{sequence}/fold-{fold}/seed-{seed}/curves.svg",
        ],
        overlays=[
            report(
                "results/figures/{experiment}/{sequence}/fold-{fold}/seed-{seed}/overlays.png",
                category="4 Segmentations (Figures 8-11)",
                labels={
                    "picture": "Figures 8, 10, 11",
                    "experiment": "{experiment}",
                    "sequence": "{sequence}",
                    "fold": "{fold}",
                    "seed": "{seed}",
                },
                caption="../report/overlays.rst",
            ),
            "results/figures/{experiment}/{sequence}/fold-{fold}/seed-{seed}/overlays.svg",
        ],
        structures=[
            report(
                "results/figures/{experiment}/{sequence}/fold-{fold}/seed-{seed}/structures.png",
                category="4 Segmentations (Figures 8-11)",
                labels={
                    "picture": "Figure 9",
                    "experiment": "{experiment}",
                    "sequence": "{sequence}",
                    "fold": "{fold}",
                    "seed": "{seed}",
                },
                caption="../report/structures.rst",
            ),
            "results/figures/{experiment}/{sequence}/fold-{fold}/seed-{seed}/structures.svg",
        ],
        extremes=[
            report(
                "results/figures/{experiment}/{sequence}/fold-{fold}/seed-{seed}/extremes.png",
                category="4 Segmentations (Figures 8-11)",
                labels={
                    "picture": "worst and best",
                    "experiment": "{experiment}",
                    "sequence": "{sequence}",
                    "fold": "{fold}",
                    "seed": "{seed}",
                },
                caption="../report/extremes.rst",
            ),
            "results/figures/{experiment}/{sequence}/fold-{fold}/seed-{seed}/extremes.svg",
        ],
    log:
        "results/logs/draw_run/{experiment}/{sequence}/{fold}-{seed}.log",
    benchmark:
        "results/benchmarks/draw_run/{experiment}/{sequence}/{fold}-{seed}.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(2000),
        runtime=grow(30),
    params:
        slice_folder=get_slice_folder,
        label_folder=get_label_folder,
        canvas_size=get_canvas_size,
    script:
        "../scripts/draw_run.py"


rule draw_network:
    """Draw the network of an experiment as it was built (paper, Figure 7)."""
    input:
        model=get_first_model,
        library=get_library("draw_network"),
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
        "../../envs/train-cpu.yaml"
    threads: 1
    resources:
        mem_mb=grow(2000),
        runtime=grow(15),
    script:
        "../scripts/draw_network.py"


rule draw_comparisons:
    """Draw every test patient's Dice, the ladder, and the canary beside each experiment."""
    input:
        images=get_runs("results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/metrics.csv"),
        tables=["results/tables/ladder.csv", "results/tables/leakage.csv"],
        library=get_library("draw_comparisons"),
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
    script:
        "../scripts/draw_comparisons.py"
