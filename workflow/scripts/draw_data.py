"""Rule draw_data: the paper's Figures 1 to 6 of one sequence: how masks become classes, and which images stay."""

from lumbarflow.job import run

SHOWN = 4


def spread(rows, key):
    """At most SHOWN of the rows, evenly over their order by `key`."""
    ranked = sorted(rows, key=key)
    count = min(SHOWN, len(ranked))
    return [ranked[round(k * (len(ranked) - 1) / max(count - 1, 1))] for k in range(count)]


def restored(image, stored, grey, mask):
    """Tiles of Figures 1 and 2: a mask as stored, and as classes. stored: labels of the source plane [H, W]."""
    import numpy as np

    from lumbarflow.data import labels
    from lumbarflow.images import class_masks

    before = f"{len(np.unique(stored))} values, {len(labels.hidden(stored))} vertebrae all but black"
    return [
        ("the image", image),
        (f"1a, 2a: the stored mask as a grey picture:\n{before}", grey),
        (f"1b, 2b: {len(np.unique(mask))} classes in the paper's colours", class_masks.COLOURS[mask]),
        ("2c: the greys of these", class_masks.GREYS[mask]),
    ]


def main(snakemake):
    from pathlib import Path

    from lumbarflow import files
    from lumbarflow.data import volumes
    from lumbarflow.images import class_masks, png, slices
    from lumbarflow.report import figures

    names, params = snakemake.wildcards, snakemake.params
    rows = files.read_csv(snakemake.input.manifest)
    where = f"{names.sequence}, slices {names.slices}, labels {names.labels}, filter {names.filter}"

    def read(row):
        name = Path(row["volume"], f"{int(row['index']):03d}.png")
        image = png.read(Path("results/slices", names.slices, name))
        return image, png.read(Path("results/labels", names.slices, names.labels, name))

    def tile(row):
        ratio = float(row["imbalance_ratio"])
        caption = f"{row['volume']}, slice {row['index']}\n{row['classes']} classes, ratio {ratio:.0f}"
        return caption, figures.tint(*read(row))

    def by_ratio(row):
        return float(row["imbalance_ratio"])

    # the image that shows most of every class
    row = min(rows, key=by_ratio)
    table = next(path for path in snakemake.input.slices if Path(path).stem == row["volume"])
    place = slices.Placement.of(files.read_csv(table)[0])
    stored = volumes.read(**params.sources[row["volume"]]).array[int(row["index"])]
    grey = slices.to_canvas(class_masks.render(stored, "slice"), place, params.canvas_size, "nearest")
    image, mask = read(row)
    title = f"Figures 1 and 2: {row['volume']}, slice {row['index']}\n{where}"
    figure = figures.gallery([("", restored(image, stored, grey, mask))], title)
    figures.save(figure, Path(snakemake.output.masks[0]).with_suffix(""))

    kept = [row for row in rows if row["kept"] == "true"]
    few = [row for row in rows if row["reason"].startswith("fewer")]
    unbalanced = [row for row in rows if row["reason"] and not row["reason"].startswith(("fewer", "beyond"))]
    lines = [
        (f"Figure 3: {len(few)} with too few classes", spread(few, lambda row: int(row["classes"]))),
        (f"Figure 5: {len(unbalanced)} dropped for their imbalance", spread(unbalanced, by_ratio)),
        (f"Figures 4, 6: {len(kept)} kept", spread(kept, by_ratio)),
    ]
    lines = [(heading, [tile(row) for row in shown]) for heading, shown in lines]
    figure = figures.gallery(lines, f"Figures 3 to 6: {len(rows)} images\n{where}")
    figures.save(figure, Path(snakemake.output.images[0]).with_suffix(""))


run(main, globals().get("snakemake"))
