# Stage 0. In: nothing, or the web. Out: a dataset folder in SPIDER's layout.

if PLAN.makes_phantom:

    rule phantom:
        """Make the built-in dataset: synthetic lumbar spines in three contrasts."""
        output:
            images=[each.image for each in PLAN.volumes.values()],
            masks=[each.mask for each in PLAN.volumes.values()],
            overview=PLAN.overview,
        log:
            "results/logs/phantom.log",
        benchmark:
            "results/benchmarks/phantom.tsv"
        conda:
            "../../envs/base.yaml"
        threads: 1
        resources:
            mem_mb=grow(1000),
            runtime=grow(30),
        params:
            **config["phantom"],
            code=get_code("phantom"),
            root=subpath(output.overview, parent=True),
            sequences=config["sequences"],
        script:
            "../scripts/phantom.py"


if "download" in config:

    rule download:
        """Fetch the dataset, check it against its checksums and unpack it into the root folder."""
        output:
            marker="results/download.txt",
        log:
            "results/logs/download.log",
        benchmark:
            "results/benchmarks/download.tsv"
        conda:
            "../../envs/base.yaml"
        threads: 1
        resources:
            mem_mb=grow(1000),
            runtime=grow(600),
        params:
            **config["download"],
            code=get_code("download"),
            root=config["root"],
        script:
            "../scripts/download.py"
