"""Rule predict: segment the test set with one trained network."""

from lumbarflow.job import run


def main(snakemake):
    from lumbarflow.learning import device

    # always on the CPU: the GPU stays free for training, and masks do not depend on the device of the training
    device.choose("cpu", snakemake.threads)
    from pathlib import Path

    from lumbarflow import files
    from lumbarflow.learning import decision, prediction, segmentation

    settings, params = files.read_json(snakemake.input.about)["settings"], snakemake.params
    tables = {Path(path).stem: path for path in snakemake.input.slices}
    segmenter = segmentation.Segmenter(
        prediction.load(snakemake.input.model, settings["network"]),
        settings,
        params.canvas_size,
        Path(snakemake.input.slices[0]).parent,
        Path(snakemake.input.labels[0]).parent,
        views=params.prediction["views"],
        smoothing=params.prediction["slice_smoothing_mm"],
    )
    groups = segmentation.by_volume(files.read_csv(snakemake.input.split))
    made = [decision.Decision.of(files.read_json(path)) for path in snakemake.input.get("decision", ())]
    said = (segmenter.validate(group, files.read_csv(tables[volume])) for volume, group in groups.items())
    chosen = made[0] if made else decision.choose(filter(None, said), params.prediction)
    files.write_json(snakemake.output.decision, chosen.described())
    pictures, volumes = (Path(snakemake.output[name]) for name in ("pictures", "volumes"))
    pictures.mkdir(parents=True, exist_ok=True)
    volumes.mkdir(parents=True, exist_ok=True)
    rows, reliability = [], {}
    for volume, group in segmentation.tested(groups, params.kind).items():
        table, whole = files.read_csv(tables[volume]), params.kind != "slice"
        written, sums = segmenter.write(group, table, chosen, pictures, volumes if whole else None)
        rows += written
        reliability[group[0]["sequence"]] = reliability.get(group[0]["sequence"], 0) + sums
    files.write_csv(snakemake.output.reliability, decision.reliability_rows(reliability), decision.RELIABILITY)
    files.write_csv(snakemake.output.table, rows, list(rows[0]))


run(main, globals().get("snakemake"))
