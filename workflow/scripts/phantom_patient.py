"""Rule phantom_patient: one patient of the built-in dataset."""

from lumbarflow.job import run


def main(snakemake):
    from pathlib import Path

    from lumbarflow.data import phantom

    params, root = snakemake.params, Path(snakemake.output.images[0]).parents[1]
    for sequence in params.sequences:
        phantom.write_volume(root, params.seed, int(snakemake.wildcards.number), sequence)


run(main, globals().get("snakemake"))
