"""Rule extract_slices: one volume to PNG slices and their table."""

from lumbarflow.job import run

COLUMNS = (
    *("volume", "patient", "sequence", "index", "position_mm", "sha256", "low", "high"),
    *("top", "left", "height", "width", "source_height", "source_width", "geometry"),
)


def main(snakemake):
    import dataclasses
    import json
    import logging
    from pathlib import Path

    from lumbarflow import DataError, files
    from lumbarflow.data import volumes
    from lumbarflow.images import png, slices

    params = snakemake.params
    recipe, name = params.recipe, snakemake.wildcards.volume
    volume = volumes.read(**params.source)
    try:
        windows = slices.windows(volume.array, recipe["window"], recipe["percentiles"])
    except DataError as error:
        raise DataError(f"{params.source['path']}: {error}") from None
    place = slices.place(volume.array.shape[1:], volume.spacing[1:], recipe["size"], recipe["fit"])
    geometry = json.dumps(dataclasses.asdict(volume.geometry), separators=(",", ":"))
    rows = []
    for index, (plane, (low, high)) in enumerate(zip(volume.array, windows, strict=True)):
        picture = slices.to_canvas(slices.to_grey(plane, low, high), place, recipe["size"], recipe["resize"])
        digest = png.write(Path(snakemake.output.pictures) / png.name(index), picture)
        row = {"volume": name, "patient": params.patient, "sequence": params.sequence, "index": index}
        row |= {"sha256": digest, "position_mm": index * volume.spacing[0], "low": low, "high": high}
        row |= {**dataclasses.asdict(place), "source_height": plane.shape[0], "source_width": plane.shape[1]}
        rows.append({**row, "geometry": geometry})
    files.write_csv(snakemake.output.table, rows, COLUMNS)
    logging.info("%d slices, stored %s, %s mm", len(rows), volume.geometry.orientation(), volume.spacing)


run(main, globals().get("snakemake"))
