"""Rule nnunet_dataset: the volumes of an experiment as nnU-Net's raw dataset, with its folds."""

from lumbarflow.job import run


def main(snakemake):
    import logging
    from pathlib import Path

    import numpy as np

    from lumbarflow import DataError, files
    from lumbarflow.data import labels, masks, volumes, writing
    from lumbarflow.learning import nnunet

    params, output = snakemake.params, Path(snakemake.output.raw)
    subsets = []
    for path in snakemake.input.splits:
        rows = [row for row in files.read_csv(path) if row["subset"] != "none"]
        subsets.append({row["volume"]: row["subset"] for row in rows})
    shown = nnunet.seen(subsets)
    folder = output / nnunet.DATASET
    for name, source in params.sources.items():
        if not any(name in fold for fold in subsets):
            continue  # the filter left nothing of it
        image, mask = volumes.read(**source["image"]), masks.read(**source["mask"])
        mask.geometry.check_same(image.geometry, source["mask"]["path"])
        try:
            classes = labels.lut(mask.array)
        except DataError as error:
            raise DataError(f"{source['mask']['path']}: {error}") from None
        kind = "Tr" if name in shown else "Ts"
        grey = image.array.astype(np.float32) if image.array.dtype.kind == "f" else image.array
        writing.write(folder / f"images{kind}/{name}_0000{nnunet.ENDING}", grey, image.geometry)
        writing.write(folder / f"labels{kind}/{name}{nnunet.ENDING}", classes, image.geometry)
    files.write_json(folder / "dataset.json", nnunet.description(len(shown)))
    files.write_json(output / "splits_final.json", nnunet.splits(subsets))
    logging.info("%d volumes to train on in some fold, %d for test alone", len(shown), len(params.sources) - len(shown))


run(main, globals().get("snakemake"))
