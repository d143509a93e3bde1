"""Rule contact_sheet: the middle slice of every volume of a sequence, with the outlines of its mask."""

from lumbarflow.job import run


def main(snakemake):
    import json
    from pathlib import Path

    from lumbarflow import files
    from lumbarflow.data.geometry import Geometry
    from lumbarflow.images import png
    from lumbarflow.report import figures

    masks = {Path(table).stem: table for table in snakemake.input.labels}
    tiles = []
    for table, described in zip(snakemake.input.slices, snakemake.input.described, strict=True):
        rows, odd = files.read_csv(table), files.read_csv(described)[0]["remarks"]
        middle = len(rows) // 2
        row, name = rows[middle], png.name(rows[middle]["index"])
        picture, mask = png.read(Path(table).with_suffix("") / name, row["sha256"]), masks.get(row["volume"])
        classes = png.read(Path(mask).with_suffix("") / name, files.read_csv(mask)[middle]["sha256"]) if mask else None
        stored = Geometry(**json.loads(row["geometry"])).orientation()
        tiles.append((row["volume"], f"{stored}, slice {row['index']} of {len(rows)}", odd, picture, classes))
    recipes = snakemake.wildcards
    remark = f"slices: {recipes.slices}, labels: {recipes.labels}; under each name its stored orientation"
    figures.contact_sheet(snakemake.output[0], tiles, f"{recipes.sequence}: the middle slice of each volume", remark)


run(main, globals().get("snakemake"))
