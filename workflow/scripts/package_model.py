"""Rule package_model: the networks of an experiment as one file."""

from lumbarflow.job import run, software


def main(snakemake):
    from lumbarflow.learning import device

    device.choose("cpu", snakemake.threads)
    from pathlib import Path

    from lumbarflow import files
    from lumbarflow.learning import models, package, prediction
    from lumbarflow.report import card

    params, given = snakemake.params, snakemake.input
    trained = []
    for model, about in zip(given.models, given.about, strict=True):
        name = "-".join(Path(model).parts[-3:-1])  # of its folders: fold and seed
        settings = files.read_json(about)["settings"]
        trained.append(models.Trained(name, prediction.load(model, settings["network"]).get_weights(), settings))
    tables = {Path(path).stem: path for path in given.slices}
    everyone = params.about["networks"] == "everyone"
    seen = models.seen(map(files.read_csv, given.splits), everyone)
    greys = [models.grey_of(files.read_csv(tables[volume]), Path(tables[volume]).parent) for volume in seen]
    described = [files.read_csv(path)[0] for path in given.described if Path(path).stem in seen]
    about = {
        **{"name": params.name, "software": software(), "licence": params.about["licence"]},
        **{"data": params.about["data"], "sequences": params.sequences, "recipe": params.recipe},
        **{key: params.prediction[key] for key in ("views", "slice_smoothing_mm")},
        "trained_on": {
            **models.ranges(described, greys),
            **{"volumes": len(seen), "patients": len({row["patient"] for row in described})},
            "scanners": card.scanners(given.overview[0] if given.overview else None, list(seen)),
        },
        "scores": {
            **card.scores(given.metrics, params.evaluation),
            **{"entropy": card.highest_entropy(given.predictions), "everyone": everyone},
            "chose_epoch": params.validation == "test",
        },
    }
    about, members = models.make(about, trained, [*map(files.read_json, given.decisions)], params.about["weights"])
    package.write(snakemake.output[0], about, {**members, "CARD.md": card.text(about).encode()})


run(main, globals().get("snakemake"))
