"""Rule predict: the test set of one trained network."""

from lumbarflow.job import run


def main(snakemake):
    from lumbarflow import device

    # on the CPU wherever the network was trained: the GPU stays free for training, and masks come out the same
    device.choose("cpu", snakemake.threads)
    import json
    from itertools import groupby
    from pathlib import Path

    import numpy as np

    from lumbarflow import CLASSES, batches, files, png, prediction, volumes

    about = files.read_json(snakemake.input.about)
    settings, params = about["settings"], snakemake.params
    model = prediction.load(snakemake.input.model)
    rows = files.read_csv(snakemake.input.split)
    tables = {Path(path).stem: path for path in snakemake.input.slices}
    folders = {name: Path(snakemake.output[name]) for name in ("pictures", "volumes")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    table = []
    for volume, group in groupby(rows, key=lambda row: row["volume"]):
        group = list(group)
        if not any(row["subset"] == "test" for row in group):
            continue
        if params.kind == "slice":  # the other slices of the volume are in training
            group = [row for row in group if row["subset"] == "test"]
        grid = (settings["network"]["image_size"], settings["network"]["resize"])
        images = batches.load_images(group, params.slice_folder, *grid)
        p = prediction.probabilities(model, images, settings["normalisation"])
        truths = batches.load_masks(group, params.label_folder, *grid)
        for row, probability, truth in zip(group, p, truths, strict=True):
            entry = {key: row[key] for key in ("volume", "patient", "sequence", "index", "mask_sha256")}
            entry["scored"] = row["subset"] == "test"
            for kind, decide in (("classes", prediction.decide), ("half", prediction.decide_half)):
                path = folders["pictures"] / kind / volume / f"{int(row['index']):03d}.png"
                entry[f"{kind}_sha256"] = png.write(path, decide(probability))
            for name, sums in prediction.soft_sums(probability, truth).items():
                entry |= {f"{name}_{k}": value for k, value in zip(CLASSES, sums, strict=True)}
            table.append(entry)
        if params.kind != "slice":
            source = files.read_csv(tables[volume])
            planes = [prediction.on_source(q, row, params.canvas_size) for q, row in zip(p, source, strict=True)]
            geometry = volumes.Geometry(**json.loads(source[0]["geometry"]))
            volumes.write(folders["volumes"] / f"{volume}.mha", np.stack(planes), geometry)
    files.write_csv(snakemake.output.table, table, list(table[0]))


run(main, globals().get("snakemake"))
