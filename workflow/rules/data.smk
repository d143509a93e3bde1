# Stage 0. In: nothing, or the web. Out: a dataset folder in SPIDER's layout.

if config["root"] == "phantom":

    rule phantom:
        """Make the built-in dataset: synthetic lumbar columns in three contrasts."""
        input:
            library=get_library("phantom"),
        output:
            images=[image for image, mask in VOLUMES.values()],
            masks=[mask for image, mask in VOLUMES.values()],
            overview=f"{PHANTOM}/overview.csv",
        log:
            "results/logs/phantom.log",
        benchmark:
            "results/benchmarks/phantom.tsv"
        params:
            root=subpath(output.overview, parent=True),
            sequences=config["sequences"],
            **config["phantom"],
        threads: 1
        resources:
            mem_mb=1000,
            runtime=30,
        conda:
            "../../envs/base.yaml"
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
        params:
            root=config["root"],
            **config["download"],
        threads: 1
        resources:
            mem_mb=1000,
            runtime=600,
        conda:
            "../../envs/base.yaml"
        script:
            "../scripts/download.py"
