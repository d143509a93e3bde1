"""Rule phantom: what the built-in dataset holds."""

from lumbarflow.job import run


def main(snakemake):
    from lumbarflow.data import phantom

    params = snakemake.params
    phantom.write_overview(snakemake.output.overview, params.seed, params.patients, params.sequences)


run(main, globals().get("snakemake"))
