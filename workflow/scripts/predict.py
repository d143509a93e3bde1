"""Rule predict: segment the test set with one trained network."""

from lumbarflow.job import run


def main(snakemake):
    from lumbarflow.learning import device

    # always on the CPU: the GPU stays free for training, and masks do not depend on the device of the training
    device.choose("cpu", snakemake.threads)
    import logging
    from pathlib import Path

    from lumbarflow import files
    from lumbarflow.learning import prediction, segmentation

    settings, params = files.read_json(snakemake.input.about)["settings"], snakemake.params
    tables = {Path(path).stem: path for path in snakemake.input.slices}
    segmenter = segmentation.Segmenter(
        prediction.load(snakemake.input.model, settings["network"]),
        settings,
        params.canvas_size,
        Path(snakemake.input.slices[0]).parent,
        Path(snakemake.input.labels[0]).parent,
    )
    groups = segmentation.by_volume(files.read_csv(snakemake.input.split))
    validated = (segmenter.validate(group, files.read_csv(tables[volume])[0]) for volume, group in groups.items())
    candidates = params.prediction["min_component_mm3"]
    smallest = prediction.choose_smallest([v for v in validated if v], candidates) if candidates else {}
    files.write_json(snakemake.output.components, smallest)
    logging.info("components kept from so many mm3 on: %s", smallest or "all")
    pictures, volumes = (Path(snakemake.output[name]) for name in ("pictures", "volumes"))
    pictures.mkdir(parents=True, exist_ok=True)
    volumes.mkdir(parents=True, exist_ok=True)
    rows = []
    for volume, group in segmentation.tested(groups, params.kind).items():
        table, views, whole = files.read_csv(tables[volume]), params.prediction["views"], params.kind != "slice"
        rows += segmenter.write(group, table, views, smallest, pictures, volumes if whole else None)
    files.write_csv(snakemake.output.table, rows, list(rows[0]))


run(main, globals().get("snakemake"))
