"""Rule split: the subset of each image of a manifest."""

from lumbarflow.job import run

COLUMNS = ("volume", "patient", "sequence", "index", "classes", "kept", "subset", "position")
HASHES = ("image_sha256", "mask_sha256")


def main(snakemake):
    import logging
    from collections import Counter

    from lumbarflow import DataError, files
    from lumbarflow.images import weights
    from lumbarflow.learning import splits

    rows = [row for path in snakemake.input.manifests for row in files.read_csv(path)]
    settings = snakemake.params.split
    fold = int(snakemake.wildcards.fold)
    official = splits.read_official(snakemake.input.overview[0]) if settings["kind"] == "official" else None
    try:
        subsets = splits.make(rows, **settings, fold=fold, patients=snakemake.params.patients, official=official)
    except DataError as error:
        raise DataError(f"{snakemake.wildcards.experiment}, {snakemake.wildcards.sequence}: {error}") from None
    rows = [{**row, "subset": subset, "position": ""} for row, subset in zip(rows, subsets, strict=True)]
    if settings["kind"] == "slice":  # the order in which the release stacks its test images
        order = splits.shuffled(rows, settings["shuffle"], settings["seed"])
        places = {key: place for place, key in enumerate(order)}
        rows = [{**row, "position": places.get((row["volume"], row["index"]), "")} for row in rows]
    splits.check_disjoint(rows, settings["kind"])
    columns = (*COLUMNS, *HASHES, *weights.PIXELS)
    files.write_csv(snakemake.output[0], [{key: row[key] for key in columns} for row in rows], columns)
    logging.info("images: %s", dict(Counter(subsets)))
    for subset in ("validation", "test"):
        patients = sorted({row["patient"] for row in rows if row["subset"] == subset}, key=lambda p: (len(p), p))
        logging.info("%s patients: %s", subset, ", ".join(patients))


run(main, globals().get("snakemake"))
