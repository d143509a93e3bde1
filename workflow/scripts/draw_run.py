"""Rule draw_run: training curves and overlays of one trained network."""

from lumbarflow.job import run

SHOWN = 10


def rank(images):
    """(volume, index, macro Dice) of every test image that shows a structure, the worst first."""
    shown = images[(images["grid"] == "network") & (images["class"] != "background")]
    ranked = shown.groupby(["volume", "index"])["dice"].mean().dropna().sort_values(kind="stable")
    return [(volume, int(index), dice) for (volume, index), dice in ranked.items()]


def places(number):
    """Which of a ranking to show."""
    return {"worst": 0, "lower quartile": (number - 1) // 4, "median": (number - 1) // 2, "best": number - 1}


def main(snakemake):
    from pathlib import Path

    import pandas as pd

    from lumbarflow import files
    from lumbarflow.images import png
    from lumbarflow.learning import batches
    from lumbarflow.report import figures

    about = files.read_json(snakemake.input.about)
    network, split = about["settings"]["network"], about["settings"]["split"]
    name = f"{snakemake.wildcards.experiment}, {snakemake.wildcards.sequence}, fold {snakemake.wildcards.fold}"
    validation = "validation (= test!)" if split["validation"] == "test" else "validation"
    figure = figures.curves(pd.read_csv(snakemake.input.history), about["best_epoch"], name, validation)
    figures.save(figure, Path(snakemake.output.curves[0]).with_suffix(""))

    images = pd.read_csv(snakemake.input.images)
    rows = {(row["volume"], int(row["index"])): row for row in files.read_csv(snakemake.input.split)}
    folders, (height, width) = snakemake.params, network["image_size"]
    aspect = folders.canvas_size[0] / folders.canvas_size[1] * width / height

    def example(place, volume, index, dice):
        row, grid = [rows[volume, index]], (network["image_size"], network["resize"])
        path = Path(snakemake.input.predictions).with_suffix("") / "classes" / volume / f"{index:03d}.png"
        return (
            f"{place}{volume}, slice {index}, Dice {dice:.3f}",
            batches.load_images(row, folders.slice_folder, *grid)[0],
            batches.load_masks(row, folders.label_folder, *grid)[0],
            png.read(path),
        )

    ranked = rank(images)
    examples = [example(f"{place}:\n", *ranked[k]) for place, k in places(len(ranked)).items()]
    figures.save(figures.overlays(examples, name, aspect), Path(snakemake.output.overlays[0]).with_suffix(""))
    caption, _, *masks = examples[2]
    figure = figures.structures(*masks, f"{name}: {caption}", aspect)
    figures.save(figure, Path(snakemake.output.structures[0]).with_suffix(""))
    shown = min(SHOWN, -(-len(ranked) // 2))
    lines = [(f"the worst {shown} slices by Dice", ranked[:shown]), (f"the best {shown}", ranked[::-1][:shown])]
    lines = [(heading, [example("", *each) for each in shown]) for heading, shown in lines]
    lines = [(heading, [(each[0].replace(", ", "\n"), *each[1:]) for each in tiles]) for heading, tiles in lines]
    figure = figures.extremes(lines, f"{name}: prediction filled, truth outlined", aspect)
    figures.save(figure, Path(snakemake.output.extremes[0]).with_suffix(""))


run(main, globals().get("snakemake"))
