# Stage 0. In: nothing, or the web. Out: a dataset folder in SPIDER's layout.

if config["root"] == "phantom" and not config["sheet"]:

    rule phantom:
        """Make the built-in dataset: synthetic lumbar columns in three contrasts."""
        input:
            library=get_library("phantom"),
        output:
            images=[source.image for source in VOLUMES.values()],
            masks=[source.mask for source in VOLUMES.values()],
            overview=f"{PHANTOM}/overview.csv",
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
            root=subpath(output.overview, parent=True),
            sequences=config["sequences"],
        script:
            "../scripts/phantom.py"


if "download" in config:

    rule download:
        """Fetch the dataset, check it against its checksums and unpack it into the root folder."""
        input:
            library=get_library("download"),
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
            root=config["root"],
        script:
            "../scripts/download.py"
