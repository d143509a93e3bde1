# New scans. In: scans without masks (config.scans) and packages of models (config.model). Out: for each scan a folder
# with labels in its own geometry, measurements and a picture; a summary of all.


SHIPPED = source.shipped_model()


localrules:
    segment,


rule segment_scan:
    """Segment one scan, measure what was found, and say what needs a look. A scan that cannot be read has a reason."""
    input:
        scan=lambda wildcards: dataset.parts(PLAN.scans[wildcards.scan].image),
        models=lambda wildcards: [path for path in PLAN.models_of(wildcards.scan) if path != SHIPPED],
    output:
        directory("results/segmentations/{scan}"),
    log:
        "results/logs/segment_scan/{scan}.log",
    benchmark:
        "results/benchmarks/segment_scan/{scan}.tsv"
    conda:
        "../../envs/scans.yaml"
    threads: 2
    resources:
        mem_mb=grow(3000),
        runtime=grow(15),
    params:
        code=source.digest("segment_scan", config["modules"]),
        modules=config["modules"],
        backend=os.environ.get("KERAS_BACKEND", "tensorflow"),
        # which of the models comes with the software: by its content, since its path is another one in another clone
        shipped=lambda wildcards: [
            source.shipped_digest() if path == SHIPPED else "" for path in PLAN.models_of(wildcards.scan)
        ],
        scan=lambda wildcards: asdict(PLAN.scans[wildcards.scan]),
        options={key: config[key] for key in ("lowest", "entropy", "viewer", "anonymous")},
    script:
        "../scripts/segment_scan.py"


rule scan_summary:
    """A line and a picture for each scan: levels, what needs a look, and why it failed if it did."""
    input:
        expand("results/segmentations/{scan}", scan=PLAN.scans),
    output:
        table="results/segmentations/summary.csv",
        gallery=report(
            "results/segmentations/gallery.html",
            category="6 New scans",
            labels={"page": "Every scan"},
            caption="../report/scans.rst",
        ),
    log:
        "results/logs/scan_summary.log",
    benchmark:
        "results/benchmarks/scan_summary.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(1000),
        runtime=grow(15),
    params:
        code=get_code("scan_summary"),
    script:
        "../scripts/scan_summary.py"


rule segment:
    """All scans of config.scans; fails at the end if one of them could not be segmented, which is then tried again."""
    input:
        table=rules.scan_summary.output.table,
        gallery=rules.scan_summary.output.gallery,
    log:
        "results/logs/segment.log",
    conda:
        "../../envs/base.yaml"
    params:
        code=get_code("segment"),
        folders=expand("results/segmentations/{scan}", scan=PLAN.scans),
    script:
        "../scripts/segment.py"
