"""Rule label_slices: one mask volume to class masks on the slices' canvas."""

from lumbarflow.job import run


def main(snakemake):
    import json
    import logging
    import os
    from pathlib import Path

    import numpy as np

    # compiled code is kept with the results' own Snakemake folder, not beside the source
    os.environ.setdefault("NUMBA_CACHE_DIR", os.path.abspath(".snakemake/numba"))
    from lumbarflow import DataError, files, labels, slices, volumes

    rows = files.read_csv(snakemake.input.slices)
    mask = volumes.read(snakemake.input.mask)
    image = volumes.Geometry(**json.loads(rows[0]["geometry"]))
    if different := mask.geometry.differs(image):
        raise DataError(
            f"{snakemake.input.mask}: its {different} differs from the image's: found {mask.geometry}; "
            f"expected {image}; resample the mask to the image's grid"
        )
    try:
        classes = labels.lut(mask.array)
    except DataError as error:
        raise DataError(f"{snakemake.input.mask}: {error}") from None
    if not classes.any():
        logging.warning("%s: holds no label; the filter leaves its images out", snakemake.input.mask)
    size = snakemake.params.canvas_size
    place = slices.Placement(*(int(rows[0][key]) for key in ("top", "left", "height", "width")))
    if snakemake.params.recipe["method"] == "apta":
        from lumbarflow import apta

        with files.locked(os.path.join(os.environ["NUMBA_CACHE_DIR"], "lock")):
            apta.repair(np.zeros((3, 3), np.uint8))  # compiled by the first job, read from its cache by the others
    table = []
    for row, plane, exact in zip(rows, mask.array, classes, strict=True):
        if snakemake.params.recipe["method"] == "apta":
            grey = slices.to_grey(plane, plane.min(), plane.max())
            picture = apta.repair(slices.to_canvas(grey, place, size, "linear"))
        else:
            picture = slices.to_canvas(exact, place, size, "nearest")
        digest = files.write_png(Path(snakemake.output.pictures) / f"{int(row['index']):03d}.png", picture)
        table.append({"volume": row["volume"], "index": row["index"], "sha256": digest})
    files.write_csv(snakemake.output.table, table, ("volume", "index", "sha256"))
    logging.info(
        "%d masks, pixels of each class in the volume %s", len(table), np.bincount(classes.ravel(), minlength=4)
    )


run(main, globals().get("snakemake"))
