"""Rule package_model: the networks of an experiment, of all folds and seeds, as one file."""

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
    for run_of, model, about, components in zip(params.runs, given.models, given.about, given.components, strict=True):
        settings, smallest = files.read_json(about)["settings"], files.read_json(components)
        trained.append(models.Trained(*run_of, prediction.load(model).get_weights(), settings, smallest))
    tables = {Path(path).stem: path for path in given.slices}
    seen = models.seen(map(files.read_csv, given.splits))
    greys = [models.grey_of(files.read_csv(tables[volume]), Path(tables[volume]).parent) for volume in seen]
    described = [files.read_csv(path)[0] for path in given.described if Path(path).stem in seen]
    about = {
        **{"name": params.name, "software": software(), "licence": params.about["licence"]},
        **{"data": params.about["data"], "sequences": params.sequences, "recipe": params.recipe, "views": params.views},
        "trained_on": {
            **models.ranges(described, greys),
            **{"volumes": len(seen), "patients": len({row["patient"] for row in described})},
            "scanners": card.scanners(given.overview[0] if given.overview else None, list(seen)),
        },
        "scores": card.scores(given.metrics, params.evaluation),
    }
    about, members = models.make(about, trained, params.about["weights"])
    members["CARD.md"] = card.text(about).encode()
    package.write(snakemake.output[0], about, members)


run(main, globals().get("snakemake"))
