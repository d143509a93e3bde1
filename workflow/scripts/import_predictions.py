"""Rule import_predictions: label volumes of another program, as if a network had predicted them."""

from lumbarflow.job import compile_once, run


def main(snakemake):
    import json
    from pathlib import Path

    import numpy as np

    from lumbarflow import files
    from lumbarflow.data import labels, masks, predictions, schemes, writing
    from lumbarflow.data.geometry import Geometry
    from lumbarflow.learning import imported, segmentation
    from lumbarflow.learning.decision import Decision
    from lumbarflow.measures import structures

    compile_once(structures.label, np.ones((2, 2, 2), np.uint8), (1, 1, 1))
    params, output = snakemake.params, snakemake.output
    folders = [Path(paths[0]).parent for paths in (snakemake.input.slices, snakemake.input.labels)]
    tables = {Path(path).stem: files.read_csv(path) for path in snakemake.input.slices}
    groups = segmentation.tested(segmentation.by_volume(files.read_csv(snakemake.input.split)), params.kind)
    given = params.files or predictions.find(snakemake.input.predictions[0], tables)
    predictions.check(groups, given, snakemake.wildcards.experiment)
    rows, listed, planes = [], [], []
    for name, group in groups.items():
        geometry = Geometry(**json.loads(tables[name][0]["geometry"]))
        found = masks.read_on_grid(given[name], params.scheme, geometry)
        planes += [np.unique(plane).tolist() for plane in found.array]
        classes = labels.lut(found.array)
        writer = imported.Imported(None, params.settings, params.canvas_size, *folders, {name: classes}, tables)
        written, _ = writer.write(group, tables[name], Decision(), Path(output.pictures), Path(output.volumes))
        imported.warn(written, given[name])
        single = structures.label(classes, found.spacing) if not masks.tells_structures(params.scheme) else found.array
        digest = writing.write(Path(output.structures) / f"{name}.mha", single.astype(np.uint8), geometry)
        same = {"volume": name, "volume_sha256": digest}
        listed += [{**same, **row} for row in structures.describe(single, found.spacing)]
        rows += written
    who = f"predictions of {snakemake.wildcards.experiment}"
    schemes.check_found(planes, params.scheme, who, params.key, params.sure)
    files.write_csv(output.table, rows, list(rows[0]))
    files.write_csv(output.described, listed, ("volume", "volume_sha256", *structures.DESCRIPTION))


run(main, globals().get("snakemake"))
