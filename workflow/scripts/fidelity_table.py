"""Rule fidelity_table: what APTA costs, one row per class."""

from lumbarflow.job import run, software


def main(snakemake):
    from pathlib import Path

    from lumbarflow.report import audit, frames, provenance, publish
    from lumbarflow.report.notes import NOTES

    made_by = provenance.line(software(), snakemake.config)
    found = []
    for path in snakemake.input.tables:
        *_, slices, labels, file = Path(path).parts
        found.append(({"slices": slices, "labels": labels}, Path(file).stem, frames.read_table(path)))
    publish.write(
        audit.fidelity(found), Path(snakemake.output[0]).with_suffix(""), *NOTES["apta_fidelity"], made=made_by
    )


run(main, globals().get("snakemake"))
