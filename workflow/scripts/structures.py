"""Rule structures: single vertebrae and discs of each predicted volume."""

from lumbarflow.job import compile_once, run


def main(snakemake):
    import logging
    from pathlib import Path

    import numpy as np

    from lumbarflow import files
    from lumbarflow.data import predictions, volumes, writing
    from lumbarflow.measures import structures

    compile_once(structures.label, np.ones((2, 2, 2), np.uint8), (1, 1, 1))
    folder, table = Path(snakemake.output.volumes), []
    folder.mkdir(parents=True, exist_ok=True)
    for path in predictions.whole(snakemake.input.table):
        classes = volumes.read(path)
        labels = structures.label(classes.array, classes.spacing)
        digest = writing.write(folder / path.name, labels, classes.geometry)
        rows = structures.describe(labels, classes.spacing)
        table += [{"volume": path.stem, "volume_sha256": digest, **row} for row in rows]
        stray = int(np.count_nonzero(classes.array) - np.count_nonzero(labels))
        logging.info("%s: labels %s; %d stray voxels", path.stem, [row["label"] for row in rows], stray)
    files.write_csv(snakemake.output.table, table, ("volume", "volume_sha256", *structures.DESCRIPTION))


run(main, globals().get("snakemake"))
