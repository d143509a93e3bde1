"""Rule phantom_scans: new phantom patients, without masks."""

from lumbarflow.job import run


def main(snakemake):
    from lumbarflow.data import phantom, writing

    for number, path in enumerate(snakemake.output, phantom.NEW):
        image, _, geometry = phantom.make_volume(1, number, snakemake.params.sequence)
        writing.write(path, image, geometry)


run(main, globals().get("snakemake"))
