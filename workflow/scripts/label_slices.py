"""Rule label_slices: one mask volume to class masks on the slices' canvas."""

from lumbarflow.job import compile_once, run


def main(snakemake):
    import json
    import logging
    from pathlib import Path

    import numpy as np

    from lumbarflow import DataError, files
    from lumbarflow.data import labels, masks
    from lumbarflow.data.geometry import Geometry
    from lumbarflow.images import png, recipes, slices

    rows = files.read_csv(snakemake.input.slices)
    params = snakemake.params
    recipe, size, source = params.recipe, params.canvas_size, params.source
    mask = masks.read(**source)
    image = Geometry(**json.loads(rows[0]["geometry"]))
    apart = mask.geometry.check_same(image, source["path"])
    logging.info("mask stored %s, up to %.2g mm from the image", mask.geometry.orientation(), apart)
    try:
        classes = labels.lut(mask.array)
    except DataError as error:
        raise DataError(f"{source['path']}: {error}") from None
    if not classes.any():
        logging.warning("%s: holds no label; the filter leaves its images out", source["path"])
    place = slices.Placement.of(rows[0])
    compile_once(recipes.make, recipe, mask.array[0], classes[0], place, size)
    table = []
    for row, plane, exact in zip(rows, mask.array, classes, strict=True):
        picture = recipes.make(recipe, plane, exact, place, size)
        digest = png.write(Path(snakemake.output.pictures) / png.name(row["index"]), picture)
        found = " ".join(map(str, np.unique(plane)))
        table.append({"volume": row["volume"], "index": row["index"], "sha256": digest, "labels": found})
    files.write_csv(snakemake.output.table, table, ("volume", "index", "sha256", "labels"))
    logging.info(
        "%d masks, pixels of each class in the volume %s", len(table), np.bincount(classes.ravel(), minlength=4)
    )


run(main, globals().get("snakemake"))
