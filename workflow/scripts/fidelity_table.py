"""Rule fidelity_table: what APTA costs, one row per class."""

from lumbarflow.job import run, software


def main(snakemake):
    from pathlib import Path

    from lumbarflow.report import audit, frames, notes, provenance

    made_by = provenance.line(software(), snakemake.config)
    found = []
    for path in snakemake.input.tables:
        *_, slices, labels, file = Path(path).parts
        found.append(({"slices": slices, "labels": labels}, Path(file).stem, frames.read_table(path)))
    notes.write("apta_fidelity", audit.fidelity(found), Path(snakemake.output[0]).parent, made_by)


run(main, globals().get("snakemake"))
