"""Rule draw_data: the paper's Figures 1 to 6 of one sequence: how masks become classes, and which images are kept."""

from lumbarflow.job import run


def main(snakemake):
    from pathlib import Path

    from lumbarflow import files
    from lumbarflow.report import figures, pictures

    names, params = snakemake.wildcards, snakemake.params
    folders = [Path(paths[0]).parent for paths in (snakemake.input.slices, snakemake.input.labels)]
    rows = files.read_csv(snakemake.input.manifest)
    where = f"{names.sequence}, slices {names.slices}, labels {names.labels}, filter {names.filter}"
    row = min(rows, key=pictures.imbalance)  # the most balanced image
    tiles = pictures.restored(row, *folders, params.sources[row["volume"]], params.canvas_size)
    figure = figures.gallery([("", tiles)], f"Figures 1 and 2: {row['volume']}, slice {row['index']}\n{where}")
    figures.save(figure, Path(snakemake.output.masks[0]).with_suffix(""))
    figure = figures.gallery(pictures.filtered(rows, *folders), f"Figures 3 to 6: {len(rows)} images\n{where}")
    figures.save(figure, Path(snakemake.output.images[0]).with_suffix(""))


run(main, globals().get("snakemake"))
