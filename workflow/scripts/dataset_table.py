"""Rule dataset_table: what the dataset consists of, and a colour table that shows all of its labels."""

from lumbarflow.job import run

NOTES = {
    "dataset": (
        "The dataset",
        "The paper's four defects are counted on the stored files (the rows 1 to 4 say how). All four vanish where the "
        "header's direction cosines and integer labels are used as they stand.",
    ),
    "volumes": (
        "Volumes",
        "As stored. Hidden: labels of vertebrae that a viewer shows as black. Corrected: by config.overrides.",
    ),
}


def main(snakemake):
    import logging

    import pandas as pd

    from lumbarflow import files
    from lumbarflow.data import dataset, labels
    from lumbarflow.report import audit, publish

    text = {"volume": str, "patient": str, "labels": str}
    volumes = pd.concat([pd.read_csv(path, dtype=text) for path in snakemake.input.volumes], ignore_index=True)
    overview = pd.read_csv(snakemake.input.overview[0], dtype=str) if snakemake.input.overview else None
    made = {"dataset": audit.dataset(volumes, overview, pd.read_csv(snakemake.input.published[0])), "volumes": volumes}
    for name, frame in made.items():
        publish.write(frame, f"{snakemake.params.folder}/{name}", *NOTES[name])
    with files.replacing(snakemake.output.colours) as path:
        path.write_text(labels.colour_table(), encoding="utf-8")
    for same in dataset.duplicates(dict(zip(volumes["volume"], volumes["image_sha256"], strict=True))):
        logging.warning("%s hold the same picture, voxel for voxel", " and ".join(same))


run(main, globals().get("snakemake"))
