"""Rule train: one network on one split."""

from lumbarflow.job import run


def resume_file(snakemake):
    """Where the state of this training is kept between its epochs: one file, named by all that decides the result.

    States of other settings, inputs or programs are deleted: nothing will ever go on from them.
    """
    import hashlib
    import json
    from pathlib import Path

    from lumbarflow.learning import device

    decisive = [json.dumps([snakemake.params.settings, device.versions()], sort_keys=True).encode()]
    decisive += [Path(path).read_bytes() for path in (snakemake.input.split, *snakemake.input.library)]
    key = hashlib.sha256(b"\n".join(decisive)).hexdigest()[:16]
    folder = Path(snakemake.params.resume)
    for other in folder.glob("*.npz"):
        if other.stem != key:
            other.unlink()
    return folder / f"{key}.npz"


def main(snakemake):
    from lumbarflow.learning import device

    used = device.choose(snakemake.params.device, snakemake.threads)
    import shutil
    from pathlib import Path

    import keras

    from lumbarflow import files
    from lumbarflow.images import weights
    from lumbarflow.learning import batches, losses, networks, splits, training

    settings, seed = snakemake.params.settings, int(snakemake.wildcards.seed)
    rows = files.read_csv(snakemake.input.split)
    splits.check_disjoint(rows, settings["split"]["kind"])
    network = settings["network"]
    grid = (network["image_size"], network["resize"])

    def load(subset):
        chosen = [row for row in rows if row["subset"] == subset]
        images = batches.load_images(chosen, snakemake.params.slice_folder, *grid)
        return images, batches.load_masks(chosen, snakemake.params.label_folder, *grid)

    def build():
        return networks.build(network["name"], batches.pad_to_16(network["image_size"]), **network["options"])

    sets = {"train": load("train"), "validation": load(splits.VALIDATED_ON[settings["split"]["validation"]])}
    loss = weights.resolve_alpha(settings["loss"], [row for row in rows if row["subset"] == "train"])
    precision = device.precision(settings["training"]["precision"], used)
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    fit = training.train(
        build(),
        training=sets["train"],
        validation=sets["validation"],
        settings=settings["training"],
        loss=loss,
        normalisation=settings["normalisation"],
        augmentation=settings["augmentation"],
        seed=seed,
        resume=resume_file(snakemake),
    )
    keras.config.set_dtype_policy("float32")  # whatever it was trained in, so that any machine predicts the same
    model = build()
    model.set_weights(fit.model.get_weights())
    test = load("test")
    scores = training.evaluate(model, *test, 8, settings["normalisation"], losses.make(**loss))
    fit.history[-1]["test_accuracy"] = scores["accuracy"]
    files.write_csv(snakemake.output.history, fit.history, training.HISTORY)
    about = {"best_epoch": fit.best_epoch, "parameters": model.count_params(), "seed": seed, "device": used}
    about |= {"settings": settings, "images": {name: len(images) for name, (images, _) in sets.items()}}
    about |= {"loss": loss, "precision": precision, "test": scores, "versions": device.versions()}
    about["inputs"] = {"split.csv": files.sha256(Path(snakemake.input.split).read_bytes())}
    files.write_json(snakemake.output.about, about)
    with files.replacing(snakemake.output.model) as temporary:
        model.save(temporary)
    shutil.rmtree(snakemake.params.resume, ignore_errors=True)


run(main, globals().get("snakemake"))
