"""Rule fidelity_table: what APTA costs, a row a class."""

from lumbarflow.job import run

NOTE = (
    "APTA's masks against the exact lookup on the same canvas. Vanished: slices whose mask lost the class altogether; "
    "appeared: slices that show a class which is not there. Masks that came out of APTA before (a dataset published by "
    "the paper's authors, say) agree with themselves: there the comparison is circular."
)


def main(snakemake):
    from pathlib import Path

    import pandas as pd

    from lumbarflow.report import audit, publish

    found = []
    for path in snakemake.input.tables:
        *_, slices, labels, file = Path(path).parts
        found.append(({"slices": slices, "labels": labels}, Path(file).stem, pd.read_csv(path)))
    stem = str(Path(snakemake.output[0]).with_suffix(""))
    publish.write(audit.fidelity(found), stem, "What APTA costs", NOTE)


run(main, globals().get("snakemake"))
