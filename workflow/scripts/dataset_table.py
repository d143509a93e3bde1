"""Rule dataset_table: what the dataset consists of, and a colour table that shows all of its labels."""

from lumbarflow.job import run, software


def main(snakemake):
    import logging

    import pandas as pd

    from lumbarflow import files
    from lumbarflow.data import dataset, labels
    from lumbarflow.report import audit, frames, notes, provenance, published

    made_by = provenance.line(software(), snakemake.config)
    volumes = pd.concat([frames.read_table(path) for path in snakemake.input.volumes], ignore_index=True)
    overview = frames.read_given(snakemake.input.overview[0]) if snakemake.input.overview else None
    made = {"dataset": audit.dataset(volumes, overview, published.read("dataset")), "volumes": volumes}
    for name, frame in made.items():
        notes.write(name, frame, snakemake.params.folder, made_by)
    with files.replacing(snakemake.output.colours) as path:
        path.write_text(labels.colour_table(), encoding="utf-8")
    for same in dataset.duplicates(dict(zip(volumes["volume"], volumes["image_sha256"], strict=True))):
        logging.warning("%s hold the same picture, voxel for voxel", " and ".join(same))


run(main, globals().get("snakemake"))
