"""Rule colour_labels: class masks in the paper's colours, and in the greys of these colours (paper, Figure 2)."""

from lumbarflow.job import run


def main(snakemake):
    from pathlib import Path

    from lumbarflow import files
    from lumbarflow.images import class_masks, png

    for row in files.read_csv(snakemake.input.table):
        name = png.name(row["index"])
        mask = png.read(Path(snakemake.input.table).with_suffix("") / name, row["sha256"])
        png.write(Path(snakemake.output.colour) / name, class_masks.COLOURS[mask][..., ::-1])  # OpenCV: blue first
        png.write(Path(snakemake.output.grey) / name, class_masks.GREYS[mask])


run(main, globals().get("snakemake"))
