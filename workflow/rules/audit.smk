# Outside the numbered stages. In: volumes, slices, class masks. Out: a description of the dataset and its
# defects, a page of middle slices for each sequence, and what the paper's APTA costs.


localrules:
    dataset,
    coloured,


rule describe_volume:
    """Describe one volume as stored, and look for the paper's four defects (section 3.2.1)."""
    input:
        image=get_volume("files", "image"),
        mask=get_volume("files", "mask"),
    output:
        "results/volumes/{volume}.csv",
    log:
        "results/logs/describe_volume/{volume}.log",
    benchmark:
        "results/benchmarks/describe_volume/{volume}.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(1500),
        runtime=grow(15),
    params:
        code=get_code("describe_volume"),
        image=get_volume("stored", "image"),
        mask=get_volume("stored", "mask"),
        patient=get_volume("patient"),
        sequence=get_volume("sequence"),
    script:
        "../scripts/describe_volume.py"


rule dataset_table:
    """Summarise the dataset (paper, section 3.1), next to what the paper reports."""
    input:
        volumes=expand("results/volumes/{volume}.csv", volume=VOLUMES),
        overview=[PLAN.overview] if PLAN.has_overview else [],
    output:
        expand("results/tables/{table}.{ending}", table=["dataset", "volumes"], ending=["csv", "md", "tex"]),
        report(
            "results/tables/dataset.html",
            category="1 Tables",
            labels={"table": "The dataset"},
            caption="../report/dataset.rst",
        ),
        report(
            "results/tables/volumes.html",
            category="5 Dataset",
            labels={"item": "Every volume"},
            caption="../report/dataset.rst",
        ),
        colours="results/tables/SPIDER.ctbl",
    log:
        "results/logs/dataset_table.log",
    benchmark:
        "results/benchmarks/dataset_table.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(1000),
        runtime=grow(15),
    params:
        code=get_code("dataset_table"),
        folder=subpath(output.colours, parent=True),
    script:
        "../scripts/dataset_table.py"


rule contact_sheet:
    """Show the middle slice of every volume with the outlines of its mask, and what is odd about it."""
    input:
        slices=get_pictured("results/slices/{slices}/{volume}.csv"),
        labels=get_per_volume("results/labels/{slices}/{labels}/{volume}.csv"),
        described=get_pictured("results/volumes/{volume}.csv"),
    output:
        report(
            "results/figures/contact/{slices}/{labels}/{sequence}.png",
            category="5 Dataset",
            labels={"item": "Middle slices: {sequence}, slices {slices}, labels {labels}"},
            caption="../report/contact.rst",
        ),
    log:
        "results/logs/contact_sheet/{slices}/{labels}/{sequence}.log",
    benchmark:
        "results/benchmarks/contact_sheet/{slices}/{labels}/{sequence}.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(1000),
        runtime=grow(30),
    params:
        code=get_code("contact_sheet"),
    script:
        "../scripts/contact_sheet.py"


rule draw_data:
    """Draw the paper's Figures 1 to 6: how a mask becomes classes, and which images are dropped and kept."""
    input:
        manifest="results/manifests/{slices}/{labels}/{filter}/{sequence}.csv",
        slices=get_per_volume("results/slices/{slices}/{volume}.csv"),
        labels=get_per_volume("results/labels/{slices}/{labels}/{volume}.csv"),
        masks=get_masks,
    output:
        masks=[
            report(
                "results/figures/data/{slices}/{labels}/{filter}/{sequence}/masks.png",
                category="5 Dataset",
                labels={"item": "Figures 1, 2: {sequence}, slices {slices}, labels {labels}"},
                caption="../report/masks.rst",
            ),
            "results/figures/data/{slices}/{labels}/{filter}/{sequence}/masks.svg",
        ],
        images=[
            report(
                "results/figures/data/{slices}/{labels}/{filter}/{sequence}/images.png",
                category="5 Dataset",
                labels={"item": "Figures 3 to 6: {sequence}, slices {slices}, labels {labels}, filter {filter}"},
                caption="../report/images.rst",
            ),
            "results/figures/data/{slices}/{labels}/{filter}/{sequence}/images.svg",
        ],
    log:
        "results/logs/draw_data/{slices}/{labels}/{filter}/{sequence}.log",
    benchmark:
        "results/benchmarks/draw_data/{slices}/{labels}/{filter}/{sequence}.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(1500),
        runtime=grow(30),
    params:
        code=get_code("draw_data"),
        canvas_size=lookup("{slices}/size", within=config["slices"]),
        sources=get_stored_masks,
    script:
        "../scripts/draw_data.py"


rule fidelity:
    """Compare APTA's masks of a sequence with the exact ones, slice by slice."""
    input:
        slices=get_per_volume("results/slices/{slices}/{volume}.csv"),
        repaired=get_per_volume("results/labels/{slices}/{labels}/{volume}.csv"),
        exact=get_per_volume(f"results/labels/{{slices}}/{PLAN.exact_labels}/{{volume}}.csv"),
        masks=get_masks,
    output:
        table="results/fidelity/{slices}/{labels}/{sequence}.csv",
        figure=[
            report(
                "results/figures/fidelity/{slices}/{labels}/{sequence}.png",
                category="6 What APTA changes",
                labels={"slices": "{slices}", "labels": "{labels}", "sequence": "{sequence}"},
                caption="../report/fidelity.rst",
            ),
            "results/figures/fidelity/{slices}/{labels}/{sequence}.svg",
        ],
    log:
        "results/logs/fidelity/{slices}/{labels}/{sequence}.log",
    benchmark:
        "results/benchmarks/fidelity/{slices}/{labels}/{sequence}.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(1500),
        runtime=grow(60),
    params:
        code=get_code("fidelity"),
        recipe=lookup("{labels}", within=config["labels"]),
        canvas_size=lookup("{slices}/size", within=config["slices"]),
        sources=get_stored_masks,
    script:
        "../scripts/fidelity.py"


rule fidelity_table:
    """Tabulate what APTA costs each class."""
    input:
        tables=get_each(rules.fidelity.output.table, PLAN.repairs),
    output:
        expand("results/tables/apta_fidelity.{ending}", ending=["csv", "md", "tex"]),
        report(
            "results/tables/apta_fidelity.html",
            category="1 Tables",
            labels={"table": "What APTA costs"},
            caption="../report/fidelity.rst",
        ),
    log:
        "results/logs/fidelity_table.log",
    benchmark:
        "results/benchmarks/fidelity_table.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(1000),
        runtime=grow(15),
    params:
        code=get_code("fidelity_table"),
    script:
        "../scripts/fidelity_table.py"


rule colour_labels:
    """Colour class masks in the paper's red, green and blue, and in the greys of these colours (Figure 2)."""
    input:
        table="results/labels/{slices}/{labels}/{volume}.csv",
    output:
        colour=directory("results/coloured/{slices}/{labels}/colour/{volume}"),
        grey=directory("results/coloured/{slices}/{labels}/grey/{volume}"),
    log:
        "results/logs/colour_labels/{slices}/{labels}/{volume}.log",
    benchmark:
        "results/benchmarks/colour_labels/{slices}/{labels}/{volume}.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(500),
        runtime=grow(15),
    params:
        code=get_code("colour_labels"),
    script:
        "../scripts/colour_labels.py"


rule dataset:
    """Results to check before training: the dataset table, contact sheets, what APTA costs."""
    input:
        rules.dataset_table.output,
        rules.fidelity_table.output if PLAN.repairs else [],
        get_each(rules.contact_sheet.output[0], PLAN.sheets),
        get_each(rules.fidelity.output.figure[0], PLAN.repairs),
        get_each(rules.draw_data.output.masks[0], PLAN.manifests),


rule coloured:
    """Class masks in colour and grey, as the paper shows them; on request only."""
    input:
        expand(
            "results/coloured/{recipes}/{kind}/{volume}",
            recipes=get_each("{slices}/{labels}", PLAN.masks),
            kind=["colour", "grey"],
            volume=PLAN.volumes,
        ),
