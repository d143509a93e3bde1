"""Rule draw_run: training curves and overlays of one trained network."""

from lumbarflow.job import run


def main(snakemake):
    from pathlib import Path

    from lumbarflow import files
    from lumbarflow.report import figures, frames, pictures

    names, network = snakemake.wildcards, snakemake.params.network
    stems = {name: Path(paths[0]).with_suffix("") for name, paths in snakemake.output.items()}
    name = f"{names.experiment}, {names.sequence}, fold {names.fold}"
    if "curves" in stems:  # another program has none
        best = files.read_json(snakemake.input.about)["best_epoch"]
        validation = "validation (= test!)" if snakemake.params.validation == "test" else "validation"
        figures.save(
            figures.curves(frames.read_table(snakemake.input.history), best, name, validation), stems["curves"]
        )

    (height, width), canvas = network["image_size"], snakemake.params.canvas_size
    aspect = canvas[0] / canvas[1] * width / height
    folders = [Path(paths[0]).parent for paths in (snakemake.input.slices, snakemake.input.labels)]
    classes = Path(snakemake.input.predictions).with_suffix("") / "classes"
    predicted = pictures.Predicted(files.read_csv(snakemake.input.split), network, *folders, classes)
    ranked = pictures.rank(frames.read_table(snakemake.input.images))
    examples = predicted.quartiles(ranked)
    figures.save(figures.overlays(examples, name, aspect), stems["overlays"])
    caption, _, *masks = examples[2]
    figures.save(figures.structures(*masks, f"{name}: {caption}", aspect), stems["structures"])
    figure = figures.extremes(predicted.extremes(ranked), f"{name}: prediction filled, truth outlined", aspect)
    figures.save(figure, stems["extremes"])


run(main, globals().get("snakemake"))
