# Stage 0. In: nothing, the web, or a folder in another layout. Out: a dataset folder in SPIDER's layout, or a sample
# sheet.
import time

if PLAN.makes_phantom:

    # one job a patient: a rule with the files of all of them would cost Snakemake the square of their number
    rule phantom_patient:
        """Make a patient of the built-in dataset: a synthetic lumbar spine in up to three contrasts."""
        output:
            images=expand("results/phantom/images/{{number}}_{sequence}.mha", sequence=config["sequences"]),
            masks=expand("results/phantom/masks/{{number}}_{sequence}.mha", sequence=config["sequences"]),
        log:
            "results/logs/phantom_patient/{number}.log",
        benchmark:
            "results/benchmarks/phantom_patient/{number}.tsv"
        conda:
            "../../envs/base.yaml"
        threads: 1
        resources:
            mem_mb=grow(1000),
            runtime=grow(15),
        params:
            code=get_code("phantom_patient"),
            seed=config["phantom"]["seed"],
            sequences=config["sequences"],
        script:
            "../scripts/phantom_patient.py"

    rule phantom:
        """List the built-in dataset as SPIDER's overview does."""
        input:
            [each.image for each in PLAN.volumes.values()],
        output:
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
            runtime=grow(15),
        params:
            **config["phantom"],
            code=get_code("phantom"),
            sequences=config["sequences"],
        script:
            "../scripts/phantom.py"


if config["scans"] == "phantom":

    rule phantom_scans:
        """Make new scans without masks: patients that are in no dataset."""
        output:
            [scan.image for scan in PLAN.scans.values()],
        log:
            "results/logs/phantom_scans.log",
        benchmark:
            "results/benchmarks/phantom_scans.tsv"
        conda:
            "../../envs/base.yaml"
        threads: 1
        resources:
            mem_mb=grow(1000),
            runtime=grow(15),
        params:
            code=get_code("phantom_scans"),
            sequence=next(iter(PLAN.scans.values())).sequence,
        script:
            "../scripts/phantom_scans.py"


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
            asked=time.time(),  # looks each time whether all is there; what is there is not fetched again
        script:
            "../scripts/download.py"


if any(LISTING.search(target) for target in TARGETS):

    rule sheet:
        """List the series of a BIDS dataset or of DICOM studies as a sample sheet, to be looked at before it is used."""
        output:
            sheet="results/sheet.csv",
        log:
            "results/logs/sheet.log",
        benchmark:
            "results/benchmarks/sheet.tsv"
        conda:
            "../../envs/base.yaml"
        threads: 1
        resources:
            mem_mb=grow(1000),
            runtime=grow(60),
        params:
            code=get_code("sheet"),
            root=config["root"],
            asked=time.time(),  # made anew each time that it is asked for: its input is a whole tree
        script:
            "../scripts/sheet.py"
