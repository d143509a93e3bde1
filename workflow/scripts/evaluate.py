"""Rule evaluate: metrics of each image and class, of the stack, and of each volume."""

from lumbarflow.job import compile_once, run


def main(snakemake):
    from itertools import groupby
    from pathlib import Path

    import numpy as np

    from lumbarflow import CLASSES, files
    from lumbarflow.data import labels, volumes
    from lumbarflow.images import png
    from lumbarflow.learning import batches
    from lumbarflow.measures import evaluation, instances

    compile_once(evaluation.image_rows, *np.zeros((2, 2, 2), np.uint8), (1, 1), 1.0)
    tau = snakemake.params.tau
    sources = snakemake.params.sources
    pictures = Path(snakemake.input.table).with_suffix("")
    restored = pictures.with_name("volumes")
    images, in_3d, structures, stacks = [], [], [], {}
    for volume, group in groupby(files.read_csv(snakemake.input.table), key=lambda row: row["volume"]):
        group = list(group)
        common = {key: group[0][key] for key in ("sequence", "patient", "volume")}
        scored = [row for row in group if row["scored"] == "true"]
        truths = batches.load_masks(scored, snakemake.params.label_folder, *snakemake.params.grid)
        for row, truth in zip(scored, truths, strict=True):
            classes, half = (
                png.read(pictures / kind / volume / f"{int(row['index']):03d}.png", row[f"{kind}_sha256"])
                for kind in ("classes", "half")
            )
            sums = {
                name: np.array([float(row[f"{name}_{k}"]) for k in CLASSES])
                for name in ("soft_overlap", "soft_pred", "soft_truth")
            }
            for entry in evaluation.image_rows(classes, truth, (1, 1), tau, sums):
                images.append({**common, "index": row["index"], "grid": "network", "unit": "px", **entry})
            stacks.setdefault(common["sequence"], []).append((half, truth))
        if (restored / f"{volume}.mha").is_file():
            pred = volumes.read(restored / f"{volume}.mha")
            stored = volumes.read(**sources[volume]).array
            truth = labels.lut(stored)
            for row in scored:
                index = int(row["index"])
                for entry in evaluation.image_rows(pred.array[index], truth[index], pred.spacing[1:], tau):
                    images.append({**common, "index": index, "grid": "source", "unit": "mm", **entry})
            in_3d += [{**common, **entry} for entry in evaluation.volume_rows(pred.array, truth, pred.spacing, tau)]
            structures += [{**common, **entry} for entry in instances.instance_rows(pred.array, stored, pred.spacing)]
    files.write_csv(snakemake.output.structures, structures, instances.PER_INSTANCE)
    files.write_csv(snakemake.output.images, images, evaluation.PER_IMAGE)
    files.write_csv(snakemake.output.volumes, in_3d, evaluation.PER_VOLUME)
    files.write_csv(snakemake.output.stack, evaluation.stack_rows(stacks, tau), evaluation.PER_STACK)


run(main, globals().get("snakemake"))
