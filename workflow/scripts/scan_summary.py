"""Rule scan_summary: what was found in each new scan, as a table and as a page of pictures."""

from lumbarflow.job import run


def main(snakemake):
    from lumbarflow import files
    from lumbarflow.application import summary

    rows = summary.rows(snakemake.input)
    files.write_csv(snakemake.output.table, rows, summary.COLUMNS)
    with files.replacing(snakemake.output.gallery) as temporary:
        temporary.write_text(summary.gallery(rows, snakemake.input), encoding="utf-8")


run(main, globals().get("snakemake"))
