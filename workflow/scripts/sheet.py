"""Rule sheet: the series of a BIDS dataset or of DICOM studies, as a sample sheet."""

from lumbarflow.job import run


def main(snakemake):
    import logging

    from lumbarflow import files
    from lumbarflow.data import listing

    rows = listing.list_series(snakemake.params.root)
    columns = listing.columns(rows)
    files.write_csv(snakemake.output.sheet, [dict.fromkeys(columns, "") | row for row in rows], columns)
    missing = sum(not row["mask"] for row in rows)
    log = logging.warning if missing else logging.info  # warnings also go to the terminal
    log("%s: %d series, %d of them without a mask", snakemake.output.sheet, len(rows), missing)


run(main, globals().get("snakemake"))
