"""Rule sheet: the series of a BIDS dataset or of DICOM studies, as a sample sheet."""

from lumbarflow.job import run


def main(snakemake):
    import logging

    from lumbarflow import files
    from lumbarflow.data import listing

    rows = listing.list_series(snakemake.params.root)
    columns = listing.columns(rows)
    files.write_csv(snakemake.output.sheet, [dict.fromkeys(columns, "") | row for row in rows], columns)
    logging.info("%d series, %d without a mask", len(rows), sum(not row["mask"] for row in rows))


run(main, globals().get("snakemake"))
