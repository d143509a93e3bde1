"""Rule draw_run: training curves and overlays of one trained network."""

from lumbarflow.job import run


def choose(images):
    """Four test images, by macro Dice: the worst, the lower quartile, the median and the best."""
    shown = images[(images["grid"] == "network") & (images["class"] != "background")]
    ranked = shown.groupby(["volume", "index"])["dice"].mean().dropna().sort_values()
    places = {"worst": 0, "lower quartile": (len(ranked) - 1) // 4, "median": (len(ranked) - 1) // 2}
    places["best"] = len(ranked) - 1
    return [(name, *ranked.index[place], ranked.iloc[place]) for name, place in places.items()]


def main(snakemake):
    from pathlib import Path

    import pandas as pd

    from lumbarflow import batches, figures, files, png

    about = files.read_json(snakemake.input.about)
    network, split = about["settings"]["network"], about["settings"]["split"]
    name = f"{snakemake.wildcards.experiment}, {snakemake.wildcards.sequence}, fold {snakemake.wildcards.fold}"
    validation = "validation (= test!)" if split["validation"] == "test" else "validation"
    figure = figures.curves(pd.read_csv(snakemake.input.history), about["best_epoch"], name, validation)
    figures.save(figure, Path(snakemake.output.curves[0]).with_suffix(""))

    images = pd.read_csv(snakemake.input.images)
    rows = {(row["volume"], int(row["index"])): row for row in files.read_csv(snakemake.input.split)}
    grid = (network["image_size"], network["resize"])
    folders, examples = snakemake.params, []
    for place, volume, index, dice in choose(images):
        row = [rows[volume, index]]
        image = batches.load_images(row, folders.slice_folder, *grid)[0]
        truth = batches.load_masks(row, folders.label_folder, *grid)[0]
        path = Path(snakemake.input.predictions).with_suffix("") / "classes" / volume / f"{index:03d}.png"
        caption = f"{place}: {volume}, slice {index}, Dice {dice:.3f}"
        examples.append((caption, image, truth, png.read(path)))
    aspect = folders.canvas_size[0] / folders.canvas_size[1] * network["image_size"][1] / network["image_size"][0]
    figures.save(figures.overlays(examples, name, aspect), Path(snakemake.output.overlays[0]).with_suffix(""))


run(main, globals().get("snakemake"))
