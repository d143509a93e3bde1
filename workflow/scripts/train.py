"""Rule train: one network on one split."""

from lumbarflow.job import run


def main(snakemake):
    from lumbarflow import device

    used = device.choose(snakemake.params.device, snakemake.threads)
    import keras

    from lumbarflow import batches, files, networks, splits, training, weights

    settings, seed = snakemake.params.settings, int(snakemake.wildcards.seed)
    rows = files.read_csv(snakemake.input.split)
    splits.check_disjoint(rows, settings["split"]["kind"])
    network = settings["network"]

    grid = (network["image_size"], network["resize"])

    def load(subset):
        chosen = [row for row in rows if row["subset"] == subset]
        images = batches.load_images(chosen, snakemake.params.slice_folder, *grid)
        return images, batches.load_masks(chosen, snakemake.params.label_folder, *grid)

    sets = {"train": load("train"), "validation": load(splits.VALIDATED_ON[settings["split"]["validation"]])}
    loss = dict(settings["loss"])
    if loss["alpha"] == "weights":
        chosen = [row for row in rows if row["subset"] == "train"]
        loss["alpha"] = weights.focal_alpha(weights.row_pixels(chosen).sum(0)).tolist()
    loss["alpha"] = None if loss["alpha"] == "none" else loss["alpha"]
    keras.utils.set_random_seed(seed)
    model = networks.build(network["name"], batches.pad_to_16(network["image_size"]), **network["options"])
    fit = training.train(
        model,
        training=sets["train"],
        validation=sets["validation"],
        settings=settings["training"],
        loss=loss,
        normalisation=settings["normalisation"],
        augmentation=settings["augmentation"],
        seed=seed,
    )
    files.write_csv(snakemake.output.history, fit.history, training.HISTORY)
    about = {
        "best_epoch": fit.best_epoch,
        "parameters": model.count_params(),
        "seed": seed,
        "device": used,
        "loss": loss,
    }
    about |= {"settings": settings, "images": {name: len(images) for name, (images, _) in sets.items()}}
    files.write_json(snakemake.output.about, {**about, "versions": device.versions()})
    with files.replacing(snakemake.output.model) as temporary:
        fit.model.save(temporary)


run(main, globals().get("snakemake"))
