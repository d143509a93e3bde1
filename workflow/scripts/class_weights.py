"""Rule class_weights: pixels and weight of each class in each image of a volume."""

from lumbarflow.job import run


def main(snakemake):
    from pathlib import Path

    from lumbarflow import files
    from lumbarflow.images import png, weights

    masks = files.read_csv(snakemake.input.labels)
    pictures = files.read_csv(snakemake.input.slices)
    rows = []
    for picture, mask in zip(pictures, masks, strict=True):
        path = Path(snakemake.params.pictures) / png.name(mask["index"])
        row = {key: picture[key] for key in ("volume", "patient", "sequence", "index")}
        row |= weights.describe(png.read(path, mask["sha256"]))
        rows.append({**row, "image_sha256": picture["sha256"], "mask_sha256": mask["sha256"]})
    files.write_csv(snakemake.output[0], rows, (*weights.COLUMNS, "image_sha256", "mask_sha256"))


run(main, globals().get("snakemake"))
