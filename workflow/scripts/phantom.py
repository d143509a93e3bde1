"""Rule phantom: the built-in dataset."""

from lumbarflow.job import run


def main(snakemake):
    from lumbarflow.data import phantom

    params = snakemake.params
    for number in range(1, params.patients + 1):
        for sequence in params.sequences:
            phantom.write_volume(params.root, params.seed, number, sequence)
    phantom.write_overview(snakemake.output.overview, params.seed, params.patients, params.sequences)


run(main, globals().get("snakemake"))
