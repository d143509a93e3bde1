"""Rule predict: the test set of one trained network."""

from lumbarflow.job import run


def main(snakemake):
    from lumbarflow.learning import device

    # on the CPU wherever the network was trained: the GPU stays free for training, and masks come out the same
    device.choose("cpu", snakemake.threads)
    import json
    import logging
    from itertools import groupby
    from pathlib import Path

    import numpy as np

    from lumbarflow import CLASSES, files
    from lumbarflow.data import volumes
    from lumbarflow.images import png
    from lumbarflow.learning import batches, prediction

    settings, params = files.read_json(snakemake.input.about)["settings"], snakemake.params
    grid = (settings["network"]["image_size"], settings["network"]["resize"])
    model = prediction.load(snakemake.input.model, grid[0])
    rows = files.read_csv(snakemake.input.split)
    groups = [(volume, list(group)) for volume, group in groupby(rows, key=lambda row: row["volume"])]
    tables = {Path(path).stem: path for path in snakemake.input.slices}
    folders = {name: Path(snakemake.output[name]) for name in ("pictures", "volumes")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)

    def segment(group):
        images = batches.load_images(group, params.slice_folder, *grid)
        truths = batches.load_masks(group, params.label_folder, *grid)
        return prediction.probabilities(model, images, settings["normalisation"]), truths

    def on_source(group, source):
        """Probabilities on each source plane: the mean of what the network says on grids moved by less than a pixel."""
        size, offsets = params.canvas_size, prediction.offsets(params.prediction["views"])
        total = 0
        for offset in offsets:
            images = prediction.load_view(group, params.slice_folder, *grid, offset)
            pairs = zip(prediction.probabilities(model, images, settings["normalisation"]), source, strict=True)
            total = total + np.stack([prediction.on_source(p, row, size, offset) for p, row in pairs])
        return total / len(offsets)

    def validated():
        for volume, group in groups:
            if any(row["subset"] == "validation" for row in group):
                p, truths = segment(group)
                source = files.read_csv(tables[volume])[0]
                spacing = volumes.Geometry(**json.loads(source["geometry"])).canonical_spacing()
                spacing = prediction.network_spacing(source, spacing, params.canvas_size, grid[0])
                yield prediction.decide(p), truths, spacing

    candidates = params.prediction["min_component_mm3"]
    smallest = prediction.choose_smallest(list(validated()), candidates) if candidates else {}
    files.write_json(snakemake.output.components, smallest)
    logging.info("components kept from so many mm3 on: %s", smallest or "all")
    table = []
    for volume, group in groups:
        if not any(row["subset"] == "test" for row in group):
            continue
        if params.kind == "slice":  # the other slices of the volume are in training
            group = [row for row in group if row["subset"] == "test"]
        p, truths = segment(group)
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
            planes = [prediction.decide(q) for q in on_source(group, source)]
            geometry = volumes.Geometry(**json.loads(source[0]["geometry"]))
            masks = prediction.clean(np.stack(planes), geometry.canonical_spacing(), smallest)
            volumes.write(folders["volumes"] / f"{volume}.mha", masks, geometry)
    files.write_csv(snakemake.output.table, table, list(table[0]))


run(main, globals().get("snakemake"))
