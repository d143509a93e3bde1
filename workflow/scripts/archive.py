"""Rule archive: the results as one file that can be published."""

from lumbarflow.job import run


def main(snakemake):
    from lumbarflow.report import archive

    given = snakemake.input
    used = {"Split list": given.splits}
    made = {"Table": given.tables, "First page": given.findings, "Settings and versions of a training": given.trainings}
    archive.write(snakemake.output[0], given.provenance, used, made)


run(main, globals().get("snakemake"))
