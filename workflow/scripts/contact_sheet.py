"""Rule contact_sheet: the middle slice of every volume of a sequence, with the outlines of its mask."""

from lumbarflow.job import run


def main(snakemake):
    import json
    from pathlib import Path

    from lumbarflow import files
    from lumbarflow.data import volumes
    from lumbarflow.images import png
    from lumbarflow.report import figures

    tiles = []
    for image, mask in zip(snakemake.input.slices, snakemake.input.labels, strict=True):
        rows, masks = files.read_csv(image), files.read_csv(mask)
        row, truth = rows[len(rows) // 2], masks[len(rows) // 2]
        name = f"{int(row['index']):03d}.png"
        picture, classes = (
            png.read(Path(table).with_suffix("") / name, entry["sha256"])
            for table, entry in ((image, row), (mask, truth))
        )
        stored = volumes.Geometry(**json.loads(row["geometry"])).orientation()
        remark = f"{stored}, slice {row['index']} of {len(rows)}"
        tiles.append((row["volume"], remark, picture, classes))
    recipes = snakemake.wildcards
    remark = f"slices: {recipes.slices}, labels: {recipes.labels}; under each name its stored orientation"
    figures.contact_sheet(snakemake.output[0], tiles, f"{recipes.sequence}: the middle slice of each volume", remark)


run(main, globals().get("snakemake"))
